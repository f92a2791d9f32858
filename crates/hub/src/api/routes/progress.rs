//! How far everything is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::tasks::OfGraph;
use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Asked, Key};
use crate::api::page::{List, Part};
use crate::api::problem::Problem;
use crate::api::{Api, records};
use greenloop_hub_api::client::wire;
use greenloop_model::task::GraphId;

const HISTORY: List = List("history");

/// How far a graph is; all of them when none is named
#[utoipa::path(
    get, path = "/progress/summary", tag = "progress", operation_id = "summary",
    params(OfGraph),
    responses((status = 200, body = wire::Summary)), security(("token" = ["read"]))
)]
pub(super) async fn summary(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(of): Asked<OfGraph>,
) -> Result<Json<wire::Summary>, Problem> {
    if let Some(graph) = of.graph() {
        api.store.graph(graph).await?;
    }
    Ok(Json(records::summary(api.store.summary(of.graph()).await?)))
}

/// How much each agent did
#[utoipa::path(
    get, path = "/progress/agents", tag = "progress", operation_id = "progress_of_agents",
    responses((status = 200, body = wire::Page<wire::AgentProgress>)),
    security(("token" = ["read"]))
)]
pub(super) async fn agents(
    State(api): State<Arc<Api>>,
    _reader: Reader,
) -> Result<Json<wire::Page<wire::AgentProgress>>, Problem> {
    let items = api.store.agents().await?.into_iter().map(records::agent_progress).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// Writes down how far the running graphs are, beside what the hub writes down by itself
#[utoipa::path(
    post, path = "/progress/snapshot", tag = "progress", operation_id = "take_snapshot",
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = wire::SnapshotsTaken)), security(("token" = ["admin"]))
)]
pub(super) async fn snapshot(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
) -> Result<(StatusCode, Json<wire::SnapshotsTaken>), Problem> {
    let graphs = api.store.snapshot(key.of(caller.id()).as_deref()).await?;
    Ok((StatusCode::CREATED, Json(wire::SnapshotsTaken { graphs })))
}

/// Of which graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct History {
    /// Of this graph.
    graph: i64,
}

/// Progress as it was, latest first
#[utoipa::path(
    get, path = "/progress/history", tag = "progress", operation_id = "history",
    params(History, Part),
    responses((status = 200, body = wire::Page<wire::Snapshot>)), security(("token" = ["read"]))
)]
pub(super) async fn history(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(of): Asked<History>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Snapshot>>, Problem> {
    let page = api.store.history(GraphId(of.graph), HISTORY.request(&part)?).await?;
    Ok(Json(HISTORY.page(page, records::snapshot)))
}
