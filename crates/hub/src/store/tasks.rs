//! Tasks: shown, cancelled, tried again by a person.

use std::collections::BTreeMap;

use super::approvals::{PendingOf, may_start, settle};
use super::attempts::{count, set_ejected};
use super::columns::{small, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::finish::{revive, settle_graph};
use super::page::{Page, PageRequest};
use super::record::Record;
use super::requests::{fingerprint, remember, replayed};
use super::tx::{Done, NewEvent, Tx};
use super::value::{Column, args, columns};
use greenloop_hub_api::types::{Action, ConditionSubmission, Task, TaskSubmission};
use greenloop_model::task::{
    AttemptState, GraphId, Lease, MergeId, TaskEventKind, TaskId, TaskState,
};

const TASK: &str = "SELECT t.*, e.key AS epic_key, a.agent AS agent, a.percent AS percent \
    FROM tasks t LEFT JOIN epics e ON e.id = t.epic_id \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch WHERE t.id = $1";
const TASKS: &str = "SELECT t.*, e.key AS epic_key, a.agent AS agent, a.percent AS percent \
    FROM tasks t LEFT JOIN epics e ON e.id = t.epic_id \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch \
    WHERE t.id > $1 AND ($2 IS NULL OR t.graph_id = $2) AND ($3 IS NULL OR t.state = $3) \
    AND ($4 IS NULL OR e.key = $4) AND ($5 IS NULL OR t.role = $5) ORDER BY t.id LIMIT $6";
const READY: &str = "SELECT t.*, e.key AS epic_key, a.agent AS agent, a.percent AS percent \
    FROM task_queue q JOIN tasks t ON t.id = q.task_id LEFT JOIN epics e ON e.id = t.epic_id \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch \
    WHERE ($1 IS NULL OR q.graph_id = $1) AND q.not_before <= {now} \
    ORDER BY q.priority, q.rank DESC, q.task_id LIMIT $2";

/// Which tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this graph.
    pub graph: Option<GraphId>,
    /// In this state.
    pub state: Option<TaskState>,
    /// Of the epic with this key.
    pub epic: Option<String>,
    /// For this role.
    pub role: Option<String>,
}

impl TaskStore {
    /// Tasks in the order of their ids.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        page: PageRequest,
    ) -> Result<Page<Task>, StoreError> {
        let found = {
            let mut reader = self.reader().await?;
            let tx = &mut reader.tx();
            let asked = args![
                page.cursor.unwrap_or(0),
                filter.graph.map(|it| it.0),
                filter.state.map(TaskState::name),
                &filter.epic,
                &filter.role,
                page.limit() + 1,
            ];
            let rows = tx.all(TASKS, asked).await?;
            views(tx, rows).await?
        };
        Ok(page.cut(found, |task| task.id.0))
    }

    /// Tasks that can be claimed now, in the order in which they would be.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ready(&self, graph: Option<GraphId>, limit: u32) -> Result<Vec<Task>, StoreError> {
        let limit = PageRequest::first(limit).limit();
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all(READY, args![graph.map(|it| it.0), limit]).await?;
        Ok(views(tx, rows).await?)
    }

    /// One task.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn task(&self, id: TaskId) -> Result<Task, StoreError> {
        let mut reader = self.reader().await?;
        Ok(one(&mut reader.tx(), id).await?)
    }

    /// Cancels a task; an agent that works on it stops at its next heartbeat. Nothing happens
    /// to a task that is over.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while its commit is being pushed to the target.
    pub async fn cancel_task(&self, id: TaskId, key: Option<&str>) -> Result<Task, StoreError> {
        let key = key.map(str::to_owned);
        let print = fingerprint("cancel task", &id);
        self.write(move |tx| {
            let (key, print) = (key.clone(), print.clone());
            Box::pin(async move {
                if replayed::<()>(tx, key.as_deref(), &print).await?.is_some() {
                    return Ok(());
                }
                cancel_or_refuse(tx, id).await?;
                remember(tx, key.as_deref(), &print, &()).await
            })
        })
        .await?;
        self.task(id).await
    }

    /// A person wants a task that failed, is blocked or was cancelled to be tried again: all its
    /// attempts are there again, and its graph runs again. One whose start is to be approved still
    /// has to be.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a task in another state.
    pub async fn retry_task(&self, id: TaskId, key: Option<&str>) -> Result<Task, StoreError> {
        let key = key.map(str::to_owned);
        let print = fingerprint("retry task", &id);
        self.write(move |tx| {
            let (key, print) = (key.clone(), print.clone());
            Box::pin(async move {
                if replayed::<()>(tx, key.as_deref(), &print).await?.is_some() {
                    return Ok(());
                }
                retry(tx, id).await?;
                remember(tx, key.as_deref(), &print, &()).await
            })
        })
        .await?;
        self.task(id).await
    }
}

/// One task, as it is shown.
pub(super) async fn one(tx: &mut Tx<'_>, id: TaskId) -> Done<Task> {
    let rows = tx.all(TASK, args![id.0]).await?;
    let task = views(tx, rows).await?.pop();
    Ok(task.ok_or_else(|| StoreError::not_found(format_args!("task {id}")))?)
}

/// What cancelling a task came to.
pub(super) enum Cancelled {
    /// It is cancelled; its graph.
    OfGraph(GraphId),
    /// It was over before.
    WasOver,
    /// Nobody takes its commit back now: the target may have it already.
    BeingPushed,
}

/// Cancels one task, with what follows from it.
pub(super) async fn cancel_or_refuse(tx: &mut Tx<'_>, id: TaskId) -> Done<()> {
    match cancel(tx, id).await? {
        Cancelled::OfGraph(graph) => settle_graph(tx, graph).await,
        Cancelled::WasOver => Ok(()),
        Cancelled::BeingPushed => Err(StoreError::conflict(format!(
            "the commit of task {id} is being pushed to the target branch: wait until it is \
             merged or rejected"
        ))
        .into()),
    }
}

/// Cancels one task.
pub(super) async fn cancel(tx: &mut Tx<'_>, id: TaskId) -> Done<Cancelled> {
    let row = tx
        .maybe("SELECT graph_id, state, epoch FROM tasks WHERE id = $1 {lock end}", args![id.0])
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("task {id}")))?;
    let state = row.named("state", TaskState::from_name)?;
    let (graph, epoch) = (GraphId(row.int("graph_id")?), row.int("epoch")?);
    if state.is_final() {
        return Ok(Cancelled::WasOver);
    }
    if state == TaskState::Running {
        let attempt = tx
            .maybe(
                "UPDATE attempts SET state = 'cancelled', ended_at = {now} \
                 WHERE task_id = $1 AND epoch = $2 AND state = 'running' \
                 RETURNING agent, {now} - started_at AS worked",
                args![id.0, epoch],
            )
            .await?;
        if let Some(attempt) = attempt {
            count(tx, &attempt, AttemptState::Cancelled).await?;
        }
    }
    if state == TaskState::Merging {
        let entry = tx
            .maybe(
                "UPDATE merge_queue SET state = 'ejected', reason = 'the task was cancelled', \
                 updated_at = {now}, ended_at = {now} WHERE task_id = $1 AND epoch = $2 \
                 AND state IN ('queued', 'testing', 'waiting') AND landing IS NULL RETURNING id",
                args![id.0, epoch],
            )
            .await?;
        let Some(entry) = entry else { return Ok(Cancelled::BeingPushed) };
        let merge = MergeId(entry.int("id")?);
        settle(tx, PendingOf::Merge(merge), "the task was cancelled").await?;
        super::merges::wake_targets(tx, merge).await?;
        let event = NewEvent::new(TaskEventKind::MergeEjected).graph(graph).task(id).merge(merge);
        tx.emit(event.text("the task was cancelled"));
        set_ejected(tx, Lease { task: id, epoch }, true).await?;
    }
    tx.run(
        "UPDATE tasks SET state = 'cancelled', updated_at = {now}, ended_at = {now} \
         WHERE id = $1",
        args![id.0],
    )
    .await?;
    tx.emit(NewEvent::new(TaskEventKind::TaskCancelled).graph(graph).task(id));
    Ok(Cancelled::OfGraph(graph))
}

pub(super) async fn retry(tx: &mut Tx<'_>, id: TaskId) -> Done<()> {
    let row = tx
        .maybe(
            "UPDATE tasks SET state = CASE WHEN unmet = 0 THEN 'ready' ELSE 'waiting' END, \
             attempts = 0, deaths = 0, returns = 0, not_before = 0, ended_at = NULL, updated_at = {now} \
             WHERE id = $1 AND state IN ('failed', 'blocked', 'cancelled') \
             RETURNING graph_id, state",
            args![id.0],
        )
        .await?;
    let Some(row) = row else {
        let row = tx
            .maybe("SELECT state FROM tasks WHERE id = $1", args![id.0])
            .await?
            .ok_or_else(|| StoreError::not_found(format_args!("task {id}")))?;
        let state = row.text("state")?;
        return Err(StoreError::conflict(format!(
            "task {id} is {state}: only failed, blocked or cancelled tasks can be retried"
        ))
        .into());
    };
    let graph = GraphId(row.int("graph_id")?);
    super::conflicts::forgive(tx, id).await?;
    revive(tx, graph).await?;
    let starts = may_start(tx, id).await?;
    if hold_while_paused(tx, id).await? || !starts {
        return Ok(());
    }
    if row.text("state")? == "ready" {
        tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(id));
    } else {
        // What it needs may be over as well: then the graph ends again.
        settle_graph(tx, graph).await?;
    }
    Ok(())
}

/// A task that is open again waits for the end of its graph's pause, where there is one; whether
/// it does. The caller holds the graph's row.
pub(super) async fn hold_while_paused(tx: &mut Tx<'_>, id: TaskId) -> Done<bool> {
    let held = tx
        .run(
            "UPDATE tasks SET held = 1, unmet = unmet + 1, \
             state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END \
             WHERE id = $1 AND held = 0 AND EXISTS (SELECT 1 FROM graphs g \
             WHERE g.id = tasks.graph_id AND g.paused_at IS NOT NULL)",
            args![id.0],
        )
        .await?;
    Ok(held > 0)
}

/// Turns rows of the statements above into tasks, with their needs and conditions.
pub(super) async fn views(tx: &mut Tx<'_>, rows: Vec<Record>) -> Done<Vec<Task>> {
    let mut linked = Vec::new();
    for row in &rows {
        if row.int("links")? > 0 {
            linked.push(row.int("id")?);
        }
    }
    let mut needs: BTreeMap<i64, Vec<TaskId>> = BTreeMap::new();
    let mut conditions: BTreeMap<i64, Vec<ConditionSubmission>> = BTreeMap::new();
    if !linked.is_empty() {
        let found = tx
            .all(
                "SELECT task_id, needs_id FROM dependencies WHERE task_id IN {ids $1} \
                 ORDER BY task_id, needs_id",
                args![linked.as_slice()],
            )
            .await?;
        for row in found {
            let need = TaskId(row.int("needs_id")?);
            needs.entry(row.int("task_id")?).or_default().push(need);
        }
        let found = tx
            .all(
                "SELECT c.task_id, c.at_least, e.key FROM conditions c \
                 JOIN epics e ON e.id = c.epic_id WHERE c.task_id IN {ids $1} ORDER BY c.id",
                args![linked.as_slice()],
            )
            .await?;
        for row in found {
            conditions.entry(row.int("task_id")?).or_default().push(ConditionSubmission {
                epic: row.text("key")?,
                at_least: row.percent("at_least")?.unwrap_or(100),
            });
        }
    }
    let mut tasks = Vec::with_capacity(rows.len());
    for row in rows {
        let id = row.int("id")?;
        let needs = needs.remove(&id).unwrap_or_default();
        let conditions = conditions.remove(&id).unwrap_or_default();
        tasks.push(view(&row, needs, conditions)?);
    }
    Ok(tasks)
}

/// The columns of a task as it was handed in, but for what it names.
pub(super) fn columns(task: &TaskSubmission) -> Vec<Column> {
    let command = match &task.action {
        Action::Command(line) => Some(line.as_str()),
        Action::Agent => None,
    };
    let micros =
        |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    columns! {
        key: &task.key,
        title: &task.title,
        description: &task.description,
        role: &task.role,
        labels: task.labels.as_slice(),
        priority: task.priority,
        hours: task.hours,
        branch: &task.branch,
        files: task.files.as_slice(),
        command: command,
        timeout_us: task.timeout_seconds.map(micros),
        max_attempts: i64::from(task.max_attempts),
    }
}

fn view(
    row: &Record,
    needs: Vec<TaskId>,
    conditions: Vec<ConditionSubmission>,
) -> Result<Task, StoreError> {
    let timeout = row.opt_int("timeout_us")?;
    Ok(Task {
        id: TaskId(row.int("id")?),
        graph: GraphId(row.int("graph_id")?),
        key: row.text("key")?,
        title: row.text("title")?,
        description: row.text("description")?,
        epic: row.opt_text("epic_key")?,
        role: row.opt_text("role")?,
        labels: row.list("labels")?,
        priority: row.int("priority")?,
        rank_hours: row.real("rank")?,
        hours: row.real("hours")?,
        branch: row.opt_text("branch")?,
        files: row.list("files")?,
        needs,
        conditions,
        action: row.opt_text("command")?.map_or(Action::Agent, Action::Command),
        timeout_seconds: timeout.map(|it| it.max(0).cast_unsigned().div_ceil(1_000_000)),
        state: row.named("state", TaskState::from_name)?,
        reason: row.opt_text("reason")?,
        epoch: row.int("epoch")?,
        attempts: small(row, "attempts")?,
        max_attempts: small(row, "max_attempts")?,
        percent: row.percent("percent")?.unwrap_or(0),
        agent: row.opt_text("agent")?,
        assigned: row.opt_text("assigned")?,
        excluded: row.list("excluded")?,
        commit: row.opt_text("commit_sha")?,
        updated_at: time(row, "updated_at")?,
    })
}
