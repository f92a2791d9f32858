//! The `*** Begin Patch` envelope.
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/a.rs
//! @@ fn main() {
//!      kept
//! -    gone
//! +    come
//! *** End Patch
//! ```

use greenloop_model::FileMode;

use super::boundary::{Directive, directive, left_behind};
use super::collector::Collector;
use super::edit::{Action, FileEdit, Hunk, NewContent};
use super::fence::Fence;
use super::hunk_body::{Body, NO_HEADER, hunk_header};
use super::refusal::{Finding, RefusalKind};
use super::written_path::WrittenPath;

/// Reads the envelope that begins at `start`; returns the line after it.
pub(super) fn read<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    fence: Option<&Fence<'_>>,
) -> Result<usize, Finding> {
    let mut at = start;
    while let Some(line) = edits.line(at) {
        let next = match directive(line) {
            Some(Directive::Begin) if at == start => at + 1,
            Some(Directive::End) => {
                at += 1;
                break;
            }
            Some(Directive::Update(path)) => update(edits, at, path, fence)?,
            Some(Directive::Add(path)) => add(edits, at, path, fence)?,
            Some(Directive::Delete(path)) => {
                edits.push(FileEdit {
                    path: WrittenPath::alone(path),
                    action: Action::Delete { content: None, unconditional: true },
                    answer_line: at + 1,
                });
                at + 1
            }
            Some(Directive::Begin | Directive::MoveTo(_) | Directive::EndOfFile) => {
                return Err(malformed(at, format!("`{}` does not belong here", line.trim())));
            }
            None if line.trim().is_empty() => at + 1,
            None => break,
        };
        at = next;
    }
    if let Some(line) = left_behind(edits.lines, at) {
        return Err(malformed(
            start,
            format!(
                "it is unclear where it ends: line {} may be of it or not; end it with \
                 `*** End Patch`, and put a space before every kept line",
                line + 1
            ),
        ));
    }
    edits.take(start, at);
    Ok(at)
}

fn malformed(at: usize, text: impl Into<String>) -> Finding {
    Finding::new(
        RefusalKind::Malformed,
        format!("the patch envelope at line {} of the answer", at + 1),
        text,
    )
}

/// The end of a file's part: the next directive, the end of the fence, or, outside a fence, the
/// first paragraph that is prose.
fn part_end(edits: &Collector<'_>, start: usize, fence: Option<&Fence<'_>>) -> usize {
    let goes_on = goes_on(edits, start);
    let mut at = start;
    while let Some(line) = edits.line(at) {
        let ends = match directive(line) {
            Some(Directive::EndOfFile) | None => false,
            Some(_) => true,
        };
        // A bare fence before the envelope's last line is a line of a Markdown file.
        let closed = fence.is_some_and(|fence| fence.is_closed_by(line)) && !goes_on;
        let prose = fence.is_none()
            && line.trim().is_empty()
            && edits.line(at + 1).is_none_or(|next| {
                !next.trim().is_empty()
                    && !next.starts_with(['+', '-', ' ', '@', '*', '\t'])
                    && !goes_on
            });
        if ends || closed || prose {
            break;
        }
        at += 1;
    }
    at
}

/// Whether the envelope's last line is still to come.
fn goes_on(edits: &Collector<'_>, at: usize) -> bool {
    let next = edits.lines.iter().skip(at).find_map(|line| {
        directive(line).filter(|next| matches!(next, Directive::Begin | Directive::End))
    });
    next == Some(Directive::End)
}

fn update<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    path: &str,
    fence: Option<&Fence<'_>>,
) -> Result<usize, Finding> {
    let mut at = start + 1;
    let mut move_to = None;
    if let Some(Directive::MoveTo(path)) = edits.line(at).and_then(directive) {
        move_to = Some(WrittenPath::alone(path));
        at += 1;
    }
    let end = part_end(edits, at, fence);
    let diff = edits.next_diff();
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut headings = Vec::new();
    let mut label = NO_HEADER.to_owned();
    let mut numbers = None;
    while at < end {
        let Some(line) = edits.line(at) else { break };
        if line.starts_with("@@") {
            let (found, heading) = hunk_header(line, at)?;
            numbers = found;
            headings.extend(heading);
            label = line.trim_end().to_owned();
            at += 1;
            continue;
        }
        if line.starts_with("--- ")
            && edits.line(at + 1).is_some_and(|next| next.starts_with("+++ "))
        {
            // A whole diff within the envelope; its headers say nothing new.
            at += 2;
            continue;
        }
        let from = at;
        let mut body = Body::default();
        let mut at_end = false;
        while at < end {
            let Some(line) = edits.line(at) else { break };
            if line.starts_with("@@") {
                break;
            }
            at += 1;
            if directive(line) == Some(Directive::EndOfFile) {
                at_end = true;
                break;
            }
            body.push(line);
        }
        let layout = body.layout();
        if body.lines.len() == layout {
            continue;
        }
        hunks.push(Hunk {
            number: edits.next_hunk(),
            label: std::mem::replace(&mut label, NO_HEADER.to_owned()),
            answer_line: from + 1,
            lines: body.lines,
            layout,
            divisions: Vec::new(),
            numbers: numbers.take(),
            headings: std::mem::take(&mut headings),
            ordered_in: Some(diff),
            at_end,
            old_lacks_newline: body.old_lacks_newline,
            new_lacks_newline: body.new_lacks_newline,
        });
    }
    if hunks.is_empty() && move_to.is_none() {
        return Err(malformed(start, format!("the update of {path} has no lines")));
    }
    let action = Action::Update { hunks, move_to, mode: None, keeps_source: false };
    edits.push(FileEdit { path: WrittenPath::alone(path), action, answer_line: start + 1 });
    Ok(end)
}

fn add<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    path: &str,
    fence: Option<&Fence<'_>>,
) -> Result<usize, Finding> {
    let end = part_end(edits, start + 1, fence);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut blanks = 0;
    for line in edits.lines.get(start + 1..end).unwrap_or(&[]) {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            blanks += 1;
        } else if let Some(text) = line.strip_prefix('+') {
            lines.resize(lines.len() + blanks, Vec::new());
            blanks = 0;
            lines.push(text.as_bytes().to_vec());
        } else if line.starts_with("@@") || directive(line) == Some(Directive::EndOfFile) {
            continue;
        } else {
            return Err(malformed(
                start,
                format!("every line of the new file {path} has to begin with `+`"),
            ));
        }
    }
    let content = NewContent { lines, lacks_newline: false };
    edits.push(FileEdit {
        path: WrittenPath::alone(path),
        action: Action::Create { content, mode: FileMode::Regular },
        answer_line: start + 1,
    });
    Ok(end)
}
