//! Merge queues and the branches that they write to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{HoldDecision, HoldReason, Lease, MergeId, MergeState, TaskId};

/// An entry of a merge queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Merge {
    /// The entry's id; entries of a target are merged in this order.
    #[schema(value_type = i64)]
    pub id: MergeId,
    /// The project's name.
    pub project: String,
    /// The task whose work is merged.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The attempt of that task.
    pub epoch: i64,
    /// What is merged.
    pub branch: String,
    /// The commit that was approved, and no other.
    pub commit: String,
    /// Where it goes.
    pub target: String,
    /// `queued`, `testing`, `waiting` (for a person's approval), `merged`, `conflict`, `ejected`
    #[schema(value_type = String)]
    pub state: MergeState,
    /// What the target branch became.
    pub merged: Option<String>,
    /// Why it does not go on.
    pub reason: Option<String>,
    /// In conflict, and neither done again nor merged nor given up since.
    #[serde(default)]
    pub unsolved: bool,
    /// The request for approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<i64>,
    /// When it came in.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
}

/// A merge queue that is on hold: no entry is merged, and nothing counts against a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MergeHold {
    /// `target_broken` (the target does not pass its own gates), `target_rewound` (it was moved
    /// other than forward)
    #[schema(value_type = String)]
    pub reason: HoldReason,
    /// Where the target is; absent when the branch was deleted.
    pub tip: Option<String>,
    /// Broken: the last commit that is known to pass. Rewound: where the target was left.
    pub expected: Option<String>,
    /// Broken: the commit since which it does not pass, or the tip when several come into
    /// question. Rewound: the new tip.
    pub commit: Option<String>,
    /// Who made that commit.
    pub author: Option<String>,
    /// The reason, for people.
    pub text: String,
    /// The merges that a rewind took away.
    pub lost: Vec<String>,
    /// What a person wants: `follow`, `restore`
    #[schema(value_type = Option<String>)]
    pub decision: Option<HoldDecision>,
    /// When the queue was put on hold.
    #[schema(value_type = String)]
    pub since: Timestamp,
}

/// What becomes of a merge queue that is on hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldDecision)]
pub struct HoldDecisionRequest {
    /// The target's project; may be left out when one queue is on hold.
    #[serde(default)]
    pub project: Option<String>,
    /// The target branch; may be left out when one queue is on hold.
    #[serde(default)]
    pub target: Option<String>,
    /// `follow` (what was rewound is open again), `restore` (the target gets back what it had),
    /// `retry` (look again now)
    #[schema(value_type = String)]
    pub decision: HoldDecision,
    /// For the record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A branch that is worked on: one that merges go to, or that of a running attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// `main`, `task/7/e2`
    pub name: String,
    /// `target`, `attempt`
    pub kind: String,
    /// The project's name, of a target.
    pub project: Option<String>,
    /// The repository's address, of a target.
    pub repository: Option<String>,
    /// Where it is, as far as the hub knows.
    pub commit: Option<String>,
    /// The task, of an attempt.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// The agent of an attempt, the hub that merges to a target.
    pub writer: Option<String>,
    /// Entries of its merge queue that wait.
    pub queued: u64,
    /// Entries whose gates run.
    pub testing: u64,
    /// Entries that were merged.
    pub merged: u64,
    /// Its merge queue rests until then.
    #[schema(value_type = Option<String>)]
    pub paused_until: Option<Timestamp>,
    /// Why it rests.
    pub reason: Option<String>,
    /// Since when its merge queue merges nothing: a person paused it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub paused_since: Option<Timestamp>,
    /// Why its merge queue is on hold.
    #[serde(default)]
    pub hold: Option<MergeHold>,
}

/// Why an entry is thrown out of a merge queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// One line for people.
    #[serde(default)]
    pub reason: String,
}

impl Merge {
    /// The attempt whose work it is.
    pub const fn lease(&self) -> Lease {
        Lease { task: self.task, epoch: self.epoch }
    }
}
