//! Deploy runs and their reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::api::Api;
use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Body, PathParams, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::Problem;
use crate::api::tagged::tagged;
use greenloop_hub_api::types;

const LIST: List = List("runs");

/// The runs that were reported last, without their reports
#[utoipa::path(
    get, path = "/runs", tag = "runs", operation_id = "list_runs", params(PageQuery),
    responses((status = 200, body = types::Page<types::Run>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Run>>, Problem> {
    let request = LIST.request(&part)?;
    let runs = api.store.runs(request.limit).await?;
    Ok(Json(types::Page { items: runs, next: None }))
}

/// Says where a run is
#[utoipa::path(
    post, path = "/runs", tag = "runs", operation_id = "report_run",
    request_body = types::RunReport,
    responses((status = 201, body = types::Run)), security(("token" = ["work"]))
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    _worker: Worker,
    Body(body): Body<types::RunReport>,
) -> Result<(StatusCode, Json<types::Run>), Problem> {
    for (path, text) in
        [("$.id", &body.id), ("$.environment", &body.environment), ("$.state", &body.state)]
    {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(Problem::invalid(path, "it is one line of 1 to 200 bytes"));
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
