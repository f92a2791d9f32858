//! What people did, and who one is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Caller, Reader};
use crate::api::extract::{Key, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::store::{ActionFilter, OperatorCommand};
use greenloop_hub_api::types;
use greenloop_model::task::{GraphId, TaskId};

const ACTIONS: List = List("actions");

/// Which actions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ActionQuery {
    /// About this graph or one of its tasks.
    graph: Option<i64>,
    /// About this task.
    task: Option<i64>,
    /// About this worker.
    agent: Option<String>,
    /// By somebody whose token has this name.
    operator: Option<String>,
}

/// Does what a person asks for, once for each key.
pub(super) async fn act(
    api: &Api,
    caller: &Caller,
    key: &Key,
    reason: &str,
    command: OperatorCommand,
) -> Result<(), Problem> {
    let operator = caller.operator(reason)?;
    api.store.act(&command, &operator, key.of(caller.id()).as_deref()).await?;
    tracing::info!(by = operator.name, action = command.name(), "a person acts");
    Ok(())
}

/// What people did: who, what, why, and what it changed; latest first
#[utoipa::path(
    get, path = "/actions", tag = "hub", operation_id = "list_actions",
    params(ActionQuery, PageQuery),
    responses((status = 200, body = types::Page<types::OperatorAction>)),
    security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<ActionQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::OperatorAction>>, Problem> {
    let filter = ActionFilter {
        graph: which.graph.map(GraphId),
        task: which.task.map(TaskId),
        agent: which.agent,
        operator: which.operator,
    };
    let page = api.store.actions(&filter, ACTIONS.request(&part)?).await?;
    Ok(Json(ACTIONS.page(page)))
}

/// Who asks, and what they may do
#[utoipa::path(
    get, path = "/session", tag = "hub", operation_id = "get_session",
    responses((status = 200, body = types::Session)), security(("token" = ["read"]))
)]
pub(super) async fn session(Reader(caller): Reader) -> Json<types::Session> {
    Json(types::Session {
        name: caller.name().map(str::to_owned),
        scope: caller.scope().name().to_owned(),
    })
}
