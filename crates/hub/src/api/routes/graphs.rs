//! Graphs of tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Body, Key, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::{FieldError, Kind, Problem};
use crate::api::tagged::tagged;
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
        tracing::error!(%error, "a graph could not be checked");
        Problem::new(Kind::Internal, "the hub's log says more")
    })?;
    let graph = graph.map_err(|mistakes| Problem::mistakes(mistakes.iter().map(mistake)))?;
    let key = key.of(caller.id());
    let graph = api.store.submit(&graph, run.as_deref(), key.as_deref()).await?;
    tracing::info!(graph = graph.id.0, by = caller.id(), "a graph was submitted");
    let place = format!("/api/v1/graphs/{}", graph.id);
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(graph)).into_response())
}

/// A mistake in a graph, for whoever handed it in.
fn mistake(mistake: &Mistake) -> FieldError {
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

/// Cancels a graph; workers of its running tasks stop at their next heartbeat
#[utoipa::path(
    post, path = "/graphs/{id}/cancel", tag = "graphs", operation_id = "cancel_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = types::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
) -> Result<Json<types::Graph>, Problem> {
    let key = key.of(caller.id());
    let graph = api.store.cancel_graph(GraphId(id), key.as_deref()).await?;
    tracing::info!(graph = id, by = caller.id(), "a graph was cancelled");
    Ok(Json(graph))
}
