//! Agents: their heartbeats, deactivation and figures.

use std::sync::Arc;
use std::time::Duration;

use super::columns::{micros, opt_time, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::record::Record;
use super::requests::{fingerprint, remember, replayed};
use super::tx::{Done, NewEvent, Tx};
use super::value::{args, list};
use greenloop_hub_api::types::{Agent, AgentHeartbeat, AgentProgress};
use greenloop_model::task::{AgentState, TaskEventKind, TaskId};

impl TaskStore {
    /// Notes that an agent is there; it is made known when it is new. Whether it may have work:
    /// `false` once a person has deactivated it.
    ///
    /// Needs no idempotency key: a second one does no harm.
    ///
    /// # Errors
    /// `Invalid` for one without a name.
    pub async fn agent_heartbeat(&self, beat: &AgentHeartbeat) -> Result<bool, StoreError> {
        if beat.name.is_empty() {
            return Err(StoreError::invalid("an agent needs a name"));
        }
        let own = self.options().heartbeat;
        let period = beat.period_seconds.map_or(own, |it| Duration::from_secs(it.into()).max(own));
        let asked = Arc::new((beat.clone(), micros(period)));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { heard_of(tx, &asked.0, asked.1).await })
        })
        .await
    }

    /// Tells an agent to take no more work. What it has, it finishes.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn deactivate_agent(
        &self,
        name: &str,
        key: Option<&str>,
    ) -> Result<Agent, StoreError> {
        self.set_active(name, false, key).await
    }

    /// Lets an agent have work again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn activate_agent(&self, name: &str, key: Option<&str>) -> Result<Agent, StoreError> {
        self.set_active(name, true, key).await
    }

    /// An agent stops by itself: no more heartbeats are expected. Nothing happens when
    /// another start of it has taken its place, or to one that is not known. What it still
    /// holds is taken back when the lease expires.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn agent_leaves(&self, name: &str, instance: &str) -> Result<(), StoreError> {
        let asked = Arc::new((name.to_owned(), instance.to_owned()));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { leave(tx, &asked.0, &asked.1).await })
        })
        .await
    }

    /// Removes an agent that left or is down. Its name can be used again; what it did stays.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for one that is alive, or holds a lease.
    pub async fn remove_agent(&self, name: &str) -> Result<(), StoreError> {
        let name = Arc::new(name.to_owned());
        self.write(move |tx| {
            let name = Arc::clone(&name);
            Box::pin(async move { removal(tx, &name).await })
        })
        .await
    }

    async fn set_active(
        &self,
        name: &str,
        active: bool,
        key: Option<&str>,
    ) -> Result<Agent, StoreError> {
        let print = fingerprint("agent", &(name, active));
        let asked = Arc::new((name.to_owned(), key.map(str::to_owned), print));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (name, key, print) = &*asked;
                if replayed::<()>(tx, key.as_deref(), print).await?.is_some() {
                    return Ok(());
                }
                activate(tx, name, active).await?;
                remember(tx, key.as_deref(), print, &()).await
            })
        })
        .await?;
        self.agent(name).await
    }

    /// One agent.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn agent(&self, name: &str) -> Result<Agent, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe("SELECT * FROM agent_status WHERE name = $1", args![name])
            .await?;
        row.as_ref()
            .map(view)
            .transpose()?
            .ok_or_else(|| StoreError::not_found(format_args!("agent {name}")))
    }

    /// All agents, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all("SELECT * FROM agent_status ORDER BY name", args![]).await?;
        rows.iter().map(view).collect()
    }

    /// How much each agent did, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn agents_progress(&self) -> Result<Vec<AgentProgress>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all("SELECT * FROM agent_status ORDER BY name", args![]).await?;
        rows.iter().map(progress).collect()
    }
}

/// Gives an agent work again, or no more.
pub(super) async fn activate(tx: &mut Tx<'_>, name: &str, active: bool) -> Done<()> {
    let changed =
        tx.run("UPDATE agents SET active = $2 WHERE name = $1", args![name, active]).await?;
    if changed == 0 {
        return Err(StoreError::not_found(format_args!("agent {name}")).into());
    }
    let kind = if active { TaskEventKind::AgentUp } else { TaskEventKind::AgentDeactivated };
    tx.emit(NewEvent::new(kind).agent(name));
    Ok(())
}

/// The figures of an agent, out of all of its attempts that are kept.
const FIGURES: &str = "UPDATE agents SET \
    succeeded = (SELECT COUNT(*) FROM attempts s WHERE s.agent = $1 AND s.state = 'succeeded'), \
    failed = (SELECT COUNT(*) FROM attempts f WHERE f.agent = $1 \
        AND f.state IN ('failed', 'lost')), \
    worked_us = (SELECT CAST(COALESCE(SUM(b.ended_at - b.started_at), 0) AS BIGINT) \
        FROM attempts b WHERE b.agent = $1 AND b.ended_at IS NOT NULL) WHERE name = $1";

async fn heard_of(tx: &mut Tx<'_>, beat: &AgentHeartbeat, beat_us: i64) -> Done<bool> {
    let before = tx
        .maybe(
            "SELECT down, instance, quarantined_at, left_at, barred FROM agents WHERE name = $1",
            args![&beat.name],
        )
        .await?;
    let (mut news, mut quarantined) = (true, false);
    if let Some(row) = &before {
        let same = row.text("instance")? == beat.instance && row.opt_int("left_at")?.is_none();
        quarantined = same && row.opt_int("quarantined_at")?.is_some();
        let passes = beat.quarantine.is_none() && row.opt_text("barred")?.is_none();
        news = !same || row.flag("down")? || quarantined && passes;
    }
    let memory = beat.memory_bytes.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
    let row = tx
        .one(
            "INSERT INTO agents (name, instance, roles, labels, host, version, cpu_percent, \
             memory_bytes, draining, active, down, beat_us, first_seen_at, heartbeat_at, \
             quarantine, quarantined_at, left_at, unreachable) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 0, $10, {now}, {now}, $11, \
             CASE WHEN $11 IS NULL THEN NULL ELSE {now} END, NULL, $12) \
             ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, \
             roles = excluded.roles, labels = excluded.labels, host = excluded.host, \
             version = excluded.version, cpu_percent = excluded.cpu_percent, \
             memory_bytes = excluded.memory_bytes, down = 0, \
             draining = CASE WHEN agents.instance = excluded.instance AND agents.drain = 1 \
                THEN 1 ELSE excluded.draining END, \
             drain = CASE WHEN agents.instance = excluded.instance THEN agents.drain ELSE 0 END, \
             beat_us = excluded.beat_us, heartbeat_at = excluded.heartbeat_at, \
             quarantine = COALESCE(excluded.quarantine, agents.barred), quarantined_at = CASE \
                WHEN excluded.quarantine IS NULL AND agents.barred IS NULL THEN NULL \
                WHEN agents.instance = excluded.instance OR excluded.quarantine IS NULL \
                    THEN COALESCE(agents.quarantined_at, excluded.heartbeat_at) \
                ELSE excluded.quarantined_at END, left_at = NULL, \
             unreachable = excluded.unreachable \
             RETURNING active",
            args![
                &beat.name,
                &beat.instance,
                list(&beat.roles),
                list(&beat.labels),
                &beat.host,
                &beat.version,
                beat.cpu_percent,
                memory,
                beat.draining,
                beat_us,
                &beat.quarantine,
                list(&beat.unreachable),
            ],
        )
        .await?;
    if before.is_none() {
        // Another agent of that name may have been removed.
        if super::claim::had_tasks(tx, &beat.name).await? {
            tx.run(FIGURES, args![&beat.name]).await?;
        }
    }
    if news {
        tx.emit(NewEvent::new(TaskEventKind::AgentUp).agent(&beat.name));
    }
    if let Some(reason) = beat.quarantine.as_ref().filter(|_| !quarantined) {
        tx.emit(NewEvent::new(TaskEventKind::AgentQuarantined).agent(&beat.name).text(reason));
    }
    Ok(row.flag("active")?)
}

/// Gives an agent no more work until it says that its self-check passes; only this start of it.
pub(super) async fn quarantine(
    tx: &mut Tx<'_>,
    name: &str,
    instance: &str,
    reason: &str,
) -> Done<()> {
    let before = tx
        .maybe(
            "SELECT quarantined_at FROM agents WHERE name = $1 AND instance = $2",
            args![name, instance],
        )
        .await?;
    let Some(before) = before else { return Ok(()) };
    tx.run(
        "UPDATE agents SET quarantine = $3, quarantined_at = COALESCE(quarantined_at, {now}) \
         WHERE name = $1 AND instance = $2",
        args![name, instance, reason],
    )
    .await?;
    if before.opt_int("quarantined_at")?.is_none() {
        tx.emit(NewEvent::new(TaskEventKind::AgentQuarantined).agent(name).text(reason));
    }
    Ok(())
}

async fn leave(tx: &mut Tx<'_>, name: &str, instance: &str) -> Done<()> {
    let changed = tx
        .run(
            "UPDATE agents SET left_at = {now}, draining = 0, drain = 0, down = 0, quarantine = NULL, \
             quarantined_at = NULL WHERE name = $1 AND instance = $2 AND left_at IS NULL",
            args![name, instance],
        )
        .await?;
    if changed > 0 {
        tx.emit(NewEvent::new(TaskEventKind::AgentLeft).agent(name));
    }
    Ok(())
}

pub(super) async fn removal(tx: &mut Tx<'_>, name: &str) -> Done<()> {
    let row = tx
        .maybe(
            "SELECT CASE WHEN left_at IS NULL AND down = 0 \
             AND heartbeat_at >= {now} - 3 * beat_us THEN 1 ELSE 0 END AS alive \
             FROM agents WHERE name = $1 {lock}",
            args![name],
        )
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("agent {name}")))?;
    let held = tx
        .maybe(
            "SELECT task_id FROM attempts WHERE agent = $1 AND state = 'running' \
             AND ended_at IS NULL LIMIT 1",
            args![name],
        )
        .await?;
    if let Some(held) = held {
        return Err(StoreError::conflict(format!(
            "agent {name} holds the lease of task {}: cancel the task, or wait until the lease \
             expires",
            held.int("task_id")?
        ))
        .into());
    }
    if row.flag("alive")? {
        return Err(StoreError::conflict(format!(
            "agent {name} is alive and would reappear with its next heartbeat: stop it first, or \
             deactivate it"
        ))
        .into());
    }
    tx.run("DELETE FROM agents WHERE name = $1", args![name]).await?;
    tx.emit(NewEvent::new(TaskEventKind::AgentRemoved).agent(name).text("removed by a person"));
    Ok(())
}

/// Deletes agents that left or are down and whose last heartbeat is so long ago, in microseconds. One
/// that a person deactivated stays, so that it is still deactivated when it comes back.
pub(super) async fn forget(tx: &mut Tx<'_>, after: i64, most: i64) -> Done<Vec<String>> {
    let rows = tx
        .all(
            "DELETE FROM agents WHERE name IN (SELECT a.name FROM agents a WHERE a.active = 1 \
             AND (a.down = 1 OR a.left_at IS NOT NULL) AND a.heartbeat_at < {now} - $1 \
             AND NOT EXISTS (SELECT 1 FROM attempts h WHERE h.agent = a.name \
                AND h.state = 'running' AND h.ended_at IS NULL) ORDER BY a.name LIMIT $2 {lock free}) RETURNING name",
            args![after, most],
        )
        .await?;
    let names = rows.iter().map(|row| row.text("name")).collect::<Result<Vec<_>, _>>()?;
    for name in &names {
        let event = NewEvent::new(TaskEventKind::AgentRemoved).agent(name);
        tx.emit(event.text("removed: it sent no heartbeat for too long"));
    }
    Ok(names)
}

fn view(row: &Record) -> Result<Agent, StoreError> {
    Ok(Agent {
        name: row.text("name")?,
        roles: row.list("roles")?,
        labels: row.list("labels")?,
        host: row.text("host")?,
        version: row.text("version")?,
        state: row.named("state", AgentState::from_name)?,
        quarantine: row.opt_text("quarantine")?,
        quarantined_since: opt_time(row, "quarantined_at")?,
        drain: row.flag("drain")?,
        task: row.opt_int("task_id")?.map(TaskId),
        percent: row.percent("percent")?,
        cpu_percent: row.opt_real("cpu_percent")?,
        memory_bytes: row.opt_int("memory_bytes")?.map(|it| it.max(0).cast_unsigned()),
        succeeded: row.count("succeeded")?,
        failed: row.count("failed")?,
        last_heartbeat: time(row, "heartbeat_at")?,
    })
}

fn progress(row: &Record) -> Result<AgentProgress, StoreError> {
    let busy = Duration::from_micros(row.count("busy_us")?);
    Ok(AgentProgress {
        name: row.text("name")?,
        state: row.named("state", AgentState::from_name)?,
        task: row.opt_int("task_id")?.map(TaskId),
        percent: row.percent("percent")?,
        succeeded: row.count("succeeded")?,
        failed: row.count("failed")?,
        busy_hours: busy.as_secs_f64() / 3600.0,
        first_seen: time(row, "first_seen_at")?,
    })
}
