//! The choice between places of one file's hunks.
//!
//! Four things may choose, and each only when it leaves one place: as many places as there are
//! hunks with the same lines; the order of a diff's hunks; the heading after `@@`; and line
//! numbers, when all numbers of the diff are true of the file. Where two of them disagree, none
//! chooses.

use std::collections::{HashMap, HashSet};

use super::edit::{Hunk, HunkLine};
use super::fuzzy_match::{Match, Tolerance};
use super::line_index::{Form, LineIndex};
use super::lines::{indent, is_blank};

/// A hunk with the places it could have.
#[derive(Debug)]
pub(super) struct Candidate<'h> {
    pub(super) hunk: &'h Hunk,
    pub(super) places: Vec<Match>,
}

/// For each hunk the place it has; `None` where there is none, or no way to choose.
pub(super) fn choose(file: &LineIndex<'_>, candidates: &[Candidate<'_>]) -> Vec<Option<usize>> {
    let is_sure = |candidate: &Candidate<'_>| {
        candidate.places.len() == 1 && (!candidate.hunk.is_placeless() || file.len() == 0)
    };
    let mut chosen: Vec<Option<usize>> =
        candidates.iter().map(|candidate| is_sure(candidate).then_some(0)).collect();
    if chosen.iter().all(Option::is_some) {
        return chosen;
    }
    let ordered = in_order(candidates);
    let numbered = numbered(candidates);
    let twins = twins(candidates);
    for (at, candidate) in candidates.iter().enumerate() {
        if is_sure(candidate) || candidate.places.is_empty() {
            continue;
        }
        let by_number = candidate
            .hunk
            .ordered_in
            .filter(|diff| numbered.contains(diff))
            .and_then(|_| literal_number(candidate));
        let by_end = by_end(file, candidate);
        if candidate.hunk.is_placeless() {
            // Blank lines say nothing: all numbers have to be true, or it has to be the end.
            chosen[at] = by_number.or(by_end);
            continue;
        }
        chosen[at] = twins.get(&at).copied().or_else(|| {
            let literal = literal_number(candidate);
            let by_heading = by_heading(file, candidate);
            let agreed: Vec<usize> = (0..candidate.places.len())
                .filter(|place| by_number.is_none_or(|number| number == *place))
                .filter(|place| ordered[at].contains(place))
                .filter(|place| by_heading.as_ref().is_none_or(|named| named.contains(place)))
                .filter(|place| by_end.is_none_or(|end| end == *place))
                .collect();
            match agreed.as_slice() {
                // A number that is true of another place speaks against this one.
                [place] if literal.is_none_or(|literal| literal == *place) => Some(*place),
                _ => None,
            }
        });
    }
    chosen
}

/// Hunks with the same lines, as many as they have places: whichever goes where, the result is
/// the same. For each such hunk, its place.
fn twins(candidates: &[Candidate<'_>]) -> HashMap<usize, usize> {
    let mut groups: HashMap<(&[HunkLine], usize), Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let hunk = candidate.hunk;
        groups.entry((hunk.lines.as_slice(), hunk.layout)).or_default().push(at);
    }
    let mut twins = HashMap::new();
    for group in groups.into_values() {
        let Some(first) = group.first().and_then(|at| candidates.get(*at)) else { continue };
        let apart = first.places.windows(2).all(|pair| pair[0].end <= pair[1].start);
        if group.len() == first.places.len() && apart {
            twins.extend(group.into_iter().enumerate().map(|(place, at)| (at, place)));
        }
    }
    twins
}

/// The places that remain when the hunks of each diff stand in the order of the file. All of
/// them where the order is unknown or cannot be.
fn in_order(candidates: &[Candidate<'_>]) -> Vec<Vec<usize>> {
    let mut remaining: Vec<Vec<usize>> =
        candidates.iter().map(|candidate| (0..candidate.places.len()).collect()).collect();
    let mut diffs: Vec<usize> =
        candidates.iter().filter_map(|candidate| candidate.hunk.ordered_in).collect();
    diffs.dedup();
    for diff in diffs {
        let members: Vec<usize> = (0..candidates.len())
            .filter(|at| candidates[*at].hunk.ordered_in == Some(diff))
            .collect();
        let numbers: Vec<usize> = members
            .iter()
            .filter_map(|at| candidates[*at].hunk.numbers.map(|numbers| numbers.old_start))
            .collect();
        let rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let all_placed = members.iter().all(|at| !candidates[*at].places.is_empty());
        if !rising || !all_placed {
            continue;
        }
        // The earliest place each can have after those before it, the latest before those after.
        let mut earliest = Vec::with_capacity(members.len());
        let mut floor = 0;
        for at in &members {
            let Some(place) = candidates[*at].places.iter().position(|place| place.start >= floor)
            else {
                break;
            };
            floor = candidates[*at].places[place].end;
            earliest.push(place);
        }
        let mut latest = Vec::with_capacity(members.len());
        let mut ceiling = usize::MAX;
        for at in members.iter().rev() {
            let Some(place) = candidates[*at].places.iter().rposition(|place| place.end <= ceiling)
            else {
                break;
            };
            ceiling = candidates[*at].places[place].start;
            latest.push(place);
        }
        latest.reverse();
        if earliest.len() != members.len() || latest.len() != members.len() {
            continue;
        }
        for ((at, first), last) in members.iter().zip(earliest).zip(latest) {
            remaining[*at].retain(|place| (first..=last).contains(place));
        }
    }
    remaining
}

/// The diffs of which every number is true: the counts of its lines, the starts of where its
/// lines stand exactly, the new starts of what comes before.
fn numbered(candidates: &[Candidate<'_>]) -> HashSet<usize> {
    let mut shifts: HashMap<usize, Option<isize>> = HashMap::new();
    for candidate in candidates {
        let Some(diff) = candidate.hunk.ordered_in else { continue };
        let shift = shifts.entry(diff).or_insert(Some(0));
        *shift = shift.and_then(|shift| {
            let numbers = candidate.hunk.numbers?;
            let moved = numbers.new_start as isize - numbers.old_start as isize;
            let empty = numbers.old_count == 0 || numbers.new_count == 0;
            let consistent = moved == shift || (empty && (moved - shift).abs() == 1);
            literal_number(candidate)?;
            (candidate.hunk.counts_hold() && consistent)
                .then_some(shift + numbers.new_count as isize - numbers.old_count as isize)
        });
    }
    shifts.into_iter().filter_map(|(diff, shift)| shift.map(|_| diff)).collect()
}

/// The place that begins exactly at the hunk's number, with exactly its lines.
fn literal_number(candidate: &Candidate<'_>) -> Option<usize> {
    let start = candidate.hunk.numbers?.old_start.checked_sub(1)?;
    candidate
        .places
        .iter()
        .position(|place| place.start == start && place.tolerance == Tolerance::Plain(Form::Exact))
}

/// The places below the hunk's headings; `None` when they say nothing.
fn by_heading(file: &LineIndex<'_>, candidate: &Candidate<'_>) -> Option<Vec<usize>> {
    let heading = candidate.hunk.headings.last()?;
    let lines = heading_lines(file, heading);
    if lines.is_empty() {
        return None;
    }
    let below = (0..candidate.places.len())
        .filter(|place| {
            let start = candidate.places[*place].start;
            lines.iter().any(|line| *line < start && within(file, *line, start))
        })
        .collect::<Vec<_>>();
    (!below.is_empty()).then_some(below)
}

/// Where a heading stands; git cuts it off at 80 bytes.
pub(super) fn heading_lines(file: &LineIndex<'_>, heading: &[u8]) -> Vec<usize> {
    let whole: Vec<usize> =
        file.lines_with(Form::Body, heading).iter().map(|line| *line as usize).collect();
    if !whole.is_empty() || heading.len() < 40 {
        return whole;
    }
    (0..file.len())
        .filter(|line| file.text(*line).trim_ascii_start().starts_with(heading))
        .collect()
}

/// Whether nothing between the heading and the place begins again at the heading's level.
fn within(file: &LineIndex<'_>, heading: usize, start: usize) -> bool {
    let level = indent(file.text(heading)).len();
    (heading + 1..start).map(|line| file.text(line)).all(|text| {
        let first = text.get(indent(text).len()).copied().unwrap_or(b' ');
        is_blank(text)
            || indent(text).len() > level
            || !(first.is_ascii_alphanumeric() || matches!(first, b'_' | b'@' | b'#' | b'$'))
    })
}

/// The place at the end of the file, when the hunk says that it is there.
fn by_end(file: &LineIndex<'_>, candidate: &Candidate<'_>) -> Option<usize> {
    if !candidate.hunk.at_end {
        return None;
    }
    candidate.places.iter().rposition(|place| place.end == file.len())
}

/// Whether a heading speaks against a hunk's only place: it stands in the file, but nowhere
/// above the place's end.
pub(super) fn heading_contradicts(file: &LineIndex<'_>, hunk: &Hunk, place: &Match) -> bool {
    hunk.headings.last().is_some_and(|heading| {
        let lines = heading_lines(file, heading);
        !lines.is_empty() && lines.iter().all(|line| *line >= place.end)
    })
}
