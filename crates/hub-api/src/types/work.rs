//! What workers and the hub say to each other about one attempt at a task.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::Task;
use super::timestamp::Timestamp;
use greenloop_model::task::{AttemptState, EvidenceKind, Lease, TaskId};

/// A worker asks for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The worker's name.
    pub agent: String,
    /// A UUID of this start of it.
    pub instance: String,
    /// What it can do; every task without a role too. Empty: only those.
    pub roles: Vec<String>,
    /// Labels of tasks that it accepts.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How long the lease is to last without a heartbeat.
    pub lease_seconds: u32,
    /// How long to wait for work, at most 60.
    #[serde(default)]
    pub wait_seconds: u32,
    /// Addresses of repositories that it cannot reach now: it is given no task in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// A task that was given to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Claimed {
    /// The task to work on.
    pub task: Task,
    /// The fencing token: every report on the work carries it.
    pub epoch: i64,
    /// How long the lease lasts without a heartbeat.
    pub lease_seconds: u32,
    /// Address of the repository to work in.
    pub repository: Option<String>,
    /// The branch that the work is merged to.
    pub target: String,
    /// The branch of this attempt: `task/<id>/e<epoch>`.
    pub branch: String,
    /// Commands that the merge must pass.
    pub gates: Vec<String>,
    /// What the attempt before ended in: the conflict to solve, the failure to avoid.
    pub previous: Option<String>,
}

/// A worker's heartbeat for one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptHeartbeat {
    /// Progress, 0 to 100.
    #[serde(default)]
    pub percent: Option<u8>,
    /// One line on the current step.
    #[serde(default)]
    pub message: Option<String>,
}

/// The hub's answer to a heartbeat of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLease {
    /// How long the lease lasts from now.
    pub lease_seconds: u32,
    /// The task was cancelled: stop.
    pub cancel: bool,
}

/// Evidence that an attempt found or produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    /// `commit`, `pull_request`, `test`, `build`, `deployment`, `research`, `citation`, `log`,
    /// `diff`, `review`, `usage` (what models used, as a JSON array)
    #[schema(value_type = String)]
    pub kind: EvidenceKind,
    /// One line for people.
    pub title: String,
    /// At most 256 KiB, redacted by who sends it.
    #[serde(default)]
    pub body: String,
    /// Where to read more.
    #[serde(default)]
    pub url: Option<String>,
}

/// A piece of evidence in the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// The evidence's id.
    pub id: i64,
    /// The task that it belongs to.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The attempt it came from.
    pub epoch: i64,
    /// Who sent it.
    pub agent: String,
    /// See [`NewEvidence::kind`].
    #[schema(value_type = String)]
    pub kind: EvidenceKind,
    /// One line for people.
    pub title: String,
    /// The content, redacted by the sender.
    pub body: String,
    /// Where to read more.
    pub url: Option<String>,
    /// When the hub received it.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

/// The work is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// What was pushed to the attempt's branch; absent when nothing changed.
    #[serde(default)]
    pub commit: Option<String>,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// Where it was pushed to, when the repository had a branch `task/<id>/e<epoch>` already: that
    /// name, `-`, and up to 64 letters and digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// The work failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptFailure {
    /// A failure class: `code`, `config`, `flaky`, `infrastructure`, `auth`, `quota`, `timeout`,
    /// `unknown`
    pub class: String,
    /// What happened, redacted by who sends it.
    pub message: String,
    /// The failure's fingerprint.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Whether another attempt makes sense.
    pub retry: bool,
    /// The worker's own machine is the cause: the attempt does not count against `max_attempts`,
    /// and the task is tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// Why the worker is given no more work until it says that its self-check passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// The worker cannot reach the task's repository: it asks for no task in it until it can. A
    /// task that is given back for this too often waits for a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

/// One attempt: a task given to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// The task that was attempted.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The fencing token.
    pub epoch: i64,
    /// Who.
    pub agent: String,
    /// `running`, `succeeded`, `failed`, `lost`, `cancelled`, `ejected`, `returned`
    #[schema(value_type = String)]
    pub state: AttemptState,
    /// How far it came.
    pub percent: u8,
    /// What it said last.
    pub message: Option<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// For one that failed: see [`AttemptFailure::class`].
    #[serde(default)]
    pub class: Option<String>,
    /// For one that failed: see [`AttemptFailure::fingerprint`].
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// When it began.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
}

impl Claimed {
    /// The right to report on the work.
    pub const fn lease(&self) -> Lease {
        Lease { task: self.task.id, epoch: self.epoch }
    }
}

impl Attempt {
    /// The right to report on it, as long as it runs.
    pub const fn lease(&self) -> Lease {
        Lease { task: self.task, epoch: self.epoch }
    }
}

impl Evidence {
    /// The attempt that it came from.
    pub const fn lease(&self) -> Lease {
        Lease { task: self.task, epoch: self.epoch }
    }
}
