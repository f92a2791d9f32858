//! Workers, and what a person should know of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{AgentState, GraphId, TaskId};

/// A worker's heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentHeartbeat {
    /// The worker's name, unique in the hub.
    pub name: String,
    /// A UUID of this start of it.
    pub instance: String,
    /// Roles of tasks that it accepts.
    pub roles: Vec<String>,
    /// Labels of tasks that it accepts.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Name of its machine.
    pub host: String,
    /// Its version of greenloop.
    pub version: String,
    /// Of the machine, 0 to 100.
    #[serde(default)]
    pub cpu_percent: Option<f64>,
    /// Of the worker and what it started.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// It finishes what it has and takes no more.
    #[serde(default)]
    pub draining: bool,
    /// Why it claims nothing until its self-check passes; absent when it is fit to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// From one of these to the next, in seconds; absent: as often as the hub expects. The hub
    /// waits for three times the longer of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<u32>,
    /// Addresses of repositories that it cannot reach now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

/// A worker says that it stops, and is not to be expected any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentLeaving {
    /// The start of it that stops: another one of the same name may have begun.
    pub instance: String,
}

/// A worker in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The worker's name, unique in the hub.
    pub name: String,
    /// Roles of tasks that it accepts.
    pub roles: Vec<String>,
    /// Labels of tasks that it accepts.
    pub labels: Vec<String>,
    /// Name of its machine.
    pub host: String,
    /// Its version of greenloop.
    pub version: String,
    /// `idle`, `working`, `draining`, `stale` (a heartbeat is overdue), `down`, `inactive`,
    /// `quarantined`, `left`
    #[schema(value_type = String)]
    pub state: AgentState,
    /// Why it claims nothing until its self-check passes.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// When its self-check first failed; absent when it is fit to work.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub quarantined_since: Option<Timestamp>,
    /// A person wants it to finish what it has and stop: it drains when it reads this.
    #[serde(default)]
    pub drain: bool,
    /// The task that it works on.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// Progress of that task, 0 to 100.
    pub percent: Option<u8>,
    /// Of the machine.
    pub cpu_percent: Option<f64>,
    /// Of the worker and what it started.
    pub memory_bytes: Option<u64>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed or were lost.
    pub failed: u64,
    /// When its last heartbeat came in.
    #[schema(value_type = String)]
    pub last_heartbeat: Timestamp,
}

/// A problem with workers that a person should know of; it ends with its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// `no_worker` (no living, fit worker has the tasks' role and labels),
    /// `repository_unreachable` (none that has reaches their repository), `agent_quarantined`,
    /// `agent_down`
    pub kind: String,
    /// One line for people.
    pub text: String,
    /// The role that is missing; absent when only labels are.
    pub role: Option<String>,
    /// The labels that are missing.
    pub labels: Vec<String>,
    /// How many tasks wait for it.
    pub count: u64,
    /// The first of them.
    pub tasks: Vec<AlertTask>,
    /// The worker concerned; absent where none exists.
    pub agent: Option<String>,
    /// When the problem began.
    #[schema(value_type = String)]
    pub since: Timestamp,
}

/// A task that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertTask {
    /// The task's id.
    #[schema(value_type = i64)]
    pub id: TaskId,
    /// The id of the task's graph.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// Unique in the graph.
    pub key: String,
}
