//! Graphs as they are handed in, and as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::progress::by_name;
use super::task::TaskSubmission;
use super::timestamp::Timestamp;
use greenloop_model::task::{GraphId, GraphState, TaskState};

/// A graph as it is handed in: `tasks.yaml`, checked, with its names instead of indices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphSubmission {
    /// The project's name; created when it is new.
    pub project: String,
    /// The repository's address, where tasks change code.
    #[serde(default)]
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// Commands that every merge must pass, on the very commit.
    #[serde(default)]
    pub gates: Vec<String>,
    /// Whether a person has to approve every merge into the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge_approval: bool,
    /// What this graph is called.
    pub name: String,
    /// The deploy run that asks, when one does.
    #[serde(default)]
    pub run: Option<String>,
    /// In order.
    #[serde(default)]
    pub epics: Vec<EpicSubmission>,
    /// In order.
    pub tasks: Vec<TaskSubmission>,
}

/// Tasks that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EpicSubmission {
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// Where its tasks are merged, when not straight into the target.
    #[serde(default)]
    pub branch: Option<String>,
}

/// A graph in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// The graph's id.
    #[schema(value_type = i64)]
    pub id: GraphId,
    /// The project's name.
    pub project: String,
    /// The name it was submitted with.
    pub name: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// `running`, `done`, `failed`, `cancelled`
    #[schema(value_type = String)]
    pub state: GraphState,
    /// Since when nothing of it is given to workers: a person paused it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub paused_since: Option<Timestamp>,
    /// The deploy run that asked.
    pub run: Option<String>,
    /// Tasks by state.
    #[serde(serialize_with = "by_name")]
    #[schema(value_type = BTreeMap<String, u64>)]
    pub tasks: BTreeMap<TaskState, u64>,
    /// Percent of its hours that are done.
    pub percent: f64,
    /// When it came in.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
}
