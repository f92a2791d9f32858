//! Agents ask for work.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::agents::named;
use crate::api::Api;
use crate::api::auth::Worker;
use crate::api::extract::{Body, Key};
use crate::api::problem::Problem;
use greenloop_hub_api::types;

/// The longest that a claim may wait.
const LONGEST_WAIT: u32 = 60;
/// The longest lease: a day.
const LONGEST_LEASE: u32 = 86_400;

/// Asks for work and waits for it; 204 when none came up
#[utoipa::path(
    post, path = "/claims", tag = "work", operation_id = "claim",
    params(("Idempotency-Key" = Option<String>, Header)), request_body = types::ClaimRequest,
    responses((status = 200, body = types::Claimed), (status = 204, description = "No work")),
    security(("token" = ["work"]))
)]
pub(super) async fn claim(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    key: Key,
    Body(body): Body<types::ClaimRequest>,
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
    let key = key.of(caller.id());
    let claimed = api.claims.claim(&api.store, &body, key.as_deref(), wait, &api.end).await?;
    let Some((claimed, found)) = claimed else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    api.metrics.claimed(found);
    api.owners.note(claimed.lease(), &body.agent);
    Ok(Json(claimed).into_response())
}
