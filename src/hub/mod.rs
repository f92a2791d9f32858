//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides, and what it shows. [`graph`] is the pure part: it reads no
//! clock, opens no connection, and of files only the `tasks.yaml` it is asked to load.
//! [`dashboard`] is the files that a browser gets.

pub mod dashboard;
pub mod graph;
