//! A worker: claims tasks from a hub, does them in clones of its own, reports.
//!
//! # Expected flow
//!
//! claim → clone at the target's tip → run → commit → push to the attempt's own branch →
//! complete. What fails is reported with its evidence; the hub decides whether it is tried again.
//!
//! # Guarantees
//!
//! - Heartbeats run on a thread of their own: however busy the machine is with the work, the
//!   worker is not taken for dead.
//! - A lease that is lost, or a task that is cancelled, ends everything the task started and
//!   throws its work away. Nothing is pushed without asking the hub first, and what is pushed
//!   goes to the branch of this epoch, which no other attempt looks at.
//! - Nothing that leaves the machine (log, evidence, message) has escaped the redactor; the
//!   hub's token is not in the environment of what runs.
//! - A failure of the worker's own machine (disk, git, model) does not count against the task, and
//!   the worker claims nothing until its self-check passes; the first one is passed before the first
//!   claim.
//! - Nor does a repository out of reach: the worker claims nothing in that one until it answers.
//! - A worker that stops says so: the hub does not expect it any more.
//! - What a killed worker has left behind, processes and folders, is cleared away by the next
//!   one of that name and folder.
//!
//! # Caveats
//!
//! - Between the question and the push the lease may still expire: then a branch is left that
//!   nobody merges.

mod agent_loop;
mod attempt;
mod command;
mod context;
mod error;
mod lease_keeper;
mod live_log;
mod load;
mod log;
mod mirrors;
mod options;
mod quarantine;
mod reachability;
mod report;
mod self_check;
mod stop;
#[cfg(test)]
mod tests;
mod workdir;
mod worker;

pub use agent_loop::{AgentEnd, AgentJob, AgentLoop, ProgressSink};
pub use error::WorkerError;
pub use live_log::LogSink;
pub use options::{SandboxOptions, WorkerOptions};
pub use self_check::{Fault, ModelCheck};
pub use stop::Stop;
pub use workdir::{Workdir, WorkdirError};
pub use worker::Worker;
