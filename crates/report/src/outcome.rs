//! How a run ended, in one word, for pipelines.

use super::verdict::{self, Conclusion};
use greenloop_model::{RunSummary, StopReason};

/// How a run ended: a tag of the build, and the output variable `outcome` that later steps decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing had to be repaired.
    Verified,
    /// Verified, with patches.
    Healed,
    /// The last verified release serves again.
    Restored,
    /// A person has to decide.
    Waiting,
    Cancelled,
    Stopped,
}

impl Outcome {
    pub(super) fn of(summary: &RunSummary) -> Self {
        match (verdict::conclusion(summary), &summary.stop) {
            (Conclusion::Success, _) if summary.patches.is_empty() => Self::Verified,
            (Conclusion::Success, _) => Self::Healed,
            (Conclusion::Undecided | Conclusion::Failure, _) if summary.is_restored() => {
                Self::Restored
            }
            (Conclusion::Undecided, StopReason::NeedsHuman { .. } | StopReason::Verified) => {
                Self::Waiting
            }
            (Conclusion::Undecided, _) => Self::Cancelled,
            (Conclusion::Failure, _) => Self::Stopped,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Healed => "healed",
            Self::Restored => "restored",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
        }
    }
}
