//! Decisions that people are asked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{GraphId, MergeId, TaskId};
use greenloop_model::{ApprovalState, ApprovalSubject};

/// A run asks for a decision. The same request, asked again while it is pending, is the same one.
/// Texts are redacted by who sends them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSubmission {
    /// The run's id.
    pub run: String,
    /// What it deploys to, or what it does.
    pub environment: String,
    /// `patch`, `rollout`, `proof`
    #[schema(value_type = String)]
    pub subject: ApprovalSubject,
    /// The iteration that it is in.
    #[serde(default)]
    pub iteration: u32,
    /// The commit that it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The git tree before, by its id; empty when there is none.
    #[serde(default)]
    pub base_tree: String,
    /// The git tree that is approved, by its id.
    pub new_tree: String,
    /// The digest of the policy that wants a person.
    pub policy: String,
    /// The question, and why a person is asked; at most 16 KiB.
    pub request: String,
    /// The change, as a unified diff; at most 256 KiB.
    #[serde(default)]
    pub diff: String,
    /// What is known of the failure; at most 64 KiB.
    #[serde(default)]
    pub evidence: String,
    /// The reviewer's verdict; at most 16 KiB.
    #[serde(default)]
    pub review: String,
    /// The request expires after this: 1 second to 30 days.
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub timeout_seconds: u32,
    /// It is withdrawn when the run is not heard of for so long: 5 to 3,600.
    #[schema(minimum = 5, maximum = 3600)]
    pub lease_seconds: u32,
}

/// A decision that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// The request's id.
    pub id: i64,
    /// `patch`, `rollout`, `proof`, `task`, `merge`
    #[schema(value_type = String)]
    pub subject: ApprovalSubject,
    /// `pending`, `approved`, `rejected`, `expired`, `withdrawn`
    #[schema(value_type = String)]
    pub state: ApprovalState,
    /// What is decided on: a digest of run, subject, iteration, trees, policy and question.
    pub scope: String,
    /// The run that asks.
    pub run: Option<String>,
    /// What it deploys to, or what it does.
    pub environment: Option<String>,
    /// The iteration that the run is in.
    pub iteration: u32,
    /// The graph of the task.
    #[schema(value_type = Option<i64>)]
    pub graph: Option<GraphId>,
    /// The task that waits.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// The entry of the merge queue that waits.
    #[schema(value_type = Option<i64>)]
    pub merge: Option<MergeId>,
    /// The commit concerned.
    pub commit: Option<String>,
    /// The git tree before.
    pub base_tree: Option<String>,
    /// The git tree that is approved.
    pub new_tree: Option<String>,
    /// The digest of the policy that wants a person.
    pub policy: Option<String>,
    /// The question, and why a person is asked.
    pub request: String,
    /// The change, as a unified diff; empty in lists.
    pub diff: String,
    /// What is known of the failure; empty in lists.
    pub evidence: String,
    /// The reviewer's verdict; empty in lists.
    pub review: String,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it expires; absent when it does not.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
    /// When it was decided, expired or was withdrawn.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
    /// Who asks: the worker whose change it is, or the name of the token; absent when it is gone.
    #[serde(default)]
    pub requested_by: Option<String>,
    /// The name of the token of who decided.
    pub decided_by: Option<String>,
    /// Why, as it was given; or why it was withdrawn. Empty when nothing was said.
    pub reason: String,
}

/// A person's decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecision {
    /// For the record, at most 4,096 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// [`Approval::scope`] as the person saw it; a request with another one is not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}
