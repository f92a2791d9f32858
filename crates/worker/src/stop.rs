//! Why work ends before its end.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// How a worker is told to stop. Cheap to clone.
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

/// Why an attempt is over before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Void {
    /// The lease is another's by now: nothing may be said any more.
    Stale,
    /// A person ended the task.
    Cancelled,
    /// The worker stops, and hands the task back.
    HandedBack,
}

/// The end of one attempt, told from several sides; the first word counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    token: CancellationToken,
    why: Arc<OnceLock<Void>>,
}

impl Ending {
    pub(super) fn end(&self, why: Void) {
        let _first_word = self.why.set(why);
        self.token.cancel();
    }

    pub(super) fn why(&self) -> Option<Void> {
        self.why.get().copied()
    }

    /// Cancelled when it ends.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}
