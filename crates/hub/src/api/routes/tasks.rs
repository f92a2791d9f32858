//! Tasks, what was tried at them and what came of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::Reader;
use crate::api::extract::{PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::api::tagged::tagged;
use crate::store::{AttemptFilter, TaskFilter};
use greenloop_hub_api::types;
use greenloop_model::task::{AttemptState, GraphId, TaskId, TaskState};

const TASKS: List = List("tasks");
const READY: List = List("ready");
const SEARCH: List = List("search");
/// Bytes of what is sought.
const LONGEST_SEARCH: usize = 200;
const ATTEMPTS: List = List("attempts");
const EVIDENCE: List = List("evidence");
const ASSIGNMENTS: List = List("assignments");

/// Which tasks are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
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
    name.map(|name| from_name(name).ok_or_else(|| Problem::invalid(parameter, "unknown state")))
        .transpose()
}

/// Tasks by their ids
#[utoipa::path(
    get, path = "/tasks", tag = "tasks", operation_id = "list_tasks", params(TaskQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Task>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<TaskQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Task>>, Problem> {
    let filter = TaskFilter {
        graph: which.graph.map(GraphId),
        state: named("state", which.state.as_deref(), TaskState::from_name)?,
        epic: which.epic,
        role: which.role,
    };
    let page = api.store.tasks(&filter, TASKS.request(&part)?).await?;
    Ok(Json(TASKS.page(page)))
}

/// Of which graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GraphQuery {
    /// Of this graph.
    graph: Option<i64>,
}

impl GraphQuery {
    pub(super) fn graph(&self) -> Option<GraphId> {
        self.graph.map(GraphId)
    }
}

/// Tasks that can be claimed now, in the order in which they will be; the first ones only
#[utoipa::path(
    get, path = "/tasks/ready", tag = "tasks", operation_id = "list_ready_tasks",
    params(GraphQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Task>)), security(("token" = ["read"]))
)]
pub(super) async fn ready(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(of): QueryParams<GraphQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Task>>, Problem> {
    let request = READY.request(&part)?;
    let items = api.store.ready(of.graph(), request.limit).await?;
    Ok(Json(types::Page { items, next: None }))
}

/// What is sought.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// A part of a task's key, title, description, command, branch or commit, of the name of a
    /// worker, or a task's id; 1 to 200 bytes, in upper or lower case.
    #[param(min_length = 1, max_length = 200)]
    q: String,
}

/// Tasks of all graphs that a text is found in, the latest first. A part may have fewer items than
/// its limit and yet a next one
#[utoipa::path(
    get, path = "/tasks/search", tag = "tasks", operation_id = "search_tasks",
    params(SearchQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Task>)), security(("token" = ["read"]))
)]
pub(super) async fn search(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(SearchQuery { q }): QueryParams<SearchQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Task>>, Problem> {
    if q.trim().is_empty() || q.len() > LONGEST_SEARCH || q.chars().any(char::is_control) {
        let text = format!("it must be a single line of 1 to {LONGEST_SEARCH} bytes");
        return Err(Problem::invalid("q", text));
    }
    let page = api.store.search_tasks(&q, SEARCH.request(&part)?).await?;
    Ok(Json(SEARCH.page(page)))
}

/// One task
#[utoipa::path(
    get, path = "/tasks/{id}", tag = "tasks", operation_id = "get_task", params(("id" = i64, Path)),
    responses((status = 200, body = types::Task), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &api.store.task(TaskId(id)).await?)
}

/// Attempts at a task, first to last
#[utoipa::path(
    get, path = "/tasks/{id}/attempts", tag = "tasks", operation_id = "list_attempts",
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = types::Page<types::Attempt>)), security(("token" = ["read"]))
)]
pub(super) async fn attempts(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Attempt>>, Problem> {
    let found = api.store.attempts(TaskId(id), ATTEMPTS.request(&part)?).await?;
    exists(&api, id, found.items.is_empty()).await?;
    Ok(Json(ATTEMPTS.page(found)))
}

/// What was found and made on the way of a task, oldest first
#[utoipa::path(
    get, path = "/tasks/{id}/evidence", tag = "tasks", operation_id = "list_evidence",
    params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = types::Page<types::Evidence>)), security(("token" = ["read"]))
)]
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Evidence>>, Problem> {
    let found = api.store.evidence(TaskId(id), EVIDENCE.request(&part)?).await?;
    exists(&api, id, found.items.is_empty()).await?;
    Ok(Json(EVIDENCE.page(found)))
}

/// A list of a task that is empty may be that of no task at all.
async fn exists(api: &Api, id: i64, empty: bool) -> Result<(), Problem> {
    if empty {
        api.store.task(TaskId(id)).await?;
    }
    Ok(())
}

/// Which assignments are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptQuery {
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
    params(AttemptQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Attempt>)), security(("token" = ["read"]))
)]
pub(super) async fn assignments(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<AttemptQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Attempt>>, Problem> {
    let filter = AttemptFilter {
        agent: which.agent,
        task: which.task.map(TaskId),
        state: named("state", which.state.as_deref(), AttemptState::from_name)?,
    };
    let page = api.store.assignments(&filter, ASSIGNMENTS.request(&part)?).await?;
    Ok(Json(ASSIGNMENTS.page(page)))
}
