//! The log of an Azure Pipelines job: plain lines, folded into groups, with the agent's logging
//! commands for errors, progress and what to publish.
//!
//! The commands are written by this file alone. Everything else goes through [`Line::render`]
//! or [`escaped`], so that no text from outside can be one.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use super::issue::{Issue, Issues, Severity};
use super::line::Line;
use super::narrate::{Detail, Narrator};
use super::outcome::Outcome;
use super::plain::WIDTH;
use super::reporter::Reporter;
use super::safe_text;
use greenloop_model::{Notice, RunEvent, RunHeader, RunSummary, Stage};

/// The Azure Pipelines reporter.
#[derive(Debug)]
pub(super) struct Azure<W> {
    out: W,
    narrator: Narrator,
    grouped: bool,
    iteration: (u32, u32),
    /// What was reported last: it only grows.
    percent: u32,
    /// For the paths that are published at the end.
    folder: Option<PathBuf>,
    issues: Issues,
    /// The artifact's name, and the environment's.
    artifact: String,
    environment: Option<String>,
    end: Option<End>,
}

impl<W: Write> Azure<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            narrator: Narrator::new(Detail::Everything, WIDTH),
            grouped: false,
            iteration: (1, 1),
            percent: 0,
            folder: None,
            issues: Issues::default(),
            artifact: "greenloop".to_owned(),
            environment: None,
            end: None,
        }
    }

    fn open(&mut self, text: &mut String, title: &str) {
        self.close(text);
        text.push_str("##[group]");
        text.push_str(&Line::new().plain(title).render(false));
        text.push('\n');
        self.grouped = true;
    }

    fn close(&mut self, text: &mut String) {
        if std::mem::take(&mut self.grouped) {
            text.push_str("##[endgroup]\n");
        }
    }

    fn section(&mut self, text: &mut String, title: &str) {
        self.close(text);
        text.push_str("##[section]");
        text.push_str(&Line::new().plain(title).render(false));
        text.push('\n');
    }

    /// How far the loop is: every iteration counts the same, and its stages within it.
    fn progress(&mut self, text: &mut String, stage: Stage, done: bool) {
        let (iteration, of) = self.iteration;
        let index = Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0) + usize::from(done);
        let stages = Stage::ALL.len() as u32;
        let steps = (iteration.saturating_sub(1)) * stages + index as u32;
        let percent = (steps * 100 / (of.max(1) * stages)).min(99);
        self.percent = self.percent.max(percent);
        let _infallible = writeln!(
            text,
            "##vso[task.setprogress value={};]iteration {iteration} of {of}: {stage}",
            self.percent
        );
    }
}

impl<W: Write> Reporter for Azure<W> {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let lines = self.narrator.tell(event);
        let issues = self.issues.of(event, self.narrator.header.as_deref());
        let mut text = String::new();
        match event {
            RunEvent::Started(header) => {
                self.folder = Some(header.folder.clone());
                self.artifact = artifact_name(header);
                self.environment = header.environment.as_ref().map(ToString::to_string);
            }
            RunEvent::IterationStarted { iteration, of, commit } => {
                write_issues(&mut text, &issues);
                self.iteration = (*iteration, *of);
                let title = format!("Iteration {iteration} of {of} ({})", commit.short());
                self.section(&mut text, &title);
            }
            RunEvent::StageStarted { iteration, stage, .. } => {
                self.progress(&mut text, *stage, false);
                self.open(&mut text, &format!("{iteration}: {stage}"));
            }
            RunEvent::StageFailed { .. } | RunEvent::Restored { .. } => {
                self.close(&mut text);
                write_issues(&mut text, &issues);
            }
            RunEvent::AuthorAsked { iteration, .. } => {
                write_issues(&mut text, &issues);
                self.open(&mut text, &format!("{iteration}: heal"));
            }
            RunEvent::Finished(summary) => {
                self.section(&mut text, "Summary");
                write_issues(&mut text, &issues);
                self.end = Some(End::of(summary));
            }
            RunEvent::Notice(Notice::Warning(_))
            | RunEvent::Evaluated { .. }
            | RunEvent::FlakyRerun { .. } => write_issues(&mut text, &issues),
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
        // The section and the group have said it already.
        let said =
            matches!(event, RunEvent::IterationStarted { .. } | RunEvent::StageStarted { .. });
        for line in lines.iter().filter(|_| !said) {
            text.push_str(&line.render(false));
            text.push('\n');
        }
        if let RunEvent::StagePassed { stage, .. } = event {
            self.close(&mut text);
            self.progress(&mut text, *stage, true);
        }
        if matches!(event, RunEvent::PatchApplied { .. } | RunEvent::NoPatch { .. }) {
            self.close(&mut text);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) {
        let mut text = String::new();
        self.close(&mut text);
        write_issues(&mut text, &self.issues.held());
        // However it ended, or broke off: nothing is under way any more.
        if std::mem::replace(&mut self.percent, 100) < 100 {
            let outcome = self.end.as_ref().map_or("ended", |end| end.outcome.name());
            let _infallible = writeln!(text, "##vso[task.setprogress value=100;]{outcome}");
        }
        let folder = self.folder.take().and_then(|folder| std::path::absolute(folder).ok());
        if let Some(folder) = folder {
            let summary = folder.join(super::SUMMARY_FILE);
            if summary.is_file() {
                let path = escaped(&summary.to_string_lossy());
                let _infallible = writeln!(text, "##vso[task.uploadsummary]{path}");
            }
            if folder.is_dir() {
                let path = escaped(&folder.to_string_lossy());
                let name = escaped(&self.artifact);
                let _infallible = writeln!(
                    text,
                    "##vso[artifact.upload containerfolder={name};artifactname={name}]{path}"
                );
            }
        }
        if let Some(end) = self.end.take() {
            end.tell(&mut text, self.environment.as_deref());
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "could not complete the job's log");
        }
    }

    fn anchor(&mut self, tags: &[String]) {
        let mut text = String::new();
        for it in tags {
            let _infallible = writeln!(text, "##vso[build.addbuildtag]{}", tag(it));
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "the build got no tag with the audit log's checkpoint");
        }
    }
}

fn write_issues(text: &mut String, issues: &[(Severity, Issue)]) {
    for (severity, issue) in issues {
        write_issue(text, *severity, issue);
    }
}

/// The agent links the source file when the path is the repository's.
fn write_issue(text: &mut String, severity: Severity, issue: &Issue) {
    let _infallible = write!(text, "##vso[task.logissue type={};", severity.name());
    if let Some(place) = &issue.place {
        let path = escaped(&place.path);
        let _infallible = write!(text, "sourcepath={path};linenumber={};", place.line);
        if let Some(column) = place.column {
            let _infallible = write!(text, "columnnumber={column};");
        }
    }
    let _infallible = writeln!(text, "]{}", escaped(&issue.message));
}

/// The commands for the pipeline at the end.
#[derive(Debug)]
struct End {
    outcome: Outcome,
    /// The branch with the patches.
    branch: Option<String>,
}

impl End {
    fn of(summary: &RunSummary) -> Self {
        Self {
            outcome: Outcome::of(summary),
            branch: summary.branch.clone().filter(|_| !summary.patches.is_empty()),
        }
    }

    fn tell(&self, text: &mut String, environment: Option<&str>) {
        let outcome = self.outcome.name();
        let mut line = |command: &str, value: &str| {
            let _infallible = writeln!(text, "##vso[{command}]{}", escaped(value));
        };
        line("build.addbuildtag", &tag(&format!("greenloop-{outcome}")));
        if let Some(environment) = environment {
            line("build.addbuildtag", &tag(&format!("greenloop-{environment}-{outcome}")));
        }
        line("task.setvariable variable=outcome;isOutput=true", outcome);
        if let Some(branch) = &self.branch {
            line("task.setvariable variable=branch;isOutput=true", branch);
        }
        // A run that had to repair the commit it was given is no plain success: the commit in the
        // pipeline is still broken. A failed run fails its task by the exit code.
        if self.outcome == Outcome::Healed {
            line("task.complete result=SucceededWithIssues;", "healed");
        }
    }
}

/// The name of the artifact with the run's folder; a build may have several runs.
pub(super) fn artifact_name(header: &RunHeader) -> String {
    let about = header.environment.as_ref().map_or("heal", |environment| environment.as_str());
    tag(&format!("greenloop-{about}-{}", header.run.short()))
}

/// What a build's tag or an artifact may be called: no colon, no slash, no quote.
fn tag(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

/// For a property or the message of a logging command. The percent sign comes first.
pub(super) fn escaped(text: &str) -> String {
    let text = text.trim().replace('%', "%AZP25").replace(';', "%3B");
    let text = text.replace('\r', "%0D").replace('\n', "%0A").replace(']', "%5D");
    safe_text::safe(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_percent_first() {
        for (input, expect) in [
            ("50%; done]\r\nx", "50%AZP25%3B done%5D%0D%0Ax"),
            ("%0A", "%AZP250A"),
            ("##vso[task.complete]", "# #vso[task.complete%5D"),
            ("\u{1b}[2J", "␛[2J"),
        ] {
            assert_eq!(escaped(input), expect, "{input:?}");
        }
    }
}
