//! What the merge queue needs of the store.

use std::time::Duration;

use async_trait::async_trait;

use greenloop_model::CommitId;
use greenloop_model::task::{HoldDecision, HoldReason, MergeId, TaskId};

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

/// What is known of a lane's target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Where it was left.
    pub expected: Option<CommitId>,
    /// Why the lane is on hold.
    pub hold: Option<Hold>,
    /// What was taken back from it: a branch that stands on one of these would bring it back.
    pub rewound: Vec<CommitId>,
}

/// Why a lane is on hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// Where the target was then; `None` when it was deleted.
    pub tip: Option<CommitId>,
    /// What a person wants.
    pub decision: Option<HoldDecision>,
    /// How long ago the gates ran on that tip.
    pub tested_for: Duration,
    /// Entries whose merges with a broken tip did not pass either.
    pub tried: Vec<MergeId>,
}

/// A hold to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Why.
    pub reason: HoldReason,
    /// Where the target is; `None` when it was deleted.
    pub tip: Option<CommitId>,
    /// Broken: the last commit that is known to pass. Rewound: where the target was left.
    pub expected: Option<CommitId>,
    /// Broken: since when it is. Rewound: its new tip.
    pub commit: Option<CommitId>,
    /// Who made that commit.
    pub author: Option<String>,
    /// For people.
    pub text: String,
    /// What a rewind took away, a line each.
    pub lost: Vec<String>,
    /// Broken: entries whose merges with this tip did not pass either, beside those that a hold
    /// on the same tip has already.
    pub tried: Vec<MergeId>,
}

/// What an entry made of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The entry.
    pub id: MergeId,
    /// What the target became.
    pub commit: CommitId,
    /// `1.3 Title`
    pub title: String,
}

/// A task that is done again because of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redo {
    /// The task.
    pub task: TaskId,
    /// Unique in its graph: `1.3`.
    pub key: String,
    /// The entry whose place in the queue it has.
    pub place: MergeId,
    /// The files that were in conflict.
    pub files: Vec<String>,
    /// Nobody works on it yet.
    pub unclaimed: bool,
    /// Its new work is in the queue.
    pub queued: bool,
}

/// A branch that does not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundConflict {
    /// For people.
    pub text: String,
    /// The files.
    pub files: Vec<String>,
    /// What the next attempt is told: `text`, and what the target got meanwhile.
    pub brief: String,
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
    /// Another writes to the lane by now, as the text says: nothing was changed.
    #[error("{0}")]
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

    /// Takes a lane that nothing waits for, whose target was not looked at for `every`.
    async fn watch(
        &self,
        holder: &str,
        lasts: Duration,
        every: Duration,
    ) -> Result<Option<Writer>, MergeStoreError>;

    /// The repositories that lanes may be of.
    async fn repositories(&self) -> Result<Vec<String>, MergeStoreError>;

    /// Which of these entries are kept, in whatever state.
    async fn known(&self, ids: &[i64]) -> Result<Vec<i64>, MergeStoreError>;

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

    /// What is known of the lane's target.
    async fn target(&self, writer: &Writer) -> Result<Target, MergeStoreError>;

    /// Writes down where the target is, after it moved forward.
    async fn note_tip(&self, writer: &Writer, tip: &CommitId) -> Result<(), MergeStoreError>;

    /// Gives the lane back and puts it on hold; it is looked at again after `rest`.
    async fn hold(
        &self,
        writer: &Writer,
        hold: &NewHold,
        rest: Duration,
    ) -> Result<(), MergeStoreError>;

    /// Gives the lane back for `rest`; `waits_for` says what its entries wait for, where no hold
    /// does.
    async fn rest(
        &self,
        writer: &Writer,
        rest: Duration,
        waits_for: Option<&str>,
    ) -> Result<(), MergeStoreError>;

    /// The merge of this entry with the broken tip did not pass: it waits at its place.
    async fn tried(&self, writer: &Writer, entry: &Entry) -> Result<(), MergeStoreError>;

    /// The push was refused and the target is where it was: nothing is on its way any more.
    async fn refused(&self, writer: &Writer, entry: &Entry) -> Result<(), MergeStoreError>;

    /// What the lane was on hold for is over, as `text` says.
    async fn lift(&self, writer: &Writer, text: &str) -> Result<(), MergeStoreError>;

    /// Whether a commit has passed these gates within so long, and not too long ago.
    async fn passes(
        &self,
        writer: &Writer,
        commit: &CommitId,
        gates: &[String],
        within: Duration,
    ) -> Result<bool, MergeStoreError>;

    /// Writes down that it does.
    async fn note_passes(
        &self,
        writer: &Writer,
        commit: &CommitId,
        gates: &[String],
    ) -> Result<(), MergeStoreError>;

    /// Which of these commits passed the gates at some time.
    async fn known_good(
        &self,
        writer: &Writer,
        commits: &[CommitId],
    ) -> Result<Vec<CommitId>, MergeStoreError>;

    /// What was merged, the latest first.
    async fn landed(&self, writer: &Writer) -> Result<Vec<Landed>, MergeStoreError>;

    /// The target stays at `tip` (`None`: deleted): the tasks of the `lost` merges are open
    /// again, and branches that stand on one of the `gone` commits are not merged.
    async fn follow(
        &self,
        writer: &Writer,
        lost: &[MergeId],
        gone: &[CommitId],
        tip: Option<&CommitId>,
    ) -> Result<(), MergeStoreError>;

    /// The entry leaves through no fault of its task, which is done again.
    async fn redo(
        &self,
        writer: &Writer,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), MergeStoreError>;

    /// It does not merge: its task is done again in its turn, or waits for a person.
    async fn conflict(
        &self,
        writer: &Writer,
        entry: &Entry,
        conflict: &FoundConflict,
    ) -> Result<(), MergeStoreError>;

    /// Tasks that conflicted and are done again, up to when they are merged.
    async fn redos(&self, writer: &Writer) -> Result<Vec<Redo>, MergeStoreError>;

    /// Adds to what the next attempt at such a task is told.
    async fn tell_redo(
        &self,
        writer: &Writer,
        task: TaskId,
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
