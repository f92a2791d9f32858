//! A text without what stands between the letters of a value and is none of it, with the way back
//! to the text as it was.

use std::ops::Range;

/// A text and, for each of its bytes, the place in the original.
pub(super) struct Plain {
    pub text: Vec<u8>,
    places: Vec<usize>,
}

impl Plain {
    /// Spans of the plain text as spans of the original.
    pub(super) fn place(&self, spans: &[Range<usize>]) -> Vec<Range<usize>> {
        spans
            .iter()
            .filter_map(|span| {
                let first = self.places.get(span.start)?;
                let last = self.places.get(span.end.checked_sub(1)?)?;
                Some(*first..last + 1)
            })
            .collect()
    }
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t')) || byte == 0x7f
}

/// Without escape sequences and control bytes; `None` when there are none.
pub(super) fn without_controls(text: &[u8]) -> Option<Plain> {
    text.iter().any(|byte| is_control(*byte)).then(|| {
        let mut plain = Plain { text: Vec::new(), places: Vec::new() };
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            if *byte == 0x1b {
                at += sequence(text.get(at..).unwrap_or_default());
            } else {
                if !is_control(*byte) {
                    plain.text.push(*byte);
                    plain.places.push(at);
                }
                at += 1;
            }
        }
        plain
    })
}

/// Bytes of the escape sequence that a text begins with (ECMA-48): a control sequence ends with a
/// letter, a string with BEL or ST.
fn sequence(text: &[u8]) -> usize {
    match text.get(1) {
        Some(b'[') => {
            let body = text.iter().skip(2).take_while(|b| (0x20..0x40).contains(*b)).count();
            (2 + body + 1).min(text.len())
        }
        Some(b']' | b'P' | b'^' | b'_' | b'X') => {
            let end = text.iter().enumerate().skip(2).find(|(at, byte)| {
                **byte == 0x07 || (**byte == 0x1b && text.get(at + 1) == Some(&b'\\'))
            });
            match end {
                Some((at, 0x07)) => at + 1,
                Some((at, _)) => at + 2,
                None => 2,
            }
        }
        Some(_) => 2,
        None => 1,
    }
}

/// Without line breaks, the backslash before one and the blanks after it; `None` when there is no
/// line break within.
pub(super) fn without_breaks(text: &[u8]) -> Option<Plain> {
    let inner = text.trim_ascii();
    memchr::memchr(b'\n', inner)?;
    let mut plain = Plain { text: Vec::new(), places: Vec::new() };
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let breaks = [&b"\\\r\n"[..], b"\\\n", b"\r\n", b"\n"]
            .into_iter()
            .find(|start| rest.starts_with(start));
        if let Some(found) = breaks {
            at += found.len();
            let blanks = text.get(at..).unwrap_or_default();
            at += blanks.iter().take_while(|b| matches!(**b, b' ' | b'\t')).count();
            continue;
        }
        plain.text.push(*byte);
        plain.places.push(at);
        at += 1;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_goes() {
        for (text, expect) in [
            (&b"a\x1b[31mb\x1b[0mc"[..], &b"abc"[..]),
            (b"a\x1b]8;;http://x\x07b", b"ab"),
            (b"a\x1b]0;t\x1b\\b", b"ab"),
            (b"a\x08b\x00c", b"abc"),
            (b"a\x1b", b"a"),
        ] {
            assert_eq!(without_controls(text).map(|plain| plain.text).as_deref(), Some(expect));
        }
        assert!(without_controls(b"a\tb\r\n").is_none());
    }

    #[test]
    fn spans_lead_back() {
        let plain = without_controls(b"x\x1b[1mab\x1b[0mc").expect("controls");
        let (seen, told) = (1..4, 5..12);
        assert_eq!(plain.place(std::slice::from_ref(&seen)), std::slice::from_ref(&told));
    }
}
