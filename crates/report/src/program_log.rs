//! The program's own log: a line an event, through `tracing`, in whatever form the
//! configuration gives a line.

use std::io;

use super::format;
use super::reporter::Reporter;
use super::safe_text::safe;
use greenloop_model::{Decision, GateStatus, Notice, ReviewVerdict, RunEvent, StopReason};

/// Sends what happens to the log, without the output of gates: their own logs have it.
#[derive(Debug)]
pub(super) struct ProgramLog;

/// How loud a line is.
enum Level {
    Info,
    Warning,
    Error,
}

impl Reporter for ProgramLog {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let Some((level, text)) = line(event) else { return Ok(()) };
        let text = safe(&text);
        match level {
            Level::Info => tracing::info!(target: "greenloop.run", "{text}"),
            Level::Warning => tracing::warn!(target: "greenloop.run", "{text}"),
            Level::Error => tracing::error!(target: "greenloop.run", "{text}"),
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

fn line(event: &RunEvent) -> Option<(Level, String)> {
    let ok_or = |ok: bool, bad: Level| if ok { Level::Info } else { bad };
    Some(match event {
        RunEvent::Started(header) => (
            Level::Info,
            format!("run {}: {} at commit {}", header.run, header.title, header.commit.short()),
        ),
        RunEvent::Notice(Notice::Info(text)) => (Level::Info, text.clone()),
        RunEvent::Notice(Notice::Warning(text)) => (Level::Warning, text.clone()),
        RunEvent::IterationStarted { iteration, of, commit } => {
            (Level::Info, format!("iteration {iteration}/{of} at commit {}", commit.short()))
        }
        RunEvent::StageStarted { stage, parts, .. } => {
            (Level::Info, format!("stage {stage}: {}", parts.join(", ")))
        }
        RunEvent::GateFinished { result, .. } => {
            let seconds = result.duration.as_secs_f64();
            let level = match (result.passed(), result.required) {
                (true, _) => Level::Info,
                (false, true) => Level::Error,
                (false, false) => Level::Warning,
            };
            let status = match &result.status {
                GateStatus::Passed => "passed".to_owned(),
                GateStatus::Flaky => "flaky: passed when rerun".to_owned(),
                GateStatus::Failed(exit) if result.required => format!("failed: {exit}"),
                GateStatus::Failed(exit) => format!("failed, advisory: {exit}"),
                GateStatus::Skipped { needs } => format!("skipped: it needs {needs}"),
                GateStatus::Cancelled => "cancelled".to_owned(),
            };
            (level, format!("gate {} {status} ({seconds:.1}s)", result.name))
        }
        RunEvent::StepFinished { stage, name, ok, detail, .. } => {
            (ok_or(*ok, Level::Error), format!("{stage}: {name}: {detail}"))
        }
        RunEvent::StagePassed { stage, .. } => (Level::Info, format!("stage {stage} passed")),
        RunEvent::StageFailed { failure, progress, .. } => {
            let progress = progress.map_or(String::new(), |p| format!(" [{}]", p.name()));
            let class = failure.class;
            (
                Level::Error,
                format!("stage {} failed ({class}){progress}: {}", failure.stage, failure.headline),
            )
        }
        RunEvent::FlakyRerun { stage, name, passed } => match passed {
            None => (Level::Warning, format!("{stage}: {name} may be flaky: rerunning")),
            Some(true) => (Level::Warning, format!("{stage}: {name} passed: flaky")),
            Some(false) => (Level::Info, format!("{stage}: {name} failed again")),
        },
        RunEvent::Restored { ok, detail, .. } => {
            (ok_or(*ok, Level::Error), format!("restore: {detail}"))
        }
        RunEvent::AuthorAsked { model, .. } => (Level::Info, format!("asking the author {model}")),
        RunEvent::AuthorLooked { call, .. } => (
            Level::Info,
            format!(
                "the author calls a tool: \
            {call}"
            ),
        ),
        RunEvent::PatchProposed { reason, .. } => {
            (Level::Info, format!("the author proposes a patch: {reason}"))
        }
        RunEvent::PatchRefused { reason, .. } => {
            (Level::Warning, format!("the answer could not be used: {reason}"))
        }
        RunEvent::NoPatch { class, reason, .. } => {
            (Level::Warning, format!("the author declined to write a patch ({class}): {reason}"))
        }
        RunEvent::ReviewerAsked { model, .. } => {
            (Level::Info, format!("asking the reviewer {model}"))
        }
        RunEvent::Reviewed { review, .. } => match review.verdict {
            ReviewVerdict::Approve => (Level::Info, format!("approved: {}", review.reason)),
            ReviewVerdict::Reject => (Level::Warning, format!("rejected: {}", review.reason)),
        },
        RunEvent::Evaluated { evaluation, .. } => {
            let decision = evaluation.decision();
            let rules: Vec<&str> = evaluation.matches().iter().map(|m| m.rule.as_str()).collect();
            let level = ok_or(decision == Decision::Allow, Level::Warning);
            (level, format!("policy: {} {}", decision.name(), rules.join(", ")))
        }
        RunEvent::HumanDecided { approved, who, .. } => {
            (Level::Info, format!("{who} says {}", if *approved { "yes" } else { "no" }))
        }
        RunEvent::PatchApplied { commit, files, .. } => {
            (Level::Info, format!("applied as commit {}: {}", commit.short(), files.join(", ")))
        }
        RunEvent::ImageReady { image, reused, .. } => {
            (Level::Info, format!("image {}: {image}", super::wording::image_origin(*reused)))
        }
        RunEvent::Switched { release, endpoint } => {
            (Level::Info, format!("release {} serves at {}", release.short(), endpoint.url))
        }
        RunEvent::Finished(summary) => {
            let level = ok_or(summary.stop == StopReason::Verified, Level::Error);
            (
                level,
                format!(
                    "the run ends after {}: {}",
                    format::counted(summary.iterations.into(), "iteration", "iterations"),
                    summary.stop
                ),
            )
        }
        RunEvent::PartStarted { .. } | RunEvent::Output { .. } | RunEvent::Progress { .. } => {
            return None;
        }
    })
}
