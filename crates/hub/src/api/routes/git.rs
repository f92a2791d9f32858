//! Merge queues and branches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Admin, Reader};
use crate::api::extract::{Body, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::store::{AttemptFilter, MergeFilter, PageRequest};
use greenloop_hub_api::types;
use greenloop_model::task::{AttemptState, GraphId, MergeId, MergeState};

const MERGES: List = List("merges");
/// Branches of running attempts that are listed.
const MOST_ATTEMPTS: u32 = 500;

/// MergeQuery entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MergeQuery {
    /// In this state.
    state: Option<String>,
    /// Of this graph.
    graph: Option<i64>,
    /// Of this target branch.
    target: Option<String>,
}

/// Entries of the merge queues, latest first
#[utoipa::path(
    get, path = "/merge-queue", tag = "git", operation_id = "list_merges", params(MergeQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Merge>)), security(("token" = ["read"]))
)]
pub(super) async fn merges(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<MergeQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Merge>>, Problem> {
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
    Ok(Json(MERGES.page(page)))
}

/// Puts an entry that left the queue back into it
#[utoipa::path(
    post, path = "/merge-queue/{id}/retry", tag = "git", operation_id = "retry_merge",
    params(("id" = i64, Path)),
    responses((status = 200, body = types::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
) -> Result<Json<types::Merge>, Problem> {
    let merge = api.store.retry_merge(MergeId(id)).await?;
    tracing::info!(merge = id, by = caller.id(), "a merge is tried again");
    Ok(Json(merge))
}

/// Throws an entry out of the queue; its task waits for a person
#[utoipa::path(
    post, path = "/merge-queue/{id}/eject", tag = "git", operation_id = "eject_merge",
    params(("id" = i64, Path)), request_body = types::Ejection,
    responses((status = 200, body = types::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn eject(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    Body(body): Body<types::Ejection>,
) -> Result<Json<types::Merge>, Problem> {
    let reason = match body.reason.trim() {
        "" => "thrown out by a person",
        reason => reason,
    };
    let merge = api.store.eject_merge(MergeId(id), reason).await?;
    tracing::info!(merge = id, by = caller.id(), "a merge was thrown out");
    Ok(Json(merge))
}

/// Says what becomes of a merge queue that is on hold
#[utoipa::path(
    post, path = "/merge-queue/decision", tag = "git", operation_id = "decide_hold",
    request_body = types::HoldDecisionRequest,
    responses((status = 200, body = types::Page<types::Branch>)), security(("token" = ["admin"]))
)]
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    Body(body): Body<types::HoldDecisionRequest>,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    let decision = body.decision;
    let (project, target) = (body.project.as_deref(), body.target.as_deref());
    api.store.decide_hold(project, target, decision).await?;
    tracing::info!(decision = decision.name(), by = caller.id(), "a merge queue on hold");
    Ok(Json(types::Page { items: api.store.branches().await?, next: None }))
}

/// Branches that merges go to, and those of running attempts
#[utoipa::path(
    get, path = "/branches", tag = "git", operation_id = "list_branches",
    responses((status = 200, body = types::Page<types::Branch>)), security(("token" = ["read"]))
)]
pub(super) async fn branches(
    State(api): State<Arc<Api>>,
    _reader: Reader,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    let mut items = api.store.branches().await?;
    let running = AttemptFilter { state: Some(AttemptState::Running), ..Default::default() };
    let attempts = api.store.assignments(&running, PageRequest::first(MOST_ATTEMPTS)).await?;
    items.extend(attempts.items.into_iter().map(branch_of));
    Ok(Json(types::Page { items, next: None }))
}

/// The branch of a running attempt.
fn branch_of(attempt: types::Attempt) -> types::Branch {
    types::Branch {
        name: attempt.lease().branch(),
        kind: "attempt".to_owned(),
        project: None,
        repository: None,
        commit: attempt.commit,
        task: Some(attempt.task),
        writer: Some(attempt.agent),
        queued: 0,
        testing: 0,
        merged: 0,
        paused_until: None,
        reason: None,
        hold: None,
    }
}
