//! What the merge queue needs of the store.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::CommitId;
use crate::model::task::{MergeId, TaskId};

/// One target branch of one project: the place for one writer at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The project's id.
    pub project: i64,
    /// The repository's address.
    pub repository: String,
    /// The branch that merges go to.
    pub target: String,
}

/// The right to write to a lane; a fencing token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// What for.
    pub lane: Lane,
    /// Rises with every writer of the lane.
    pub epoch: i64,
}

/// An entry that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: MergeId,
    /// The task.
    pub task: TaskId,
    /// One line: what the merge is about.
    pub title: String,
    /// Where the commit is.
    pub branch: String,
    /// What was approved, and nothing else.
    pub commit: CommitId,
    /// Commands that must pass on the merge.
    pub gates: Vec<String>,
    /// Where the target begins when the repository does not have it yet: the project's own
    /// branch, for an epic's.
    pub base: Option<String>,
    /// What a writer was about to push when it died.
    pub landing: Option<CommitId>,
}

/// What the gates said of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateVerdict {
    /// The very commit they ran on.
    pub commit: CommitId,
    /// Whether all passed.
    pub passed: bool,
    /// One line.
    pub headline: String,
    /// What matters of their output, without secrets.
    pub evidence: String,
}

/// The store does not answer, or the writer is no longer the writer.
#[derive(Debug, thiserror::Error)]
pub enum MergeStoreError {
    /// Another writes to the lane by now: nothing was changed.
    #[error("another writes to {0} by now")]
    Superseded(String),
    /// The entry has left the queue meanwhile: nothing was changed.
    #[error("{0}")]
    Gone(String),
    /// The store.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps merge queues. Every change is made under a [`Writer`] that is still the writer, or not
/// at all.
#[async_trait]
pub trait MergeStore: Send + Sync {
    /// Takes a lane that has something to merge and no living writer, for `lasts`.
    async fn take(&self, holder: &str, lasts: Duration) -> Result<Option<Writer>, MergeStoreError>;

    /// Keeps it for as long again.
    async fn keep(&self, writer: &Writer, lasts: Duration) -> Result<(), MergeStoreError>;

    /// Gives it back.
    async fn release(&self, writer: &Writer) -> Result<(), MergeStoreError>;

    /// The first entries of the lane, in order.
    async fn entries(&self, writer: &Writer, most: usize) -> Result<Vec<Entry>, MergeStoreError>;

    /// The gates of an entry begin on this commit.
    async fn testing(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError>;

    /// What they said.
    async fn judged(
        &self,
        writer: &Writer,
        entry: &Entry,
        verdict: &GateVerdict,
    ) -> Result<(), MergeStoreError>;

    /// It is about to be pushed. Refused without a passing verdict on this very commit.
    async fn landing(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError>;

    /// The target has what was about to be pushed: the entry's task is done.
    async fn merged(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError>;

    /// It does not merge: its task is tried again with `text`, or waits for a person.
    async fn conflict(
        &self,
        writer: &Writer,
        entry: &Entry,
        text: &str,
    ) -> Result<(), MergeStoreError>;

    /// It is thrown out, and what depends on it with it.
    async fn eject(
        &self,
        writer: &Writer,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), MergeStoreError>;

    /// Gives the lane back, to be left alone for `lasts`: something outside is out of order.
    async fn pause(
        &self,
        writer: &Writer,
        reason: &str,
        lasts: Duration,
    ) -> Result<(), MergeStoreError>;
}
