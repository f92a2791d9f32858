//! Errors and warnings of a run, and the places in the sources that they are about: what code hosts
//! show beside the lines.

use std::path::{Path, PathBuf};

use super::verdict::{self, Conclusion};
use super::wording;
use greenloop_model::{
    Decision, Evidence, Failure, Location, Notice, RunEvent, RunHeader, RunSummary, Stage,
};

/// Issues of one failure: more bury the first, which is the cause.
const MOST: usize = 5;

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

/// Where it is; the path is the repository's, when the file is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: u64,
    pub(super) column: Option<u64>,
}

/// What code hosts call the severity of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Warning,
    Error,
}

impl Severity {
    /// As workflow commands name it, at GitHub and in Azure Pipelines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The issues of a run, event by event. A failure is held until it is known whether the run goes on
/// from it (a warning) or ends with it (an error).
#[derive(Debug, Default)]
pub(super) struct Issues {
    repository: Option<PathBuf>,
    held: Option<Box<Failure>>,
}

impl Issues {
    /// The issues that an event settles; `header` is that of the run, once it has begun.
    pub(super) fn of(
        &mut self,
        event: &RunEvent,
        header: Option<&RunHeader>,
    ) -> Vec<(Severity, Issue)> {
        match event {
            RunEvent::Started(header) => {
                self.repository = Some(header.repository.clone());
                Vec::new()
            }
            RunEvent::Notice(Notice::Warning(warning)) => {
                vec![plain(Severity::Warning, warning.clone())]
            }
            RunEvent::StageFailed { failure, .. } => {
                let earlier = self.held();
                self.held = Some(failure.clone());
                earlier
            }
            RunEvent::Restored { ok, detail, .. } => {
                let severity = if *ok { Severity::Warning } else { Severity::Error };
                vec![plain(severity, format!("restore: {detail}"))]
            }
            RunEvent::Evaluated { evaluation, .. } if evaluation.decision() != Decision::Allow => {
                let matches = evaluation.matches().iter();
                matches.map(|found| plain(Severity::Warning, wording::rule_match(found))).collect()
            }
            RunEvent::IterationStarted { .. }
            | RunEvent::AuthorAsked { .. }
            | RunEvent::FlakyRerun { passed: Some(true), .. } => self.held(),
            // A gate that fails again is reported with its second failure.
            RunEvent::FlakyRerun { passed: Some(false), .. } => {
                self.held = None;
                Vec::new()
            }
            RunEvent::Finished(summary) => self.finished(summary, header),
            RunEvent::Notice(Notice::Info(_))
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::Progress { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::GateFinished { .. }
            | RunEvent::StepFinished { .. }
            | RunEvent::StageStarted { .. }
            | RunEvent::StagePassed { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::PatchProposed { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::Reviewed { .. }
            | RunEvent::Evaluated { .. }
            | RunEvent::FlakyRerun { passed: None, .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. } => Vec::new(),
        }
    }

    /// The failure that the run goes on from, if one is held.
    pub(super) fn held(&mut self) -> Vec<(Severity, Issue)> {
        let held = self.held.take();
        held.map_or_else(Vec::new, |failure| self.failure(Severity::Warning, &failure))
    }

    fn failure(&self, severity: Severity, failure: &Failure) -> Vec<(Severity, Issue)> {
        let issues = of_failure(failure, self.repository.as_deref());
        issues.into_iter().map(|issue| (severity, issue)).collect()
    }

    fn finished(
        &mut self,
        summary: &RunSummary,
        header: Option<&RunHeader>,
    ) -> Vec<(Severity, Issue)> {
        if summary.failure.is_some() {
            self.held = None;
        }
        let mut issues = self.held();
        let headline = verdict::headline(header, summary);
        match verdict::conclusion(summary) {
            Conclusion::Success if summary.patches.is_empty() => {}
            Conclusion::Success => {
                let branch = summary.branch.as_deref().unwrap_or("the run's branch");
                let message = format!("{headline}: merge the patches from {branch}");
                issues.push(plain(Severity::Warning, message));
            }
            Conclusion::Undecided | Conclusion::Failure => {
                if !verdict::tells_the_failure(summary) {
                    issues.push(plain(Severity::Error, headline));
                }
                if let Some(remark) = verdict::remark(summary) {
                    issues.push(plain(Severity::Warning, remark));
                }
                if let Some(failure) = &summary.failure {
                    issues.extend(self.failure(Severity::Error, failure));
                }
            }
        }
        issues
    }
}

fn plain(severity: Severity, message: String) -> (Severity, Issue) {
    (severity, Issue { place: None, message })
}

/// The failure first, with the first place that it names; then the other places.
pub(super) fn of_failure(failure: &Failure, repository: Option<&Path>) -> Vec<Issue> {
    let message = match failure.stage {
        // Its headline names the gate.
        Stage::Gates => failure.headline.clone(),
        Stage::Tasks | Stage::Image | Stage::Rollout | Stage::Smoke => {
            format!("{}: {}", failure.stage, failure.headline)
        }
    };
    let evidence = &failure.evidence;
    let mut places = evidence.excerpts.iter().filter_map(|excerpt| {
        let first = excerpt.text.lines().find(|line| !line.trim().is_empty());
        let place = place(excerpt.locations.first()?, evidence, repository);
        Some((place, first.unwrap_or(&excerpt.kind).trim().to_owned()))
    });
    let cause = places.next().map(|(place, _)| place);
    let others = places.take(MOST - 1);
    let others = others.map(|(place, message)| Issue { place: Some(place), message });
    std::iter::once(Issue { place: cause, message }).chain(others).collect()
}

/// A gate that runs in a folder of its own names files relative to that: the code that was read for
/// a place knows better.
fn place(location: &Location, evidence: &Evidence, repository: Option<&Path>) -> Place {
    let read = evidence.code.iter().find(|code| code.about == *location);
    let file = location.file.as_str();
    let relative = || {
        let inside = repository.and_then(|root| Path::new(file).strip_prefix(root).ok());
        inside.map(|path| path.to_string_lossy().into_owned())
    };
    let path = read.map(|code| code.path.clone()).or_else(relative);
    Place {
        path: path.unwrap_or_else(|| file.to_owned()),
        line: location.line,
        column: location.column,
    }
}
