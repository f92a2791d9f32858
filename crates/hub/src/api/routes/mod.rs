//! All routes, each with its description.

mod actions;
mod agents;
mod alerts;
mod approvals;
mod attempts;
mod badge;
mod checkpoints;
mod claims;
mod events;
mod flakes;
mod git;
mod graphs;
mod hub;
mod logs;
mod progress;
mod report;
mod runs;
mod socket;
mod task_actions;
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
        .routes(routes!(graphs::tasks))
        .routes(routes!(graphs::timeline))
        .routes(routes!(report::report))
        .routes(routes!(graphs::cancel))
        .routes(routes!(graphs::pause))
        .routes(routes!(graphs::resume))
        .routes(routes!(graphs::retry))
        .routes(routes!(tasks::list, task_actions::add))
        .routes(routes!(tasks::ready))
        .routes(routes!(tasks::search))
        .routes(routes!(tasks::one, task_actions::edit))
        .routes(routes!(task_actions::cancel))
        .routes(routes!(task_actions::retry))
        .routes(routes!(task_actions::assign))
        .routes(routes!(task_actions::take_over))
        .routes(routes!(task_actions::resolve))
        .routes(routes!(tasks::attempts))
        .routes(routes!(logs::list))
        .routes(routes!(logs::read))
        .routes(routes!(logs::search))
        .routes(routes!(logs::append))
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
        .routes(routes!(agents::drain))
        .routes(routes!(agents::quarantine))
        .routes(routes!(agents::release))
        .routes(routes!(actions::list))
        .routes(routes!(actions::session))
        .routes(routes!(alerts::list))
        .routes(routes!(progress::summary))
        .routes(routes!(progress::agents))
        .routes(routes!(progress::snapshot))
        .routes(routes!(progress::history))
        .routes(routes!(git::merges))
        .routes(routes!(git::retry))
        .routes(routes!(git::eject))
        .routes(routes!(git::decide))
        .routes(routes!(git::pause))
        .routes(routes!(git::resume))
        .routes(routes!(git::branches))
        .routes(routes!(runs::list, runs::report))
        .routes(routes!(runs::one))
        .routes(routes!(flakes::list, flakes::report))
        .routes(routes!(checkpoints::one))
        .routes(routes!(checkpoints::keep))
        .routes(routes!(approvals::list, approvals::request))
        .routes(routes!(approvals::one))
        .routes(routes!(approvals::wait))
        .routes(routes!(approvals::withdraw))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::reject))
        .routes(routes!(events::events))
        .routes(routes!(socket::socket))
        .routes(routes!(hub::health))
        .routes(routes!(hub::description));
    OpenApiRouter::with_openapi(openapi_base::base())
        .nest("/api/v1", api)
        .routes(routes!(hub::metrics))
        .routes(routes!(badge::graph))
        .routes(routes!(badge::environment))
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
    tracing::error!("internal error in a request");
    Problem::new(Kind::Internal, "see the hub's log").into_response()
}
