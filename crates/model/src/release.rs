//! What is deployed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::named;
use super::{CommitId, ImageRef, ReleaseId, RunId};

named!(
    /// Where a release runs.
    TargetKind {
        /// A supervised local process.
        Process = "process",
        /// A container on a Docker Engine.
        Docker = "docker",
        /// Workloads in a Kubernetes cluster.
        Kubernetes = "kubernetes",
    }
);

/// Paths at which services usually report their health, and the front page: where to look when the
/// configured one is not there.
pub const USUAL_HEALTH_PATHS: [&str; 10] = [
    "/health",
    "/healthz",
    "/livez",
    "/readyz",
    "/ready",
    "/live",
    "/status",
    "/ping",
    "/api/health",
    "/",
];

/// Where a release can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Base URL without a trailing slash.
    pub url: String,
}

/// What has become of the release that a target's record calls serving, as the target says when
/// it is asked. The reasons name the object and what is seen of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// All of it is up.
    #[default]
    Serves,
    /// Some of it is, or it is not as it was released: `deployment/web: 1 of 3 pods are ready`.
    Partly(String),
    /// None of it is: `deployment/web is gone`.
    Down(String),
    /// What runs it could not be asked.
    Unknown(String),
}

impl Condition {
    /// The word in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Serves => "serving",
            Self::Partly(_) => "partly",
            Self::Down(_) => "down",
            Self::Unknown(_) => "unknown",
        }
    }

    /// With another text for its reason.
    #[must_use]
    pub fn map(self, text: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Serves => Self::Serves,
            Self::Partly(reason) => Self::Partly(text(reason)),
            Self::Down(reason) => Self::Down(text(reason)),
            Self::Unknown(reason) => Self::Unknown(text(reason)),
        }
    }

    /// Why it is not simply serving.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Serves => None,
            Self::Partly(reason) | Self::Down(reason) | Self::Unknown(reason) => Some(reason),
        }
    }
}

/// What a target runs, asked when a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunningNow {
    /// Nothing that Greenloop released.
    Nothing,
    /// The release that the target's record calls serving.
    Release {
        release: ReleaseId,
        /// The environment's address.
        endpoint: Endpoint,
        /// What has become of it.
        condition: Condition,
    },
    /// The record itself could not be read.
    Unknown {
        /// What was asked, and what came back.
        why: String,
    },
}

/// What the last restore of a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoration {
    /// The last verified release was put back.
    Restored {
        release: ReleaseId,
        /// From the start of the restore until it served; `None` when that was not waited for.
        serving_after: Option<Duration>,
    },
    /// The last verified release never stopped serving.
    Untouched { release: ReleaseId },
    /// There was none: nothing of the failed release keeps running.
    Nothing,
    /// The run was cancelled, and the target did not accept the restore in the time that was left.
    Unconfirmed,
}

impl Restoration {
    /// The release that serves because of it.
    pub const fn release(&self) -> Option<ReleaseId> {
        match self {
            Self::Restored { release, .. } | Self::Untouched { release } => Some(*release),
            Self::Nothing | Self::Unconfirmed => None,
        }
    }
}

named!(
    /// How far a release has come.
    ReleaseState {
        /// Started, not yet serving.
        Candidate = "candidate",
        /// Serving, not yet smoke-tested.
        Live = "live",
        /// Serving, and its smoke tests passed.
        Verified = "verified",
        /// Replaced, kept for a rollback.
        Superseded = "superseded",
        /// Failed; never restored.
        Failed = "failed",
    }
);

/// One release on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
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
