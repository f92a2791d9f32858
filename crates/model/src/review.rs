//! The reviewer's verdict. It can veto, it can never grant.

use serde::{Deserialize, Serialize};

use super::words::named;

named!(
    /// Approve or reject.
    ReviewVerdict {
        /// The reviewer found nothing against the patch.
        Approve = "approve",
        /// The patch must not be applied. Also what a malformed, late or missing answer counts as.
        Reject = "reject",
    }
);

named!(
    /// How much could go wrong, by the reviewer's estimate.
    Risk {
        /// A local, obvious change.
        Low = "low",
        /// Could change behaviour elsewhere.
        Medium = "medium",
        /// Could lose data, open a hole or stop the service.
        High = "high",
    }
);

/// A reviewer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Approve or reject.
    pub verdict: ReviewVerdict,
    /// How much could go wrong.
    pub risk: Risk,
    pub reason: String,
    /// What would make it acceptable.
    pub suggestion: Option<String>,
    /// Who reviewed: the model's name.
    pub reviewer: String,
}

impl Review {
    /// A missing or unreadable answer: not approved.
    pub fn unusable(reviewer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            verdict: ReviewVerdict::Reject,
            risk: Risk::High,
            reason: reason.into(),
            suggestion: None,
            reviewer: reviewer.into(),
        }
    }
}
