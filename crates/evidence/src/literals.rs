//! Which literals of a set stand on a line, upper or lower case.
//!
//! Nearly every line of a log has none. So every literal is represented by the four bytes of it
//! that are rarest in logs, and a line is asked at each of its bytes whether one of those begins
//! there: one look into a table of bits that stays next to the processor, with no state that the
//! next look would wait for. Only where the table says yes are literals compared. Unlike an
//! automaton the table is built in microseconds.

use std::collections::{HashMap, HashSet};

/// Bytes that represent a literal.
const WINDOW: usize = 4;
/// Words of 64 bits in the table: one bit for each of the 2^16 hashes.
const WORDS: usize = 1 << 10;
/// What stands before a literal that may not begin within a word.
pub(super) const AT_A_WORD: char = '^';
/// What stands before one that begins within a word only.
pub(super) const WITHIN_A_WORD: char = '~';
/// What stands after one that ends its line.
pub(super) const AT_THE_END: char = '$';
/// Clears the difference between upper and lower case, and other differences with it.
const FOLDED: u32 = 0x2020_2020;

/// A literal at the place where it is looked for.
struct Anchor {
    /// Its rarest bytes, folded.
    window: u32,
    /// Where they are in it.
    offset: usize,
    literal: usize,
}

/// The set.
pub(super) struct Literals {
    table: Box<[u64; WORDS]>,
    /// By the word of the table that their bits are in.
    anchors: Vec<Anchor>,
    /// Where those of each word begin, and the end.
    begins: Vec<u16>,
    /// Those of three bytes, with zero for the fourth of the window.
    short: Vec<Anchor>,
    literals: Vec<Literal>,
}

struct Literal {
    text: Vec<u8>,
    /// Whether it begins within a word; `None` where it may begin anywhere.
    within: Option<bool>,
    at_the_end: bool,
}

impl Literals {
    /// A set of literals of at least three bytes; each is known by its place among them.
    pub(super) fn new<'l>(literals: impl IntoIterator<Item = &'l str>) -> Self {
        let mut set = Self {
            table: Box::new([0; WORDS]),
            anchors: Vec::new(),
            begins: Vec::new(),
            short: Vec::new(),
            literals: Vec::new(),
        };
        let common: HashSet<&[u8]> = COMMON.split('|').map(str::as_bytes).collect();
        let mut used: HashMap<u32, u32> = HashMap::new();
        for text in literals {
            let (text, within) = match text.strip_prefix(AT_A_WORD) {
                Some(rest) => (rest, Some(false)),
                None => text.strip_prefix(WITHIN_A_WORD).map_or((text, None), |t| (t, Some(true))),
            };
            let (text, at_the_end) = match text.strip_suffix(AT_THE_END) {
                Some(rest) => (rest, true),
                None => (text, false),
            };
            let text = text.to_ascii_lowercase().into_bytes();
            // Of its windows the rarest, and one that few others have.
            let cost = |window: &[u8]| {
                let shared = folded(window).and_then(|w| used.get(&w)).copied().unwrap_or(0);
                let common = if common.contains(window) { 60 } else { commonness(window) };
                common + 2 * shared
            };
            let best = text.windows(WINDOW).enumerate().min_by_key(|(_, window)| cost(window));
            if let Some(window) = best.and_then(|(_, window)| folded(window)) {
                *used.entry(window).or_default() += 1;
            }
            set.add(&text, best.map_or(0, |(at, _)| at));
            set.literals.push(Literal { text, within, at_the_end });
        }
        let word = |anchor: &Anchor| slot(anchor.window).0;
        set.anchors.sort_by_key(word);
        let begins = (0..=WORDS).map(|at| set.anchors.partition_point(|a| word(a) < at));
        set.begins = begins.map(|at| u16::try_from(at).unwrap_or(u16::MAX)).collect();
        set
    }

    fn add(&mut self, text: &[u8], offset: usize) {
        let literal = self.literals.len();
        if let Some(window) = text.get(offset..offset + WINDOW).and_then(folded) {
            self.mark(window);
            self.anchors.push(Anchor { window, offset, literal });
        } else if let [a, b, c] = *text {
            for d in 0..=u8::MAX {
                self.mark(u32::from_le_bytes([a, b, c, d]) | FOLDED);
            }
            let window = short(u32::from_le_bytes([a, b, c, 0]) | FOLDED);
            self.short.push(Anchor { window, offset: 0, literal });
        }
    }

    fn mark(&mut self, window: u32) {
        let (word, bit) = slot(window);
        if let Some(word) = self.table.get_mut(word) {
            *word |= bit;
        }
    }

    /// Calls `found` with the number of every literal on the line, perhaps more than once.
    pub(super) fn find(&self, line: &[u8], mut found: impl FnMut(usize)) {
        let table: &[u64; WORDS] = &self.table;
        let marked = |window: u32| {
            let (word, bit) = slot(window);
            table.get(word).is_some_and(|word| word & bit != 0)
        };
        for (at, window) in line.windows(WINDOW).enumerate() {
            let [a, b, c, d] = *window else { continue };
            let window = u32::from_le_bytes([a, b, c, d]) | FOLDED;
            if marked(window) {
                self.compare(line, at, window, &mut found);
            }
        }
        if let [.., a, b, c] = *line {
            let window = u32::from_le_bytes([a, b, c, 0]) | FOLDED;
            if marked(window) {
                self.compare(line, line.len() - 3, window, &mut found);
            }
        }
    }

    fn compare(&self, line: &[u8], at: usize, window: u32, found: &mut impl FnMut(usize)) {
        let (word, _) = slot(window);
        let begin = |word: usize| self.begins.get(word).map_or(0, |at| usize::from(*at));
        for anchor in self.anchors.get(begin(word)..begin(word + 1)).unwrap_or_default() {
            if anchor.window == window && self.stands(anchor, line, at) {
                found(anchor.literal);
            }
        }
        for anchor in &self.short {
            if anchor.window == short(window) && self.stands(anchor, line, at) {
                found(anchor.literal);
            }
        }
    }

    /// Whether the literal is there whose window stands at `at`.
    fn stands(&self, anchor: &Anchor, line: &[u8], at: usize) -> bool {
        let Some(literal) = self.literals.get(anchor.literal) else { return false };
        let Some(start) = at.checked_sub(anchor.offset) else { return false };
        let end = start + literal.text.len();
        let within = || {
            let before = start.checked_sub(1).and_then(|at| line.get(at));
            before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        let rest = || line.get(end..).unwrap_or_default();
        line.get(start..end).is_some_and(|there| there.eq_ignore_ascii_case(&literal.text))
            && literal.within.is_none_or(|wanted| wanted == within())
            && !(literal.at_the_end && rest().iter().any(|byte| !byte.is_ascii_whitespace()))
    }
}

/// A window as it is looked for.
fn folded(window: &[u8]) -> Option<u32> {
    let bytes: [u8; WINDOW] = window.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) | FOLDED)
}

/// The window without its fourth byte.
fn short(window: u32) -> u32 {
    window & 0x00ff_ffff
}

/// Where a window's bit is.
fn slot(window: u32) -> (usize, u64) {
    let hash = window.wrapping_mul(0x9e37_79b1) >> 16;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// What logs are full of.
const COMMON: &str = "    |----|====|buil|ild |comp|ompi|pile|test|java|.jav|work|info|down|load|http|ion |ing |tion|ting| in | com| fro|from|file|comm|mand|pack|ckag|vers|ersi|rsio|sion|time|modu|warn|rnin|src/|main|true|name|star|runn|unni|nnin|chec|heck|ject|proj|roje|targ|rget|node|able|ble |symb|ymbo|defa|ault|reso|sour|ourc|over|fail|erro|rror";

/// How common bytes are in logs, in no particular unit.
fn commonness(window: &[u8]) -> u32 {
    let of = |byte: &u8| match *byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 6,
        b' ' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 5,
        b'.' | b'/' | b'-' | b':' | b'0'..=b'9' => 4,
        b'h' | b'f' | b'g' | b'y' | b'b' | b'w' | b'v' | b'k' => 3,
        _ => 1,
    };
    window.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: [&str; 10] = [
        "error",
        "error: ",
        "***",
        "^e: ",
        "\u{2716} ",
        "Failed!",
        "lnk",
        "abcabcabd",
        "es:$",
        "~Bug",
    ];

    fn found(line: &str) -> Vec<usize> {
        let mut out = Vec::new();
        Literals::new(SET).find(line.as_bytes(), |literal| out.push(literal));
        out.sort_unstable();
        out.dedup();
        out
    }

    #[test]
    fn literals_are_found_wherever_they_stand() {
        for (literal, text) in SET.iter().enumerate() {
            let alone = text.trim_end_matches(AT_THE_END);
            let most = if alone == *text { 6 } else { 1 };
            let text = alone.trim_start_matches([AT_A_WORD, WITHIN_A_WORD]);
            let (least, filler) =
                if alone.starts_with(WITHIN_A_WORD) { (1, "x") } else { (0, "~") };
            for before in least..12 {
                for after in 0..most {
                    let line = format!("{}{text}{}", filler.repeat(before), "~".repeat(after));
                    assert!(found(&line).contains(&literal), "{line}");
                    assert!(found(&line.to_uppercase()).contains(&literal), "{line}");
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for (line, expect) in [
            ("", &[][..]),
            ("er", &[]),
            ("erro", &[]),
            ("the: end", &[]),
            ("E: end", &[3]),
            ("** e:", &[]),
            ("an Error: e: ***", &[0, 1, 2, 3]),
            ("failed", &[]),
            ("abcabcabcabd", &[7]),
            ("failures:  ", &[8]),
            ("failures: 0", &[]),
            ("a bug, a MyBug", &[9]),
            ("a bug", &[]),
        ] {
            assert_eq!(found(line), expect, "{line}");
        }
    }
}
