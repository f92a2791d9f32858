//! Graphs of tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::actions::act;
use crate::api::Api;
use crate::api::auth::{Admin, Caller, Reader};
use crate::api::extract::{Body, Key, OptionalBody, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::{FieldError, Kind, Problem};
use crate::api::tagged::tagged;
use crate::store::OperatorCommand;
use greenloop_hub_api::graph::{Mistake, check};
use greenloop_hub_api::types;
use greenloop_model::task::GraphId;

const LIST: List = List("graphs");

/// Graphs, newest first
#[utoipa::path(
    get, path = "/graphs", tag = "graphs", operation_id = "list_graphs", params(PageQuery),
    responses((status = 200, body = types::Page<types::Graph>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Graph>>, Problem> {
    let page = api.store.graphs(LIST.request(&part)?).await?;
    Ok(Json(LIST.page(page)))
}

/// Hands a graph in: all of it, or nothing
#[utoipa::path(
    post, path = "/graphs", tag = "graphs", operation_id = "submit_graph",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = types::GraphSubmission,
    responses((status = 201, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    Body(body): Body<types::GraphSubmission>,
) -> Result<Response, Problem> {
    let run = body.run.clone();
    // Ranking a large graph takes a while.
    let graph = tokio::task::spawn_blocking(|| check(body)).await.map_err(|error| {
        tracing::error!(%error, "could not check a graph");
        Problem::new(Kind::Internal, "see the hub's log")
    })?;
    let graph = graph.map_err(|mistakes| Problem::mistakes(mistakes.iter().map(mistake)))?;
    let key = key.of(caller.id());
    let graph = api.store.submit_with(&graph, run.as_deref(), key.as_deref(), caller.id()).await?;
    tracing::info!(graph = graph.id.0, by = caller.id(), "a graph was submitted");
    let place = format!("/api/v1/graphs/{}", graph.id);
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(graph)).into_response())
}

/// A mistake in a graph, for whoever handed it in.
pub(super) fn mistake(mistake: &Mistake) -> FieldError {
    let message = match (&mistake.first, mistake.help.as_str()) {
        (Some(first), _) => format!("{}; the first is $.{first}", mistake.message),
        (None, "") => mistake.message.clone(),
        (None, help) => format!("{}: {help}", mistake.message),
    };
    FieldError { path: format!("$.{}", mistake.path), message }
}

/// One graph
#[utoipa::path(
    get, path = "/graphs/{id}", tag = "graphs", operation_id = "get_graph",
    params(("id" = i64, Path)),
    responses((status = 200, body = types::Graph), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &api.store.graph(GraphId(id)).await?)
}

/// All tasks of a graph in one answer, a list for each field
#[utoipa::path(
    get, path = "/graphs/{id}/tasks", tag = "graphs", operation_id = "graph_tasks",
    params(("id" = i64, Path)),
    responses((status = 200, body = types::GraphTasks), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn tasks(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &api.store.graph_tasks(GraphId(id)).await?)
}

/// Who did what when: the attempts of workers, a list for each field
#[utoipa::path(
    get, path = "/graphs/{id}/timeline", tag = "graphs", operation_id = "graph_timeline",
    params(("id" = i64, Path)), responses((status = 200, body = types::Timeline)),
    security(("token" = ["read"]))
)]
pub(super) async fn timeline(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
) -> Result<Json<types::Timeline>, Problem> {
    Ok(Json(api.store.timeline(GraphId(id)).await?))
}

/// The graph, after what a person asks for.
async fn act_on(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    graph: GraphId,
    command: OperatorCommand,
) -> Result<Json<types::Graph>, Problem> {
    act(api, caller, key, reason, command).await?;
    Ok(Json(api.store.graph(graph).await?))
}

/// Cancels a graph; workers of its running tasks stop at their next heartbeat
#[utoipa::path(
    post, path = "/graphs/{id}/cancel", tag = "graphs", operation_id = "cancel_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Graph>, Problem> {
    let graph = GraphId(id);
    act_on(&api, &caller, &key, &body.reason, graph, OperatorCommand::CancelGraph { graph }).await
}

/// Pauses a graph: nothing of it is given to workers; what runs goes on
#[utoipa::path(
    post, path = "/graphs/{id}/pause", tag = "graphs", operation_id = "pause_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Graph>, Problem> {
    let graph = GraphId(id);
    act_on(&api, &caller, &key, &body.reason, graph, OperatorCommand::PauseGraph { graph }).await
}

/// Ends the pause of a graph
#[utoipa::path(
    post, path = "/graphs/{id}/resume", tag = "graphs", operation_id = "resume_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Graph>, Problem> {
    let graph = GraphId(id);
    act_on(&api, &caller, &key, &body.reason, graph, OperatorCommand::ResumeGraph { graph }).await
}

/// Has all tasks of a graph that failed or are blocked tried again
#[utoipa::path(
    post, path = "/graphs/{id}/retry", tag = "graphs", operation_id = "retry_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Graph>, Problem> {
    let graph = GraphId(id);
    act_on(&api, &caller, &key, &body.reason, graph, OperatorCommand::RetryGraph { graph }).await
}
