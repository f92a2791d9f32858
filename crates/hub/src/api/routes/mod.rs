//! All routes, each with its description.

mod agents;
mod alerts;
mod attempts;
mod claims;
mod events;
mod git;
mod graphs;
mod hub;
mod progress;
mod runs;
mod socket;
mod tasks;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Kind, Problem, method_not_allowed};
use super::{Api, guard, openapi_base};

/// Bytes of a body, where nothing else is said: a piece of evidence of 256 KiB, however it is
/// escaped.
const BODY: usize = 2 << 20;
/// Bytes of a graph: 100,000 tasks.
const GRAPH: usize = 64 << 20;

/// The routes under `/api/v1` with their descriptions.
pub(super) fn described() -> OpenApiRouter<Arc<Api>> {
    let graphs = OpenApiRouter::new()
        .routes(routes!(graphs::list, graphs::submit))
        .layer(DefaultBodyLimit::max(GRAPH));
    let api = OpenApiRouter::new()
        .merge(graphs)
        .routes(routes!(graphs::one))
        .routes(routes!(graphs::cancel))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::ready))
        .routes(routes!(tasks::one))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::attempts))
        .routes(routes!(tasks::evidence))
        .routes(routes!(tasks::assignments))
        .routes(routes!(claims::claim))
        .routes(routes!(attempts::heartbeat))
        .routes(routes!(attempts::evidence))
        .routes(routes!(attempts::complete))
        .routes(routes!(attempts::fail))
        .routes(routes!(agents::heartbeat))
        .routes(routes!(agents::list))
        .routes(routes!(agents::one, agents::remove))
        .routes(routes!(agents::leave))
        .routes(routes!(agents::deactivate))
        .routes(routes!(agents::activate))
        .routes(routes!(alerts::list))
        .routes(routes!(progress::summary))
        .routes(routes!(progress::agents))
        .routes(routes!(progress::snapshot))
        .routes(routes!(progress::history))
        .routes(routes!(git::merges))
        .routes(routes!(git::retry))
        .routes(routes!(git::eject))
        .routes(routes!(git::decide))
        .routes(routes!(git::branches))
        .routes(routes!(runs::list, runs::report))
        .routes(routes!(runs::one))
        .routes(routes!(events::events))
        .routes(routes!(socket::socket))
        .routes(routes!(hub::health))
        .routes(routes!(hub::description));
    OpenApiRouter::with_openapi(openapi_base::base())
        .nest("/api/v1", api)
        .routes(routes!(hub::metrics))
}

/// Everything that is served.
pub(super) fn router(api: Arc<Api>) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .route("/", get(hub::dashboard))
        .fallback(hub::file)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(fault))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::guard))
        .with_state(api)
}

/// A mistake of this program takes down a request, not the hub.
fn fault(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request met a fault of the hub");
    Problem::new(Kind::Internal, "the hub's log says more").into_response()
}
