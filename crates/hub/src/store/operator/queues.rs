//! Actions on merge queues and their entries.

use serde_json::json;

use super::{Change, Operator};
use crate::store::error::StoreError;
use crate::store::merges::{
    decide as decide_hold, eject as throw_out, no_entry, requeue as put_back,
};
use crate::store::record::Record;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_model::task::{GraphId, HoldDecision, MergeId, TaskEventKind, TaskId};

async fn entry(tx: &mut Tx<'_>, id: MergeId) -> Done<Record> {
    let row = tx
        .maybe(
            "SELECT state, reason, task_id, graph_id, target FROM merge_queue WHERE id = $1",
            args![id.0],
        )
        .await?;
    Ok(row.ok_or_else(|| no_entry(id))?)
}

fn entry_change(id: MergeId, before: &Record, after: &Record) -> Result<Change, StoreError> {
    let record = |row: &Record| -> Result<serde_json::Value, StoreError> {
        Ok(json!({"state": row.text("state")?, "reason": row.opt_text("reason")?}))
    };
    Ok(Change {
        graph: Some(GraphId(before.int("graph_id")?)),
        task: Some(TaskId(before.int("task_id")?)),
        merge: Some(id),
        target: Some(before.text("target")?),
        before: record(before)?,
        after: record(after)?,
        ..Change::default()
    })
}

pub(super) async fn eject(tx: &mut Tx<'_>, id: MergeId, operator: &Operator) -> Done<Change> {
    let before = entry(tx, id).await?;
    let reason = match operator.reason.as_str() {
        "" => format!("removed by {}", operator.name),
        reason => reason.to_owned(),
    };
    throw_out(tx, id, reason).await?;
    let after = entry(tx, id).await?;
    Ok(entry_change(id, &before, &after)?)
}

pub(super) async fn requeue(tx: &mut Tx<'_>, id: MergeId) -> Done<Change> {
    let before = entry(tx, id).await?;
    put_back(tx, id).await?;
    let after = entry(tx, id).await?;
    Ok(entry_change(id, &before, &after)?)
}

/// The queue that is meant.
async fn queue(tx: &mut Tx<'_>, project: Option<&str>, target: Option<&str>) -> Done<Record> {
    let mut found = tx
        .all(
            "SELECT t.project_id, t.target, t.paused_at, p.name FROM merge_targets t \
             JOIN projects p ON p.id = t.project_id WHERE ($1 IS NULL OR p.name = $1) \
             AND ($2 IS NULL OR t.target = $2) ORDER BY p.name, t.target",
            args![project, target],
        )
        .await?;
    if found.len() > 1 {
        let names = found
            .iter()
            .map(|it| Ok(format!("{} of {}", it.text("target")?, it.text("name")?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        return Err(StoreError::conflict(format!(
            "there are several merge queues ({}): name the project and the target",
            names.join(", ")
        ))
        .into());
    }
    Ok(found.pop().ok_or_else(|| StoreError::not_found("merge queue of that name"))?)
}

fn queue_change(row: &Record, paused: bool) -> Result<Change, StoreError> {
    let project = row.text("name")?;
    let was = row.opt_int("paused_at")?.is_some();
    Ok(Change {
        target: Some(row.text("target")?),
        before: json!({"paused": was, "project": &project}),
        after: json!({"paused": paused, "project": project}),
        ..Change::default()
    })
}

/// Nothing is pushed from now on: whoever holds the branch loses it, unless a commit is on its way,
/// which is the last.
pub(super) async fn pause(
    tx: &mut Tx<'_>,
    project: Option<&str>,
    target: Option<&str>,
) -> Done<Change> {
    let row = queue(tx, project, target).await?;
    let (id, name) = (row.int("project_id")?, row.text("target")?);
    let paused = tx
        .run(
            "UPDATE merge_targets SET paused_at = {now} WHERE project_id = $1 AND target = $2 \
             AND paused_at IS NULL",
            args![id, &name],
        )
        .await?;
    if paused > 0 {
        tx.run(
            "UPDATE merge_targets SET holder = NULL, expires_at = 0 WHERE project_id = $1 \
             AND target = $2 AND NOT EXISTS (SELECT 1 FROM merge_queue q \
             WHERE q.project_id = $1 AND q.target = $2 AND q.state = 'testing' \
             AND q.landing IS NOT NULL)",
            args![id, &name],
        )
        .await?;
        tx.run(
            "UPDATE merge_queue SET state = 'queued', staged = NULL, updated_at = {now} \
             WHERE project_id = $1 AND target = $2 AND state = 'testing' AND landing IS NULL",
            args![id, &name],
        )
        .await?;
        let text = format!("{name}: paused by a person");
        tx.emit(NewEvent::new(TaskEventKind::MergePaused).text(text));
    }
    Ok(queue_change(&row, true)?)
}

pub(super) async fn resume(
    tx: &mut Tx<'_>,
    project: Option<&str>,
    target: Option<&str>,
) -> Done<Change> {
    let row = queue(tx, project, target).await?;
    let (id, name) = (row.int("project_id")?, row.text("target")?);
    let resumed = tx
        .run(
            "UPDATE merge_targets SET paused_at = NULL, not_before = 0 WHERE project_id = $1 \
             AND target = $2 AND paused_at IS NOT NULL",
            args![id, &name],
        )
        .await?;
    if resumed > 0 {
        let text = format!("{name}: a person ends the pause");
        tx.emit(NewEvent::new(TaskEventKind::MergeResumed).text(text));
    }
    Ok(queue_change(&row, false)?)
}

pub(super) async fn decide(
    tx: &mut Tx<'_>,
    project: Option<&str>,
    target: Option<&str>,
    decision: HoldDecision,
) -> Done<Change> {
    let name = decide_hold(tx, project, target, decision).await?;
    Ok(Change {
        target: Some(name),
        before: json!({}),
        after: json!({"decision": decision.name()}),
        ..Change::default()
    })
}
