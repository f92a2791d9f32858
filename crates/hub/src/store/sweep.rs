//! What has to be looked at now and then: leases that expired, agents that fell silent, work
//! that does not move. Several hubs may do so at once: each step changes
//! only rows that are still as it found them.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::{AttemptEnd, count, lease_of, set_back};
use super::columns::micros;
use super::connect::{StoreOptions, TaskStore};
use super::dialect::Dialect;
use super::error::StoreError;
use super::tx::{Done, NewEvent, Tx, Woken};
use super::value::args;
use greenloop_model::task::{AttemptState, GraphId, Lease, TaskEventKind};

/// How many leases one sweep takes back at most; the next one goes on.
const LEASES: i64 = 500;
/// Tasks whose rest is over that one statement takes, and how many statements a sweep runs.
const RESTS: i64 = 500;
const REST_ROUNDS: usize = 10;

/// What a sweep does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepOptions {
    /// How long after its end a lease is still left to its holder. A hub that was away itself
    /// gives those who could not reach it a chance: their heartbeat extends the lease.
    pub grace: Duration,
    /// A running attempt that says nothing new for so long is reported as stuck.
    pub stuck_after: Duration,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self { grace: Duration::ZERO, stuck_after: Duration::from_secs(30 * 60) }
    }
}

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepResult {
    /// Attempts that were taken back.
    pub lost: Vec<Lease>,
    /// Agents that are down.
    pub down: Vec<String>,
    /// Attempts that do not move.
    pub stuck: Vec<Lease>,
}

impl TaskStore {
    /// One round. Run it every second or so, in each hub.
    ///
    /// # Errors
    /// Those of the database; what was done before stays done.
    pub async fn sweep(&self, options: &SweepOptions) -> Result<SweepResult, StoreError> {
        let options = *options;
        let mut swept =
            SweepResult { lost: self.take_back(options.grace).await?, ..SweepResult::default() };
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let silent = tx.maybe(SILENT, args![]).await?.is_some();
            let still = tx.maybe(STILL, args![micros(options.stuck_after)]).await?.is_some();
            let rested = tx.maybe(RESTED, args![]).await?.is_some();
            (silent, still, rested)
        };
        let (silent, still, rested) = found;
        if silent {
            swept.down = self.write(|tx| Box::pin(down(tx))).await?;
        }
        if still {
            let after = micros(options.stuck_after);
            swept.stuck = self.write(move |tx| Box::pin(stuck(tx, after))).await?;
        }
        if rested {
            self.write(|tx| Box::pin(end_rests(tx))).await?;
            // Nothing else says so.
            self.wake().wake(Woken { work: true, events: false });
        }
        self.sweep_conflicts().await?;
        self.sweep_approvals(options.grace).await?;
        if self.dialect() == Dialect::Postgres {
            self.collect_events().await?;
        }
        Ok(swept)
    }

    async fn take_back(&self, grace: Duration) -> Result<Vec<Lease>, StoreError> {
        let grace = micros(grace);
        let expired = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let rows = tx
                .all(
                    "SELECT task_id, epoch FROM attempts WHERE state = 'running' \
                         AND ended_at IS NULL AND expires_at < {now} - $1 ORDER BY expires_at LIMIT $2",
                    args![grace, LEASES],
                )
                .await?;
            rows.iter().map(lease_of).collect::<Result<Vec<_>, _>>()?
        };
        let options = Arc::new(self.options().clone());
        let mut lost = Vec::new();
        for lease in expired {
            let options = Arc::clone(&options);
            let taken = self
                .write(move |tx| {
                    let options = Arc::clone(&options);
                    Box::pin(async move { lose(tx, lease, grace, &options).await })
                })
                .await?;
            if taken {
                lost.push(lease);
            }
        }
        Ok(lost)
    }
}

const SILENT: &str = "SELECT name FROM agents WHERE down = 0 AND left_at IS NULL AND heartbeat_at < {now} - 3 * beat_us LIMIT 1";
const STILL: &str = "SELECT task_id FROM attempts WHERE state = 'running' AND stuck = 0 \
    AND ended_at IS NULL AND progress_at < {now} - $1 LIMIT 1";
const RESTED: &str = "SELECT task_id FROM task_queue WHERE not_before > 0 \
    AND not_before <= {now} LIMIT 1";

/// Takes a task back from an attempt whose lease expired, unless its holder was faster.
async fn lose(tx: &mut Tx<'_>, lease: Lease, grace: i64, options: &StoreOptions) -> Done<bool> {
    let current = tx
        .maybe(
            "SELECT id FROM tasks WHERE id = $1 AND epoch = $2 AND state = 'running' {lock end}",
            args![lease.task.0, lease.epoch],
        )
        .await?;
    if current.is_none() {
        return Ok(false);
    }
    let attempt = tx
        .maybe(
            "UPDATE attempts SET state = 'lost', ended_at = {now} WHERE task_id = $1 \
             AND epoch = $2 AND state = 'running' AND expires_at < {now} - $3 \
             RETURNING agent, {now} - started_at AS worked",
            args![lease.task.0, lease.epoch, grace],
        )
        .await?;
    let Some(attempt) = attempt else { return Ok(false) };
    count(tx, &attempt, AttemptState::Lost).await?;
    let agent = attempt.text("agent")?;
    let reason = format!("{agent} sent no heartbeat until its lease expired");
    let end = AttemptEnd {
        lease,
        agent: &agent,
        reason: &reason,
        retry: true,
        uncounted: false,
        fault: false,
        death: true,
        event: TaskEventKind::TaskLost,
    };
    set_back(tx, &end, options).await?;
    Ok(true)
}

/// Tasks whose rest is over stand with the others again; claims look at few of those that do not
/// yet.
async fn end_rests(tx: &mut Tx<'_>) -> Done<()> {
    for _ in 0..REST_ROUNDS {
        let ended = tx
            .run(
                "UPDATE tasks SET not_before = 0 WHERE id IN (SELECT t.id FROM task_queue q \
                 JOIN tasks t ON t.id = q.task_id AND t.state = 'ready' \
                 WHERE q.not_before > 0 AND q.not_before <= {now} \
                 ORDER BY q.not_before LIMIT $1 {lock free t})",
                args![RESTS],
            )
            .await?;
        if ended < RESTS.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

async fn down(tx: &mut Tx<'_>) -> Done<Vec<String>> {
    let rows = tx
        .all(
            "UPDATE agents SET down = 1 WHERE down = 0 AND left_at IS NULL \
             AND heartbeat_at < {now} - 3 * beat_us \
             RETURNING name",
            args![],
        )
        .await?;
    let mut names = rows.iter().map(|row| row.text("name")).collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    for name in &names {
        tx.emit(NewEvent::new(TaskEventKind::AgentDown).agent(name));
    }
    Ok(names)
}

async fn stuck(tx: &mut Tx<'_>, after: i64) -> Done<Vec<Lease>> {
    let rows = tx
        .all(
            "UPDATE attempts SET stuck = 1 WHERE state = 'running' AND stuck = 0 \
             AND ended_at IS NULL AND progress_at < {now} - $1 RETURNING task_id, epoch, agent, \
             (SELECT t.graph_id FROM tasks t WHERE t.id = attempts.task_id) AS graph_id",
            args![after],
        )
        .await?;
    let mut leases = Vec::new();
    for row in rows {
        let lease = lease_of(&row)?;
        let event = NewEvent::new(TaskEventKind::TaskStuck)
            .graph(GraphId(row.int("graph_id")?))
            .lease(lease)
            .agent(row.text("agent")?);
        tx.emit(event);
        leases.push(lease);
    }
    Ok(leases)
}
