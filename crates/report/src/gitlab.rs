//! The log of a GitLab CI job: plain lines in sections that fold, and a code quality report in the
//! run's folder, which a merge request shows beside its lines.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::issue::{self, Issue};
use super::line::Line;
use super::narrate::{Detail, Narrator};
use super::plain::WIDTH;
use super::reporter::Reporter;
use greenloop_model::{Failure, RunEvent};

/// The report's name within a run's folder.
pub const CODE_QUALITY_FILE: &str = "gl-code-quality-report.json";

/// The GitLab CI reporter.
#[derive(Debug)]
pub(super) struct Gitlab<W> {
    out: W,
    narrator: Narrator,
    /// The section that is open.
    section: Option<String>,
    sections: u32,
    repository: Option<PathBuf>,
    folder: Option<PathBuf>,
    /// Failures that were not repaired come last.
    failures: Vec<Failure>,
}

impl<W: Write> Gitlab<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            narrator: Narrator::new(Detail::Everything, WIDTH),
            section: None,
            sections: 0,
            repository: None,
            folder: None,
            failures: Vec::new(),
        }
    }

    fn open(&mut self, text: &mut String, at: jiff::Timestamp, title: &str) {
        self.close(text, at);
        self.sections += 1;
        let name = format!("greenloop_{}", self.sections);
        let title = Line::new().plain(title).render(false);
        let seconds = at.as_second();
        let _infallible =
            writeln!(text, "\u{1b}[0Ksection_start:{seconds}:{name}\r\u{1b}[0K{title}");
        self.section = Some(name);
    }

    fn close(&mut self, text: &mut String, at: jiff::Timestamp) {
        if let Some(name) = self.section.take() {
            let seconds = at.as_second();
            let _infallible = writeln!(text, "\u{1b}[0Ksection_end:{seconds}:{name}\r\u{1b}[0K");
        }
    }

    /// A list that says nothing is right where nothing failed: it clears what an earlier one said.
    fn report(&self) -> Value {
        let issues = self.failures.iter().flat_map(|failure| {
            let issues = issue::of_failure(failure, self.repository.as_deref());
            issues.into_iter().map(move |issue| finding(failure, &issue))
        });
        issues.collect()
    }
}

/// One entry: <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>.
fn finding(failure: &Failure, issue: &Issue) -> Value {
    let place = issue.place.as_ref();
    let path = place.map_or("greenloop.yaml", |place| place.path.as_str());
    let line = place.map_or(1, |place| place.line.max(1));
    json!({
        "description": issue.message,
        "check_name": format!("greenloop-{}", failure.stage),
        "fingerprint": format!("{}-{path}-{line}", failure.fingerprint),
        "severity": "major",
        "location": { "path": path, "lines": { "begin": line } },
    })
}

impl<W: Write> Reporter for Gitlab<W> {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let lines = self.narrator.tell(event);
        let mut text = String::new();
        let mut said = false;
        match event {
            RunEvent::Started(header) => {
                self.folder = Some(header.folder.clone());
                self.repository = Some(header.repository.clone());
            }
            RunEvent::StageStarted { iteration, stage, .. } => {
                self.open(&mut text, at, &format!("{iteration}: {stage}"));
                said = true;
            }
            RunEvent::StageFailed { failure, .. } => {
                self.close(&mut text, at);
                self.failures = vec![(**failure).clone()];
            }
            RunEvent::AuthorAsked { iteration, .. } => {
                self.open(&mut text, at, &format!("{iteration}: heal"));
            }
            RunEvent::Finished(summary) => {
                self.close(&mut text, at);
                self.failures = summary.failure.as_deref().cloned().into_iter().collect();
            }
            RunEvent::IterationStarted { .. } | RunEvent::Restored { .. } => {
                self.close(&mut text, at);
            }
            RunEvent::Notice(_)
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
            | RunEvent::Evaluated { .. }
            | RunEvent::FlakyRerun { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. } => {}
        }
        for line in lines.iter().filter(|_| !said) {
            text.push_str(&line.render(false));
            text.push('\n');
        }
        let closes = matches!(
            event,
            RunEvent::StagePassed { .. } | RunEvent::PatchApplied { .. } | RunEvent::NoPatch { .. }
        );
        if closes {
            self.close(&mut text, at);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) {
        let mut text = String::new();
        self.close(&mut text, jiff::Timestamp::now());
        let mut written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if let Some(folder) = self.folder.as_ref().filter(|folder| folder.is_dir()) {
            let report = format!("{:#}\n", self.report());
            written = written.and(std::fs::write(folder.join(CODE_QUALITY_FILE), report));
        }
        if let Err(error) = written {
            tracing::warn!(%error, "could not complete the job's log or its code quality report");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_closed_and_only_what_is_left_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        let mut gitlab = Gitlab::new(&mut out);
        let mut before = Value::Null;
        for stamped in crate::fixtures::healed() {
            gitlab.event(stamped.at, &stamped.event).unwrap();
            if matches!(stamped.event, RunEvent::StageFailed { .. }) {
                before = gitlab.report();
            }
        }
        gitlab.folder = Some(folder.path().to_owned());
        gitlab.finish();
        let text = String::from_utf8(out).unwrap();
        let count = |part: &str| text.matches(part).count();
        assert!(count("section_start:") > 0);
        assert_eq!(count("section_start:"), count("section_end:"));
        let written = std::fs::read_to_string(folder.path().join(CODE_QUALITY_FILE)).unwrap();
        assert_eq!(written, "[]\n", "it was healed");
        let first = &before[0];
        for field in ["description", "check_name", "fingerprint", "severity"] {
            assert!(first[field].is_string(), "{before}");
        }
        assert!(first["location"]["lines"]["begin"].as_u64() >= Some(1), "{before}");
    }
}
