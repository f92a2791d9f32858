//! The lines of an ignore file, read as Docker reads them.

use super::clean::clean;

/// A line that says something, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// 1-based.
    pub(super) number: usize,
    /// Cleaned and without a leading slash; a leading `!` is kept.
    pub(super) pattern: Vec<u8>,
}

/// The lines that are neither empty nor comments. A comment's `#` stands in the first column: a
/// line that begins with blanks and then `#` is a pattern, to Docker and here.
pub(super) fn lines(text: &[u8]) -> Vec<Line> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = Vec::new();
    for (at, line) in text.split(|&b| b == b'\n').enumerate() {
        if line.first() == Some(&b'#') {
            continue;
        }
        let line = trim(line);
        let (mark, rest) = match line.strip_prefix(b"!") {
            Some(rest) => (&b"!"[..], trim(rest)),
            None => (&b""[..], line),
        };
        if mark.is_empty() && rest.is_empty() {
            continue;
        }
        let cleaned = if rest.is_empty() { Vec::new() } else { clean(rest) };
        let relative = match cleaned.as_slice() {
            [b'/', tail @ ..] if !tail.is_empty() => tail,
            all => all,
        };
        lines.push(Line { number: at + 1, pattern: [mark, relative].concat() });
    }
    lines
}

/// Without white space at both ends, that of Unicode where the text is Unicode.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    std::str::from_utf8(text).map_or(text.trim_ascii(), |text| text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(usize, &str)]) {
        let expect: Vec<Line> = expect
            .iter()
            .map(|(number, pattern)| Line { number: *number, pattern: pattern.as_bytes().into() })
            .collect();
        assert_eq!(lines(text.as_bytes()), expect, "{text:?}");
    }

    #[test]
    fn lines_are_trimmed_cleaned_and_made_relative() {
        check("", &[]);
        check("\n \n\t\r\n", &[]);
        check("plain\n/rooted\n/a/b/\n", &[(1, "plain"), (2, "rooted"), (3, "a/b")]);
        check("# comment\n  # pattern\n#\n", &[(2, "# pattern")]);
        check("\u{feff}# comment\nb", &[(2, "b")]);
        check("a\n\u{feff}b", &[(1, "a"), (2, "\u{feff}b")]);
        check("  a b \u{a0}\r\nlast", &[(1, "a b"), (2, "last")]);
        check("!/keep/./me\n! /and/this", &[(1, "!keep/me"), (2, "!and/this")]);
        check("!\n! \n/\n!/", &[(1, "!"), (2, "!"), (3, "/"), (4, "!/")]);
        check("./\n../up\na/../b", &[(1, "."), (2, "../up"), (3, "b")]);
    }
}
