//! The hub's HTTP API: axum around the store.
//!
//! Lives here: routes, who may use them, problems, live connections, metrics, OpenAPI. Must not
//! be here: SQL, git, what a graph means.
//!
//! # Guarantees
//! - Nothing changes without a token; what a token may is checked before a body is read.
//! - Every answer that is not a success is a problem after RFC 9457.
//! - A stale lease is answered with 409 `stale-lease`, and nothing has changed.
//! - The same call with the same `Idempotency-Key` and token has the answer of the first one.
//! - A client that reads slowly costs nobody but itself.

mod alerts;
mod attempt_owners;
mod auth;
mod claim_queue;
mod extract;
mod guard;
mod hosts;
mod limits;
mod live;
mod metrics;
mod openapi;
mod openapi_base;
mod page;
mod parameters;
mod problem;
mod routes;
mod tagged;
mod tokens;
mod velocity;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use greenloop_audit::SigningKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use auth::Peer;
pub use hosts::Hosts;
pub use openapi::document;

use crate::store::{StoreError, TaskStore};
use attempt_owners::AttemptOwners;
use claim_queue::ClaimQueue;
use limits::Limits;
use live::Feed;
use metrics::Metrics;
use parameters::Parameters;
use tokens::Tokens;

/// Wrong tokens that one address may try a second, and at once.
const GUESSES: (u32, u32) = (1, 20);

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether anybody who reaches the hub may look without a token.
    pub open_to_read: bool,
    /// Whether anybody who reaches the hub may have badges without a token.
    pub public_badges: bool,
    /// Whether clients speak TLS with the hub.
    pub tls: bool,
    /// What the hub is called.
    pub hosts: Hosts,
    /// Pages of other origins that may change things: `https://ops.example.org`.
    pub origins: Vec<String>,
    /// Requests a second of one token; 0 for no limit. Twice as many may come at once.
    pub rate: u32,
    /// Events that are kept for live connections: one that falls behind by more is dropped.
    pub live_events: usize,
    /// Signs checkpoints of runs' audit logs.
    pub witness: Option<Arc<SigningKey>>,
}

/// What all requests share.
#[derive(Debug)]
struct Api {
    store: TaskStore,
    settings: Settings,
    parameters: Parameters,
    /// The description of the API, as JSON.
    description: String,
    tokens: Tokens,
    owners: AttemptOwners,
    callers: Limits<String>,
    guesses: Limits<IpAddr>,
    claims: Arc<ClaimQueue>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    started: Instant,
    /// The hub stops: nobody waits any longer.
    end: CancellationToken,
    /// WebSocket connections, which outlive the requests that they began as.
    sockets: TaskTracker,
}

/// The API, ready to be served, and what runs beside it.
#[derive(Debug)]
pub struct Service {
    /// All routes.
    pub router: Router,
    /// Connections that are no requests any more; waited for at the end.
    pub sockets: TaskTracker,
}

/// Puts the API together and starts what it needs in the background, until `end`.
///
/// # Errors
/// Those of the store.
pub async fn service(
    store: TaskStore,
    settings: Settings,
    background: &TaskTracker,
    end: &CancellationToken,
) -> Result<Service, StoreError> {
    let metrics = Arc::new(Metrics::new());
    let feed = Arc::new(Feed::new(settings.live_events));
    let old = live::begin(&store, &feed, settings.live_events).await?;
    let claims = Arc::new(ClaimQueue::default());
    background.spawn(Arc::clone(&claims).keep(store.clone(), end.clone()));
    background.spawn(live::read(
        store.clone(),
        Arc::clone(&feed),
        Arc::clone(&metrics),
        old,
        end.clone(),
    ));
    let sockets = TaskTracker::new();
    let description = document();
    let api = Arc::new(Api {
        parameters: Parameters::of(&description),
        description: description.to_json().unwrap_or_default(),
        tokens: Tokens::new(store.clone()),
        owners: AttemptOwners::new(store.clone()),
        callers: Limits::new(settings.rate, settings.rate.saturating_mul(2)),
        guesses: Limits::new(GUESSES.0, GUESSES.1),
        claims,
        feed,
        metrics,
        started: Instant::now(),
        end: end.clone(),
        sockets: sockets.clone(),
        store,
        settings,
    });
    Ok(Service { router: routes::router(api), sockets })
}

/// A number from 0 to 1 that two hubs, or two connections, do not share.
fn chance() -> f64 {
    fastrand::f64()
}
