//! What is said in a pull request whose gates fail: what broke, the fix if there is one, and a
//! suggestion where the fix is a few lines in one place.
//!
//! Invariant: as in `pull_request`, what stands in the text from outside mentions nobody, closes no
//! issue and is no markup. A suggestion is exact: it holds nothing that would have to be changed to
//! be shown.

use std::fmt::Write as _;

use super::format;
use super::issue;
use super::markdown::block_of;
use super::pull_request::{DETAILS, Detail, Links, evidence, text, write};
use super::reporter::Stamped;
use super::run_history::RunHistory;
use super::safe_text::{head, literal, visible};
use super::verdict;
use super::wording;
use greenloop_model::{RunEvent, RunHeader, RunSummary, StopReason};

/// The longest suggestion, in lines of the file.
const LONGEST_SUGGESTION: usize = 30;
/// How many places are pointed at.
const MOST_ANNOTATIONS: usize = 20;

/// Whether the head of a pull request may be merged, as far as gates go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckConclusion {
    Passed,
    Failed,
}

/// A message beside a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Relative to the repository's root.
    pub path: String,
    /// 1-based.
    pub line: u64,
    pub message: String,
}

/// The state of a pull request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    pub conclusion: CheckConclusion,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    pub annotations: Vec<Annotation>,
    /// The page of the pipeline's run.
    pub url: Option<String>,
}

/// Lines of one file to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    pub path: String,
    /// 1-based, inclusive, in the file as it is.
    pub start: u64,
    pub end: u64,
    /// Characters of the last line.
    pub last_width: usize,
    /// What stands there instead, without a final newline.
    replacement: String,
}

impl Suggestion {
    /// The lines that a patch of one place in one file replaces; `None` for every other patch.
    pub fn of_diff(diff: &str) -> Option<Self> {
        let mut path = None;
        let (mut old, mut seen_hunk) = (0u64, false);
        // Old line numbers of the first and the last line that is replaced, and what has to stand
        // there: unchanged lines between two changes are part of it.
        let mut lines: Vec<(char, u64, &str)> = Vec::new();
        for line in diff.lines() {
            if let Some(to) = line.strip_prefix("+++ ").filter(|_| !seen_hunk) {
                if path.is_some() {
                    return None;
                }
                path = Some(to.strip_prefix("b/")?.to_owned());
            } else if let Some(hunk) = line.strip_prefix("@@ -") {
                if seen_hunk {
                    return None;
                }
                seen_hunk = true;
                let (start, _) = hunk.split_once([',', ' '])?;
                old = start.parse().ok()?;
            } else if seen_hunk {
                let kind = line.chars().next()?;
                match kind {
                    ' ' | '-' => {
                        lines.push((kind, old, &line[1..]));
                        old += 1;
                    }
                    '+' => lines.push((kind, old, &line[1..])),
                    // A second file, or a last line without a newline.
                    _ => return None,
                }
            } else if ["new file", "deleted file", "rename", "old mode", "Binary"]
                .iter()
                .any(|other| line.starts_with(other))
            {
                return None;
            }
        }
        let changed = |(kind, _, _): &(char, u64, &str)| *kind != ' ';
        let mut first = lines.iter().position(changed)?;
        let mut last = lines.iter().rposition(changed)?;
        // Nothing is replaced: the line above is, by itself and what comes after it.
        if lines[first..=last].iter().all(|(kind, _, _)| *kind == '+') {
            if first > 0 {
                first -= 1;
            } else {
                last += 1;
            }
        }
        let span = lines.get(first..=last)?;
        let replaced: Vec<_> = span.iter().filter(|(kind, _, _)| *kind != '+').collect();
        let ((_, start, _), (_, end, last_line)) = (replaced.first()?, replaced.last()?);
        let kept: Vec<&str> =
            span.iter().filter(|(kind, _, _)| *kind != '-').map(|(_, _, text)| *text).collect();
        let replacement = kept.join("\n");
        let exact = visible(&replacement) == replacement && !replacement.contains("```");
        let short = span.len() <= LONGEST_SUGGESTION;
        (exact && short).then(|| Self {
            path: path.unwrap_or_default(),
            start: *start,
            end: *end,
            last_width: last_line.chars().count(),
            replacement,
        })
    }

    fn block(&self) -> String {
        // Without any line, the lines are deleted.
        let text = &self.replacement;
        let end = if text.is_empty() { "" } else { "\n" };
        format!("```suggestion\n{text}{end}```\n")
    }

    /// The text with the lines that GitLab's form of a suggestion counts.
    pub fn for_gitlab(&self, body: &str) -> String {
        let above = self.end - self.start;
        body.replacen("```suggestion\n", &format!("```suggestion:-{above}+0\n"), 1)
    }

    /// The text for a comment that is not attached to lines: a plain block that nobody can accept
    /// with a click.
    pub fn unsuggested(&self, body: &str) -> String {
        let lines = if self.start == self.end {
            format!("line {}", self.start)
        } else {
            format!("lines {} to {}", self.start, self.end)
        };
        let block = self.block().replacen("```suggestion\n", "```text\n", 1);
        let told = format!("In `{}`, {lines}:\n\n{block}", self.path.replace('`', "'"));
        body.replacen(&self.block(), &told, 1)
    }
}

/// How the fix is taken over, for the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakeOver {
    /// A comment of this line is acted on.
    pub by_comment: Option<&'static str>,
    /// A command that a person can copy.
    pub command: Option<String>,
    /// It is in the pull request already.
    pub done: bool,
}

/// What is said.
#[derive(Debug, Clone)]
pub struct ReviewComment {
    events: Vec<Stamped>,
    links: Links,
    take_over: TakeOver,
    /// The fix as a suggestion, if it is one place of one file.
    pub suggestion: Option<Suggestion>,
}

impl ReviewComment {
    /// What a finished run of gates says of a pull request; `None` if it has nothing to say: all
    /// gates passed on the commit as it was, or the run did not come to an end of its own.
    pub fn of(events: &[Stamped], links: Links, take_over: TakeOver) -> Option<Self> {
        let history = RunHistory::of(events);
        let summary = history.summary.as_deref()?;
        let healed = !summary.patches.is_empty() && summary.stop == StopReason::Verified;
        if !healed && summary.failure.is_none() {
            return None;
        }
        let suggestion = match summary.patches.as_slice() {
            [only] if healed => Suggestion::of_diff(&only.diff),
            _ => None,
        };
        Some(Self { events: events.to_vec(), links, take_over, suggestion })
    }

    /// The text without a suggestion, or with one for a comment on its lines; at most `limit` bytes.
    pub fn text(&self, at: Option<&Suggestion>, limit: usize) -> String {
        let history = RunHistory::of(&self.events);
        let (Some(header), Some(summary)) = (&history.header, &history.summary) else {
            return String::new();
        };
        let page = |detail: &Detail| {
            let mut page = String::new();
            // Writing into a string cannot fail.
            let _infallible = self.page(&mut page, &history, header, summary, at, detail);
            page
        };
        let pages = DETAILS.iter().map(page);
        let mut shortest = String::new();
        for page in pages {
            if page.len() <= limit {
                return page;
            }
            shortest = page;
        }
        head(&shortest, limit).to_owned()
    }

    fn page(
        &self,
        page: &mut String,
        history: &RunHistory,
        header: &RunHeader,
        summary: &RunSummary,
        at: Option<&Suggestion>,
        detail: &Detail,
    ) -> std::fmt::Result {
        if summary.patches.is_empty() || summary.stop != StopReason::Verified {
            return self.failing(page, header, summary, detail);
        }
        let fix = format::counted(summary.patches.len() as u64, "patch", "patches");
        writeln!(page, "**The gates of this pull request fail, and there is a fix** ({fix}).\n")?;
        match (&self.take_over, at) {
            (TakeOver { done: true, .. }, _) => {
                writeln!(page, "It is in this pull request now.\n")?;
            }
            (how, at) => {
                if at.is_some() {
                    writeln!(page, "Accept the suggestion")?;
                }
                if let Some(line) = how.by_comment {
                    let start = if at.is_some() { "or comment" } else { "Comment" };
                    writeln!(page, "{start} `{line}` to have it committed here.")?;
                }
                if let Some(command) = &how.command {
                    writeln!(page, "By hand:\n\n```sh\n{command}\n```")?;
                }
                writeln!(page)?;
            }
        }
        if let Some(at) = at {
            writeln!(page, "{}", at.block())?;
        } else {
            for patch in summary.patches.iter().take(detail.patches) {
                block_of(page, "diff", &literal(&patch.diff), detail.evidence.max(350))?;
                writeln!(page)?;
            }
        }
        writeln!(page, "<details><summary>Evidence, review, proof, cost</summary>\n")?;
        write(page, history, header, summary, &self.links, detail)?;
        writeln!(page, "\n</details>")
    }

    /// What broke, where nothing repairs it.
    fn failing(
        &self,
        page: &mut String,
        header: &RunHeader,
        summary: &RunSummary,
        detail: &Detail,
    ) -> std::fmt::Result {
        let Some(failure) = &summary.failure else { return Ok(()) };
        writeln!(page, "**The gates of this pull request fail.**\n")?;
        writeln!(page, "{}\n", text(&wording::shortened(&failure.headline), 300))?;
        evidence(page, failure, detail.evidence)?;
        for reason in verdict::reasons(summary) {
            writeln!(page, "{}\n", text(&reason, detail.reason))?;
        }
        write!(page, "Run {} · {}", header.run, verdict::measure(summary))?;
        if summary.usage.requests > 0 {
            write!(page, " · {}", format::usage(&summary.usage))?;
        }
        if let Some(build) = &self.links.build {
            write!(page, " · [the pipeline's run](<{build}>)")?;
        }
        writeln!(page)
    }
}

/// The state of the head after a run of gates on it; `None` if the run came to no end.
pub fn check_report(events: &[Stamped], links: &Links) -> Option<CheckReport> {
    let history = RunHistory::of(events);
    let (header, summary) = (history.header.as_deref()?, history.summary.as_deref()?);
    // The commit as it was: a fix is in another one.
    let passed = summary.stop == StopReason::Verified && summary.patches.is_empty();
    let conclusion = if passed { CheckConclusion::Passed } else { CheckConclusion::Failed };
    let mut annotations: Vec<Annotation> = Vec::new();
    let events = history.passes.iter().flat_map(|pass| &pass.events);
    let failures = events.filter_map(|stamped| match &stamped.event {
        RunEvent::StageFailed { failure, .. } => Some(failure),
        _ => None,
    });
    let issues = failures.flat_map(|f| issue::of_failure(f, Some(&header.repository)));
    for found in issues {
        let Some(place) = found.place else { continue };
        if std::path::Path::new(&place.path).is_absolute() {
            continue;
        }
        let made = Annotation { path: place.path, line: place.line, message: found.message };
        if annotations.len() < MOST_ANNOTATIONS && !annotations.contains(&made) {
            annotations.push(made);
        }
    }
    let title = if passed {
        "the gates pass".to_owned()
    } else {
        visible(&verdict::headline(Some(header), summary)).into_owned()
    };
    Some(CheckReport {
        conclusion,
        summary: text(&title, 1_000),
        title,
        annotations,
        url: links.build.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn diff(body: &str) -> String {
        format!("diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n{body}")
    }

    #[test]
    fn one_place_of_one_file_is_a_suggestion() {
        for (hunk, start, end, replacement) in [
            ("@@ -3,3 +3,3 @@\n a\n-b\n+B\n c\n", 4, 4, "B"),
            // Changes with an unchanged line between them.
            ("@@ -3,4 +3,4 @@\n-a\n+A\n b\n-c\n+C\n d\n", 3, 5, "A\nb\nC"),
            // Only added: the line above says where.
            ("@@ -3,2 +3,3 @@\n a\n+new\n b\n", 3, 3, "a\nnew"),
            // Added before the first line.
            ("@@ -1,1 +1,2 @@\n+new\n a\n", 1, 1, "new\na"),
            // Only removed.
            ("@@ -3,3 +3,1 @@\n a\n-b\n-c\n", 4, 5, ""),
        ] {
            let found = Suggestion::of_diff(&diff(hunk)).unwrap_or_else(|| panic!("{hunk}"));
            assert_eq!((found.start, found.end), (start, end), "{hunk}");
            assert_eq!(found.replacement, replacement, "{hunk}");
            assert_eq!(found.path, "src/a.rs");
        }
    }

    #[test]
    fn what_is_no_single_exact_place_is_none() {
        let two = diff("@@ -1,1 +1,1 @@\n-a\n+b\n@@ -9,1 +9,1 @@\n-a\n+b\n");
        let files = diff("@@ -1,1 +1,1 @@\n-a\n+b\ndiff --git a/c b/c\n");
        let long: String = (0..40).map(|n| format!("-{n}\n")).collect();
        for text in [
            two,
            files,
            diff("@@ -1,1 +1,1 @@\n-a\n+hidden\u{202e}text\n"),
            diff("@@ -1,1 +1,1 @@\n-a\n+```\n"),
            diff(&format!("@@ -1,40 +1,0 @@\n{long}")),
            diff("@@ -1,1 +1,1 @@\n-a\n+b\n\\ No newline at end of file\n"),
            "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"
                .to_owned(),
            String::new(),
        ] {
            assert_eq!(Suggestion::of_diff(&text), None, "{text}");
        }
    }

    #[test]
    fn a_suggestion_is_told_plainly_where_it_cannot_be_attached() {
        let at = Suggestion::of_diff(&diff("@@ -3,4 +3,4 @@\n-a\n+A\n b\n-c\n+C\n d\n")).unwrap();
        let body = format!("before\n\n{}after\n", at.block());
        assert!(body.contains("```suggestion\nA\nb\nC\n```"));
        let plain = at.unsuggested(&body);
        assert!(!plain.contains("suggestion"), "{plain}");
        assert!(plain.contains("In `src/a.rs`, lines 3 to 5:\n\n```text\nA\nb\nC\n```"), "{plain}");
        assert!(at.for_gitlab(&body).contains("```suggestion:-2+0\nA\n"));
    }

    #[test]
    fn a_commit_that_passes_has_nothing_to_say() {
        let events = fixtures::healed();
        let how = TakeOver { by_comment: Some("/greenloop apply"), ..TakeOver::default() };
        let said = ReviewComment::of(&events, Links::default(), how.clone()).unwrap();
        let text = said.text(None, 60_000);
        assert!(text.starts_with("**The gates of this pull request fail, and there is a fix**"));
        assert!(text.contains("`/greenloop apply`") && text.contains("```diff\n"), "{text}");
        assert!(text.contains("**Review.**") && text.contains("tokens"), "{text}");
        for limit in [60_000, 4_000, 900] {
            assert!(said.text(None, limit).len() <= limit, "{limit}");
        }
        let report = check_report(&events, &Links::default()).unwrap();
        assert_eq!(report.conclusion, CheckConclusion::Failed);
        assert!(report.annotations.iter().all(|at| !at.path.starts_with('/')));

        let mut passed = events.clone();
        let Some(RunEvent::Finished(last)) = passed.pop().map(|last| last.event) else { panic!() };
        let summary = RunSummary { patches: Vec::new(), failure: None, ..*last };
        let at = events.last().unwrap().at;
        passed.push(Stamped { at, event: RunEvent::Finished(Box::new(summary)) });
        assert!(ReviewComment::of(&passed, Links::default(), how).is_none());
        let report = check_report(&passed, &Links::default()).unwrap();
        assert_eq!(report.conclusion, CheckConclusion::Passed);
    }
}
