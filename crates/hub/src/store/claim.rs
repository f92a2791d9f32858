//! Claims: one statement takes the most urgent task that an agent may have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::columns::lease_seconds;
use super::connect::TaskStore;
use super::dialect::Dialect;
use super::error::StoreError;
use super::record::Record;
use super::tx::{Done, NewEvent, Tx};
use super::value::{args, list};
use super::wake::POLL;
use greenloop_hub_api::types::{ClaimRequest, Claimed};
use greenloop_model::task::{GraphId, Lease, TaskEventKind, TaskId};

/// The shortest and the longest lease, in seconds.
const LEASE_SECONDS: (u32, u32) = (1, 24 * 3600);

/// Which task an agent may have now, the most urgent first. After an attempt that failed or was
/// lost it is somebody else's turn, as long as there is somebody else.
///
/// 1 agent, 2 roles, 3 labels, 4 repositories out of its reach, 5 the claim's idempotency key.
macro_rules! eligible {
    () => {
        "SELECT t.id FROM tasks t WHERE t.state = 'ready' AND t.not_before <= {now} \
         AND (t.role IS NULL OR t.role IN {in $2}) \
         AND (t.labels = '[]' OR {subset t.labels $3}) \
         AND ($4 = '[]' OR NOT EXISTS (SELECT 1 FROM graphs r WHERE r.id = t.graph_id \
            AND r.repository IN {in $4})) \
         AND (t.epoch = 0 \
            OR NOT EXISTS (SELECT 1 FROM attempts f WHERE f.task_id = t.id AND f.agent = $1 \
                AND f.state IN ('failed', 'lost', 'returned')) \
            OR NOT EXISTS (SELECT 1 FROM agents o WHERE o.name <> $1 \
                AND o.active = 1 AND o.draining = 0 \
                AND o.quarantined_at IS NULL AND o.left_at IS NULL \
                AND o.heartbeat_at > {now} - 3 * o.beat_us \
                AND (t.role IS NULL OR t.role IN {in o.roles}) \
                AND (t.labels = '[]' OR {subset t.labels o.labels}) \
                AND (o.unreachable = '[]' OR NOT EXISTS (SELECT 1 FROM graphs u \
                    WHERE u.id = t.graph_id AND u.repository IN {in o.unreachable})) \
                AND NOT EXISTS (SELECT 1 FROM attempts x WHERE x.task_id = t.id \
                    AND x.agent = o.name AND x.state IN ('failed', 'lost', 'returned')))) \
         AND NOT EXISTS (SELECT 1 FROM agents me WHERE me.name = $1 \
            AND (me.active = 0 OR me.draining = 1 OR me.quarantined_at IS NOT NULL)) \
         AND ($5 IS NULL OR NOT EXISTS (SELECT 1 FROM attempts k WHERE k.claim_key = $5)) \
         ORDER BY t.priority, t.rank DESC, t.id LIMIT 1"
    };
}

/// Looks without taking: agents that find nothing do not queue up for the one writer.
pub(super) const PROBE: &str = concat!(eligible!(), "");

/// SQLite: nobody else writes meanwhile. The choice stands in a CTE of its own, so that it is
/// made once.
pub(super) const TAKE: &str = concat!(
    "WITH pick AS MATERIALIZED (",
    eligible!(),
    ") UPDATE tasks SET state = 'running', epoch = epoch + 1, attempts = attempts + 1, \
     updated_at = {now} WHERE id = (SELECT id FROM pick) RETURNING id, epoch, graph_id"
);
const BEGIN: &str = "INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, \
    lease_us, expires_at, progress_at, stuck, claim_key, started_at) \
    VALUES ($1, $2, $3, $4, 'running', 0, $5, {now} + $5, {now}, 0, $6, {now})";

/// PostgreSQL: all in one statement, which is a transaction of its own.
pub(super) const TAKE_AND_BEGIN: &str = concat!(
    "WITH pick AS (",
    eligible!(),
    " {lock free}), \
     taken AS (UPDATE tasks t SET state = 'running', epoch = t.epoch + 1, \
        attempts = t.attempts + 1, updated_at = {now} FROM pick WHERE t.id = pick.id \
        RETURNING t.*), \
     begun AS (INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, lease_us, \
        expires_at, progress_at, stuck, claim_key, started_at) \
        SELECT id, epoch, $1, $6, 'running', 0, $7, {now} + $7, {now}, 0, $5, {now} FROM taken \
        RETURNING task_id, agent, percent, epoch, lease_us), \
     emitted AS (INSERT INTO {outbox} (at, kind, graph_id, task_id, epoch, agent) \
        SELECT {now}, 'task.claimed', graph_id, id, epoch, $1 FROM taken) \
     SELECT t.*, e.key AS epic_key, e.branch AS epic_branch, a.agent AS agent, \
     a.percent AS percent, a.epoch AS claim_epoch, a.lease_us, \
     g.repository AS repository, g.target AS target, g.gates AS gates \
     FROM taken t JOIN begun a ON a.task_id = t.id JOIN graphs g ON g.id = t.graph_id \
     LEFT JOIN epics e ON e.id = t.epic_id"
);

const BY_KEY: &str = "SELECT task_id AS id, epoch, agent FROM attempts WHERE claim_key = $1";

const CLAIMED: &str = "SELECT t.*, e.key AS epic_key, e.branch AS epic_branch, a.agent AS agent, \
    a.percent AS percent, a.epoch AS claim_epoch, a.lease_us, \
    g.repository AS repository, g.target AS target, g.gates AS gates \
    FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN graphs g ON g.id = t.graph_id \
    LEFT JOIN epics e ON e.id = t.epic_id WHERE a.task_id = $1 AND a.epoch = $2";

impl TaskStore {
    /// Gives an agent the most urgent task that it may have, or nothing.
    ///
    /// The same `key` from the same agent gives the same claim again, whatever became of it.
    ///
    /// # Errors
    /// `Invalid` for a lease that is too short or too long; `Conflict` when another agent used
    /// the key.
    pub async fn claim(
        &self,
        request: &ClaimRequest,
        key: Option<&str>,
    ) -> Result<Option<Claimed>, StoreError> {
        let (shortest, longest) = LEASE_SECONDS;
        if !(shortest..=longest).contains(&request.lease_seconds) {
            return Err(StoreError::invalid("a lease lasts from one second to one day"));
        }
        let asked = Arc::new(ClaimQuery { request: request.clone(), key: key.map(str::to_owned) });
        if self.dialect() == Dialect::Sqlite
            && !self.promising().load(Ordering::Relaxed)
            && !self.finds(&asked).await?
        {
            return Ok(None);
        }
        let taken = self
            .write_statement(move |tx| {
                let asked = Arc::clone(&asked);
                Box::pin(async move { take(tx, &asked).await })
            })
            .await?;
        self.promising().store(!matches!(taken, ClaimOutcome::Nothing), Ordering::Relaxed);
        match taken {
            ClaimOutcome::Nothing => Ok(None),
            ClaimOutcome::Lease(lease) => self.claimed(lease).await.map(Some),
            ClaimOutcome::Whole(claimed) => Ok(Some(*claimed)),
        }
    }

    /// The same, and waits for work for so long when there is none.
    ///
    /// # Errors
    /// See [`claim`](Self::claim).
    pub async fn claim_within(
        &self,
        request: &ClaimRequest,
        key: Option<&str>,
        wait: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let end = tokio::time::Instant::now() + wait;
        // Before the first look: what comes in between is not missed.
        let mut changes = self.work_changes();
        loop {
            let claimed = self.claim(request, key).await?;
            let now = tokio::time::Instant::now();
            if claimed.is_some() || now >= end {
                return Ok(claimed);
            }
            let until = end.min(now + POLL);
            let _ = tokio::time::timeout_at(until, changes.changed()).await;
        }
    }

    async fn finds(&self, asked: &ClaimQuery) -> Result<bool, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        if tx.maybe(PROBE, asked.search()).await?.is_some() {
            return Ok(true);
        }
        let Some(key) = &asked.key else { return Ok(false) };
        Ok(tx.maybe(BY_KEY, args![key]).await?.is_some())
    }

    async fn claimed(&self, lease: Lease) -> Result<Claimed, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let row = tx.one(CLAIMED, args![lease.task.0, lease.epoch]).await?;
        Ok(claimed(tx, row).await?)
    }
}

struct ClaimQuery {
    request: ClaimRequest,
    key: Option<String>,
}

impl ClaimQuery {
    fn search(&self) -> Vec<super::value::Value> {
        let ClaimRequest { agent, roles, labels, unreachable, .. } = &self.request;
        args![agent, list(roles), list(labels), list(unreachable), &self.key]
    }
}

/// What a claim came to.
enum ClaimOutcome {
    Nothing,
    /// What it is about is still to be read.
    Lease(Lease),
    Whole(Box<Claimed>),
}

async fn take(tx: &mut Tx<'_>, asked: &ClaimQuery) -> Done<ClaimOutcome> {
    let ClaimRequest { agent, instance, lease_seconds, .. } = &asked.request;
    let lease_us = i64::from(*lease_seconds) * 1_000_000;
    match tx.dialect() {
        Dialect::Postgres => {
            let mut values = asked.search();
            values.extend(args![instance, lease_us]);
            if let Some(row) = tx.maybe(TAKE_AND_BEGIN, values).await? {
                tx.note(TaskEventKind::TaskClaimed);
                return Ok(ClaimOutcome::Whole(Box::new(claimed(tx, row).await?)));
            }
        }
        Dialect::Sqlite => {
            if let Some(row) = tx.maybe(TAKE, asked.search()).await? {
                let lease = of(&row)?;
                tx.run(
                    BEGIN,
                    args![lease.task.0, lease.epoch, agent, instance, lease_us, &asked.key],
                )
                .await?;
                let graph = GraphId(row.int("graph_id")?);
                let event = NewEvent::new(TaskEventKind::TaskClaimed).graph(graph);
                tx.emit(event.lease(lease).agent(agent));
                let row = tx.one(CLAIMED, args![lease.task.0, lease.epoch]).await?;
                return Ok(ClaimOutcome::Whole(Box::new(claimed(tx, row).await?)));
            }
        }
    }
    let Some(key) = &asked.key else { return Ok(ClaimOutcome::Nothing) };
    let Some(before) = tx.maybe(BY_KEY, args![key]).await? else {
        return Ok(ClaimOutcome::Nothing);
    };
    if before.text("agent")? != *agent {
        return Err(StoreError::conflict("the idempotency key was used by another agent").into());
    }
    Ok(ClaimOutcome::Lease(of(&before)?))
}

fn of(row: &Record) -> Result<Lease, StoreError> {
    Ok(Lease { task: TaskId(row.int("id")?), epoch: row.int("epoch")? })
}

async fn claimed(tx: &mut Tx<'_>, row: Record) -> Done<Claimed> {
    let epoch = row.int("claim_epoch")?;
    let lease_seconds = lease_seconds(&row)?;
    let (repository, gates) = (row.opt_text("repository")?, row.list("gates")?);
    let target = match row.opt_text("epic_branch")? {
        Some(branch) => branch,
        None => row.text("target")?,
    };
    let task = super::tasks::views(tx, vec![row])
        .await?
        .pop()
        .ok_or_else(|| StoreError::corrupt("a claimed task cannot be read"))?;
    let mut previous = task.reason.clone();
    if epoch > 1
        && let Some(brief) = super::conflicts::brief(tx, task.id).await?
    {
        // It begins with the conflict; an attempt that failed since says so first.
        previous = match previous {
            Some(reason) if !brief.starts_with(&reason) => Some(format!("{reason}\n\n{brief}")),
            _conflict => Some(brief),
        };
    }
    Ok(Claimed {
        branch: Lease { task: task.id, epoch }.branch(),
        epoch,
        lease_seconds,
        repository,
        target,
        gates,
        previous,
        task,
    })
}
