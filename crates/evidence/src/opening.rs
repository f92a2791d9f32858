//! The fixed text that every match of an expression begins with: looking at it costs nothing, and
//! spares compiling and running the expression on nearly all lines.

/// What the lines that an expression matches begin with: one of these.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Openings(Vec<String>);

impl Openings {
    /// Read from the expression. Empty where a match may begin with anything.
    pub(super) fn of(pattern: &str) -> Self {
        let read: Option<Vec<String>> = alternatives(pattern).into_iter().map(literal).collect();
        Self(read.unwrap_or_default())
    }

    /// Whether the expression could match this line.
    pub(super) fn fit(&self, text: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|opening| text.starts_with(opening.as_str()))
    }
}

/// The parts between the `|` that stand in no group and no class.
fn alternatives(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut depth, mut class, mut escaped) = (0, 0u32, false, false);
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' if class => class = false,
            _ if class => {}
            b'[' => class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(pattern.get(from..).unwrap_or_default());
    parts
}

/// The plain text after the `^` that an alternative begins with; `None` where there is none.
fn literal(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.strip_prefix('^')?.chars().peekable();
    while let Some(char) = chars.next() {
        let plain = match char {
            '\\' => chars.next().filter(|escaped| escaped.is_ascii_punctuation()),
            '.' | '[' | '(' | ')' | '^' | '$' | '*' | '+' | '?' | '{' | '|' => None,
            char => Some(char),
        };
        // What is repeated need not be there.
        let Some(plain) = plain.filter(|_| !matches!(chars.peek(), Some('?' | '*' | '{' | '+')))
        else {
            break;
        };
        out.push(plain);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_read_where_there_are_some() {
        for (pattern, expect) in [
            (r"^error\[E\d+\]: ", &["error[E"][..]),
            (r"^FAIL: (?:a|b)|^ERROR: x", &["FAIL: ", "ERROR: x"]),
            (r"^(?:a|b)", &[]),
            (r"^ab?c", &["a"]),
            (r"^a|b", &[]),
            (r"(?i)^a", &[]),
            (r"^\s*x", &[]),
            (r"^---- (?P<name>.*)", &["---- "]),
            (r"^[|]a", &[]),
            (r"^x[|]a", &["x"]),
            (r"^a\|b", &["a|b"]),
            ("", &[]),
        ] {
            assert_eq!(Openings::of(pattern).0, expect, "{pattern}");
        }
        assert!(Openings::of(r"^ab?c").fit("ac") && !Openings::of(r"^ab?c").fit("bc"));
        assert!(Openings::of("x").fit("anything"));
    }
}
