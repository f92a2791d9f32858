//! Agents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::actions::act;
use crate::api::Api;
use crate::api::auth::{Admin, Caller, Reader, Worker};
use crate::api::extract::{Body, Key, OptionalBody, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::api::tagged::tagged;
use crate::store::OperatorCommand;
use greenloop_hub_api::types;

const LIST: List = List("agents");
/// Bytes of an agent's name.
const LONGEST_NAME: usize = 128;
/// Seconds from one heartbeat of a worker to the next.
const LONGEST_PERIOD: u32 = 86_400;

/// Whether it can be an agent's name.
pub(super) fn named(path: &str, name: &str) -> Result<(), Problem> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if name.is_empty() || name.len() > LONGEST_NAME || !plain {
        return Err(Problem::invalid(
            path,
            format!("a name consists of 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`"),
        ));
    }
    Ok(())
}

/// Says that an agent is there; whether it may have work
#[utoipa::path(
    post, path = "/agents/heartbeat", tag = "agents", operation_id = "heartbeat_agent",
    request_body = types::AgentHeartbeat,
    responses((status = 200, body = types::Agent)), security(("token" = ["work"]))
)]
pub(super) async fn heartbeat(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Body(body): Body<types::AgentHeartbeat>,
) -> Result<Json<types::Agent>, Problem> {
    named("$.name", &body.name)?;
    caller.must_be(&body.name)?;
    if body.cpu_percent.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
        return Err(Problem::invalid("$.cpu_percent", "it must be from 0 to 100"));
    }
    if body.period_seconds.is_some_and(|it| !(1..=LONGEST_PERIOD).contains(&it)) {
        let message = format!("it must be from 1 to {LONGEST_PERIOD}");
        return Err(Problem::invalid("$.period_seconds", message));
    }
    api.store.agent_heartbeat(&body).await?;
    Ok(Json(api.store.agent(&body.name).await?))
}

/// Says that an agent stops by itself and is not to be expected any more
#[utoipa::path(
    post, path = "/agents/{name}/leave", tag = "agents", operation_id = "leave_agent",
    params(("name" = String, Path)), request_body = types::AgentLeaving,
    responses((status = 204, description = "The worker is no longer registered, or has been \
        started again elsewhere")),
    security(("token" = ["work"]))
)]
pub(super) async fn leave(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(name): PathParams<String>,
    Body(body): Body<types::AgentLeaving>,
) -> Result<StatusCode, Problem> {
    caller.must_be(&name)?;
    api.store.agent_leaves(&name, &body.instance).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an agent that left or is down; what it did stays
#[utoipa::path(
    delete, path = "/agents/{name}", tag = "agents", operation_id = "remove_agent",
    params(("name" = String, Path)), request_body = Option<types::ActionRequest>,
    responses((status = 204, description = "Removed; its name can be used again")),
    security(("token" = ["admin"]))
)]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<StatusCode, Problem> {
    act(&api, &caller, &key, &body.reason, OperatorCommand::RemoveAgent { name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The agent, after what a person asks for.
async fn act_on(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    name: &str,
    command: OperatorCommand,
) -> Result<Json<types::Agent>, Problem> {
    act(api, caller, key, reason, command).await?;
    Ok(Json(api.store.agent(name).await?))
}

/// Agents by name
#[utoipa::path(
    get, path = "/agents", tag = "agents", operation_id = "list_agents", params(PageQuery),
    responses((status = 200, body = types::Page<types::Agent>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Agent>>, Problem> {
    let request = LIST.request(&part)?;
    let agents = api.store.agents().await?;
    let numbered = (1..).zip(agents).collect();
    let page = LIST.cut(numbered, request, |(number, _): &(i64, _)| *number);
    let items = page.items.into_iter().map(|(_, agent)| agent).collect();
    Ok(Json(types::Page { items, next: page.next }))
}

/// One agent
#[utoipa::path(
    get, path = "/agents/{name}", tag = "agents", operation_id = "get_agent",
    params(("name" = String, Path)),
    responses((status = 200, body = types::Agent), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(name): PathParams<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &api.store.agent(&name).await?)
}

/// Gives an agent no more work
#[utoipa::path(
    post, path = "/agents/{name}/deactivate", tag = "agents", operation_id = "deactivate_agent",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Agent)), security(("token" = ["admin"]))
)]
pub(super) async fn deactivate(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Agent>, Problem> {
    let command = OperatorCommand::DeactivateAgent { name: name.clone() };
    act_on(&api, &caller, &key, &body.reason, &name, command).await
}

/// Gives a deactivated agent work again
#[utoipa::path(
    post, path = "/agents/{name}/activate", tag = "agents", operation_id = "activate_agent",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Agent)), security(("token" = ["admin"]))
)]
pub(super) async fn activate(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Agent>, Problem> {
    let command = OperatorCommand::ActivateAgent { name: name.clone() };
    act_on(&api, &caller, &key, &body.reason, &name, command).await
}

/// Has an agent finish what it has and stop
#[utoipa::path(
    post, path = "/agents/{name}/drain", tag = "agents", operation_id = "drain_agent",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Agent)), security(("token" = ["admin"]))
)]
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Agent>, Problem> {
    let command = OperatorCommand::DrainAgent { name: name.clone() };
    act_on(&api, &caller, &key, &body.reason, &name, command).await
}

/// Puts an agent in quarantine: it is given no more work until a person releases it
#[utoipa::path(
    post, path = "/agents/{name}/quarantine", tag = "agents", operation_id = "quarantine_agent",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Agent)), security(("token" = ["admin"]))
)]
pub(super) async fn quarantine(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Agent>, Problem> {
    let command = OperatorCommand::QuarantineAgent { name: name.clone() };
    act_on(&api, &caller, &key, &body.reason, &name, command).await
}

/// Ends the quarantine that a person has put an agent in
#[utoipa::path(
    post, path = "/agents/{name}/release", tag = "agents", operation_id = "release_agent",
    params(("name" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<types::ActionRequest>,
    responses((status = 200, body = types::Agent)), security(("token" = ["admin"]))
)]
pub(super) async fn release(
    State(api): State<Arc<Api>>,
    Admin(caller): Admin,
    PathParams(name): PathParams<String>,
    key: Key,
    OptionalBody(body): OptionalBody<types::ActionRequest>,
) -> Result<Json<types::Agent>, Problem> {
    let command = OperatorCommand::ReleaseAgent { name: name.clone() };
    act_on(&api, &caller, &key, &body.reason, &name, command).await
}
