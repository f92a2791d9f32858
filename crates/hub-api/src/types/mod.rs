//! The types of the hub's HTTP API, version 1: what a client sends and what a hub answers. The
//! client, the server, the store and the OpenAPI document share them.
//!
//! Field names and meanings are a promise to other people's programs: they are only added to, and
//! `tests/golden/` holds each as it is on the wire. Times are RFC 3339 in UTC, by the clock of the
//! hub's database; ids are integers; percents are 0 to 100.

mod agent;
mod event;
#[cfg(test)]
mod golden_tests;
mod graph;
mod hub;
mod merge;
mod progress;
mod run;
mod task;
mod timestamp;
mod work;

pub use agent::{Agent, AgentHeartbeat, AgentLeaving, Alert, AlertTask};
pub use event::{Event, LiveNote};
pub use graph::{EpicSubmission, Graph, GraphSubmission};
pub use hub::{Dependency, Health, Page, Problem};
pub use merge::{Branch, Ejection, HoldDecisionRequest, Merge, MergeHold};
pub use progress::{AgentProgress, EpicProgress, Snapshot, SnapshotsTaken, Summary};
pub use run::{Run, RunReport};
pub use task::{Action, ConditionSubmission, Task, TaskSubmission};
pub use timestamp::Timestamp;
pub use work::{
    Attempt, AttemptFailure, AttemptHeartbeat, AttemptLease, ClaimRequest, Claimed, Completion,
    Evidence, NewEvidence,
};
