//! What people are notified of: made out of events, once, and kept until it has arrived.
//!
//! # Guarantees
//! - Each event is looked at once, by one hub, in the transaction that keeps its deliveries.
//! - A delivery that was taken and not ended is due again after a while: it is sent at least once,
//!   with the same id.

use std::sync::Arc;
use std::time::Duration;

use super::approvals::of_event as approval_of;
use super::columns::micros;
use super::connect::TaskStore;
use super::error::StoreError;
use super::outbox::view as event;
use super::record::Record;
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::Event;
use greenloop_model::task::{GraphId, TaskEventKind, TaskId};
use greenloop_model::{ApprovalState, ApprovalSubject, NotificationKind};
use greenloop_notify::Notification;

/// Events that are looked at together.
const EVENTS: i64 = 500;
/// Deliveries that are taken together.
const TAKEN: i64 = 20;
/// How long a hub that took a delivery has for it.
const TRIED: Duration = Duration::from_secs(120);
/// The first pause after a delivery that did not arrive, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3600));
/// Failed tasks that a notification names.
const NAMED: i64 = 5;

/// A receiver, as far as the store has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFilter {
    /// The name in the configuration.
    pub name: String,
    /// What it wants to hear of.
    pub kinds: Vec<NotificationKind>,
}

/// A delivery that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The delivery's id in the store.
    pub id: i64,
    /// The receiver's name.
    pub sink: String,
    /// How often it was tried, this time included.
    pub tries: i64,
    pub notification: Notification,
}

impl TaskStore {
    /// Looks at the next events and keeps what has to be delivered; how many events there were.
    /// `address` is where people reach the dashboard, with a slash at its end. The first call
    /// begins with what happens after it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn collect_notifications(
        &self,
        sinks: &[SinkFilter],
        address: &str,
    ) -> Result<usize, StoreError> {
        // Moves what is committed into the outbox, where the database needs that.
        let latest = self.latest_event().await?;
        let asked = Arc::new((sinks.to_vec(), address.to_owned()));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { collect(tx, &asked.0, &asked.1, latest.0).await })
        })
        .await
    }

    /// Takes deliveries to these receivers that are due: nobody else tries them for a while.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn take_deliveries(&self, sinks: &[String]) -> Result<Vec<Delivery>, StoreError> {
        let due = "SELECT id FROM notification_deliveries WHERE not_before <= {now} \
            AND sink IN {in $1} LIMIT 1";
        if self.reader().await?.tx().maybe(due, args![sinks]).await?.is_none() {
            return Ok(Vec::new());
        }
        let sinks = Arc::new(sinks.to_vec());
        self.write(move |tx| {
            let sinks = Arc::clone(&sinks);
            Box::pin(async move {
                let rows = tx
                    .all(
                        "UPDATE notification_deliveries SET tries = tries + 1, \
                         not_before = {now} + $2 WHERE id IN (SELECT id \
                         FROM notification_deliveries WHERE not_before <= {now} \
                         AND sink IN {in $1} ORDER BY id LIMIT $3 {lock free}) RETURNING *",
                        args![sinks.as_slice(), micros(TRIED), TAKEN],
                    )
                    .await?;
                let mut found = rows.iter().map(delivery).collect::<Result<Vec<_>, _>>()?;
                found.sort_by_key(|it| it.id);
                Ok(found)
            })
        })
        .await
    }

    /// A delivery has arrived, or never will.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn end_delivery(&self, id: i64) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                tx.run("DELETE FROM notification_deliveries WHERE id = $1", args![id]).await?;
                Ok(())
            })
        })
        .await
    }

    /// A delivery did not arrive: it is due again after a pause, longer each time, or after what
    /// the receiver asked for.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn postpone_delivery(
        &self,
        id: i64,
        tries: i64,
        asked: Option<Duration>,
    ) -> Result<(), StoreError> {
        let doublings = u32::try_from(tries.clamp(1, 32) - 1).unwrap_or(0);
        let pause = PAUSES.0.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let pause = micros(pause.min(PAUSES.1).max(asked.unwrap_or_default().min(PAUSES.1)));
        self.write(move |tx| {
            Box::pin(async move {
                tx.run(
                    "UPDATE notification_deliveries SET not_before = {now} + $2 WHERE id = $1",
                    args![id, pause],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }
}

async fn collect(tx: &mut Tx<'_>, sinks: &[SinkFilter], address: &str, latest: i64) -> Done<usize> {
    tx.run(
        "INSERT INTO notification_cursor (id, after) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
        args![latest],
    )
    .await?;
    let after = tx
        .one("SELECT after FROM notification_cursor WHERE id = 1 {lock}", args![])
        .await?
        .int("after")?;
    if after >= latest {
        return Ok(0);
    }
    let rows = tx
        .all("SELECT * FROM outbox WHERE id > $1 ORDER BY id LIMIT $2", args![after, EVENTS])
        .await?;
    let mut last = after;
    for row in &rows {
        let event = event(row)?;
        last = event.id.0;
        let Some(notification) = notification(tx, &event, address).await? else { continue };
        for sink in sinks.iter().filter(|it| it.kinds.contains(&notification.kind)) {
            keep(tx, &sink.name, &notification).await?;
        }
    }
    tx.run("UPDATE notification_cursor SET after = $1 WHERE id = 1", args![last]).await?;
    Ok(rows.len())
}

async fn keep(tx: &mut Tx<'_>, sink: &str, notification: &Notification) -> Done<()> {
    let Notification { id, kind, at, title, text, link, facts } = notification;
    tx.run(
        "INSERT INTO notification_deliveries (sink, notification, kind, at, title, text, link, \
         facts, tries, not_before) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, {now}) \
         ON CONFLICT (sink, notification) DO NOTHING",
        args![sink, id, kind.name(), *at, title, text, link, serde_json::json!(facts).to_string(),],
    )
    .await?;
    Ok(())
}

fn delivery(row: &Record) -> Result<Delivery, StoreError> {
    let facts: Vec<(String, String)> = serde_json::from_str(&row.text("facts")?)
        .map_err(|_error| StoreError::corrupt("the facts of a notification are not understood"))?;
    Ok(Delivery {
        id: row.int("id")?,
        sink: row.text("sink")?,
        tries: row.int("tries")?,
        notification: Notification {
            id: row.text("notification")?,
            kind: row.named("kind", NotificationKind::from_name)?,
            at: row.int("at")?,
            title: row.text("title")?,
            text: row.text("text")?,
            link: row.opt_text("link")?,
            facts,
        },
    })
}

/// What people are told of an event, if anything.
async fn notification(tx: &mut Tx<'_>, event: &Event, address: &str) -> Done<Option<Notification>> {
    use TaskEventKind as Kind;
    let told = match (event.kind, event.graph, event.task) {
        (Kind::GraphDone, Some(graph), _) => {
            of_graph(tx, graph, NotificationKind::GraphDone).await?
        }
        (Kind::GraphFailed, Some(graph), _) => {
            of_graph(tx, graph, NotificationKind::GraphFailed).await?
        }
        (Kind::TaskBlocked, _, Some(task)) => of_blocked(tx, event, task).await?,
        (Kind::AgentDown, ..) => event.agent.as_ref().map(|agent| Told {
            kind: NotificationKind::WorkerLost,
            title: format!("Worker {agent} sends no heartbeats"),
            text: String::new(),
            page: "#/".to_owned(),
            facts: vec![("Worker".to_owned(), agent.clone())],
        }),
        (Kind::MergePaused, ..) => of_hold(tx, event).await?,
        (Kind::RunReported, ..) => of_run(tx, event).await?,
        (Kind::ApprovalWanted | Kind::ApprovalEnded, ..) => of_approval(tx, event).await?,
        _nothing_to_tell => None,
    };
    Ok(told.map(|Told { kind, title, text, page, facts }| Notification {
        id: format!("event-{}", event.id),
        kind,
        at: event.at.0.div_euclid(1_000_000),
        title,
        text,
        link: Some(format!("{address}{page}")),
        facts,
    }))
}

struct Told {
    kind: NotificationKind,
    title: String,
    text: String,
    /// On the dashboard.
    page: String,
    facts: Vec<(String, String)>,
}

fn fact(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

async fn of_graph(tx: &mut Tx<'_>, id: GraphId, kind: NotificationKind) -> Done<Option<Told>> {
    let row = tx
        .maybe(
            "SELECT g.name, p.name AS project, g.target, (SELECT COUNT(*) FROM tasks t \
             WHERE t.graph_id = g.id) AS tasks FROM graphs g \
             JOIN projects p ON p.id = g.project_id WHERE g.id = $1",
            args![id.0],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let done = kind == NotificationKind::GraphDone;
    let mut text = String::new();
    if !done {
        let failed = tx
            .all(
                "SELECT key, title, reason FROM tasks WHERE graph_id = $1 AND state = 'failed' \
                 ORDER BY ended_at, id LIMIT $2",
                args![id.0, NAMED],
            )
            .await?;
        for task in failed {
            let reason = task.opt_text("reason")?.unwrap_or_default();
            let reason = reason.lines().next().unwrap_or_default();
            text.push_str(&format!("{} {}: {reason}\n", task.text("key")?, task.text("title")?));
        }
    }
    let name = row.text("name")?;
    Ok(Some(Told {
        kind,
        title: format!("Graph {name} {}", if done { "is done" } else { "failed" }),
        text: text.trim_end().to_owned(),
        page: format!("#/graphs/{id}"),
        facts: vec![
            fact("Project", row.text("project")?),
            fact("Target", row.text("target")?),
            fact("Tasks", row.int("tasks")?),
        ],
    }))
}

/// A task waits for a person; one that a person took over does so because somebody knows.
async fn of_blocked(tx: &mut Tx<'_>, event: &Event, id: TaskId) -> Done<Option<Told>> {
    // No worker's name has a space: that of a person's action has.
    if event.agent.as_ref().is_some_and(|it| it.contains(' ')) {
        return Ok(None);
    }
    let row = tx
        .maybe(
            "SELECT t.key, t.title, t.reason, CASE WHEN EXISTS (SELECT 1 FROM merge_queue m \
             WHERE m.task_id = t.id AND m.epoch = t.epoch AND m.state = 'conflict') THEN 1 \
             ELSE 0 END AS conflict FROM tasks t WHERE t.id = $1",
            args![id.0],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (kind, what) = match row.flag("conflict")? {
        true => (NotificationKind::Conflict, "conflicts with its target"),
        false => (NotificationKind::ApprovalWanted, "waits for a person"),
    };
    Ok(Some(Told {
        kind,
        title: format!("Task {} {what}", row.text("key")?),
        text: event.text.clone().or(row.opt_text("reason")?).unwrap_or_default(),
        page: format!("#/tasks/{id}"),
        facts: vec![fact("Task", row.text("title")?)],
    }))
}

/// A queue goes on hold because of its target: not one that rests for another reason.
async fn of_hold(tx: &mut Tx<'_>, event: &Event) -> Done<Option<Told>> {
    let row = tx
        .maybe(
            "SELECT h.target, h.text, p.name AS project FROM merge_holds h \
             JOIN projects p ON p.id = h.project_id WHERE h.target || ': ' || h.text = $1 \
             ORDER BY h.created_at DESC LIMIT 1",
            args![&event.text],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let target = row.text("target")?;
    Ok(Some(Told {
        kind: NotificationKind::MainBroken,
        title: format!("Merges to {target} are on hold"),
        text: row.text("text")?,
        page: "#/".to_owned(),
        facts: vec![fact("Project", row.text("project")?)],
    }))
}

async fn of_run(tx: &mut Tx<'_>, event: &Event) -> Done<Option<Told>> {
    let row = tx
        .maybe(
            "SELECT id, environment, state, commit_sha, iterations, summary FROM runs \
             WHERE environment || ' ' || id || ': ' || state = $1",
            args![&event.text],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let kind = match (row.text("state")?.as_str(), row.int("iterations")?) {
        ("verified", ..=1) => NotificationKind::RunVerified,
        ("verified", _) => NotificationKind::RunHealed,
        ("restored", _) => NotificationKind::RunRolledBack,
        ("stopped", _) => NotificationKind::RunStopped,
        _goes_on => return Ok(None),
    };
    let (id, environment) = (row.text("id")?, row.text("environment")?);
    let mut facts = vec![fact("Environment", &environment), fact("Run", &id)];
    if let Some(commit) = row.opt_text("commit_sha")? {
        facts.push(fact("Commit", commit));
    }
    Ok(Some(Told {
        kind,
        title: run_title(kind, &environment),
        text: row.text("summary")?,
        page: format!("#/runs/{id}"),
        facts,
    }))
}

/// What waits for a decision, unless it was decided before anybody was notified; or the decision.
async fn of_approval(tx: &mut Tx<'_>, event: &Event) -> Done<Option<Told>> {
    let Some(id) = event.text.as_deref().and_then(approval_of) else { return Ok(None) };
    let row = tx
        .maybe(
            "SELECT a.subject, a.state, a.run, a.environment, a.commit_sha, a.request, \
             a.decided_by, a.reason, t.key, t.title FROM approvals a \
             LEFT JOIN tasks t ON t.id = a.task_id WHERE a.id = $1",
            args![id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = row.named("state", ApprovalState::from_name)?;
    let mut facts = Vec::new();
    let task = row.opt_text("key")?;
    if let Some(title) = row.opt_text("title")? {
        facts.push(fact("Task", title));
    }
    for (name, column) in [
        ("Environment", "environment"),
        ("Run", "run"),
        ("Commit", "commit_sha"),
        ("Decided by", "decided_by"),
    ] {
        let value = row.text(column)?;
        if !value.is_empty() {
            facts.push(fact(name, value));
        }
    }
    let subject = match row.named("subject", ApprovalSubject::from_name)? {
        ApprovalSubject::Patch => "a patch",
        ApprovalSubject::Rollout => "the rollout",
        ApprovalSubject::Proof => "patches without proof",
        ApprovalSubject::Task => "the start of a task",
        ApprovalSubject::Merge => "a merge",
    };
    let whose = match task {
        Some(key) => format!("task {key}"),
        None => row.text("environment")?,
    };
    let wanted = event.kind == TaskEventKind::ApprovalWanted;
    let outcome = match (wanted, state) {
        (true, ApprovalState::Pending) => "waits for a decision".to_owned(),
        (false, ApprovalState::Approved | ApprovalState::Rejected) => {
            format!("was {state} by {}", row.text("decided_by")?)
        }
        (false, ApprovalState::Expired) => "was not decided in time".to_owned(),
        // No action is needed, or the notification was sent.
        (true, _) | (false, ApprovalState::Pending | ApprovalState::Withdrawn) => return Ok(None),
    };
    let (request, reason) = (row.text("request")?, row.text("reason")?);
    let (kind, text) = match (wanted, reason.is_empty()) {
        (true, _) => (NotificationKind::ApprovalWanted, request),
        (false, true) => (NotificationKind::ApprovalDecided, request),
        (false, false) => (NotificationKind::ApprovalDecided, format!("{reason}\n\n{request}")),
    };
    let page = format!("#/approvals/{id}");
    Ok(Some(Told { kind, title: format!("{whose}: {subject} {outcome}"), text, page, facts }))
}

/// As the notifications of a run itself say it.
fn run_title(kind: NotificationKind, environment: &str) -> String {
    let what = greenloop_notify::run_end(kind);
    format!("{environment}: {what}")
}
