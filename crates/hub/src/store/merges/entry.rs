//! What its writer does with an entry, from the first test until the target has it.

use std::sync::Arc;

use super::approval::waive;
use super::lease::{QueueLease, check_lease};
use crate::store::columns::merge_event;
use crate::store::conflicts;
use crate::store::connect::TaskStore;
use crate::store::done_task::done_task;
use crate::store::epics::MERGE_QUEUE;
use crate::store::error::StoreError;
use crate::store::finish::release;
use crate::store::page::PageRequest;
use crate::store::record::Record;
use crate::store::tx::{Done, Tx};
use crate::store::value::args;
use greenloop_model::task::{EvidenceKind, Lease, MergeId, MergeState, TaskEventKind, TaskId};

/// An entry that waits to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Entries of one target are merged in the order of their ids.
    pub id: MergeId,
    /// The task and the attempt.
    pub lease: Lease,
    /// What the merge is about: `1.3 Title`.
    pub title: String,
    /// Where the commit is.
    pub branch: String,
    /// What was approved, and nothing else.
    pub commit: String,
    /// Commands that must pass on the merge.
    pub gates: Vec<String>,
    /// Where the target begins when the repository does not have it yet: the graph's target, for an
    /// epic's branch.
    pub base: Option<String>,
    /// Waiting, or its gates run.
    pub state: MergeState,
    /// Whether a person still has to approve the merge.
    pub wants_approval: bool,
    /// What a writer was about to push when it died.
    pub landing: Option<String>,
}

/// What the gates said about a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRecord {
    /// The very commit.
    pub sha: String,
    /// Whether all required gates passed.
    pub passed: bool,
    /// More, for people; redacted by who sends it.
    pub detail: String,
}

const NEXT: &str = "SELECT m.id, m.task_id, m.epoch, m.branch, m.commit_sha, m.state, m.landing, \
    CASE WHEN EXISTS (SELECT 1 FROM merge_consents c WHERE c.merge_id = m.id \
    AND c.approval = 'wanted') THEN 1 ELSE 0 END AS wants_approval, k.key, k.title, g.gates, g.target AS base FROM merge_queue m \
    JOIN tasks k ON k.id = m.task_id JOIN graphs g ON g.id = m.graph_id \
    WHERE m.project_id = $1 AND m.target = $2 AND m.state IN ('queued', 'testing') \
    ORDER BY COALESCE((SELECT c.place FROM merge_conflicts c WHERE c.task_id = m.task_id), m.id), \
    m.id LIMIT $3";

impl TaskStore {
    /// The next entries of a branch, in order: those that wait and those whose gates run.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn next_merges(
        &self,
        lease: &QueueLease,
        limit: u32,
    ) -> Result<Vec<QueueEntry>, StoreError> {
        let limit = PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        check_lease(tx, lease).await?;
        let rows = tx.all(NEXT, args![lease.project, &lease.target, limit]).await?;
        rows.iter().map(|row| entry(row, lease)).collect()
    }

    /// The gates begin to run on the commit that merging this entry would make.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_testing(
        &self,
        lease: &QueueLease,
        id: MergeId,
        staged: &str,
    ) -> Result<(), StoreError> {
        let staged = staged.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let staged = staged.clone();
            Box::pin(async move {
                let row = tx
                    .maybe(
                        "UPDATE merge_queue SET state = 'testing', staged = $4, landing = NULL, \
                         updated_at = {now} WHERE id = $1 AND project_id = $2 AND target = $3 \
                         AND state IN ('queued', 'testing') RETURNING task_id, epoch, graph_id",
                        args![id.0, lease.project, &lease.target, &staged],
                    )
                    .await?
                    .ok_or_else(|| gone(id))?;
                tx.emit(merge_event(TaskEventKind::MergeTesting, id, &row)?.text(staged));
                Ok(())
            })
        })
        .await
    }

    /// Writes down what the gates said about a commit.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when they failed on a commit that is about to be pushed, or was:
    /// the branch has nothing without a passing record.
    pub async fn record_gates(
        &self,
        lease: &QueueLease,
        record: &GateRecord,
    ) -> Result<(), StoreError> {
        let record = Arc::new(record.clone());
        self.as_writer(lease, move |tx, lease| {
            let record = Arc::clone(&record);
            Box::pin(async move {
                if !record.passed {
                    keep_passed(tx, &lease, &record.sha).await?;
                }
                tx.run(
                    "INSERT INTO gate_records (project_id, target, sha, passed, detail, \
                     created_at) VALUES ($1, $2, $3, $4, $5, {now}) \
                     ON CONFLICT (project_id, target, sha) DO UPDATE SET \
                     passed = excluded.passed, detail = excluded.detail, \
                     created_at = excluded.created_at",
                    args![
                        lease.project,
                        &lease.target,
                        &record.sha,
                        record.passed,
                        &record.detail,
                    ],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// What the gates said about a commit for a branch of a project.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn gate_record(
        &self,
        project: i64,
        target: &str,
        sha: &str,
    ) -> Result<Option<GateRecord>, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe(
                "SELECT sha, passed, detail FROM gate_records \
                     WHERE project_id = $1 AND target = $2 AND sha = $3",
                args![project, target, sha],
            )
            .await?;
        row.map(|row| {
            Ok(GateRecord {
                sha: row.text("sha")?,
                passed: row.flag("passed")?,
                detail: row.text("detail")?,
            })
        })
        .transpose()
    }

    /// Keeps what matters of the output of gates that failed on an entry's merge, as evidence of
    /// its task.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn note_gate_failure(
        &self,
        lease: &QueueLease,
        id: MergeId,
        title: &str,
        body: &str,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((title.to_owned(), body.to_owned()));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (title, body) = &*asked;
                tx.run(
                    "INSERT INTO evidence (task_id, epoch, agent, kind, title, body, url, \
                     request_key, created_at) SELECT task_id, epoch, $4, $5, $6, $7, NULL, NULL, \
                     {now} FROM merge_queue WHERE id = $1 AND project_id = $2 AND target = $3 \
                     AND state = 'testing'",
                    args![
                        id.0,
                        lease.project,
                        &lease.target,
                        MERGE_QUEUE,
                        EvidenceKind::Test.name(),
                        title,
                        body,
                    ],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The commit is about to be pushed. From here on nobody takes the entry back.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is not being tested any more, when a person still has
    /// to approve it, or when there is no passing gate record of exactly this commit.
    pub async fn merge_landing(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        let sha = sha.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let sha = sha.clone();
            Box::pin(async move {
                passed(tx, &lease, &sha).await?;
                let changed = tx
                    .run(
                        "UPDATE merge_queue SET landing = $4, updated_at = {now} WHERE id = $1 \
                         AND project_id = $2 AND target = $3 AND state = 'testing' \
                         AND NOT EXISTS (SELECT 1 FROM merge_consents c \
                         WHERE c.merge_id = merge_queue.id AND c.approval = 'wanted')",
                        args![id.0, lease.project, &lease.target, &sha],
                    )
                    .await?;
                if changed == 0 { Err(gone(id).into()) } else { Ok(()) }
            })
        })
        .await
    }

    /// The push was refused and the target is where it was: people may take the entry back again.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn merge_refused(&self, lease: &QueueLease, id: MergeId) -> Result<(), StoreError> {
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_queue SET landing = NULL, updated_at = {now} WHERE id = $1 \
                     AND project_id = $2 AND target = $3 AND state = 'testing'",
                    args![id.0, lease.project, &lease.target],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The target branch has the commit: the task is done, and what waits for it is let go, in
    /// one transaction. Saying it twice does no harm.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when this commit was not about to be pushed.
    pub async fn merge_landed(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        let sha = sha.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let sha = sha.clone();
            Box::pin(async move { landed(tx, &lease, id, &sha).await })
        })
        .await
    }

    /// The target was found to have the entry's commit, and passes as `sha`: as
    /// [`merge_landing`](Self::merge_landing) and [`merge_landed`](Self::merge_landed), without
    /// anybody's approval. In one transaction: an entry that could not be said to be merged still
    /// wants its approval.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is not being tested any more, or when there is no
    /// passing gate record of exactly this commit.
    pub async fn merge_found(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        let sha = sha.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let sha = sha.clone();
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_queue SET landing = $4 WHERE id = $1 AND project_id = $2 \
                     AND target = $3 AND state = 'testing'",
                    args![id.0, lease.project, &lease.target, &sha],
                )
                .await?;
                waive(tx, id).await?;
                landed(tx, &lease, id, &sha).await
            })
        })
        .await
    }
}

fn entry(row: &Record, lease: &QueueLease) -> Result<QueueEntry, StoreError> {
    let base = row.text("base")?;
    Ok(QueueEntry {
        id: MergeId(row.int("id")?),
        lease: Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? },
        title: format!("{} {}", row.text("key")?, row.text("title")?),
        branch: row.text("branch")?,
        commit: row.text("commit_sha")?,
        gates: row.list("gates")?,
        base: (base != lease.target).then_some(base),
        state: row.named("state", MergeState::from_name)?,
        wants_approval: row.flag("wants_approval")?,
        landing: row.opt_text("landing")?,
    })
}

/// Makes sure that a commit may be said to have failed.
async fn keep_passed(tx: &mut Tx<'_>, lease: &QueueLease, sha: &str) -> Done<()> {
    let relied_on = tx
        .maybe(
            "SELECT id FROM merge_queue WHERE project_id = $1 AND target = $2 \
             AND (merged = $3 OR landing = $3) LIMIT 1",
            args![lease.project, &lease.target, sha],
        )
        .await?;
    if relied_on.is_none() {
        return Ok(());
    }
    Err(StoreError::conflict(format!("{sha} passed its gates and is being pushed to the target"))
        .into())
}

async fn passed(tx: &mut Tx<'_>, lease: &QueueLease, sha: &str) -> Done<()> {
    let record = tx
        .maybe(
            "SELECT sha FROM gate_records WHERE project_id = $1 AND target = $2 AND sha = $3 \
             AND passed = 1",
            args![lease.project, &lease.target, sha],
        )
        .await?;
    if record.is_some() {
        return Ok(());
    }
    Err(StoreError::conflict(format!("no gates have passed on {sha}")).into())
}

async fn landed(tx: &mut Tx<'_>, lease: &QueueLease, id: MergeId, sha: &str) -> Done<()> {
    let entry = tx
        .maybe(
            "UPDATE merge_queue SET state = 'merged', merged = $4, reason = NULL, \
             updated_at = {now}, ended_at = {now} WHERE id = $1 AND project_id = $2 \
             AND target = $3 AND state = 'testing' AND landing = $4 \
             RETURNING task_id, epoch, graph_id",
            args![id.0, lease.project, &lease.target, sha],
        )
        .await?;
    let Some(entry) = entry else {
        let before = tx
            .maybe(
                "SELECT id FROM merge_queue WHERE id = $1 AND state = 'merged' AND merged = $2",
                args![id.0, sha],
            )
            .await?;
        return if before.is_some() { Ok(()) } else { Err(gone(id).into()) };
    };
    passed(tx, lease, sha).await?;
    tx.run(
        "UPDATE merge_targets SET head = $3, tip = $3 WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, sha],
    )
    .await?;
    tx.emit(merge_event(TaskEventKind::Merged, id, &entry)?.text(sha));
    let task = tx
        .maybe(
            "UPDATE tasks SET state = 'done', commit_sha = $2, reason = NULL, \
             updated_at = {now}, ended_at = {now} WHERE id = (SELECT id FROM tasks \
             WHERE id = $1 AND state = 'merging' {lock end}) AND state = 'merging' \
             RETURNING id, graph_id, epic_id, position, hours, dependants",
            args![entry.int("task_id")?, sha],
        )
        .await?
        .ok_or_else(|| StoreError::corrupt("an entry was merged whose task was not waiting"))?;
    tx.emit(merge_event(TaskEventKind::TaskDone, id, &entry)?.text(sha));
    conflicts::solved(tx, TaskId(entry.int("task_id")?)).await?;
    conflicts::release_redos(tx, lease.project, &lease.target).await?;
    release(tx, &done_task(&task)?).await
}

pub(super) fn gone(id: MergeId) -> StoreError {
    StoreError::conflict(format!("entry {id} is no longer in this merge queue"))
}
