//! Why a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::words::named;
use super::{FailureClass, FailureSummary, NoPatchClass, Stage};

/// Why a run ended. Every run ends with exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StopReason {
    /// Every stage passed: the release is verified, or the healed command passes.
    Verified,
    /// The iterations are used up.
    MaxIterations { limit: u32 },
    /// The same failure came back this often.
    NoProgress { repeats: u32 },
    /// The author or the reviewer said again what they had said before: another call would bring
    /// the same. `reason` is what was wrong with it.
    RepeatedAnswer { what: Repeated, reason: String },
    /// A patch led to a tree that had failed before (`swing`: it alternates between two).
    RepeatedTree { swing: bool },
    /// Tokens, money or time are used up.
    Budget { what: String },
    /// The failure is of a class that no patch can repair.
    NotHealable { class: FailureClass, stage: Stage },
    /// The author says that no patch is right.
    NoPatch { class: NoPatchClass, reason: String },
    /// The policy wants a person, and none could be asked, or they declined.
    NeedsHuman { request: String },
    /// The target will not, for a reason that only a person can change.
    Declined { reason: String },
    /// A stage failed in a run that only verifies or rolls back.
    NoHealing { stage: Stage },
    /// A stage failed, and the model that could have repaired it could not be asked. `failure` is
    /// `None` for runs of programs that did not record it.
    ModelUnavailable {
        #[serde(default)]
        failure: Option<Box<FailureSummary>>,
        reason: String,
    },
    /// A stage failed, and no model is configured that could have repaired it: the run ends with
    /// its failure, and is recorded as `failed`. `failure` is `None` for runs of programs that did
    /// not record it; they wrote `no_model`.
    #[serde(rename = "failed", alias = "no_model")]
    NoModel {
        #[serde(default)]
        failure: Option<Box<FailureSummary>>,
        #[serde(rename = "no_model", alias = "reason")]
        reason: String,
    },
    /// The failed release could not be taken back: the target did not restore the last verified one.
    NotRestored { reason: String },
    /// Something under the loop failed: the audit log, git, the target.
    Internal { reason: String },
    /// A person or a signal cancelled it.
    Cancelled,
    /// An earlier run was found dead and was cleaned up.
    Abandoned,
}

named!(
    /// What came again.
    Repeated {
        /// An answer of the author that was had in this run already, white space aside, or a patch
        /// that leads to a tree which was turned down already.
        Answer = "answer",
        /// Another answer, turned down for the same as the one before.
        Refusal = "refusal",
        /// The reviewer's veto of the patch before, word for word.
        Review = "review",
    }
);

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::MaxIterations { limit: 1 } => f.write_str("the only iteration is used up"),
            Self::MaxIterations { limit } => write!(f, "all {limit} iterations are used up"),
            Self::NoProgress { repeats: 1 } => {
                f.write_str("no progress: the failure occurred once, which is the limit")
            }
            Self::NoProgress { repeats } => {
                write!(f, "no progress: the same failure occurred {repeats} times")
            }
            Self::RepeatedAnswer { what, reason } => {
                let what = match what {
                    Repeated::Answer => "the author repeated an earlier answer",
                    Repeated::Refusal => "two answers in a row were rejected for the same reason",
                    Repeated::Review => "the reviewer rejected two patches in the same words",
                };
                write!(f, "no progress: {what}: {}", reason.lines().next().unwrap_or_default())
            }
            Self::RepeatedTree { swing: true } => {
                f.write_str("no progress: the patches alternate between two states of the tree")
            }
            Self::RepeatedTree { swing: false } => {
                f.write_str("no progress: the patch restores a tree that already failed")
            }
            Self::Budget { what } => write!(f, "the {what} budget is exhausted"),
            Self::NotHealable { class, stage } => {
                write!(f, "the {stage} stage failed for a reason no patch can repair ({class})")
            }
            Self::NoPatch { class, reason } => {
                write!(f, "the author declined to write a patch ({}): {reason}", class.name())
            }
            Self::NeedsHuman { request } => write!(f, "a person has to decide: {request}"),
            Self::Declined { reason } => write!(f, "the target declined: {reason}"),
            Self::NoHealing { stage } => {
                write!(f, "the {stage} stage failed, and this command repairs nothing")
            }
            Self::ModelUnavailable { failure, reason } => {
                if let Some(failure) = failure {
                    write!(f, "{failure}; ")?;
                }
                write!(f, "the model is unavailable: {reason}")
            }
            Self::NoModel { failure, reason } => {
                if let Some(failure) = failure {
                    write!(f, "{failure}; ")?;
                }
                write!(f, "no model is configured: {reason}")
            }
            Self::NotRestored { reason } => {
                write!(f, "the last verified release could not be restored: {reason}")
            }
            Self::Internal { reason } => write!(f, "internal error: {reason}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Abandoned => f.write_str("abandoned: its process had died"),
        }
    }
}
