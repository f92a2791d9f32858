//! Merge queues: one for each target branch, with one leased writer at a time.
//!
//! The writer takes the branch with [`TaskStore::claim_merges`]; every call of it carries that
//! lease, and one that somebody else has taken over meanwhile changes nothing. The order of an
//! entry's life: `queued`, [`testing`](TaskStore::merge_testing) with the commit that the gates
//! run on, [`landing`](TaskStore::merge_landing) right before the push, which needs a passing
//! gate record of that very commit, [`merged`](TaskStore::merge_landed) after it. A writer that
//! dies between the two leaves the commit in `landing`: the next one looks whether it is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::attempts::set_ejected;
use super::conflicts::{self, ConflictReport};
use super::connect::TaskStore;
use super::error::StoreError;
use super::finish::{finished, release, settle_graph};
use super::merge_holds::{MergeHold, hold as hold_of};
use super::records::{MergeView, Moment, Page, PageRequest, micros, moment, opt_moment};
use super::statement::{Record, args};
use super::tasks::revive;
use super::tx::{Done, NewEvent, Tx};
use super::writer::Operation;
use greenloop_model::task::{GraphId, Lease, MergeId, MergeState, TaskEventKind, TaskId};

/// The right to write to one target branch. A fencing token: epochs only rise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MergeLease {
    /// The project's id.
    pub project: i64,
    /// The branch.
    pub target: String,
    /// 1 for the first writer.
    pub epoch: i64,
}

/// A target branch whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeTurn {
    /// The right to write to it.
    pub lease: MergeLease,
    /// The project's name.
    pub project: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// What the branch was left at by the last merge.
    pub head: Option<String>,
    /// When the lease ends.
    pub expires_at: Moment,
}

/// A target branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchView {
    /// The project's name.
    pub project: String,
    /// The repository's address.
    pub repository: Option<String>,
    /// Its name.
    pub target: String,
    /// What the last merge made of it.
    pub head: Option<String>,
    /// Who writes to it now.
    pub writer: Option<String>,
    /// Entries that wait.
    pub queued: u64,
    /// Entries whose gates run.
    pub testing: u64,
    /// Entries that were merged.
    pub merged: u64,
    /// It rests until then.
    pub paused_until: Option<Moment>,
    /// Why it rests.
    pub reason: Option<String>,
    /// Why its queue is on hold.
    pub hold: Option<MergeHold>,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeFilter {
    /// In this state.
    pub state: Option<MergeState>,
    /// Of this graph.
    pub graph: Option<GraphId>,
    /// Of this target branch.
    pub target: Option<String>,
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

macro_rules! entry {
    ($rest:literal) => {
        concat!(
            "SELECT m.*, p.name AS project, g.repository AS repository, g.gates AS gates, \
             CASE WHEN m.state = 'conflict' AND k.epoch = m.epoch \
             AND k.state IN ('ready', 'waiting', 'blocked') THEN 1 ELSE 0 END AS unsolved \
             FROM merge_queue m JOIN projects p ON p.id = m.project_id \
             JOIN tasks k ON k.id = m.task_id JOIN graphs g ON g.id = m.graph_id ",
            $rest
        )
    };
}

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
    ) -> Result<Option<MergeTurn>, StoreError> {
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
    ) -> Result<Option<MergeTurn>, StoreError> {
        let every = micros(every);
        let unseen = self.reader().await?.tx().maybe(UNSEEN_TARGET, args![every]).await?;
        if unseen.is_none() {
            return Ok(None);
        }
        let (holder, lease_us) = (holder.to_owned(), micros(lease));
        self.write(move |tx| {
            let holder = holder.clone();
            Box::pin(async move {
                let free = tx.maybe(WATCH_TARGET, args![every]).await?;
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

    /// Which of these entries there are, in whatever state.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn known_merges(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let mut reader = self.reader().await?;
        let rows =
            reader.tx().all("SELECT id FROM merge_queue WHERE id IN {ids $1}", args![ids]).await?;
        rows.iter().map(|row| row.int("id")).collect()
    }

    /// Keeps a branch for so long from now. When it ends without a further call.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn extend_merges(
        &self,
        lease: &MergeLease,
        by: Duration,
    ) -> Result<Moment, StoreError> {
        let by = micros(by);
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move {
                let row = tx
                    .one(
                        "UPDATE merge_targets SET expires_at = {now} + $3 \
                         WHERE project_id = $1 AND target = $2 RETURNING expires_at",
                        args![lease.project, &lease.target, by],
                    )
                    .await?;
                Ok(moment(&row, "expires_at")?)
            })
        })
        .await
    }

    /// Lets a branch go.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn release_merges(&self, lease: &MergeLease) -> Result<(), StoreError> {
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

    /// Lets a branch go and leaves it alone for so long: something outside is in the way.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn pause_merges(
        &self,
        lease: &MergeLease,
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
                tx.tell(NewEvent::new(TaskEventKind::MergePaused).text(text));
                Ok(())
            })
        })
        .await
    }

    /// The next entries of a branch, in order: those that wait and those whose gates run.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn next_merges(
        &self,
        lease: &MergeLease,
        limit: u32,
    ) -> Result<Vec<MergeView>, StoreError> {
        let limit = PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        hold(tx, lease).await?;
        let rows = tx
            .all(
                entry!(
                    "WHERE m.project_id = $1 AND m.target = $2 \
                         AND m.state IN ('queued', 'testing') ORDER BY COALESCE((SELECT c.place \
                         FROM merge_conflicts c WHERE c.task_id = m.task_id), m.id), m.id \
                         LIMIT $3"
                ),
                args![lease.project, &lease.target, limit],
            )
            .await?;
        rows.iter().map(view).collect()
    }

    /// The gates begin to run on the commit that merging this entry would make.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_testing(
        &self,
        lease: &MergeLease,
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
                tx.tell(told(TaskEventKind::MergeTesting, id, &row)?.text(staged));
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
        lease: &MergeLease,
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

    /// The commit is about to be pushed. From here on nobody takes the entry back.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is not being tested any more, or when there is no
    /// passing gate record of exactly this commit.
    pub async fn merge_landing(
        &self,
        lease: &MergeLease,
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
                         AND project_id = $2 AND target = $3 AND state = 'testing'",
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
    pub async fn merge_refused(&self, lease: &MergeLease, id: MergeId) -> Result<(), StoreError> {
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
        lease: &MergeLease,
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

    /// The branch does not merge: the task is done again in its turn, without an attempt being
    /// counted; after `max_attempts` conflicts it waits for a person. Saying it twice does no
    /// harm.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn merge_conflicting(
        &self,
        lease: &MergeLease,
        id: MergeId,
        report: &ConflictReport,
    ) -> Result<(), StoreError> {
        self.leave(
            lease,
            Leave {
                id,
                state: MergeState::Conflict,
                reason: report.reason.clone(),
                then: Then::Anew,
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
        lease: &MergeLease,
        id: MergeId,
        reason: &str,
        reopen: bool,
    ) -> Result<(), StoreError> {
        let (reason, then) = (reason.to_owned(), Then::Blocked);
        if reopen {
            let report = ConflictReport { brief: reason.clone(), reason, files: Vec::new() };
            return self.merge_conflicting(lease, id, &report).await;
        }
        let leave = Leave { id, state: MergeState::Conflict, reason, then, conflict: None };
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
        lease: &MergeLease,
        id: MergeId,
        reason: &str,
        retry: bool,
    ) -> Result<(), StoreError> {
        let then = if retry { Then::ReadyOrFailed } else { Then::Failed };
        self.leave_as(lease, id, reason, then).await
    }

    /// As [`merge_ejected`](Self::merge_ejected), with something else becoming of the task.
    pub(super) async fn leave_as(
        &self,
        lease: &MergeLease,
        id: MergeId,
        reason: &str,
        then: Then,
    ) -> Result<(), StoreError> {
        let (state, reason) = (MergeState::Ejected, reason.to_owned());
        self.leave(lease, Leave { id, state, reason, then, conflict: None }).await
    }

    async fn leave(&self, lease: &MergeLease, leave: Leave) -> Result<(), StoreError> {
        let leave = Arc::new(leave);
        self.as_writer(lease, move |tx, lease| {
            let leave = Arc::clone(&leave);
            Box::pin(async move { leave_queue(tx, &leave, Some(&lease)).await })
        })
        .await
    }

    /// A person wants an entry that left the queue to be merged after all: it waits at its old
    /// place. Nothing happens to one that still waits.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was merged, or its task was given to an agent again.
    pub async fn retry_merge(&self, id: MergeId) -> Result<MergeView, StoreError> {
        self.write(move |tx| Box::pin(requeue(tx, id))).await?;
        self.merge(id).await
    }

    /// A person throws an entry out: its task waits for a person. Nothing happens to one that
    /// left the queue before.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was merged, or is being pushed.
    pub async fn eject_merge(&self, id: MergeId, reason: &str) -> Result<MergeView, StoreError> {
        let reason = reason.to_owned();
        let (state, then) = (MergeState::Ejected, Then::Blocked);
        let leave = Arc::new(Leave { id, state, reason, then, conflict: None });
        self.write(move |tx| {
            let leave = Arc::clone(&leave);
            Box::pin(async move {
                let state = tx
                    .maybe("SELECT state FROM merge_queue WHERE id = $1", args![leave.id.0])
                    .await?
                    .ok_or_else(|| no_entry(leave.id))?
                    .named("state", MergeState::from_name)?;
                match state {
                    MergeState::Conflict | MergeState::Ejected => Ok(()),
                    MergeState::Queued | MergeState::Testing | MergeState::Merged => {
                        leave_queue(tx, &leave, None).await
                    }
                }
            })
        })
        .await?;
        self.merge(id).await
    }

    /// One entry.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn merge(&self, id: MergeId) -> Result<MergeView, StoreError> {
        let row = self.reader().await?.tx().maybe(entry!("WHERE m.id = $1"), args![id.0]).await?;
        row.as_ref().map(view).transpose()?.ok_or_else(|| no_entry(id))
    }

    /// Entries, latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn merges(
        &self,
        filter: &MergeFilter,
        page: PageRequest,
    ) -> Result<Page<MergeView>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    entry!(
                        "WHERE m.id < $1 AND ($2 IS NULL OR m.state = $2) \
                             AND ($3 IS NULL OR m.graph_id = $3) \
                             AND ($4 IS NULL OR m.target = $4) ORDER BY m.id DESC LIMIT $5"
                    ),
                    args![
                        page.cursor.unwrap_or(i64::MAX),
                        filter.state.map(MergeState::name),
                        filter.graph.map(|it| it.0),
                        &filter.target,
                        page.limit() + 1,
                    ],
                )
                .await?;
            rows.iter().map(view).collect::<Result<Vec<_>, _>>()?
        };
        Ok(page.cut(found, |entry| entry.id.0))
    }

    /// The target branches that something was ever queued for; those on hold first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn branches(&self) -> Result<Vec<BranchView>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all(BRANCHES, args![]).await?;
        let mut held = BTreeMap::new();
        for row in tx.all("SELECT * FROM merge_holds", args![]).await? {
            held.insert((row.int("project_id")?, row.text("target")?), hold_of(&row)?);
        }
        rows.iter()
            .map(|row| {
                let place = (row.int("project_id")?, row.text("target")?);
                branch(row, held.remove(&place))
            })
            .collect()
    }

    /// Runs an operation as the writer of a branch.
    pub(super) async fn as_writer<T: Send + 'static>(
        &self,
        lease: &MergeLease,
        operation: impl for<'t, 'c> Fn(
            &'t mut Tx<'c>,
            Arc<MergeLease>,
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
fn guarded<T, F>(lease: Arc<MergeLease>, operation: F) -> impl Operation<T>
where
    T: Send + 'static,
    F: for<'t, 'c> Fn(&'t mut Tx<'c>, Arc<MergeLease>) -> futures::future::BoxFuture<'t, Done<T>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    move |tx| {
        let (lease, operation) = (Arc::clone(&lease), operation.clone());
        Box::pin(async move {
            hold(tx, &lease).await?;
            operation(tx, lease).await
        })
    }
}

/// How an entry leaves the queue without being merged.
struct Leave {
    id: MergeId,
    state: MergeState,
    reason: String,
    then: Then,
    conflict: Option<ConflictReport>,
}

/// What becomes of its task.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Blocked,
    /// Ready, and the attempt does not count: the task was not to blame. The merge of an epic's
    /// branch waits for a person: nobody does it again.
    Anew,
    /// As `Anew`, so often; then it waits for a person.
    AnewAtMost(i64),
    Failed,
    ReadyOrBlocked,
    ReadyOrFailed,
}

const WAITING_TARGET: &str = "SELECT m.id FROM merge_queue m JOIN merge_targets t \
    ON t.project_id = m.project_id AND t.target = m.target \
    WHERE m.state IN ('queued', 'testing') AND t.not_before <= {now} AND t.expires_at <= {now} \
    UNION ALL SELECT t.epoch FROM merge_holds h JOIN merge_targets t \
    ON t.project_id = h.project_id AND t.target = h.target \
    WHERE h.decision IS NOT NULL AND t.not_before <= {now} AND t.expires_at <= {now} LIMIT 1";
const CLAIM_TARGET: &str = "SELECT t.project_id, t.target FROM merge_targets t \
    WHERE t.not_before <= {now} AND t.expires_at <= {now} AND (EXISTS (SELECT 1 \
    FROM merge_queue m WHERE m.project_id = t.project_id AND m.target = t.target \
    AND m.state IN ('queued', 'testing')) OR EXISTS (SELECT 1 FROM merge_holds h \
    WHERE h.project_id = t.project_id AND h.target = t.target AND h.decision IS NOT NULL)) \
    ORDER BY t.expires_at, t.project_id, t.target LIMIT 1 {lock free}";
macro_rules! unseen {
    ($rest:literal) => {
        concat!(
            "SELECT t.project_id, t.target FROM merge_targets t WHERE t.not_before <= {now} \
             AND t.expires_at <= {now} AND t.looked_at < {now} - $1 \
             AND COALESCE(t.tip, t.head) IS NOT NULL AND EXISTS (SELECT 1 FROM projects p \
             WHERE p.id = t.project_id AND p.repository IS NOT NULL) AND EXISTS (SELECT 1 \
             FROM graphs g WHERE g.project_id = t.project_id AND g.target = t.target \
             AND g.purged = 0) ",
            $rest
        )
    };
}
const UNSEEN_TARGET: &str = unseen!("LIMIT 1");
const WATCH_TARGET: &str =
    unseen!("ORDER BY t.looked_at, t.project_id, t.target LIMIT 1 {lock free}");
const REPOSITORIES: &str = "SELECT p.repository FROM projects p WHERE p.repository IS NOT NULL \
    AND EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = p.id AND g.purged = 0) \
    UNION SELECT g.repository FROM graphs g WHERE g.repository IS NOT NULL AND g.purged = 0";
const BRANCHES: &str = "SELECT t.project_id, p.name AS project, p.repository, t.target, t.head, \
    COALESCE(t.reason, t.waits_for) AS reason, \
    CASE WHEN t.expires_at > {now} THEN t.holder ELSE NULL END AS writer, \
    CASE WHEN t.not_before > {now} THEN t.not_before ELSE NULL END AS paused_until, \
    COALESCE(q.queued, 0) AS queued, COALESCE(q.testing, 0) AS testing, \
    COALESCE(q.merged, 0) AS merged \
    FROM merge_targets t JOIN projects p ON p.id = t.project_id LEFT JOIN \
    (SELECT project_id, target, COUNT(CASE WHEN state = 'queued' THEN 1 END) AS queued, \
        COUNT(CASE WHEN state = 'testing' THEN 1 END) AS testing, \
        COUNT(CASE WHEN state = 'merged' THEN 1 END) AS merged \
        FROM merge_queue GROUP BY project_id, target) q \
    ON q.project_id = t.project_id AND q.target = t.target \
    LEFT JOIN merge_holds h ON h.project_id = t.project_id AND h.target = t.target \
    ORDER BY CASE WHEN h.target IS NULL THEN 1 ELSE 0 END, p.name, t.target";

fn no_entry(id: MergeId) -> StoreError {
    StoreError::not_found(format_args!("entry {id} in a merge queue"))
}

pub(super) fn superseded(target: &str) -> StoreError {
    StoreError::stale(format!("another writer holds the merge queue of {target} now"))
}

fn gone(id: MergeId) -> StoreError {
    StoreError::conflict(format!("entry {id} is not in this merge queue any more"))
}

pub(super) fn told(kind: TaskEventKind, id: MergeId, row: &Record) -> Result<NewEvent, StoreError> {
    let lease = Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? };
    Ok(NewEvent::new(kind).graph(GraphId(row.int("graph_id")?)).lease(lease).merge(id))
}

async fn claim(
    tx: &mut Tx<'_>,
    free: Option<Record>,
    holder: &str,
    lease_us: i64,
) -> Done<Option<MergeTurn>> {
    let Some(free) = free else { return Ok(None) };
    let (project, target) = (free.int("project_id")?, free.text("target")?);
    let row = tx
        .one(
            "UPDATE merge_targets SET holder = $3, epoch = epoch + 1, \
             expires_at = {now} + $4, reason = NULL, waits_for = NULL, looked_at = {now} \
             WHERE project_id = $1 AND target = $2 RETURNING epoch, expires_at, head, \
             (SELECT name FROM projects WHERE id = $1) AS project, \
             (SELECT repository FROM projects WHERE id = $1) AS repository",
            args![project, &target, holder, lease_us],
        )
        .await?;
    Ok(Some(MergeTurn {
        lease: MergeLease { project, target, epoch: row.int("epoch")? },
        project: row.text("project")?,
        repository: row.opt_text("repository")?,
        head: row.opt_text("head")?,
        expires_at: moment(&row, "expires_at")?,
    }))
}

/// Makes sure that a lease is still the branch's, and in a transaction that it stays so.
async fn hold(tx: &mut Tx<'_>, lease: &MergeLease) -> Done<()> {
    let held = tx
        .maybe(
            "SELECT epoch FROM merge_targets WHERE project_id = $1 AND target = $2 \
             AND epoch = $3 AND holder IS NOT NULL {lock}",
            args![lease.project, &lease.target, lease.epoch],
        )
        .await?;
    if held.is_some() {
        return Ok(());
    }
    Err(superseded(&lease.target).into())
}

/// Makes sure that a commit may be said to have failed.
async fn keep_passed(tx: &mut Tx<'_>, lease: &MergeLease, sha: &str) -> Done<()> {
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
    Err(StoreError::conflict(format!("{sha} passed its gates and is on its way to the target"))
        .into())
}

async fn passed(tx: &mut Tx<'_>, lease: &MergeLease, sha: &str) -> Done<()> {
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

async fn landed(tx: &mut Tx<'_>, lease: &MergeLease, id: MergeId, sha: &str) -> Done<()> {
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
    tx.tell(told(TaskEventKind::Merged, id, &entry)?.text(sha));
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
    tx.tell(told(TaskEventKind::TaskDone, id, &entry)?.text(sha));
    conflicts::solved(tx, TaskId(entry.int("task_id")?)).await?;
    conflicts::release_redos(tx, lease.project, &lease.target).await?;
    release(tx, &finished(&task)?).await
}

/// With a lease, only entries of its branch; what was about to be pushed was not then: its writer
/// knows.
async fn leave_queue(tx: &mut Tx<'_>, leave: &Leave, lease: Option<&MergeLease>) -> Done<()> {
    let entry = tx
        .maybe(
            "UPDATE merge_queue SET state = $2, reason = $3, updated_at = {now}, \
             ended_at = {now}, landing = NULL WHERE id = $1 \
             AND state IN ('queued', 'testing') AND (landing IS NULL OR $4 IS NOT NULL) \
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
    let kind = match leave.state {
        MergeState::Conflict => TaskEventKind::MergeConflict,
        MergeState::Ejected | MergeState::Queued | MergeState::Testing | MergeState::Merged => {
            TaskEventKind::MergeEjected
        }
    };
    tx.tell(told(kind, leave.id, &entry)?.text(&leave.reason));
    let then = match &leave.conflict {
        Some(report) => conflicts::note(tx, leave.id, &entry, report).await?,
        None => leave.then,
    };
    give_back(tx, &entry, &leave.reason, then).await?;
    if leave.state == MergeState::Ejected {
        let then = match leave.then {
            Then::Anew | Then::AnewAtMost(_) => Then::Anew,
            Then::Blocked | Then::Failed | Then::ReadyOrBlocked | Then::ReadyOrFailed => {
                Then::ReadyOrBlocked
            }
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
    lease: Option<&MergeLease>,
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
            "entry {id} is being pushed to the target branch: wait until it is merged or refused"
        )),
        (Some(_), Some(_)) | (None, _) => gone(id),
    })
}

/// What becomes of the task of an entry that left the queue.
pub(super) async fn give_back(
    tx: &mut Tx<'_>,
    entry: &Record,
    reason: &str,
    then: Then,
) -> Done<()> {
    let lease = Lease { task: TaskId(entry.int("task_id")?), epoch: entry.int("epoch")? };
    // No return is counted, and none is too many, where the limit is 0.
    let (again, uncounted, most, otherwise) = match then {
        Then::Blocked => (false, false, 0, "blocked"),
        Then::Failed => (false, false, 0, "failed"),
        Then::Anew => (true, true, 0, "blocked"),
        Then::AnewAtMost(most) => (true, true, most, "blocked"),
        Then::ReadyOrBlocked => (true, false, 0, "blocked"),
        Then::ReadyOrFailed => (true, false, 0, "failed"),
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
            args![
                lease.task.0,
                lease.epoch,
                reason,
                again,
                otherwise,
                uncounted,
                most,
                super::epics::POSITIONS,
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    set_ejected(tx, lease, true).await?;
    let kind = match row.text("state")?.as_str() {
        "ready" => Some(TaskEventKind::TaskRetry),
        "blocked" => Some(TaskEventKind::TaskBlocked),
        "failed" => Some(TaskEventKind::TaskFailed),
        _waiting => None,
    };
    if let Some(kind) = kind {
        let graph = GraphId(entry.int("graph_id")?);
        tx.tell(NewEvent::new(kind).graph(graph).lease(lease).text(reason));
    }
    Ok(())
}

/// Entries of tasks that need an ejected one, directly or not, leave as well.
pub(super) async fn take_dependants_along(tx: &mut Tx<'_>, task: TaskId, then: Then) -> Done<()> {
    let reason = format!("task {task}, which it needs, was thrown out of the merge queue");
    let along = tx
        .all(
            "WITH RECURSIVE later (id) AS (SELECT task_id FROM dependencies WHERE needs_id = $1 \
             UNION SELECT d.task_id FROM dependencies d JOIN later l ON d.needs_id = l.id) \
             UPDATE merge_queue SET state = 'ejected', reason = $2, updated_at = {now}, \
             ended_at = {now} WHERE task_id IN (SELECT id FROM later) \
             AND state IN ('queued', 'testing') AND landing IS NULL \
             RETURNING id, task_id, epoch, graph_id",
            args![task.0, &reason],
        )
        .await?;
    for entry in along {
        let id = MergeId(entry.int("id")?);
        tx.tell(told(TaskEventKind::MergeEjected, id, &entry)?.text(&reason));
        give_back(tx, &entry, &reason, then).await?;
    }
    Ok(())
}

async fn requeue(tx: &mut Tx<'_>, id: MergeId) -> Done<()> {
    let entry = tx
        .maybe(
            "SELECT state, task_id, epoch, graph_id, branch, commit_sha FROM merge_queue \
             WHERE id = $1 {lock}",
            args![id.0],
        )
        .await?
        .ok_or_else(|| no_entry(id))?;
    match entry.named("state", MergeState::from_name)? {
        MergeState::Queued | MergeState::Testing => return Ok(()),
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
            "the branch {} was kept for long enough and deleted: the task has to be done again",
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
            "task {} was given to somebody again, or is over",
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
    set_ejected(tx, lease, false).await?;
    let graph = GraphId(entry.int("graph_id")?);
    revive(tx, graph).await?;
    tx.tell(told(TaskEventKind::TaskMerging, id, &entry)?);
    Ok(())
}

fn view(row: &Record) -> Result<MergeView, StoreError> {
    Ok(MergeView {
        id: MergeId(row.int("id")?),
        project: row.text("project")?,
        repository: row.opt_text("repository")?,
        target: row.text("target")?,
        graph: GraphId(row.int("graph_id")?),
        lease: Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? },
        branch: row.text("branch")?,
        commit: row.text("commit_sha")?,
        gates: row.list("gates")?,
        state: row.named("state", MergeState::from_name)?,
        staged: row.opt_text("staged")?,
        landing: row.opt_text("landing")?,
        merged: row.opt_text("merged")?,
        reason: row.opt_text("reason")?,
        unsolved: row.flag("unsolved")?,
        created_at: moment(row, "created_at")?,
        updated_at: moment(row, "updated_at")?,
        ended_at: opt_moment(row, "ended_at")?,
    })
}

fn branch(row: &Record, hold: Option<MergeHold>) -> Result<BranchView, StoreError> {
    Ok(BranchView {
        project: row.text("project")?,
        repository: row.opt_text("repository")?,
        target: row.text("target")?,
        head: row.opt_text("head")?,
        writer: row.opt_text("writer")?,
        queued: row.count("queued")?,
        testing: row.count("testing")?,
        merged: row.count("merged")?,
        paused_until: opt_moment(row, "paused_until")?,
        reason: row.opt_text("reason")?,
        hold,
    })
}
