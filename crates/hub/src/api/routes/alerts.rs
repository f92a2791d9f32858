//! What a person should know of workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::tasks::OfGraph;
use crate::api::auth::Reader;
use crate::api::extract::Asked;
use crate::api::problem::Problem;
use crate::api::{Api, records};
use crate::store::AgentHealth;
use greenloop_hub_api::client::wire;

/// Tasks that no living worker can do, workers in quarantine, workers that died
///
/// Worked out again from what is known: an alert goes with its cause. Workers serve all graphs;
/// `graph` narrows down the tasks alone.
#[utoipa::path(
    get, path = "/alerts", tag = "progress", operation_id = "alerts", params(OfGraph),
    responses((status = 200, body = wire::Page<wire::Alert>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(of): Asked<OfGraph>,
) -> Result<Json<wire::Page<wire::Alert>>, Problem> {
    if let Some(graph) = of.graph() {
        api.store.graph(graph).await?;
    }
    let unserved = api.store.unserved(of.graph()).await?;
    let mut items: Vec<_> = unserved.into_iter().map(records::unserved).collect();
    for agent in api.store.agents().await? {
        match agent.health {
            AgentHealth::Quarantined | AgentHealth::Down => items.push(records::unfit(agent)),
            AgentHealth::Idle
            | AgentHealth::Working
            | AgentHealth::Draining
            | AgentHealth::Stale
            | AgentHealth::Inactive
            | AgentHealth::Left => {}
        }
    }
    Ok(Json(wire::Page { items, next: None }))
}
