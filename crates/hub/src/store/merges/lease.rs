//! Who writes to a target branch: one leased writer at a time.

use std::sync::Arc;
use std::time::Duration;

use crate::store::columns::micros;
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use crate::store::writer::Operation;
use greenloop_model::task::TaskEventKind;

/// One target branch of one project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetQueue {
    /// The project's id.
    pub project: i64,
    /// The branch that merges go to.
    pub target: String,
}

/// The right to write to one target branch. A fencing token: epochs of a branch only rise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueLease {
    /// The project's id.
    pub project: i64,
    /// The repository's address; empty for a project without one.
    pub repository: String,
    pub target: String,
    /// 1 for the first writer.
    pub epoch: i64,
}

impl QueueLease {
    /// What it is for.
    pub fn queue(&self) -> TargetQueue {
        TargetQueue { project: self.project, target: self.target.clone() }
    }
}

const WAITING_TARGET: &str = "SELECT m.id FROM merge_queue m JOIN merge_targets t \
    ON t.project_id = m.project_id AND t.target = m.target \
    WHERE m.state IN ('queued', 'testing') AND t.not_before <= {now} AND t.expires_at <= {now} \
    AND t.paused_at IS NULL UNION ALL SELECT t.epoch FROM merge_holds h JOIN merge_targets t \
    ON t.project_id = h.project_id AND t.target = h.target \
    WHERE h.decision IS NOT NULL AND t.not_before <= {now} AND t.expires_at <= {now} \
    AND t.paused_at IS NULL LIMIT 1";

const CLAIM_TARGET: &str = "SELECT t.project_id, t.target FROM merge_targets t \
    WHERE t.not_before <= {now} AND t.expires_at <= {now} AND t.paused_at IS NULL AND (EXISTS (SELECT 1 \
    FROM merge_queue m WHERE m.project_id = t.project_id AND m.target = t.target \
    AND m.state IN ('queued', 'testing')) OR EXISTS (SELECT 1 FROM merge_holds h \
    WHERE h.project_id = t.project_id AND h.target = t.target AND h.decision IS NOT NULL)) \
    ORDER BY t.expires_at, t.project_id, t.target LIMIT 1 {lock free}";

const UNSEEN_TARGET: &str = "SELECT t.project_id, t.target FROM merge_targets t \
    WHERE t.not_before <= {now} AND t.expires_at <= {now} AND t.paused_at IS NULL AND t.looked_at < {now} - $1 \
    AND COALESCE(t.tip, t.head) IS NOT NULL AND EXISTS (SELECT 1 FROM projects p \
        WHERE p.id = t.project_id AND p.repository IS NOT NULL) \
    AND EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = t.project_id \
        AND g.target = t.target AND g.purged = 0) \
    ORDER BY t.looked_at, t.project_id, t.target LIMIT 1 {lock free}";

const REPOSITORIES: &str = "SELECT p.repository FROM projects p WHERE p.repository IS NOT NULL \
    AND EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = p.id AND g.purged = 0) \
    UNION SELECT g.repository FROM graphs g WHERE g.repository IS NOT NULL AND g.purged = 0";

impl TaskStore {
    /// Gives the lease of a target branch that has something to merge and no living writer, or
    /// nothing. The same holder gets its own branch again only after it was let go or expired.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn claim_merges(
        &self,
        holder: &str,
        lease: Duration,
    ) -> Result<Option<QueueLease>, StoreError> {
        let waiting = self.reader().await?.tx().maybe(WAITING_TARGET, args![]).await?;
        if waiting.is_none() {
            return Ok(None);
        }
        let (holder, lease_us) = (holder.to_owned(), micros(lease));
        self.write(move |tx| {
            let holder = holder.clone();
            Box::pin(async move {
                let free = tx.maybe(CLAIM_TARGET, args![]).await?;
                claim(tx, free, &holder, lease_us).await
            })
        })
        .await
    }

    /// Gives the lease of a target branch of a graph that nothing waits for and that was not
    /// looked at for so long, or nothing. Branches of epics are no such target: once they are
    /// merged, they may go.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn watch_merges(
        &self,
        holder: &str,
        lease: Duration,
        every: Duration,
    ) -> Result<Option<QueueLease>, StoreError> {
        let every = micros(every);
        let unseen = self.reader().await?.tx().maybe(UNSEEN_TARGET, args![every]).await?;
        if unseen.is_none() {
            return Ok(None);
        }
        let (holder, lease_us) = (holder.to_owned(), micros(lease));
        self.write(move |tx| {
            let holder = holder.clone();
            Box::pin(async move {
                let free = tx.maybe(UNSEEN_TARGET, args![every]).await?;
                claim(tx, free, &holder, lease_us).await
            })
        })
        .await
    }

    /// The repositories of projects that have a graph.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn repositories(&self) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader.tx().all(REPOSITORIES, args![]).await?;
        rows.iter().map(|row| row.text("repository")).collect()
    }

    /// Keeps a branch for so long from now.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn extend_merges(&self, lease: &QueueLease, by: Duration) -> Result<(), StoreError> {
        let by = micros(by);
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_targets SET expires_at = {now} + $3 \
                     WHERE project_id = $1 AND target = $2",
                    args![lease.project, &lease.target, by],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Lets a branch go.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn release_merges(&self, lease: &QueueLease) -> Result<(), StoreError> {
        self.as_writer(lease, |tx, lease| {
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_targets SET holder = NULL, expires_at = 0 \
                     WHERE project_id = $1 AND target = $2",
                    args![lease.project, &lease.target],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Lets a branch go and leaves it alone for so long: something outside blocks it.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn pause_merges(
        &self,
        lease: &QueueLease,
        rest: Duration,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (rest, reason) = (micros(rest), reason.to_owned());
        self.as_writer(lease, move |tx, lease| {
            let reason = reason.clone();
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_targets SET holder = NULL, expires_at = 0, \
                     not_before = {now} + $3, reason = $4 WHERE project_id = $1 AND target = $2",
                    args![lease.project, &lease.target, rest, &reason],
                )
                .await?;
                let text = format!("{}: {reason}", lease.target);
                tx.emit(NewEvent::new(TaskEventKind::MergePaused).text(text));
                Ok(())
            })
        })
        .await
    }

    /// Lets a target go for so long: nothing is wrong, and nothing can be merged now. `waits_for`
    /// says what its entries wait for, where no hold does.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn rest_merges(
        &self,
        lease: &QueueLease,
        rest: Duration,
        waits_for: Option<&str>,
    ) -> Result<(), StoreError> {
        let (rest, waits_for) = (micros(rest), waits_for.map(str::to_owned));
        self.as_writer(lease, move |tx, lease| {
            let waits_for = waits_for.clone();
            Box::pin(async move { release_queue(tx, &lease, rest, waits_for.as_deref()).await })
        })
        .await
    }

    /// Runs an operation as the writer of a branch.
    pub(super) async fn as_writer<T: Send + 'static>(
        &self,
        lease: &QueueLease,
        operation: impl for<'t, 'c> Fn(
            &'t mut Tx<'c>,
            Arc<QueueLease>,
        ) -> futures::future::BoxFuture<'t, Done<T>>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Result<T, StoreError> {
        let lease = Arc::new(lease.clone());
        self.write(guarded(lease, operation)).await
    }
}

/// An operation that first makes sure of the lease.
fn guarded<T, F>(lease: Arc<QueueLease>, operation: F) -> impl Operation<T>
where
    T: Send + 'static,
    F: for<'t, 'c> Fn(&'t mut Tx<'c>, Arc<QueueLease>) -> futures::future::BoxFuture<'t, Done<T>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    move |tx| {
        let (lease, operation) = (Arc::clone(&lease), operation.clone());
        Box::pin(async move {
            check_lease(tx, &lease).await?;
            operation(tx, lease).await
        })
    }
}

async fn claim(
    tx: &mut Tx<'_>,
    free: Option<Record>,
    holder: &str,
    lease_us: i64,
) -> Done<Option<QueueLease>> {
    let Some(free) = free else { return Ok(None) };
    let (project, target) = (free.int("project_id")?, free.text("target")?);
    let row = tx
        .one(
            "UPDATE merge_targets SET holder = $3, epoch = epoch + 1, \
             expires_at = {now} + $4, reason = NULL, waits_for = NULL, looked_at = {now} \
             WHERE project_id = $1 AND target = $2 RETURNING epoch, \
             (SELECT repository FROM projects WHERE id = $1) AS repository",
            args![project, &target, holder, lease_us],
        )
        .await?;
    let repository = row.opt_text("repository")?.unwrap_or_default();
    Ok(Some(QueueLease { project, repository, target, epoch: row.int("epoch")? }))
}

/// Makes sure that a lease is still the branch's, and in a transaction that it stays so. Of a queue
/// that a person has paused, it only lasts until what is being pushed has arrived.
pub(super) async fn check_lease(tx: &mut Tx<'_>, lease: &QueueLease) -> Done<()> {
    let held = tx
        .maybe(
            "SELECT epoch FROM merge_targets WHERE project_id = $1 AND target = $2 \
             AND epoch = $3 AND holder IS NOT NULL AND (paused_at IS NULL OR EXISTS \
                (SELECT 1 FROM merge_queue q WHERE q.project_id = $1 AND q.target = $2 \
                AND q.state = 'testing' AND q.landing IS NOT NULL)) {lock}",
            args![lease.project, &lease.target, lease.epoch],
        )
        .await?;
    if held.is_some() {
        return Ok(());
    }
    Err(superseded(&lease.target).into())
}

pub(super) async fn release_queue(
    tx: &mut Tx<'_>,
    lease: &QueueLease,
    rest: i64,
    waits_for: Option<&str>,
) -> Done<()> {
    tx.run(
        "UPDATE merge_targets SET holder = NULL, expires_at = 0, not_before = {now} + $3, \
         waits_for = $4 WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, rest, waits_for],
    )
    .await?;
    Ok(())
}

pub(super) fn superseded(target: &str) -> StoreError {
    StoreError::stale(format!("another writer holds the merge queue of {target} now"))
}
