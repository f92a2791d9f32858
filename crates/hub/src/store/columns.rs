//! What columns hold beside text and numbers.

use std::time::Duration;

use super::error::StoreError;
use super::record::Record;
use super::tx::NewEvent;
use greenloop_hub_api::types::Timestamp;
use greenloop_model::task::{GraphId, Lease, MergeId, TaskEventKind, TaskId};

/// Percent of the hours, of the tasks when there are no hours, 100 when there are no tasks.
#[expect(clippy::cast_precision_loss, reason = "a percent of fewer than 2^52 tasks")]
pub(super) fn percent(hours_done: f64, hours: f64, done: u64, all: u64) -> f64 {
    if hours > 0.0 {
        (100.0 * hours_done / hours).min(100.0)
    } else if all > 0 {
        100.0 * done as f64 / all as f64
    } else {
        100.0
    }
}

pub(super) fn time(row: &Record, column: &str) -> Result<Timestamp, StoreError> {
    row.int(column).map(Timestamp)
}

pub(super) fn opt_time(row: &Record, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.opt_int(column)?.map(Timestamp))
}

/// Microseconds, as times are stored.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A small number that is never negative.
pub(super) fn small(row: &Record, column: &str) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.int(column)?.max(0)).unwrap_or(u32::MAX))
}

/// How long a lease lasts, in whole seconds; a started one counts.
pub(super) fn lease_seconds(row: &Record) -> Result<u32, StoreError> {
    let seconds = row.count("lease_us")?.div_ceil(1_000_000);
    Ok(seconds.try_into().unwrap_or(u32::MAX))
}

/// Whole percents of an epic; sums of hours in another order may differ in the last digits.
#[expect(clippy::cast_possible_truncation, reason = "a percent")]
pub(super) fn reached(hours_done: f64, hours: f64, done: i64, all: i64) -> i64 {
    let (done, all) = (done.max(0).cast_unsigned(), all.max(0).cast_unsigned());
    (percent(hours_done, hours, done, all) + 1e-6).floor() as i64
}

/// An event of an entry of a merge queue: `row` has its `task_id`, `epoch` and `graph_id`.
pub(super) fn merge_event(
    kind: TaskEventKind,
    id: MergeId,
    row: &Record,
) -> Result<NewEvent, StoreError> {
    let lease = Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? };
    Ok(NewEvent::new(kind).graph(GraphId(row.int("graph_id")?)).lease(lease).merge(id))
}
