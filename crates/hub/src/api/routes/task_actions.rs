//! What people do with tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};

use super::actions::act;
use super::graphs::mistake;
use crate::api::Api;
use crate::api::auth::{Admin, Caller};
use crate::api::extract::{Body, Key, OptionalBody, PathParams};
use crate::api::problem::{FieldError, Kind, Problem};
use crate::store::{AddedTask, OperatorCommand};
use greenloop_hub_api::graph::{Mistake, check};
use greenloop_hub_api::types;
use greenloop_model::task::TaskId;

/// Priorities of tasks.
const PRIORITIES: std::ops::RangeInclusive<i64> = 0..=1_000;
/// Attempts that a task may have.
const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=20;

async fn act_on(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    task: i64,
    command: OperatorCommand,
) -> Result<Json<types::Task>, Problem> {
    act(api, caller, key, reason, command).await?;
    Ok(Json(api.store.task(TaskId(task)).await?))
}

/// Cancels a task; its worker stops at its next heartbeat
#[utoipa::path(
    post, path = "/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Task>, Problem> {
    let command = OperatorCommand::CancelTask { task: TaskId(id) };
    act_on(&api, &caller, &key, &body.reason, id, command).await
}

/// Has a task that failed, is blocked or was cancelled tried again
#[utoipa::path(
    post, path = "/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::RetryRequest>,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::RetryRequest>,
) -> Result<Json<types::Task>, Problem> {
    let command = OperatorCommand::RetryTask { task: TaskId(id), dependants: body.dependants };
    act_on(&api, &caller, &key, &body.reason, id, command).await
}

/// Changes a task before its next attempt; what is absent stays
#[utoipa::path(
    put, path = "/tasks/{id}", tag = "tasks", operation_id = "edit_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::TaskEdit,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn edit(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    Body(body): Body<types::TaskEdit>,
) -> Result<Json<types::Task>, Problem> {
    sound(&body)?;
    let reason = body.reason.clone();
    let command = OperatorCommand::EditTask { task: TaskId(id), edit: body };
    act_on(&api, &caller, &key, &reason, id, command).await
}

/// Whether what an edit says could stand in a graph.
fn sound(edit: &types::TaskEdit) -> Result<(), Problem> {
    if edit.priority.is_some_and(|it| !PRIORITIES.contains(&it)) {
        return Err(Problem::invalid("$.priority", "it is from 0 to 1000"));
    }
    if edit.max_attempts.is_some_and(|it| !ATTEMPTS.contains(&it)) {
        return Err(Problem::invalid("$.max_attempts", "it is from 1 to 20"));
    }
    let action = match &edit.command {
        Some(line) => types::Action::Command(line.clone()),
        None => types::Action::Agent,
    };
    let title = edit.title.as_deref().unwrap_or("title");
    let task = types::TaskSubmission {
        description: edit.description.clone().unwrap_or_default(),
        files: edit.files.clone().unwrap_or_default(),
        ..types::TaskSubmission::new("task", title, action)
    };
    alone(task, "main")
        .map_err(|mistakes| Problem::mistakes(mistakes.iter().map(|it| placed(it, 0, "$"))))
}

/// Whether a graph of this task alone is sound.
fn alone(task: types::TaskSubmission, target: &str) -> Result<(), Vec<Mistake>> {
    let graph = types::GraphSubmission {
        project: "project".to_owned(),
        repository: None,
        target: target.to_owned(),
        gates: Vec::new(),
        merge_approval: false,
        name: "graph".to_owned(),
        run: None,
        epics: Vec::new(),
        tasks: vec![task],
    };
    check(graph).map(drop)
}

/// A mistake in the task with that index of a graph, at its place in the request.
fn placed(found: &Mistake, index: usize, place: &str) -> FieldError {
    let FieldError { path, message } = mistake(found);
    let own = format!("$.tasks[{index}]");
    let path = match path.strip_prefix(&own) {
        Some(rest) => format!("{place}{}", rest.replace("action.command", "command")),
        None => path,
    };
    FieldError { path, message }
}

/// Adds a task to a graph that runs
#[utoipa::path(
    post, path = "/tasks", tag = "tasks", operation_id = "add_task",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = types::NewTask,
    responses((status = 201, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    Body(body): Body<types::NewTask>,
) -> Result<Response, Problem> {
    let operator = caller.operator(&body.reason)?;
    if !PRIORITIES.contains(&body.task.priority) {
        return Err(Problem::invalid("$.task.priority", "it is from 0 to 1000"));
    }
    if body.task.done {
        return Err(Problem::invalid("$.task.done", "a task that is added is still to be done"));
    }
    let key = key.of(caller.id());
    let added = Arc::new(AddedTask::unplaced(body.task.clone()));
    let asked = OperatorCommand::AddTask { graph: body.graph, added };
    // The graph has it by now: it would not fit any more.
    let before = api.store.acted(&asked, &operator, key.as_deref()).await?;
    if let Some(id) = before.and_then(|it| it.task) {
        return Ok(created(api.store.task(id).await?));
    }
    let open = Arc::new(api.store.open_graph(body.graph).await?);
    let (task, whole) = (body.task.clone(), Arc::clone(&open));
    let checked = tokio::task::spawn_blocking(move || check(whole.with(&task)));
    let checked = checked.await.map_err(|error| {
        tracing::error!(%error, "a task could not be checked");
        Problem::new(Kind::Internal, "the hub's log says more")
    })?;
    if let Err(mistakes) = checked {
        let index = open.len();
        return Err(Problem::mistakes(mistakes.iter().map(|it| placed(it, index, "$.task"))));
    }
    let added = Arc::new(open.added(body.task));
    let command = OperatorCommand::AddTask { graph: body.graph, added };
    let outcome = api.store.act(&command, &operator, key.as_deref()).await?;
    let id = outcome.task.ok_or_else(|| Problem::new(Kind::Internal, "no task was added"))?;
    tracing::info!(task = id.0, by = operator.name, "a task was added");
    Ok(created(api.store.task(id).await?))
}

fn created(task: types::Task) -> Response {
    let place = format!("/api/v1/tasks/{}", task.id);
    (StatusCode::CREATED, [(LOCATION, place)], Json(task)).into_response()
}

/// Says which workers may do a task from its next attempt on
#[utoipa::path(
    post, path = "/tasks/{id}/assign", tag = "tasks", operation_id = "assign_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::TaskAssignment,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn assign(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    Body(body): Body<types::TaskAssignment>,
) -> Result<Json<types::Task>, Problem> {
    for (place, name) in body
        .agent
        .iter()
        .map(|it| ("$.agent", it))
        .chain(body.exclude.iter().map(|it| ("$.exclude", it)))
    {
        super::agents::named(place, name)?;
    }
    let types::TaskAssignment { agent, exclude, reason } = body;
    let command = OperatorCommand::AssignTask { task: TaskId(id), agent, exclude };
    act_on(&api, &caller, &key, &reason, id, command).await
}

/// Takes a task from the workers: a person does it
#[utoipa::path(
    post, path = "/tasks/{id}/take-over", tag = "tasks", operation_id = "take_over_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn take_over(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Task>, Problem> {
    let command = OperatorCommand::TakeOverTask { task: TaskId(id) };
    act_on(&api, &caller, &key, &body.reason, id, command).await
}

/// Hands in what a person has done for a task: a branch to be merged, or the commit that the
/// target has already
#[utoipa::path(
    post, path = "/tasks/{id}/resolve", tag = "tasks", operation_id = "resolve_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::Resolution,
    responses((status = 200, body = types::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn resolve(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    Body(body): Body<types::Resolution>,
) -> Result<Json<types::Task>, Problem> {
    super::attempts::whole_commit(&body.commit)?;
    if let Some(branch) = &body.branch {
        let task = types::TaskSubmission::new("task", "title", types::Action::Agent);
        if let Err(mistakes) = alone(task, branch) {
            let first = mistakes.first().map_or("", |it| it.message.as_str());
            return Err(Problem::invalid("$.branch", first));
        }
    }
    let reason = body.reason.clone();
    let command = OperatorCommand::ResolveTask { task: TaskId(id), resolution: body };
    act_on(&api, &caller, &key, &reason, id, command).await
}
