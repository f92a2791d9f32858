//! The log of a GitHub Actions job: plain lines, folded into groups, with annotations beside the
//! lines of a pull request, the job's summary and its outputs.
//!
//! Workflow commands are written by this file alone. Everything else goes through [`Line::render`]
//! or [`escaped`], so that no text from outside can be one.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use super::issue::{Issue, Issues, Severity};
use super::line::Line;
use super::narrate::{Detail, Narrator};
use super::outcome::Outcome;
use super::plain::WIDTH;
use super::reporter::Reporter;
use super::safe_text;
use greenloop_model::{Notice, RunEvent};

/// Bytes of the summary: GitHub takes 1 MiB of a step, and shows nothing of a longer one.
const MOST_SUMMARY: u64 = 1000 << 10;

/// Files that the runner reads after the step; `None` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GithubFiles {
    /// `GITHUB_STEP_SUMMARY`
    pub summary: Option<PathBuf>,
    /// `GITHUB_OUTPUT`
    pub output: Option<PathBuf>,
}

/// The GitHub Actions reporter.
#[derive(Debug)]
pub(super) struct Github<W> {
    out: W,
    files: GithubFiles,
    narrator: Narrator,
    grouped: bool,
    issues: Issues,
    folder: Option<PathBuf>,
    run: Option<String>,
    end: Option<(Outcome, Option<String>)>,
}

impl<W: Write> Github<W> {
    pub(super) fn new(out: W, files: GithubFiles) -> Self {
        Self {
            out,
            files,
            narrator: Narrator::new(Detail::Everything, WIDTH),
            grouped: false,
            issues: Issues::default(),
            folder: None,
            run: None,
            end: None,
        }
    }

    fn open(&mut self, text: &mut String, title: &str) {
        self.close(text);
        let _infallible = writeln!(text, "::group::{}", Line::new().plain(title).render(false));
        self.grouped = true;
    }

    fn close(&mut self, text: &mut String) {
        if std::mem::take(&mut self.grouped) {
            text.push_str("::endgroup::\n");
        }
    }

    /// The run's summary and outputs, for the runner.
    fn hand_over(&self) -> io::Result<()> {
        if let Some(path) = &self.files.summary
            && let Some(folder) = &self.folder
            && let Ok(summary) = File::open(folder.join(super::SUMMARY_FILE))
        {
            let mut text = Vec::new();
            summary.take(MOST_SUMMARY).read_to_end(&mut text)?;
            text.push(b'\n');
            append(path, &text)?;
        }
        if let Some(path) = &self.files.output {
            let mut text = String::new();
            let mut set = |name: &str, value: &str| {
                // One line a value: what would end it is no part of any of them.
                let value = value.replace(['\r', '\n'], " ");
                let _infallible = writeln!(text, "{name}={value}");
            };
            let outcome = self.end.as_ref().map_or("ended", |(outcome, _)| outcome.name());
            set("outcome", outcome);
            set("run", self.run.as_deref().unwrap_or_default());
            let branch = self.end.as_ref().and_then(|(_, branch)| branch.as_deref());
            set("branch", branch.unwrap_or_default());
            let folder = self.folder.as_ref().map(|folder| folder.display().to_string());
            set("folder", folder.as_deref().unwrap_or_default());
            append(path, text.as_bytes())?;
        }
        Ok(())
    }
}

impl<W: Write> Reporter for Github<W> {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let lines = self.narrator.tell(event);
        let issues = self.issues.of(event, self.narrator.header.as_deref());
        let mut text = String::new();
        match event {
            RunEvent::Started(header) => {
                self.folder = Some(header.folder.clone());
                self.run = Some(header.run.to_string());
            }
            RunEvent::StageStarted { iteration, stage, .. } => {
                self.open(&mut text, &format!("{iteration}: {stage}"));
            }
            RunEvent::IterationStarted { .. }
            | RunEvent::StageFailed { .. }
            | RunEvent::Restored { .. } => {
                self.close(&mut text);
                annotate_all(&mut text, &issues);
            }
            RunEvent::AuthorAsked { iteration, .. } => {
                annotate_all(&mut text, &issues);
                self.open(&mut text, &format!("{iteration}: heal"));
            }
            RunEvent::Finished(summary) => {
                self.close(&mut text);
                annotate_all(&mut text, &issues);
                let branch = summary.branch.clone().filter(|_| !summary.patches.is_empty());
                self.end = Some((Outcome::of(summary), branch));
            }
            RunEvent::Notice(Notice::Warning(_))
            | RunEvent::Evaluated { .. }
            | RunEvent::FlakyRerun { .. } => annotate_all(&mut text, &issues),
            RunEvent::Notice(Notice::Info(_))
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::Progress { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::GateFinished { .. }
            | RunEvent::StepFinished { .. }
            | RunEvent::StagePassed { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::PatchProposed { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::Reviewed { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. } => {}
        }
        // The group has said it already.
        let said = matches!(event, RunEvent::StageStarted { .. });
        for line in lines.iter().filter(|_| !said) {
            text.push_str(&line.render(false));
            text.push('\n');
        }
        let closes = matches!(
            event,
            RunEvent::StagePassed { .. } | RunEvent::PatchApplied { .. } | RunEvent::NoPatch { .. }
        );
        if closes {
            self.close(&mut text);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) {
        let mut text = String::new();
        self.close(&mut text);
        annotate_all(&mut text, &self.issues.held());
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if let Err(error) = written.and_then(|()| self.hand_over()) {
            tracing::warn!(%error, "could not complete the job's log, summary or outputs");
        }
    }
}

fn append(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    File::options().create(true).append(true).open(path)?.write_all(bytes)
}

fn annotate_all(text: &mut String, issues: &[(Severity, Issue)]) {
    for (severity, issue) in issues {
        annotate(text, *severity, issue);
    }
}

fn annotate(text: &mut String, severity: Severity, issue: &Issue) {
    let _infallible = write!(text, "::{} title=greenloop", severity.name());
    if let Some(place) = &issue.place {
        let _infallible = write!(text, ",file={},line={}", property(&place.path), place.line);
        if let Some(column) = place.column {
            let _infallible = write!(text, ",col={column}");
        }
    }
    let _infallible = writeln!(text, "::{}", escaped(&issue.message));
}

/// The message of a workflow command. The percent sign comes first.
fn escaped(text: &str) -> String {
    let text = safe_text::safe(text.trim());
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::Place;

    #[test]
    fn values_are_escaped() {
        let mut text = String::new();
        let place = Place { path: "a,b:c%.rs".to_owned(), line: 3, column: Some(7) };
        let message = "50% of it\nfailed ::error::x".to_owned();
        annotate(&mut text, Severity::Error, &Issue { place: Some(place), message });
        let expect = "::error title=greenloop,file=a%2Cb%3Ac%25.rs,line=3,col=7::50%25 of \
                      it%0Afailed ::error::x\n";
        assert_eq!(text, expect);
        assert_eq!(escaped("::set-output name=x::y"), ": :set-output name=x::y");
    }

    #[test]
    fn a_healed_run_is_told_with_groups_annotations_summary_and_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let files = GithubFiles {
            summary: Some(folder.path().join("summary")),
            output: Some(folder.path().join("output")),
        };
        let mut out = Vec::new();
        let mut github = Github::new(&mut out, files.clone());
        for stamped in crate::fixtures::healed() {
            github.event(stamped.at, &stamped.event).unwrap();
        }
        // The fixture's folder is nowhere.
        std::fs::write(folder.path().join(crate::SUMMARY_FILE), "# Verified\n").unwrap();
        github.folder = Some(folder.path().to_owned());
        github.finish();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("::group::").count(), text.matches("::endgroup::").count());
        assert!(text.contains("\n::warning title=greenloop"), "{text}");
        let read =
            |path: &Option<PathBuf>| std::fs::read_to_string(path.as_ref().unwrap()).unwrap();
        assert_eq!(read(&files.summary), "# Verified\n\n");
        let outputs = read(&files.output);
        assert!(outputs.starts_with("outcome=healed\nrun="), "{outputs}");
        assert!(outputs.contains("\nbranch=greenloop/"), "{outputs}");
    }
}
