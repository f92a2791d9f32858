//! Lines at which an edit of a diff or of an envelope begins or ends.

use super::fence::Fence;
use super::search_replace;

pub(super) fn is_old_header(line: &str) -> bool {
    line.starts_with("--- ") && line.trim_end().len() > 4
}

pub(super) fn is_new_header(line: &str) -> bool {
    line.starts_with("+++ ") && line.trim_end().len() > 4
}

pub(super) fn is_hunk_header(line: &str) -> bool {
    line.starts_with("@@")
}

/// Whether a file's part of a diff begins at `at`.
pub(super) fn opens_diff(lines: &[&str], at: usize, fenced: bool) -> bool {
    let Some(line) = lines.get(at) else { return false };
    let next = lines.get(at + 1).copied().unwrap_or("");
    line.starts_with("diff --git ")
        || (is_old_header(line) && is_new_header(next))
        || (fenced && (is_old_header(line) || is_new_header(line)) && is_hunk_header(next))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive<'a> {
    Begin,
    End,
    Update(&'a str),
    Add(&'a str),
    Delete(&'a str),
    MoveTo(&'a str),
    EndOfFile,
}

pub(super) fn directive(line: &str) -> Option<Directive<'_>> {
    let text = line.strip_prefix("***")?.trim();
    let after = |word: &str| {
        let head = text.get(..word.len())?;
        let rest = text.get(word.len()..)?.trim();
        (head.eq_ignore_ascii_case(word) && !rest.is_empty()).then_some(rest)
    };
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("Begin Patch") {
        Some(Directive::Begin)
    } else if is("End Patch") {
        Some(Directive::End)
    } else if is("End of File") {
        Some(Directive::EndOfFile)
    } else {
        after("Update File:")
            .map(Directive::Update)
            .or_else(|| after("Add File:").map(Directive::Add))
            .or_else(|| after("Delete File:").map(Directive::Delete))
            .or_else(|| after("Move to:").map(Directive::MoveTo))
    }
}

/// Whether an envelope, or a part of one without its first line, begins here.
pub(super) fn opens_envelope(line: &str) -> bool {
    matches!(
        directive(line),
        Some(Directive::Begin | Directive::Update(_) | Directive::Add(_) | Directive::Delete(_))
    )
}

/// A line after the end of a diff that comes or goes, as it seems: had it been left behind, half
/// of a hunk would be applied. Items and rules of Markdown are none.
pub(super) fn left_behind(lines: &[&str], end: usize) -> Option<usize> {
    for at in end..lines.len() {
        let line = lines.get(at)?;
        if opens_diff(lines, at, false)
            || opens_envelope(line)
            || search_replace::opening(line).is_some()
        {
            return None;
        }
        if Fence::opening(line).is_some_and(|fence| !fence.info.is_empty()) {
            return None;
        }
        let prose = is_markdown_item(line) || is_signature(lines, at);
        if line.starts_with(['+', '-']) && !prose {
            return Some(at);
        }
    }
    None
}

/// The end of a mailed patch: `-- ` and git's version.
pub(super) fn is_signature(lines: &[&str], at: usize) -> bool {
    lines.get(at).is_some_and(|line| line.trim_end() == "--")
        && lines.get(at + 1).is_some_and(|next| {
            next.starts_with(|c: char| c.is_ascii_digit())
                && next.trim().chars().all(|c| c.is_ascii_alphanumeric() || ".-() ".contains(c))
        })
}

/// Whether a line that begins as one that goes or comes is an item or a rule of Markdown.
pub(super) fn is_markdown_item(line: &str) -> bool {
    let rest = line.trim_start_matches(['-', '+']);
    let signs = line.len() - rest.len();
    line.trim_end().len() >= 3 && line.trim_end().bytes().all(|b| b == b'-')
        || (signs == 1 && rest.starts_with(' ') && !rest.starts_with("  "))
}
