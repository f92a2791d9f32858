//! The parts of a hunk: its `@@` line, and the lines below it.

use super::edit::{HunkLine, LineOp, Numbers};
use super::refusal::{Finding, RefusalKind};

/// What stands for the `@@` line of a hunk that has none.
pub(super) const NO_HEADER: &str = "no @@ line";

/// The numbers and the heading of an `@@` line.
pub(super) fn hunk_header(
    line: &str,
    at: usize,
) -> Result<(Option<Numbers>, Option<Vec<u8>>), Finding> {
    let line = line.trim_end();
    if line.starts_with("@@@") {
        return Err(Finding::new(
            RefusalKind::Malformed,
            format!("the hunk at line {} of the answer", at + 1),
            "a combined diff of a merge cannot be taken",
        ));
    }
    let rest = line.trim_start_matches('@');
    let (ranges, heading) = match rest.split_once("@@") {
        Some((ranges, heading)) => (ranges.trim(), heading.trim()),
        None if rest.trim_start().starts_with('-') => (rest.trim(), ""),
        None => ("", rest.trim()),
    };
    let numbers = ranges_of(ranges);
    // What stands where the numbers should be, and is none, is a heading too.
    let heading = if heading.is_empty() && numbers.is_none() { ranges } else { heading };
    let is_heading = heading.chars().any(char::is_alphanumeric) && !heading.starts_with('-');
    Ok((numbers, is_heading.then(|| heading.as_bytes().to_vec())))
}

fn ranges_of(text: &str) -> Option<Numbers> {
    let mut words = text.split_whitespace();
    let range = |word: &str, sign: char| -> Option<(usize, usize)> {
        let word = word.strip_prefix(sign)?.trim_end_matches(',');
        match word.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((word.parse().ok()?, 1)),
        }
    };
    let (old_start, old_count) = range(words.next()?, '-')?;
    let (new_start, new_count) = range(words.next()?, '+')?;
    Some(Numbers { old_start, old_count, new_start, new_count })
}

#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) lines: Vec<HunkLine>,
    pub(super) old_lacks_newline: bool,
    pub(super) new_lacks_newline: bool,
}

impl Body {
    /// How many lines at the end are blank and have no sign: the answer's layout as often as
    /// the file's.
    pub(super) fn layout(&self) -> usize {
        let layout =
            |line: &&HunkLine| line.op == LineOp::Keep && line.text.is_empty() && !line.after_space;
        self.lines.iter().rev().take_while(layout).count()
    }

    pub(super) fn push(&mut self, line: &str) {
        let bytes = line.as_bytes();
        match bytes.first() {
            Some(b'+') => self.lines.push(HunkLine::new(LineOp::Add, &bytes[1..])),
            Some(b'-') => self.lines.push(HunkLine::new(LineOp::Remove, &bytes[1..])),
            Some(b' ') => {
                let mut kept = HunkLine::new(LineOp::Keep, &bytes[1..]);
                kept.after_space = true;
                self.lines.push(kept);
            }
            Some(b'\\') if is_no_newline(line) => {
                let op = self.lines.last().map(|line| line.op);
                self.old_lacks_newline |= matches!(op, Some(LineOp::Keep | LineOp::Remove));
                self.new_lacks_newline |= matches!(op, Some(LineOp::Keep | LineOp::Add));
            }
            Some(_) | None => self.lines.push(HunkLine::new(LineOp::Keep, bytes)),
        }
    }
}

pub(super) fn is_no_newline(line: &str) -> bool {
    line.trim_start_matches('\\').trim_start().to_ascii_lowercase().starts_with("no newline")
}
