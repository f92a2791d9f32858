//! Flaky tests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Body, QueryParams};
use crate::api::page::{List, PageQuery};
use crate::api::problem::{Kind, Problem};
use greenloop_hub_api::types;

const LIST: List = List("flakes");
/// Tests of one report.
const MOST: usize = 500;
/// Bytes of a name.
const LONGEST: usize = 500;

/// Which tests.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FlakeQuery {
    /// Of this repository.
    repository: String,
}

/// Tests of a repository that were seen to pass and to fail on one tree within two weeks, the
/// latest first
#[utoipa::path(
    get, path = "/flakes", tag = "runs", operation_id = "list_flakes", params(FlakeQuery, PageQuery),
    responses((status = 200, body = types::Page<types::Flake>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(FlakeQuery { repository }): QueryParams<FlakeQuery>,
    QueryParams(part): QueryParams<PageQuery>,
) -> Result<Json<types::Page<types::Flake>>, Problem> {
    let request = LIST.request(&part)?;
    let items = api.store.flakes(&repository, request.limit).await?;
    Ok(Json(types::Page { items, next: None }))
}

/// Says which tests a run has seen to pass and to fail on one tree
#[utoipa::path(
    post, path = "/flakes", tag = "runs", operation_id = "report_flakes",
    request_body = types::FlakeReport,
    responses((status = 204, description = "Remembered")), security(("token" = ["work"]))
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Body(body): Body<types::FlakeReport>,
) -> Result<StatusCode, Problem> {
    // What is known to be flaky is run again before anybody repairs it: whoever works on a task
    // does not say so of its own tests.
    if let Some(agent) = caller.agent() {
        let id = caller.id();
        return Err(Problem::new(
            Kind::Forbidden,
            format!("the token {id} is the agent {agent}'s, which reports attempts and no tests"),
        ));
    }
    let is_name =
        |text: &str| !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
    if !is_name(&body.repository) {
        return Err(Problem::invalid("$.repository", "it must be a single line of 1 to 500 bytes"));
    }
    if body.tests.is_empty() || body.tests.len() > MOST {
        return Err(Problem::invalid("$.tests", "it must have 1 to 500 names"));
    }
    if let Some(at) = body.tests.iter().position(|test| !is_name(test)) {
        let path = format!("$.tests[{at}]");
        return Err(Problem::invalid(&path, "it must be a single line of 1 to 500 bytes"));
    }
    api.store.report_flakes(&body).await?;
    Ok(StatusCode::NO_CONTENT)
}
