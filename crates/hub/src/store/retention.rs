//! How long records are kept, and their end: a few rows at a time.
//!
//! # Guarantees
//! - One call of [`TaskStore::purge`] is one transaction of at most [`PURGE_ROWS`] rows, on a
//!   connection like any other writer's: whoever claims meanwhile waits for one such batch, not
//!   for all that is old.
//! - Only what has ended is deleted. A graph is marked before its first row goes; from then on
//!   nobody sees it, and nobody can bring it back to life.
//! - Several hubs may do so at once: each takes rows that no other holds.

use std::time::Duration;

use super::columns::micros;
use super::connect::TaskStore;
use super::dialect::Dialect;
use super::error::StoreError;
use super::flakes::QUIET;
use super::tx::{Done, Tx};
use super::value::args;

/// Rows that one call deletes at most.
pub const PURGE_ROWS: u64 = 200;
/// The same, as the statements take it.
const ROWS: i64 = 200;
/// Pieces of evidence at a time: each may be 256 KiB long.
const BODIES: i64 = 25;
/// Tasks whose rows are deleted before the next ones are looked at.
const TASKS: i64 = 50;
/// Graphs that are marked at a time.
const GRAPHS: i64 = 10;
/// Pages of a SQLite file that are given back at a time, and how many must be free.
const PAGES: i64 = 200;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long ended things are kept; `None` for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events of the outbox, from when they happened, and notifications of them that did not arrive.
    /// The latest event always stays.
    pub events: Option<Duration>,
    /// Graphs with their tasks, attempts, evidence and merge entries, from their end.
    pub graphs: Option<Duration>,
    /// Reports of deploy runs, from their last change, and requests for approval, from their end.
    pub runs: Option<Duration>,
    /// Tokens, from when they were revoked or expired.
    pub tokens: Option<Duration>,
    /// Agents that left or are down, from their last heartbeat on.
    pub agents: Option<Duration>,
    /// The record of what people did, and checkpoints of runs' audit logs.
    pub actions: Option<Duration>,
    /// Idempotency keys, from their first use.
    pub requests: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: Some(30 * DAY),
            graphs: Some(90 * DAY),
            runs: Some(90 * DAY),
            tokens: Some(90 * DAY),
            agents: Some(DAY),
            actions: Some(365 * DAY),
            requests: Some(DAY),
        }
    }
}

/// What one batch was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Of which table; `pages` when a SQLite file gave space back.
    pub table: &'static str,
    /// How many.
    pub rows: u64,
}

/// Records whose age alone decides, and how to find out that there are some.
struct AgeRule {
    table: &'static str,
    any: &'static str,
    delete: &'static str,
}

const REQUESTS: AgeRule = AgeRule {
    table: "requests",
    any: "SELECT key FROM requests WHERE created_at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM requests WHERE key IN (SELECT key FROM requests \
        WHERE created_at < {now} - $1 ORDER BY created_at LIMIT $2 {lock free})",
};
/// The latest event stays whatever its age: ids go on from it, and a client that has read it has
/// missed nothing.
const EVENTS: AgeRule = AgeRule {
    table: "outbox",
    any: "SELECT id FROM (SELECT id, at FROM outbox ORDER BY id LIMIT 1) oldest \
        WHERE at < {now} - $1 AND id < (SELECT MAX(id) FROM outbox)",
    delete: "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $2) \
        AND at < {now} - $1 AND id < (SELECT MAX(id) FROM outbox)",
};
const RUNS: AgeRule = AgeRule {
    table: "runs",
    any: "SELECT id FROM runs WHERE updated_at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE updated_at < {now} - $1 \
        ORDER BY updated_at LIMIT $2 {lock free})",
};
const APPROVALS: AgeRule = AgeRule {
    table: "approvals",
    // Those about a task stay with it: without one, its start would need no approval.
    any: "SELECT id FROM approvals WHERE ended_at > 0 AND ended_at < {now} - $1 \
        AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = approvals.task_id) LIMIT 1",
    delete: "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE ended_at > 0 \
        AND ended_at < {now} - $1 AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = approvals.task_id) \
        ORDER BY ended_at LIMIT $2 {lock free})",
};
/// Notifications that did not arrive, because their receiver is configured no more or does not
/// answer. Their ids are in the order of their times, which are seconds.
const DELIVERIES: AgeRule = AgeRule {
    table: "notification_deliveries",
    any: "SELECT id FROM (SELECT id, at FROM notification_deliveries ORDER BY id LIMIT 1) oldest \
        WHERE at * 1000000 < {now} - $1",
    delete: "DELETE FROM notification_deliveries WHERE id IN (SELECT id \
        FROM notification_deliveries ORDER BY id LIMIT $2 {lock free}) \
        AND at * 1000000 < {now} - $1",
};
const FLAKES: AgeRule = AgeRule {
    table: "flakes",
    any: "SELECT test FROM flakes WHERE seen_at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM flakes WHERE (repository, test) IN (SELECT repository, test FROM flakes \
        WHERE seen_at < {now} - $1 ORDER BY seen_at LIMIT $2 {lock free})",
};
const CHECKPOINTS: AgeRule = AgeRule {
    table: "checkpoints",
    any: "SELECT run FROM checkpoints WHERE updated_at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM checkpoints WHERE run IN (SELECT run FROM checkpoints \
        WHERE updated_at < {now} - $1 ORDER BY updated_at LIMIT $2 {lock free})",
};
const ACTIONS: AgeRule = AgeRule {
    table: "operator_actions",
    any: "SELECT id FROM operator_actions WHERE at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM operator_actions WHERE id IN (SELECT id FROM operator_actions \
        WHERE at < {now} - $1 ORDER BY at LIMIT $2 {lock free})",
};
const TOKENS: AgeRule = AgeRule {
    table: "tokens",
    any: "SELECT id FROM tokens WHERE COALESCE(revoked_at, expires_at) < {now} - $1 LIMIT 1",
    delete: "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
        WHERE COALESCE(revoked_at, expires_at) < {now} - $1 LIMIT $2 {lock free})",
};
/// What the gates said of commits that no entry of a queue names any more, and that are no
/// branch's tip.
const GATE_RECORDS: AgeRule = AgeRule {
    table: "gate_records",
    any: "SELECT r.sha FROM gate_records r WHERE r.created_at < {now} - $1 \
        AND NOT EXISTS (SELECT 1 FROM merge_queue m WHERE m.staged = r.sha) \
        AND NOT EXISTS (SELECT 1 FROM merge_targets b WHERE b.project_id = r.project_id \
            AND b.target = r.target AND b.head = r.sha) LIMIT 1",
    delete: "DELETE FROM gate_records WHERE (project_id, target, sha) IN \
        (SELECT r.project_id, r.target, r.sha FROM gate_records r \
        WHERE r.created_at < {now} - $1 \
        AND NOT EXISTS (SELECT 1 FROM merge_queue m WHERE m.staged = r.sha) \
        AND NOT EXISTS (SELECT 1 FROM merge_targets b WHERE b.project_id = r.project_id \
            AND b.target = r.target AND b.head = r.sha) \
        ORDER BY r.created_at LIMIT $2 {lock free})",
};

/// Tips that passed the gates by themselves: asked about while they are tips.
const TIP_PASSES: AgeRule = AgeRule {
    table: "tip_passes",
    any: "SELECT sha FROM tip_passes WHERE created_at < {now} - $1 LIMIT 1",
    delete: "DELETE FROM tip_passes WHERE (project_id, target, sha, gates) IN \
        (SELECT project_id, target, sha, gates FROM tip_passes WHERE created_at < {now} - $1 \
        LIMIT $2 {lock free})",
};

/// What was taken back from a target, once every graph has begun after that: no work stands on it.
const MERGE_REWINDS: AgeRule = AgeRule {
    table: "merge_rewinds",
    any: "SELECT r.sha FROM merge_rewinds r WHERE r.created_at < {now} - $1 \
        AND NOT EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = r.project_id \
            AND g.purged = 0 AND g.created_at <= r.created_at) LIMIT 1",
    delete: "DELETE FROM merge_rewinds WHERE (project_id, target, sha) IN \
        (SELECT r.project_id, r.target, r.sha FROM merge_rewinds r \
        WHERE r.created_at < {now} - $1 \
        AND NOT EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = r.project_id \
            AND g.purged = 0 AND g.created_at <= r.created_at) \
        LIMIT $2 {lock free})",
};

/// Targets of graphs that are deleted: no entry was made for them, no graph goes there, and
/// nobody has looked at them.
const MERGE_TARGETS: &str = "SELECT t.project_id, t.target FROM merge_targets t \
    WHERE t.looked_at < {now} - $1 AND t.expires_at <= {now} \
    AND NOT EXISTS (SELECT 1 FROM merge_queue m WHERE m.project_id = t.project_id \
        AND m.target = t.target) \
    AND NOT EXISTS (SELECT 1 FROM graphs g WHERE g.project_id = t.project_id \
        AND g.target = t.target) LIMIT $2";

const FORGOTTEN: &str = "SELECT name FROM agents WHERE active = 1 \
    AND (down = 1 OR left_at IS NOT NULL) AND heartbeat_at < {now} - $1 LIMIT 1";

/// Graphs that ended long ago; nothing of them can run.
const OVER: &str = "SELECT id FROM graphs WHERE purged = 0 AND state <> 'running' \
    AND ended_at < {now} - $1 LIMIT 1";
const MARK: &str = "UPDATE graphs SET purged = 1 WHERE id IN (SELECT id FROM graphs \
    WHERE purged = 0 AND state <> 'running' AND ended_at < {now} - $1 \
    ORDER BY ended_at LIMIT $2 {lock free}) AND state <> 'running'";
const MARKED: &str = "SELECT id FROM graphs WHERE purged = 1 ORDER BY id LIMIT 1";

/// What belongs to some tasks, in the order in which it goes: 1 the tasks' ids, 2 how many rows.
const OF_TASKS: [(&str, i64, &str); 9] = [
    (
        "log_chunks",
        BODIES,
        "DELETE FROM log_chunks WHERE (log_id, place) IN (SELECT c.log_id, c.place \
            FROM log_chunks c JOIN logs l ON l.id = c.log_id WHERE l.task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "logs",
        ROWS,
        "DELETE FROM logs WHERE id IN (SELECT id FROM logs WHERE task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "evidence",
        BODIES,
        "DELETE FROM evidence WHERE id IN (SELECT id FROM evidence \
            WHERE task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "merge_consents",
        ROWS,
        "DELETE FROM merge_consents WHERE merge_id IN (SELECT c.merge_id FROM merge_consents c \
            JOIN merge_queue m ON m.id = c.merge_id WHERE m.task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "merge_queue",
        ROWS,
        "DELETE FROM merge_queue WHERE id IN (SELECT id FROM merge_queue \
            WHERE task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "attempts",
        ROWS,
        "DELETE FROM attempts WHERE (task_id, epoch) IN (SELECT task_id, epoch FROM attempts \
            WHERE task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "dependencies",
        ROWS,
        "DELETE FROM dependencies WHERE (task_id, needs_id) IN \
            (SELECT task_id, needs_id FROM dependencies WHERE task_id IN {ids $1} LIMIT $2)",
    ),
    (
        "dependencies",
        ROWS,
        "DELETE FROM dependencies WHERE (task_id, needs_id) IN \
            (SELECT task_id, needs_id FROM dependencies WHERE needs_id IN {ids $1} LIMIT $2)",
    ),
    (
        "conditions",
        ROWS,
        "DELETE FROM conditions WHERE id IN (SELECT id FROM conditions \
            WHERE task_id IN {ids $1} LIMIT $2)",
    ),
];

/// What belongs to a graph without tasks: 1 the graph, 2 how many rows.
const OF_GRAPH: [(&str, &str); 3] = [
    (
        "merge_approval_rules",
        "DELETE FROM merge_approval_rules WHERE (graph_id, task_id) IN (SELECT graph_id, task_id \
            FROM merge_approval_rules WHERE graph_id = $1 LIMIT $2)",
    ),
    (
        "progress_snapshots",
        "DELETE FROM progress_snapshots WHERE id IN (SELECT id FROM progress_snapshots \
            WHERE graph_id = $1 LIMIT $2)",
    ),
    ("epics", "DELETE FROM epics WHERE id IN (SELECT id FROM epics WHERE graph_id = $1 LIMIT $2)"),
];

impl TaskStore {
    /// Deletes the next few rows of what was kept for long enough; `None` when there is nothing
    /// more. Call it until then, with a pause between two calls.
    ///
    /// # Errors
    /// Those of the database; what was deleted before stays deleted.
    pub async fn purge(&self, keep: &Retention) -> Result<Option<Purged>, StoreError> {
        for (aged, after) in [
            (&REQUESTS, keep.requests),
            (&EVENTS, keep.events),
            (&DELIVERIES, keep.events),
            (&RUNS, keep.runs),
            (&APPROVALS, keep.runs),
            // Whatever is kept of other things: they are none any more.
            (&FLAKES, Some(QUIET)),
            (&TOKENS, keep.tokens),
            (&ACTIONS, keep.actions),
            (&CHECKPOINTS, keep.actions),
        ] {
            if let Some(purged) = self.purge_aged(aged, after).await? {
                return Ok(Some(purged));
            }
        }
        if let Some(purged) = self.forget_agents(keep.agents).await? {
            return Ok(Some(purged));
        }
        if let Some(purged) = self.purge_graphs(keep.graphs).await? {
            return Ok(Some(purged));
        }
        if let Some(purged) = self.purge_targets(keep.graphs).await? {
            return Ok(Some(purged));
        }
        for aged in [&GATE_RECORDS, &TIP_PASSES, &MERGE_REWINDS] {
            if let Some(purged) = self.purge_aged(aged, keep.graphs).await? {
                return Ok(Some(purged));
            }
        }
        self.shrink().await
    }

    async fn purge_aged(
        &self,
        aged: &'static AgeRule,
        after: Option<Duration>,
    ) -> Result<Option<Purged>, StoreError> {
        let Some(after) = after.map(micros) else { return Ok(None) };
        if self.reader().await?.tx().maybe(aged.any, args![after]).await?.is_none() {
            return Ok(None);
        }
        let rows = self
            .write(move |tx| Box::pin(async move { tx.run(aged.delete, args![after, ROWS]).await }))
            .await?;
        // Nothing when another hub was faster.
        Ok((rows > 0).then_some(Purged { table: aged.table, rows }))
    }

    async fn purge_targets(&self, after: Option<Duration>) -> Result<Option<Purged>, StoreError> {
        let Some(after) = after.map(micros) else { return Ok(None) };
        if self.reader().await?.tx().maybe(MERGE_TARGETS, args![after, 1]).await?.is_none() {
            return Ok(None);
        }
        let rows =
            self.write(move |tx| Box::pin(async move { some_targets(tx, after).await })).await?;
        Ok((rows > 0).then_some(Purged { table: "merge_targets", rows }))
    }

    async fn forget_agents(&self, after: Option<Duration>) -> Result<Option<Purged>, StoreError> {
        let Some(after) = after.map(micros) else { return Ok(None) };
        if self.reader().await?.tx().maybe(FORGOTTEN, args![after]).await?.is_none() {
            return Ok(None);
        }
        let names = self
            .write(move |tx| Box::pin(async move { super::agents::forget(tx, after, ROWS).await }))
            .await?;
        let rows = names.len() as u64;
        Ok((rows > 0).then_some(Purged { table: "agents", rows }))
    }

    async fn purge_graphs(&self, after: Option<Duration>) -> Result<Option<Purged>, StoreError> {
        if let Some(after) = after.map(micros)
            && self.reader().await?.tx().maybe(OVER, args![after]).await?.is_some()
        {
            let marked = self
                .write(move |tx| Box::pin(async move { tx.run(MARK, args![after, GRAPHS]).await }))
                .await?;
            if marked > 0 {
                return Ok(Some(Purged { table: "graphs", rows: marked }));
            }
        }
        // Whatever was begun is brought to its end, even when graphs are kept for ever by now.
        let graph = {
            let mut reader = self.reader().await?;
            match reader.tx().maybe(MARKED, args![]).await? {
                Some(row) => row.int("id")?,
                None => return Ok(None),
            }
        };
        let purged = self.write(move |tx| Box::pin(some_of(tx, graph))).await?;
        Ok(purged)
    }

    /// Gives free pages of a SQLite file back to the disk, where the file was made so that it
    /// can.
    async fn shrink(&self) -> Result<Option<Purged>, StoreError> {
        if self.dialect() != Dialect::Sqlite {
            return Ok(None);
        }
        let free = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let row = tx
                .one(
                    "SELECT f.freelist_count AS free, v.auto_vacuum AS mode \
                     FROM pragma_freelist_count f, pragma_auto_vacuum v",
                    args![],
                )
                .await?;
            if row.int("mode")? == 2 { row.int("free")? } else { 0 }
        };
        if free < PAGES {
            return Ok(None);
        }
        self.write(|tx| Box::pin(async move { tx.script("PRAGMA incremental_vacuum(200)").await }))
            .await?;
        Ok(Some(Purged { table: "pages", rows: PAGES.unsigned_abs() }))
    }
}

/// The next few targets that nothing is left of, each with its hold.
async fn some_targets(tx: &mut Tx<'_>, after: i64) -> Done<u64> {
    let mut gone = 0;
    // With its hold, a target is two rows.
    for row in tx.all(MERGE_TARGETS, args![after, ROWS / 2]).await? {
        let (project, target) = (row.int("project_id")?, row.text("target")?);
        tx.run(
            "DELETE FROM merge_holds WHERE project_id = $1 AND target = $2",
            args![project, &target],
        )
        .await?;
        gone += tx
            .run(
                "DELETE FROM merge_targets WHERE project_id = $1 AND target = $2 \
                 AND looked_at < {now} - $3 AND expires_at <= {now}",
                args![project, &target, after],
            )
            .await?;
    }
    Ok(gone)
}

/// The next few rows of a graph that is marked.
async fn some_of(tx: &mut Tx<'_>, graph: i64) -> Done<Option<Purged>> {
    let rows = tx
        .all(
            "SELECT id FROM tasks WHERE graph_id = $1 ORDER BY position LIMIT $2",
            args![graph, TASKS],
        )
        .await?;
    let tasks = rows.iter().map(|row| row.int("id")).collect::<Result<Vec<_>, _>>()?;
    if !tasks.is_empty() {
        for (table, most, delete) in OF_TASKS {
            let rows = tx.run(delete, args![tasks.as_slice(), most]).await?;
            if rows > 0 {
                return Ok(Some(Purged { table, rows }));
            }
        }
        let rows =
            tx.run("DELETE FROM tasks WHERE id IN {ids $1}", args![tasks.as_slice()]).await?;
        return Ok((rows > 0).then_some(Purged { table: "tasks", rows }));
    }
    for (table, delete) in OF_GRAPH {
        let rows = tx.run(delete, args![graph, ROWS]).await?;
        if rows > 0 {
            return Ok(Some(Purged { table, rows }));
        }
    }
    let rows = tx.run("DELETE FROM graphs WHERE id = $1 AND purged = 1", args![graph]).await?;
    Ok((rows > 0).then_some(Purged { table: "graphs", rows }))
}
