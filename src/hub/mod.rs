//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides, and what it shows. [`graph`] is the pure part: it reads no
//! clock, opens no connection, and of files only the `tasks.yaml` it is asked to load. [`api`]
//! is what others call, [`server`] how they reach it, [`sweep`](mod@sweep) what happens by
//! itself. [`dashboard`] is the files that a browser gets.

pub mod api;
pub mod dashboard;
pub mod graph;
pub mod server;
pub mod sweep;
