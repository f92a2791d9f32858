//! Tasks, what was tried at them and what came of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Asked, Key, Place};
use crate::api::page::{List, Part};
use crate::api::problem::Problem;
use crate::api::tagged::tagged;
use crate::api::{Api, records};
use crate::store::{AttemptFilter, TaskFilter};
use greenloop_hub_api::client::wire;
use greenloop_model::task::{AttemptState, GraphId, TaskId, TaskState};

const TASKS: List = List("tasks");
const READY: List = List("ready");
const ATTEMPTS: List = List("attempts");
const EVIDENCE: List = List("evidence");
const ASSIGNMENTS: List = List("assignments");

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this graph.
    graph: Option<i64>,
    /// In this state.
    state: Option<String>,
    /// Of the epic with this key.
    epic: Option<String>,
    /// For this role.
    role: Option<String>,
}

/// A name out of a closed set, in a query.
fn named<T>(
    parameter: &str,
    name: Option<&str>,
    from_name: fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    name.map(|name| {
        from_name(name).ok_or_else(|| Problem::invalid(parameter, "there is no such state"))
    })
    .transpose()
}

/// Tasks by their ids
#[utoipa::path(
    get, path = "/tasks", tag = "tasks", operation_id = "list_tasks", params(Which, Part),
    responses((status = 200, body = wire::Page<wire::Task>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(which): Asked<Which>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Task>>, Problem> {
    let filter = TaskFilter {
        graph: which.graph.map(GraphId),
        state: named("state", which.state.as_deref(), TaskState::from_name)?,
        epic: which.epic,
        role: which.role,
    };
    let page = api.store.tasks(&filter, TASKS.request(&part)?).await?;
    Ok(Json(TASKS.page(page, records::task)))
}

/// Of which graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfGraph {
    /// Of this graph.
    graph: Option<i64>,
}

impl OfGraph {
    /// The graph.
    pub(super) fn graph(&self) -> Option<GraphId> {
        self.graph.map(GraphId)
    }
}

/// Tasks that can be claimed now, in the order in which they will be; the first ones only
#[utoipa::path(
    get, path = "/tasks/ready", tag = "tasks", operation_id = "list_ready_tasks",
    params(OfGraph, Part),
    responses((status = 200, body = wire::Page<wire::Task>)), security(("token" = ["read"]))
)]
pub(super) async fn ready(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(of): Asked<OfGraph>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Task>>, Problem> {
    let request = READY.request(&part)?;
    let tasks = api.store.ready(of.graph(), request.limit).await?;
    let items = tasks.into_iter().map(records::task).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// One task
#[utoipa::path(
    get, path = "/tasks/{id}", tag = "tasks", operation_id = "get_task", params(("id" = i64, Path)),
    responses((status = 200, body = wire::Task), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Place(id): Place<i64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &records::task(api.store.task(TaskId(id)).await?))
}

/// Ends a task; who works on it is told with the next heartbeat
#[utoipa::path(
    post, path = "/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = wire::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Place(id): Place<i64>,
    key: Key,
) -> Result<Json<wire::Task>, Problem> {
    let task = api.store.cancel_task(TaskId(id), key.of(caller.id()).as_deref()).await?;
    tracing::info!(task = id, by = caller.id(), "a task was cancelled");
    Ok(Json(records::task(task)))
}

/// Has a task that failed, is blocked or was cancelled tried again
#[utoipa::path(
    post, path = "/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = wire::Task)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Place(id): Place<i64>,
    key: Key,
) -> Result<Json<wire::Task>, Problem> {
    let task = api.store.retry_task(TaskId(id), key.of(caller.id()).as_deref()).await?;
    tracing::info!(task = id, by = caller.id(), "a task is tried again");
    Ok(Json(records::task(task)))
}

/// Attempts at a task, first to last
#[utoipa::path(
    get, path = "/tasks/{id}/attempts", tag = "tasks", operation_id = "list_attempts",
    params(("id" = i64, Path), Part),
    responses((status = 200, body = wire::Page<wire::Attempt>)), security(("token" = ["read"]))
)]
pub(super) async fn attempts(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Place(id): Place<i64>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Attempt>>, Problem> {
    let found = api.store.attempts(TaskId(id), ATTEMPTS.request(&part)?).await?;
    exists(&api, id, found.items.is_empty()).await?;
    Ok(Json(ATTEMPTS.page(found, records::attempt)))
}

/// What was found and made on the way of a task, oldest first
#[utoipa::path(
    get, path = "/tasks/{id}/evidence", tag = "tasks", operation_id = "list_evidence",
    params(("id" = i64, Path), Part),
    responses((status = 200, body = wire::Page<wire::Evidence>)), security(("token" = ["read"]))
)]
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Place(id): Place<i64>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Evidence>>, Problem> {
    let found = api.store.evidence(TaskId(id), EVIDENCE.request(&part)?).await?;
    exists(&api, id, found.items.is_empty()).await?;
    Ok(Json(EVIDENCE.page(found, records::evidence)))
}

/// A list of a task that is empty may be that of no task at all.
async fn exists(api: &Api, id: i64, empty: bool) -> Result<(), Problem> {
    if empty {
        api.store.task(TaskId(id)).await?;
    }
    Ok(())
}

/// Which assignments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichAttempts {
    /// Of this agent.
    agent: Option<String>,
    /// At this task.
    task: Option<i64>,
    /// In this state.
    state: Option<String>,
}

/// Who was given what, latest first
#[utoipa::path(
    get, path = "/assignments", tag = "tasks", operation_id = "list_assignments",
    params(WhichAttempts, Part),
    responses((status = 200, body = wire::Page<wire::Attempt>)), security(("token" = ["read"]))
)]
pub(super) async fn assignments(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(which): Asked<WhichAttempts>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Attempt>>, Problem> {
    let filter = AttemptFilter {
        agent: which.agent,
        task: which.task.map(TaskId),
        state: named("state", which.state.as_deref(), AttemptState::from_name)?,
    };
    let page = api.store.assignments(&filter, ASSIGNMENTS.request(&part)?).await?;
    Ok(Json(ASSIGNMENTS.page(page, records::attempt)))
}
