//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides and shows.

pub mod dashboard;
