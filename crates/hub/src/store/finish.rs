//! What follows when a task ends: its dependants, its epic's conditions, its graph. All in the
//! transaction that ends it.

use super::columns::reached;
use super::dialect::Dialect;
use super::done_task::DoneTask;
use super::epics::{bring_home, came_home};
use super::error::StoreError;
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_model::task::{GraphId, GraphState, TaskEventKind, TaskId};

/// Lets go what waited for a task that was just set to `done`.
///
/// Counters on the rows, not questions about other rows: two tasks that end at the same time
/// each see the other as running, and what needs both would wait for ever.
pub(super) async fn release(tx: &mut Tx<'_>, done: &DoneTask) -> Done<()> {
    if done.dependants > 0 {
        let released = tx
            .all(
                "UPDATE tasks SET unmet = unmet - 1, updated_at = {now}, \
                 state = CASE WHEN unmet = 1 AND state = 'waiting' THEN 'ready' ELSE state END \
                 WHERE id IN (SELECT id FROM tasks WHERE id IN \
                 (SELECT task_id FROM dependencies WHERE needs_id = $1) ORDER BY id {lock}) \
                 RETURNING id, state, unmet",
                args![done.id.0],
            )
            .await?;
        tell_ready(tx, done.graph, released)?;
    }
    if let Some(epic) = done.epic {
        let row = tx
            .one(
                "UPDATE epics SET tasks_done = tasks_done + 1, hours_done = hours_done + $2 \
                 WHERE id = $1 RETURNING tasks, tasks_done, hours, hours_done",
                args![epic, done.hours],
            )
            .await?;
        let percent = reached(
            row.real("hours_done")?,
            row.real("hours")?,
            row.int("tasks_done")?,
            row.int("tasks")?,
        );
        let all = row.int("tasks_done")? == row.int("tasks")?;
        let on_its_way = all && bring_home(tx, done.graph, epic).await?;
        // Who waits for all of an epic builds on it: it is to be where they begin.
        meet(tx, done.graph, epic, if on_its_way { percent.min(99) } else { percent }).await?;
    } else if let Some(epic) = came_home(tx, done).await? {
        meet(tx, done.graph, epic, 100).await?;
    }
    settle_graph(tx, done.graph).await
}

/// An epic has come so far: lets go what waited for that.
async fn meet(tx: &mut Tx<'_>, graph: GraphId, epic: i64, percent: i64) -> Done<()> {
    let met = tx
        .all(
            "UPDATE conditions SET met = 1 WHERE epic_id = $1 AND met = 0 AND at_least <= $2 \
             RETURNING task_id",
            args![epic, percent],
        )
        .await?;
    let mut tasks = met.iter().map(|row| row.int("task_id")).collect::<Result<Vec<_>, _>>()?;
    tasks.sort_unstable();
    for task in tasks {
        let released = tx
            .all(
                "UPDATE tasks SET unmet = unmet - 1, updated_at = {now}, \
                 state = CASE WHEN unmet = 1 AND state = 'waiting' THEN 'ready' \
                 ELSE state END WHERE id = $1 RETURNING id, state, unmet",
                args![task],
            )
            .await?;
        tell_ready(tx, graph, released)?;
    }
    Ok(())
}

fn tell_ready(tx: &mut Tx<'_>, graph: GraphId, released: Vec<super::record::Record>) -> Done<()> {
    for row in released {
        if row.int("unmet")? == 0 && row.text("state")? == "ready" {
            let task = TaskId(row.int("id")?);
            tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(task));
        }
    }
    Ok(())
}

/// SQLite: a task that is alive, by the index of those.
const ALIVE: &str = "SELECT id FROM tasks WHERE graph_id = $1 \
    AND state IN ('ready', 'running', 'merging', 'blocked') ORDER BY id DESC LIMIT 1";
/// PostgreSQL: a task that is alive, held. No index has a task's state; a blocked one is found with
/// the graph's row locked.
const READY: &str = "SELECT t.id FROM (SELECT q.task_id FROM task_queue q WHERE q.graph_id = $1 \
    ORDER BY q.task_id DESC LIMIT 4) q JOIN tasks t ON t.id = q.task_id AND t.state = 'ready' \
    LIMIT 1 {share free t}";
const RUNNING: &str = "SELECT t.id FROM attempts a JOIN tasks t ON t.id = a.task_id \
    AND t.epoch = a.epoch AND t.state = 'running' AND t.graph_id = $1 \
    WHERE a.ended_at IS NULL LIMIT 1 {share free t}";
const MERGING: &str = "SELECT t.id FROM merge_queue m JOIN tasks t ON t.id = m.task_id \
    AND t.state = 'merging' WHERE m.graph_id = $1 \
    AND m.state IN ('queued', 'testing', 'waiting') LIMIT 1 {share free t}";

/// Ends a graph when nothing of it can run any more. Comes last in a transaction.
///
/// With several writers, of two that end the last two tasks each sees the other's as alive. So
/// whoever sees a task alive holds on to it until its own commit: that task's end comes after,
/// and looks again. Whoever finds none to hold on to asks again with the graph's row locked.
/// For that, whatever ends a task locks its row with `{lock end}`, which `{share free}` waits
/// for or passes over; a claim takes a weaker lock, which blocks no other.
pub(super) async fn settle_graph(tx: &mut Tx<'_>, graph: GraphId) -> Done<()> {
    let looks: &[&'static str] = match tx.dialect() {
        Dialect::Sqlite => &[ALIVE],
        Dialect::Postgres => &[READY, RUNNING, MERGING],
    };
    for look in looks {
        if tx.maybe(look, args![graph.0]).await?.is_some() {
            return Ok(());
        }
    }
    let open = tx
        .maybe("SELECT id FROM graphs WHERE id = $1 AND state = 'running' {lock}", args![graph.0])
        .await?;
    if open.is_none() {
        return Ok(());
    }
    let alive = tx
        .maybe(
            "SELECT id FROM tasks WHERE graph_id = $1 \
             AND state IN ('ready', 'running', 'merging', 'blocked') LIMIT 1",
            args![graph.0],
        )
        .await?;
    if alive.is_some() || super::conflicts::any_waits(tx, graph).await? {
        return Ok(());
    }
    // What waits for nothing but the end of a pause goes on then.
    let paused = tx
        .maybe(
            "SELECT id FROM tasks WHERE graph_id = $1 AND state = 'waiting' AND held = 1 \
             AND unmet = 1 LIMIT 1",
            args![graph.0],
        )
        .await?;
    if paused.is_some() {
        return Ok(());
    }
    let row = tx
        .one(
            "SELECT COUNT(*) AS tasks, \
             CAST(COALESCE(SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END), 0) AS BIGINT) AS done, \
             CAST(COALESCE(SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END), 0) AS BIGINT) \
             AS failed FROM tasks WHERE graph_id = $1",
            args![graph.0],
        )
        .await?;
    let (tasks, done, failed) = (row.int("tasks")?, row.int("done")?, row.int("failed")?);
    let cancelled = tx
        .maybe(
            "SELECT id FROM tasks WHERE graph_id = $1 AND state = 'cancelled' LIMIT 1",
            args![graph.0],
        )
        .await?;
    let (state, event) = if done == tasks {
        (GraphState::Done, TaskEventKind::GraphDone)
    } else if failed == 0 && cancelled.is_some() {
        (GraphState::Cancelled, TaskEventKind::GraphCancelled)
    } else {
        (GraphState::Failed, TaskEventKind::GraphFailed)
    };
    tx.run(
        "UPDATE graphs SET state = $2, ended_at = {now} WHERE id = $1",
        args![graph.0, state.name()],
    )
    .await?;
    tx.emit(NewEvent::new(event).graph(graph));
    Ok(())
}

/// A graph runs again, or still: its row is written in any case, so that whoever is about to end
/// it, without having seen what came back to life, comes before or looks again.
pub(super) async fn revive(tx: &mut Tx<'_>, graph: GraphId) -> Done<()> {
    let changed = tx
        .run(
            "UPDATE graphs SET state = 'running', ended_at = NULL WHERE id = $1 AND purged = 0",
            args![graph.0],
        )
        .await?;
    if changed == 0 {
        let text = format!("graph {graph} is past its retention period and is being deleted");
        return Err(StoreError::conflict(text).into());
    }
    Ok(())
}
