//! Branches of attempts in the repositories: which of them nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use super::columns::micros;
use super::connect::TaskStore;
use super::error::StoreError;
use super::value::args;
use greenloop_model::task::{Lease, MergeId, TaskId};

/// A branch that an attempt pushed and that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentBranch {
    pub lease: Lease,
    /// The branch's name.
    pub branch: String,
    /// The repository's address.
    pub repository: String,
    /// What the attempt pushed: a branch that stands elsewhere is somebody else's by now.
    pub commit: String,
    /// The entry that the attempt had in a merge queue: when it conflicted, the queue pushed the
    /// commit to a branch of its own.
    pub merge: Option<MergeId>,
}

/// Attempts that reported a commit, whose task ended so long ago, and none of whose commits
/// waits to be merged.
const SPENT: &str = "SELECT a.id, a.task_id FROM attempts a JOIN tasks t ON t.id = a.task_id \
    JOIN graphs g ON g.id = t.graph_id \
    WHERE a.commit_sha IS NOT NULL AND a.branch_gone = 0 AND a.branch_until < {now} \
    AND a.ended_at < {now} - $1 AND t.state IN ('done', 'failed', 'cancelled') \
    AND t.ended_at < {now} - $1 AND g.repository IS NOT NULL \
    AND NOT EXISTS (SELECT 1 FROM merge_queue m WHERE m.task_id = a.task_id \
        AND m.state IN ('queued', 'testing', 'waiting')) \
    ORDER BY a.ended_at LIMIT $2";

impl TaskStore {
    /// Takes branches that nobody needs any more, `after` their task's end, to be deleted within
    /// `hold`; no other hub gets them meanwhile.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn take_spent_branches(
        &self,
        after: Duration,
        hold: Duration,
        limit: u32,
    ) -> Result<Vec<SpentBranch>, StoreError> {
        let (after, hold, limit) = (micros(after), micros(hold), i64::from(limit.clamp(1, 200)));
        let ids = {
            let mut reader = self.reader().await?;
            let rows = reader.tx().all(SPENT, args![after, limit]).await?;
            let column = |name| rows.iter().map(|row| row.int(name)).collect::<Result<Vec<_>, _>>();
            (column("id")?, column("task_id")?)
        };
        if ids.0.is_empty() {
            return Ok(Vec::new());
        }
        let ids = Arc::new(ids);
        self.write(move |tx| {
            let ids = Arc::clone(&ids);
            Box::pin(async move {
                // Whoever comes second finds that somebody has them.
                let rows = tx
                    .all(
                        "UPDATE attempts SET branch_until = {now} + $2 WHERE task_id IN {ids $3} \
                         AND id IN {ids $1} \
                         AND branch_gone = 0 AND branch_until < {now} \
                         AND NOT EXISTS (SELECT 1 FROM merge_queue m \
                            WHERE m.task_id = attempts.task_id \
                            AND m.state IN ('queued', 'testing', 'waiting')) \
                         RETURNING task_id, epoch, commit_sha, branch, \
                         (SELECT g.repository FROM tasks t JOIN graphs g ON g.id = t.graph_id \
                          WHERE t.id = attempts.task_id) AS repository, \
                         (SELECT m.id FROM merge_queue m WHERE m.task_id = attempts.task_id \
                          AND m.epoch = attempts.epoch) AS merge_id",
                        args![ids.0.as_slice(), hold, ids.1.as_slice()],
                    )
                    .await?;
                let spent = rows.iter().map(|row| {
                    let lease =
                        Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? };
                    Ok(SpentBranch {
                        lease,
                        branch: row.opt_text("branch")?.unwrap_or_else(|| lease.branch()),
                        repository: row.text("repository")?,
                        commit: row.text("commit_sha")?,
                        merge: row.opt_int("merge_id")?.map(MergeId),
                    })
                });
                Ok(spent.collect::<Result<Vec<_>, StoreError>>()?)
            })
        })
        .await
    }

    /// These branches were deleted, or are not the hub's to delete: they are not looked at again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn branches_gone(&self, gone: &[Lease]) -> Result<(), StoreError> {
        let gone = Arc::new(gone.to_vec());
        self.write(move |tx| {
            let gone = Arc::clone(&gone);
            Box::pin(async move {
                for lease in gone.iter() {
                    tx.run(
                        "UPDATE attempts SET branch_gone = 1 WHERE task_id = $1 AND epoch = $2",
                        args![lease.task.0, lease.epoch],
                    )
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }
}
