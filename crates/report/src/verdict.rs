//! How a run ended, in the words that every report uses.

use std::collections::BTreeSet;

use super::format;
use super::wording::shortened;
use greenloop_model::{
    Condition, Failure, ReleaseId, Restoration, RunHeader, RunKind, RunSummary, RunningNow, Stage,
    StopReason,
};

/// Lines about what the tests show.
const MOST_PROOF: usize = 12;

/// How a run ended, as its reports mark it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// Verified.
    Success,
    /// Cancelled, or waiting for a person.
    Undecided,
    /// Failed.
    Failure,
}

/// Whether a label of a role says that its answers come from a recording.
pub(super) fn is_recorded(header: &RunHeader) -> bool {
    header.author.contains("replay") || header.reviewer.contains("replay")
}

/// What is said when they do.
pub(super) const RECORDED: &str = "answers come from a recorded transcript, no model was asked";

pub(super) fn conclusion(summary: &RunSummary) -> Conclusion {
    match &summary.stop {
        StopReason::Verified if summary.not_brought_back().is_some() => Conclusion::Undecided,
        StopReason::Verified => Conclusion::Success,
        StopReason::Cancelled | StopReason::NeedsHuman { .. } => Conclusion::Undecided,
        StopReason::MaxIterations { .. }
        | StopReason::NoProgress { .. }
        | StopReason::RepeatedAnswer { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::NotHealable { .. }
        | StopReason::NoPatch { .. }
        | StopReason::NoHealing { .. }
        | StopReason::Declined { .. }
        | StopReason::ModelUnavailable { .. }
        | StopReason::NoModel { .. }
        | StopReason::NotRestored { .. }
        | StopReason::Internal { .. }
        | StopReason::Abandoned => Conclusion::Failure,
    }
}

/// One sentence: `Healed and verified`, `Restored to release …, serving again after 0.8s`,
/// `Stopped: …`. What became of a release that failed comes before why it failed.
pub(super) fn headline(header: Option<&RunHeader>, summary: &RunSummary) -> String {
    headline_of(header.map_or(RunKind::Deploy, |header| header.task), summary)
}

/// The same of a run of that kind.
pub(super) fn headline_of(task: RunKind, summary: &RunSummary) -> String {
    let healed = !summary.patches.is_empty();
    if let (StopReason::Verified, Some(why)) = (&summary.stop, summary.not_brought_back()) {
        let branch = summary.branch.as_deref().unwrap_or("the run's branch");
        return format!(
            "It passes with the fix, which is only on {branch} and not in the work tree: {why}"
        );
    }
    match (&summary.stop, task) {
        (StopReason::Verified, RunKind::Deploy) if healed && is_unproven(summary) => {
            "Deployed and verified; the repair is unproven".into()
        }
        (StopReason::Verified, RunKind::Deploy) if healed => "Healed, deployed and verified".into(),
        (StopReason::Verified, RunKind::Deploy) => {
            "Deployed and verified, nothing had to be repaired".into()
        }
        (StopReason::Verified, RunKind::Heal) if healed && is_unproven(summary) => {
            "Passed, unproven: it passes now, but no test shows that it works".into()
        }
        (StopReason::Verified, RunKind::Heal) if healed && summary.proof.is_some() => {
            "Healed: it passes now, proven by tests".into()
        }
        (StopReason::Verified, RunKind::Heal) if healed => "Healed: it passes now".into(),
        (StopReason::Verified, RunKind::Heal) if !summary.flaky.is_empty() => {
            "Flaky: it failed once and passed on the same tree; nothing was repaired".into()
        }
        (StopReason::Verified, RunKind::Heal) => "It passes, nothing had to be repaired".into(),
        (StopReason::Verified, RunKind::Verify) => match &summary.target.serving {
            Some(RunningNow::Nothing) => {
                "The responding service passes; Greenloop has deployed nothing there".into()
            }
            Some(RunningNow::Release { release, condition: Condition::Down(_), .. }) => {
                format!(
                    "The responding service passes, but it is not release {release}, which is \
                    not serving"
                )
            }
            Some(RunningNow::Unknown { .. }) => {
                "The responding service passes; its release is unknown".into()
            }
            Some(RunningNow::Release { .. }) | None => {
                "Verified: the deployed release passes".into()
            }
        },
        (StopReason::Verified, RunKind::RollBack) => "Rolled back and verified".into(),
        (StopReason::NoHealing { .. }, RunKind::Verify) => match &summary.target.serving {
            Some(RunningNow::Nothing) => {
                "NOT verified: Greenloop has deployed nothing there".into()
            }
            Some(RunningNow::Release { release, condition: Condition::Down(_), .. }) => {
                format!("NOT verified: release {release} is not serving")
            }
            Some(RunningNow::Release { .. } | RunningNow::Unknown { .. }) | None => {
                "NOT verified: the deployed release does not pass".into()
            }
        },
        (StopReason::NoHealing { stage: Stage::Smoke }, RunKind::RollBack) => {
            "Rolled back, but NOT verified: the earlier release does not pass either".into()
        }
        (StopReason::NoHealing { .. }, RunKind::RollBack) => {
            format!("NOT rolled back: {}", cause(summary))
        }
        (StopReason::Declined { reason }, RunKind::RollBack) => {
            format!("Not rolled back: {reason}")
        }
        (StopReason::Cancelled, _) => match summary.target.restored {
            Some(Restoration::Nothing) => {
                "Cancelled: the new release was stopped, and there was none to restore: nothing serves"
                    .into()
            }
            Some(restored) => format!("Cancelled: {}", in_words(restored)),
            None => "Cancelled".into(),
        },
        (stop, _) => match summary.target.restored {
            // What serves comes before why the new release does not.
            Some(restored @ Restoration::Restored { .. }) => sentence(&in_words(restored)),
            Some(restored) => format!("Not deployed: {}", in_words(restored)),
            // A model that was not there is no cause: what failed is.
            None if is_no_cause(stop) => format!("Failed: {}", cause(summary)),
            None if tells_the_failure(summary) => format!("Failed: {}", cause(summary)),
            None => format!("Stopped: {stop}"),
        },
    }
}

/// What the header's commit is: smoke tests alone begin from none, and what they test is said by
/// the target.
pub(super) fn commit_label(header: &RunHeader) -> &'static str {
    match header.task {
        RunKind::Verify => "Work tree",
        RunKind::Deploy | RunKind::Heal | RunKind::RollBack => "Commit",
    }
}

/// What is still broken: nothing, where the target declined what it was asked for.
pub(super) fn broken(summary: &RunSummary) -> Option<&Failure> {
    let declined = matches!(summary.stop, StopReason::Declined { .. });
    summary.failure.as_deref().filter(|_| !declined)
}

/// Whether no test that ran shows that the repair works.
fn is_unproven(summary: &RunSummary) -> bool {
    summary.proof.as_ref().is_some_and(|proof| !proof.is_proven())
}

/// What the tests show of the repair, a line each; nothing where no gate was repaired.
pub(super) fn proof(summary: &RunSummary) -> Vec<String> {
    let Some(proof) = &summary.proof else { return Vec::new() };
    let mut lines = vec![sentence(&proof.verdict())];
    lines.extend(proof.details().into_iter().map(|line| sentence(&line)));
    if lines.len() > MOST_PROOF {
        let more = lines.len() - MOST_PROOF;
        lines.truncate(MOST_PROOF);
        lines.push(format!("… and {more} more, in the audit log"));
    }
    lines
}

fn is_no_cause(stop: &StopReason) -> bool {
    matches!(stop, StopReason::NoModel { .. } | StopReason::ModelUnavailable { .. })
}

/// Whether the headline is that of the failure which is left.
pub(super) fn tells_the_failure(summary: &RunSummary) -> bool {
    let stop = &summary.stop;
    summary.failure.is_some()
        && summary.target.restored.is_none()
        && (is_no_cause(stop) || matches!(stop, StopReason::NotHealable { .. }))
}

/// What stands below the headline, one line each: what failed, why the loop ended there, and what
/// passed by chance.
pub(super) fn reasons(summary: &RunSummary) -> Vec<String> {
    let restored = summary.target.restored.is_some() && summary.stop != StopReason::Cancelled;
    let failed = summary.failure.as_ref().filter(|_| restored).map(|failure| {
        format!("The {} stage failed: {}", failure.stage, shortened(&failure.headline))
    });
    let flaky = (!summary.flaky.is_empty()).then(|| {
        let names = summary.flaky.join(", ");
        format!("Flaky, failed once and passed on the same tree: {names}")
    });
    let fails_too = summary.target.restored_fails.as_ref().map(|found| {
        format!(
            "The smoke tests fail on the restored release, too: {}. Suspect the tests, or what both \
             releases depend on.",
            shortened(found)
        )
    });
    let lines = failed.into_iter().chain(fails_too).chain(remark(summary)).chain(flaky);
    lines.chain(proof(summary)).collect()
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `restored to release …, serving again after 0.8s`
fn in_words(restored: Restoration) -> String {
    match restored {
        Restoration::Restored { release, serving_after: Some(after) } => {
            let after = format::duration(after);
            format!("restored to release {release}, serving again after {after}")
        }
        Restoration::Restored { release, serving_after: None } => {
            format!("restored to release {release}, accepted by the target; its soak was skipped")
        }
        Restoration::Untouched { release } => format!("release {release} never stopped serving"),
        Restoration::Nothing => {
            "the new release failed, and there was none to restore: nothing serves".into()
        }
        Restoration::Unconfirmed => {
            "the target has not confirmed the restore; the next run continues it".into()
        }
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
            "With a model, Greenloop would request a patch, have it reviewed, and try it. None is \
             configured ({reason}); see `greenloop doctor`."
        )),
        StopReason::ModelUnavailable { reason, .. } => {
            Some(format!("It was not repaired: the model is unavailable: {reason}"))
        }
        StopReason::NotHealable { class, .. } if summary.failure.is_some() => {
            Some(format!("No patch can repair that ({class}), so the author was not asked."))
        }
        StopReason::Verified | StopReason::Cancelled => None,
        stop => summary.target.restored.is_some().then(|| format!("Stopped: {stop}")),
    }
}

/// `3 iterations · 2 patches · 41.2s`
pub(super) fn measure(summary: &RunSummary) -> String {
    let patches = summary.patches.len() as u64;
    format!(
        "{} · {} · {}",
        format::counted(summary.iterations.into(), "iteration", "iterations"),
        format::counted(patches, "patch", "patches"),
        format::duration(summary.elapsed)
    )
}

/// What runs now, as the target said at the end of the run. `switched` holds the releases this run
/// put live. `None` when the run concerns no target.
pub(super) fn serving(
    header: Option<&RunHeader>,
    summary: &RunSummary,
    switched: &BTreeSet<ReleaseId>,
) -> Option<String> {
    let (release, endpoint, condition) = match summary.target.serving.as_ref()? {
        RunningNow::Release { release, endpoint, condition } => (release, endpoint, condition),
        RunningNow::Nothing => {
            return Some(match summary.target.restored {
                Some(Restoration::Nothing) => {
                    "Nothing: there was no verified release to restore".into()
                }
                Some(_) | None => "Nothing deployed by Greenloop".into(),
            });
        }
        RunningNow::Unknown { why } => return Some(format!("Unknown: {why}")),
    };
    let back = header.is_some_and(|header| header.task == RunKind::RollBack);
    let verified = summary.stop == StopReason::Verified;
    let which = if summary.target.restored.and_then(|restored| restored.release()) == Some(*release)
    {
        match summary.target.restored {
            Some(Restoration::Untouched { .. }) => "The release from before this run, untouched",
            Some(_) | None => "The last verified release, restored",
        }
    } else if !switched.contains(release) {
        if header.is_some_and(|header| header.task == RunKind::Verify) {
            if verified { "The deployed release, verified" } else { "The deployed release" }
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
    let (url, release) = (&endpoint.url, release.short());
    Some(match condition {
        Condition::Serves => format!("{which}: {release} at {url}"),
        Condition::Partly(why) => format!("{which}: {release} at {url}, but {why}"),
        Condition::Down(why) => {
            format!("Nothing is serving: release {release} was deployed last, but {why}")
        }
        Condition::Unknown(why) => {
            format!("Unknown: release {release} was deployed last at {url}; {why}")
        }
    })
}
