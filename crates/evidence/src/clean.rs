//! What a terminal would show of a line, without what a CI system put in front of it.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::expression::compile;
use super::patterns::{PREFIXES, RESULT_COLUMNS, TABBED_PREFIX};

/// Characters of a line that are kept: many more than are ever shown, so that a secret which
/// reaches over the end of what is shown is still seen whole.
const MAX_CHARS: usize = 2000;

/// A line of the log, ready to be matched and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// 1-based.
    pub no: u64,
    /// Without escape sequences, control characters, trailing blanks and CI prefix.
    pub text: String,
}

impl Line {
    /// Cleans the raw bytes of line `no`.
    pub(super) fn new(no: u64, raw: &[u8]) -> Self {
        let mut text = without_escapes(raw);
        text.truncate(text.trim_end().len());
        let prefix = prefix_len(&text);
        if prefix > 0 {
            text.drain(..prefix);
        }
        if text.len() > MAX_CHARS {
            text = bounded(&text, MAX_CHARS);
        }
        Self { no, text }
    }

    /// Whether there is nothing on it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim_start().is_empty()
    }
}

/// At most `most` characters of `text`, an ellipsis in place of the rest.
pub(super) fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    match text.char_indices().nth(most) {
        Some((at, _)) => {
            let mut out = text.get(..at).unwrap_or_default().to_owned();
            out.push('…');
            out
        }
        None => text.to_owned(),
    }
}

/// Length of the timestamps, job names and step numbers that CI systems put before a line.
fn prefix_len(text: &str) -> usize {
    static PREFIX: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(&format!("^(?:{})", PREFIXES.join("|"))));
    static TABBED: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(&format!("^(?:{TABBED_PREFIX})")));
    let Some(prefix) = PREFIX.as_ref() else { return 0 };
    let mut at = 0;
    if memchr::memchr(b'\t', text.as_bytes()).is_some_and(|at| at > 0)
        && let Some(found) = TABBED.as_ref().and_then(|tabbed| tabbed.find(text.as_bytes()))
    {
        at = found.end();
    }
    // Two or three systems may stack: a runner's timestamp, a BuildKit step, a tool's label.
    for _ in 0..4 {
        let Some(rest) = text.as_bytes().get(at..) else { break };
        match prefix.find(rest) {
            Some(found) if found.end() > 0 && !is_column(rest, found.end()) => at += found.end(),
            _ => break,
        }
    }
    if text.is_char_boundary(at) { at } else { 0 }
}

/// Whether what follows a label is the column of a table, which the label is the first of.
fn is_column(line: &[u8], at: usize) -> bool {
    let rest = line.get(at..).unwrap_or_default();
    RESULT_COLUMNS.iter().any(|column| rest == column.as_bytes())
}

/// The text without ANSI sequences (CSI, OSC and the like) and control characters other than a
/// tab; bytes that are not UTF-8 become U+FFFD.
pub(super) fn without_escapes(raw: &[u8]) -> String {
    let plain = |b: &u8| *b == b'\t' || (0x20..0x7f).contains(b);
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    if raw.iter().all(plain) {
        out.extend_from_slice(raw);
    } else {
        strip(raw, &mut out);
    }
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// A line as people read it: without escape sequences and control characters other than a tab.
pub fn plain_text(line: &str) -> String {
    without_escapes(line.as_bytes())
}

/// Appends the bytes without escape sequences and control characters to `out`.
pub(super) fn strip(raw: &[u8], out: &mut Vec<u8>) {
    let plain = |b: &u8| *b == b'\t' || (0x20..0x7f).contains(b);
    let mut rest = raw;
    loop {
        let (run, other) = rest.split_at(rest.iter().position(|b| !plain(b)).unwrap_or(rest.len()));
        out.extend_from_slice(run);
        let Some((first, after)) = other.split_first() else { return };
        rest = match first {
            0x1b => skip_escape(after),
            // The 8-bit form of `ESC [`. As a UTF-8 continuation byte it never stands here,
            // because whole characters are taken below.
            0x9b => skip_csi(after),
            b if *b < 0x20 || *b == 0x7f => after,
            _ => {
                let (char, after) = other.split_at(char_len(other));
                match char {
                    // C1 CSI, encoded as a character.
                    [0xc2, 0x9b] => skip_csi(after),
                    [0xc2, 0x80..=0x9f] => after,
                    char => {
                        out.extend_from_slice(char);
                        after
                    }
                }
            }
        };
    }
}

/// Bytes of the valid character at the start, or 1.
fn char_len(bytes: &[u8]) -> usize {
    let len = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 1,
    };
    match bytes.get(..len) {
        Some(char) if std::str::from_utf8(char).is_ok() => len,
        _ => 1,
    }
}

/// What follows the escape sequence whose `ESC` was just taken.
fn skip_escape(rest: &[u8]) -> &[u8] {
    match rest.split_first() {
        Some((b'[', after)) => skip_csi(after),
        // OSC, DCS, SOS, PM, APC: text up to BEL or ST. One that never ends takes nothing.
        Some((b']' | b'P' | b'X' | b'^' | b'_', after)) => {
            match after.iter().position(|b| *b == 0x07 || *b == 0x1b) {
                Some(at) => {
                    let st = after.get(at) == Some(&0x1b) && after.get(at + 1) == Some(&b'\\');
                    after.get(at + 1 + usize::from(st)..).unwrap_or_default()
                }
                None => after,
            }
        }
        // Two-byte designations such as `ESC ( B`.
        Some((b'(' | b')' | b'#' | b'%' | b' ', after)) => after.get(1..).unwrap_or_default(),
        Some((0x30..=0x7e, after)) => after,
        _ => rest,
    }
}

/// What follows a CSI: parameters, intermediates, one final byte.
fn skip_csi(rest: &[u8]) -> &[u8] {
    let at = rest.iter().position(|b| !(0x20..=0x3f).contains(b)).unwrap_or(rest.len());
    match rest.get(at) {
        Some(0x40..=0x7e) => rest.get(at + 1..).unwrap_or_default(),
        _ => rest.get(at..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_terminal_would() {
        for (raw, expect) in [
            (&b"plain\ttext"[..], "plain\ttext"),
            (b"\x1b[1;31mERROR\x1b[m done", "ERROR done"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
            (b"\x1b]never ends", "never ends"),
            (b"\x1b(Btext\x1b[K\x1b[0K", "text"),
            (b"\x9b31mred", "red"),
            ("\u{9b}31mred".as_bytes(), "red"),
            ("caf\u{e9} \u{1f6db} \u{203a}".as_bytes(), "caf\u{e9} \u{1f6db} \u{203a}"),
            // `\u{6db}` ends in the byte 0x9b, which is no CSI there.
            ("\u{6db}31m".as_bytes(), "\u{6db}31m"),
            (b"bad \xff byte\x00\x08", "bad \u{fffd} byte"),
            (b"cut \x1b[", "cut "),
            (b"\x1b", ""),
        ] {
            assert_eq!(without_escapes(raw), expect, "{raw:?}");
        }
    }

    #[test]
    fn ci_prefixes_are_taken_off() {
        for (raw, expect) in [
            ("2022-05-30T09:11:02.8577255Z     at x", "    at x"),
            ("build\tRun tests\t2021-12-01T13:01:04.3807878Z FAILED", "FAILED"),
            ("#12 3.456 error: no", "error: no"),
            ("#12 ERROR: process", "ERROR: process"),
            ("[2024-05-01T10:00:00.000Z] make: ***", "make: ***"),
            ("10:11:12  error", "error"),
            ("2024-05-22T12:43:46.962646Z 00O error", "error"),
            ("web-1  | Error: x", "Error: x"),
            ("web:build: src/a.ts(1,2): error TS1: x", "src/a.ts(1,2): error TS1: x"),
            ("[ERROR] stays", "[ERROR] stays"),
            ("src/a.c:12:5: error: stays", "src/a.c:12:5: error: stays"),
            ("#include stays", "#include stays"),
            ("  12 | stays", "  12 | stays"),
            ("42 |         let x = 1;", "42 |         let x = 1;"),
            ("15 | |         1", "15 | |         1"),
        ] {
            assert_eq!(Line::new(1, raw.as_bytes()).text, expect, "{raw}");
        }
    }
}
