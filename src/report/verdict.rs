//! How a run ended, in the words that every report uses.

use std::collections::BTreeSet;

use super::figures;
use super::narrate::shortened;
use crate::model::{ReleaseId, RunHeader, RunSummary, Stage, StopReason, Task};

/// How good an end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Verified.
    Good,
    /// Cancelled, or waiting for a person.
    Open,
    /// Failed.
    Bad,
}

/// Whether a label of a role says that its answers come from a recording.
pub(super) fn is_recorded(header: &RunHeader) -> bool {
    header.author.contains("replay") || header.reviewer.contains("replay")
}

/// What is said when they do.
pub(super) const RECORDED: &str = "answers come from a recorded transcript, no model was asked";

pub(super) fn mood(stop: &StopReason) -> Mood {
    match stop {
        StopReason::Verified => Mood::Good,
        StopReason::Cancelled | StopReason::NeedsHuman { .. } => Mood::Open,
        StopReason::MaxIterations { .. }
        | StopReason::NoProgress { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::NotHealable { .. }
        | StopReason::NoPatch { .. }
        | StopReason::NoHealing { .. }
        | StopReason::Declined { .. }
        | StopReason::ModelUnavailable { .. }
        | StopReason::NoModel { .. }
        | StopReason::Internal { .. }
        | StopReason::Abandoned => Mood::Bad,
    }
}

/// One sentence: `Healed and verified`, `Stopped: …`.
pub(super) fn headline(header: Option<&RunHeader>, summary: &RunSummary) -> String {
    let task = header.map_or(Task::Deploy, |header| header.task);
    let healed = !summary.patches.is_empty();
    match (&summary.stop, task) {
        (StopReason::Verified, Task::Deploy) if healed => "Healed, deployed and verified".into(),
        (StopReason::Verified, Task::Deploy) => {
            "Deployed and verified, nothing had to be mended".into()
        }
        (StopReason::Verified, Task::Heal) if healed => "Healed: it passes now".into(),
        (StopReason::Verified, Task::Heal) => "It passes, nothing had to be mended".into(),
        (StopReason::Verified, Task::Verify) => "Verified: what is deployed passes".into(),
        (StopReason::Verified, Task::RollBack) => "Rolled back and verified".into(),
        (StopReason::NoHealing { .. }, Task::Verify) => {
            "NOT verified: what is deployed does not pass".into()
        }
        (StopReason::NoHealing { stage: Stage::Smoke }, Task::RollBack) => {
            "Rolled back, and NOT verified: the earlier release does not pass either".into()
        }
        (StopReason::NoHealing { stage }, Task::RollBack) => {
            format!("NOT rolled back: the {stage} stage failed")
        }
        (StopReason::Cancelled, _) => "Cancelled".into(),
        _ if summary.rolled_back() => format!(
            "The deployment failed, and the last verified release was restored: {}",
            cause(summary)
        ),
        // A model that was not there is no cause: what failed is.
        (StopReason::NoModel { .. } | StopReason::ModelUnavailable { .. }, _) => {
            format!("Failed: {}", cause(summary))
        }
        (stop, _) => format!("Stopped: {stop}"),
    }
}

/// What failed, in one line.
fn cause(summary: &RunSummary) -> String {
    if let StopReason::NoModel { failure: Some(failure), .. }
    | StopReason::ModelUnavailable { failure: Some(failure), .. } = &summary.stop
    {
        return shortened(&failure.to_string());
    }
    let left = summary.failure.as_ref().map(|failure| shortened(&failure.headline));
    left.unwrap_or_else(|| summary.stop.to_string())
}

/// Why the loop ended there, where the headline tells what failed instead.
pub(super) fn remark(summary: &RunSummary) -> Option<String> {
    match &summary.stop {
        StopReason::NoModel { reason, .. } => Some(format!(
            "With a model, Greenloop asks for a patch of this failure, has it reviewed, and tries \
             it. None is configured ({reason}); greenloop doctor tells how to."
        )),
        StopReason::ModelUnavailable { reason, .. } => {
            Some(format!("It was not mended: no model can be asked: {reason}"))
        }
        stop if summary.rolled_back() => Some(format!("Stopped: {stop}")),
        _ => None,
    }
}

/// `3 iterations · 2 patches · 41.2s`
pub(super) fn measure(summary: &RunSummary) -> String {
    let patches = summary.patches.len() as u64;
    format!(
        "{} · {} · {}",
        figures::counted(summary.iterations.into(), "iteration", "iterations"),
        figures::counted(patches, "patch", "patches"),
        figures::duration(summary.elapsed)
    )
}

/// What serves now. `switched` holds the releases this run put live. `None` when the run deploys
/// nothing.
pub(super) fn serving(
    header: Option<&RunHeader>,
    summary: &RunSummary,
    switched: &BTreeSet<ReleaseId>,
) -> Option<String> {
    let Some((release, endpoint)) = &summary.serving else {
        let task = header.map(|header| header.task);
        return matches!(task, Some(Task::Deploy | Task::RollBack)).then(|| {
            if summary.restored {
                "Nothing serves: the failed release was stopped and there was none to restore"
                    .into()
            } else {
                "Nothing serves that this run knows of".into()
            }
        });
    };
    let back = header.is_some_and(|header| header.task == Task::RollBack);
    let verified = summary.stop == StopReason::Verified;
    let which = if summary.restored {
        "The last verified release, restored"
    } else if !switched.contains(release) {
        if header.is_some_and(|header| header.task == Task::Verify) {
            "What was deployed before"
        } else {
            "The release from before this run, untouched"
        }
    } else if back {
        if verified { "The earlier release, verified" } else { "The earlier release, NOT verified" }
    } else if verified {
        "The new release, verified"
    } else {
        "The new release, NOT verified"
    };
    Some(format!("{which}: {} at {}", release.short(), endpoint.url))
}
