//! A text as it is read: without what stands between the letters of a value and is none of it,
//! and with what is written in another form decoded; with the way back to the text as it was.

use std::ops::Range;

/// A text and, for each of its bytes, the bytes of the original that it stands for.
#[derive(Default)]
pub(super) struct Plain {
    pub text: Vec<u8>,
    pieces: Vec<Piece>,
}

/// A part of the plain text.
struct Piece {
    /// Where it begins in the plain text.
    at: usize,
    /// The part of the original that it stands for.
    from: usize,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Byte for byte.
    Copied,
    /// One byte for so many of the original.
    Decoded(usize),
}

impl Plain {
    /// A span of the plain text as a span of the original.
    pub(super) fn place(&self, span: &Range<usize>) -> Option<Range<usize>> {
        let first = self.original(span.start)?;
        let last = self.original(span.end.checked_sub(1)?)?;
        Some(first.start..last.end)
    }

    /// The bytes of the original that a byte of the plain text stands for.
    fn original(&self, at: usize) -> Option<Range<usize>> {
        let number = self.pieces.partition_point(|piece| piece.at <= at);
        let piece = self.pieces.get(number.checked_sub(1)?).filter(|_| at < self.text.len())?;
        Some(match piece.form {
            Form::Copied => {
                let from = piece.from + (at - piece.at);
                from..from + 1
            }
            Form::Decoded(length) => piece.from..piece.from + length,
        })
    }

    /// Appends a byte that stands for these of the original.
    pub(super) fn push(&mut self, byte: u8, from: usize, to: usize) {
        self.pieces.push(Piece {
            at: self.text.len(),
            from,
            form: Form::Decoded(to.saturating_sub(from)),
        });
        self.text.push(byte);
    }

    /// Appends bytes of the original as they are.
    pub(super) fn extend(&mut self, bytes: &[u8], from: usize) {
        let at = self.text.len();
        let goes_on =
            |piece: &Piece| piece.form == Form::Copied && piece.from + (at - piece.at) == from;
        if !bytes.is_empty() && !self.pieces.last().is_some_and(goes_on) {
            self.pieces.push(Piece { at, from, form: Form::Copied });
        }
        self.text.extend_from_slice(bytes);
    }

    /// Appends what an escape at `from` stands for.
    fn push_escape(&mut self, &Escape { code, length, is_byte }: &Escape, from: usize) {
        let mut buffer = [0; 4];
        let bytes: &[u8] = match (is_byte, u8::try_from(code), char::from_u32(code)) {
            (true, Ok(byte), _) => &[byte],
            (_, _, Some(c)) => c.encode_utf8(&mut buffer).as_bytes(),
            (_, _, None) => &[],
        };
        for byte in bytes {
            self.push(*byte, from, from + length);
        }
    }

    /// Puts a blank in the place of every `&` that was copied.
    fn blank_separators(&mut self) {
        let ends = self.pieces.iter().skip(1).map(|piece| piece.at).chain([self.text.len()]);
        let copied = self.pieces.iter().zip(ends).filter(|(piece, _)| piece.form == Form::Copied);
        for (piece, end) in copied {
            let bytes = self.text.get_mut(piece.at..end).unwrap_or_default();
            bytes.iter_mut().filter(|byte| **byte == b'&').for_each(|byte| *byte = b' ');
        }
    }
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t')) || byte == 0x7f
}

/// The next place from `from` on that a terminal shows otherwise than it is, and how many bytes
/// of it are skipped.
fn next_skipped(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at = next_suspect(text, at)?;
        let rest = text.get(at..)?;
        let skipped = match rest.first()? {
            0x1b => sequence(rest),
            byte if is_control(*byte) => 1,
            _ => invisible(rest),
        };
        if skipped > 0 {
            return Some((at, skipped));
        }
        at += 1;
    }
}

/// The next byte from `from` on that is a control or may begin a character without a width.
fn next_suspect(text: &[u8], from: usize) -> Option<usize> {
    /// Bytes that are looked at together: every line of every log comes by here.
    const TOGETHER: usize = 32;
    let is_suspect = |byte: &u8| is_control(*byte) | (*byte >= 0xc2);
    let mut at = from;
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<TOGETHER>()) {
        // Without a branch for each byte.
        if chunk.iter().fold(0, |any, byte| any | u8::from(is_suspect(byte))) != 0 {
            for (word, bytes) in chunk.as_chunks::<8>().0.iter().enumerate() {
                let mut unusual = unusual(u64::from_le_bytes(*bytes));
                while unusual != 0 {
                    let place = (unusual.trailing_zeros() / 8) as usize;
                    if bytes.get(place).is_some_and(is_suspect) {
                        return Some(at + 8 * word + place);
                    }
                    unusual &= unusual - 1;
                }
            }
        }
        at += TOGETHER;
    }
    text.get(at..)?.iter().position(is_suspect).map(|place| at + place)
}

/// The high bits of those of eight bytes that are no printable ASCII; above the first of them,
/// perhaps of others.
fn unusual(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = bytes.wrapping_sub(0x20 * EACH);
    // 0x7f becomes 0x80; a carry only comes from a byte that is unusual itself.
    let high = bytes.wrapping_add(EACH);
    (low | high | bytes) & (0x80 * EACH)
}

/// The groups of lines that a terminal may show otherwise than they are, each with the line
/// after it.
pub(super) fn lines_with_controls(text: &[u8]) -> Vec<Range<usize>> {
    groups(text, |from| next_suspect(text, from), 1)
}

/// The groups of lines with escapes that [`decoded`] decodes.
pub(super) fn lines_with_escapes(text: &[u8]) -> Vec<Range<usize>> {
    groups(text, |from| next_escape(text, from).map(|(at, _)| at), 0)
}

/// The groups of lines in which a letter was taken back.
pub(super) fn lines_with_backspaces(text: &[u8]) -> Vec<Range<usize>> {
    const BACKSPACE: u8 = 0x08;
    let next = |from: usize| memchr::memchr(BACKSPACE, text.get(from..)?).map(|at| from + at);
    groups(text, next, 0)
}

/// Groups of lines that follow each other and have what `next` finds from a place on, each with so
/// many lines after it.
fn groups(text: &[u8], next: impl Fn(usize) -> Option<usize>, after: usize) -> Vec<Range<usize>> {
    let mut found = Vec::<Range<usize>>::new();
    let line_end = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
    };
    let mut from = 0;
    while let Some(at) = next(from) {
        let before = text.get(from..at).unwrap_or_default();
        let start = from + memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        // What comes after belongs to it, up to the next line that has one itself.
        from = line_end(at);
        let end = (0..after).fold(from, |end, _| line_end(end));
        match found.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => found.push(start..end),
        }
    }
    found
}

/// The next escape from `from` on, and where it stands.
fn next_escape(text: &[u8], from: usize) -> Option<(usize, Escape)> {
    let rest = text.get(from..)?;
    memchr::memchr3_iter(b'%', b'\\', b'&', rest)
        .find_map(|at| Some((from + at, escape(rest.get(at..)?)?)))
}

/// Without escape sequences, control bytes and characters without a width; `None` when there are
/// none.
pub(super) fn without_controls(text: &[u8]) -> Option<Plain> {
    let mut next = Some(next_skipped(text, 0)?);
    let mut plain = Plain { text: Vec::with_capacity(text.len()), pieces: Vec::new() };
    let mut from = 0;
    while let Some((at, skipped)) = next {
        plain.extend(text.get(from..at).unwrap_or_default(), from);
        from = at + skipped;
        next = next_skipped(text, from);
    }
    plain.extend(text.get(from..).unwrap_or_default(), from);
    Some(plain)
}

/// As a terminal shows it, where backspaces take letters back that others are written over; `None`
/// when there are none.
pub(super) fn overwritten(text: &[u8]) -> Option<Plain> {
    memchr::memchr(0x08, text)?;
    let mut shown: Vec<usize> = Vec::with_capacity(text.len());
    let mut next = next_skipped(text, 0);
    let mut at = 0;
    while at < text.len() {
        match next {
            Some((place, skipped)) if place == at => {
                if text.get(at) == Some(&0x08) {
                    shown.pop_if(|last| text.get(*last) != Some(&b'\n'));
                }
                at += skipped;
                next = next_skipped(text, at);
            }
            Some(_) | None => {
                shown.push(at);
                at += 1;
            }
        }
    }
    let mut plain = Plain { text: Vec::with_capacity(shown.len()), pieces: Vec::new() };
    for place in shown {
        plain.extend(text.get(place..=place).unwrap_or_default(), place);
    }
    Some(plain)
}

/// Bytes of the character without a width that a text begins with: soft hyphen, zero-width
/// space and joiners, direction marks, word joiner, byte order mark, C1 controls.
fn invisible(text: &[u8]) -> usize {
    match text {
        // CSI of eight bits begins a control sequence.
        [0xc2, 0x9b, rest @ ..] => {
            let body = rest.iter().take_while(|b| (0x20..0x40).contains(*b)).count();
            (2 + body + 1).min(text.len())
        }
        [0xc2, 0x80..=0x9f | 0xad, ..] => 2,
        [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..] | [0xe2, 0x81, 0xa0..=0xaf, ..] => 3,
        [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
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
        // A character set has one more byte.
        Some(b'(' | b')' | b'*' | b'+' | b'#' | b'%') => text.len().min(3),
        Some(_) => 2,
        None => 1,
    }
}

/// With escapes of URLs, JSON, programs and HTML decoded; `None` when there are none.
pub(super) fn decoded(text: &[u8]) -> Option<Plain> {
    next_escape(text, 0)?;
    let query = memchr::memchr_iter(b'%', text).any(|at| hex_pair(text.get(at + 1..)).is_some());
    let mut plain = Plain { text: Vec::with_capacity(text.len()), pieces: Vec::new() };
    let mut from = 0;
    for at in memchr::memchr3_iter(b'%', b'\\', b'&', text) {
        if at < from {
            continue;
        }
        let Some(escape) = escape(text.get(at..).unwrap_or_default()) else { continue };
        plain.extend(text.get(from..at).unwrap_or_default(), from);
        plain.push_escape(&escape, at);
        from = at + escape.length;
    }
    plain.extend(text.get(from..).unwrap_or_default(), from);
    if query {
        // In a query it stands between two values; where it is meant, it is escaped.
        plain.blank_separators();
    }
    Some(plain)
}

/// What an escape stands for.
struct Escape {
    code: u32,
    length: usize,
    /// A byte rather than a character.
    is_byte: bool,
}

/// The escape that a text begins with.
fn escape(text: &[u8]) -> Option<Escape> {
    match text.first()? {
        b'%' => {
            let byte = hex_pair(text.get(1..))?;
            Some(Escape { code: u32::from(byte), length: 3, is_byte: true })
        }
        b'\\' => {
            let (code, length, is_byte) = program_escape(text)?;
            Some(Escape { code, length, is_byte })
        }
        b'&' => entity(text).map(|(code, length)| Escape { code, length, is_byte: false }),
        _ => None,
    }
}

/// The value of two hexadecimal digits.
pub(super) fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low, ..] = digits? else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn hex_number(digits: Option<&[u8]>) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// `\u0026`, `\x26`, `\"`, `\/`, `\\`, `\n`: the code, the length, whether it is a byte.
fn program_escape(text: &[u8]) -> Option<(u32, usize, bool)> {
    match text.get(1)? {
        b'u' if text.get(2) == Some(&b'{') => {
            let end = text.iter().take(10).position(|byte| *byte == b'}')?;
            Some((hex_number(text.get(3..end))?, end + 1, false))
        }
        b'u' => Some((hex_number(text.get(2..6))?, 6, false)),
        b'U' => Some((hex_number(text.get(2..10))?, 10, false)),
        b'x' => Some((u32::from(hex_pair(text.get(2..4))?), 4, true)),
        mark @ (b'"' | b'\'' | b'/' | b'\\' | b'$' | b'`' | b'=' | b'&') => {
            Some((u32::from(*mark), 2, false))
        }
        b'n' => Some((u32::from(b'\n'), 2, false)),
        b't' => Some((u32::from(b'\t'), 2, false)),
        _ => None,
    }
}

/// `&amp;`, `&#38;`, `&#x26;`: the character and the length.
fn entity(text: &[u8]) -> Option<(u32, usize)> {
    let end = text.iter().take(10).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let code = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => u32::from(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" => ' ',
            "sol" => '/',
            "equals" => '=',
            "plus" => '+',
            "colon" => ':',
            "commat" => '@',
            "lowbar" => '_',
            "hyphen" => '-',
            "period" => '.',
            _ => return None,
        }),
    };
    Some((code, end + 1))
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
            (b"a\x1b(Bb\x1b", b"ab"),
            ("a\u{200b}b\u{ad}c\u{9b}1md\u{feff}".as_bytes(), b"abcd"),
        ] {
            assert_eq!(without_controls(text).map(|plain| plain.text).as_deref(), Some(expect));
        }
        assert!(without_controls("a\tb\r\né".as_bytes()).is_none());
    }

    #[test]
    fn escapes_are_decoded() {
        for (text, expect) in [
            ("a%3Db%3d", "a=b="),
            (r#"{\"a\":\"\u0026\x41\/\"}"#, r#"{"a":"&A/"}"#),
            ("&quot;a&#61;b&#x3d;&amp;&lowbar;", "\"a=b=&_"),
            (r"a\u{e9}\n%C3%A9", "aé\né"),
        ] {
            let plain = decoded(text.as_bytes()).map(|plain| plain.text).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&plain), expect);
        }
        for text in ["100% of it", r"C:\dir", "a && b; c", "R&D; x", "%zz"] {
            assert!(decoded(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn spans_lead_back() {
        let plain = without_controls(b"x\x1b[1mab\x1b[0mc").expect("controls");
        assert_eq!(plain.place(&(1..4)), Some(5..12));
        let plain = decoded(b"a%41%42c").expect("escapes");
        assert_eq!(plain.place(&(1..3)), Some(1..7));
        assert_eq!(plain.place(&(9..12)), None);
    }
}
