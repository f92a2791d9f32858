//! Why work ends before its end.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Asks a worker to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Stop {
    /// Nothing new is claimed; what runs may end within the grace time.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// What runs is ended as well.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    pub(super) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    pub(super) async fn aborting(&self) {
        self.abort.cancelled().await;
    }
}

/// Why an attempt is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbortReason {
    /// The lease is another's by now: nothing may be said any more.
    Stale,
    /// A person ended the task.
    Cancelled,
    /// The worker stops, and hands the task back.
    HandedBack,
}

/// Cancels one attempt; the first reason counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptCancel {
    token: CancellationToken,
    why: Arc<OnceLock<AbortReason>>,
}

impl AttemptCancel {
    pub(super) fn cancel(&self, why: AbortReason) {
        let _first = self.why.set(why);
        self.token.cancel();
    }

    pub(super) fn why(&self) -> Option<AbortReason> {
        self.why.get().copied()
    }

    /// Cancelled with the attempt.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
