//! Logs in UTF-16, as PowerShell's `>` and `Tee-Object` write them, made UTF-8.

use std::borrow::Cow;

/// Bytes looked at to tell the encoding of a log that has no byte order mark.
const LOOKED_AT: usize = 64;

/// The encoding of a log, as far as it is known.
#[derive(Debug, Default)]
enum Encoding {
    /// These first bytes do not tell yet.
    #[default]
    Unknown,
    /// Bytes that are handed on as they are.
    Bytes,
    /// UTF-16, and which byte of a unit comes first.
    Utf16 { big: bool },
}

/// Hands a log on in UTF-8, whatever it comes in.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    encoding: Encoding,
    /// The first bytes, or half a unit.
    held: Vec<u8>,
    /// The first half of a pair of surrogates.
    high: Option<u16>,
}

impl Decoder {
    /// The next bytes, as far as they can be told.
    pub(super) fn push<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if let Encoding::Unknown = self.encoding {
            // A log in UTF-16 begins with a mark, or has every second byte zero.
            if self.held.is_empty() && bytes.len() >= LOOKED_AT {
                self.decide(bytes);
            } else {
                self.held.extend_from_slice(bytes);
                if self.held.len() < LOOKED_AT {
                    return Cow::Borrowed(&[]);
                }
                let held = std::mem::take(&mut self.held);
                self.decide(&held);
                return Cow::Owned(self.decode(&held).into_owned());
            }
        }
        self.decode(bytes)
    }

    /// What was held when the log ends.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        if let Encoding::Unknown = self.encoding {
            self.decide(&held);
            let mut out = self.decode(&held).into_owned();
            out.extend(self.rest());
            return out;
        }
        self.held = held;
        self.rest()
    }

    fn rest(&self) -> Vec<u8> {
        let cut = self.high.is_some() || !self.held.is_empty();
        if cut { "\u{fffd}".into() } else { Vec::new() }
    }

    fn decide(&mut self, first: &[u8]) {
        let zeros = |odd: usize| {
            let bytes = first.iter().skip(odd).step_by(2).take(LOOKED_AT / 2);
            bytes.filter(|byte| **byte == 0).count()
        };
        let units = (first.len() / 2).min(LOOKED_AT / 2);
        self.encoding = match first {
            [0xff, 0xfe, ..] => Encoding::Utf16 { big: false },
            [0xfe, 0xff, ..] => Encoding::Utf16 { big: true },
            _ if units >= 4 && zeros(0) == 0 && zeros(1) * 10 >= units * 9 => {
                Encoding::Utf16 { big: false }
            }
            _ if units >= 4 && zeros(1) == 0 && zeros(0) * 10 >= units * 9 => {
                Encoding::Utf16 { big: true }
            }
            _ => Encoding::Bytes,
        };
    }

    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let Encoding::Utf16 { big } = self.encoding else { return Cow::Borrowed(bytes) };
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut units = held.chunks_exact(2);
        let mut out = String::with_capacity(held.len() / 2);
        for unit in units.by_ref() {
            let [a, b] = *unit else { continue };
            let unit = if big { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
            self.unit(unit, &mut out);
        }
        self.held = units.remainder().to_vec();
        Cow::Owned(out.into_bytes())
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(char)) = char::decode_utf16([high, unit]).next() {
                out.push(char);
                return;
            }
            out.push(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            // Marks are not text; some tools put one before every piece they append.
            0xfeff => {}
            unit => out.push(char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], piece: usize) -> String {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            out.extend_from_slice(&decoder.push(piece));
        }
        out.extend(decoder.finish());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn utf16_becomes_utf8_wherever_it_is_cut() {
        let long = "caf\u{e9} \u{1f6db} fails\r\n".repeat(20);
        for text in ["", "x", "a.c:1: error: no\n", "caf\u{e9}\r\n\u{1f6db} \u{2716}\n", &long] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let marked = [&[0xff, 0xfe][..], &little].concat();
            let marked_big = [&[0xfe, 0xff][..], &big].concat();
            for piece in [1, 2, 3, 7, 63, 64, 1000] {
                assert_eq!(decoded(&marked, piece), text);
                assert_eq!(decoded(&marked_big, piece), text);
                assert_eq!(decoded(text.as_bytes(), piece), text);
            }
        }
        let unmarked: Vec<u8> =
            "a.c:1: error: no\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&unmarked, 5), "a.c:1: error: no\n");
    }

    #[test]
    fn what_is_cut_or_broken_is_replaced() {
        let lone: Vec<u8> =
            [0xfeff, 0xd83d, 0x41].iter().flat_map(|unit: &u16| unit.to_le_bytes()).collect();
        assert_eq!(decoded(&lone, 1), "\u{fffd}A");
        assert_eq!(decoded(&[0xff, 0xfe, 0x41, 0, 0x42], 2), "A\u{fffd}");
        // A program's zeros are not UTF-16.
        assert_eq!(decoded(b"a\0b\0\0\0\0\0\0\0", 3), "a\0b\0\0\0\0\0\0\0");
    }
}
