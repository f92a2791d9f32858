//! The orchestration of tasks over several machines.
//!
//! Lives here: what a hub decides, and what it shows. [`graph`] is the pure part: it reads no
//! clock, opens no connection, and of files only the `tasks.yaml` it is asked to load. [`api`]
//! is what others call, [`server`] how they reach it, [`sweep`](mod@sweep) what happens by
//! itself, [`retention`] what is kept and for how long. [`dashboard`] is the files that a browser gets. [`merge_queue`] brings what workers
//! ([`worker`]) have done to its branch.

pub mod api;
mod badge;
pub mod dashboard;
pub mod graph_report;
pub mod merge_queue;
pub mod notify;
pub mod retention;
pub mod server;
pub mod store;
pub mod sweep;
