//! Deploy runs and their reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Body, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::{Kind, Problem};
use crate::api::tagged::tagged;
use crate::store::{RunCursor, RunFilter};
use greenloop_hub_api::types;

const LIST: List = List("runs");

/// Which runs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RunQuery {
    /// Of this environment; empty for all.
    environment: Option<String>,
    /// In this state: `running`, `verified`, or why it stopped; empty for all.
    state: Option<String>,
}

/// The runs that were reported last, without their reports
#[utoipa::path(
    get, path = "/runs", tag = "runs", operation_id = "list_runs", params(RunQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Run>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(RunQuery { environment, state }): QueryParams<RunQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Run>>, Problem> {
    let (after, limit) = LIST.text_request(&part, place)?;
    let named = |name: Option<String>| name.filter(|it| !it.is_empty());
    let filter = RunFilter { environment: named(environment), state: named(state) };
    let (items, next) = api.store.runs(&filter, after.as_ref(), limit).await?;
    let next = next.map(|it| LIST.cursor(format_args!("{} {}", it.updated_at, it.id)));
    Ok(Json(types::Page { items, next }))
}

/// Reads a place in the list.
fn place(text: &str) -> Option<RunCursor> {
    let (updated_at, id) = text.split_once(' ')?;
    // A database's text has no such character.
    let id = Some(id).filter(|id| !id.contains('\0'))?;
    Some(RunCursor { updated_at: updated_at.parse().ok()?, id: id.to_owned() })
}

/// Says where a run is
#[utoipa::path(
    post, path = "/runs", tag = "runs", operation_id = "report_run",
    request_body = types::RunReport,
    responses((status = 201, body = types::Run)), security(("token" = ["work"]))
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Body(body): Body<types::RunReport>,
) -> Result<(StatusCode, Json<types::Run>), Problem> {
    // A worker does attempts at tasks; runs are reported by whoever deploys.
    if let Some(agent) = caller.agent() {
        let id = caller.id();
        return Err(Problem::new(
            Kind::Forbidden,
            format!("the token {id} is the agent {agent}'s, which reports attempts and no runs"),
        ));
    }
    for (path, text) in
        [("$.id", &body.id), ("$.environment", &body.environment), ("$.state", &body.state)]
    {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(Problem::invalid(path, "it must be a single line of 1 to 200 bytes"));
        }
    }
    let run = api.store.report_run(&body).await?;
    Ok((StatusCode::CREATED, Json(run)))
}

/// One run with its report
#[utoipa::path(
    get, path = "/runs/{id}", tag = "runs", operation_id = "get_run",
    params(("id" = String, Path)),
    responses((status = 200, body = types::Run), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &api.store.run(&id).await?)
}
