//! Known values in a text, also where a wrap, a continued line or a quotation stands between
//! their bytes. Longer ones are also found in parts, with a gutter or the columns of a dump between
//! them.
//!
//! A bitmap over the first four bytes of every spelling passes nearly all of a text by; what is
//! left is looked up in sorted lists.

use std::ops::Range;

use super::encoded;
use super::prefilter::{PROBE, Table};

/// Bytes that the bitmap looks at.
const START: usize = 4;
const BITS: usize = 1 << 16;
/// Shorter spellings are not looked for in pieces.
const SHORTEST_BROKEN: usize = 8;
/// Bytes in a row that stand between two pieces at the most.
const WIDEST_BREAK: usize = 200;
/// Shorter spellings are not looked for with anything between their parts.
const SHORTEST_PARTED: usize = 12;
/// Bytes of a part, but for the last one.
const PART: usize = 4;
/// Parts of one value.
const MOST_PARTS: usize = 64;
/// Spellings that begin alike and are tried at one place.
const MOST_SPELLINGS: usize = 32;
/// Bytes of a line that are no part: a gutter, the offset of a dump, its column of letters.
const WIDEST_GUTTER: usize = 120;
/// Bytes at the end of a text that may hold the parts of a value that goes on.
const OPEN: usize = 4096;

/// The spellings of all known values.
pub(super) struct ValueIndex {
    /// For the pass over a text that finds the literals of shapes and the beginnings of values.
    table: Table,
    starts: Vec<u64>,
    /// What the bitmap stands for, sorted.
    exact_starts: Vec<[u8; START]>,
    /// Sorted.
    spellings: Vec<Vec<u8>>,
    /// The spellings without the bytes that may stand in a break, sorted.
    squeezed: Vec<Vec<u8>>,
    /// Values whose first bytes stand before a break: those bytes, and the rest; sorted by the
    /// rest.
    rests: Vec<(Vec<u8>, Vec<u8>)>,
    longest: usize,
}

impl ValueIndex {
    /// Of sorted spellings, and of values as they are, with the table of the other literals.
    pub(super) fn new(spellings: Vec<Vec<u8>>, values: &[Vec<u8>], mut table: Table) -> Self {
        let squeeze = |text: &[u8]| -> Vec<u8> {
            text.iter().copied().filter(|byte| !is_break(*byte)).collect()
        };
        let mut squeezed: Vec<Vec<u8>> = spellings
            .iter()
            .map(|spelling| squeeze(spelling))
            .filter(|spelling| spelling.len() >= SHORTEST_BROKEN)
            .collect();
        squeezed.sort_unstable();
        squeezed.dedup();
        let mut rests: Vec<(Vec<u8>, Vec<u8>)> = values
            .iter()
            .map(|value| squeeze(value))
            .filter(|value| value.len() >= SHORTEST_BROKEN)
            .flat_map(|value| {
                (1..START).map(move |at| (value[..at].to_vec(), value[at..].to_vec()))
            })
            .collect();
        rests.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        let mut starts = vec![0u64; BITS / 64];
        let rest = rests.iter().map(|(_, rest)| rest);
        let mut exact_starts: Vec<[u8; START]> = spellings
            .iter()
            .chain(&squeezed)
            .chain(rest)
            .filter_map(|spelling| spelling.first_chunk().copied())
            .collect();
        exact_starts.sort_unstable();
        exact_starts.dedup();
        for start in &exact_starts {
            let bit = bit(start);
            if let Some(word) = starts.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
            if let Some(probe) = start.first_chunk::<PROBE>() {
                table.add_value(*probe);
            }
        }
        let longest = spellings.iter().map(Vec::len).max().unwrap_or_default();
        Self { table, starts, exact_starts, spellings, squeezed, rests, longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    pub(super) fn spellings(&self) -> &[Vec<u8>] {
        &self.spellings
    }

    /// Bytes of the longest spelling.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The table of all literals and of the beginnings of these values.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Where values stand, in order, apart from each other. `places` are those that the table
    /// found, in order.
    pub(super) fn find(&self, text: &[u8], places: &[usize]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        for place in places {
            let start = text.get(*place..).and_then(|rest| rest.first_chunk::<START>());
            if *place < at || !start.is_some_and(|start| self.is_start(start)) {
                continue;
            }
            if let Some(span) = self.at(text, *place) {
                at = span.end.max(*place + 1);
                found.push(span);
            }
        }
        found
    }

    /// Where values stand in one piece.
    pub(super) fn find_exact(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(next) = self.next_start(text, at).filter(|_| !self.is_empty()) {
            let rest = text.get(next..).unwrap_or_default();
            let length = longest_prefix(&self.spellings, rest);
            if let Some(length) = length {
                found.push(next..next + length);
            }
            at = next + length.unwrap_or(1).max(1);
        }
        found
    }

    /// Whether the text may end within a value, which goes on in what follows.
    pub(super) fn may_go_on(&self, text: &[u8]) -> bool {
        self.begins_at(text).is_some()
    }

    /// Where the value begins that the text may end within.
    pub(super) fn begins_at(&self, text: &[u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        // A column ends with a bar, a line that is continued with a sign.
        let end = text.iter().rposition(|byte| !is_break(*byte) && !b"|=,".contains(byte))?;
        let text = text.get(..=end)?;
        let mut at = text.len().saturating_sub(2 * self.longest);
        while let Some(next) = self.next_start(text, at) {
            let (seen, _) = self.squeeze(text, next);
            let place = self.squeezed.partition_point(|spelling| *spelling <= seen);
            let all = text.get(next..).unwrap_or_default();
            let to_the_end = all.iter().filter(|byte| !is_break(**byte)).count() == seen.len();
            let longer = self.squeezed.get(place).is_some_and(|next| next.starts_with(&seen));
            if to_the_end && longer {
                return Some(next);
            }
            at = next + 1;
        }
        None
    }

    /// Where the value begins that the text holds the first parts of, with something between them,
    /// and that may go on in what follows.
    pub(super) fn parts_begin_at(&self, text: &[u8]) -> Option<usize> {
        let mut at = text.len().saturating_sub(OPEN);
        while let Some(next) = self.next_start(text, at).filter(|_| !self.is_empty()) {
            // A whole value ends: what it repeats is not the beginning of another one.
            if let Some(whole) = self.at(text, next) {
                at = whole.end.max(next + 1);
                continue;
            }
            let (squeezed, places) = self.squeeze(text, next);
            if let Parts::Open = self.parts(text, &squeezed, &places) {
                return Some(next);
            }
            at = next + 1;
        }
        None
    }

    /// A spelling in consecutive parts, with a gutter, the columns of a dump or the signs of a list
    /// between them. `squeezed` is the text from its beginning on, without breaks.
    fn parts(&self, text: &[u8], squeezed: &[u8], places: &[usize]) -> Parts {
        let Some(start) = squeezed.get(..PART) else { return Parts::None };
        let from = self.squeezed.partition_point(|spelling| spelling.as_slice() < start);
        let near =
            self.squeezed.iter().skip(from).take_while(|spelling| spelling.starts_with(start));
        let mut open = Parts::None;
        for spelling in near.take(MOST_SPELLINGS) {
            match parts_of(spelling, text, squeezed, places) {
                Parts::Whole(end) => return Parts::Whole(end),
                Parts::Open => open = Parts::Open,
                Parts::None => {}
            }
        }
        open
    }

    /// The next place where a spelling may begin.
    fn next_start(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut starts = text.get(from..)?.array_windows::<START>();
        starts.position(|start| self.is_start(start)).map(|at| from + at)
    }

    /// Whether a spelling begins with these bytes.
    fn is_start(&self, start: &[u8; START]) -> bool {
        let bit = bit(start);
        self.starts.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
            && self.exact_starts.binary_search(start).is_ok()
    }

    fn at(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let rest = text.get(at..)?;
        if let Some(length) = longest_prefix(&self.spellings, rest) {
            let tail = rest.get(length..).unwrap_or_default();
            return Some(at..at + length + encoded::tail(rest.get(..length), tail));
        }
        let (squeezed, places) = self.squeeze(text, at);
        if let Some(length) = longest_prefix(&self.squeezed, &squeezed) {
            let end = places.get(length.checked_sub(1)?)? + 1;
            let tail = text.get(end..).unwrap_or_default();
            return Some(at..end + encoded::tail(squeezed.get(..length), tail));
        }
        if let Parts::Whole(end) = self.parts(text, &squeezed, &places) {
            return Some(at..end);
        }
        let before = text.get(..at)?;
        let broken = before.last().is_some_and(|byte| is_break(*byte));
        if !broken {
            return None;
        }
        let place = self.rests.partition_point(|(_, rest)| rest.as_slice() <= squeezed.as_slice());
        let from = self.rests.partition_point(|(_, rest)| {
            rest.as_slice() < squeezed.get(..START).unwrap_or_default()
        });
        let candidates = self.rests.get(from..place)?;
        let before = before.trim_ascii_end();
        let (_, rest) = candidates.iter().rev().take(64).find(|(first, rest)| {
            squeezed.starts_with(rest) && strip_breaks(before).ends_with(first)
        })?;
        Some(at..places.get(rest.len().checked_sub(1)?)? + 1)
    }

    /// The text from a place on without the bytes of breaks, as far as the longest spelling may
    /// reach, and where each byte stands.
    fn squeeze(&self, text: &[u8], from: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut out, mut places, mut between) = (Vec::new(), Vec::new(), 0);
        for (at, byte) in text.iter().enumerate().skip(from) {
            if is_break(*byte) {
                between += 1;
                if between > WIDEST_BREAK {
                    break;
                }
                continue;
            }
            between = 0;
            out.push(*byte);
            places.push(at);
            if out.len() >= self.longest {
                break;
            }
        }
        (out, places)
    }
}

/// What is known of a value in parts.
enum Parts {
    /// There is none.
    None,
    /// It ends here.
    Whole(usize),
    /// The text ends before it does.
    Open,
}

/// Where the parts of a spelling stand, of which `squeezed` has the first.
fn parts_of(spelling: &[u8], text: &[u8], squeezed: &[u8], places: &[usize]) -> Parts {
    let first = spelling.iter().zip(squeezed).take_while(|(a, b)| a == b).count();
    if spelling.len() < SHORTEST_PARTED || !spelling.iter().any(u8::is_ascii_digit) {
        return Parts::None;
    }
    let Some(mut end) = first.checked_sub(1).and_then(|last| places.get(last)).map(|at| at + 1)
    else {
        return Parts::None;
    };
    let mut rest = spelling.get(first..).unwrap_or_default();
    // Beside the parts stands another form of the same bytes.
    let mut column = None;
    for _ in 0..MOST_PARTS {
        let after = text.get(end..).unwrap_or_default();
        let line = memchr::memchr(b'\n', after);
        let tail = after.get(..line.unwrap_or(after.len())).unwrap_or_default();
        column = column.or(line.map(|_| tail.trim_ascii().len() >= PART));
        let width = match line {
            Some(line) if line <= WIDEST_GUTTER => line + 1 + WIDEST_GUTTER,
            Some(_) | None => WIDEST_GUTTER,
        };
        let Some((to, length)) = next_part(text, end, width, rest) else {
            let ends = after.len() <= width;
            return if ends { Parts::Open } else { Parts::None };
        };
        end = to;
        rest = rest.get(length..).unwrap_or_default();
        if rest.is_empty() {
            let after = text.get(end..).unwrap_or_default();
            let line = memchr::memchr(b'\n', after).unwrap_or(after.len());
            let beside = column == Some(true) && line <= WIDEST_GUTTER;
            return Parts::Whole(if beside { end + line } else { end });
        }
    }
    Parts::None
}

/// Where the first part of `rest` ends that begins in so many bytes of a text, and its length
/// without breaks.
fn next_part(text: &[u8], from: usize, width: usize, rest: &[u8]) -> Option<(usize, usize)> {
    let first = *rest.first()?;
    let window = text.get(from..text.len().min(from + width))?;
    memchr::memchr_iter(first, window).find_map(|at| {
        let (mut length, mut end) = (0, from + at);
        for (place, byte) in text.iter().enumerate().skip(from + at).take(WIDEST_BREAK + rest.len())
        {
            if rest.get(length) == Some(byte) {
                length += 1;
                end = place + 1;
            } else if !is_break(*byte) {
                break;
            }
        }
        let is_letter = |at: Option<usize>| {
            at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric)
        };
        // One or two last letters are taken where they stand alone, or begin a word of a later line.
        let alone = || {
            length == rest.len()
                && !is_letter((from + at).checked_sub(1).filter(|before| *before >= from))
                && (!is_letter(Some(end))
                    || window.get(..at).is_some_and(|gap| gap.contains(&b'\n')))
        };
        (length >= PART || alone()).then_some((end, length))
    })
}

/// Where the last bytes of a text begin that may be a value's first ones, too few to be looked for
/// by themselves.
pub(super) fn last_first_bytes(text: &[u8]) -> usize {
    let letters = text.iter().enumerate().rev().filter(|(_, byte)| !is_break(**byte));
    letters.take(START - 1).last().map_or(0, |(at, _)| at)
}

fn strip_breaks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_break(*byte)).map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

/// What may stand between two pieces of a value: a wrap, a continued line, a quotation's end and
/// beginning, and the sign that joins two of them.
fn is_break(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\' | b'+')
}

fn bit(start: &[u8; START]) -> usize {
    let hash = u32::from_le_bytes(*start).wrapping_mul(0x9e37_79b1) >> 16;
    usize::try_from(hash).unwrap_or_default()
}

/// The length of the longest of these sorted texts that `text` begins with.
fn longest_prefix(sorted: &[Vec<u8>], text: &[u8]) -> Option<usize> {
    let mut text = text;
    loop {
        let place = sorted.partition_point(|entry| entry.as_slice() <= text);
        let nearest = sorted.get(place.checked_sub(1)?)?;
        let common = nearest.iter().zip(text).take_while(|(a, b)| a == b).count();
        if common == nearest.len() {
            return Some(common);
        }
        // A shorter one that both begin with comes before the nearest.
        text = text.get(..common).filter(|text| !text.is_empty())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(values: &[&str]) -> ValueIndex {
        let mut values: Vec<Vec<u8>> = values.iter().map(|v| v.as_bytes().to_vec()).collect();
        values.sort_unstable();
        ValueIndex::new(values.clone(), &values, Table::default())
    }

    #[test]
    fn the_longest_wins_and_breaks_are_passed_over() {
        let index = index(&["secret-1", "secret-1-long", "other-value", "parted-value-4711"]);
        for (text, expect) in [
            ("a secret-1-long b", &[(2, 15)][..]),
            ("a secret-1-lon b", &[(2, 10)]),
            ("secret-1other-value", &[(0, 8), (8, 19)]),
            ("sec\nret-1", &[(4, 9)]),
            ("secr\\\n  et-1-", &[(0, 12)]),
            ("\"secret\" + \"-1\"", &[(1, 14)]),
            ("1 | parted-val\n2 | ue-4711 x", &[(4, 26)]),
            ("{'a': 'parted-', 'b': 'value-47', 'c': '11'}", &[(7, 42)]),
            ("parted-val\nand another line", &[]),
            ("nothing of it", &[]),
            ("x\necret-1", &[]),
        ] {
            let all: Vec<usize> = (0..text.len()).collect();
            let found = index.find(text.as_bytes(), &all);
            let found: Vec<_> = found.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(found, expect, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_ends_within_a_value_is_known() {
        let index = index(&["correct-horse-battery"]);
        for (text, expect) in [
            ("it is correct-h", true),
            ("it is correct-h\\", true),
            ("it is corr", true),
            ("it is correct-hxx", false),
            ("it is correct-horse-battery", false),
            ("it is co", false),
        ] {
            assert_eq!(index.may_go_on(text.as_bytes()), expect, "{text:?}");
        }
    }
}
