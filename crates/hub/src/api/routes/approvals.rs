//! Decisions that people are asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::actions::act;
use crate::api::Api;
use crate::api::auth::{Admin, Caller, Reader, Worker};
use crate::api::extract::{Body, Key, OptionalBody, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::{Kind, Problem};
use crate::store::{ApprovalFilter, OperatorCommand, Scope};
use greenloop_evidence::Redactor;
use greenloop_hub_api::types;
use greenloop_model::task::{GraphId, TaskId};
use greenloop_model::{ApprovalState, ApprovalSubject};

const APPROVALS: List = List("approvals");
/// The longest that a run may wait for an answer.
const LONGEST_WAIT: u32 = 20;
/// Between two looks of one that waits.
const LOOK: Duration = Duration::from_millis(400);
/// Seconds after which a request may expire.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 1..=30 * 24 * 3600;
/// Seconds of a lease.
const LEASES: std::ops::RangeInclusive<u32> = 5..=3600;

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalQuery {
    /// In this state: `pending`, `approved`, `rejected`, `expired`, `withdrawn`
    state: Option<String>,
    /// Of this run.
    run: Option<String>,
    /// About this graph or one of its tasks.
    graph: Option<i64>,
    /// About this task.
    task: Option<i64>,
}

/// What waits for a person and what was decided, latest first, without its texts
#[utoipa::path(
    get, path = "/approvals", tag = "approvals", operation_id = "list_approvals",
    params(ApprovalQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Approval>)),
    security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<ApprovalQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Approval>>, Problem> {
    let ApprovalQuery { state, run, graph, task } = which;
    let state = state
        .map(|name| {
            ApprovalState::from_name(&name)
                .ok_or_else(|| Problem::invalid("state", format!("{name:?} is no state")))
        })
        .transpose()?;
    let filter = ApprovalFilter { state, run, graph: graph.map(GraphId), task: task.map(TaskId) };
    let page = api.store.approvals(&filter, APPROVALS.request(&part)?).await?;
    Ok(Json(APPROVALS.page(page)))
}

/// Asks for a decision; the same request, asked again while it is pending, is the same one
#[utoipa::path(
    post, path = "/approvals", tag = "approvals", operation_id = "request_approval",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = types::ApprovalSubmission,
    responses((status = 201, body = types::Approval)), security(("token" = ["work"]))
)]
pub(super) async fn request(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    key: Key,
    Body(body): Body<types::ApprovalSubmission>,
) -> Result<Response, Problem> {
    if let Some(agent) = caller.agent() {
        let id = caller.id();
        return Err(Problem::new(
            Kind::Forbidden,
            format!("the token {id} is the agent {agent}'s, which asks for no approval"),
        ));
    }
    let body = sound(body)?;
    let key = key.of(caller.id());
    let approval = api.store.request_approval(&body, caller.id(), key.as_deref()).await?;
    let place = format!("/api/v1/approvals/{}", approval.id);
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(approval)).into_response())
}

/// A request within its bounds, without secrets.
fn sound(mut body: types::ApprovalSubmission) -> Result<types::ApprovalSubmission, Problem> {
    for (path, text) in [("$.run", &body.run), ("$.environment", &body.environment)] {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(Problem::invalid(path, "it must be a single line of 1 to 200 bytes"));
        }
    }
    let commit = body.commit.clone().unwrap_or_default();
    for (path, text, required) in [
        ("$.commit", &commit, false),
        ("$.base_tree", &body.base_tree, false),
        ("$.new_tree", &body.new_tree, true),
        ("$.policy", &body.policy, true),
    ] {
        let id = text.len() <= 128 && text.chars().all(|it| it.is_ascii_hexdigit());
        if !id || required && text.is_empty() {
            return Err(Problem::invalid(path, "it must be an id in hexadecimal digits"));
        }
    }
    match body.subject {
        ApprovalSubject::Patch | ApprovalSubject::Rollout | ApprovalSubject::Proof => {}
        ApprovalSubject::Task | ApprovalSubject::Merge => {
            let text = "a run asks about a patch, a rollout or a proof";
            return Err(Problem::invalid("$.subject", text));
        }
    }
    for (path, value, range) in [
        ("$.timeout_seconds", body.timeout_seconds, TIMEOUTS),
        ("$.lease_seconds", body.lease_seconds, LEASES),
    ] {
        if !range.contains(&value) {
            let text = format!("it must be from {} to {}", range.start(), range.end());
            return Err(Problem::invalid(path, text));
        }
    }
    if body.request.trim().is_empty() {
        return Err(Problem::invalid("$.request", "it must say what is asked"));
    }
    let redactor = Redactor::default();
    for (path, text, most) in [
        ("$.request", &mut body.request, 16 << 10),
        ("$.diff", &mut body.diff, 256 << 10),
        ("$.evidence", &mut body.evidence, 64 << 10),
        ("$.review", &mut body.review, 16 << 10),
    ] {
        if text.len() > most {
            return Err(Problem::invalid(path, format!("it is at most {most} bytes long")));
        }
        // A database's text has no such character.
        *text = redactor.redact(&text.replace('\0', "\u{fffd}")).into_owned();
    }
    Ok(body)
}

/// One request with its texts
#[utoipa::path(
    get, path = "/approvals/{id}", tag = "approvals", operation_id = "get_approval",
    params(("id" = i64, Path)),
    responses((status = 200, body = types::Approval)), security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
) -> Result<Json<types::Approval>, Problem> {
    Ok(Json(api.store.approval(id).await?))
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How many seconds to wait for the decision, at most 20.
    #[param(maximum = 20)]
    wait: Option<u32>,
}

/// Says that who asked still waits; with `wait`, answers as soon as it is decided
#[utoipa::path(
    post, path = "/approvals/{id}/await", tag = "approvals", operation_id = "await_approval",
    params(("id" = i64, Path), WaitQuery),
    responses((status = 200, body = types::Approval)), security(("token" = ["work"]))
)]
pub(super) async fn wait(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(id): PathParams<i64>,
    QueryParams(WaitQuery { wait }): QueryParams<WaitQuery>,
) -> Result<Json<types::Approval>, Problem> {
    let wait = wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::invalid("wait", format!("it must be at most {LONGEST_WAIT}")));
    }
    own(&api, &caller, id).await?;
    let until = Instant::now() + Duration::from_secs(wait.into());
    let mut state = api.store.renew_approval(id).await?;
    while state == ApprovalState::Pending
        && Instant::now() + LOOK <= until
        && !api.end.is_cancelled()
    {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = api.end.cancelled() => {}
        }
        state = api.store.approval_state(id).await?;
    }
    Ok(Json(api.store.approval(id).await?))
}

/// A request is kept, and withdrawn, by who asked.
async fn own(api: &Api, caller: &Caller, id: i64) -> Result<(), Problem> {
    let token = api.store.approval_token(id).await?;
    if token == caller.id() {
        return Ok(());
    }
    let own = caller.id();
    Err(Problem::new(Kind::Forbidden, format!("the token {own} did not ask for approval {id}")))
}

/// Who asked waits no longer
#[utoipa::path(
    post, path = "/approvals/{id}/withdraw", tag = "approvals",
    operation_id = "withdraw_approval", params(("id" = i64, Path)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Approval)), security(("token" = ["work"]))
)]
pub(super) async fn withdraw(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(id): PathParams<i64>,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Approval>, Problem> {
    if caller.scope() != Scope::Admin {
        own(&api, &caller, id).await?;
    }
    let reason = caller.operator(&body.reason)?.reason;
    Ok(Json(api.store.withdraw_approval(id, &reason).await?))
}

/// Approves what waits
#[utoipa::path(
    post, path = "/approvals/{id}/approve", tag = "approvals", operation_id = "approve",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ApprovalDecision>,
    responses((status = 200, body = types::Approval)), security(("token" = ["admin"]))
)]
pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ApprovalDecision>,
) -> Result<Json<types::Approval>, Problem> {
    let command = OperatorCommand::Approve { id, scope: body.scope };
    decide(&api, &caller, &key, &body.reason, id, command).await
}

/// Rejects it
#[utoipa::path(
    post, path = "/approvals/{id}/reject", tag = "approvals", operation_id = "reject",
    params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ApprovalDecision>,
    responses((status = 200, body = types::Approval)), security(("token" = ["admin"]))
)]
pub(super) async fn reject(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(id): PathParams<i64>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ApprovalDecision>,
) -> Result<Json<types::Approval>, Problem> {
    let command = OperatorCommand::Reject { id, scope: body.scope };
    decide(&api, &caller, &key, &body.reason, id, command).await
}

async fn decide(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    id: i64,
    command: OperatorCommand,
) -> Result<Json<types::Approval>, Problem> {
    act(api, caller, key, reason, command).await?;
    Ok(Json(api.store.approval(id).await?))
}
