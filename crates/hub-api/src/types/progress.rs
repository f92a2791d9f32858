//! How far everything is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{AgentState, GraphId, TaskId, TaskState};

/// How far everything is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// Tasks by state.
    #[serde(serialize_with = "by_name")]
    #[schema(value_type = BTreeMap<String, u64>)]
    pub tasks: BTreeMap<TaskState, u64>,
    /// All estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// Percent of the hours.
    pub percent: f64,
    /// Tasks finished in the last hour.
    pub tasks_last_hour: u64,
    /// Estimated hours finished in one hour of the clock, lately.
    pub velocity: Option<f64>,
    /// Hours of the clock until everything is done, at that velocity: low, middle, high.
    pub eta_hours: Option<[f64; 3]>,
    /// In order.
    pub epics: Vec<EpicProgress>,
}

/// How far an epic is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EpicProgress {
    /// The id of the epic's graph.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// All of its tasks.
    pub tasks: u64,
    /// Those that are done.
    pub tasks_done: u64,
    /// All of its estimated hours.
    pub hours: f64,
    /// Those that are done.
    pub hours_done: f64,
    /// Percent of the hours, of the tasks when it has no hours.
    pub percent: f64,
}

/// Progress of a graph at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// When it was recorded.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The graph's id.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// Tasks that were done.
    pub tasks_done: u64,
    /// All tasks.
    pub tasks: u64,
    /// Hours that were done.
    pub hours_done: f64,
    /// All hours.
    pub hours: f64,
}

/// How much an agent did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentProgress {
    /// The worker's name.
    pub name: String,
    /// See [`Agent::state`].
    #[schema(value_type = String)]
    pub state: AgentState,
    /// The task that it works on.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// Progress of that task, 0 to 100.
    pub percent: Option<u8>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed or were lost.
    pub failed: u64,
    /// Hours of the clock that it spent on attempts.
    pub busy_hours: f64,
    /// When it was first heard of.
    #[schema(value_type = String)]
    pub first_seen: Timestamp,
}

/// How many graphs' progress was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotsTaken {
    /// Those that run.
    pub graphs: u64,
}

/// Counts by the names of their states, in the order of the names.
pub(super) fn by_name<S: Serializer>(
    counts: &BTreeMap<TaskState, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let named: BTreeMap<&str, u64> = counts.iter().map(|(state, n)| (state.name(), *n)).collect();
    named.serialize(serializer)
}
