//! Entries that leave a queue without being merged, and what becomes of their tasks.

use std::sync::Arc;

use super::approval::wake_targets;
use super::entry::gone;
use super::lease::QueueLease;
use super::list::no_entry;
use crate::store::approvals::{PendingOf, may_start, settle};
use crate::store::attempts::set_ejected;
use crate::store::columns::merge_event;
use crate::store::conflicts::{self, ConflictReport};
use crate::store::connect::TaskStore;
use crate::store::epics::POSITIONS;
use crate::store::error::StoreError;
use crate::store::finish::{revive, settle_graph};
use crate::store::record::Record;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_hub_api::types::Merge;
use greenloop_model::task::{GraphId, Lease, MergeId, MergeState, TaskEventKind, TaskId};

/// How an entry leaves the queue without being merged.
struct RemovalReason {
    id: MergeId,
    state: MergeState,
    reason: String,
    then: TaskOutcome,
    conflict: Option<ConflictReport>,
}

/// What becomes of its task.
#[derive(Clone, Copy)]
pub(super) enum TaskOutcome {
    Blocked,
    /// Ready, and the attempt does not count: the task was not to blame. The merge of an epic's
    /// branch waits for a person: nobody does it again.
    Again,
    /// As `Again`, so often; then it waits for a person.
    AgainAtMost(i64),
    Failed,
    ReadyOrBlocked,
    ReadyOrFailed,
}

impl TaskStore {
    /// The branch does not merge: the task is done again in its turn, without an attempt being
    /// counted; after `max_attempts` conflicts it waits for a person. Saying it twice does no
    /// harm.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_conflicting(
        &self,
        lease: &QueueLease,
        id: MergeId,
        report: &ConflictReport,
    ) -> Result<(), StoreError> {
        self.leave(
            lease,
            RemovalReason {
                id,
                state: MergeState::Conflict,
                reason: report.reason.clone(),
                then: TaskOutcome::Again,
                conflict: Some(report.clone()),
            },
        )
        .await
    }

    /// The same without the files; without `reopen` the task waits for a person at once.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_conflict(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
        reopen: bool,
    ) -> Result<(), StoreError> {
        let (reason, then) = (reason.to_owned(), TaskOutcome::Blocked);
        if reopen {
            let report = ConflictReport { brief: reason.clone(), reason, files: Vec::new() };
            return self.merge_conflicting(lease, id, &report).await;
        }
        let leave = RemovalReason { id, state: MergeState::Conflict, reason, then, conflict: None };
        self.leave(lease, leave).await
    }

    /// The entry is thrown out: its gates failed. With `retry` the task is ready again as long as
    /// it has attempts left; otherwise it failed. Entries of tasks that need it leave as well.
    /// Saying it twice does no harm.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_ejected(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
        retry: bool,
    ) -> Result<(), StoreError> {
        let then = if retry { TaskOutcome::ReadyOrFailed } else { TaskOutcome::Failed };
        self.leave_as(lease, id, reason, then).await
    }

    /// The entry cannot be merged through no fault of its task: it leaves, and the task is done
    /// again without an attempt being counted. After
    /// [`StoreOptions::max_returns`](super::StoreOptions::max_returns) of these, and at once when
    /// it is the merge of an epic's branch, which would be the same again, it waits for a person.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn redo_merge(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
    ) -> Result<(), StoreError> {
        let most = i64::from(self.options().max_returns.max(1));
        self.leave_as(lease, id, reason, TaskOutcome::AgainAtMost(most)).await
    }

    /// As [`merge_ejected`](Self::merge_ejected), with something else becoming of the task.
    async fn leave_as(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
        then: TaskOutcome,
    ) -> Result<(), StoreError> {
        let (state, reason) = (MergeState::Ejected, reason.to_owned());
        self.leave(lease, RemovalReason { id, state, reason, then, conflict: None }).await
    }

    async fn leave(&self, lease: &QueueLease, leave: RemovalReason) -> Result<(), StoreError> {
        let leave = Arc::new(leave);
        self.as_writer(lease, move |tx, lease| {
            let leave = Arc::clone(&leave);
            Box::pin(async move { remove(tx, &leave, Some(&lease)).await })
        })
        .await
    }

    /// A person wants an entry that left the queue to be merged after all: it waits at its old
    /// place. Nothing happens to one that still waits.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was merged, or its task was given to an agent again.
    pub async fn retry_merge(&self, id: MergeId) -> Result<Merge, StoreError> {
        self.write(move |tx| Box::pin(requeue(tx, id))).await?;
        self.merge(id).await
    }

    /// A person throws an entry out: its task waits for a person. Nothing happens to one that
    /// left the queue before.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was merged, or is being pushed.
    pub async fn eject_merge(&self, id: MergeId, reason: &str) -> Result<Merge, StoreError> {
        let reason = Arc::new(reason.to_owned());
        self.write(move |tx| Box::pin(eject(tx, id, String::clone(&reason)))).await?;
        self.merge(id).await
    }
}

/// Throws an entry out for a person; nothing happens to one that left before.
pub(in crate::store) async fn eject(tx: &mut Tx<'_>, id: MergeId, reason: String) -> Done<()> {
    let state = tx
        .maybe("SELECT state FROM merge_queue WHERE id = $1", args![id.0])
        .await?
        .ok_or_else(|| no_entry(id))?
        .named("state", MergeState::from_name)?;
    match state {
        MergeState::Conflict | MergeState::Ejected => Ok(()),
        MergeState::Queued | MergeState::Testing | MergeState::Waiting | MergeState::Merged => {
            take_out(tx, id, reason, TaskOutcome::Blocked).await
        }
    }
}

/// Throws an entry out that is still there.
pub(super) async fn take_out(
    tx: &mut Tx<'_>,
    id: MergeId,
    reason: String,
    then: TaskOutcome,
) -> Done<()> {
    let state = MergeState::Ejected;
    remove(tx, &RemovalReason { id, state, reason, then, conflict: None }, None).await
}

/// With a lease, only entries of its branch; what was about to be pushed was not then: its writer
/// knows.
async fn remove(tx: &mut Tx<'_>, leave: &RemovalReason, lease: Option<&QueueLease>) -> Done<()> {
    let entry = tx
        .maybe(
            "UPDATE merge_queue SET state = $2, reason = $3, updated_at = {now}, \
             ended_at = {now}, landing = NULL WHERE id = $1 \
             AND state IN ('queued', 'testing', 'waiting') \
             AND (landing IS NULL OR $4 IS NOT NULL) \
             AND ($4 IS NULL OR (project_id = $4 AND target = $5)) \
             RETURNING task_id, epoch, graph_id, project_id, target",
            args![
                leave.id.0,
                leave.state.name(),
                &leave.reason,
                lease.map(|it| it.project),
                lease.map(|it| it.target.as_str()),
            ],
        )
        .await?;
    let Some(entry) = entry else {
        let before = tx
            .maybe(
                "SELECT id FROM merge_queue WHERE id = $1 AND state = $2",
                args![leave.id.0, leave.state.name()],
            )
            .await?;
        if before.is_some() {
            return Ok(());
        }
        return Err(not_taken_back(tx, leave.id, lease).await?.into());
    };
    settle(tx, PendingOf::Merge(leave.id), &leave.reason).await?;
    wake_targets(tx, leave.id).await?;
    let kind = match leave.state {
        MergeState::Conflict => TaskEventKind::MergeConflict,
        MergeState::Ejected
        | MergeState::Queued
        | MergeState::Testing
        | MergeState::Waiting
        | MergeState::Merged => TaskEventKind::MergeEjected,
    };
    tx.emit(merge_event(kind, leave.id, &entry)?.text(&leave.reason));
    let then = match &leave.conflict {
        Some(report) if conflicts::note(tx, leave.id, &entry, report).await? => TaskOutcome::Again,
        Some(_) => TaskOutcome::Blocked,
        None => leave.then,
    };
    give_back(tx, &entry, &leave.reason, then).await?;
    if leave.state == MergeState::Ejected {
        let then = match leave.then {
            TaskOutcome::Again | TaskOutcome::AgainAtMost(_) => TaskOutcome::Again,
            TaskOutcome::Blocked
            | TaskOutcome::Failed
            | TaskOutcome::ReadyOrBlocked
            | TaskOutcome::ReadyOrFailed => TaskOutcome::ReadyOrBlocked,
        };
        take_dependants_along(tx, TaskId(entry.int("task_id")?), then).await?;
    }
    conflicts::release_redos(tx, entry.int("project_id")?, &entry.text("target")?).await?;
    settle_graph(tx, GraphId(entry.int("graph_id")?)).await
}

/// Why an entry does not leave the queue.
async fn not_taken_back(
    tx: &mut Tx<'_>,
    id: MergeId,
    lease: Option<&QueueLease>,
) -> Done<StoreError> {
    let pushed = tx
        .maybe(
            "SELECT id FROM merge_queue WHERE id = $1 AND state IN ('queued', 'testing') \
             AND landing IS NOT NULL",
            args![id.0],
        )
        .await?;
    Ok(match (pushed, lease) {
        (Some(_), None) => StoreError::conflict(format!(
            "entry {id} is being pushed to the target branch: wait until it is merged or rejected"
        )),
        (Some(_), Some(_)) | (None, _) => gone(id),
    })
}

/// What becomes of the task of an entry that left the queue.
async fn give_back(tx: &mut Tx<'_>, entry: &Record, reason: &str, then: TaskOutcome) -> Done<()> {
    let lease = Lease { task: TaskId(entry.int("task_id")?), epoch: entry.int("epoch")? };
    // No return is counted, and none is too many, where the limit is 0.
    let (again, uncounted, most, otherwise) = match then {
        TaskOutcome::Blocked => (false, false, 0, "blocked"),
        TaskOutcome::Failed => (false, false, 0, "failed"),
        TaskOutcome::Again => (true, true, 0, "blocked"),
        TaskOutcome::AgainAtMost(most) => (true, true, most, "blocked"),
        TaskOutcome::ReadyOrBlocked => (true, false, 0, "blocked"),
        TaskOutcome::ReadyOrFailed => (true, false, 0, "failed"),
    };
    let row = tx
        .maybe(
            "UPDATE tasks SET reason = $3, commit_sha = NULL, updated_at = {now}, \
             state = CASE WHEN $6 = 1 AND (position >= $8 OR ($7 > 0 AND returns + 1 >= $7)) \
             THEN $5 WHEN $4 = 1 AND attempts - $6 < max_attempts THEN \
             CASE WHEN unmet = 0 THEN 'ready' ELSE 'waiting' END ELSE $5 END, \
             returns = CASE WHEN $7 > 0 THEN returns + 1 ELSE returns END, \
             ended_at = CASE WHEN $5 = 'failed' AND NOT ($4 = 1 AND attempts < max_attempts) \
             THEN {now} ELSE NULL END, \
             attempts = CASE WHEN attempts > 0 THEN attempts - $6 ELSE 0 END \
             WHERE id = (SELECT id FROM tasks WHERE id = $1 AND epoch = $2 \
             AND state = 'merging' {lock end}) AND epoch = $2 AND state = 'merging' \
             RETURNING state",
            args![lease.task.0, lease.epoch, reason, again, otherwise, uncounted, most, POSITIONS,],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    set_ejected(tx, lease, true).await?;
    let state = match row.text("state")?.as_str() {
        "ready" | "waiting" if !may_start(tx, lease.task).await? => "blocked".to_owned(),
        state => state.to_owned(),
    };
    let kind = match state.as_str() {
        "ready" => Some(TaskEventKind::TaskRetry),
        "blocked" => Some(TaskEventKind::TaskBlocked),
        "failed" => Some(TaskEventKind::TaskFailed),
        _waiting => None,
    };
    if let Some(kind) = kind {
        let graph = GraphId(entry.int("graph_id")?);
        tx.emit(NewEvent::new(kind).graph(graph).lease(lease).text(reason));
    }
    Ok(())
}

/// Entries of tasks that need an ejected one, directly or not, leave as well.
pub(super) async fn take_dependants_along(
    tx: &mut Tx<'_>,
    task: TaskId,
    then: TaskOutcome,
) -> Done<()> {
    let reason = format!("task {task}, which it needs, was removed from the merge queue");
    let along = tx
        .all(
            "WITH RECURSIVE later (id) AS (SELECT task_id FROM dependencies WHERE needs_id = $1 \
             UNION SELECT d.task_id FROM dependencies d JOIN later l ON d.needs_id = l.id) \
             UPDATE merge_queue SET state = 'ejected', reason = $2, updated_at = {now}, \
             ended_at = {now} WHERE task_id IN (SELECT id FROM later) \
             AND state IN ('queued', 'testing', 'waiting') AND landing IS NULL \
             RETURNING id, task_id, epoch, graph_id",
            args![task.0, &reason],
        )
        .await?;
    for entry in along {
        let id = MergeId(entry.int("id")?);
        settle(tx, PendingOf::Merge(id), &reason).await?;
        wake_targets(tx, id).await?;
        tx.emit(merge_event(TaskEventKind::MergeEjected, id, &entry)?.text(&reason));
        give_back(tx, &entry, &reason, then).await?;
    }
    Ok(())
}

pub(in crate::store) async fn requeue(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    let entry = tx
        .maybe(
            "SELECT state, task_id, epoch, graph_id, branch, commit_sha FROM merge_queue \
             WHERE id = $1 {lock}",
            args![id.0],
        )
        .await?
        .ok_or_else(|| no_entry(id))?;
    match entry.named("state", MergeState::from_name)? {
        MergeState::Queued | MergeState::Testing | MergeState::Waiting => return Ok(()),
        MergeState::Merged => {
            return Err(StoreError::conflict(format!("entry {id} is merged")).into());
        }
        MergeState::Conflict | MergeState::Ejected => {}
    }
    let lease = Lease { task: TaskId(entry.int("task_id")?), epoch: entry.int("epoch")? };
    let gone = tx
        .maybe(
            "SELECT id FROM attempts WHERE task_id = $1 AND epoch = $2 \
             AND (branch_gone = 1 OR branch_until >= {now})",
            args![lease.task.0, lease.epoch],
        )
        .await?;
    if gone.is_some() {
        return Err(StoreError::conflict(format!(
            "the branch {} was deleted after its retention period: the task must be redone",
            entry.text("branch")?
        ))
        .into());
    }
    conflicts::wait_no_more(tx, lease.task).await?;
    let changed = tx
        .run(
            "UPDATE tasks SET state = 'merging', reason = NULL, ended_at = NULL, \
             commit_sha = $3, updated_at = {now} WHERE id = $1 AND epoch = $2 \
             AND state IN ('ready', 'waiting', 'blocked', 'failed')",
            args![lease.task.0, lease.epoch, entry.text("commit_sha")?],
        )
        .await?;
    if changed == 0 {
        return Err(StoreError::conflict(format!(
            "task {} was assigned again, or has ended",
            lease.task
        ))
        .into());
    }
    tx.run(
        "UPDATE merge_queue SET state = 'queued', reason = NULL, staged = NULL, landing = NULL, \
         ended_at = NULL, updated_at = {now} WHERE id = $1",
        args![id.0],
    )
    .await?;
    // Whoever has to approve it is asked again.
    tx.run(
        "UPDATE merge_consents SET approval = 'wanted' WHERE merge_id = $1 AND approval <> 'none'",
        args![id.0],
    )
    .await?;
    set_ejected(tx, lease, false).await?;
    settle(tx, PendingOf::Task(lease.task), "what was done before is merged").await?;
    let graph = GraphId(entry.int("graph_id")?);
    revive(tx, graph).await?;
    tx.emit(merge_event(TaskEventKind::TaskMerging, id, &entry)?);
    Ok(())
}
