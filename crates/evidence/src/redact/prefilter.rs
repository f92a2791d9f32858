//! One pass over a text that says where a literal or a known value may stand.
//!
//! Nearly every place of a log has neither. So each place is asked with three bytes of it, upper or
//! lower case, by one look into a table of bits that stays next to the processor; only where a bit
//! is set is anything compared.

use std::ops::Range;

/// Bytes that a place is asked with.
pub(super) const PROBE: usize = 3;
/// Entries of the table.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;
/// Bits that say which places are worth a look at an entry: so many that few of them are set.
const PLACE_BITS: u32 = 17;
/// Words of 64 of them.
const WORDS: usize = 1 << (PLACE_BITS - 6);
/// Places that are asked together: eight bytes hold as many probes.
const TOGETHER: usize = 6;
/// Marks the beginning of a known value.
const VALUE: u8 = 0x80;
/// The number of a list of literals in the other bits; zero is none.
const LISTS: u8 = 0x7f;

/// Where a literal may stand.
struct Anchor {
    /// Three bytes of it, in lower case.
    probe: [u8; PROBE],
    /// Where these are in it.
    offset: usize,
    /// In lower case.
    literal: &'static str,
    owner: usize,
}

/// Literals, each with the number of what it belongs to.
pub(super) struct Literals {
    table: Table,
    /// By the number in the table, less one.
    lists: Vec<Vec<Anchor>>,
}

impl Literals {
    /// Of literals of at least three bytes, in lower case.
    pub(super) fn new(literals: impl Iterator<Item = (&'static str, usize)>) -> Self {
        let mut table = Table::default();
        let mut lists: Vec<Vec<Anchor>> = Vec::new();
        for (literal, owner) in literals {
            let probes = literal.as_bytes().array_windows::<PROBE>().enumerate();
            let Some((offset, probe)) = probes.min_by_key(|(_, probe)| commonness(probe)) else {
                continue;
            };
            let entry = table.entry(*probe);
            if *entry & LISTS == 0 {
                // A list may serve several probes, which are compared anyway.
                let number = u8::try_from(lists.len() % usize::from(LISTS)).unwrap_or(0) + 1;
                *entry |= number;
                if lists.len() < usize::from(LISTS) {
                    lists.push(Vec::new());
                }
            }
            let list = usize::from(*entry & LISTS) - 1;
            if let Some(list) = lists.get_mut(list) {
                list.push(Anchor { probe: *probe, offset, literal, owner });
            }
        }
        Self { table, lists }
    }

    /// The table for these literals alone.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Calls `literal` with the owner and the place of every literal of the text, and `value` with
    /// every place where a known value of the table may begin.
    #[inline]
    pub(super) fn scan(
        &self,
        table: &Table,
        text: &[u8],
        mut literal: impl FnMut(usize, Range<usize>),
        mut value: impl FnMut(usize),
    ) {
        table.scan(text, |at, entry| {
            if entry & VALUE != 0 {
                value(at);
            }
            if entry & LISTS != 0 {
                self.compare(text, at, entry, &mut literal);
            }
        });
    }

    #[inline(never)]
    fn compare(
        &self,
        text: &[u8],
        at: usize,
        entry: u8,
        literal: &mut impl FnMut(usize, Range<usize>),
    ) {
        let Some(probe) = text.get(at..).and_then(|rest| rest.first_chunk::<PROBE>()) else {
            return;
        };
        let probe = probe.map(|byte| byte.to_ascii_lowercase());
        let list = self.lists.get(usize::from(entry & LISTS) - 1);
        for anchor in list.into_iter().flatten().filter(|anchor| anchor.probe == probe) {
            let Some(from) = at.checked_sub(anchor.offset) else { continue };
            let place = from..from + anchor.literal.len();
            if text
                .get(place.clone())
                .is_some_and(|there| there.eq_ignore_ascii_case(anchor.literal.as_bytes()))
            {
                literal(anchor.owner, place);
            }
        }
    }
}

/// A bit and a byte for every hash of three bytes.
#[derive(Clone)]
pub(super) struct Table {
    places: Box<[u64; WORDS]>,
    entries: Box<[u8; SLOTS]>,
}

impl Default for Table {
    fn default() -> Self {
        Self { places: Box::new([0; WORDS]), entries: Box::new([0; SLOTS]) }
    }
}

impl Table {
    /// Marks the beginning of a known value.
    pub(super) fn add_value(&mut self, start: [u8; PROBE]) {
        *self.entry(start) |= VALUE;
    }

    fn entry(&mut self, probe: [u8; PROBE]) -> &mut u8 {
        let [a, b, c] = probe;
        let hash = hash(u32::from_le_bytes([a, b, c, 0]));
        self.places[word(hash)] |= 1 << bit(hash);
        &mut self.entries[slot(hash)]
    }

    /// Calls `on` with every place whose entry is not empty, and that entry.
    #[inline]
    fn scan(&self, text: &[u8], mut on: impl FnMut(usize, u8)) {
        let places: &[u64; WORDS] = &self.places;
        let marked = |hash: u32| (places[word(hash)] >> bit(hash)) & 1;
        let mut at = 0;
        while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let bytes = u64::from_le_bytes(*bytes);
            // The low half of each shift holds a probe and one byte more.
            let hashes: [u32; TOGETHER] =
                std::array::from_fn(|place| hash((bytes >> (8 * place)) as u32));
            let any = hashes.iter().fold(0, |any, hash| any | marked(*hash));
            if any != 0 {
                for (place, hash) in hashes.into_iter().enumerate() {
                    if marked(hash) != 0 {
                        on(at + place, self.entries[slot(hash)]);
                    }
                }
            }
            at += TOGETHER;
        }
        let rest = text.get(at..).unwrap_or_default();
        for (place, [a, b, c]) in rest.array_windows::<PROBE>().enumerate() {
            let hash = hash(u32::from_le_bytes([*a, *b, *c, 0]));
            if marked(hash) != 0 {
                on(at + place, self.entries[slot(hash)]);
            }
        }
    }
}

/// Of the first three bytes; the same for letters of both cases.
#[inline]
fn hash(bytes: u32) -> u32 {
    ((bytes << 8) | 0x2020_2000).wrapping_mul(0x9e37_79b1)
}

#[inline]
fn slot(hash: u32) -> usize {
    (hash >> (u32::BITS - SLOT_BITS)) as usize
}

#[inline]
fn word(hash: u32) -> usize {
    (hash >> (u32::BITS - PLACE_BITS + 6)) as usize
}

#[inline]
fn bit(hash: u32) -> u32 {
    (hash >> (u32::BITS - PLACE_BITS)) & 63
}

/// How common bytes are in logs, in no particular unit.
fn commonness(probe: &[u8; PROBE]) -> u32 {
    /// Of common words, names and endings.
    const PARTS: [&[u8; PROBE]; 30] = [
        b"ing", b"ion", b"cre", b"_te", b"tes", b"est", b"ed ", b"wor", b"log", b"cha", b"val",
        b"acc", b" pa", b" up", b"to ", b" to", b"at_", b"to_", b"dis", b"pro", b"et ", b"ook",
        b"th\"", b"&si", b"sha", b"st_", b"ve_", b"le_", b"et_", b"sec",
    ];
    if PARTS.contains(&probe) {
        return u32::MAX;
    }
    let of = |byte: &u8| match *byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 6,
        b' ' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 5,
        b'.' | b'/' | b'-' | b':' | b'=' | b'0'..=b'9' => 4,
        b'h' | b'f' | b'g' | b'y' | b'b' | b'w' | b'v' | b'k' => 3,
        _ => 1,
    };
    probe.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than there are lists.
    fn literals() -> Vec<&'static str> {
        let table = [
            "key",
            "token",
            "password",
            "://",
            "secret_id",
            "ghp_",
            "a==",
            "_live_",
            "sk-",
            "eyj",
            ".atlasv1.",
            "\"auth\"",
            "bearer ",
        ];
        let more = (0..200).map(|n| -> &'static str { Box::leak(format!("z{n:03}x").into()) });
        table.into_iter().chain(more).collect()
    }

    #[test]
    fn literals_are_found_wherever_they_stand() {
        let all = literals();
        let literals = Literals::new(all.iter().enumerate().map(|(n, literal)| (*literal, n)));
        for (number, text) in all.iter().enumerate() {
            for (before, after) in (0..12).flat_map(|before| (0..9).map(move |a| (before, a))) {
                let line = format!("{}{text}{}", "~".repeat(before), "~".repeat(after));
                for line in [line.to_uppercase(), line] {
                    let mut found = Vec::new();
                    let on = |owner, place| found.push((owner, place));
                    literals.scan(literals.table(), line.as_bytes(), on, |_| {});
                    assert!(found.contains(&(number, before..before + text.len())), "{line}");
                }
            }
        }
    }

    #[test]
    fn the_beginnings_of_values_are_found_beside_literals() {
        let literals = Literals::new([("token", 0)].into_iter());
        let mut table = literals.table().clone();
        table.add_value(*b"Hun");
        for before in 0..20 {
            let text = format!("{}hunter token Hun", " ".repeat(before));
            let (mut places, mut owners) = (Vec::new(), Vec::new());
            let literal = |owner, place: Range<usize>| owners.push((owner, place.start - before));
            literals.scan(&table, text.as_bytes(), literal, |at| places.push(at - before));
            // Upper or lower case: the value itself decides.
            assert_eq!((places, owners), (vec![0, 13], vec![(0, 7)]));
        }
    }
}
