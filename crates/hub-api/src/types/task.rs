//! Tasks as they are handed in, and as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{GraphId, TaskId, TaskState};

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSubmission {
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// What an agent works on.
    #[serde(default)]
    pub description: String,
    /// The key of its epic.
    #[serde(default)]
    pub epic: Option<String>,
    /// Who may do it; anybody when absent.
    #[serde(default)]
    pub role: Option<String>,
    /// What a worker must have.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Smaller is more urgent.
    #[serde(default)]
    pub priority: i64,
    /// Estimated work.
    #[serde(default)]
    pub hours: f64,
    /// A name for people.
    #[serde(default)]
    pub branch: Option<String>,
    /// What it is expected to touch, as globs.
    #[serde(default)]
    pub files: Vec<String>,
    /// Keys of tasks that must be done before.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Epics that must have come so far before.
    #[serde(default)]
    pub conditions: Vec<ConditionSubmission>,
    /// What it does.
    pub action: Action,
    /// How long one attempt may take.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// At least 1.
    #[serde(default = "three")]
    pub max_attempts: u32,
    /// Whether it was finished before.
    #[serde(default)]
    pub done: bool,
    /// Whether a person has to approve its start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// Whether a person has to approve the merge of its branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge_approval: bool,
}

const fn three() -> u32 {
    3
}

/// An epic must have come so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionSubmission {
    /// The epic's key.
    pub epic: String,
    /// Percent of its hours, 1 to 100.
    pub at_least: u8,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Runs a command in a shell.
    Command(String),
    /// Author, reviewer, policy and gates work on the description.
    Agent,
}

/// A task in the hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// The task's id.
    #[schema(value_type = i64)]
    pub id: TaskId,
    /// The id of the task's graph.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// What an agent works on.
    pub description: String,
    /// The key of its epic.
    pub epic: Option<String>,
    /// Who may do it.
    pub role: Option<String>,
    /// What a worker must have.
    pub labels: Vec<String>,
    /// Smaller is more urgent.
    pub priority: i64,
    /// Longest remaining path, this task included.
    pub rank_hours: f64,
    /// Estimated work.
    pub hours: f64,
    /// A name for people.
    pub branch: Option<String>,
    /// What it is expected to touch.
    pub files: Vec<String>,
    /// Ids of tasks that must be done before.
    #[schema(value_type = Vec<i64>)]
    pub needs: Vec<TaskId>,
    /// Epics that must have come so far before.
    pub conditions: Vec<ConditionSubmission>,
    /// What it does.
    pub action: Action,
    /// How long one attempt may take.
    pub timeout_seconds: Option<u64>,
    /// `waiting`, `ready`, `running`, `merging`, `blocked`, `done`, `failed`, `cancelled`
    #[schema(value_type = String)]
    pub state: TaskState,
    /// Why, where a person wants to know.
    pub reason: Option<String>,
    /// 0 before the first claim.
    pub epoch: i64,
    /// Attempts that count against the limit.
    pub attempts: u32,
    /// Attempts after which a failed task is not retried.
    pub max_attempts: u32,
    /// Of the current attempt.
    pub percent: u8,
    /// Who works on it.
    pub agent: Option<String>,
    /// The only worker that may do it, where a person has said so.
    #[serde(default)]
    pub assigned: Option<String>,
    /// Workers that may not do it.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// What it ended in.
    pub commit: Option<String>,
    /// When it last changed.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

impl TaskSubmission {
    /// A task with nothing but its key, its title and what it does.
    pub fn new(key: impl Into<String>, title: impl Into<String>, action: Action) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            description: String::new(),
            epic: None,
            role: None,
            labels: Vec::new(),
            priority: 0,
            hours: 0.0,
            branch: None,
            files: Vec::new(),
            needs: Vec::new(),
            conditions: Vec::new(),
            action,
            timeout_seconds: None,
            max_attempts: three(),
            done: false,
            approval: false,
            merge_approval: false,
        }
    }
}
