//! All hunks of one file fitted to it, or the reasons why they do not.

use std::collections::HashSet;

use super::adapt::{AdaptError, adapt};
use super::edit::{Hunk, HunkLine, LineOp};
use super::elision::leaves_out;
use super::fuzzy_match::{LineEdit, Match, Tolerance, blank_match, find_matches, has_word};
use super::indentation::Shift;
use super::line_index::{Form, LineIndex, TooRepetitive, Wanted};
use super::nearest;
use super::placement::{Candidate, choose, heading_contradicts};
use super::refusal::{Finding, RefusalKind};
use super::search_replace::is_divider;
use super::splice::{Overlap, Placed, splice};

/// What is known of an answer's edits so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// Edits that fit.
    pub(super) fitting: Vec<String>,
    /// Edits whose result is there already.
    pub(super) there: Vec<String>,
    pub(super) leniencies: Vec<String>,
}

fn subject(hunk: &Hunk, path: &str) -> String {
    format!(
        "hunk {} of {path} ({}, line {} of the answer)",
        hunk.number, hunk.label, hunk.answer_line
    )
}

/// The file's bytes with all hunks in their places; `None` when one has none.
pub(super) fn fit(
    path: &str,
    bytes: &[u8],
    hunks: &[&Hunk],
    report: &mut Report,
) -> Option<Vec<u8>> {
    let file = LineIndex::new(bytes);
    let before = report.findings.len() + report.there.len();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for hunk in hunks {
        if hunk.count(LineOp::Add) + hunk.count(LineOp::Remove) == 0 {
            report.leniencies.push(format!("{} changes nothing", subject(hunk, path)));
            continue;
        }
        if let Some(finding) = left_out(&file, hunk, path) {
            report.findings.push(finding);
            continue;
        }
        match places_of(&file, hunk, path) {
            Ok(places) => candidates.push(Candidate { hunk, places }),
            Err(finding) => report.findings.push(finding),
        }
    }
    let chosen = choose(&file, &candidates);
    let mut placed: Vec<Placed<'_>> = Vec::new();
    let mut late: Vec<&Hunk> = Vec::new();
    let mut fitting: Vec<(usize, String)> = Vec::new();
    for (candidate, chosen) in candidates.iter().zip(chosen) {
        let hunk = candidate.hunk;
        let what = subject(hunk, path);
        match chosen.and_then(|place| candidate.places.get(place)) {
            Some(place) => match resolve(&file, hunk, place, path) {
                Ok(Some(settled)) => {
                    fitting.push((hunk.number, format!("{what} at line {}", place.start + 1)));
                    report.leniencies.extend(forgiven(hunk, place, &what));
                    placed.push(settled);
                }
                Ok(None) => report.there.push(what),
                Err(finding) => report.findings.push(finding),
            },
            None if candidate.places.is_empty() => late.push(hunk),
            None if hunk.is_placeless() => report.findings.push(without_place(hunk, path)),
            None => {
                let spans: Vec<(usize, usize)> =
                    candidate.places.iter().map(|place| (place.start, place.end)).collect();
                let text = nearest::explain_ambiguity(&file, path, &hunk.lines, &spans);
                report.findings.push(Finding::new(RefusalKind::Ambiguous, what, text));
            }
        }
    }
    let spliced = splice(&file, &placed);
    if let Err(overlap) = &spliced {
        fitting.retain(|(number, _)| *number != overlap.first && *number != overlap.second);
    }
    report.fitting.extend(fitting.into_iter().map(|(_, text)| text));
    let mut result = match spliced {
        Ok(bytes) => bytes,
        Err(overlap) => {
            report.findings.push(overlapping(overlap, path));
            return None;
        }
    };
    for hunk in late {
        let what = subject(hunk, path);
        if is_there(&file, &hunk.lines) {
            report.there.push(what);
        } else if let Some(bytes) = after_the_others(&result, hunk, &placed) {
            report.fitting.push(format!("{what}, after the hunks before it"));
            report.leniencies.push(format!("{what} builds on the hunks before it"));
            result = bytes;
        } else {
            let text = nearest::explain(&file, path, &hunk.lines);
            report.findings.push(Finding::new(RefusalKind::NotFound, what, text));
        }
    }
    (report.findings.len() + report.there.len() == before).then_some(result)
}

/// An added line that leaves something out, and is not of the file.
fn left_out(file: &LineIndex<'_>, hunk: &Hunk, path: &str) -> Option<Finding> {
    let line = hunk.lines.iter().find(|line| {
        line.op == LineOp::Add
            && leaves_out(&line.text)
            && file.lines_with(Form::Body, &line.text).is_empty()
    })?;
    Some(elided(subject(hunk, path), &line.text))
}

pub(super) fn elided(subject: String, line: &[u8]) -> Finding {
    Finding::new(
        RefusalKind::Elision,
        subject,
        format!(
            "the line `{}` stands for lines that are left out; give every line that shall be in \
             the file",
            super::refusal::shown(line.trim_ascii())
        ),
    )
}

/// The places of a hunk.
fn places_of(file: &LineIndex<'_>, hunk: &Hunk, path: &str) -> Result<Vec<Match>, Finding> {
    let too_repetitive = |TooRepetitive| {
        Finding::new(
            RefusalKind::Ambiguous,
            subject(hunk, path),
            format!("{path} repeats itself too much to find the place; add more lines around it"),
        )
    };
    if hunk.is_placeless() {
        return Ok(vec![placeless(file, hunk, path)?]);
    }
    if has_dividers(file) && divided_otherwise(file, hunk) {
        return Err(Finding::new(
            RefusalKind::Ambiguous,
            subject(hunk, path),
            format!(
                "it has several `=======` lines, and so has {path}, so it is open which of them \
                 divides it; use marks of another length for the block, such as \
                 `<<<<<<<<< SEARCH`, `=========`, `>>>>>>>>> REPLACE`"
            ),
        ));
    }
    find_matches(file, &hunk.lines, hunk.layout).map_err(too_repetitive)
}

/// Whether another of the block's dividers leaves something to look for that is in the file.
fn divided_otherwise(file: &LineIndex<'_>, hunk: &Hunk) -> bool {
    hunk.divisions
        .iter()
        .any(|lines| find_matches(file, lines, hunk.layout).is_ok_and(|places| !places.is_empty()))
}

fn has_dividers(file: &LineIndex<'_>) -> bool {
    file.file.lines.iter().any(|line| is_divider(line.text))
}

/// The place of a hunk that has no line to find it by.
fn placeless(file: &LineIndex<'_>, hunk: &Hunk, path: &str) -> Result<Match, Finding> {
    let no_old = hunk.old_lines().next().is_none();
    if let (false, Some(numbers)) = (no_old, hunk.numbers)
        && let Some(place) = blank_match(file, &hunk.lines, numbers.old_start.saturating_sub(1))
    {
        return Ok(place);
    }
    if file.len() > 0 && !(hunk.at_end && no_old) {
        return Err(without_place(hunk, path));
    }
    let at = file.len();
    let steps = hunk
        .lines
        .iter()
        .map(
            |line| if line.op == LineOp::Add { LineEdit::Insert(at) } else { LineEdit::Keep(None) },
        )
        .collect();
    let tolerance = Tolerance::Plain(Form::Exact);
    Ok(Match { start: at, end: at, tolerance, shift: Shift::None, steps: Some(steps) })
}

fn without_place(hunk: &Hunk, path: &str) -> Finding {
    Finding::new(
        RefusalKind::Ambiguous,
        subject(hunk, path),
        "it has no line of the file that is not blank, so nothing says where it belongs; \
         line numbers alone are not trusted. Add lines above or below the change",
    )
}

/// The hunk at its place; `None` when its result is there already.
fn resolve<'h>(
    file: &LineIndex<'_>,
    hunk: &'h Hunk,
    place: &Match,
    path: &str,
) -> Result<Option<Placed<'h>>, Finding> {
    let refuse =
        |kind: RefusalKind, text: String| Err(Finding::new(kind, subject(hunk, path), text));
    let Some(steps) = &place.steps else {
        return refuse(
            RefusalKind::Ambiguous,
            format!(
                "its blank lines are not those of {path} at line {}, so it is open where the new \
                 lines belong; {}",
                place.start + 1,
                nearest::explain(file, path, &hunk.lines)
            ),
        );
    };
    if heading_contradicts(file, hunk, place) {
        return refuse(
            RefusalKind::NotFound,
            format!(
                "its lines are at line {}, but the heading after `@@` stands only below that; \
                 correct the heading, or leave it out",
                place.start + 1
            ),
        );
    }
    if marker_may_be_a_line(file, hunk) {
        return refuse(
            RefusalKind::Ambiguous,
            format!(
                "{path} itself has a line `\\ No newline at end of file`, so it is open what the \
                 answer means by it; use a search/replace block"
            ),
        );
    }
    if let Some(line) = unspaced(file, hunk, place) {
        return refuse(
            RefusalKind::Ambiguous,
            format!(
                "line {} of {path} is `{}` itself, so it is open whether the answer adds that line \
                 without the `+` or keeps it; put a space before every kept line",
                line + 1,
                super::refusal::shown(file.text(line))
            ),
        );
    }
    if repeats_an_insertion(file, hunk, place) {
        return Ok(None);
    }
    match adapt(file, &hunk.lines, steps, place, hunk.ordered_in.is_none()) {
        Ok(added) => Ok(Some(Placed { hunk, steps: steps.clone(), added })),
        Err(AdaptError::Indentation) => refuse(
            RefusalKind::NotFound,
            format!(
                "its lines are at line {}, but indented in another way, and the indentation of the \
                 new lines cannot be told from it; {}",
                place.start + 1,
                nearest::explain(file, path, &hunk.lines)
            ),
        ),
        Err(AdaptError::Repeated) => refuse(
            RefusalKind::Ambiguous,
            format!(
                "its lines are not quite those at line {}, and it repeats one of them, so it is open \
                 which of the two is kept; {}",
                place.start + 1,
                nearest::explain(file, path, &hunk.lines)
            ),
        ),
        Err(AdaptError::NotUtf8) => refuse(
            RefusalKind::NotFound,
            "it adds the character U+FFFD, which stands for bytes that are not UTF-8; leave such \
             lines as they are"
                .to_owned(),
        ),
    }
}

/// Whether what looks like git's mark of a missing newline may be a line of the file.
fn marker_may_be_a_line(file: &LineIndex<'_>, hunk: &Hunk) -> bool {
    (hunk.old_lacks_newline || hunk.new_lacks_newline)
        && !hunk.counts_hold()
        && !file.lines_with(Form::Body, b"\\ No newline at end of file").is_empty()
}

/// A line of the file near the place that is, sign and all, one of the diff's added lines: it
/// may be a kept line that lost its space. Counts that hold say that it is not.
fn unspaced(file: &LineIndex<'_>, hunk: &Hunk, place: &Match) -> Option<usize> {
    if hunk.ordered_in.is_none() || hunk.counts_hold() {
        return None;
    }
    let added: HashSet<Vec<u8>> = hunk
        .lines
        .iter()
        .filter(|line| line.op == LineOp::Add)
        .map(|line| Form::Trailing.of(&[b"+", line.text.as_slice()].concat()))
        .collect();
    let margin = hunk.lines.len() + 1;
    (place.start.saturating_sub(margin)..place.end + margin)
        .take_while(|line| *line < file.len())
        .find(|line| added.contains(&Form::Trailing.of(file.text(*line))))
}

/// Whether a hunk that only adds lines finds them added already, around its place.
fn repeats_an_insertion(file: &LineIndex<'_>, hunk: &Hunk, place: &Match) -> bool {
    if hunk.count(LineOp::Remove) > 0 || is_literal(file, hunk, place) {
        return false;
    }
    let new: Vec<Wanted> = new_side(&hunk.lines);
    file.find(Form::Normalized, &new).is_ok_and(|starts| {
        starts.iter().any(|start| *start <= place.start && start + new.len() >= place.end)
    })
}

/// Whether a hunk can only have been made from this file: its numbers are true, and it shows
/// what stands on either side of the lines it adds, or that nothing does.
fn is_literal(file: &LineIndex<'_>, hunk: &Hunk, place: &Match) -> bool {
    let numbered = hunk.numbers.is_some_and(|numbers| numbers.old_start == place.start + 1);
    let keeps = |line: Option<&HunkLine>| line.is_some_and(|line| line.op == LineOp::Keep);
    numbered
        && hunk.counts_hold()
        && place.tolerance == Tolerance::Plain(Form::Exact)
        && (place.start == 0 || keeps(hunk.lines.first()))
        && (place.end == file.len() || keeps(hunk.lines.last()))
}

fn new_side(lines: &[HunkLine]) -> Vec<Wanted> {
    lines.iter().filter(|line| line.is_new()).map(|line| vec![line.text.clone()]).collect()
}

/// Whether what a hunk would leave behind is in the file, at one place: its lines are gone and
/// the new ones have come.
fn is_there(file: &LineIndex<'_>, lines: &[HunkLine]) -> bool {
    let adds = lines.iter().any(|line| line.op == LineOp::Add && has_word(&line.text));
    let new: Vec<Wanted> = new_side(lines);
    // With no telling line added, what is kept has to be enough to know the place by.
    let telling = lines.iter().filter(|line| line.is_new() && has_word(&line.text)).count();
    (adds || telling >= 2)
        && file.find(Form::Normalized, &new).is_ok_and(|starts| starts.len() == 1)
}

/// The bytes after a search/replace block that looks for what blocks before it have made.
fn after_the_others(result: &[u8], hunk: &Hunk, placed: &[Placed<'_>]) -> Option<Vec<u8>> {
    let is_block = |hunk: &Hunk| hunk.ordered_in.is_none();
    let follows =
        placed.iter().any(|other| is_block(other.hunk) && other.hunk.number < hunk.number);
    if !is_block(hunk) || !follows {
        return None;
    }
    let file = LineIndex::new(result);
    let places = find_matches(&file, &hunk.lines, 0).ok()?;
    let [place] = places.as_slice() else { return None };
    if !matches!(place.tolerance, Tolerance::Plain(Form::Exact | Form::Trailing)) {
        return None;
    }
    let steps = place.steps.clone()?;
    let added = adapt(&file, &hunk.lines, &steps, place, true).ok()?;
    let placed = Placed { hunk, steps, added };
    splice(&file, &[placed]).ok()
}

fn overlapping(overlap: Overlap, path: &str) -> Finding {
    Finding::new(
        RefusalKind::Overlap,
        format!("hunks {} and {} of {path}", overlap.first, overlap.second),
        format!("both want line {}; make one hunk of them", overlap.line + 1),
    )
}

/// What had to be forgiven to place a hunk.
fn forgiven(hunk: &Hunk, place: &Match, what: &str) -> Vec<String> {
    let mut forgiven: Vec<String> = Vec::new();
    forgiven.extend(place.tolerance.describe().map(str::to_owned));
    forgiven.extend(place.shift.describe());
    if let Some(numbers) = hunk.numbers {
        // Git counts from the line above when there is no old line.
        let start = place.start + usize::from(numbers.old_count > 0);
        if start != numbers.old_start {
            forgiven.push(format!("line number {} for {start}", numbers.old_start));
        }
        if !hunk.counts_hold() {
            forgiven.push("wrong counts".to_owned());
        }
    }
    if forgiven.is_empty() { Vec::new() } else { vec![format!("{what}: {}", forgiven.join(", "))] }
}
