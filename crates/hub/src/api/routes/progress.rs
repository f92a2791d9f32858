//! How far everything is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::tasks::GraphQuery;
use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Key, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::api::{Api, velocity};
use greenloop_hub_api::types;
use greenloop_model::task::GraphId;

const HISTORY: List = List("history");

/// How far a graph is; all of them when none is named
#[utoipa::path(
    get, path = "/progress/summary", tag = "progress", operation_id = "summary",
    params(GraphQuery),
    responses((status = 200, body = types::Summary)), security(("token" = ["read"]))
)]
pub(super) async fn summary(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(of): QueryParams<GraphQuery>,
) -> Result<Json<types::Summary>, Problem> {
    if let Some(graph) = of.graph() {
        api.store.graph(graph).await?;
    }
    Ok(Json(velocity::summary(api.store.summary(of.graph()).await?)))
}

/// How much each agent did
#[utoipa::path(
    get, path = "/progress/agents", tag = "progress", operation_id = "progress_of_agents",
    responses((status = 200, body = types::Page<types::AgentProgress>)),
    security(("token" = ["read"]))
)]
pub(super) async fn agents(
    State(api): State<Arc<Api>>,
    _reader: Reader,
) -> Result<Json<types::Page<types::AgentProgress>>, Problem> {
    let items = api.store.agents_progress().await?;
    Ok(Json(types::Page { items, next: None }))
}

/// Writes down how far the running graphs are, beside what the hub writes down by itself
#[utoipa::path(
    post, path = "/progress/snapshot", tag = "progress", operation_id = "take_snapshot",
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = types::SnapshotsTaken)), security(("token" = ["admin"]))
)]
pub(super) async fn snapshot(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
) -> Result<(StatusCode, Json<types::SnapshotsTaken>), Problem> {
    let graphs = api.store.snapshot(key.of(caller.id()).as_deref()).await?;
    Ok((StatusCode::CREATED, Json(types::SnapshotsTaken { graphs })))
}

/// Of which graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Of this graph.
    graph: i64,
}

/// Progress as it was, latest first
#[utoipa::path(
    get, path = "/progress/history", tag = "progress", operation_id = "history",
    params(HistoryQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Snapshot>)), security(("token" = ["read"]))
)]
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(of): QueryParams<HistoryQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Snapshot>>, Problem> {
    let page = api.store.history(GraphId(of.graph), HISTORY.request(&part)?).await?;
    Ok(Json(HISTORY.page(page)))
}
