//! Graphs of tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Asked, Body, Key, Place};
use crate::api::page::{List, Part};
use crate::api::problem::{Kind, Problem};
use crate::api::tagged::tagged;
use crate::api::{Api, records, submission};
use greenloop_hub_api::client::wire;
use greenloop_model::task::GraphId;

const LIST: List = List("graphs");

/// Graphs, newest first
#[utoipa::path(
    get, path = "/graphs", tag = "graphs", operation_id = "list_graphs", params(Part),
    responses((status = 200, body = wire::Page<wire::Graph>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Graph>>, Problem> {
    let page = api.store.graphs(LIST.request(&part)?).await?;
    Ok(Json(LIST.page(page, records::graph)))
}

/// Hands a graph in: all of it, or nothing
#[utoipa::path(
    post, path = "/graphs", tag = "graphs", operation_id = "submit_graph",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = wire::GraphSubmission,
    responses((status = 201, body = wire::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    Body(body): Body<wire::GraphSubmission>,
) -> Result<Response, Problem> {
    let run = body.run.clone();
    // Ranking a large graph takes a while.
    let graph =
        tokio::task::spawn_blocking(|| submission::checked(body)).await.map_err(|error| {
            tracing::error!(%error, "a graph could not be checked");
            Problem::new(Kind::Internal, "the hub's log says more")
        })??;
    let key = key.of(caller.id());
    let graph = api.store.submit(&graph, run.as_deref(), key.as_deref()).await?;
    tracing::info!(graph = graph.id.0, by = caller.id(), "a graph was submitted");
    let place = format!("/api/v1/graphs/{}", graph.id);
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(records::graph(graph))).into_response())
}

/// One graph
#[utoipa::path(
    get, path = "/graphs/{id}", tag = "graphs", operation_id = "get_graph",
    params(("id" = i64, Path)),
    responses((status = 200, body = wire::Graph), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Place(id): Place<i64>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &records::graph(api.store.graph(GraphId(id)).await?))
}

/// Ends a graph; running tasks are told with their next heartbeat
#[utoipa::path(
    post, path = "/graphs/{id}/cancel", tag = "graphs", operation_id = "cancel_graph",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = wire::Graph)), security(("token" = ["admin"]))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Place(id): Place<i64>,
    key: Key,
) -> Result<Json<wire::Graph>, Problem> {
    let key = key.of(caller.id());
    let graph = api.store.cancel_graph(GraphId(id), key.as_deref()).await?;
    tracing::info!(graph = id, by = caller.id(), "a graph was cancelled");
    Ok(Json(records::graph(graph)))
}
