//! Lines that ignore files lack.

/// The text with those of `lines` added that it has not, below a heading; `None` when it has all.
/// A line that is there with other slashes (`/target`, `target/`) is there, and so is one below a
/// folder that is (`logs/` has `/logs/runs/`).
pub(crate) fn with_lines(text: Option<&str>, heading: &str, lines: &[String]) -> Option<String> {
    let plain = |line: &str| line.trim().trim_start_matches("**/").trim_matches('/').to_owned();
    let there: Vec<String> = text.unwrap_or_default().lines().map(plain).collect();
    let has = |line: &str| {
        there.iter().any(|known| {
            line.strip_prefix(known.as_str())
                .is_some_and(|rest| !known.is_empty() && (rest.is_empty() || rest.starts_with('/')))
        })
    };
    let missing: Vec<&String> = lines.iter().filter(|line| !has(&plain(line))).collect();
    if missing.is_empty() {
        return None;
    }
    let mut whole = text.unwrap_or_default().to_owned();
    if !whole.is_empty() {
        if !whole.ends_with('\n') {
            whole.push('\n');
        }
        whole.push('\n');
    }
    whole.push_str(&format!("# {heading}\n"));
    for line in missing {
        whole.push_str(line);
        whole.push('\n');
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        let lines = ["target/".to_owned(), "/logs/runs/".to_owned()];
        let added = with_lines(Some("/target\n*.log"), "Greenloop", &lines).unwrap();
        assert_eq!(added, "/target\n*.log\n\n# Greenloop\n/logs/runs/\n");
        assert_eq!(with_lines(Some(&added), "Greenloop", &lines), None);
        assert_eq!(with_lines(None, "x", &lines).unwrap(), "# x\ntarget/\n/logs/runs/\n");
        assert_eq!(with_lines(Some("logs/\n/target/\n"), "x", &lines), None);
        let others = with_lines(Some("log\n\ntarget/debug\n!logs\n"), "x", &lines).unwrap();
        assert!(others.ends_with("# x\ntarget/\n/logs/runs/\n"), "{others}");
    }
}
