//! A task that was just set to `done`, as far as what follows from it is concerned.

use super::error::StoreError;
use super::record::Record;
use greenloop_model::task::{GraphId, TaskId};

/// What is needed to know of a task that was just set to `done`.
pub(super) struct DoneTask {
    pub(super) id: TaskId,
    pub(super) graph: GraphId,
    pub(super) epic: Option<i64>,
    /// In the graph's file, or beyond it.
    pub(super) position: i64,
    pub(super) hours: f64,
    pub(super) dependants: i64,
}

/// Reads one: its `id`, `graph_id`, `epic_id`, `position`, `hours` and `dependants`.
pub(super) fn done_task(row: &Record) -> Result<DoneTask, StoreError> {
    Ok(DoneTask {
        id: TaskId(row.int("id")?),
        graph: GraphId(row.int("graph_id")?),
        epic: row.opt_int("epic_id")?,
        position: row.int("position")?,
        hours: row.real("hours")?,
        dependants: row.int("dependants")?,
    })
}
