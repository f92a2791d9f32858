//! Actions on one task.

use serde_json::{Value as Json, json};

use super::{Change, Operator};
use crate::store::approvals::digest;
use crate::store::conflicts::{release_redos, solved, wait_no_more};
use crate::store::done_task::done_task;
use crate::store::epics::{Destination, enqueue};
use crate::store::error::StoreError;
use crate::store::finish::{release, revive};
use crate::store::record::Record;
use crate::store::tasks::{cancel_or_refuse, retry as try_again};
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::{args, list};
use greenloop_hub_api::types::{Resolution, TaskEdit};
use greenloop_model::task::{GraphId, Lease, TaskEventKind, TaskId, TaskState};

/// Bytes of a text that a record keeps.
const KEPT: usize = 2_000;

/// A task as records show it.
struct Shown {
    graph: GraphId,
    state: TaskState,
    epoch: i64,
    agent: Option<String>,
    record: Json,
}

async fn shown(tx: &mut Tx<'_>, id: TaskId) -> Done<Shown> {
    let row = tx
        .maybe(
            "SELECT t.*, a.agent FROM tasks t LEFT JOIN attempts a ON a.task_id = t.id \
             AND a.epoch = t.epoch AND a.state = 'running' WHERE t.id = $1",
            args![id.0],
        )
        .await?
        .ok_or_else(|| StoreError::not_found(format_args!("task {id}")))?;
    Ok(of_row(&row)?)
}

/// A task as records show it now.
pub(super) async fn record(tx: &mut Tx<'_>, id: TaskId) -> Done<Json> {
    Ok(shown(tx, id).await?.record)
}

fn of_row(row: &Record) -> Result<Shown, StoreError> {
    let text = |column: &str| -> Result<Json, StoreError> {
        Ok(row.opt_text(column)?.map_or(Json::Null, |text| cut(&text).into()))
    };
    Ok(Shown {
        graph: GraphId(row.int("graph_id")?),
        state: row.named("state", TaskState::from_name)?,
        epoch: row.int("epoch")?,
        agent: row.opt_text("agent")?,
        record: json!({
            "state": row.text("state")?,
            "reason": text("reason")?,
            "title": text("title")?,
            "description": text("description")?,
            "command": text("command")?,
            "files": row.list("files")?,
            "priority": row.int("priority")?,
            "attempts": row.int("attempts")?,
            "max_attempts": row.int("max_attempts")?,
            "assigned": row.opt_text("assigned")?,
            "excluded": row.list("excluded")?,
            "commit": row.opt_text("commit_sha")?,
        }),
    })
}

/// A longer text is still told from another by its digest.
fn cut(text: &str) -> String {
    if text.len() <= KEPT {
        return text.to_owned();
    }
    let end = (0..=KEPT).rev().find(|at| text.is_char_boundary(*at));
    let kept = text.get(..end.unwrap_or(0)).unwrap_or_default();
    format!("{kept}… ({} bytes, {})", text.len(), digest(&text))
}

async fn changed(tx: &mut Tx<'_>, id: TaskId, before: Shown, merge: Option<i64>) -> Done<Change> {
    let after = shown(tx, id).await?;
    Ok(Change {
        graph: Some(before.graph),
        task: Some(id),
        merge: merge.map(greenloop_model::task::MergeId),
        before: before.record,
        after: after.record,
        ..Change::default()
    })
}

/// Why something cannot be done to a task as it is.
fn refused(id: TaskId, shown: &Shown, what: &str, instead: &str) -> StoreError {
    let state = shown.state.name();
    let by = match (&shown.agent, shown.state) {
        (Some(agent), TaskState::Running) => format!(" (attempt {} by {agent})", shown.epoch),
        _no_attempt => String::new(),
    };
    StoreError::conflict(format!("task {id} is {state}{by} and cannot be {what}: {instead}"))
}

pub(super) async fn retry(tx: &mut Tx<'_>, id: TaskId, dependants: bool) -> Done<Change> {
    let before = shown(tx, id).await?;
    try_again(tx, id).await?;
    if dependants {
        let later = tx
            .all(
                "WITH RECURSIVE later (id) AS (SELECT task_id FROM dependencies \
                 WHERE needs_id = $1 UNION SELECT d.task_id FROM dependencies d \
                 JOIN later l ON d.needs_id = l.id) SELECT t.id FROM tasks t \
                 JOIN later l ON l.id = t.id \
                 WHERE t.state IN ('failed', 'blocked', 'cancelled') \
                 AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id \
                 AND a.task_id > 0 AND a.state = 'pending') ORDER BY t.id",
                args![id.0],
            )
            .await?;
        for row in later {
            try_again(tx, TaskId(row.int("id")?)).await?;
        }
    }
    changed(tx, id, before, None).await
}

pub(super) async fn cancel(tx: &mut Tx<'_>, id: TaskId) -> Done<Change> {
    let before = shown(tx, id).await?;
    cancel_or_refuse(tx, id).await?;
    changed(tx, id, before, None).await
}

pub(super) async fn edit(tx: &mut Tx<'_>, id: TaskId, edit: &TaskEdit) -> Done<Change> {
    let TaskEdit { reason: _, title, description, command, files, priority, max_attempts } = edit;
    let before = shown(tx, id).await?;
    if command.is_some() && before.record["command"].is_null() {
        return Err(StoreError::invalid(format!(
            "task {id} is for an agent and has no command: change its description"
        ))
        .into());
    }
    let text = title.is_some() || description.is_some() || command.is_some() || files.is_some();
    // With the state in the statement: a claim in between is one that has read the old text.
    let written = tx
        .run(
            "UPDATE tasks SET title = COALESCE($2, title), \
             description = COALESCE($3, description), command = COALESCE($4, command), \
             files = COALESCE($5, files), priority = COALESCE($6, priority), \
             max_attempts = COALESCE($7, max_attempts), updated_at = {now} WHERE id = $1 \
             AND state <> 'done' AND ($8 = 0 OR state NOT IN ('running', 'merging'))",
            args![
                id.0,
                title,
                description,
                command,
                files.as_deref().map(list),
                *priority,
                max_attempts.map(i64::from),
                text,
            ],
        )
        .await?;
    if written == 0 {
        let now = shown(tx, id).await?;
        let instead = "wait until it has ended, or cancel it and try it again";
        return Err(refused(id, &now, "changed", instead).into());
    }
    changed(tx, id, before, None).await
}

pub(super) async fn assign(
    tx: &mut Tx<'_>,
    id: TaskId,
    agent: Option<&str>,
    exclude: &[String],
) -> Done<Change> {
    let before = shown(tx, id).await?;
    if let Some(agent) = agent {
        if exclude.iter().any(|it| it == agent) {
            let text = format!("{agent} is to do task {id} and may not do it");
            return Err(StoreError::invalid(text).into());
        }
        let known = tx.maybe("SELECT name FROM agents WHERE name = $1", args![agent]).await?;
        known.ok_or_else(|| StoreError::not_found(format_args!("agent {agent}")))?;
    }
    let written = tx
        .run(
            "UPDATE tasks SET assigned = $2, excluded = $3, updated_at = {now} WHERE id = $1 \
             AND state NOT IN ('done', 'cancelled')",
            args![id.0, agent, exclude],
        )
        .await?;
    if written == 0 {
        let now = shown(tx, id).await?;
        return Err(refused(id, &now, "assigned", "try it again first").into());
    }
    changed(tx, id, before, None).await
}

pub(super) async fn take_over(tx: &mut Tx<'_>, id: TaskId, operator: &Operator) -> Done<Change> {
    let before = shown(tx, id).await?;
    let why = match operator.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let reason = format!("taken over by {}{why}", operator.name);
    wait_no_more(tx, id).await?;
    let written = tx
        .run(
            "UPDATE tasks SET state = 'blocked', reason = $2, ended_at = NULL, \
             updated_at = {now} WHERE id = (SELECT id FROM tasks WHERE id = $1 \
             AND state IN ('waiting', 'ready', 'blocked', 'failed') {lock end}) \
             AND state IN ('waiting', 'ready', 'blocked', 'failed')",
            args![id.0, &reason],
        )
        .await?;
    if written == 0 {
        let now = shown(tx, id).await?;
        let instead = "cancel it, or throw it out of the merge queue, first";
        return Err(refused(id, &now, "taken over", instead).into());
    }
    if before.state == TaskState::Failed {
        revive(tx, before.graph).await?;
    }
    let change = changed(tx, id, before, None).await?;
    if change.before != change.after {
        // No worker can have this name: it has a space.
        let agent = format!("operator {}", operator.name);
        let event = NewEvent::new(TaskEventKind::TaskBlocked).task(id).agent(agent).text(reason);
        tx.emit(change.graph.into_iter().fold(event, NewEvent::graph));
    }
    Ok(change)
}

pub(super) async fn resolve(
    tx: &mut Tx<'_>,
    id: TaskId,
    resolution: &Resolution,
    operator: &Operator,
) -> Done<Change> {
    let before = shown(tx, id).await?;
    wait_no_more(tx, id).await?;
    let state = if resolution.branch.is_some() { TaskState::Merging } else { TaskState::Done };
    let row = tx
        .maybe(
            "UPDATE tasks SET state = $2, commit_sha = $3, epoch = epoch + 1, reason = NULL, \
             updated_at = {now}, ended_at = CASE WHEN $2 = 'done' THEN {now} ELSE NULL END \
             WHERE id = (SELECT id FROM tasks WHERE id = $1 AND unmet - held = 0 \
             AND state IN ('waiting', 'ready', 'blocked', 'failed') {lock end}) \
             AND unmet - held = 0 AND state IN ('waiting', 'ready', 'blocked', 'failed') \
             RETURNING id, graph_id, epic_id, position, hours, dependants, epoch",
            args![id.0, state.name(), &resolution.commit],
        )
        .await?;
    let Some(row) = row else {
        let now = shown(tx, id).await?;
        let instead = match now.state {
            TaskState::Waiting | TaskState::Blocked => "what it needs is not done yet",
            TaskState::Running | TaskState::Merging => "cancel it, or throw it out, first",
            TaskState::Ready | TaskState::Failed | TaskState::Done | TaskState::Cancelled => {
                "nothing of it is open"
            }
        };
        return Err(refused(id, &now, "resolved by hand", instead).into());
    };
    let lease = Lease { task: id, epoch: row.int("epoch")? };
    let agent = format!("operator {}", operator.name);
    tx.run(
        "INSERT INTO attempts (task_id, epoch, agent, instance, state, percent, commit_sha, \
         branch, message, lease_us, expires_at, progress_at, stuck, outcome, started_at, ended_at) \
         VALUES ($1, $2, $3, '', 'succeeded', 100, $4, $5, $6, 0, {now}, {now}, 0, $7, {now}, \
         {now})",
        args![
            lease.task.0,
            lease.epoch,
            &agent,
            &resolution.commit,
            &resolution.branch,
            &operator.reason,
            state.name(),
        ],
    )
    .await?;
    revive(tx, before.graph).await?;
    let place = tx
        .one(
            "SELECT g.project_id, COALESCE(e.branch, g.target) AS target FROM tasks t \
             JOIN graphs g ON g.id = t.graph_id LEFT JOIN epics e ON e.id = t.epic_id \
             WHERE t.id = $1",
            args![id.0],
        )
        .await?;
    let (project, target) = (place.int("project_id")?, place.text("target")?);
    let event = |kind| NewEvent::new(kind).graph(before.graph).lease(lease).agent(&agent);
    let merge = match &resolution.branch {
        Some(branch) => {
            let place = Destination { project, target, graph: before.graph };
            let work = (branch.as_str(), resolution.commit.as_str());
            let merge = enqueue(tx, &place, lease, work, Some(&operator.token)).await?;
            tx.emit(event(TaskEventKind::TaskMerging).merge(merge).text(&resolution.commit));
            Some(merge.0)
        }
        None => {
            tx.emit(event(TaskEventKind::TaskDone).text(&resolution.commit));
            solved(tx, id).await?;
            release_redos(tx, project, &target).await?;
            release(tx, &done_task(&row)?).await?;
            None
        }
    };
    changed(tx, id, before, merge).await
}
