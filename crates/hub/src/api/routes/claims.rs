//! Agents ask for work.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::agents::named;
use crate::api::auth::Worker;
use crate::api::extract::{Body, Key};
use crate::api::problem::Problem;
use crate::api::{Api, records};
use crate::store::ClaimRequest;
use greenloop_hub_api::client::wire;

/// The longest that a claim may wait.
const LONGEST_WAIT: u32 = 60;
/// The longest lease: a day.
const LONGEST_LEASE: u32 = 86_400;

/// Asks for work and waits for it; 204 when none came up
#[utoipa::path(
    post, path = "/claims", tag = "work", operation_id = "claim",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = wire::ClaimRequest,
    responses((status = 200, body = wire::Claimed), (status = 204, description = "No work")),
    security(("token" = ["work"]))
)]
pub(super) async fn claim(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    key: Key,
    Body(body): Body<wire::ClaimRequest>,
) -> Result<Response, Problem> {
    named("$.agent", &body.agent)?;
    caller.must_be(&body.agent)?;
    if body.wait_seconds > LONGEST_WAIT {
        let message = format!("a claim waits at most {LONGEST_WAIT} seconds");
        return Err(Problem::invalid("$.wait_seconds", message));
    }
    if !(1..=LONGEST_LEASE).contains(&body.lease_seconds) {
        let message = format!("a lease lasts from 1 to {LONGEST_LEASE} seconds");
        return Err(Problem::invalid("$.lease_seconds", message));
    }
    let wait = Duration::from_secs(body.wait_seconds.into());
    let request = ClaimRequest {
        agent: body.agent,
        instance: body.instance,
        roles: body.roles,
        labels: body.labels,
        lease: Duration::from_secs(body.lease_seconds.into()),
        unreachable: body.unreachable,
    };
    let key = key.of(caller.id());
    let claimed = api.room.claim(&api.store, &request, key.as_deref(), wait, &api.end).await?;
    let Some((claimed, found)) = claimed else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    api.metrics.claimed(found);
    api.holders.note(claimed.lease, &request.agent);
    Ok(Json(records::claimed(claimed)).into_response())
}
