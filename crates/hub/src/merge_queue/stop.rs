//! What ends the work on a queue, or a round of it.

use crate::store::{StoreError, StoreErrorKind};
use greenloop_model::error_chain;
use greenloop_workspace::WorkspaceError;
use greenloop_workspace::git::{GitError, GitErrorKind};

/// Why a worker leaves its queue.
pub(super) enum QueueExit {
    /// It has no entries any more.
    Empty,
    /// The hub stops.
    Stopped,
    /// Another holds the lease.
    Superseded,
    /// Something outside is out of order: the queue is paused.
    Paused,
    /// The queue is on hold, and its lease was released.
    Held,
}

/// What ends a round early.
pub(super) enum Stop {
    Exit(QueueExit),
    /// Something outside is out of order.
    Unavailable(String),
    /// The target or the queue changed: what was tested is no longer what it would become.
    Moved,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::StaleLease => Self::Exit(QueueExit::Superseded),
            // A person removed the entry, say: the queue is read again.
            StoreErrorKind::Conflict | StoreErrorKind::NotFound => Self::Moved,
            StoreErrorKind::Forbidden
            | StoreErrorKind::Invalid
            | StoreErrorKind::Busy
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Corrupt => Self::Unavailable(error_chain(&error)),
        }
    }
}

impl From<WorkspaceError> for Stop {
    fn from(error: WorkspaceError) -> Self {
        Self::Unavailable(error_chain(&error))
    }
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        match error.kind {
            GitErrorKind::Cancelled => Self::Exit(QueueExit::Stopped),
            GitErrorKind::NoGit
            | GitErrorKind::Rejected
            | GitErrorKind::Remote
            | GitErrorKind::Local => Self::Unavailable(error_chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_answers_decides_whether_the_queue_is_left_read_again_or_paused() {
        let of = |kind| {
            Stop::from(StoreError { kind, message: "the store's answer".to_owned(), source: None })
        };
        assert!(matches!(of(StoreErrorKind::StaleLease), Stop::Exit(QueueExit::Superseded)));
        assert!(matches!(of(StoreErrorKind::Conflict), Stop::Moved));
        assert!(matches!(of(StoreErrorKind::NotFound), Stop::Moved));
        for kind in [StoreErrorKind::Busy, StoreErrorKind::Unavailable, StoreErrorKind::Corrupt] {
            assert!(matches!(of(kind), Stop::Unavailable(text) if text == "the store's answer"));
        }
    }
}
