//! Which lines of a file a change added: the lines of the resulting file aligned with the old.
//!
//! Common ends are trimmed, lines that occur once on both sides are anchors (patience diff), and
//! what lies between two anchors is compared exactly while it is small. What is too large for
//! that counts as added: a false question to a person rather than a missed line. The cost is
//! `O(n log n)` for any input.

use std::collections::HashMap;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Gaps with at most this many pairs of lines are compared exactly.
const EXACT_PAIRS: usize = 1 << 18;
/// Anchors are sought this often within one another.
const MAX_DEPTH: usize = 40;

/// A file's lines before and after, aligned.
#[derive(Debug)]
pub(super) struct Alignment {
    /// For each line of the resulting file, the line it was before.
    origin: Vec<Option<u32>>,
    before_lines: usize,
}

/// Lines that were replaced by other lines; 0-based, either range may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    /// In the file before.
    pub before: Range<usize>,
    /// In the resulting file.
    pub after: Range<usize>,
}

impl Alignment {
    /// Aligns two texts; an absent one has no lines.
    pub(super) fn new(before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        let before = split(before.unwrap_or_default());
        let after = split(after.unwrap_or_default());
        let mut ids: HashMap<&[u8], u32> = HashMap::new();
        let mut old = Vec::with_capacity(before.len());
        let mut new = Vec::with_capacity(after.len());
        for (lines, numbers) in [(&before, &mut old), (&after, &mut new)] {
            for line in lines {
                let next = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                numbers.push(*ids.entry(*line).or_insert(next));
            }
        }
        let mut origin = vec![None; new.len()];
        align(&old, &new, &mut origin);
        Self { origin, before_lines: old.len() }
    }

    /// The line of the file before that line `index` (0-based) of the resulting file is.
    pub(super) fn origin(&self, index: usize) -> Option<usize> {
        self.origin.get(index).copied().flatten().map(|line| line as usize)
    }

    /// Whether line `index` (0-based) of the resulting file is not a line of the file before.
    pub(super) fn is_added(&self, index: usize) -> bool {
        self.origin.get(index).is_none_or(Option::is_none)
    }

    /// Whether the lines `first..=last` did not stand together like this before.
    pub(super) fn is_new_span(&self, first: usize, last: usize) -> bool {
        let mut expected = None;
        for index in first..=last {
            let Some(Some(line)) = self.origin.get(index) else { return true };
            if expected.is_some_and(|wanted| wanted != *line) {
                return true;
            }
            expected = Some(line + 1);
        }
        false
    }

    /// How many lines the change adds.
    pub(super) fn added(&self) -> usize {
        self.origin.iter().filter(|line| line.is_none()).count()
    }

    /// How many lines it removes.
    pub(super) fn removed(&self) -> usize {
        self.before_lines - (self.origin.len() - self.added())
    }

    /// The replaced stretches, top down.
    pub(super) fn hunks(&self) -> Vec<Hunk> {
        let mut hunks = Vec::new();
        let (mut before, mut after) = (0, 0);
        for (index, origin) in self.origin.iter().enumerate() {
            let Some(origin) = origin else { continue };
            let origin = *origin as usize;
            if origin > before || index > after {
                hunks.push(Hunk { before: before..origin, after: after..index });
            }
            (before, after) = (origin + 1, index + 1);
        }
        if before < self.before_lines || after < self.origin.len() {
            hunks.push(Hunk { before: before..self.before_lines, after: after..self.origin.len() });
        }
        hunks
    }
}

/// Lines without their ends: white space at a line's end is not a change.
pub(super) fn split(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).collect()
}

fn align(old: &[u32], new: &[u32], origin: &mut [Option<u32>]) {
    let mut gaps = vec![(0..old.len(), 0..new.len(), 0)];
    while let Some((mut o, mut n, depth)) = gaps.pop() {
        while !o.is_empty() && !n.is_empty() && old[o.start] == new[n.start] {
            pair(origin, &mut o.start, &mut n.start);
        }
        while !o.is_empty() && !n.is_empty() && old[o.end - 1] == new[n.end - 1] {
            o.end -= 1;
            n.end -= 1;
            origin[n.end] = u32::try_from(o.end).ok();
        }
        if o.is_empty() || n.is_empty() {
            continue;
        }
        if o.len().saturating_mul(n.len()) <= EXACT_PAIRS {
            for op in capture_diff_slices(Algorithm::Myers, &old[o.clone()], &new[n.clone()]) {
                if let DiffOp::Equal { old_index, new_index, len } = op {
                    let (mut from, mut to) = (o.start + old_index, n.start + new_index);
                    for _ in 0..len {
                        pair(origin, &mut from, &mut to);
                    }
                }
            }
            continue;
        }
        if depth == MAX_DEPTH {
            continue;
        }
        let (mut o_at, mut n_at) = (o.start, n.start);
        let anchors = anchors(&old[o.clone()], &new[n.clone()]);
        if anchors.is_empty() {
            continue;
        }
        for (from, to) in anchors {
            let (from, to) = (o.start + from, n.start + to);
            gaps.push((o_at..from, n_at..to, depth + 1));
            origin[to] = u32::try_from(from).ok();
            (o_at, n_at) = (from + 1, to + 1);
        }
        gaps.push((o_at..o.end, n_at..n.end, depth + 1));
    }
}

fn pair(origin: &mut [Option<u32>], from: &mut usize, to: &mut usize) {
    origin[*to] = u32::try_from(*from).ok();
    *from += 1;
    *to += 1;
}

/// Lines that occur exactly once on each side, in an order common to both.
fn anchors(old: &[u32], new: &[u32]) -> Vec<(usize, usize)> {
    let mut seen: HashMap<u32, (usize, usize, usize, usize)> = HashMap::new();
    for (index, line) in old.iter().enumerate() {
        let entry = seen.entry(*line).or_default();
        entry.0 += 1;
        entry.1 = index;
    }
    for (index, line) in new.iter().enumerate() {
        if let Some(entry) = seen.get_mut(line) {
            entry.2 += 1;
            entry.3 = index;
        }
    }
    let mut unique: Vec<(usize, usize)> = seen
        .into_values()
        .filter(|(olds, _, news, _)| *olds == 1 && *news == 1)
        .map(|(_, from, _, to)| (from, to))
        .collect();
    unique.sort_unstable();
    longest_rising(&unique)
}

/// The longest subsequence whose second members rise: patience sorting.
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut piles: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; pairs.len()];
    for (index, (_, to)) in pairs.iter().enumerate() {
        let pile = piles.partition_point(|top| pairs[*top].1 < *to);
        if pile > 0 {
            previous[index] = Some(piles[pile - 1]);
        }
        if pile == piles.len() {
            piles.push(index);
        } else {
            piles[pile] = index;
        }
    }
    let mut chain = Vec::with_capacity(piles.len());
    let mut at = piles.last().copied();
    while let Some(index) = at {
        chain.push(pairs[index]);
        at = previous[index];
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(before: &str, after: &str) -> Vec<usize> {
        let alignment = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        (0..split(after.as_bytes()).len()).filter(|i| alignment.is_added(*i)).collect()
    }

    #[test]
    fn finds_added_lines() {
        for (before, after, expect) in [
            ("a\nb\n", "a\nb\n", vec![]),
            ("a\nb\n", "a\nx\nb\n", vec![1]),
            ("", "a\nb", vec![0, 1]),
            ("a\nb\nc\n", "a\nc\n", vec![]),
            ("a\r\nb\r\n", "a\nb\n", vec![]),
            ("a\nb\n", "b\na\n", vec![0]),
        ] {
            assert_eq!(added(before, after), expect, "{before:?} -> {after:?}");
        }
    }

    #[test]
    fn a_removed_line_makes_the_lines_around_it_a_new_span() {
        let alignment = Alignment::new(Some(b"a\nx\nb\n"), Some(b"a\nb\n"));
        assert!(!alignment.is_new_span(0, 0));
        assert!(alignment.is_new_span(0, 1));
        assert_eq!((alignment.added(), alignment.removed()), (0, 1));
    }

    #[test]
    fn hunks_cover_what_changed() {
        let alignment = Alignment::new(Some(b"a\nb\nc\n"), Some(b"a\nx\ny\nc\nz\n"));
        assert_eq!(
            alignment.hunks(),
            vec![Hunk { before: 1..2, after: 1..3 }, Hunk { before: 3..3, after: 4..5 }]
        );
    }

    #[test]
    fn large_rewrites_are_aligned() {
        let before: String = (0..60_000).map(|i| format!("line {}\n", i % 7)).collect();
        let after: String = (0..60_000).map(|i| format!("line {}\n", (i * 3) % 11)).collect();
        let alignment = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        assert!(alignment.added() > 0);

        let before: String = (0..60_000).map(|i| format!("line {i}\n")).collect();
        let after: String = (0..60_000).map(|i| format!("line {}\n", i + i / 100)).collect();
        let alignment = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        assert!(alignment.added() < 1_000, "{}", alignment.added());
    }
}
