//! How a run ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::target_at_end::TargetAtEnd;
use super::{CommitId, Failure, ModelUsage, Proof, Review, Stage, StopReason, Usage};

const fn yes() -> bool {
    true
}

const fn is_true(value: &bool) -> bool {
    *value
}

/// One applied patch in the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SummaryPatch {
    /// 1-based.
    pub iteration: u32,
    /// The failure it repaired.
    pub failure: String,
    /// The author's reason.
    pub reason: String,
    /// The canonical unified diff.
    pub diff: String,
    /// The review that let it pass.
    pub review: Review,
    /// The commit that carries it.
    pub commit: CommitId,
    /// Who confirmed it, where the policy wanted a person.
    pub confirmed_by: Option<String>,
}

/// One thing a person can do after a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// What it does, or what is to be done where no command does it.
    pub what: String,
    /// To be typed as it stands.
    pub command: Option<String>,
}

/// Where a run's patches are at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum FixPlace {
    /// In the work tree, and on the run's branch.
    WorkTree {
        /// Whether it was remembered, so that it can be taken back; in records where it was not.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        can_undo: bool,
    },
    /// On the run's branch, which stands on HEAD's commit.
    Branch,
    /// On the run's branch, which stands on a commit of the changed work tree.
    SnapshotBranch,
    /// There too, though they were to be in the work tree.
    NotBroughtBack {
        /// What kept them out of it.
        #[serde(rename = "reason", default)]
        why: String,
    },
}

/// How a run ended, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Why it ended. Its text is recorded beside it, as `verdict`.
    #[serde(flatten, with = "stop_and_text")]
    pub stop: StopReason,
    /// Passes over the stages.
    pub iterations: u32,
    /// The patches that were applied, in order.
    pub patches: Vec<SummaryPatch>,
    /// The failure that is left, when it did not end verified.
    pub failure: Option<Box<Failure>>,
    /// What runs on the target.
    #[serde(flatten)]
    pub target: TargetAtEnd,
    /// The branch with the patches, when there are any.
    pub branch: Option<String>,
    /// Where the patches are; `None` when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<FixPlace>,
    /// What failed and then passed on the same tree: gates and flows, in that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaky: Vec<String>,
    /// What the tests show of the patches; `None` when none was applied or no gate was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Tokens and money.
    pub usage: Usage,
    /// The same by model; of a run that was resumed, since then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelUsage>,
    /// Wall-clock time.
    #[serde(rename = "elapsed_ms", with = "crate::millis")]
    pub elapsed: Duration,
    /// What a person can do next, most useful first.
    pub next_steps: Vec<NextStep>,
}

impl RunSummary {
    /// Why the patches are not in the work tree, when that is where they were to be.
    pub fn not_brought_back(&self) -> Option<&str> {
        match &self.fix {
            Some(FixPlace::NotBroughtBack { why }) => Some(why),
            Some(FixPlace::WorkTree { .. } | FixPlace::Branch | FixPlace::SnapshotBranch)
            | None => None,
        }
    }

    /// Whether it ended with a release of this run that failed and the last verified one serving
    /// again. Not a rollout that could not begin because a machine, a credential or a quota was missing:
    /// nothing was switched then, and what is out of order is not the release.
    pub fn rolled_back(&self) -> bool {
        let deployment_failed = self
            .failure
            .as_ref()
            .is_some_and(|failure| matches!(failure.stage, Stage::Rollout | Stage::Smoke));
        let switched = match &self.stop {
            StopReason::Verified | StopReason::Cancelled | StopReason::Abandoned => false,
            StopReason::NotHealable { class, stage: Stage::Rollout } => class.heals(),
            StopReason::NotHealable { .. }
            | StopReason::MaxIterations { .. }
            | StopReason::NoProgress { .. }
            | StopReason::RepeatedAnswer { .. }
            | StopReason::RepeatedTree { .. }
            | StopReason::Budget { .. }
            | StopReason::NoPatch { .. }
            | StopReason::NeedsHuman { .. }
            | StopReason::Declined { .. }
            | StopReason::NoHealing { .. }
            | StopReason::ModelUnavailable { .. }
            | StopReason::NoModel { .. }
            | StopReason::NotRestored { .. }
            | StopReason::Internal { .. } => true,
        };
        self.is_restored() && deployment_failed && switched
    }

    /// Whether the last verified release serves because the one of this run was taken back.
    pub fn is_restored(&self) -> bool {
        self.target.restored.is_some_and(|restored| restored.release().is_some())
    }
}

/// `"stop": {…}, "verdict": "…"`: the reason for programs, and its text, which is not read back.
mod stop_and_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::StopReason;

    pub(super) fn serialize<S: Serializer>(
        stop: &StopReason,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Recorded<'a> {
            stop: &'a StopReason,
            verdict: String,
        }
        Recorded { stop, verdict: stop.to_string() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StopReason, D::Error> {
        #[derive(Deserialize)]
        struct Recorded {
            stop: StopReason,
        }
        Ok(Recorded::deserialize(deserializer)?.stop)
    }
}
