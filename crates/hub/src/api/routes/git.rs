//! Merge queues and branches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::actions::act;
use crate::api::Api;
use crate::api::auth::{Admin, Caller, Reader};
use crate::api::extract::{Body, Key, OptionalBody, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::store::{AttemptFilter, MergeFilter, OperatorCommand, PageRequest};
use greenloop_hub_api::types;
use greenloop_model::task::{AttemptState, GraphId, MergeId, MergeState};

const MERGES: List = List("merges");
/// Branches of running attempts that are listed.
const MOST_ATTEMPTS: u32 = 500;

/// Which entries of the merge queues are listed.
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
            MergeState::from_name(name).ok_or_else(|| Problem::invalid("state", "unknown state"))
        })
        .transpose()?;
    let filter = MergeFilter { state, graph: which.graph.map(GraphId), target: which.target };
    let page = api.store.merges(&filter, MERGES.request(&part)?).await?;
    Ok(Json(MERGES.page(page)))
}

/// Puts an entry that left the queue back into it
#[utoipa::path(
    post, path = "/merge-queue/{id}/retry", tag = "git", operation_id = "retry_merge",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Merge>, Problem> {
    let id = MergeId(id);
    act(&api, &caller, &key, &body.reason, OperatorCommand::RequeueMerge { id }).await?;
    Ok(Json(api.store.merge(id).await?))
}

/// Throws an entry out of the queue; its task waits for a person
#[utoipa::path(
    post, path = "/merge-queue/{id}/eject", tag = "git", operation_id = "eject_merge",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::Ejection>,
    responses((status = 200, body = types::Merge)), security(("token" = ["admin"]))
)]
pub(super) async fn eject(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::Ejection>,
) -> Result<Json<types::Merge>, Problem> {
    let id = MergeId(id);
    act(&api, &caller, &key, &body.reason, OperatorCommand::EjectMerge { id }).await?;
    Ok(Json(api.store.merge(id).await?))
}

/// Says what becomes of a merge queue that is on hold
#[utoipa::path(
    post, path = "/merge-queue/decision", tag = "git", operation_id = "decide_hold",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = types::HoldDecisionRequest,
    responses((status = 200, body = types::Page<types::Branch>)), security(("token" = ["admin"]))
)]
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    Body(body): Body<types::HoldDecisionRequest>,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    let types::HoldDecisionRequest { project, target, decision, reason } = body;
    let command = OperatorCommand::DecideQueue { project, target, decision };
    act_on_queue(&api, &caller, &key, &reason, command).await
}

/// Pauses a merge queue: nothing is merged; what is being pushed arrives
#[utoipa::path(
    post, path = "/merge-queue/pause", tag = "git", operation_id = "pause_queue",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::QueueRequest>,
    responses((status = 200, body = types::Page<types::Branch>)), security(("token" = ["admin"]))
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    OptionalBody(body): OptionalBody<types::QueueRequest>,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    let types::QueueRequest { project, target, reason } = body;
    let command = OperatorCommand::PauseQueue { project, target };
    act_on_queue(&api, &caller, &key, &reason, command).await
}

/// Ends the pause of a merge queue
#[utoipa::path(
    post, path = "/merge-queue/resume", tag = "git", operation_id = "resume_queue",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::QueueRequest>,
    responses((status = 200, body = types::Page<types::Branch>)), security(("token" = ["admin"]))
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    key: Key,
    OptionalBody(body): OptionalBody<types::QueueRequest>,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    let types::QueueRequest { project, target, reason } = body;
    let command = OperatorCommand::ResumeQueue { project, target };
    act_on_queue(&api, &caller, &key, &reason, command).await
}

/// All merge queues, after what a person asks for.
async fn act_on_queue(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    command: OperatorCommand,
) -> Result<Json<types::Page<types::Branch>>, Problem> {
    act(api, caller, key, reason, command).await?;
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
        paused_since: None,
        hold: None,
    }
}
