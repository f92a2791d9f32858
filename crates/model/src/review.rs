//! The reviewer's verdict. It can veto, it can never grant.

/// Approve or reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The reviewer found nothing against the patch.
    Approve,
    /// The patch must not be applied. Also what a malformed, late or missing answer counts as.
    Reject,
}

/// How much could go wrong, by the reviewer's estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// A local, obvious change.
    Low,
    /// Could change behaviour elsewhere.
    Medium,
    /// Could lose data, open a hole or stop the service.
    High,
}

impl Risk {
    /// The word in the review's JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A reviewer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Approve or reject.
    pub verdict: Verdict,
    /// How much could go wrong.
    pub risk: Risk,
    /// Why.
    pub reason: String,
    /// What would make it acceptable.
    pub suggestion: Option<String>,
    /// Who reviewed: the model's name.
    pub reviewer: String,
}

impl Review {
    /// What stands for an answer that could not be had or read: not approved.
    pub fn unusable(reviewer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Reject,
            risk: Risk::High,
            reason: reason.into(),
            suggestion: None,
            reviewer: reviewer.into(),
        }
    }
}
