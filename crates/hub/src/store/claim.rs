//! Claims: one statement takes the most urgent task that an agent may have. Under PostgreSQL it
//! takes those of several agents, see [`super::claim_batch`].

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
use greenloop_hub_api::types::{ClaimRequest, Claimed, Task};
use greenloop_model::task::{GraphId, Lease, TaskEventKind, TaskId};

/// The shortest and the longest lease, in seconds.
const LEASE_SECONDS: (u32, u32) = (1, 24 * 3600);

/// Whether the agent in a parameter may have a task of the queue. After an attempt that failed or
/// was lost it is somebody else's turn, as long as there is somebody else.
macro_rules! turn {
    ($agent:literal) => {
        concat!(
            "(q.tried = 0 OR EXISTS (SELECT 1 FROM tasks t WHERE t.id = q.task_id \
             AND (t.assigned IS NULL OR t.assigned = ",
            $agent,
            ") AND (t.excluded = '[]' OR ",
            $agent,
            " NOT IN {in t.excluded}) AND (t.epoch = 0 OR t.assigned = ",
            $agent,
            " OR NOT EXISTS (SELECT 1 FROM attempts f WHERE f.task_id = t.id AND f.agent = ",
            $agent,
            " AND f.state IN ('failed', 'lost', 'returned')) \
             OR NOT EXISTS (SELECT 1 FROM agents o WHERE o.name <> ",
            $agent,
            " AND o.active = 1 AND o.draining = 0 \
                AND o.quarantined_at IS NULL AND o.left_at IS NULL \
                AND o.heartbeat_at > {now} - 3 * o.beat_us \
                AND (t.role IS NULL OR t.role IN {in o.roles}) \
                AND (t.excluded = '[]' OR o.name NOT IN {in t.excluded}) \
                AND (t.labels = '[]' OR {subset t.labels o.labels}) \
                AND (o.unreachable = '[]' OR NOT EXISTS (SELECT 1 FROM graphs u \
                    WHERE u.id = t.graph_id AND u.repository IN {in o.unreachable})) \
                AND NOT EXISTS (SELECT 1 FROM attempts x WHERE x.task_id = t.id \
                    AND x.agent = o.name AND x.state IN ('failed', 'lost', 'returned'))))))"
        )
    };
}

/// SQLite: the most urgent task that an agent may have. The kinds of tasks that it may do are few,
/// however many tasks there are; each has its own order, and of the first of each, the first is
/// taken. Tables are joined in the written order.
///
/// 1 agent, 2 its roles, as `role_key` has them, 3 its labels, as `label_key` has them,
/// 4 repositories out of its reach, 5 the claim's idempotency key, 6 its labels.
macro_rules! eligible {
    () => {
        concat!(
            "SELECT q.task_id AS id FROM (WITH fitting AS MATERIALIZED (\
                SELECT k.id FROM graphs g CROSS JOIN task_kinds k WHERE g.state = 'running' \
                AND ($4 = '[]' OR g.repository IS NULL OR g.repository NOT IN {in $4}) \
                AND k.graph_id = g.id AND k.label_key IN {in $3} AND k.role_key IN {in $2} \
                AND k.assigned IN ('', $1) AND (k.labels = '[]' OR {subset k.labels $6})\
             ) SELECT (SELECT q.task_id FROM task_queue q WHERE q.kind_id = f.id \
                AND q.not_before = 0 AND ",
            turn!("$1"),
            " ORDER BY q.priority, q.rank DESC, q.task_id LIMIT 1) AS task_id FROM fitting f \
             UNION ALL SELECT (SELECT q.task_id FROM task_queue q WHERE q.kind_id = f.id \
                AND q.not_before > 0 AND q.not_before <= {now} AND ",
            turn!("$1"),
            " ORDER BY q.priority, q.rank DESC, q.task_id LIMIT 1) FROM fitting f) c \
             CROSS JOIN task_queue q WHERE q.task_id = c.task_id AND NOT EXISTS (SELECT 1 FROM agents me WHERE me.name = $1 \
                AND (me.active = 0 OR me.draining = 1 OR me.quarantined_at IS NOT NULL)) \
             AND ($5 IS NULL OR NOT EXISTS (SELECT 1 FROM attempts k WHERE k.claim_key = $5)) \
             ORDER BY q.priority, q.rank DESC, q.task_id LIMIT 1"
        )
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

/// PostgreSQL: claims of agents that may do the same, all in one statement, which is a transaction
/// of its own. The first claim gets the most urgent task, and so on; who may not have the one that
/// it would get is left without. A row for each claim: what it got, or the claim that had its key
/// before, and how many tasks were looked at.
///
/// 1 the claims, as a JSON array, 2 to 4 as in [`eligible`], 5 the agent when there is one claim:
/// tasks that it may not have are passed over, 6 how many tasks of each kind to look at, 7 labels.
pub(super) const TAKE_ALL: &str = concat!(
    "WITH asked AS MATERIALIZED (\
        SELECT x.n, x.agent, x.instance, x.lease_us, x.key, k.task_id AS before_task, \
            k.epoch AS before_epoch, k.agent AS before_agent, \
            CASE WHEN k.task_id IS NULL AND (me.name IS NULL OR me.active = 1 \
                AND me.draining = 0 AND me.quarantined_at IS NULL) THEN 1 ELSE 0 END AS allowed \
        FROM jsonb_to_recordset(CAST($1 AS jsonb)) \
            AS x (n BIGINT, agent TEXT, instance TEXT, lease_us BIGINT, key TEXT) \
        LEFT JOIN agents me ON me.name = x.agent LEFT JOIN attempts k ON k.claim_key = x.key), \
     wanting AS MATERIALIZED (SELECT a.*, ROW_NUMBER() OVER (ORDER BY a.n) AS nth FROM asked a \
        WHERE a.allowed = 1), \
     fitting AS MATERIALIZED (SELECT k.id FROM graphs g \
        CROSS JOIN jsonb_array_elements_text(CAST($3 AS jsonb)) AS l (key) \
        CROSS JOIN jsonb_array_elements_text(CAST($2 AS jsonb)) AS r (key) \
        CROSS JOIN LATERAL (SELECT k.id FROM task_kinds k WHERE k.graph_id = g.id \
            AND k.label_key = l.key AND k.role_key = r.key \
            AND k.assigned = ANY (ARRAY(SELECT '' UNION ALL SELECT w.agent FROM wanting w)) \
            AND (k.labels = '[]' OR {subset k.labels $7}) OFFSET 0) k \
        WHERE g.state = 'running' AND ($4 = '[]' OR g.repository IS NULL \
            OR g.repository NOT IN {in $4})), \
     candidates AS MATERIALIZED (SELECT c.task_id, c.priority, c.rank FROM fitting f \
        CROSS JOIN LATERAL (\
            (SELECT q.task_id, q.priority, q.rank FROM task_queue q WHERE q.kind_id = f.id \
                AND q.not_before = 0 AND ($5 IS NULL OR ",
    turn!("$5"),
    ") ORDER BY q.priority, q.rank DESC, q.task_id LIMIT $6) \
            UNION ALL \
            (SELECT q.task_id, q.priority, q.rank FROM task_queue q WHERE q.kind_id = f.id \
                AND q.not_before > 0 AND q.not_before <= {now} AND ($5 IS NULL OR ",
    turn!("$5"),
    ") ORDER BY q.not_before LIMIT $6)) c), \
     pick AS MATERIALIZED (SELECT t.id, c.priority, c.rank FROM candidates c \
        JOIN tasks t ON t.id = c.task_id AND t.state = 'ready' \
        ORDER BY c.priority, c.rank DESC, c.task_id LIMIT (SELECT COUNT(*) FROM wanting) \
        {lock free t}), \
     paired AS MATERIALIZED (SELECT q.task_id, w.n, w.agent, w.instance, w.lease_us, w.key \
        FROM (SELECT p.id, ROW_NUMBER() OVER (ORDER BY p.priority, p.rank DESC, p.id) AS nth \
            FROM pick p) p \
        JOIN wanting w ON w.nth = p.nth JOIN task_queue q ON q.task_id = p.id WHERE ",
    turn!("w.agent"),
    "), \
     taken AS (UPDATE tasks t SET state = 'running', epoch = t.epoch + 1, \
        attempts = t.attempts + 1, updated_at = {now} FROM paired p WHERE t.id = p.task_id \
        AND t.state = 'ready' RETURNING t.*, p.n, p.agent, p.instance, p.lease_us, p.key AS claim_key), \
     begun AS (INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, lease_us, \
        expires_at, progress_at, stuck, claim_key, started_at) \
        SELECT id, epoch, agent, instance, 'running', 0, lease_us, {now} + lease_us, {now}, 0, \
        claim_key, {now} FROM taken), \
     known AS (INSERT INTO claimants (agent) SELECT DISTINCT t.agent FROM taken t \
        WHERE NOT EXISTS (SELECT 1 FROM claimants c WHERE c.agent = t.agent) \
        ON CONFLICT (agent) DO NOTHING), \
     emitted AS (INSERT INTO outbox_batches (at, kind, events) SELECT {now}, 'task.claimed', \
        CAST(json_agg(json_build_array(graph_id, id, epoch, agent) ORDER BY n) AS TEXT) \
        FROM taken HAVING COUNT(*) > 0) \
     SELECT a.n AS nth, a.before_task, a.before_epoch, a.before_agent, a.allowed, \
        (SELECT COUNT(*) FROM candidates) AS seen, t.*, e.key AS epic_key, \
        e.branch AS epic_branch, 0 AS percent, t.epoch AS claim_epoch, \
        g.repository AS repository, g.target AS target, g.gates AS gates \
     FROM asked a LEFT JOIN taken t ON t.n = a.n LEFT JOIN graphs g ON g.id = t.graph_id \
     LEFT JOIN epics e ON e.id = t.epic_id ORDER BY a.n"
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
        let query = ClaimQuery { request: request.clone(), key: key.map(str::to_owned) };
        if self.dialect() == Dialect::Postgres {
            return self.claims().submit(self, query.lane(), query).await;
        }
        let asked = Arc::new(query);
        if !self.promising().load(Ordering::Relaxed) && !self.finds(&asked).await? {
            return Ok(None);
        }
        let taken = self
            .write(move |tx| {
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

    /// A claim as its agent is told of it.
    pub(super) async fn claimed(&self, lease: Lease) -> Result<Claimed, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        Ok(one_claimed(tx, lease).await?)
    }
}

/// Whoever may do the same: claims of one lane find the same tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    /// JSON arrays; the keys as `role_key` and `label_key` have them.
    pub(super) role_keys: String,
    pub(super) label_keys: String,
    pub(super) labels: String,
    pub(super) unreachable: String,
}

/// A claim with its idempotency key.
#[derive(Debug, Clone)]
pub(super) struct ClaimQuery {
    pub(super) request: ClaimRequest,
    pub(super) key: Option<String>,
}

impl ClaimQuery {
    pub(super) fn lease_us(&self) -> i64 {
        i64::from(self.request.lease_seconds) * 1_000_000
    }

    pub(super) fn lane(&self) -> Lane {
        let sorted = |mut names: Vec<String>| {
            names.sort_unstable();
            names.dedup();
            list(&names)
        };
        let ClaimRequest { roles, labels, unreachable, .. } = &self.request;
        let keys = |names: &[String]| {
            let any = std::iter::once("*".to_owned());
            sorted(any.chain(names.iter().map(|name| format!("={name}"))).collect())
        };
        Lane {
            role_keys: keys(roles),
            label_keys: keys(labels),
            labels: sorted(labels.clone()),
            unreachable: sorted(unreachable.clone()),
        }
    }

    fn search(&self) -> Vec<super::value::Value> {
        let Lane { role_keys, label_keys, labels, unreachable } = self.lane();
        args![&self.request.agent, role_keys, label_keys, unreachable, &self.key, labels]
    }
}

/// What a claim came to.
enum ClaimOutcome {
    Nothing,
    /// What it is about is still to be read.
    Lease(Lease),
    Whole(Box<Claimed>),
}

/// SQLite: takes a task within the writer's transaction.
async fn take(tx: &mut Tx<'_>, asked: &ClaimQuery) -> Done<ClaimOutcome> {
    let ClaimRequest { agent, instance, .. } = &asked.request;
    if let Some(row) = tx.maybe(TAKE, asked.search()).await? {
        let lease = of(&row)?;
        tx.run(
            BEGIN,
            args![lease.task.0, lease.epoch, agent, instance, asked.lease_us(), &asked.key],
        )
        .await?;
        let graph = GraphId(row.int("graph_id")?);
        let event = NewEvent::new(TaskEventKind::TaskClaimed).graph(graph);
        tx.emit(event.lease(lease).agent(agent));
        return Ok(ClaimOutcome::Whole(Box::new(one_claimed(tx, lease).await?)));
    }
    let Some(key) = &asked.key else { return Ok(ClaimOutcome::Nothing) };
    let Some(before) = tx.maybe(BY_KEY, args![key]).await? else {
        return Ok(ClaimOutcome::Nothing);
    };
    if before.text("agent")? != *agent {
        return Err(used_by_another().into());
    }
    Ok(ClaimOutcome::Lease(of(&before)?))
}

pub(super) fn used_by_another() -> StoreError {
    StoreError::conflict("the idempotency key was used by another agent")
}

/// Whether an agent may have had tasks before it was heard of.
pub(super) async fn had_tasks(tx: &mut Tx<'_>, agent: &str) -> Done<bool> {
    match tx.dialect() {
        // Its attempts are found by its name.
        Dialect::Sqlite => Ok(true),
        Dialect::Postgres => {
            let found =
                tx.maybe("SELECT agent FROM claimants WHERE agent = $1", args![agent]).await?;
            Ok(found.is_some())
        }
    }
}

fn of(row: &Record) -> Result<Lease, StoreError> {
    Ok(Lease { task: TaskId(row.int("id")?), epoch: row.int("epoch")? })
}

async fn one_claimed(tx: &mut Tx<'_>, lease: Lease) -> Done<Claimed> {
    let row = tx.one(CLAIMED, args![lease.task.0, lease.epoch]).await?;
    let claimed = claimed(tx, vec![row]).await?.pop();
    Ok(claimed.ok_or_else(|| StoreError::corrupt("could not read a claimed task"))?)
}

/// What a claim says beside the task.
struct Terms {
    epoch: i64,
    lease_seconds: u32,
    repository: Option<String>,
    target: String,
    gates: Vec<String>,
}

fn terms(row: &Record) -> Result<Terms, StoreError> {
    Ok(Terms {
        epoch: row.int("claim_epoch")?,
        lease_seconds: lease_seconds(row)?,
        repository: row.opt_text("repository")?,
        target: match row.opt_text("epic_branch")? {
            Some(branch) => branch,
            None => row.text("target")?,
        },
        gates: row.list("gates")?,
    })
}

/// Claims as their agents are told of them, in the order of the rows.
pub(super) async fn claimed(tx: &mut Tx<'_>, rows: Vec<Record>) -> Done<Vec<Claimed>> {
    let terms = rows.iter().map(terms).collect::<Result<Vec<_>, _>>()?;
    let tasks = super::tasks::views(tx, rows).await?;
    let mut all = Vec::with_capacity(tasks.len());
    for (terms, task) in terms.into_iter().zip(tasks) {
        let Terms { epoch, lease_seconds, repository, target, gates } = terms;
        let previous = previous(tx, &task, epoch).await?;
        let branch = Lease { task: task.id, epoch }.branch();
        all.push(Claimed {
            branch,
            epoch,
            lease_seconds,
            repository,
            target,
            gates,
            previous,
            task,
        });
    }
    Ok(all)
}

/// What the attempt is told of the ones before it.
async fn previous(tx: &mut Tx<'_>, task: &Task, epoch: i64) -> Done<Option<String>> {
    let before = task.reason.clone();
    if epoch > 1
        && let Some(brief) = super::conflicts::brief(tx, task.id).await?
    {
        // It begins with the conflict; an attempt that failed since says so first.
        return Ok(match before {
            Some(reason) if !brief.starts_with(&reason) => Some(format!("{reason}\n\n{brief}")),
            _conflict => Some(brief),
        });
    }
    Ok(before)
}
