//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides, and what its workers do.

pub mod merge_queue;
pub mod worker;
