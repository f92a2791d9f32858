//! Where releases run.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use greenloop_model::{
    CommitId, Condition, Endpoint, EventSink, Evidence, FailureClass, ImageRef, Release, ReleaseId,
    RunId, TargetKind,
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
    /// The image that the image stage gave; `None` for a target that runs none.
    pub image: Option<ImageRef>,
    /// The work tree that holds what the stages before have built.
    pub work_tree: PathBuf,
    /// How long it may take to become healthy.
    pub wait: Duration,
}

/// A release that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    pub release: ReleaseId,
    /// Where it can be reached.
    pub endpoint: Endpoint,
}

/// Which earlier release a rollback makes serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// The verified release before the one that serves.
    LastVerified,
    /// This release.
    Release(ReleaseId),
    /// A revision that the cluster itself remembers, as `kubectl rollout undo --to-revision`
    /// counts them: for workloads that Greenloop did not deploy.
    Revision(u32),
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// The last verified release was put back.
    Release {
        deployed: Deployed,
        /// From the start of the restore until it served; `None` when the restore was told to
        /// hurry, and left as soon as the target had accepted it.
        serving_after: Option<Duration>,
    },
    /// There is no verified release; nothing of the failed one keeps running, and nothing serves.
    Nothing,
    /// The last verified release never stopped serving.
    Untouched(Deployed),
}

/// What a stop came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing served, and nothing was there to be ended.
    Nothing,
    /// Nothing served; what held the target's address was ended.
    Address,
    /// This release served; it is kept for a rollback.
    Release {
        release: Box<Release>,
        /// What stays of it because it may hold data or belongs to others, for a person.
        kept: Vec<String>,
    },
}

/// What a target holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// The release that the record calls serving, with the environment's address.
    pub serving: Option<(Release, Endpoint)>,
    /// What has become of that release, asked at this moment.
    pub condition: Condition,
    /// All it remembers, newest first.
    pub releases: Vec<Release>,
    /// Plain statements for a person: `restarted 2 times, last exit: killed by SIGSEGV`.
    pub notes: Vec<String>,
}

impl TargetStatus {
    /// The release this many places down the history, 1 for the newest that does not serve.
    pub fn earlier(&self, number: u32) -> Option<ReleaseId> {
        let serving = self.serving.as_ref().map(|(release, _)| release.id);
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.releases.iter().map(|release| release.id).filter(|id| Some(*id) != serving).nth(place)
    }
}

/// The kind of an error of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetErrorKind {
    /// The release is at fault: it does not start, dies, or never becomes healthy.
    Release,
    /// The target itself is: it cannot be reached or told what to do.
    Target,
    /// The rollout was cancelled; what it has begun is to be restored.
    Cancelled,
    /// There is no such release, or none to restore.
    NoRelease,
    /// Another program listens at the environment's address.
    AddressInUse,
    /// Another run holds the environment; nothing was written.
    Held,
    /// A newer rollout than this one is under way: what serves is no longer this run's to judge
    /// or to take back.
    Superseded,
    /// The release must not be rolled back (`deploy.rollback: forbidden`).
    Forbidden,
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
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The end of the log of one part of what serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartLog {
    /// `web-6c5f9d8b7-x2x5z/web`; empty where there is one part only.
    pub part: String,
    /// How often it was started again: its log starts over each time.
    pub life: u32,
    /// Redacted and bounded.
    pub text: String,
}

/// Where releases run. The state lives with the target, so that it outlives the run: a run that
/// dies at any point leaves either the old or the new release serving, never both, never none.
#[async_trait]
pub trait Target: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> TargetKind;

    /// Takes the environment for `run` where the target can be reached from several machines,
    /// and keeps it until [`Target::release_claim`]. The run that holds it already may ask again.
    ///
    /// # Errors
    /// [`TargetErrorKind::Held`] when another run holds it.
    async fn claim(
        &self,
        _run: RunId,
        _events: &EventSink,
        _cancel: &CancellationToken,
    ) -> Result<(), TargetError> {
        Ok(())
    }

    /// Gives back what [`Target::claim`] took.
    async fn release_claim(&self) {}

    /// What would surely keep a rollout from working, as far as it can be seen without one, such
    /// as an address that another program has. Changes nothing.
    async fn check(&self) -> Result<(), TargetError> {
        Ok(())
    }

    /// What a rollout would change, as a unified diff, empty for nothing; changes nothing. An
    /// image that is not built yet stands for the one of its repository that serves, if one does.
    async fn preview(&self, _request: &RolloutRequest) -> Result<String, TargetError> {
        Ok(String::new())
    }

    /// Where smoke tests reach what serves, when that is not the environment's URL: an address
    /// that stays open while the target lives.
    ///
    /// # Errors
    /// When there is nothing to be reached there, such as a service without a ready pod, or when
    /// the way there is closed. It takes seconds, never a rollout's patience.
    async fn smoke_endpoint(&self) -> Result<Option<Endpoint>, TargetError> {
        Ok(None)
    }

    /// What has kept the last connection to the address of [`Target::smoke_endpoint`] from the service,
    /// as far as the target knows.
    async fn endpoint_error(&self) -> Option<TargetError> {
        None
    }

    /// Starts the release beside the one that serves, waits until it is healthy, switches to it
    /// and keeps the old one for a restore. On error, [`Target::restore`] lets the old release
    /// serve where it does not do so still; that holds for a cancelled rollout too.
    async fn roll_out(
        &self,
        request: &RolloutRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError>;

    /// Records that the release's smoke tests passed.
    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError>;

    /// Removes what the target still has of earlier releases and `release`, which is verified, no
    /// longer names, where the configuration wants that. What cannot be removed is told and stays,
    /// as does what is left when `cancel` ends it.
    async fn prune(&self, _release: ReleaseId, _events: &EventSink, _cancel: &CancellationToken) {}

    /// The service's own log since the switch to `release`: its end, bounded and redacted.
    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError>;

    /// The same, the log of each part by itself where several serve.
    async fn part_logs(&self, release: ReleaseId) -> Result<Vec<PartLog>, TargetError> {
        let text = self.service_log(release).await?;
        Ok(vec![PartLog { part: String::new(), life: 0, text }])
    }

    /// Marks `failed` as failed and lets the last verified release serve again. It says when that
    /// serves, and watches it for a while after that.
    ///
    /// A cancelled `hurry` means that only seconds are left: it returns as soon as the target has
    /// accepted what makes the release serve.
    async fn restore(
        &self,
        failed: ReleaseId,
        events: &EventSink,
        hurry: &CancellationToken,
    ) -> Result<Restored, TargetError>;

    /// Lets an earlier release serve again; it is started and must become healthy first, within
    /// a time budget of its own.
    async fn roll_back(
        &self,
        earlier: Earlier,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError>;

    /// Stops what serves, with nothing in its place, and records that. Releases are kept for a
    /// rollback.
    async fn stop(&self) -> Result<Stopped, TargetError>;

    /// What it holds and runs, asked at this moment, within seconds.
    async fn status(&self) -> Result<TargetStatus, TargetError>;

    /// Removes what a run that is gone left half-done: candidates are stopped; a live release
    /// that was never verified gives way to the last verified one.
    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError>;
}
