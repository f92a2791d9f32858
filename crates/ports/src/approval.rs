//! Where a person decides who is not at the run's terminal.

use std::time::Duration;

use async_trait::async_trait;

use greenloop_model::{ApprovalSubject, CommitId, TreeId};

/// What a person is asked. Texts are redacted.
#[derive(Debug, Clone)]
pub struct ApprovalQuestion {
    pub subject: ApprovalSubject,
    pub iteration: u32,
    /// The commit that the run stands at.
    pub commit: CommitId,
    /// The tree before the change; `None` when there is none that is known.
    pub base: Option<TreeId>,
    /// The tree that is approved.
    pub tree: TreeId,
    /// The digest of the policy.
    pub policy: String,
    /// The question, and why a person is asked.
    pub request: String,
    /// A unified diff.
    pub diff: String,
    /// What is known of the failure, or of the rollout.
    pub evidence: String,
    /// The reviewer's verdict; empty when nobody reviewed.
    pub review: String,
}

/// What a person decided elsewhere, on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteDecision {
    pub approved: bool,
    /// The name that they are known by there.
    pub who: String,
    /// Why; empty when they did not say.
    pub reason: String,
    /// What was decided on, as it is recorded there.
    pub base: String,
    pub tree: String,
    pub policy: String,
    /// The record's id there.
    pub id: i64,
    /// Where the record is shown.
    pub link: String,
}

/// What a person at the run's screen is told meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalNews {
    /// The request is there: where it is shown, its id, and how long it waits.
    Waiting { link: String, id: i64, timeout: Duration },
    /// The place cannot be reached for now, and why; the wait goes on.
    Away(String),
    /// It answers again.
    Back,
    /// Nobody decides there, and why.
    Given(String),
}

/// Has people decide elsewhere.
#[async_trait]
pub trait RemoteApprovals: Send + Sync {
    /// Asks, and waits for the decision. `None` when nobody decides: in time, or at all. May be
    /// dropped; [`withdraw`](Self::withdraw) follows then.
    async fn decide(
        &self,
        question: &ApprovalQuestion,
        news: &mut (dyn FnMut(ApprovalNews) + Send),
    ) -> Option<RemoteDecision>;

    /// Takes back what was asked last and is not decided; returns within seconds.
    async fn withdraw(&self, why: &str);
}
