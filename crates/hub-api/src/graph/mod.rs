//! The graph of tasks: pure, nothing here knows a store, a network or a clock.
//!
//! `tasks.yaml` is held to the schema of [`raw`] and turned into a
//! [`GraphSubmission`](crate::types::GraphSubmission) by [`read`](self::read); [`check`](fn@check)
//! looks up its names, judges its values, searches it for [`faults`] and [`rank`]s it, whether it
//! comes from a file or over HTTP. What it returns can be finished by somebody. [`order`] says who
//! may claim what and what comes first, and [`simulate`](fn@simulate) plays a graph by that rule.
//!
//! Invariants: a graph that was checked has no cycle and no condition that can never be met; every
//! index in it is in range; every rank is finite. All steps cost time in proportion to the file,
//! but for the reading of mistakes, of which a bounded number is reported.

mod check;
mod checked;
mod earliest_start;
mod fault;
#[cfg(test)]
mod fixtures;
pub mod order;
mod progress;
mod rank;
mod raw;
mod read;
mod simulate;
mod state;

use std::path::Path;

pub use check::{MOST_MISTAKES, Mistake, check};
pub use checked::{Condition, TaskGraph, TaskSpec};
pub use earliest_start::{CriticalPath, critical_path};
pub use fault::{Fault, faults};
pub use progress::{EpicProgress, epic_progress};
pub use rank::rank;
pub use simulate::{Bound, Idle, NobodyFits, Play, Simulation, Span, Team, Waits, simulate};

use greenloop_config::ConfigError;
use greenloop_config::file_kind::{self, FileKind};

/// The most tasks that a graph may have.
pub const MOST_TASKS: usize = 100_000;

/// The most epics that a graph may have.
pub const MOST_EPICS: usize = 1_000;

/// `tasks.yaml`
const TASKS: FileKind = FileKind {
    noun: "task file",
    longest: 64 * 1024 * 1024,
    nodes: 64 * MOST_TASKS,
    most_problems: 50,
    when_missing: "docs/tasks.md describes the format; examples/tasks/ has two examples",
    when_empty: "it needs at least `project` and `tasks`; docs/tasks.md describes every key",
    when_too_large: "split it into several graphs",
};

/// Reads, checks and ranks the graph in the file at `path`.
///
/// # Errors
///
/// Every mistake of the file (the first 50) with line, column and a way out.
pub fn load(path: &Path) -> Result<TaskGraph, ConfigError> {
    parse(&file_kind::read(path, &TASKS)?, &path.to_string_lossy())
}

/// Reads, checks and ranks a graph from memory; `file_name` is what errors call it.
///
/// # Errors
///
/// As [`load`].
pub fn parse(text: &str, file_name: &str) -> Result<TaskGraph, ConfigError> {
    read::read(text, file_name)
}

#[cfg(test)]
mod tests;
