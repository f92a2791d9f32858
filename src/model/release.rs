//! What is deployed.

use super::{CommitId, ImageRef, ReleaseId, RunId};

/// Where a release runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A supervised local process.
    Process,
    /// A container on a Docker Engine.
    Docker,
    /// Workloads in a Kubernetes cluster.
    Kubernetes,
}

impl TargetKind {
    /// The word in the configuration and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// Where a release can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL without a trailing slash.
    pub url: String,
}

/// How far a release has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseState {
    /// Started, not yet serving.
    Candidate,
    /// Serving, not yet smoke-tested.
    Live,
    /// Serving, and its smoke tests passed.
    Verified,
    /// Replaced, kept for a rollback.
    Superseded,
    /// Failed; never restored.
    Failed,
}

impl ReleaseState {
    /// The word in files, events and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
            Self::Verified => "verified",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

/// One release on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The commit it was made from.
    pub commit: CommitId,
    /// The run that made it.
    pub run: RunId,
    /// The image it runs; `None` where it runs none.
    pub image: Option<ImageRef>,
    /// How far it has come.
    pub state: ReleaseState,
    /// When it was made.
    pub created_at: jiff::Timestamp,
    /// When its smoke tests passed.
    pub verified_at: Option<jiff::Timestamp>,
}
