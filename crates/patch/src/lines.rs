//! A file as lines, each with the ending it has.

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    /// The file's last line, when no newline follows it.
    Missing,
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
}

impl Ending {
    pub(super) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Missing => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// One line. A lone carriage return is an ordinary byte of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Line<'a> {
    /// Without the ending.
    pub(super) text: &'a [u8],
    pub(super) ending: Ending,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A file's bytes as lines; a byte order mark stands apart, so that the first line can be found.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    pub(super) bom: &'a [u8],
    pub(super) lines: Vec<Line<'a>>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (bom, rest) = match bytes.strip_prefix(BOM) {
            Some(rest) => (BOM, rest),
            None => (&b""[..], bytes),
        };
        Self { bom, lines: split(rest) }
    }

    /// The ending that most lines have; `\n` when no line has one, or as many have either.
    pub(super) fn prevailing(&self) -> Ending {
        let crlf = self.lines.iter().filter(|line| line.ending == Ending::CrLf).count();
        let lf = self.lines.iter().filter(|line| line.ending == Ending::Lf).count();
        if crlf > lf { Ending::CrLf } else { Ending::Lf }
    }

    /// Whether the last line lacks its newline.
    pub(super) fn lacks_final_newline(&self) -> bool {
        self.lines.last().is_some_and(|line| line.ending == Ending::Missing)
    }
}

fn split(bytes: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        let text = &bytes[start..end];
        lines.push(match text.strip_suffix(b"\r") {
            Some(text) => Line { text, ending: Ending::CrLf },
            None => Line { text, ending: Ending::Lf },
        });
        start = end + 1;
    }
    if start < bytes.len() {
        lines.push(Line { text: &bytes[start..], ending: Ending::Missing });
    }
    lines
}

/// Whether a line has nothing but white space.
pub(super) fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// The white space a line begins with; all of it when the line is blank.
pub(super) fn indent(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_a_line() {
        for input in ["", "a", "a\n", "a\r\nb", "\n\n", "\u{feff}a\nb\r\n", "a\rb\n", "\r\n", "x\r"]
        {
            let lines = Lines::new(input.as_bytes());
            let mut bytes = lines.bom.to_vec();
            for line in &lines.lines {
                bytes.extend_from_slice(line.text);
                bytes.extend_from_slice(line.ending.bytes());
            }
            assert_eq!(bytes, input.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn the_prevailing_ending_is_the_commoner() {
        for (input, expect) in [
            ("", Ending::Lf),
            ("a\r\nb\r\nc\n", Ending::CrLf),
            ("a\r\nb\n", Ending::Lf),
            ("a\r\nb", Ending::CrLf),
        ] {
            assert_eq!(Lines::new(input.as_bytes()).prevailing(), expect, "{input:?}");
        }
    }
}
