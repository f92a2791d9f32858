//! Actions on a graph.

use serde_json::json;

use super::Change;
use crate::store::error::StoreError;
use crate::store::finish::settle_graph;
use crate::store::tasks::retry as try_again;
use crate::store::tx::{Done, Tx};
use crate::store::value::args;
use greenloop_model::task::{GraphId, GraphState, TaskId};

struct Shown {
    state: GraphState,
    paused: bool,
}

async fn shown(tx: &mut Tx<'_>, id: GraphId) -> Done<Shown> {
    let row = tx
        .maybe("SELECT state, paused_at FROM graphs WHERE id = $1 AND purged = 0", args![id.0])
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("graph {id}")))?;
    Ok(Shown {
        state: row.named("state", GraphState::from_name)?,
        paused: row.opt_int("paused_at")?.is_some(),
    })
}

fn change(id: GraphId, before: &Shown, after: &Shown) -> Change {
    let record = |it: &Shown| json!({"state": it.state.name(), "paused": it.paused});
    Change { graph: Some(id), before: record(before), after: record(after), ..Change::default() }
}

pub(super) async fn cancel(tx: &mut Tx<'_>, id: GraphId) -> Done<Change> {
    let before = shown(tx, id).await?;
    let open = "SELECT COUNT(*) AS tasks FROM tasks WHERE graph_id = $1 \
        AND state NOT IN ('done', 'failed', 'cancelled')";
    let left = tx.one(open, args![id.0]).await?.int("tasks")?;
    crate::store::graphs::cancel(tx, id).await?;
    let after = shown(tx, id).await?;
    let still = tx.one(open, args![id.0]).await?.int("tasks")?;
    let mut change = change(id, &before, &after);
    change.before["open_tasks"] = left.into();
    change.after["open_tasks"] = still.into();
    Ok(change)
}

pub(super) async fn retry(tx: &mut Tx<'_>, id: GraphId) -> Done<Change> {
    let before = shown(tx, id).await?;
    let rows = tx
        .all(
            "SELECT id, key FROM tasks WHERE graph_id = $1 AND state IN ('failed', 'blocked') \
             AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = tasks.id \
             AND a.task_id > 0 AND a.state = 'pending') ORDER BY id",
            args![id.0],
        )
        .await?;
    let mut keys = Vec::new();
    for row in rows {
        try_again(tx, TaskId(row.int("id")?)).await?;
        keys.push(row.text("key")?);
    }
    let after = shown(tx, id).await?;
    let mut change = change(id, &before, &after);
    change.after["retried"] = keys.len().into();
    change.before["retried"] = 0.into();
    if !keys.is_empty() {
        keys.truncate(MOST_KEYS);
        change.after["tasks"] = keys.into();
    }
    Ok(change)
}

/// Keys of tasks that a record names.
const MOST_KEYS: usize = 50;

/// Tasks that are not over wait from now on for one thing more: the end of the pause. Those that
/// run go on.
pub(super) async fn pause(tx: &mut Tx<'_>, id: GraphId) -> Done<Change> {
    let before = shown(tx, id).await?;
    if before.state != GraphState::Running {
        let state = before.state.name();
        let text = format!("graph {id} is {state}: only one that runs can be paused");
        return Err(StoreError::conflict(text).into());
    }
    let paused = tx
        .run(
            "UPDATE graphs SET paused_at = {now} WHERE id = $1 AND state = 'running' \
             AND paused_at IS NULL",
            args![id.0],
        )
        .await?;
    if paused > 0 {
        tx.run(
            "UPDATE tasks SET held = 1, unmet = unmet + 1, updated_at = {now}, \
             state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END \
             WHERE id IN (SELECT id FROM tasks WHERE graph_id = $1 AND held = 0 \
             AND state NOT IN ('done', 'failed', 'cancelled') ORDER BY id {lock}) AND held = 0",
            args![id.0],
        )
        .await?;
    }
    let after = shown(tx, id).await?;
    Ok(change(id, &before, &after))
}

pub(super) async fn resume(tx: &mut Tx<'_>, id: GraphId) -> Done<Change> {
    let before = shown(tx, id).await?;
    let resumed = tx
        .run(
            "UPDATE graphs SET paused_at = NULL WHERE id = $1 AND paused_at IS NOT NULL",
            args![id.0],
        )
        .await?;
    if resumed > 0 {
        tx.run(
            "UPDATE tasks SET held = 0, unmet = unmet - 1, updated_at = {now}, \
             state = CASE WHEN unmet = 1 AND state = 'waiting' THEN 'ready' ELSE state END \
             WHERE id IN (SELECT id FROM tasks WHERE graph_id = $1 AND held = 1 \
             ORDER BY id {lock}) AND held = 1",
            args![id.0],
        )
        .await?;
        settle_graph(tx, id).await?;
    }
    let after = shown(tx, id).await?;
    Ok(change(id, &before, &after))
}
