//! A target that somebody moved other than forward: what it took away is opened again.

use std::sync::Arc;

use super::lease::QueueLease;
use super::removal::{TaskOutcome, take_dependants_along};
use crate::store::approvals::may_start;
use crate::store::attempts::set_ejected;
use crate::store::columns::{merge_event, reached};
use crate::store::connect::TaskStore;
use crate::store::epics::POSITIONS;
use crate::store::error::StoreError;
use crate::store::finish::revive;
use crate::store::tasks::hold_while_paused;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_model::task::{GraphId, Lease, MergeId, TaskEventKind, TaskId};

/// Merges that are looked through for those that a rewind took away.
const MERGES: i64 = 1_000;

/// A merge that a target has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedCommit {
    /// The entry.
    pub id: MergeId,
    /// What the target became.
    pub sha: String,
    /// The task: `1.3 Title`.
    pub title: String,
}

impl TaskStore {
    /// The merges of a target, the latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn merged_commits(
        &self,
        lease: &QueueLease,
    ) -> Result<Vec<MergedCommit>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT m.id, m.merged, t.key, t.title FROM merge_queue m \
                 JOIN tasks t ON t.id = m.task_id WHERE m.project_id = $1 AND m.target = $2 \
                 AND m.state = 'merged' ORDER BY m.ended_at DESC, m.id DESC LIMIT $3",
                args![lease.project, &lease.target, MERGES],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(MergedCommit {
                    id: MergeId(row.int("id")?),
                    sha: row.text("merged")?,
                    title: format!("{} {}", row.text("key")?, row.text("title")?),
                })
            })
            .collect()
    }

    /// Follows a rewind: what it took away is not merged any more, and its tasks are open again.
    /// Branches that stand on it are no longer merged.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn follow_rewind(
        &self,
        lease: &QueueLease,
        lost: &[MergeId],
        gone: &[String],
        tip: Option<&str>,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((lost.to_vec(), gone.to_vec(), tip.map(str::to_owned)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (lost, gone, tip) = &*asked;
                follow(tx, &lease, lost, gone, tip.as_deref()).await
            })
        })
        .await
    }
}

async fn follow(
    tx: &mut Tx<'_>,
    lease: &QueueLease,
    lost: &[MergeId],
    gone: &[String],
    tip: Option<&str>,
) -> Done<()> {
    let place = || args![lease.project, &lease.target];
    for sha in gone {
        tx.run(
            "INSERT INTO merge_rewinds (project_id, target, sha, created_at) \
             VALUES ($1, $2, $3, {now}) ON CONFLICT (project_id, target, sha) DO NOTHING",
            args![lease.project, &lease.target, sha],
        )
        .await?;
    }
    let now = tip.map_or_else(
        || format!("{} was deleted", lease.target),
        |tip| format!("{} was moved back to {}", lease.target, short(tip)),
    );
    for id in lost {
        reopen(tx, lease, *id, &now).await?;
    }
    tx.run(
        "UPDATE merge_targets SET tip = $3, head = (SELECT m.merged FROM merge_queue m \
         WHERE m.project_id = $1 AND m.target = $2 AND m.state = 'merged' \
         ORDER BY m.ended_at DESC, m.id DESC LIMIT 1) WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, tip],
    )
    .await?;
    tx.run("DELETE FROM merge_holds WHERE project_id = $1 AND target = $2", place()).await?;
    let text = format!("{}: {now}; {} merges must be redone", lease.target, lost.len());
    tx.emit(NewEvent::new(TaskEventKind::MergeResumed).text(text));
    Ok(())
}

fn short(sha: &str) -> &str {
    sha.get(..12).unwrap_or(sha)
}

/// A merge is not there any more: its task is open again, and what needs it waits again.
async fn reopen(tx: &mut Tx<'_>, lease: &QueueLease, id: MergeId, now: &str) -> Done<()> {
    let row = tx
        .maybe(
            "SELECT merged FROM merge_queue WHERE id = $1 AND project_id = $2 AND target = $3 \
             AND state = 'merged'",
            args![id.0, lease.project, &lease.target],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let reason = format!("{} was removed: {now}", short(&row.text("merged")?));
    let entry = tx
        .one(
            "UPDATE merge_queue SET state = 'ejected', merged = NULL, landing = NULL, \
             reason = $2, updated_at = {now}, ended_at = {now} WHERE id = $1 \
             RETURNING task_id, epoch, graph_id",
            args![id.0, &reason],
        )
        .await?;
    let attempt = Lease { task: TaskId(entry.int("task_id")?), epoch: entry.int("epoch")? };
    tx.emit(merge_event(TaskEventKind::MergeEjected, id, &entry)?.text(&reason));
    // The branch of an epic would only be merged again as it is: that is for a person to say.
    let task = tx
        .maybe(
            "UPDATE tasks SET state = CASE WHEN position >= $4 THEN 'blocked' \
             WHEN unmet = 0 THEN 'ready' ELSE 'waiting' END, reason = $3, attempts = 0, \
             deaths = 0, not_before = 0, commit_sha = NULL, ended_at = NULL, updated_at = {now} \
             WHERE id = (SELECT id FROM tasks WHERE id = $1 AND epoch = $2 AND state = 'done' \
             {lock end}) AND state = 'done' \
             RETURNING state, graph_id, epic_id, position, hours",
            args![attempt.task.0, attempt.epoch, &reason, POSITIONS],
        )
        .await?;
    let Some(task) = task else { return Ok(()) };
    let graph = GraphId(task.int("graph_id")?);
    set_ejected(tx, attempt, true).await?;
    let event = NewEvent::new(TaskEventKind::TaskReopened).graph(graph).lease(attempt).merge(id);
    tx.emit(event.text(&reason));
    tx.run(
        "UPDATE tasks SET unmet = unmet + 1, updated_at = {now}, \
         state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END WHERE id IN \
         (SELECT id FROM tasks WHERE id IN (SELECT task_id FROM dependencies WHERE needs_id = $1) \
         ORDER BY id {lock})",
        args![attempt.task.0],
    )
    .await?;
    if let Some(epic) = task.opt_int("epic_id")? {
        let row = tx
            .one(
                "UPDATE epics SET tasks_done = tasks_done - 1, hours_done = hours_done - $2 \
                 WHERE id = $1 RETURNING tasks, tasks_done, hours, hours_done",
                args![epic, task.real("hours")?],
            )
            .await?;
        let percent = reached(
            row.real("hours_done")?,
            row.real("hours")?,
            row.int("tasks_done")?,
            row.int("tasks")?,
        );
        fall_short(tx, epic, percent).await?;
    } else if task.int("position")? >= POSITIONS {
        let epic = tx
            .maybe(
                "SELECT id FROM epics WHERE graph_id = $1 AND position = $2",
                args![graph.0, task.int("position")? - POSITIONS],
            )
            .await?;
        if let Some(epic) = epic {
            fall_short(tx, epic.int("id")?, 99).await?;
        }
    }
    take_dependants_along(tx, attempt.task, TaskOutcome::Again).await?;
    revive(tx, graph).await?;
    let starts = may_start(tx, attempt.task).await?;
    if hold_while_paused(tx, attempt.task).await? || !starts {
        return Ok(());
    }
    match task.text("state")?.as_str() {
        "ready" => tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(attempt.task)),
        "blocked" => {
            let event = NewEvent::new(TaskEventKind::TaskBlocked).graph(graph).lease(attempt);
            tx.emit(event.text(&reason));
        }
        _waiting => {}
    }
    Ok(())
}

/// An epic is not as far any more: conditions that it met are open again.
async fn fall_short(tx: &mut Tx<'_>, epic: i64, percent: i64) -> Done<()> {
    let open = tx
        .all(
            "UPDATE conditions SET met = 0 WHERE epic_id = $1 AND met = 1 AND at_least > $2 \
             RETURNING task_id",
            args![epic, percent],
        )
        .await?;
    for row in open {
        tx.run(
            "UPDATE tasks SET unmet = unmet + 1, updated_at = {now}, \
             state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END WHERE id = $1",
            args![row.int("task_id")?],
        )
        .await?;
    }
    Ok(())
}
