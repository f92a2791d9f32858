//! Where releases run.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::model::{
    CommitId, Endpoint, EventSink, Evidence, FailureClass, Release, ReleaseId, RunId, TargetKind,
};

/// What to roll out.
#[derive(Debug, Clone)]
pub struct RolloutRequest {
    /// The release's id, chosen by the caller so that its intent can be audited beforehand.
    pub release: ReleaseId,
    /// The commit it is made from.
    pub commit: CommitId,
    /// The run that makes it.
    pub run: RunId,
    /// The work tree that holds what the stages before have built.
    pub work_tree: PathBuf,
    /// How long it may take to become healthy.
    pub wait: Duration,
}

/// A release that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The release.
    pub release: ReleaseId,
    /// Where it can be reached.
    pub endpoint: Endpoint,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// The last verified release serves again.
    Release(Deployed),
    /// There is no verified release; the failed one was stopped and nothing serves.
    Nothing,
    /// The last verified release never stopped serving.
    Untouched(Deployed),
}

/// What a target holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// The release that serves, with its address.
    pub serving: Option<(Release, Endpoint)>,
    /// All it remembers, newest first.
    pub releases: Vec<Release>,
    /// Plain statements for a person: `restarted 2 times, last exit: killed by SIGSEGV`.
    pub notes: Vec<String>,
}

/// What kind of trouble a target had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetErrorKind {
    /// The release is at fault: it does not start, dies, or never becomes healthy.
    Release,
    /// The target itself is: it cannot be reached or told what to do.
    Target,
    /// The rollout was cancelled; nothing was switched.
    Cancelled,
    /// There is no such release, or none to restore.
    NoRelease,
}

/// A target that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TargetError {
    /// The kind, which decides what follows.
    pub kind: TargetErrorKind,
    /// One line for a person.
    pub message: String,
    /// The class of a failed release.
    pub class: FailureClass,
    /// What is known of a failed release: frozen before anything was restored.
    pub evidence: Box<Evidence>,
    /// What lies underneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where releases run. The state lives with the target, so that it outlives the run: a run that
/// dies at any point leaves either the old or the new release serving, never both, never none.
#[async_trait]
pub trait Target: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> TargetKind;

    /// Starts the release beside the one that serves, waits until it is healthy, switches to it
    /// and keeps the old one for a restore. On error the old release still serves.
    async fn roll_out(
        &self,
        request: &RolloutRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError>;

    /// Records that the release's smoke tests passed.
    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError>;

    /// The service's own log since the switch to `release`: its end, bounded and redacted.
    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError>;

    /// Marks `failed` as failed and lets the last verified release serve again.
    async fn restore(&self, failed: ReleaseId) -> Result<Restored, TargetError>;

    /// Lets `release` (or, for `None`, the verified release before the one that serves) serve
    /// again; it is started and must become healthy first.
    async fn roll_back(
        &self,
        release: Option<ReleaseId>,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError>;

    /// What it holds.
    async fn status(&self) -> Result<TargetStatus, TargetError>;

    /// Removes what a run that is gone left half-done: candidates are stopped; a live release
    /// that was never verified gives way to the last verified one.
    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError>;
}
