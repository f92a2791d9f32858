//! Splits a command line into program and arguments, as a shell would, without a shell.

/// Why a line cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quotation mark is never closed.
    #[error("unclosed quotation mark")]
    OpenQuote,
    /// It only means something to a shell.
    #[error("`{0}` needs a shell, but the command is started without one")]
    NeedsShell(String),
}

/// The words of `line`, quotation marks and backslashes resolved.
pub(super) fn split(line: &str) -> Result<Vec<String>, SplitError> {
    const OPERATORS: &[&str] = &["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"];
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    let mut finish = |word: &mut Option<String>, quoted: &mut bool| {
        if let Some(done) = word.take() {
            if !*quoted && OPERATORS.contains(&done.as_str()) {
                return Err(SplitError::NeedsShell(done));
            }
            words.push(done);
        }
        *quoted = false;
        Ok(())
    };
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => finish(&mut word, &mut quoted)?,
            '\'' | '"' => {
                quoted = true;
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(SplitError::OpenQuote),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => {
                            word.push(chars.next().ok_or(SplitError::OpenQuote)?);
                        }
                        Some(inner) => word.push(inner),
                    }
                }
            }
            // `{{ port }}` is one word, spaces and all.
            '{' if chars.as_str().starts_with('{') => {
                let word = word.get_or_insert_default();
                word.push('{');
                if let Some(end) = chars.as_str().find("}}") {
                    let (inside, rest) = chars.as_str().split_at(end + 2);
                    word.push_str(inside);
                    chars = rest.chars();
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().unwrap_or('\\')),
            c => word.get_or_insert_default().push(c),
        }
    }
    finish(&mut word, &mut quoted)?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_a_shell_would() {
        for (line, expect) in [
            ("node server.js", Ok(vec!["node", "server.js"])),
            ("  a   b ", Ok(vec!["a", "b"])),
            ("a 'b c' \"d \\\"e\\\"\" f\\ g", Ok(vec!["a", "b c", "d \"e\"", "f g"])),
            ("a ''", Ok(vec!["a", ""])),
            ("serve --port={{ port }} x", Ok(vec!["serve", "--port={{ port }}", "x"])),
            ("echo '&&'", Ok(vec!["echo", "&&"])),
            ("", Ok(vec![])),
            ("cd x && ./run", Err(SplitError::NeedsShell("&&".to_owned()))),
            ("a 'b", Err(SplitError::OpenQuote)),
        ] {
            let expect = expect.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(line), expect, "{line}");
        }
    }
}
