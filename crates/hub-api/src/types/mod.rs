//! The types of the hub's HTTP API, version 1: what a client sends and what a hub answers. The
//! client, the server, the store and the OpenAPI document share them.
//!
//! Field names and meanings are a promise to other people's programs: they are only added to, and
//! `tests/golden/` holds each as it is on the wire. Times are RFC 3339 in UTC, by the clock of the
//! hub's database; ids are integers; percents are 0 to 100.

mod action;
mod agent;
mod approval;
mod checkpoint;
mod event;
mod flake;
#[cfg(test)]
mod golden_tests;
mod graph;
mod graph_tasks;
mod hub;
mod log;
mod merge;
mod progress;
mod report;
mod run;
mod task;
mod timeline;
mod timestamp;
mod work;

pub use action::{
    ActionRequest, NewTask, OperatorAction, QueueRequest, Resolution, RetryRequest, Session,
    TaskAssignment, TaskEdit,
};
pub use agent::{Agent, AgentHeartbeat, AgentLeaving, Alert, AlertTask};
pub use approval::{Approval, ApprovalDecision, ApprovalSubmission};
pub use checkpoint::{CheckpointSubmission, KeptCheckpoint};
pub use event::{Event, LiveNote};
pub use flake::{Flake, FlakeReport};
pub use graph::{EpicSubmission, Graph, GraphSubmission};
pub use graph_tasks::{GraphTask, GraphTasks};
pub use hub::{Dependency, Health, Page, Problem};
pub use log::{LogAppend, LogMatch, LogMatches, LogPart, LogSize, TaskLog};
pub use merge::{Branch, Ejection, HoldDecisionRequest, Merge, MergeHold};
pub use progress::{AgentProgress, EpicProgress, Snapshot, SnapshotsTaken, Summary};
pub use report::{
    ActionCount, Contributor, GraphReport, ModelCost, ReportCosts, ReportEstimates, ReportMerges,
    ReportTask, SpeedUp, UnsuccessfulAttempt, UnsuccessfulMerge,
};
pub use run::{Run, RunReport};
pub use task::{Action, ConditionSubmission, Task, TaskSubmission};
pub use timeline::Timeline;
pub use timestamp::Timestamp;
pub use work::{
    Attempt, AttemptFailure, AttemptHeartbeat, AttemptLease, ClaimRequest, Claimed, Completion,
    Evidence, NewEvidence,
};
