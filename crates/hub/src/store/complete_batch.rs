//! Completions on PostgreSQL: those of tasks without a commit go into one statement and one commit,
//! together with what follows from them. What the statement does not take, because somebody holds
//! the task, because it is the last of its graph or its epic, or because the report is out of date,
//! is completed by itself, in a transaction of several statements.
//!
//! # Guarantees
//! A completion that is refused, or waits for a lock, keeps none of the others from being answered.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::attempts::{Completed, CompletionQuery};
use super::batch::Item;
use super::connect::TaskStore;
use super::epics::POSITIONS;
use super::error::{StoreError, StoreErrorKind};
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::Task;
use greenloop_model::task::{TaskEventKind, TaskState};

pub(super) type CompletionItem = Item<CompletionQuery, Completed>;

/// The ends of tasks in graphs that go on, in one statement. A row for each that was ended.
///
/// As in [`super::finish::settle_graph`], a task is held before another one of its graph is looked
/// for, and that one is held until the commit. `counting`: epics that have more tasks to do, and
/// that nothing waits for: nothing follows from one more but its counters. A task that waits for
/// another one that is ended here is not ended by the same statement: `unmet`.
///
/// 1 the completions, as a JSON array, 2 the position from which on tasks are merges of epics.
pub(super) const COMPLETE_ALL: &str = "WITH asked AS MATERIALIZED (\
        SELECT x.n, x.task_id, x.epoch, x.summary, x.key \
        FROM jsonb_to_recordset(CAST($1 AS jsonb)) \
            AS x (n BIGINT, task_id BIGINT, epoch BIGINT, summary TEXT, key TEXT)), \
     held AS MATERIALIZED (SELECT t.id, t.graph_id, COALESCE(t.epic_id, 0) AS epic, t.epoch, a.n, \
            a.summary, a.key \
        FROM asked a JOIN tasks t ON t.id = a.task_id AND t.epoch = a.epoch \
        WHERE t.state = 'running' AND t.unmet = 0 AND t.position < $2 \
        ORDER BY t.id FOR UPDATE OF t SKIP LOCKED), \
     ready AS MATERIALIZED (SELECT g.graph_id FROM (SELECT DISTINCT graph_id FROM held) g \
        CROSS JOIN LATERAL (SELECT t.id FROM (SELECT q.task_id FROM task_queue q \
                WHERE q.graph_id = g.graph_id ORDER BY q.task_id DESC LIMIT 4) q \
            JOIN tasks t ON t.id = q.task_id AND t.state = 'ready' \
            LIMIT 1 FOR KEY SHARE OF t SKIP LOCKED) one), \
     busy AS MATERIALIZED (SELECT g.graph_id FROM (SELECT DISTINCT graph_id FROM held \
            WHERE graph_id NOT IN (SELECT graph_id FROM ready)) g \
        CROSS JOIN LATERAL (SELECT t.id FROM attempts r JOIN tasks t ON t.id = r.task_id \
                AND t.epoch = r.epoch AND t.state = 'running' AND t.graph_id = g.graph_id \
            WHERE r.ended_at IS NULL AND r.task_id NOT IN (SELECT id FROM held) \
            LIMIT 1 FOR KEY SHARE OF t SKIP LOCKED) one), \
     counting AS MATERIALIZED (SELECT e.id FROM (SELECT epic, COUNT(*) AS tasks FROM held \
            WHERE epic > 0 GROUP BY epic) h JOIN epics e ON e.id = h.epic \
            AND e.tasks_done + h.tasks < e.tasks \
        WHERE NOT EXISTS (SELECT 1 FROM conditions c WHERE c.epic_id = e.id AND c.met = 0) \
        ORDER BY e.id FOR NO KEY UPDATE OF e SKIP LOCKED), \
     ended AS (UPDATE tasks t SET state = 'done', reason = NULL, updated_at = {now}, \
        ended_at = {now} FROM held h WHERE t.id = h.id AND t.epoch = h.epoch \
        AND t.state = 'running' AND (h.graph_id IN (SELECT graph_id FROM ready) \
            OR h.graph_id IN (SELECT graph_id FROM busy)) \
        AND (h.epic = 0 OR h.epic IN (SELECT id FROM counting)) \
        RETURNING t.*, h.n, h.summary, h.key AS end_key), \
     attempt AS (UPDATE attempts a SET state = 'succeeded', percent = 100, \
        message = ended.summary, end_key = ended.end_key, outcome = 'done', ended_at = {now} \
        FROM ended WHERE a.task_id = ended.id AND a.epoch = ended.epoch AND a.state = 'running' \
        RETURNING a.task_id, a.agent, {now} - a.started_at AS worked), \
     counted AS (UPDATE agents g SET succeeded = g.succeeded + c.tasks, \
        worked_us = g.worked_us + c.worked FROM (SELECT agent, COUNT(*) AS tasks, \
            CAST(SUM(worked) AS BIGINT) AS worked FROM attempt GROUP BY agent ORDER BY agent) c \
        WHERE g.name = c.agent), \
     further AS (UPDATE epics e SET tasks_done = e.tasks_done + c.tasks, \
        hours_done = e.hours_done + c.hours FROM (SELECT epic_id, COUNT(*) AS tasks, \
            SUM(hours) AS hours FROM ended WHERE epic_id IS NOT NULL GROUP BY epic_id) c \
        WHERE e.id = c.epic_id), \
     freed AS (UPDATE tasks d SET unmet = d.unmet - c.needs, updated_at = {now}, \
        state = CASE WHEN d.unmet = c.needs AND d.state = 'waiting' THEN 'ready' ELSE d.state END \
        FROM (SELECT n.task_id, COUNT(*) AS needs FROM ended JOIN dependencies n \
            ON n.needs_id = ended.id WHERE ended.dependants > 0 \
            GROUP BY n.task_id ORDER BY n.task_id) c \
        WHERE d.id = c.task_id RETURNING d.id, d.graph_id, d.state, d.unmet), \
     done_events AS (INSERT INTO outbox_batches (at, kind, events) SELECT {now}, 'task.done', \
        CAST(json_agg(json_build_array(ended.graph_id, ended.id, ended.epoch, a.agent, \
            ended.summary) ORDER BY ended.n) AS TEXT) \
        FROM ended JOIN attempt a ON a.task_id = ended.id HAVING COUNT(*) > 0 RETURNING seq), \
     ready_events AS (INSERT INTO outbox_batches (at, kind, events) SELECT {now}, 'task.ready', \
        CAST(json_agg(json_build_array(f.graph_id, f.id) ORDER BY f.id) AS TEXT) FROM freed f \
        WHERE f.state = 'ready' AND f.unmet = 0 AND (SELECT COUNT(*) FROM done_events) > 0 \
        HAVING COUNT(*) > 0) \
     SELECT ended.*, e.key AS epic_key, a.agent, 100 AS percent, \
        (SELECT COUNT(*) FROM freed WHERE freed.state = 'ready' AND freed.unmet = 0) AS freed \
     FROM ended JOIN attempt a ON a.task_id = ended.id LEFT JOIN epics e ON e.id = ended.epic_id";

/// Sends completions.
pub(super) fn send(
    store: TaskStore,
    _lane: (),
    items: Vec<CompletionItem>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let queries: Arc<[CompletionQuery]> = items.iter().map(|it| it.input.clone()).collect();
        let ended = store
            .write_statement(move |tx| {
                let queries = Arc::clone(&queries);
                Box::pin(async move { complete_all(tx, &queries).await })
            })
            .await;
        match ended {
            Ok(ended) => {
                for (item, task) in items.into_iter().zip(ended) {
                    match task {
                        Some(task) => item.answer(Ok(Completed {
                            state: TaskState::Done,
                            task: Some(Box::new(task)),
                        })),
                        None => apart(&store, item),
                    }
                }
            }
            // It may have happened: who reports again with the key learns that.
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                for item in items {
                    item.answer(Err(StoreError::new(error.kind, error.message.clone())));
                }
            }
            // One of them is at fault: each is told its own error.
            Err(_) => items.into_iter().for_each(|item| apart(&store, item)),
        }
    })
}

/// Completes one by itself, without the next batch having to wait for that.
fn apart(store: &TaskStore, item: CompletionItem) {
    let store = store.clone();
    tokio::spawn(async move {
        let answer = store.complete_alone(item.input.clone()).await;
        item.answer(answer);
    });
}

fn json(queries: &[CompletionQuery]) -> String {
    let completions = queries.iter().enumerate().map(|(n, query)| {
        serde_json::json!({
            "n": n,
            "task_id": query.lease.task.0,
            "epoch": query.lease.epoch,
            "summary": query.summary(),
            "key": query.key,
        })
    });
    serde_json::Value::from_iter(completions).to_string()
}

/// The tasks that were ended, each in the place of its completion.
async fn complete_all(tx: &mut Tx<'_>, queries: &[CompletionQuery]) -> Done<Vec<Option<Task>>> {
    let rows = tx.all(COMPLETE_ALL, args![json(queries), POSITIONS]).await?;
    let mut tasks: Vec<Option<Task>> =
        std::iter::repeat_with(|| None).take(queries.len()).collect();
    let mut places = Vec::with_capacity(rows.len());
    let mut freed = false;
    for row in &rows {
        places.push(usize::try_from(row.count("n")?).unwrap_or(usize::MAX));
        freed |= row.int("freed")? > 0;
    }
    if !rows.is_empty() {
        tx.note(TaskEventKind::TaskDone);
    }
    if freed {
        tx.note(TaskEventKind::TaskReady);
    }
    for (place, task) in places.into_iter().zip(super::tasks::views(tx, rows).await?) {
        if let Some(slot) = tasks.get_mut(place) {
            *slot = Some(task);
        }
    }
    Ok(tasks)
}
