//! What people do in a hub, and the record that is kept of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::TaskSubmission;
use super::timestamp::Timestamp;
use greenloop_model::task::{GraphId, MergeId, TaskId};

/// Why somebody does something. The token says who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// For the record, at most 4,096 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A task is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Also the tasks that need it, directly or not, and that failed, are blocked or cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dependants: bool,
}

/// Changes of a task before its next attempt; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskEdit {
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What an agent works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it runs; only of a task that runs a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What it is expected to touch, as globs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// Smaller is more urgent, 0 to 1,000. Can be changed while an attempt runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000)]
    pub priority: Option<i64>,
    /// 1 to 20. Can be changed while an attempt runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 20)]
    pub max_attempts: Option<u32>,
}

/// A task is added to a graph that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// The graph's id.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// The task; what it needs is in the graph already.
    pub task: TaskSubmission,
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Which workers may do a task from its next attempt on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskAssignment {
    /// The only worker that may; absent: any that has its role and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Workers that may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A person has done a task's work by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// The whole id of the commit.
    pub commit: String,
    /// The branch that the commit was pushed to: it goes through the merge queue and its gates.
    /// Absent: the target has the commit already, and the task is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Which merge queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueRequest {
    /// The target's project; may be left out when only one has such a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The target branch; may be left out when there is one queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// See [`ActionRequest::reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a person did: who, what, why, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorAction {
    /// The record's id; later ones are larger.
    pub id: i64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The name of the token.
    pub operator: String,
    /// The id of the token.
    pub token: String,
    /// `task.retry`, `task.cancel`, `task.edit`, `task.add`, `task.assign`, `task.take_over`,
    /// `task.resolve`, `graph.retry`, `graph.cancel`, `graph.pause`, `graph.resume`,
    /// `agent.deactivate`, `agent.activate`, `agent.drain`, `agent.quarantine`, `agent.release`,
    /// `agent.remove`, `merge.eject`, `merge.requeue`, `queue.pause`, `queue.resume`,
    /// `queue.decide`, `approval.approve`, `approval.reject`
    pub action: String,
    /// As it was given; empty when none was.
    pub reason: String,
    /// The graph concerned.
    #[schema(value_type = Option<i64>)]
    pub graph: Option<GraphId>,
    /// The task concerned.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// The worker concerned.
    pub agent: Option<String>,
    /// The entry of the merge queue.
    #[schema(value_type = Option<i64>)]
    pub merge: Option<MergeId>,
    /// The target branch of the merge queue.
    pub target: Option<String>,
    /// What was changed, as it was.
    #[schema(value_type = Object)]
    pub before: serde_json::Value,
    /// What was changed, as it is.
    #[schema(value_type = Object)]
    pub after: serde_json::Value,
}

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The name of the token; absent without one.
    pub name: Option<String>,
    /// `read`, `work`, `admin`
    pub scope: String,
}
