//! Runs of base64 and of hexadecimal digits that are text when they are decoded.
//!
//! What they decode to is read only where it is printable: digests, certificates and programs
//! are not, and most long words are no base64 at all.

use std::ops::Range;

use super::plain::{Plain, hex_pair};

/// Shorter runs hold no secret.
const SHORTEST: usize = 20;
/// Printable bytes in a row that make what was decoded a text.
const READABLE: usize = 12;
/// Digits of a line behind which a run may go on in the next one.
const WRAPPED: usize = 32;

/// The readable texts that the runs of `text` decode to.
pub(super) fn readable(text: &[u8]) -> Vec<Plain> {
    let mut found = Vec::new();
    let mut at = 0;
    // Of the places so far apart, two next to each other are in every run that is long enough.
    while let Some(window) = text.get(at..=at + STRIDE) {
        if window.iter().fold(DIGIT, |all, byte| all & class(*byte)) == 0 {
            at += STRIDE;
            continue;
        }
        let from = text.get(..at).unwrap_or_default();
        let other = |byte: &u8| class(*byte) & DIGIT == 0;
        let from = from.iter().rposition(other).map_or(0, |before| before + 1);
        let to = text.get(at..).unwrap_or_default();
        let to = at + to.iter().position(other).unwrap_or(to.len());
        let first = text.get(from..to).unwrap_or_default();
        if !is_promising(first) {
            at = to + 1;
            continue;
        }
        let (digits, end) = run(text, from);
        at = end + 1;
        if digits.len() >= SHORTEST {
            if digits.iter().all(|(byte, _)| byte.is_ascii_hexdigit()) {
                (0..2).for_each(|phase| hex(digits.get(phase..).unwrap_or_default(), &mut found));
            }
            (0..4).for_each(|phase| base64(digits.get(phase..).unwrap_or_default(), &mut found));
        }
    }
    found.extend(spaced(text));
    found
}

/// Whether a run may decode to something readable: twelve bytes of it in a row, told by the digits
/// that decide.
fn is_promising(run: &[u8]) -> bool {
    /// Groups of base64 that hold so many bytes, and pairs of hexadecimal digits.
    const GROUPS: usize = READABLE / 3;
    const PAIRS: usize = READABLE;
    if run.len() < SHORTEST {
        return false;
    }
    let class = |at: usize| run.get(at).map_or(0, |byte| class(*byte));
    // The fourth digit does not decide, but has to be there.
    let group = |at: usize| {
        class(at) & FIRST != 0
            && class(at + 1) & SECOND != 0
            && class(at + 2) & THIRD != 0
            && at + 3 < run.len()
    };
    let pair = |at: usize| class(at) & NIBBLE != 0 && class(at + 1) & HEX != 0;
    // Of so many in a row, one has its number among those that are looked at here.
    for block in (0..run.len()).step_by(4 * GROUPS) {
        let last = block + 4 * (GROUPS - 1);
        for at in last..last + 4 {
            if group(at) && in_a_row(at, 4, GROUPS, group) {
                return true;
            }
        }
    }
    (0..run.len()).step_by(2 * PAIRS).any(|block| {
        let last = block + 2 * (PAIRS - 1);
        (last..last + 2).any(|at| pair(at) && in_a_row(at, 2, PAIRS, pair))
    })
}

/// Whether at least so many that are `step` bytes apart pass, among them the one at `at`.
fn in_a_row(at: usize, step: usize, least: usize, passes: impl Fn(usize) -> bool) -> bool {
    let before = (1..least).take_while(|n| at.checked_sub(n * step).is_some_and(&passes)).count();
    let after = (1..least - before).take_while(|n| passes(at + n * step)).count();
    before + 1 + after >= least
}

/// Bytes from one look at a text to the next.
const STRIDE: usize = SHORTEST / 2;

/// A digit of base64, of either alphabet.
const DIGIT: u8 = 1;
/// A digit that a readable group of base64 may have first, second, third.
const FIRST: u8 = 1 << 1;
const SECOND: u8 = 1 << 2;
const THIRD: u8 = 1 << 3;
/// A hexadecimal digit, and one that a readable byte may begin with.
const HEX: u8 = 1 << 4;
const NIBBLE: u8 = 1 << 5;
/// What stands between hexadecimal digits, or is one.
const SPACED: u8 = 1 << 6;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0u8;
    loop {
        let value = value(at);
        let mut class = 0;
        if is_digit(at) {
            class |= DIGIT;
            if 8 <= value && value < 32 {
                class |= FIRST;
            }
            if 2 <= value & 15 && value & 15 < 8 {
                class |= SECOND;
            }
            if value & 3 < 2 {
                class |= THIRD;
            }
        }
        if at.is_ascii_hexdigit() {
            class |= HEX;
        }
        if b'2' <= at && at <= b'7' {
            class |= NIBBLE;
        }
        if at.is_ascii_hexdigit() || matches!(at, b' ' | b':' | b',' | b'x') {
            class |= SPACED;
        }
        classes[at as usize] = class;
        if at == u8::MAX {
            break;
        }
        at += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Whether the text ends with a run that is readable and may go on in what follows.
pub(super) fn may_go_on(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let from = text.iter().rposition(|byte| !is_digit(*byte)).map_or(0, |before| before + 1);
    let last = text.get(from..).unwrap_or_default();
    last.len() >= WRAPPED
        && readable(last).iter().any(|plain| plain.text.len() * 2 >= last.len().min(WRAPPED))
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The digits of a run with their places, over the wraps within it, and where it ends.
fn run(text: &[u8], from: usize) -> (Vec<(u8, usize)>, usize) {
    let (mut digits, mut at, mut line) = (Vec::new(), from, 0);
    loop {
        while let Some(byte) = text.get(at).filter(|byte| is_digit(**byte)) {
            digits.push((*byte, at));
            at += 1;
            line += 1;
        }
        let rest = text.get(at..).unwrap_or_default();
        let wrap = rest.iter().take_while(|b| b.is_ascii_whitespace() || **b == b'\\').count();
        let breaks = rest.get(..wrap).is_some_and(|wrap| wrap.contains(&b'\n'));
        if line < WRAPPED || !breaks || !rest.get(wrap).is_some_and(|byte| is_digit(*byte)) {
            return (digits, at);
        }
        at += wrap;
        line = 0;
    }
}

fn is_readable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) || matches!(byte, b'\n' | b'\r' | b'\t')
}

/// Keeps what is readable of decoded bytes.
fn keep(bytes: impl Iterator<Item = (u8, Range<usize>)>, found: &mut Vec<Plain>) {
    let mut plain = Plain::default();
    for (byte, place) in bytes {
        if is_readable(byte) || byte >= 0xc2 && plain.text.len() >= READABLE {
            plain.push(byte, place.start, place.end);
            continue;
        }
        if plain.text.len() >= READABLE {
            found.push(std::mem::take(&mut plain));
        } else if !plain.text.is_empty() {
            plain = Plain::default();
        }
    }
    if plain.text.len() >= READABLE {
        found.push(plain);
    }
}

fn hex(digits: &[(u8, usize)], found: &mut Vec<Plain>) {
    let bytes = digits.chunks_exact(2).filter_map(|pair| {
        let [(high, from), (low, to)] = pair else { return None };
        Some((hex_pair(Some(&[*high, *low]))?, *from..to + 1))
    });
    keep(bytes, found);
}

fn base64(digits: &[(u8, usize)], found: &mut Vec<Plain>) {
    let bytes = digits.chunks(4).flat_map(|group| {
        let mut bits = 0u32;
        for (digit, _) in group {
            bits = bits << 6 | u32::from(value(*digit));
        }
        bits <<= 6 * (4 - group.len());
        let place = |at: usize| group.get(at).map_or(0, |(_, place)| *place);
        (0..group.len() * 6 / 8).map(move |at| {
            let byte = u8::try_from(bits >> (16 - 8 * at) & 0xff).unwrap_or_default();
            (byte, place(at)..place(at + 1) + 1)
        })
    });
    keep(bytes, found);
}

const fn value(digit: u8) -> u8 {
    match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    }
}

/// Bytes in hexadecimal with something between them: `67 68 70`, `67:68:70`, `0x67, 0x68`,
/// `6768 7074` as a dump has them.
fn spaced(text: &[u8]) -> Vec<Plain> {
    /// What every such run has in its middle.
    const PROBE: usize = 8;
    let may_be = |byte: &u8| class(*byte) & SPACED != 0;
    let mut found = Vec::new();
    let mut at = READABLE;
    while let Some(probe) = text.get(at..at + PROBE) {
        let mixed = || probe.iter().any(|byte| b" :,".contains(byte));
        // Without a branch for each byte.
        if probe.iter().fold(SPACED, |all, byte| all & class(*byte)) == 0 || !mixed() {
            at += READABLE;
            continue;
        }
        let before = text.get(..at).unwrap_or_default();
        let from = before.iter().rposition(|byte| !may_be(byte)).map_or(0, |before| before + 1);
        let to = text.get(at..).unwrap_or_default();
        let to = at + to.iter().position(|byte| !may_be(byte)).unwrap_or(to.len());
        let run = text.get(from..to).unwrap_or_default();
        at = to + READABLE;
        if longest_readable(run) < READABLE {
            continue;
        }
        let pairs = pairs(run).map(|(place, pair)| {
            let start = from + place;
            (hex_pair(Some(pair)).unwrap_or_default(), start..start + 2)
        });
        keep(pairs, &mut found);
    }
    found
}

/// The pairs of hexadecimal digits in a row of words, with their places. A word with an odd number
/// of digits does not shift those after it.
fn pairs(run: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    let words = run.split(|byte| b" :,".contains(byte)).map(move |word| {
        let place = next;
        next += word.len() + 1;
        (place, word)
    });
    words.flat_map(|(place, word)| {
        let digits = word.strip_prefix(b"0x").unwrap_or(word);
        let start = place + word.len() - digits.len();
        let digits = if digits.len().is_multiple_of(2) { digits } else { &[] };
        let pairs = digits.chunks_exact(2).enumerate();
        let pairs = pairs.filter(|(_, pair)| pair.iter().all(u8::is_ascii_hexdigit));
        pairs.map(move |(number, pair)| (start + 2 * number, pair))
    })
}

/// How many of [`pairs`] in a row stand for readable bytes, at the most, or more.
fn longest_readable(run: &[u8]) -> usize {
    let readable = |[high, low]: &[u8; 2]| {
        let white = *high == b'0' && matches!(low, b'9' | b'a' | b'd' | b'A' | b'D');
        class(*high) & NIBBLE != 0 || white
    };
    let (mut longest, mut now) = (0, 0);
    let mut rest = run;
    loop {
        let end = memchr::memchr3(b' ', b':', b',', rest).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let digits = word.strip_prefix(b"0x").unwrap_or(word);
        let pairs = if digits.len().is_multiple_of(2) { digits.as_chunks::<2>().0 } else { &[] };
        // Of so many in a row within a word, one is among those that are looked at here: nearly no
        // digest gets further.
        let any = || pairs.iter().skip(READABLE - 1).step_by(READABLE).any(readable);
        if pairs.len() > READABLE && !any() {
            longest = longest.max(now + pairs.iter().take_while(|pair| readable(pair)).count());
            now = pairs.iter().rev().take_while(|pair| readable(pair)).count();
        } else {
            for pair in pairs {
                let [high, low] = pair;
                if class(*high) & class(*low) & HEX == 0 {
                    // No word of a dump: left to the pairs.
                    return READABLE;
                }
                now = if readable(pair) { now + 1 } else { 0 };
                longest = longest.max(now);
            }
        }
        match after.split_first() {
            Some((_, next)) => rest = next,
            None => return longest.max(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let found = readable(text.as_bytes()).into_iter();
        found.map(|plain| String::from_utf8_lossy(&plain.text).into_owned()).collect()
    }

    #[test]
    fn texts_are_read_and_digests_are_not() {
        let wrapped = "cGFzc3dvcmQ9Y29ycmVjdC1ob3JzZS1i\n  YXR0ZXJ5LXN0YXBsZQ==";
        for (text, expect) in [
            ("x cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjk= y", "password=hunter2hunter9"),
            ("/var/cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjk=", "password=hunter2hunter9"),
            ("70617373776f72643d68756e746572", "password=hunter"),
            ("a70617373776f72643d68756e746572", "password=hunter"),
            ("70 61 73 73 77 6f 72 64 3d 68 75 6e", "password=hun"),
            (
                "0x70, 0x61, 0x73, 0x73, 0x77, 0x6f, 0x72, 0x64, 0x3d, 0x68, 0x75, 0x6e",
                "password=hun",
            ),
            ("7061 7373 776f 7264 3d68 756e", "password=hun"),
            (wrapped, "password=correct-horse-battery-staple"),
        ] {
            assert!(
                read(text).iter().any(|found| found.contains(expect)),
                "{text}: {:?}",
                read(text)
            );
        }
        for text in [
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "commit 3f2a1bc94d5e6f708192a3b4c5d6e7f801234567",
            "src/main/java/org/example/service/OrderServiceImplementation",
            "2026-11-30 08:41:56 and 10:20:30",
        ] {
            assert_eq!(read(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_place_leads_back() {
        let text = b"x cGFzc3dvcmQ9aHVudGVyMmh1bnRlcjk=";
        let plain = readable(text).pop().expect("a text");
        let span = plain.place(&(9..23)).expect("a place");
        assert_eq!(&text[span], b"aHVudGVyMmh1bnRlcjk");
    }
}
