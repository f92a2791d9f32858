//! Tasks that are done again because their work did not merge, for the writer of the target.

use super::lease::QueueLease;
use crate::store::conflicts::bounded;
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::value::args;
use greenloop_model::task::{MergeId, TaskId};

/// A task that is done again because of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redo {
    pub task: TaskId,
    /// Unique in its graph: `1.3`.
    pub key: String,
    /// The entry whose place in the queue it has.
    pub place: MergeId,
    /// The files that were in conflict.
    pub files: Vec<String>,
    /// Nobody works on it yet.
    pub unclaimed: bool,
    /// Its new work is in the queue.
    pub queued: bool,
}

impl TaskStore {
    /// Tasks that are done again because they conflicted with the target, in the order of the
    /// queue, up to when they are merged. One that waits for a task it needs is none of them: what
    /// it waits for may have to be merged first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn redos(&self, lease: &QueueLease) -> Result<Vec<Redo>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT c.task_id, c.place, c.files, t.key, t.state FROM merge_conflicts c \
                 JOIN tasks t ON t.id = c.task_id WHERE c.project_id = $1 AND c.target = $2 \
                 AND t.state IN ('ready', 'waiting', 'running', 'merging') \
                 AND (t.state <> 'waiting' OR t.unmet <= c.waiting) ORDER BY c.place",
                args![lease.project, &lease.target],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let state = row.text("state")?;
                Ok(Redo {
                    task: TaskId(row.int("task_id")?),
                    key: row.text("key")?,
                    place: MergeId(row.int("place")?),
                    files: row.list("files")?,
                    unclaimed: state == "ready" || state == "waiting",
                    queued: state == "merging",
                })
            })
            .collect()
    }

    /// Adds to the brief of the next attempt at a task that conflicted.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn add_to_brief(
        &self,
        lease: &QueueLease,
        task: TaskId,
        text: &str,
    ) -> Result<(), StoreError> {
        let text = text.to_owned();
        self.as_writer(lease, move |tx, _lease| {
            let text = text.clone();
            Box::pin(async move {
                let row = tx
                    .maybe(
                        "SELECT brief FROM merge_conflicts WHERE task_id = $1 {lock}",
                        args![task.0],
                    )
                    .await?;
                let Some(row) = row else { return Ok(()) };
                let brief = bounded(format!("{}\n\n{text}", row.text("brief")?));
                tx.run(
                    "UPDATE merge_conflicts SET brief = $2 WHERE task_id = $1",
                    args![task.0, brief],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }
}
