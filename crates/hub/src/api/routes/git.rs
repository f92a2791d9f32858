//! Merge queues and branches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Asked, Body, Place};
use crate::api::page::{List, Part};
use crate::api::problem::Problem;
use crate::api::{Api, records};
use crate::store::{AttemptFilter, MergeFilter, PageRequest};
use greenloop_hub_api::client::wire;
use greenloop_model::task::{AttemptState, GraphId, HoldDecision, MergeId, MergeState};

const MERGES: List = List("merges");
/// Branches of running attempts that are told.
const MOST_ATTEMPTS: u32 = 500;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// In this state.
    state: Option<String>,
    /// Of this graph.
    graph: Option<i64>,
    /// Of this target branch.
    target: Option<String>,
}

/// Entries of the merge queues, latest first
#[utoipa::path(
    get, path = "/merge-queue", tag = "git", operation_id = "list_merges", params(Which, Part),
    responses((status = 200, body = wire::Page<wire::Merge>)), security(("token" = ["read"]))
)]
pub(super) async fn merges(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(which): Asked<Which>,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Merge>>, Problem> {
    let state = which
        .state
        .as_deref()
        .map(|name| {
            MergeState::from_name(name)
                .ok_or_else(|| Problem::invalid("state", "there is no such state"))
        })
        .transpose()?;
    let filter = MergeFilter { state, graph: which.graph.map(GraphId), target: which.target };
    let page = api.store.merges(&filter, MERGES.request(&part)?).await?;
    Ok(Json(MERGES.page(page, records::merge)))
}

/// Puts an entry that left the queue back into it
#[utoipa::path(
    post, path = "/merge-queue/{id}/retry", tag = "git", operation_id = "retry_merge",
    params(("id" = i64, Path)),
    responses((status = 200, body = wire::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Place(id): Place<i64>,
) -> Result<Json<wire::Merge>, Problem> {
    let merge = api.store.retry_merge(MergeId(id)).await?;
    tracing::info!(merge = id, by = caller.id(), "a merge is tried again");
    Ok(Json(records::merge(merge)))
}

/// Throws an entry out of the queue; its task waits for a person
#[utoipa::path(
    post, path = "/merge-queue/{id}/eject", tag = "git", operation_id = "eject_merge",
    params(("id" = i64, Path)), request_body = wire::Ejection,
    responses((status = 200, body = wire::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn eject(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Place(id): Place<i64>,
    Body(body): Body<wire::Ejection>,
) -> Result<Json<wire::Merge>, Problem> {
    let reason = match body.reason.trim() {
        "" => "thrown out by a person",
        reason => reason,
    };
    let merge = api.store.eject_merge(MergeId(id), reason).await?;
    tracing::info!(merge = id, by = caller.id(), "a merge was thrown out");
    Ok(Json(records::merge(merge)))
}

/// Says what becomes of a merge queue that is on hold
#[utoipa::path(
    post, path = "/merge-queue/decision", tag = "git", operation_id = "decide_hold",
    request_body = wire::HoldDecision,
    responses((status = 200, body = wire::Page<wire::Branch>)), security(("token" = ["admin"]))
)]
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Body(body): Body<wire::HoldDecision>,
) -> Result<Json<wire::Page<wire::Branch>>, Problem> {
    let decision = HoldDecision::from_name(&body.decision)
        .ok_or_else(|| Problem::invalid("decision", "one of follow, restore, retry"))?;
    let (project, target) = (body.project.as_deref(), body.target.as_deref());
    api.store.decide_hold(project, target, decision).await?;
    tracing::info!(decision = decision.name(), by = caller.id(), "a merge queue on hold");
    let targets = api.store.branches().await?;
    Ok(Json(wire::Page { items: targets.into_iter().map(records::target).collect(), next: None }))
}

/// Branches that merges go to, and those of running attempts
#[utoipa::path(
    get, path = "/branches", tag = "git", operation_id = "list_branches",
    responses((status = 200, body = wire::Page<wire::Branch>)), security(("token" = ["read"]))
)]
pub(super) async fn branches(
    State(api): State<Arc<Api>>,
    _reader: Reader,
) -> Result<Json<wire::Page<wire::Branch>>, Problem> {
    let targets = api.store.branches().await?;
    let running = AttemptFilter { state: Some(AttemptState::Running), ..Default::default() };
    let attempts = api.store.assignments(&running, PageRequest::first(MOST_ATTEMPTS)).await?;
    let items = targets
        .into_iter()
        .map(records::target)
        .chain(attempts.items.into_iter().map(records::attempt_branch))
        .collect();
    Ok(Json(wire::Page { items, next: None }))
}
