//! How a run ended, in the words that every report uses.

use std::collections::BTreeSet;

use super::figures;
use crate::model::{ReleaseId, RunHeader, RunSummary, StopReason};

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
        | StopReason::ModelUnavailable { .. }
        | StopReason::NoModel { .. }
        | StopReason::Internal { .. }
        | StopReason::Abandoned => Mood::Bad,
    }
}

/// One sentence: `Healed and verified`, `Stopped: …`.
pub(super) fn headline(header: Option<&RunHeader>, summary: &RunSummary) -> String {
    let deploys = header.is_none_or(|header| header.environment.is_some());
    match (&summary.stop, summary.patches.is_empty(), deploys) {
        (StopReason::Verified, false, true) => "Healed, deployed and verified".into(),
        (StopReason::Verified, false, false) => "Healed: it passes now".into(),
        (StopReason::Verified, true, true) => "Verified, nothing had to be mended".into(),
        (StopReason::Verified, true, false) => "It passes, nothing had to be mended".into(),
        (StopReason::Cancelled, _, _) => "Cancelled".into(),
        (stop, _, _) => format!("Stopped: {stop}"),
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
        let deploys = header.is_some_and(|header| header.environment.is_some());
        return deploys.then(|| {
            if summary.restored {
                "Nothing serves: the failed release was stopped and there was none to restore"
                    .into()
            } else {
                "Nothing serves that this run knows of".into()
            }
        });
    };
    let which = if summary.restored {
        "The last verified release, restored"
    } else if !switched.contains(release) {
        "The release from before this run, untouched"
    } else if summary.stop == StopReason::Verified {
        "The new release, verified"
    } else {
        "The new release, NOT verified"
    };
    Some(format!("{which}: {} at {}", release.short(), endpoint.url))
}
