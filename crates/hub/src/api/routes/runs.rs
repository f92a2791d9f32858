//! Deploy runs and their reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Asked, Body, Place};
use crate::api::page::{List, Part};
use crate::api::problem::Problem;
use crate::api::tagged::tagged;
use crate::api::{Api, records};
use crate::store;
use greenloop_hub_api::client::wire;

const LIST: List = List("runs");

/// The runs that were reported last, without their reports
#[utoipa::path(
    get, path = "/runs", tag = "runs", operation_id = "list_runs", params(Part),
    responses((status = 200, body = wire::Page<wire::Run>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Asked(part): Asked<Part>,
) -> Result<Json<wire::Page<wire::Run>>, Problem> {
    let request = LIST.request(&part)?;
    let runs = api.store.runs(request.limit).await?;
    Ok(Json(wire::Page { items: runs.into_iter().map(records::run).collect(), next: None }))
}

/// Says where a run is
#[utoipa::path(
    post, path = "/runs", tag = "runs", operation_id = "report_run",
    request_body = wire::RunReport,
    responses((status = 201, body = wire::Run)), security(("token" = ["work"]))
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    _worker: Worker,
    Body(body): Body<wire::RunReport>,
) -> Result<(StatusCode, Json<wire::Run>), Problem> {
    for (path, text) in
        [("$.id", &body.id), ("$.environment", &body.environment), ("$.state", &body.state)]
    {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(Problem::invalid(path, "it is one line of 1 to 200 bytes"));
        }
    }
    let report = store::RunReport {
        id: body.id,
        environment: body.environment,
        state: body.state,
        commit: body.commit,
        iterations: body.iterations,
        summary: body.summary,
        report: body.report,
    };
    let run = api.store.report_run(&report).await?;
    Ok((StatusCode::CREATED, Json(records::run(run))))
}

/// One run with its report
#[utoipa::path(
    get, path = "/runs/{id}", tag = "runs", operation_id = "get_run",
    params(("id" = String, Path)),
    responses((status = 200, body = wire::Run), (status = 304, description = "Unchanged")),
    security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    Place(id): Place<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    tagged(&headers, &records::run(api.store.run(&id).await?))
}
