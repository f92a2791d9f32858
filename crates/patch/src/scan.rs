//! One pass over an answer's lines, which finds the edits among the prose.

use greenloop_model::NoPatch;

use super::boundary::{opens_diff, opens_envelope};
use super::collector::Collector;
use super::edit::{Action, FileEdit, Hunk, NewContent};
use super::fence::Fence;
use super::refusal::{Finding, RefusalKind};
use super::whole_file::WholeFile;
use super::written_path::{Naming, WrittenPath, named_in, named_in_info, opens_element};
use super::{envelope, no_patch, search_replace, unified};

/// The state of the pass.
struct Scan<'a> {
    edits: Collector<'a>,
    whole_files: Vec<WholeFile>,
    no_patches: Vec<NoPatch>,
    /// The file of the last search/replace block: the next one may leave it out.
    last_path: Option<WrittenPath>,
}

/// A line that may name several files.
struct Unclear(String);

/// What the pass found.
pub(super) struct Found {
    pub(super) files: Vec<FileEdit>,
    pub(super) no_patches: Vec<NoPatch>,
    pub(super) hunks: usize,
    pub(super) prose: String,
}

/// Scans the lines of an answer.
pub(super) fn scan(lines: &[&str]) -> Result<Found, Finding> {
    let mut scan = Scan {
        edits: Collector::new(lines),
        whole_files: Vec::new(),
        no_patches: Vec::new(),
        last_path: None,
    };
    scan.run()?;
    let Scan { edits, whole_files, no_patches, .. } = scan;
    let Collector { mut files, hunks, taken, .. } = edits;
    for whole in whole_files {
        // A file that is edited elsewhere in the answer is only shown here.
        let shown_only =
            !whole.sure && files.iter().any(|file| file.path.readings[0] == whole.path.readings[0]);
        if !shown_only {
            files.push(whole.into_edit());
        }
    }
    files.sort_by_key(|file| file.answer_line);
    let prose = (0..lines.len())
        .filter(|at| !taken[*at] && !introduces_an_edit(lines, &taken, *at))
        .map(|at| lines[at].trim_end())
        .collect::<Vec<_>>();
    Ok(Found { files, no_patches, hunks, prose: joined(&prose) })
}

/// Words of the longest line that only introduces an edit.
const LONGEST_INTRODUCTION: usize = 10;

/// Whether the line says no more than that an edit follows: `Here is the change:`.
fn introduces_an_edit(lines: &[&str], taken: &[bool], at: usize) -> bool {
    let line = lines[at].trim_end();
    let next = || (at + 1..lines.len()).find(|next| !lines[*next].trim().is_empty());
    line.ends_with(':')
        && line.split_whitespace().count() <= LONGEST_INTRODUCTION
        && next().is_some_and(|next| taken[next])
}

/// Prose with at most one blank line between paragraphs.
fn joined(lines: &[&str]) -> String {
    let mut text = String::new();
    let mut blank = false;
    for line in lines {
        if line.is_empty() {
            blank = !text.is_empty();
            continue;
        }
        if !text.is_empty() {
            text.push_str(if blank { "\n\n" } else { "\n" });
        }
        blank = false;
        text.push_str(line);
    }
    text
}

impl<'a> Scan<'a> {
    fn run(&mut self) -> Result<(), Finding> {
        let mut fence: Option<(usize, Fence<'a>)> = None;
        let mut at = 0;
        while let Some(line) = self.edits.line(at) {
            if search_replace::opening(line).is_some() {
                at = self.search_replace(at, fence.as_ref().map(|(line, _)| *line))?;
            } else if opens_envelope(line) {
                self.take_fence(fence.as_ref());
                at = envelope::read(&mut self.edits, at, fence.as_ref().map(|(_, fence)| fence))?;
            } else if opens_diff(self.edits.lines, at, fence.is_some()) {
                self.take_fence(fence.as_ref());
                let fence_line = fence.as_ref().map(|(line, _)| *line);
                let named = self.named_near(at, fence_line).unwrap_or(None);
                at = unified::read(
                    &mut self.edits,
                    at,
                    fence.as_ref().map(|(_, fence)| fence),
                    named,
                )?;
            } else if let Some((opened, open)) = &fence {
                if open.is_closed_by(line) {
                    if self.edits.taken.get(*opened) == Some(&true) {
                        self.edits.take(at, at + 1);
                    }
                    fence = None;
                }
                at += 1;
            } else if let Some(opened) = Fence::opening(line) {
                let (next, inside) = self.fenced(at, &opened)?;
                fence = inside.then_some((at, opened));
                at = next;
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    fn take_fence(&mut self, fence: Option<&(usize, Fence<'a>)>) {
        if let Some((line, _)) = fence {
            self.edits.take(*line, line + 1);
        }
    }

    /// A fence opens at `at`: goes into it when there are edits inside, and over it otherwise.
    fn fenced(&mut self, at: usize, fence: &Fence<'a>) -> Result<(usize, bool), Finding> {
        let language = fence.language();
        let end = self.fence_end(at, fence);
        let closed = end.unwrap_or(self.edits.lines.len());
        let body = self.edits.lines.get(at + 1..closed).unwrap_or(&[]);
        if no_patch::is_no_patch(&language) {
            self.no_patches.push(no_patch::read(body)?);
            self.edits.take(at, closed + 1);
            return Ok((closed + 1, false));
        }
        let has_edits = (at + 1..closed).any(|line| {
            self.edits
                .line(line)
                .is_some_and(|text| search_replace::opening(text).is_some() || opens_envelope(text))
                || opens_diff(self.edits.lines, line, true)
        });
        if has_edits {
            return Ok((at + 1, true));
        }
        let sure = named_in_info(fence.info);
        if matches!(language.as_str(), "diff" | "patch" | "udiff") {
            let named = match sure {
                Some(path) => Some(WrittenPath::alone(&path)),
                None => self.named_above(at).unwrap_or(None),
            };
            if unified::is_body(body) {
                let next = unified::read_bare(&mut self.edits, at + 1, fence, named)?;
                self.edits.take(at, next + 1);
                return Ok((next + 1, false));
            }
            return Ok((closed + 1, false));
        }
        const SHOWN: [&str; 8] =
            ["text", "txt", "console", "output", "log", "plaintext", "terminal", "shell-session"];
        let is_sure = sure.is_some();
        let weak = || {
            let (line, path) = self.whole_name_above(at)?;
            (!SHOWN.contains(&language.as_str())).then_some((line, path))
        };
        let Some((named_at, path)) = sure.map(|path| (at, path)).or_else(weak) else {
            return Ok((closed + 1, false));
        };
        let subject = format!("the whole file `{path}`");
        if end.is_none() {
            return Err(Finding::new(
                RefusalKind::Malformed,
                subject,
                "its fence is never closed, so the file may be cut off",
            ));
        }
        if is_markdown(&path) && self.has_ambiguous_fences(at, closed) {
            return Err(Finding::new(
                RefusalKind::Malformed,
                subject,
                "it has fences within a fence of the same length, so its end is unclear; \
                 put it between fences of four or more marks",
            ));
        }
        let lines = body.iter().map(|line| line.trim_end_matches('\r').as_bytes().to_vec());
        self.whole_files.push(WholeFile {
            path: WrittenPath::alone(&path),
            content: NewContent { lines: lines.collect(), lacks_newline: false },
            sure: is_sure,
            answer_line: at + 1,
        });
        self.edits.take(named_at, named_at + 1);
        self.edits.take(at, closed + 1);
        Ok((closed + 1, false))
    }

    /// The line that closes the fence opened at `at`; `None` when none does.
    fn fence_end(&self, at: usize, fence: &Fence<'a>) -> Option<usize> {
        let mut depth = 0_usize;
        let mut line = at + 1;
        while let Some(text) = self.edits.line(line) {
            if search_replace::opening(text).is_some()
                && let Ok(block) = search_replace::read(self.edits.lines, line)
            {
                line = block.end;
                continue;
            }
            if fence.is_closed_by(text) {
                if depth == 0 {
                    return Some(line);
                }
                depth -= 1;
            } else if fence.is_nested_by(text) {
                depth += 1;
            }
            line += 1;
        }
        None
    }

    /// Whether the fence that seems to close the one at `at` may have opened another within it:
    /// then a bare fence follows before any that has an info string.
    fn has_ambiguous_fences(&self, at: usize, end: usize) -> bool {
        let Some(opener) = self.edits.line(at).and_then(Fence::opening) else { return false };
        self.edits
            .lines
            .iter()
            .skip(end + 1)
            .take_while(|line| !opener.is_nested_by(line))
            .any(|line| opener.is_closed_by(line))
    }

    fn search_replace(&mut self, at: usize, fence: Option<usize>) -> Result<usize, Finding> {
        let number = self.edits.next_hunk();
        let subject = format!("search/replace block {number} (line {} of the answer)", at + 1);
        let block = search_replace::read(self.edits.lines, at)
            .map_err(|text| Finding::new(RefusalKind::Malformed, subject.clone(), text))?;
        let path = match block.path {
            Some(path) => Some(WrittenPath::alone(path.trim_matches('`'))),
            None => match self.named_near(at, fence) {
                Ok(Some(path)) => Some(path),
                Ok(None) => self.last_path.clone(),
                Err(Unclear(line)) => Some(WrittenPath::unclear(&line)),
            },
        };
        let path = path.ok_or_else(|| {
            Finding::new(
                RefusalKind::Malformed,
                subject,
                "it names no file; put the path on a line of its own above the block",
            )
        })?;
        if let Some(fence) = fence {
            self.edits.take(fence, fence + 1);
        }
        self.edits.take(at, block.end);
        self.last_path = Some(path.clone());
        let (search, replace) = (block.search, block.replace);
        let action = if search.iter().all(|line| line.trim().is_empty()) {
            let lines = replace.iter().map(|line| line.trim_end_matches('\r').as_bytes().to_vec());
            let content = NewContent { lines: lines.collect(), lacks_newline: false };
            Action::Whole { content, said_new: true, sure: true }
        } else {
            let hunk = Hunk {
                number,
                label: "search/replace block".to_owned(),
                answer_line: at + 1,
                lines: search_replace::hunk_lines(search, replace),
                layout: 0,
                divisions: block
                    .others
                    .iter()
                    .map(|(search, replace)| search_replace::hunk_lines(search, replace))
                    .collect(),
                numbers: None,
                headings: Vec::new(),
                ordered_in: None,
                at_end: false,
                old_lacks_newline: false,
                new_lacks_newline: false,
            };
            Action::Update { hunks: vec![hunk], move_to: None, mode: None, keeps_source: false }
        };
        self.edits.push(FileEdit { path, action, answer_line: at + 1 });
        Ok(block.end)
    }

    /// The file named for the edit at `at`: between it and the fence it stands in, in the
    /// fence's info string, or above. Takes the line that is nothing but the path. An error
    /// when a line names several.
    fn named_near(
        &mut self,
        at: usize,
        fence: Option<usize>,
    ) -> Result<Option<WrittenPath>, Unclear> {
        let floor = fence.map_or(0, |line| line + 1);
        for line in (floor..at).rev() {
            if self.edits.taken[line] {
                return Ok(None);
            }
            let text = self.edits.lines[line];
            // `<diff>` is between the path and the block.
            if text.trim().is_empty() || opens_element(text) {
                continue;
            }
            match self.named_on(line)? {
                Some(path) => return Ok(Some(path)),
                None if fence.is_some() => break,
                None => return Ok(None),
            }
        }
        let Some(fence) = fence else { return Ok(None) };
        let info = self
            .edits
            .line(fence)
            .and_then(Fence::opening)
            .and_then(|open| named_in_info(open.info));
        match info {
            Some(path) => Ok(Some(WrittenPath::alone(&path))),
            None => self.named_above(fence),
        }
    }

    /// The file named on the nearest line above `at` that is not blank.
    fn named_above(&mut self, at: usize) -> Result<Option<WrittenPath>, Unclear> {
        match self.nearest_above(at) {
            Some(line) => self.named_on(line),
            None => Ok(None),
        }
    }

    fn named_on(&mut self, line: usize) -> Result<Option<WrittenPath>, Unclear> {
        let text = self.edits.lines[line];
        match named_in(text) {
            Some(Naming::Whole(path)) => {
                self.edits.take(line, line + 1);
                Ok(Some(WrittenPath::alone(&path)))
            }
            Some(Naming::Spaced(path)) => {
                self.edits.take(line, line + 1);
                Ok(Some(WrittenPath::on_line(&path, text)))
            }
            Some(Naming::Within(path)) => Ok(Some(WrittenPath::on_line(&path, text))),
            Some(Naming::Unclear) => Err(Unclear(text.to_owned())),
            None => Ok(None),
        }
    }

    fn whole_name_above(&self, at: usize) -> Option<(usize, String)> {
        let line = self.nearest_above(at)?;
        match named_in(self.edits.lines[line])? {
            Naming::Whole(path) => Some((line, path)),
            Naming::Spaced(_) | Naming::Within(_) | Naming::Unclear => None,
        }
    }

    fn nearest_above(&self, at: usize) -> Option<usize> {
        (0..at)
            .rev()
            .take_while(|line| !self.edits.taken[*line])
            .find(|line| !self.edits.lines[*line].trim().is_empty())
            .filter(|line| Fence::opening(self.edits.lines[*line]).is_none())
    }
}

fn is_markdown(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    [".md", ".mdx", ".markdown", ".rst", ".adoc"].iter().any(|end| lower.ends_with(end))
}
