//! What a person should know of workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::tasks::GraphQuery;
use crate::api::auth::Reader;
use crate::api::extract::QueryParams;
use crate::api::problem::Problem;
use crate::api::{Api, alerts};
use greenloop_hub_api::types;
use greenloop_model::task::AgentState;

/// Tasks that no living worker can do, workers in quarantine, workers that died
///
/// Worked out again from what is known: an alert goes with its cause. Workers serve all graphs;
/// `graph` narrows down the tasks alone.
#[utoipa::path(
    get, path = "/alerts", tag = "progress", operation_id = "alerts", params(GraphQuery),
    responses((status = 200, body = types::Page<types::Alert>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(of): QueryParams<GraphQuery>,
) -> Result<Json<types::Page<types::Alert>>, Problem> {
    if let Some(graph) = of.graph() {
        api.store.graph(graph).await?;
    }
    let unserved = api.store.unserved(of.graph()).await?;
    let mut items: Vec<_> = unserved.into_iter().map(alerts::unserved).collect();
    for agent in api.store.agents().await? {
        match agent.state {
            AgentState::Quarantined | AgentState::Down => items.push(alerts::unfit(agent)),
            AgentState::Idle
            | AgentState::Working
            | AgentState::Draining
            | AgentState::Stale
            | AgentState::Inactive
            | AgentState::Left => {}
        }
    }
    Ok(Json(types::Page { items, next: None }))
}
