//! Problems after RFC 9457: every answer that is not a success has this form.

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{StoreError, StoreErrorKind};
use greenloop_hub_api::types;

/// The types of problems; each has one HTTP status and one title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is not JSON, or the request is not understood at all.
    Malformed,
    /// The request is understood, but makes no sense.
    Invalid,
    /// No token, or none that is good.
    Unauthorised,
    /// The token does not allow it.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The lease is not held any more.
    StaleLease,
    /// It cannot be done as things stand.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// The body is not JSON by its header.
    UnsupportedMediaType,
    /// The `Host` or `Origin` is not one of this hub.
    Misdirected,
    /// Slow down.
    TooManyRequests,
    /// The database is away, or the hub is too busy.
    Unavailable,
    /// It took too long.
    Timeout,
    /// A fault of the hub.
    Internal,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "Bad request"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid request"),
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised", "Token required"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Insufficient scope"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::StaleLease => (StatusCode::CONFLICT, "stale-lease", "Stale lease"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too long"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Body must be JSON")
            }
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Wrong host"),
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable")
            }
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "Timeout"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }
}

/// A mistake in a request's body or query, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Mistake)]
pub(super) struct FieldError {
    /// JSON path of the mistake: `$.tasks[3].hours`; the parameter's name for a query.
    pub(super) path: String,
    /// What is wrong there.
    pub(super) message: String,
}

/// The body of a problem.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    #[serde(flatten)]
    problem: types::Problem,
    /// Every mistake, where the request has mistakes at known places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// Of a kind, with what happened and what to do.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after_ms: None }
    }

    /// The same, with a mistake at a place.
    pub(super) fn at(mut self, path: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { path: path.into(), message: message.into() });
        self
    }

    /// The same; the client may come again after so long.
    pub(super) fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// A mistake in the request's body or query.
    pub(super) fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self::new(Kind::Invalid, format!("{path}: {message}")).at(path, message)
    }

    /// Several of them.
    pub(super) fn mistakes(errors: impl Iterator<Item = FieldError>) -> Self {
        let errors: Vec<FieldError> = errors.collect();
        let more = match errors.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let first = errors.first().map(|first| format!("{}: {}", first.path, first.message));
        let detail = format!("{}{more}", first.unwrap_or_default());
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::NotFound => Kind::NotFound,
            StoreErrorKind::StaleLease => Kind::StaleLease,
            StoreErrorKind::Conflict => Kind::Conflict,
            StoreErrorKind::Forbidden => Kind::Forbidden,
            StoreErrorKind::Invalid => Kind::Invalid,
            StoreErrorKind::Busy | StoreErrorKind::Unavailable => {
                tracing::warn!(error = %greenloop_model::error_chain(&error), "the store did not answer");
                let detail = format!("{}; the same request may be repeated", error.message);
                return Self::new(Kind::Unavailable, detail).retry_after_ms(1_000);
            }
            StoreErrorKind::Corrupt => {
                tracing::error!(error = %greenloop_model::error_chain(&error), "the store failed");
                return Self::new(Kind::Internal, "see the hub's log");
            }
        };
        Self::new(kind, error.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.parts();
        let body = ProblemBody {
            problem: types::Problem {
                kind: format!("urn:greenloop:problem:{name}"),
                title: title.to_owned(),
                status: status.as_u16(),
                detail: self.detail,
            },
            errors: self.errors,
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"greenloop\""));
        }
        if let Some(pause) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(pause.div_ceil(1000).max(1)));
            headers.insert("retry-after-ms", HeaderValue::from(pause));
        }
        response
    }
}

/// The answer to a path that leads nowhere.
pub(super) async fn not_found(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(Kind::NotFound, format!("unknown path {path}: see /api/v1/openapi.json"))
}

/// The answer to a method that a path does not have.
pub(super) async fn method_not_allowed(request: Request) -> Problem {
    let method = request.method();
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not allowed: see the header `allow`"))
}
