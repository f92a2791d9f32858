//! Unified diffs, as git and `diff -u` write them and as models do.
//!
//! Where the counts of an `@@` line are true of what follows, they decide where the hunk ends.
//! Where they are not, it ends at the next header, the end of its fence, or where no line of a
//! diff follows any more.

use greenloop_model::FileMode;

use super::boundary::{
    is_hunk_header, is_markdown_item, is_new_header, is_old_header, is_signature, left_behind,
    opens_diff,
};
use super::collector::Collector;
use super::edit::{Action, FileEdit, Hunk, HunkLine, LineOp, NewContent, Numbers};
use super::fence::Fence;
use super::hunk_body::{Body, NO_HEADER, hunk_header, is_no_newline};
use super::refusal::{Finding, RefusalKind};
use super::written_path::{WrittenPath, header_path};

/// Whether the lines of a fence are a diff's, without any header: all that hold something begin
/// as a diff's do, and some change something.
pub(super) fn is_body(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.starts_with(['+', '-']))
        && (lines.iter().any(|line| is_hunk_header(line))
            || lines.iter().all(|line| {
                line.trim().is_empty() || line.starts_with(['+', '-', ' ', '\\', '\t'])
            }))
}

#[derive(Debug, Default)]
struct Header<'a> {
    git: Option<&'a str>,
    old: Option<&'a str>,
    new: Option<&'a str>,
    rename_from: Option<&'a str>,
    rename_to: Option<&'a str>,
    mode: Option<FileMode>,
    created: Option<FileMode>,
    deleted: bool,
    /// Whether the paths of the rename are those of a copy.
    copies: bool,
}

fn mode(text: &str) -> Option<FileMode> {
    match text.trim() {
        "100644" | "100664" => Some(FileMode::Regular),
        "100755" => Some(FileMode::Executable),
        "120000" => Some(FileMode::Symlink),
        "160000" => Some(FileMode::Submodule),
        _ => None,
    }
}

fn is_null(path: &str) -> bool {
    matches!(path.trim_matches('"'), "/dev/null" | "a/dev/null" | "b/dev/null" | "dev/null")
}

/// Reads the part of a diff that begins at `at`: one file. Returns the line after it.
pub(super) fn read<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    fence: Option<&Fence<'_>>,
    named: Option<WrittenPath>,
) -> Result<usize, Finding> {
    let mut header = Header::default();
    let mut at = start;
    while let Some(line) = edits.line(at) {
        let line = line.trim_end_matches('\r');
        let subject = || format!("the diff at line {} of the answer", start + 1);
        let unknown = |what: &str| {
            Finding::new(RefusalKind::Malformed, subject(), format!("unknown file mode {what:?}"))
        };
        if let Some(rest) = line.strip_prefix("diff --git ") {
            if at > start {
                break;
            }
            header.git = Some(rest);
        } else if let Some(rest) = line.strip_prefix("old mode ") {
            mode(rest).ok_or_else(|| unknown(rest))?;
        } else if let Some(rest) = line.strip_prefix("new mode ") {
            header.mode = Some(mode(rest).ok_or_else(|| unknown(rest))?);
        } else if let Some(rest) = line.strip_prefix("new file mode ") {
            header.created = Some(mode(rest).ok_or_else(|| unknown(rest))?);
        } else if line.starts_with("deleted file mode ") {
            header.deleted = true;
        } else if let Some(rest) = line.strip_prefix("rename from ") {
            header.rename_from = Some(rest);
        } else if let Some(rest) = line.strip_prefix("rename to ") {
            header.rename_to = Some(rest);
        } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            return Err(Finding::new(
                RefusalKind::Binary,
                subject(),
                "a binary patch cannot be taken; only text can be changed",
            ));
        } else if let Some(rest) = line.strip_prefix("copy from ") {
            header.rename_from = Some(rest);
            header.copies = true;
        } else if let Some(rest) = line.strip_prefix("copy to ") {
            header.rename_to = Some(rest);
            header.copies = true;
        } else if is_old_header(line) && header.old.is_none() && header.new.is_none() {
            header.old = Some(header_path(&line[4..]));
        } else if is_new_header(line) && header.new.is_none() {
            header.new = Some(header_path(&line[4..]));
            at += 1;
            break;
        } else if !["index ", "similarity index ", "dissimilarity index "]
            .iter()
            .any(|start| line.starts_with(start))
        {
            break;
        }
        at += 1;
    }
    let diff = edits.next_diff();
    let (hunks, end) = read_hunks(edits, at, fence, diff)?;
    edits.take(start, end);
    let edit = file_edit(&header, named, hunks, start)?;
    edits.push(edit);
    Ok(end)
}

/// Reads hunks that stand in a fence without any header; the file is named around it. Returns
/// the line that closes the fence.
pub(super) fn read_bare<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    fence: &Fence<'_>,
    named: Option<WrittenPath>,
) -> Result<usize, Finding> {
    let diff = edits.next_diff();
    let (hunks, end) = read_hunks(edits, start, Some(fence), diff)?;
    let edit = file_edit(&Header::default(), named, hunks, start)?;
    edits.push(edit);
    Ok(end)
}

fn read_hunks<'a>(
    edits: &mut Collector<'a>,
    start: usize,
    fence: Option<&Fence<'_>>,
    diff: usize,
) -> Result<(Vec<Hunk>, usize), Finding> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut at = start;
    // Blank lines between the header and the first hunk, or between hunks, are nobody's.
    let mut headings: Vec<Vec<u8>> = Vec::new();
    while let Some(line) = edits.line(at) {
        let headed = is_hunk_header(line);
        let begins = headed
            || (hunks.is_empty()
                && line.starts_with(['+', '-', ' ', '\\'])
                && !opens_diff(edits.lines, at, fence.is_some()));
        if !begins {
            if line.trim().is_empty() && edits.line(at + 1).is_some_and(is_hunk_header) {
                at += 1;
                continue;
            }
            break;
        }
        let (numbers, heading) = if headed { hunk_header(line, at)? } else { (None, None) };
        headings.extend(heading);
        let body_at = if headed { at + 1 } else { at };
        let strict = numbers.and_then(|n| strict_body(edits.lines, body_at, &n, fence));
        let is_strict = strict.is_some();
        let (body, end) = strict.unwrap_or_else(|| loose_body(edits.lines, body_at, fence));
        // Counts that hold leave no doubt.
        let layout = if is_strict { 0 } else { body.layout() };
        let is_empty = body.lines.len() == layout;
        if end == at {
            break;
        }
        at = end;
        if is_empty && (numbers.is_some() || !edits.line(at).is_some_and(is_hunk_header)) {
            return Err(malformed(start, format!("no lines follow its `{}`", line.trim_end())));
        }
        if is_empty {
            // Headings above one another: `@@ class A` then `@@ def f`.
            continue;
        }
        hunks.push(Hunk {
            number: edits.next_hunk(),
            label: if headed { line.trim_end().to_owned() } else { NO_HEADER.to_owned() },
            answer_line: body_at + 1,
            lines: body.lines,
            layout,
            divisions: Vec::new(),
            numbers,
            headings: std::mem::take(&mut headings),
            ordered_in: Some(diff),
            at_end: false,
            old_lacks_newline: body.old_lacks_newline,
            new_lacks_newline: body.new_lacks_newline,
        });
    }
    if let Some(line) = left_behind(edits.lines, at) {
        return Err(Finding::new(
            RefusalKind::Malformed,
            format!("the diff at line {} of the answer", start + 1),
            format!(
                "it is unclear where it ends: line {} (`{}`) may be of it or not; put the diff \
                 between fences of four or more marks, and a space before every kept line",
                line + 1,
                edits.line(line).unwrap_or_default()
            ),
        ));
    }
    Ok((hunks, at))
}

/// Whether no hunk goes on at this line.
fn is_boundary(lines: &[&str], at: usize, fence: Option<&Fence<'_>>) -> bool {
    let Some(line) = lines.get(at) else { return true };
    is_hunk_header(line)
        || line.starts_with("diff --git ")
        || (is_old_header(line) && lines.get(at + 1).is_some_and(|next| is_new_header(next)))
        || fence.is_some_and(|fence| fence.is_closed_by(line))
        || is_signature(lines, at)
}

/// The hunk's lines as its counts say, when what stands there agrees with them.
fn strict_body(
    lines: &[&str],
    start: usize,
    numbers: &Numbers,
    fence: Option<&Fence<'_>>,
) -> Option<(Body, usize)> {
    let mut body = Body::default();
    let (mut old, mut new) = (0, 0);
    let mut at = start;
    while old < numbers.old_count || new < numbers.new_count {
        let line = lines.get(at)?;
        let next_file = line.starts_with("diff --git ")
            || (is_old_header(line)
                && lines.get(at + 1).is_some_and(|next| is_new_header(next))
                && lines.get(at + 2).is_some_and(|next| is_hunk_header(next)));
        if next_file || is_hunk_header(line) {
            return None;
        }
        match line.bytes().next() {
            Some(b'+') => new += 1,
            Some(b'-') => old += 1,
            Some(b'\\') if is_no_newline(line) => {}
            // A kept line, perhaps without its space.
            Some(_) | None => {
                old += 1;
                new += 1;
            }
        }
        body.push(line);
        at += 1;
    }
    while let Some(line) = lines.get(at).filter(|l| l.starts_with('\\') && is_no_newline(l)) {
        body.push(line);
        at += 1;
    }
    let exact = old == numbers.old_count && new == numbers.new_count;
    // What closes the fence can be a kept line only when something else closes it.
    let closed_within = fence.is_some_and(|fence| {
        lines.iter().take(at).skip(start).any(|line| fence.is_closed_by(line))
    });
    let closed_after = || {
        fence.is_some_and(|fence| {
            lines
                .iter()
                .skip(at)
                .take_while(|line| !fence.is_nested_by(line))
                .any(|line| fence.is_closed_by(line))
        })
    };
    let ends = exact
        && !body.lines.is_empty()
        && (!closed_within || closed_after())
        && ends_at(lines, at, fence);
    ends.then_some((body, at))
}

/// Whether what stands at `at`, behind blank lines at most, is no further line of a hunk.
fn ends_at(lines: &[&str], at: usize, fence: Option<&Fence<'_>>) -> bool {
    let empty = |line: &&str| line.trim_end_matches('\r').is_empty();
    let blank = lines.iter().skip(at).take_while(|line| empty(line)).count();
    let Some(line) = lines.get(at + blank) else { return true };
    is_boundary(lines, at + blank, fence)
        || line.starts_with("*** ")
        || (fence.is_none() && !line.starts_with(['+', '-', ' ', '\t']))
        || (blank > 0 && is_markdown_item(line))
}

/// The hunk's lines where its counts are no help.
fn loose_body(lines: &[&str], start: usize, fence: Option<&Fence<'_>>) -> (Body, usize) {
    let is_diff_line = |line: &str| line.starts_with(['+', '-', ' ', '\\', '\t']);
    let mut end = start;
    // Up to here, the lines of this run are known to be followed by one of a diff.
    let mut known = start;
    while !is_boundary(lines, end, fence) {
        let Some(line) = lines.get(end) else { break };
        if fence.is_none() && !is_diff_line(line) {
            let blank = line.trim().is_empty();
            // Outside a fence, prose begins where the lines stop looking like a diff's.
            let goes_on = if blank {
                let next = lines.iter().skip(end + 1).find(|line| !line.trim().is_empty());
                next.is_some_and(|line| is_diff_line(line))
            } else {
                if end >= known {
                    known = run_goes_on(lines, end).unwrap_or(known);
                }
                end < known
            };
            if !goes_on {
                break;
            }
        }
        end += 1;
    }
    let mut body = Body::default();
    for line in lines.get(start..end).unwrap_or(&[]) {
        body.push(line);
    }
    (body, end)
}

/// The last line of a diff before the next blank line.
fn run_goes_on(lines: &[&str], at: usize) -> Option<usize> {
    lines
        .iter()
        .enumerate()
        .skip(at + 1)
        .take_while(|(_, line)| !line.trim().is_empty() && Fence::opening(line).is_none())
        .filter(|(_, line)| line.starts_with(['+', '-', ' ']))
        .last()
        .map(|(at, _)| at)
}

fn malformed(start: usize, text: impl Into<String>) -> Finding {
    Finding::new(
        RefusalKind::Malformed,
        format!("the diff at line {} of the answer", start + 1),
        text,
    )
}

/// The two paths of a `diff --git` line.
fn git_paths(rest: &str) -> Option<(String, String)> {
    let rest = rest.trim();
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = quoted.find("\" ")?;
        return Some((rest[..end + 2].to_owned(), rest[end + 3..].to_owned()));
    }
    if let Some(at) = rest.find(" \"") {
        return Some((rest[..at].to_owned(), rest[at + 1..].to_owned()));
    }
    // A path with spaces: both sides are the same but for the prefix.
    let without_side = |path: &str| path.split_once('/').map(|(_, path)| path.to_owned());
    let same =
        rest.match_indices(' ').map(|(at, _)| (&rest[..at], &rest[at + 1..])).find(|(old, new)| {
            old == new || without_side(old).is_some_and(|old| Some(old) == without_side(new))
        });
    let (old, new) = same.or_else(|| rest.split_once(' '))?;
    Some((old.to_owned(), new.to_owned()))
}

/// Git's prefixes: `a/` and `b/`, or one of the pairs of `diff.mnemonicPrefix`.
fn are_prefixed(old: Option<&str>, new: Option<&str>) -> bool {
    let side = |path: &str| {
        let path = path.trim_matches('"');
        path.split_once('/').map(|(side, _)| side.to_owned())
    };
    let old = old.filter(|path| !is_null(path)).map(side);
    let new = new.filter(|path| !is_null(path)).map(side);
    match (old, new) {
        (Some(Some(old)), Some(Some(new))) => {
            [("a", "b"), ("i", "w"), ("c", "i"), ("c", "w"), ("o", "w"), ("b", "a")]
                .contains(&(old.as_str(), new.as_str()))
        }
        (Some(Some(old)), None) => old == "a" || old == "b",
        (None, Some(Some(new))) => new == "b" || new == "a",
        _ => false,
    }
}

fn file_edit(
    header: &Header<'_>,
    named: Option<WrittenPath>,
    hunks: Vec<Hunk>,
    start: usize,
) -> Result<FileEdit, Finding> {
    let git = header.git.and_then(git_paths);
    let (git_old, git_new) = match &git {
        Some((old, new)) => (Some(old.as_str()), Some(new.as_str())),
        None => (None, None),
    };
    let old = header.old.or(git_old);
    let new = header.new.or(git_new);
    let prefixed = match &git {
        Some((old, new)) => are_prefixed(Some(old), Some(new)),
        None => are_prefixed(old, new),
    };
    let side = |path: &str| WrittenPath::side(path, prefixed);
    let old_path = old.filter(|path| !is_null(path)).map(side);
    let new_path = new.filter(|path| !is_null(path)).map(side);
    let creates = header.created.is_some() || header.old.is_some_and(is_null);
    let deletes = header.deleted || header.new.is_some_and(is_null);
    let answer_line = start + 1;
    let no_path = || malformed(start, "it names no file; give `--- a/path` and `+++ b/path`");
    if creates && deletes {
        return Err(malformed(start, "it both creates and deletes the file"));
    }
    if creates {
        let path = new_path.or(old_path).or(named).ok_or_else(no_path)?;
        let content = new_content(&hunks, start)?;
        let mode = header.created.unwrap_or(FileMode::Regular);
        return Ok(FileEdit { path, action: Action::Create { content, mode }, answer_line });
    }
    if deletes {
        let path = old_path.or(new_path).or(named).ok_or_else(no_path)?;
        let content = joined(hunks, start)?;
        let action = Action::Delete { content, unconditional: false };
        return Ok(FileEdit { path, action, answer_line });
    }
    let rename = match (header.rename_from, header.rename_to) {
        (Some(from), Some(to)) => {
            Some((WrittenPath::side(from, false), WrittenPath::side(to, false)))
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(malformed(
                start,
                "a rename needs `rename from` and `rename to`, a copy `copy from` and `copy to`",
            ));
        }
        (None, None) => None,
    };
    let (path, move_to) = match (rename, old_path, new_path) {
        (Some((from, to)), _, _) => (from, Some(to)),
        (None, Some(old), Some(new)) => match one_of(&old, &new) {
            Some(path) => (path, None),
            None if git_old.is_some() && header.git.is_some() => (old, Some(new)),
            None => {
                return Err(malformed(
                    start,
                    format!(
                        "it names two files, {} and {}; a renamed file needs `rename from` and \
                         `rename to` lines",
                        old.shown, new.shown
                    ),
                ));
            }
        },
        (None, Some(path), None) | (None, None, Some(path)) => (path, None),
        (None, None, None) => (named.ok_or_else(no_path)?, None),
    };
    let only_git = header.old.is_none() && header.new.is_none() && header.git.is_some();
    if only_git && hunks.iter().any(|hunk| hunk.label == NO_HEADER) {
        return Err(malformed(start, "its `---` and `+++` lines are missing, and its `@@` lines"));
    }
    if hunks.is_empty() && move_to.is_none() && header.mode.is_none() {
        return Err(malformed(start, "it has no lines that change anything"));
    }
    let keeps_source = header.copies;
    let action = Action::Update { hunks, move_to, mode: header.mode, keeps_source };
    Ok(FileEdit { path, action, answer_line })
}

/// The file that both sides of a diff mean, when they differ only as backups or as two
/// checkouts do.
fn one_of(old: &WrittenPath, new: &WrittenPath) -> Option<WrittenPath> {
    if old.readings[0] == new.readings[0] {
        return Some(new.clone());
    }
    let backup = [&b".orig"[..], b".old", b".bak", b"~"]
        .iter()
        .any(|end| old.readings[0].strip_suffix(*end) == Some(&new.readings[0][..]));
    if backup {
        return Some(new.clone());
    }
    let below = |path: &WrittenPath| {
        let path = &path.readings[0];
        path.iter().position(|b| *b == b'/').map(|at| path[at + 1..].to_vec())
    };
    let (old_below, new_below) = (below(old)?, below(new)?);
    (old_below == new_below).then(|| WrittenPath {
        shown: new.shown.clone(),
        readings: vec![new_below],
        line: None,
        is_unclear: false,
    })
}

fn new_content(hunks: &[Hunk], start: usize) -> Result<NewContent, Finding> {
    let mut lines = Vec::new();
    let all: Vec<&HunkLine> = hunks.iter().flat_map(|hunk| &hunk.lines).collect();
    for line in without_layout(&all) {
        let blank = line.text.iter().all(u8::is_ascii_whitespace);
        if line.op == LineOp::Add || (line.op == LineOp::Keep && blank) {
            lines.push(if line.op == LineOp::Add { line.text.clone() } else { Vec::new() });
        } else {
            return Err(malformed(
                start,
                "it creates a file, so every line of it has to begin with `+`",
            ));
        }
    }
    Ok(NewContent { lines, lacks_newline: hunks.last().is_some_and(|hunk| hunk.new_lacks_newline) })
}

/// Without blank lines at the end that have no sign: they are the answer's layout.
fn without_layout<'l, 'h>(lines: &'l [&'h HunkLine]) -> &'l [&'h HunkLine] {
    let layout = |line: &&&HunkLine| line.op == LineOp::Keep && line.text.is_empty();
    &lines[..lines.len() - lines.iter().rev().take_while(layout).count()]
}

fn joined(hunks: Vec<Hunk>, start: usize) -> Result<Option<Hunk>, Finding> {
    let mut hunks = hunks.into_iter();
    let Some(mut first) = hunks.next() else { return Ok(None) };
    for hunk in hunks {
        first.lines.extend(hunk.lines);
        first.old_lacks_newline |= hunk.old_lacks_newline;
    }
    let length = without_layout(&first.lines.iter().collect::<Vec<_>>()).len();
    first.lines.truncate(length);
    if first.lines.iter().any(|line| line.op == LineOp::Add) {
        return Err(malformed(start, "it deletes the file and adds lines to it"));
    }
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunk_headers_in_many_spellings() {
        let numbers =
            |a, b, c, d| Some(Numbers { old_start: a, old_count: b, new_start: c, new_count: d });
        for (line, expect, heading) in [
            ("@@ -1,2 +3,4 @@", numbers(1, 2, 3, 4), None),
            ("@@ -1 +3 @@ fn main() {", numbers(1, 1, 3, 1), Some("fn main() {")),
            ("@@", None, None),
            ("@@ ... @@", None, None),
            ("@@ -1,2 +3,4", numbers(1, 2, 3, 4), None),
            ("@@ def f():", None, Some("def f():")),
            ("@@ @@ class A", None, Some("class A")),
            ("@@ -x,y +z @@", None, None),
            ("@@ def f(): @@", None, Some("def f():")),
        ] {
            let (found, text) = hunk_header(line, 0).expect("a header");
            assert_eq!(found, expect, "{line}");
            assert_eq!(text.as_deref(), heading.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn git_lines_with_spaces() {
        for (rest, old, new) in [
            ("a/x y.txt b/x y.txt", "a/x y.txt", "b/x y.txt"),
            ("a/x b/y", "a/x", "b/y"),
            (r#""a/\303\244" "b/\303\244""#, r#""a/\303\244""#, r#""b/\303\244""#),
        ] {
            assert_eq!(git_paths(rest), Some((old.to_owned(), new.to_owned())), "{rest}");
        }
    }
}
