//! Decisions on what waits for a person.

use serde_json::json;

use super::tasks::cancel;
use super::{Change, Operator, OperatorRules};
use crate::store::approvals::{ask_anew, ended, missing, some, start_request, start_scope};
use crate::store::error::StoreError;
use crate::store::merges;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_model::ApprovalState;
use greenloop_model::task::{GraphId, MergeId, TaskEventKind, TaskId};

/// A decision as a person takes it.
pub(super) struct Decision<'a> {
    pub(super) id: i64,
    /// What the person saw; a request with another scope is not decided.
    pub(super) scope: Option<&'a str>,
    pub(super) approve: bool,
}

/// Decides on a request that is pending.
pub(super) async fn decide(
    tx: &mut Tx<'_>,
    decision: &Decision<'_>,
    operator: &Operator,
    rules: &OperatorRules,
) -> Done<Change> {
    let Decision { id, scope, approve } = *decision;
    let row = tx
        .maybe(
            "SELECT state, scope, subject, run, commit_sha, new_tree, graph_id, task_id, \
             merge_id, CASE WHEN expires_at > 0 AND expires_at <= {now} THEN 1 ELSE 0 END AS late \
             FROM approvals WHERE id = $1 {lock}",
            args![id],
        )
        .await?
        .ok_or_else(|| missing(id))?;
    if scope.is_some_and(|seen| row.text("scope").is_ok_and(|scope| scope != seen)) {
        let text = format!("request for approval {id} is about something else: look at it again");
        return Err(StoreError::conflict(text).into());
    }
    let wanted = if approve { ApprovalState::Approved } else { ApprovalState::Rejected };
    let state = match (row.named("state", ApprovalState::from_name)?, row.flag("late")?) {
        (ApprovalState::Pending, true) => ApprovalState::Expired,
        (state, _) => state,
    };
    if state != ApprovalState::Pending && state != wanted {
        let text =
            format!("request for approval {id} is {state}: only one that is pending is decided");
        return Err(StoreError::conflict(text).into());
    }
    let own = approve && state == ApprovalState::Pending && is_own(tx, id, operator).await?;
    if own && !rules.self_approval {
        return Err(own_request(id, operator).into());
    }
    let decided = tx
        .maybe(
            "UPDATE approvals SET state = $2, ended_at = {now}, lost = 0, decided_by = $3, \
             decided_token = $4, reason = $5 WHERE id = $1 AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            args![id, wanted.name(), &operator.name, &operator.token, &operator.reason],
        )
        .await?;
    if let Some(row) = &decided {
        ended(tx, row)?;
        match (some(row, "merge_id")?, some(row, "task_id")?) {
            (Some(merge), _) => settle_merge(tx, MergeId(merge), approve, operator).await?,
            (None, Some(task)) => settle_task(tx, TaskId(task), approve, operator).await?,
            (None, None) => {}
        }
    }
    let record = |state: ApprovalState| json!({"approval": id, "state": state.name()});
    let mut change = Change {
        graph: some(&row, "graph_id")?.map(GraphId),
        task: some(&row, "task_id")?.map(TaskId),
        merge: some(&row, "merge_id")?.map(MergeId),
        before: record(state),
        after: record(wanted),
        ..Change::default()
    };
    if decided.is_some() {
        // What was decided on stands in the record, although it did not change.
        if let Some(before) = change.before.as_object_mut() {
            before.remove("approval");
        }
        change.after["subject"] = row.text("subject")?.into();
        change.after["scope"] = row.text("scope")?.into();
        if own {
            change.after["own_request"] = true.into();
        }
        for (name, column) in [("run", "run"), ("commit", "commit_sha"), ("tree", "new_tree")] {
            let value = row.text(column)?;
            if !value.is_empty() {
                change.after[name] = value.into();
            }
        }
    }
    Ok(change)
}

/// Whether a request is the operator's own: made or changed with the same token, at whatever time;
/// about the work of the agent that the token is bound to, or about work that was handed in with it.
async fn is_own(tx: &mut Tx<'_>, request: i64, operator: &Operator) -> Done<bool> {
    let asked = tx
        .maybe(
            "SELECT o.id FROM approvals o WHERE (o.id = $1 OR o.task_id > 0 \
             AND o.subject = 'task' AND o.task_id = (SELECT a.task_id FROM approvals a \
             WHERE a.id = $1 AND a.subject = 'task')) AND (o.token = $2 OR EXISTS (SELECT 1 \
             FROM approval_requesters r WHERE r.approval_id = o.id AND r.token = $2)) LIMIT 1",
            args![request, &operator.token],
        )
        .await?;
    if asked.is_some() {
        return Ok(true);
    }
    // The branch of an epic has the work of several.
    let part = tx
        .maybe(
            "SELECT p.id FROM approvals r JOIN merge_queue m ON m.id = r.merge_id \
             JOIN merge_queue p ON p.graph_id = m.graph_id \
             AND (p.id = m.id OR p.project_id = m.project_id AND p.target = m.branch \
             AND p.state = 'merged') JOIN attempts a ON a.task_id = p.task_id \
             AND a.epoch = p.epoch LEFT JOIN merge_consents c ON c.merge_id = p.id \
             WHERE r.id = $1 AND (c.token = $2 OR a.agent = $3) LIMIT 1",
            args![request, &operator.token, &operator.agent],
        )
        .await?;
    Ok(part.is_some())
}

fn own_request(id: i64, operator: &Operator) -> StoreError {
    StoreError::forbidden(format!(
        "request for approval {id} is about something that was requested or done with this token \
         ({}, {}): a person with another token has to approve it. Where one person works alone, \
         `greenloop hub serve --allow-self-approval` permits this, and records it",
        operator.token, operator.name
    ))
}

/// Refuses to start a task whose start its requester would thereby approve: the latest request
/// about it was not approved, and is the operator's own.
pub(super) async fn keep_apart(
    tx: &mut Tx<'_>,
    task: TaskId,
    operator: &Operator,
    rules: &OperatorRules,
) -> Done<()> {
    if rules.self_approval {
        return Ok(());
    }
    if let Some(latest) = start_request(tx, task).await?
        && latest.state != ApprovalState::Approved
        && is_own(tx, latest.id, operator).await?
    {
        return Err(own_request(latest.id, operator).into());
    }
    Ok(())
}

/// Whoever tries a task again that waits for its approval, or whose request was withdrawn, has
/// approved it, as it is now. One that was rejected is asked about again.
pub(super) async fn approve_start(tx: &mut Tx<'_>, task: TaskId, operator: &Operator) -> Done<()> {
    match start_request(tx, task).await? {
        Some(latest) if latest.state == ApprovalState::Pending => {}
        Some(latest) if latest.state == ApprovalState::Withdrawn => {
            ask_anew(tx, task, &latest.token).await?;
        }
        _no_request_or_decided => return Ok(()),
    }
    let rows = tx
        .all(
            "UPDATE approvals SET state = 'approved', ended_at = {now}, decided_by = $2, \
             decided_token = $3, reason = $4 WHERE task_id = $1 AND task_id > 0 \
             AND subject = 'task' AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            args![task.0, &operator.name, &operator.token, &operator.reason],
        )
        .await?;
    for row in &rows {
        ended(tx, row)?;
    }
    Ok(())
}

/// The text of a task was changed whose start is to be approved: no approval so far is for that. It
/// is blocked, and whoever decides is asked about what it is now, by whoever changed it; one that is
/// over, when it is tried again.
pub(super) async fn ask_again(tx: &mut Tx<'_>, task: TaskId, operator: &Operator) -> Done<()> {
    let Some(latest) = start_request(tx, task).await? else { return Ok(()) };
    if latest.scope == start_scope(tx, task).await? {
        return Ok(());
    }
    tx.run(
        "INSERT INTO approval_requesters (approval_id, token) VALUES ($1, $2) \
         ON CONFLICT (approval_id, token) DO NOTHING",
        args![latest.id, &operator.token],
    )
    .await?;
    let withdrawn = tx
        .maybe(
            "UPDATE approvals SET state = 'withdrawn', ended_at = {now}, \
             reason = 'the task was changed' WHERE id = $1 AND state IN ('pending', 'approved') \
             RETURNING id, state, graph_id, task_id, merge_id",
            args![latest.id],
        )
        .await?;
    if let Some(row) = withdrawn {
        ended(tx, &row)?;
    }
    let open = tx
        .maybe(
            "UPDATE tasks SET state = 'blocked' WHERE id = $1 \
             AND state IN ('ready', 'waiting', 'blocked') RETURNING graph_id",
            args![task.0],
        )
        .await?;
    if let Some(row) = open {
        ask_anew(tx, task, &operator.token).await?;
        let event = NewEvent::new(TaskEventKind::TaskBlocked).task(task);
        let event = event.graph(GraphId(row.int("graph_id")?));
        // No worker can have this name: it has a space.
        tx.emit(event.agent(format!("operator {}", operator.name)).text("its text was changed"));
    }
    Ok(())
}

fn rejected(what: &str, operator: &Operator) -> String {
    let why = match operator.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("its {what} was rejected by {}{why}", operator.name)
}

/// An entry that waits for the decision is merged in its turn, or its task gets it back.
async fn settle_merge(
    tx: &mut Tx<'_>,
    id: MergeId,
    approve: bool,
    operator: &Operator,
) -> Done<()> {
    match approve {
        true => merges::approve(tx, id).await,
        false => merges::reject(tx, id, rejected("merge", operator)).await,
    }
}

/// A task that waits for the decision starts, or is cancelled.
async fn settle_task(tx: &mut Tx<'_>, id: TaskId, approve: bool, operator: &Operator) -> Done<()> {
    if !approve {
        cancel(tx, id).await?;
        let reason = rejected("start", operator);
        tx.run(
            "UPDATE tasks SET reason = $2 WHERE id = $1 AND state = 'cancelled'",
            args![id.0, reason],
        )
        .await?;
        return Ok(());
    }
    let started = tx
        .maybe(
            "UPDATE tasks SET state = CASE WHEN unmet = 0 THEN 'ready' ELSE 'waiting' END, \
             reason = NULL, updated_at = {now} WHERE id = (SELECT id FROM tasks WHERE id = $1 \
             AND state = 'blocked' {lock end}) AND state = 'blocked' RETURNING state, graph_id",
            args![id.0],
        )
        .await?;
    if let Some(row) = started
        && row.text("state")? == "ready"
    {
        let graph = GraphId(row.int("graph_id")?);
        tx.emit(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(id));
    }
    Ok(())
}
