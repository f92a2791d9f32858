//! What the store shows of its records. Times are [`Moment`]s by the database's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::StoreError;
use super::statement::Record;
use greenloop_model::task::{
    Action, AttemptState, EventId, EvidenceKind, GraphId, GraphState, Lease, MergeId, MergeState,
    TaskEventKind, TaskId, TaskState,
};

/// A time by the database's clock, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// The time from another moment until this one; nothing when this one is earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).cast_unsigned())
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Hand it in for the next part; `None` after the last.
    pub next: Option<i64>,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// [`Page::next`] of the part before.
    pub cursor: Option<i64>,
    /// At most so many; from 1 to 500.
    pub limit: u32,
}

impl PageRequest {
    /// The first `limit` ones.
    pub const fn first(limit: u32) -> Self {
        Self { cursor: None, limit }
    }

    pub(super) fn limit(self) -> i64 {
        i64::from(self.limit.clamp(1, 500))
    }

    /// Cuts off the one row more that was asked for to see whether there is a next part.
    pub(super) fn cut<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Page<T> {
        let limit = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(id) } else { None };
        Page { items, next }
    }
}

/// A graph.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphView {
    /// Its id.
    pub id: GraphId,
    /// The project's name.
    pub project: String,
    /// What it is called.
    pub name: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// Commands that a merge must pass.
    pub gates: Vec<String>,
    /// The deploy run that asked for it.
    pub run: Option<String>,
    /// Where it stands.
    pub state: GraphState,
    /// Tasks by state; states without tasks are absent.
    pub tasks: BTreeMap<TaskState, u64>,
    /// All estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// When it came in.
    pub created_at: Moment,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

impl GraphView {
    /// Percent of its hours that are done; of its tasks when it has no hours.
    pub fn percent(&self) -> f64 {
        let all: u64 = self.tasks.values().sum();
        let done = self.tasks.get(&TaskState::Done).copied().unwrap_or(0);
        percent(self.hours_done, self.hours, done, all)
    }
}

/// Percent of the hours, of the tasks when there are no hours, 100 when there are no tasks.
#[expect(clippy::cast_precision_loss, reason = "a percent of fewer than 2^52 tasks")]
pub(super) fn percent(hours_done: f64, hours: f64, done: u64, all: u64) -> f64 {
    if hours > 0.0 {
        (100.0 * hours_done / hours).min(100.0)
    } else if all > 0 {
        100.0 * done as f64 / all as f64
    } else {
        100.0
    }
}

/// What must have come how far before a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionView {
    /// The epic's key.
    pub epic: String,
    /// Percent.
    pub at_least: u8,
    /// Whether it has.
    pub met: bool,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Its graph.
    pub graph: GraphId,
    /// Unique in its graph.
    pub key: String,
    /// One line.
    pub title: String,
    /// What an agent works on.
    pub description: String,
    /// Its epic's key.
    pub epic: Option<String>,
    /// Who may do it.
    pub role: Option<String>,
    /// What a worker must have.
    pub labels: Vec<String>,
    /// Smaller is more urgent.
    pub priority: i64,
    /// Longest remaining path in hours, this task included.
    pub rank: f64,
    /// Estimated work.
    pub hours: f64,
    /// A name for people.
    pub branch: Option<String>,
    /// What it is expected to touch, as globs.
    pub files: Vec<String>,
    /// Tasks that must be done before.
    pub needs: Vec<TaskId>,
    /// Epics that must have come so far before.
    pub conditions: Vec<ConditionView>,
    /// What it does.
    pub action: Action,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// Where it stands.
    pub state: TaskState,
    /// Why, where a person wants to know: the last failure, the conflict.
    pub reason: Option<String>,
    /// 0 before the first claim.
    pub epoch: i64,
    /// Attempts that count against the limit; a person's retry begins again.
    pub attempts: u32,
    /// The limit.
    pub max_attempts: u32,
    /// Leases that expired, ever.
    pub deaths: u32,
    /// It rests until then.
    pub not_before: Option<Moment>,
    /// How far the last attempt came.
    pub percent: u8,
    /// Who had the last attempt.
    pub agent: Option<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// When it came in.
    pub created_at: Moment,
    /// When it last changed state.
    pub updated_at: Moment,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

/// Which tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this graph.
    pub graph: Option<GraphId>,
    /// In this state.
    pub state: Option<TaskState>,
    /// Of the epic with this key.
    pub epic: Option<String>,
    /// For this role.
    pub role: Option<String>,
}

/// One attempt: a task given to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// Its place in lists of attempts.
    pub lease: Lease,
    /// Who.
    pub agent: String,
    /// Which start of it.
    pub instance: String,
    /// Where it stands.
    pub state: AttemptState,
    /// How far it came.
    pub percent: u8,
    /// What it said last.
    pub message: Option<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// The failure's class.
    pub class: Option<String>,
    /// The failure's fingerprint.
    pub fingerprint: Option<String>,
    /// When it began.
    pub started_at: Moment,
    /// When its lease ends, or ended.
    pub expires_at: Moment,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceView {
    /// Its id.
    pub id: i64,
    /// The attempt it came from.
    pub lease: Lease,
    /// Who sent it.
    pub agent: String,
    /// What it is.
    pub kind: EvidenceKind,
    /// One line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Where to read more.
    pub url: Option<String>,
    /// When.
    pub created_at: Moment,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventView {
    /// Later ones have larger ids.
    pub id: EventId,
    /// When.
    pub at: Moment,
    /// What.
    pub kind: TaskEventKind,
    /// The graph.
    pub graph: Option<GraphId>,
    /// The task.
    pub task: Option<TaskId>,
    /// The attempt.
    pub epoch: Option<i64>,
    /// The agent.
    pub agent: Option<String>,
    /// The entry of the merge queue.
    pub merge: Option<MergeId>,
    /// How far.
    pub percent: Option<u8>,
    /// More, for people.
    pub text: Option<String>,
}

/// An entry of a merge queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeView {
    /// Its id: entries of one target are merged in the order of their ids.
    pub id: MergeId,
    /// The project's name.
    pub project: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// Where it goes.
    pub target: String,
    /// The graph.
    pub graph: GraphId,
    /// The task and the attempt.
    pub lease: Lease,
    /// What is merged.
    pub branch: String,
    /// The commit that was approved, and no other.
    pub commit: String,
    /// Commands that the merge must pass.
    pub gates: Vec<String>,
    /// Where it stands.
    pub state: MergeState,
    /// The merge commit that is being tested.
    pub staged: Option<String>,
    /// The commit that was about to be pushed: whoever takes over looks whether it was.
    pub landing: Option<String>,
    /// What the target branch became.
    pub merged: Option<String>,
    /// Why it does not go on.
    pub reason: Option<String>,
    /// In conflict, and neither done again nor merged nor given up since.
    pub unsolved: bool,
    /// When it came in.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

pub(super) fn moment(row: &Record, column: &str) -> Result<Moment, StoreError> {
    row.int(column).map(Moment)
}

pub(super) fn opt_moment(row: &Record, column: &str) -> Result<Option<Moment>, StoreError> {
    Ok(row.opt_int(column)?.map(Moment))
}

/// Microseconds, as times are stored.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A small number that is never negative.
pub(super) fn small(row: &Record, column: &str) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.int(column)?.max(0)).unwrap_or(u32::MAX))
}
