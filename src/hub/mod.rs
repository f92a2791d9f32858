//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides. [`graph`] is the pure part: it reads no clock, opens no
//! connection, and of files only the `tasks.yaml` it is asked to load.

pub mod graph;
