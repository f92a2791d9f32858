//! The merge queue: branches of tasks reach their target one after the other, each tested as the
//! very commit that the target becomes.
//!
//! # Expected flow
//!
//! For each target branch one leased writer: fetch → merge the target's tip and the entry's
//! commit, in a bare mirror, to `refs/greenloop/staging/<merge>` → check that commit out → gates
//! → record what they said of it → push it to the target → the task is done.
//!
//! # Guarantees
//!
//! - Every commit that the queue puts on a target has a passing record for its exact id, written
//!   before the push. Merges are never fast-forwards, so that no commit of a task becomes a tip
//!   by itself.
//! - The push expects the target where the merge was made: a target that has moved meanwhile,
//!   forward or back, refuses it, and the entry is merged and tested again.
//! - A target that was moved other than forward is not moved on: the queue is on hold until a
//!   person (or the hub's options) says whether to follow the rewind or to restore. Targets of
//!   graphs are looked at while nothing waits for them, too; branches of epics only when
//!   something does.
//! - A target that does not pass the gates by itself puts the queue on hold until it moves, passes
//!   again, or the merge of an entry with it passes: that one is merged first. Nothing counts
//!   against a task meanwhile.
//! - Several hubs may run queues on one store: the lease lets one of them write, every change
//!   carries its fencing token, and the push itself compares and swaps. Killed at any moment,
//!   nothing is lost: an entry that the target has already is only recorded.
//! - An entry that wants an approval is asked about once its gates have passed, and its queue goes
//!   on without it. Approved, it is merged and tested again with the target as it is then.
//! - What is in an entry can throw it out; what is outside (network, disk, the store) only lets
//!   the queue wait.
//!
//! # Caveats
//!
//! - A gate sees the merge's tree with the hub's rights: run the hub as a user of its own.

mod approval;
mod candidate;
mod gate_output;
mod gates;
mod hold;
mod options;
mod service;
mod stop;
mod store;
#[cfg(test)]
mod tests;
mod tidy;
mod window;
mod workdir;
mod worker;

pub use options::{MergeOptions, SandboxOptions};
pub use service::MergeQueue;
pub use store::MergeStore;
pub use worker::conflict_branches;
