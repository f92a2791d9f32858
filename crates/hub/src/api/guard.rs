//! What every request passes, whatever it asks for: host and origin checks, the names in its
//! query, a time limit, the headers that browsers obey, and a line in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, UPGRADE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::{Kind, Problem};

/// How long a request may take, but for those that wait on purpose.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a claim may wait, with what it takes besides.
const CLAIM_STALL_TIMEOUT: Duration = Duration::from_secs(90);

/// For answers that are no page: nothing in them may run.
const NOTHING_RUNS: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The middleware around all routes.
pub(super) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path =
        request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let allowed = allowed(&api, &request).and_then(|()| api.parameters.check(&path, request.uri()));
    let mut response = match allowed {
        Ok(()) => within(patience(&path), next.run(request)).await,
        Err(problem) => problem.into_response(),
    };
    let (took, status) = (began.elapsed(), response.status().as_u16());
    api.metrics.request(&method, &path, status, took);
    // Never the query, headers or bodies: they may hold what is nobody else's business.
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::warn!(%method, path, status, ms, "request");
    } else {
        tracing::debug!(%method, path, status, ms, "request");
    }
    harden(response.headers_mut(), api.settings.tls);
    response
}

fn patience(path: &str) -> Duration {
    if path.ends_with("/claims") { CLAIM_STALL_TIMEOUT } else { STALL_TIMEOUT }
}

async fn within(patience: Duration, answer: impl Future<Output = Response>) -> Response {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_elapsed| {
        Problem::new(
            Kind::Timeout,
            "the request took too long; it may be repeated with the same Idempotency-Key",
        )
        .into_response()
    })
}

fn allowed(api: &Api, request: &Request) -> Result<(), Problem> {
    let host = host(request)?;
    if !api.settings.hosts.allow(host) {
        return Err(Problem::new(
            Kind::Misdirected,
            "the Host header is not a host name of this hub: allow it with --host",
        ));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes || request.headers().contains_key(UPGRADE) {
        same_origin(api, request.headers(), host)?;
    }
    Ok(())
}

fn host(request: &Request) -> Result<&str, Problem> {
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST).and_then(|value| value.to_str().ok()),
    };
    named.ok_or_else(|| Problem::new(Kind::Malformed, "the Host header is missing"))
}

/// A browser says which page a request comes from; programs say nothing.
fn same_origin(api: &Api, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let foreign = || {
        Problem::new(
            Kind::Forbidden,
            "the request comes from a page of another origin: allow it with --origin",
        )
    };
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().map_err(|_not_text| foreign())?;
        let scheme = if api.settings.tls { "https" } else { "http" };
        let own = origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        let listed = api.settings.origins.iter().any(|one| one.eq_ignore_ascii_case(origin));
        return if own || listed { Ok(()) } else { Err(foreign()) };
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match site {
        Some("cross-site" | "same-site") => Err(foreign()),
        Some(_) | None => Ok(()),
    }
}

/// Tells browsers to run nothing, guess nothing and leave nothing behind. What a handler has set
/// stays.
fn harden(headers: &mut HeaderMap, tls: bool) {
    const ALWAYS: [(HeaderName, &str); 7] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, NOTHING_RUNS),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
}
