//! Fuzzy matching: the places at which a hunk fits, with ever more tolerance.
//!
//! Each tolerance is tried over the whole file. The first at which a hunk matches anywhere decides:
//! one match is the place, several are an ambiguity that no greater tolerance could resolve.

use std::collections::HashSet;

use super::edit::{HunkLine, LineOp};
use super::indentation::Shift;
use super::line_index::{Form, LineIndex, TooRepetitive, Wanted};
use super::lines::{indent, is_blank};
use super::normalize::normalize;

/// What may differ between a hunk and the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// The lines stand there as they are in this form: exactly, or but for white space at
    /// their ends, or but for typographic characters.
    Plain(Form),
    /// As above, and the space that a diff puts before kept lines is missing or doubled.
    ContextSpace(Form),
    /// The indentation is off by the same amount throughout.
    Shifted,
    /// White space within the lines differs.
    Collapsed,
    /// Blank lines are missing, or there are too many.
    BlankLines(Form),
    /// Kept lines lie before the file's beginning or beyond its end.
    BeyondTheFile,
}

impl Tolerance {
    /// What differed, in words; `None` when nothing was.
    pub(super) const fn describe(self) -> Option<&'static str> {
        match self {
            Self::Plain(Form::Exact) => None,
            Self::Plain(Form::Trailing) => Some("white space at line ends"),
            Self::Plain(Form::Normalized | Form::Body | Form::Collapsed) => {
                Some("typographic characters")
            }
            Self::ContextSpace(_) => Some("the space before kept lines"),
            Self::Shifted => Some("indentation"),
            Self::Collapsed => Some("white space within lines"),
            Self::BlankLines(_) => Some("blank lines"),
            Self::BeyondTheFile => Some("kept lines beyond the end of the file"),
        }
    }
}

/// What one line of a hunk does to the file; file lines count from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEdit {
    /// The file's line stays; `None` for a kept line that the file does not have.
    Keep(Option<usize>),
    /// The file's line goes.
    Remove(usize),
    /// A line comes before this line of the file.
    Insert(usize),
}

/// A place where a hunk fits, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// First line, and the line after the last.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) tolerance: Tolerance,
    pub(super) shift: Shift,
    /// One per line of the hunk; `None` when the lines are there, but blank lines leave it open
    /// where the added ones belong.
    pub(super) steps: Option<Vec<LineEdit>>,
}

/// Kept lines that may lie beyond the file, on either side.
const MOST_BEYOND: usize = 3;

/// All places on the first tolerance that has any. The last `layout` lines, all blank, may be of the
/// answer's layout rather than of the hunk: the places with and without them are all as good.
pub(super) fn find_matches(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    layout: usize,
) -> Result<Vec<Match>, TooRepetitive> {
    let core = &lines[..lines.len().saturating_sub(layout)];
    let mut found = unbroken(file, core)?;
    if found.is_empty() {
        found = broken(file, core)?;
    }
    if layout > 0 {
        for place in &mut found {
            if let Some(steps) = &mut place.steps {
                steps.resize(lines.len(), LineEdit::Keep(None));
            }
        }
        let known: Vec<usize> = found.iter().map(|place| place.start).collect();
        let more = unbroken(file, lines)?;
        found.extend(more.into_iter().filter(|more| !known.contains(&more.start)));
    }
    Ok(found)
}

/// The place of a hunk whose old lines are all blank: only where its number says, exactly.
pub(super) fn blank_match(file: &LineIndex<'_>, lines: &[HunkLine], start: usize) -> Option<Match> {
    let mut old = lines.iter().filter(|line| line.is_old()).enumerate();
    let there = old.all(|(at, line)| start + at < file.len() && file.text(start + at) == line.text);
    there.then(|| straight(lines, start, 0, 0, Tolerance::Plain(Form::Exact), Shift::None))
}

/// Places where the old lines stand one after the other.
fn unbroken(file: &LineIndex<'_>, lines: &[HunkLine]) -> Result<Vec<Match>, TooRepetitive> {
    let old: Vec<&HunkLine> = lines.iter().filter(|line| line.is_old()).collect();
    if old.iter().all(|line| is_blank(&line.text)) {
        return Ok(Vec::new());
    }
    let spaced = old.iter().any(|line| line.after_space);
    for form in [Form::Exact, Form::Trailing, Form::Normalized] {
        for (tolerance, loose) in
            [(Tolerance::Plain(form), false), (Tolerance::ContextSpace(form), true)]
        {
            if loose && !spaced {
                continue;
            }
            let wanted: Vec<Wanted> = old.iter().map(|line| texts(line, loose)).collect();
            let starts = file.find(form, &wanted)?;
            if !starts.is_empty() {
                let place = |start| straight(lines, start, 0, 0, tolerance, Shift::None);
                let mut found: Vec<Match> = starts.into_iter().map(place).collect();
                if loose {
                    // A space more or less is a shift as well: a place that another shift
                    // leads to is as good.
                    let more = shifted(file, lines, &old, Tolerance::Shifted, Form::Body)?;
                    let known: Vec<usize> = found.iter().map(|place| place.start).collect();
                    found.extend(more.into_iter().filter(|more| !known.contains(&more.start)));
                }
                return Ok(found);
            }
        }
    }
    // From here on, lines of nothing but braces fit too many places to be told apart.
    if !old.iter().any(|line| has_word(&line.text)) {
        return Ok(Vec::new());
    }
    // A place that only looser white space leads to is as good as one that a shift leads to.
    let mut found = shifted(file, lines, &old, Tolerance::Shifted, Form::Body)?;
    let known: Vec<usize> = found.iter().map(|place| place.start).collect();
    let more = shifted(file, lines, &old, Tolerance::Collapsed, Form::Collapsed)?;
    found.extend(more.into_iter().filter(|more| !known.contains(&more.start)));
    Ok(found)
}

/// Places where blank lines or the file's edges come between the old lines.
fn broken(file: &LineIndex<'_>, lines: &[HunkLine]) -> Result<Vec<Match>, TooRepetitive> {
    let old: Vec<&HunkLine> = lines.iter().filter(|line| line.is_old()).collect();
    if !old.iter().any(|line| has_word(&line.text)) {
        return Ok(Vec::new());
    }
    let mut open = Vec::new();
    for form in [Form::Normalized, Form::Collapsed] {
        let found = over_blank_lines(file, lines, &old, form)?;
        if found.len() > 1 || found.iter().any(|place| place.steps.is_some()) {
            return Ok(found);
        }
        open.extend(found);
    }
    let beyond = beyond_the_file(file, lines, &old)?;
    Ok(if beyond.is_empty() { open.into_iter().take(1).collect() } else { beyond })
}

/// The places where the lines stand with an indentation that can be told from theirs.
fn shifted(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    old: &[&HunkLine],
    tolerance: Tolerance,
    form: Form,
) -> Result<Vec<Match>, TooRepetitive> {
    let wanted: Vec<Wanted> = old.iter().map(|line| texts(line, false)).collect();
    let starts = file.find(form, &wanted)?;
    let place = |start: usize| {
        let shift = shift(tolerance, file, old, |at| Some(start + at))?;
        Some(straight(lines, start, 0, 0, tolerance, shift))
    };
    Ok(starts.into_iter().filter_map(place).collect())
}

pub(super) fn has_word(text: &[u8]) -> bool {
    text.iter().any(|b| b.is_ascii_alphanumeric() || !b.is_ascii())
}

/// The texts that a line may have in the file.
fn texts(line: &HunkLine, loose: bool) -> Wanted {
    let mut texts = vec![line.text.clone()];
    if loose && line.op == LineOp::Keep && line.after_space && !is_blank(&line.text) {
        texts.push([b" ", line.text.as_slice()].concat());
        if let Some(rest) = line.text.strip_prefix(b" ") {
            texts.push(rest.to_vec());
        }
    }
    texts
}

/// The shift that is true of all lines that are not blank.
fn shift(
    tolerance: Tolerance,
    file: &LineIndex<'_>,
    old: &[&HunkLine],
    file_line: impl Fn(usize) -> Option<usize>,
) -> Option<Shift> {
    let normalized: Vec<(Vec<u8>, Vec<u8>)> = old
        .iter()
        .enumerate()
        .filter(|(_, line)| !is_blank(&line.text))
        .filter_map(|(at, line)| {
            Some((normalize(&line.text), normalize(file.text(file_line(at)?))))
        })
        .collect();
    let pairs: Vec<(&[u8], &[u8])> =
        normalized.iter().map(|(answer, file)| (indent(answer), indent(file))).collect();
    match tolerance {
        Tolerance::Shifted => Shift::uniform(&pairs),
        Tolerance::Plain(_)
        | Tolerance::ContextSpace(_)
        | Tolerance::Collapsed
        | Tolerance::BlankLines(_)
        | Tolerance::BeyondTheFile => Shift::uniform(&pairs).or_else(|| Shift::by_example(&pairs)),
    }
}

/// The place where all old lines stand one after the other, but for some at either edge.
fn straight(
    lines: &[HunkLine],
    start: usize,
    lead: usize,
    trail: usize,
    tolerance: Tolerance,
    shift: Shift,
) -> Match {
    let old = lines.iter().filter(|line| line.is_old()).count();
    let (mut seen, mut at) = (0, start);
    let mut steps = Vec::with_capacity(lines.len());
    for line in lines {
        if line.op == LineOp::Add {
            steps.push(LineEdit::Insert(at));
            continue;
        }
        let there = seen >= lead && seen + trail < old;
        seen += 1;
        steps.push(match (line.op, there) {
            (LineOp::Remove, _) => LineEdit::Remove(at),
            (LineOp::Keep | LineOp::Add, true) => LineEdit::Keep(Some(at)),
            (LineOp::Keep | LineOp::Add, false) => LineEdit::Keep(None),
        });
        at += usize::from(there);
    }
    Match { start, end: at, tolerance, shift, steps: Some(steps) }
}

/// Places among the lines that are not blank.
fn over_blank_lines(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    old: &[&HunkLine],
    form: Form,
) -> Result<Vec<Match>, TooRepetitive> {
    let solid: Vec<&HunkLine> = old.iter().copied().filter(|line| !is_blank(&line.text)).collect();
    let wanted: Vec<Wanted> = solid.iter().map(|line| texts(line, false)).collect();
    let mut found = Vec::new();
    for start in file.find_solid(form, &wanted)? {
        let file_line = |at: usize| file.solid().get(start + at).map(|line| *line as usize);
        let shift = if form == Form::Normalized {
            Some(Shift::None)
        } else {
            shift(Tolerance::BlankLines(form), file, &solid, file_line)
        };
        let (Some(shift), Some(first)) = (shift, file_line(0)) else { continue };
        let last = file_line(solid.len() - 1).unwrap_or(first);
        found.push(Match {
            start: first,
            end: last + 1,
            tolerance: Tolerance::BlankLines(form),
            shift,
            steps: steps_over_blanks(file, lines, first, file_line),
        });
    }
    Ok(found)
}

/// The steps of a hunk whose blank lines are not those of the file. `None` when a blank line
/// would have to go that is not there, or when it is open on which side of a blank line the
/// added lines belong.
fn steps_over_blanks(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    first: usize,
    file_line: impl Fn(usize) -> Option<usize>,
) -> Option<Vec<LineEdit>> {
    let is_solid = |line: &HunkLine| line.is_old() && !is_blank(&line.text);
    let blank_at = |line: usize| line < file.len() && is_blank(file.text(line));
    let mut steps = Vec::with_capacity(lines.len());
    let mut solid = 0;
    let mut rest = lines;
    loop {
        let length = rest.iter().position(is_solid).unwrap_or(rest.len());
        let (gap, after) = rest.split_at(length);
        // The file's blank lines of this gap.
        let (from, to) = match solid {
            0 => {
                let mut from = first;
                while from > 0 && blank_at(from - 1) {
                    from -= 1;
                }
                (from, first)
            }
            _ => {
                let from = file_line(solid - 1)? + 1;
                let mut to = from;
                while blank_at(to) {
                    to += 1;
                }
                (from, to)
            }
        };
        let follows_removal =
            solid > 0 && lines.get(lines.len() - rest.len() - 1)?.op == LineOp::Remove;
        let precedes_removal = after.first().is_some_and(|line| line.op == LineOp::Remove);
        let outer = (solid == 0).then_some(true).or((after.is_empty()).then_some(false));
        gap_steps(gap, from, to, follows_removal, precedes_removal, outer, &mut steps)?;
        let Some(line) = after.first() else { break };
        let at = file_line(solid)?;
        steps.push(if line.op == LineOp::Remove {
            LineEdit::Remove(at)
        } else {
            LineEdit::Keep(Some(at))
        });
        solid += 1;
        rest = &after[1..];
    }
    // Where a blank line too many meets an added one in a block, either may be the one that was
    // meant; a diff tells them apart.
    let is_block = !lines.iter().any(|line| line.after_space);
    let too_many = is_block && steps.contains(&LineEdit::Keep(None));
    let adds_blank = lines.iter().any(|line| line.op == LineOp::Add && is_blank(&line.text));
    // And a line that is kept as well as added or removed may have its place on either side of
    // a blank line.
    let kept: HashSet<&[u8]> = lines
        .iter()
        .filter(|line| line.op == LineOp::Keep && !is_blank(&line.text))
        .map(|line| line.text.as_slice())
        .collect();
    let slides = is_block
        && lines.iter().any(|line| line.op != LineOp::Keep && kept.contains(line.text.as_slice()));
    (!slides && (!too_many || !adds_blank)).then_some(steps)
}

/// The steps of the blank and added lines between two lines that are not blank; the file's
/// blank lines there are `from..to`. `outer` tells the gap before the first such line (`true`)
/// and after the last (`false`), where the file may have more than the hunk shows.
fn gap_steps(
    gap: &[HunkLine],
    from: usize,
    to: usize,
    follows_removal: bool,
    precedes_removal: bool,
    outer: Option<bool>,
    steps: &mut Vec<LineEdit>,
) -> Option<()> {
    let there = to - from;
    let old = gap.iter().filter(|line| line.is_old()).count();
    let adds = gap.iter().any(|line| line.op == LineOp::Add);
    let removes = gap.iter().any(|line| line.op == LineOp::Remove);
    if old == there || (outer.is_some() && old < there && removes) {
        // At the outer edges the lines next to the text are meant.
        let mut at = if outer == Some(true) { to - old } else { from };
        for line in gap {
            steps.push(match line.op {
                LineOp::Add => LineEdit::Insert(at),
                LineOp::Keep => LineEdit::Keep(Some(at)),
                LineOp::Remove => LineEdit::Remove(at),
            });
            at += usize::from(line.is_old());
        }
        return Some(());
    }
    if removes {
        return None;
    }
    let at = if !adds || there == 0 {
        from
    } else {
        let first = gap.iter().position(|line| line.op == LineOp::Add)?;
        let last = gap.iter().rposition(|line| line.op == LineOp::Add)?;
        let before = gap[..first].iter().filter(|line| line.is_old()).count();
        let behind = gap[last..].iter().filter(|line| line.is_old()).count();
        if before + behind != old {
            return None;
        }
        if before == 0 && follows_removal {
            from
        } else if behind == 0 && precedes_removal {
            to
        } else if old > there && before == 0 {
            from
        } else if old > there && behind == 0 {
            to
        } else {
            return None;
        }
    };
    for line in gap {
        steps.push(if line.op == LineOp::Add {
            LineEdit::Insert(at)
        } else {
            LineEdit::Keep(None)
        });
    }
    Some(())
}

/// Places at the file's edges, with kept lines that would lie outside it. Such a line must not
/// be anywhere else in the file: then the hunk would belong there.
fn beyond_the_file(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    old: &[&HunkLine],
) -> Result<Vec<Match>, TooRepetitive> {
    let droppable = |line: &&&HunkLine| {
        line.op == LineOp::Keep
            && (is_blank(&line.text) || file.lines_with(Form::Body, &line.text).is_empty())
    };
    let lead = old.iter().take_while(droppable).count().min(MOST_BEYOND);
    let trail = old.iter().rev().take_while(droppable).count().min(MOST_BEYOND);
    let wanted: Vec<Wanted> = old.iter().map(|line| texts(line, false)).collect();
    for dropped in 1..=lead + trail {
        let mut found = Vec::new();
        for front in dropped.saturating_sub(trail)..=dropped.min(lead) {
            let back = dropped - front;
            let Some(inner) = old.get(front..old.len().saturating_sub(back)) else { continue };
            if inner.len() < dropped || !inner.iter().any(|line| has_word(&line.text)) {
                continue;
            }
            for start in file.find(Form::Normalized, &wanted[front..old.len() - back])? {
                let at_start = front == 0 || start == 0;
                let at_end = back == 0 || start + inner.len() == file.len();
                if at_start && at_end {
                    found.push(straight(
                        lines,
                        start,
                        front,
                        back,
                        Tolerance::BeyondTheFile,
                        Shift::None,
                    ));
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(text: &str) -> Vec<HunkLine> {
        text.split('\n')
            .map(|line| {
                let op = match line.as_bytes().first() {
                    Some(b'+') => LineOp::Add,
                    Some(b'-') => LineOp::Remove,
                    _ => LineOp::Keep,
                };
                let mut line = HunkLine::new(op, line.get(1..).unwrap_or("").as_bytes());
                line.after_space = op == LineOp::Keep;
                line
            })
            .collect()
    }

    fn check(file: &str, lines: &str, expect: &[(usize, Tolerance)]) {
        let line_index = LineIndex::new(file.as_bytes());
        let found: Vec<(usize, Tolerance)> = find_matches(&line_index, &hunk(lines), 0)
            .expect("not too repetitive")
            .into_iter()
            .filter(|place| place.steps.is_some())
            .map(|place| (place.start, place.tolerance))
            .collect();
        assert_eq!(found, expect, "{file:?} {lines:?}");
    }

    #[test]
    fn the_first_rung_with_a_place_decides() {
        check("a\nb\nc\n", " a\n-b\n c", &[(0, Tolerance::Plain(Form::Exact))]);
        check("a \nb\na\nb\n", " a\n-b", &[(2, Tolerance::Plain(Form::Exact))]);
        check("a\t\nb\n", " a\n-b", &[(0, Tolerance::Plain(Form::Trailing))]);
        check("it\u{2019}s\nb\n", " it's\n-b", &[(0, Tolerance::Plain(Form::Normalized))]);
        check(" a\nb\n", " a\n-b", &[(0, Tolerance::ContextSpace(Form::Exact))]);
        check("    a\n      b\n", "-a\n   b", &[(0, Tolerance::Shifted)]);
        check("a  = 1\n", "-a = 1", &[(0, Tolerance::Collapsed)]);
        check("a\n\n\nb\nc\n", " a\n \n b\n-c", &[(0, Tolerance::BlankLines(Form::Normalized))]);
        check("x\na\nb\n", " a\n-b\n z", &[(1, Tolerance::BeyondTheFile)]);
    }

    #[test]
    fn what_no_rung_takes() {
        check("fn bar() {\n    return 1;\n}\n", " fn foo() {\n-    return 1;\n }", &[]);
        check("    }\n", "-}", &[]);
        check("if a:\n    b()\nc()\n", " if a:\n     b()\n-    c()", &[]);
        check("a\n\nb\n", " a\n+x\n b", &[]);
        check("a\nb\n", " \n+x", &[]);
    }
}
