//! Agents: heard of, told to take no more work, shown.

use std::sync::Arc;
use std::time::Duration;

use super::connect::TaskStore;
use super::error::StoreError;
use super::records::{AttemptView, Moment, Page, PageRequest, micros, moment, opt_moment};
use super::requests::{fingerprint, remember, replayed};
use super::statement::{Record, args, list};
use super::tasks::attempt;
use super::tx::{Done, NewEvent, Tx};
use greenloop_model::task::{AttemptState, TaskEventKind, TaskId};

/// An agent says that it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentHeartbeat {
    /// Its name.
    pub name: String,
    /// A UUID of this start of it.
    pub instance: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Of greenloop.
    pub version: String,
    /// Of the machine, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Of the agent and what it started.
    pub memory_bytes: Option<u64>,
    /// It finishes what it has and takes no more.
    pub draining: bool,
    /// Why it claims nothing until its self-check passes; `None` when it is fit to work.
    pub quarantine: Option<String>,
    /// From one heartbeat to the next, as the agent sends them; `None` for the hub's own period.
    pub period: Option<Duration>,
    /// Repositories that it cannot reach now: it claims nothing in them.
    pub unreachable: Vec<String>,
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentHealth {
    /// It waits for work.
    Idle,
    /// It has a task.
    Working,
    /// It finishes what it has and takes no more.
    Draining,
    /// A heartbeat is overdue.
    Stale,
    /// Three heartbeats are overdue.
    Down,
    /// A person told it to take no more work.
    Inactive,
    /// Its self-check failed: it claims nothing until it passes.
    Quarantined,
    /// It stopped by itself.
    Left,
}

impl AgentHealth {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Idle,
        Self::Working,
        Self::Draining,
        Self::Stale,
        Self::Down,
        Self::Inactive,
        Self::Quarantined,
        Self::Left,
    ];

    /// The name on the wire and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Draining => "draining",
            Self::Stale => "stale",
            Self::Down => "down",
            Self::Inactive => "inactive",
            Self::Quarantined => "quarantined",
            Self::Left => "left",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }
}

/// An agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Which start of it was heard of last.
    pub instance: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Of greenloop.
    pub version: String,
    /// Of the machine, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Of the agent and what it started.
    pub memory_bytes: Option<u64>,
    /// What it does.
    pub health: AgentHealth,
    /// Why it claims nothing until its self-check passes.
    pub quarantine: Option<String>,
    /// Since when.
    pub quarantined_at: Option<Moment>,
    /// What it works on; the latest when it has several.
    pub task: Option<TaskId>,
    /// How far that is.
    pub percent: Option<u8>,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed or were lost.
    pub failed: u64,
    /// All time spent on attempts.
    pub busy: Duration,
    /// First heard of.
    pub first_seen_at: Moment,
    /// Last heard of.
    pub heartbeat_at: Moment,
}

/// Which attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Of this agent.
    pub agent: Option<String>,
    /// At this task.
    pub task: Option<TaskId>,
    /// In this state.
    pub state: Option<AttemptState>,
}

impl TaskStore {
    /// Notes that an agent is there; it is made known when it is new. Whether it may have work:
    /// `false` once a person has told it to take no more.
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
        let period = beat.period.map_or(own, |period| period.max(own));
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
    ) -> Result<AgentView, StoreError> {
        self.set_active(name, false, key).await
    }

    /// Lets an agent have work again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn activate_agent(
        &self,
        name: &str,
        key: Option<&str>,
    ) -> Result<AgentView, StoreError> {
        self.set_active(name, true, key).await
    }

    /// An agent stops by itself: it is not expected to be heard of any more. Nothing happens when
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
    ) -> Result<AgentView, StoreError> {
        let print = fingerprint("agent", &(name, active));
        let asked = Arc::new((name.to_owned(), key.map(str::to_owned), print));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (name, key, print) = &*asked;
                if replayed::<()>(tx, key.as_deref(), print).await?.is_some() {
                    return Ok(());
                }
                let changed = tx
                    .run("UPDATE agents SET active = $2 WHERE name = $1", args![name, active])
                    .await?;
                if changed == 0 {
                    return Err(StoreError::not_found(format_args!("agent {name}")).into());
                }
                let kind =
                    if active { TaskEventKind::AgentUp } else { TaskEventKind::AgentDeactivated };
                tx.tell(NewEvent::new(kind).agent(name));
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
    pub async fn agent(&self, name: &str) -> Result<AgentView, StoreError> {
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
    pub async fn agents(&self) -> Result<Vec<AgentView>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all("SELECT * FROM agent_status ORDER BY name", args![]).await?;
        rows.iter().map(view).collect()
    }

    /// Attempts of all tasks, latest first: who had what.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn assignments(
        &self,
        filter: &AttemptFilter,
        page: PageRequest,
    ) -> Result<Page<AttemptView>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let asked = args![
                page.cursor.unwrap_or(i64::MAX),
                &filter.agent,
                filter.task.map(|it| it.0),
                filter.state.map(AttemptState::name),
                page.limit() + 1,
            ];
            let rows = tx
                .all(
                    "SELECT * FROM attempts WHERE id < $1 AND ($2 IS NULL OR agent = $2) \
                         AND ($3 IS NULL OR task_id = $3) AND ($4 IS NULL OR state = $4) \
                         ORDER BY id DESC LIMIT $5",
                    asked,
                )
                .await?;
            rows.iter()
                .map(|row| Ok((row.int("id")?, attempt(row)?)))
                .collect::<Result<Vec<_>, StoreError>>()?
        };
        let page = page.cut(found, |(id, _)| *id);
        Ok(Page { items: page.items.into_iter().map(|(_, it)| it).collect(), next: page.next })
    }
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
            "SELECT down, instance, quarantined_at, left_at FROM agents WHERE name = $1",
            args![&beat.name],
        )
        .await?;
    let (mut news, mut quarantined) = (true, false);
    if let Some(row) = &before {
        let same = row.text("instance")? == beat.instance && row.opt_int("left_at")?.is_none();
        quarantined = same && row.opt_int("quarantined_at")?.is_some();
        news = !same || row.flag("down")? || quarantined && beat.quarantine.is_none();
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
             memory_bytes = excluded.memory_bytes, draining = excluded.draining, down = 0, \
             beat_us = excluded.beat_us, heartbeat_at = excluded.heartbeat_at, \
             quarantine = excluded.quarantine, quarantined_at = CASE \
                WHEN excluded.quarantine IS NULL THEN NULL \
                WHEN agents.instance = excluded.instance \
                    THEN COALESCE(agents.quarantined_at, excluded.quarantined_at) \
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
        tx.run(FIGURES, args![&beat.name]).await?;
    }
    if news {
        tx.tell(NewEvent::new(TaskEventKind::AgentUp).agent(&beat.name));
    }
    if let Some(reason) = beat.quarantine.as_ref().filter(|_| !quarantined) {
        tx.tell(NewEvent::new(TaskEventKind::AgentQuarantined).agent(&beat.name).text(reason));
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
        tx.tell(NewEvent::new(TaskEventKind::AgentQuarantined).agent(name).text(reason));
    }
    Ok(())
}

async fn leave(tx: &mut Tx<'_>, name: &str, instance: &str) -> Done<()> {
    let changed = tx
        .run(
            "UPDATE agents SET left_at = {now}, draining = 0, down = 0, quarantine = NULL, \
             quarantined_at = NULL WHERE name = $1 AND instance = $2 AND left_at IS NULL",
            args![name, instance],
        )
        .await?;
    if changed > 0 {
        tx.tell(NewEvent::new(TaskEventKind::AgentLeft).agent(name));
    }
    Ok(())
}

async fn removal(tx: &mut Tx<'_>, name: &str) -> Done<()> {
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
            "SELECT task_id FROM attempts WHERE agent = $1 AND state = 'running' LIMIT 1",
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
            "agent {name} is alive and would come back with its next heartbeat: stop it first, \
             or deactivate it"
        ))
        .into());
    }
    tx.run("DELETE FROM agents WHERE name = $1", args![name]).await?;
    tx.tell(NewEvent::new(TaskEventKind::AgentRemoved).agent(name).text("removed by a person"));
    Ok(())
}

/// Forgets agents that left or are down and were last heard of so long ago, in microseconds. One
/// that a person deactivated stays, so that it is still deactivated when it comes back.
pub(super) async fn forget(tx: &mut Tx<'_>, after: i64, most: i64) -> Done<Vec<String>> {
    let rows = tx
        .all(
            "DELETE FROM agents WHERE name IN (SELECT a.name FROM agents a WHERE a.active = 1 \
             AND (a.down = 1 OR a.left_at IS NOT NULL) AND a.heartbeat_at < {now} - $1 \
             AND NOT EXISTS (SELECT 1 FROM attempts h WHERE h.agent = a.name \
                AND h.state = 'running') ORDER BY a.name LIMIT $2 {lock free}) RETURNING name",
            args![after, most],
        )
        .await?;
    let names = rows.iter().map(|row| row.text("name")).collect::<Result<Vec<_>, _>>()?;
    for name in &names {
        let event = NewEvent::new(TaskEventKind::AgentRemoved).agent(name);
        tx.tell(event.text("forgotten: not heard of for long"));
    }
    Ok(names)
}

fn view(row: &Record) -> Result<AgentView, StoreError> {
    Ok(AgentView {
        name: row.text("name")?,
        instance: row.text("instance")?,
        roles: row.list("roles")?,
        labels: row.list("labels")?,
        host: row.text("host")?,
        version: row.text("version")?,
        cpu_percent: row.opt_real("cpu_percent")?,
        memory_bytes: row.opt_int("memory_bytes")?.map(|it| it.max(0).cast_unsigned()),
        health: row.named("state", AgentHealth::from_name)?,
        quarantine: row.opt_text("quarantine")?,
        quarantined_at: opt_moment(row, "quarantined_at")?,
        task: row.opt_int("task_id")?.map(TaskId),
        percent: row.percent("percent")?,
        succeeded: row.count("succeeded")?,
        failed: row.count("failed")?,
        busy: Duration::from_micros(row.count("busy_us")?),
        first_seen_at: moment(row, "first_seen_at")?,
        heartbeat_at: moment(row, "heartbeat_at")?,
    })
}
