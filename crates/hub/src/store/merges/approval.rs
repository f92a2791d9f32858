//! Entries whose merge a person has to approve.
//!
//! # Guarantees
//! - An entry that wants an approval is not pushed before somebody gave it for exactly its commit:
//!   [`TaskStore::merge_landing`] refuses.
//! - While one waits, its queue goes on without it.

use std::sync::Arc;

use super::entry::gone;
use super::lease::QueueLease;
use super::removal;
use crate::store::approvals::{MergeRequest, PendingOf, ask_for_merge, settle};
use crate::store::columns::{merge_event, micros};
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::tx::{Done, Tx};
use crate::store::value::{args, columns};
use greenloop_model::task::{GraphId, Lease, MergeId, TaskEventKind, TaskId};

/// Entries without an approval that are looked at: first those that may still get one, the latest
/// first.
const UNAPPROVED: i64 = 500;

/// What a person decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeQuestion {
    /// The merge that passed the gates.
    pub staged: String,
    /// The tree of the target's tip that it was made on.
    pub base_tree: String,
    /// The tree of the merge.
    pub new_tree: String,
    /// What the target would get, redacted by who sends it.
    pub diff: String,
    /// What the gates said, redacted by who sends it.
    pub evidence: String,
}

/// A commit that nobody has approved, although its entry wants that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnapprovedMerge {
    pub id: MergeId,
    /// The task's key: `1.3`.
    pub key: String,
    pub commit: String,
    /// Whether it may still be approved as it is.
    pub open: bool,
}

impl TaskStore {
    /// The gates of an entry passed, and a person has to approve its merge: it waits, and others
    /// go on.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer being tested.
    pub async fn ask_for_approval(
        &self,
        lease: &QueueLease,
        id: MergeId,
        question: &MergeQuestion,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((question.clone(), micros(self.options().merge_approval)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { ask(tx, &lease, id, &asked.0, asked.1).await })
        })
        .await
    }

    /// Commits of a project's entries that nobody has approved, into whichever target: work reaches
    /// one by way of another, such as an epic's branch. First those that may still be approved.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unapproved_merges(
        &self,
        lease: &QueueLease,
    ) -> Result<Vec<UnapprovedMerge>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader
            .tx()
            .all(
                "SELECT m.id, m.commit_sha, k.key, \
                 CASE WHEN m.state IN ('queued', 'testing', 'waiting') THEN 1 ELSE 0 END AS open \
                 FROM merge_consents c JOIN merge_queue m ON m.id = c.merge_id \
                 JOIN tasks k ON k.id = m.task_id WHERE c.project_id = $1 \
                 AND c.approval = 'wanted' ORDER BY open DESC, c.merge_id DESC LIMIT $2",
                args![lease.project, UNAPPROVED],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(UnapprovedMerge {
                    id: MergeId(row.int("id")?),
                    key: row.text("key")?,
                    commit: row.text("commit_sha")?,
                    open: row.flag("open")?,
                })
            })
            .collect()
    }

    /// An entry has work in it that nobody approved: its own merge has to be approved as well.
    /// Whether it now has to be: not if it was, with all that is in it.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn want_approval(&self, lease: &QueueLease, id: MergeId) -> Result<bool, StoreError> {
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move {
                let wanted = tx
                    .run(
                        "INSERT INTO merge_consents (merge_id, project_id, target, approval, \
                         token) SELECT id, project_id, target, 'wanted', '' FROM merge_queue \
                         WHERE id = $1 AND project_id = $2 AND target = $3 \
                         AND state IN ('queued', 'testing') ON CONFLICT (merge_id) \
                         DO UPDATE SET approval = excluded.approval \
                         WHERE merge_consents.approval <> 'given'",
                        args![id.0, lease.project, &lease.target],
                    )
                    .await?;
                Ok(wanted > 0)
            })
        })
        .await
    }
}

/// The target has the entry's commit, and with it what would have to be approved. Put back after a
/// rewind, the entry wants its approval again.
pub(super) async fn waive(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    tx.run(
        "UPDATE merge_consents SET approval = 'waived' WHERE merge_id = $1 AND approval = 'wanted'",
        args![id.0],
    )
    .await?;
    settle(tx, PendingOf::Merge(id), "the target has the commit already").await
}

/// Entries that may have waited for what was decided about this one, in any queue of its project,
/// are looked at again at once.
pub(in crate::store) async fn wake_targets(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    tx.run(
        "UPDATE merge_targets SET not_before = 0 WHERE not_before > {now} AND reason IS NULL \
         AND project_id = (SELECT c.project_id FROM merge_consents c WHERE c.merge_id = $1 \
         AND c.approval <> 'none')",
        args![id.0],
    )
    .await?;
    Ok(())
}

/// Notes of a new entry whether a person has to approve its merge, where its graph has such rules;
/// `token` is the one that its commit was handed in with.
pub(in crate::store) async fn note_entry(
    tx: &mut Tx<'_>,
    id: MergeId,
    token: Option<&str>,
) -> Done<()> {
    tx.run(
        "INSERT INTO merge_consents (merge_id, project_id, target, approval, token) \
         SELECT m.id, m.project_id, m.target, CASE WHEN EXISTS (SELECT 1 \
         FROM merge_approval_rules r WHERE r.graph_id = m.graph_id AND (r.task_id = m.task_id \
         OR r.task_id = 0 AND g.target = m.target)) THEN 'wanted' ELSE 'none' END, $2 \
         FROM merge_queue m JOIN graphs g ON g.id = m.graph_id WHERE m.id = $1 AND EXISTS \
         (SELECT 1 FROM merge_approval_rules r WHERE r.graph_id = m.graph_id)",
        args![id.0, token.unwrap_or_default()],
    )
    .await?;
    Ok(())
}

/// Whose merges a person has to approve: those of the tasks, or all into the graph's target.
pub(in crate::store) async fn note_rules(
    tx: &mut Tx<'_>,
    graph: GraphId,
    all: bool,
    tasks: impl Iterator<Item = TaskId>,
) -> Done<()> {
    let all = all.then_some(0_i64);
    let rules = all.into_iter().chain(tasks.map(|task| task.0));
    let rules = rules.map(|task| columns! { graph_id: graph.0, task_id: task });
    tx.insert("merge_approval_rules", &[], rules.collect(), "").await?;
    Ok(())
}

async fn ask(
    tx: &mut Tx<'_>,
    lease: &QueueLease,
    id: MergeId,
    question: &MergeQuestion,
    lasts: i64,
) -> Done<()> {
    let entry = tx
        .maybe(
            "UPDATE merge_queue SET state = 'waiting', landing = NULL, updated_at = {now} \
             WHERE id = $1 AND project_id = $2 AND target = $3 AND state = 'testing' \
             AND id IN (SELECT c.merge_id FROM merge_consents c WHERE c.merge_id = $1 \
             AND c.approval = 'wanted') RETURNING task_id, epoch, graph_id, branch, commit_sha, \
             (SELECT c.token FROM merge_consents c WHERE c.merge_id = $1) AS token",
            args![id.0, lease.project, &lease.target],
        )
        .await?
        .ok_or_else(|| gone(id))?;
    let (task, epoch) = (TaskId(entry.int("task_id")?), entry.int("epoch")?);
    let work = tx
        .one(
            "SELECT k.key, k.title, a.agent, a.message FROM tasks k LEFT JOIN attempts a \
             ON a.task_id = k.id AND a.epoch = $2 WHERE k.id = $1",
            args![task.0, epoch],
        )
        .await?;
    let request = MergeRequest {
        merge: id,
        lease: Lease { task, epoch },
        graph: entry.int("graph_id")?,
        project: lease.project,
        target: &lease.target,
        key: work.text("key")?,
        title: work.text("title")?,
        branch: entry.text("branch")?,
        commit: entry.text("commit_sha")?,
        token: entry.text("token")?,
        agent: work.opt_text("agent")?,
        summary: work.opt_text("message")?.unwrap_or_default(),
        question,
        lasts,
    };
    ask_for_merge(tx, &request).await
}

/// A person approved the merge of an entry: it is merged in its turn.
pub(in crate::store) async fn approve(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    let entry = tx
        .maybe(
            "UPDATE merge_queue SET state = 'queued', staged = NULL, updated_at = {now} \
             WHERE id = $1 AND state = 'waiting' \
             RETURNING task_id, epoch, graph_id",
            args![id.0],
        )
        .await?
        .ok_or_else(|| {
            StoreError::conflict(format!("entry {id} waits for no approval any more"))
        })?;
    tx.run("UPDATE merge_consents SET approval = 'given' WHERE merge_id = $1", args![id.0]).await?;
    tx.run(
        "UPDATE tasks SET reason = NULL, updated_at = {now} WHERE id = $1 AND epoch = $2 \
         AND state = 'merging'",
        args![entry.int("task_id")?, entry.int("epoch")?],
    )
    .await?;
    wake_targets(tx, id).await?;
    tx.emit(merge_event(TaskEventKind::TaskMerging, id, &entry)?.text("its merge was approved"));
    Ok(())
}

/// A person rejected it: the task gets it back with the reason.
pub(in crate::store) async fn reject(tx: &mut Tx<'_>, id: MergeId, reason: String) -> Done<()> {
    removal::take_out(tx, id, reason, removal::TaskOutcome::ReadyOrBlocked).await
}

/// Nobody decided in time: the task waits for a person.
pub(in crate::store) async fn expire(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    let reason = "nobody decided in time whether it is merged: requeue it to ask again".to_owned();
    removal::take_out(tx, id, reason, removal::TaskOutcome::Blocked).await
}
