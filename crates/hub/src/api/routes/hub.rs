//! The hub itself: health, metrics, its description, the dashboard.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::auth::Reader;
use crate::api::problem::{Problem, not_found};
use crate::api::tagged::with_tag;
use crate::api::{Api, metrics};
use crate::dashboard;
use crate::store::Dependency;
use greenloop_hub_api::types;

/// Whether the hub can do its work; needs no token
#[utoipa::path(
    get, path = "/health", tag = "hub", operation_id = "health",
    responses((status = 200, body = types::Health), (status = 503, body = types::Health)),
    security(())
)]
pub(super) async fn health(State(api): State<Arc<Api>>) -> (StatusCode, Json<types::Health>) {
    let dependencies = api.store.health().await;
    let able = dependencies.iter().all(|it| it.optional || it.healthy);
    let whole = dependencies.iter().all(|it| it.healthy);
    let state = |names: &[&str]| {
        let found = dependencies.iter().find(|it| names.contains(&it.name));
        found.map_or("off", status).to_owned()
    };
    let health = types::Health {
        status: match (able, whole) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "down",
        }
        .to_owned(),
        store: state(&["sqlite", "postgres"]),
        notifications: state(&["notifications"]),
        redis: state(&["redis"]),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: api.started.elapsed().as_secs(),
        dependencies: dependencies.iter().map(dependency).collect(),
    };
    let code = if able { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(health))
}

fn status(dependency: &Dependency) -> &'static str {
    if dependency.healthy { "ok" } else { "down" }
}

fn dependency(one: &Dependency) -> types::Dependency {
    types::Dependency {
        name: one.name.to_owned(),
        status: status(one).to_owned(),
        optional: one.optional,
        detail: one.detail.clone(),
        latency_ms: one.latency.map(|it| it.as_secs_f64() * 1000.0),
    }
}

/// This description; needs no token
#[utoipa::path(
    get, path = "/openapi.json", tag = "hub", operation_id = "description",
    responses((status = 200, description = "OpenAPI 3.1"), (status = 304, description = "Unchanged")),
    security(())
)]
pub(super) async fn description(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let text = &api.description;
    let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..32]);
    with_tag(&headers, &tag, "application/json", "no-cache", text.clone())
}

/// Figures for Prometheus, as OpenMetrics
#[utoipa::path(
    get, path = "/metrics", tag = "hub", operation_id = "metrics",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)),
    security(("token" = ["read"]))
)]
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    _reader: Reader,
) -> Result<Response, Problem> {
    let text = metrics::render(&api).await?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// The dashboard's page.
pub(super) async fn dashboard(headers: HeaderMap) -> Response {
    page(&headers, "/").unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// A file of the dashboard, or nothing.
pub(super) async fn file(request: Request) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let found = reads.then(|| page(request.headers(), request.uri().path())).flatten();
    match found {
        Some(response) => response,
        None => not_found(request).await.into_response(),
    }
}

fn page(headers: &HeaderMap, path: &str) -> Option<Response> {
    let asset = dashboard::asset(path)?;
    let body: axum::body::Bytes = match asset.bytes {
        std::borrow::Cow::Borrowed(bytes) => bytes.into(),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    };
    let mut response = with_tag(headers, &asset.etag, asset.content_type, "no-cache", body);
    let policy = HeaderValue::from_static(dashboard::POLICY);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Some(response)
}
