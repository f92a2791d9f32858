//! JSON over HTTP to a provider: one call, its retries, and what its refusal means.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::token::Token;
use greenloop_evidence::Redactor;
use greenloop_http::checked;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, backoff, delay};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// Between the tries of a call that may be repeated.
const RETRY: ExponentialBuilder =
    backoff(Duration::from_millis(700), Duration::from_secs(15)).with_max_times(3);
/// For one call.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read: a page of a hundred pull requests is far below.
const LONGEST_ANSWER: usize = 16 << 20;
/// How much of a refusal's message is passed on.
const LONGEST_MESSAGE: usize = 400;

/// What a call that gave no answer met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallErrorKind {
    /// The token is not taken, or not for this.
    Auth,
    /// There is none, or none that this token may see.
    Missing,
    /// It conflicts with something that exists already.
    Conflict,
    /// The request itself is wrong.
    Rejected,
    /// Too many requests, or the server is not well. It may have acted all the same.
    Busy,
    /// No connection, or it broke. The server may have acted all the same.
    Broken,
    /// The answer is not JSON.
    Foreign,
}

impl CallErrorKind {
    /// Whether asking again may help.
    fn passes(self) -> bool {
        match self {
            Self::Busy | Self::Broken => true,
            Self::Auth | Self::Missing | Self::Conflict | Self::Rejected | Self::Foreign => false,
        }
    }
}

/// A call that gave no answer.
#[derive(Debug)]
pub(super) struct WireError {
    pub(super) kind: CallErrorKind,
    /// Redacted and bounded.
    message: String,
    wait: Option<Duration>,
    source: Option<reqwest::Error>,
}

impl WireError {
    fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), wait: None, source: None }
    }

    /// What was not even sent, or could not be looked up.
    pub(super) fn rejected(message: &str) -> Self {
        Self::new(CallErrorKind::Rejected, message)
    }

    /// For the caller: what was tried, and which permission it takes.
    pub(super) fn explain(self, tried: &str, permission: &str) -> PullRequestError {
        let kind = match self.kind {
            CallErrorKind::Auth | CallErrorKind::Missing => PullRequestErrorKind::Auth,
            CallErrorKind::Conflict | CallErrorKind::Rejected => PullRequestErrorKind::Rejected,
            CallErrorKind::Busy | CallErrorKind::Broken => PullRequestErrorKind::Unreachable,
            CallErrorKind::Foreign => PullRequestErrorKind::Protocol,
        };
        let needed = match kind {
            PullRequestErrorKind::Auth => format!(" (the token needs {permission})"),
            PullRequestErrorKind::UnknownRepository
            | PullRequestErrorKind::NoToken
            | PullRequestErrorKind::Rejected
            | PullRequestErrorKind::Unreachable
            | PullRequestErrorKind::Protocol
            | PullRequestErrorKind::Git
            | PullRequestErrorKind::Cancelled => String::new(),
        };
        PullRequestError {
            kind,
            message: format!("{tried}: {}{needed}", self.message),
            source: self.source.map(Into::into),
        }
    }
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Value>,
}

impl Call {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None }
    }

    pub(super) fn post(url: Url, body: Value) -> Self {
        Self { method: Method::POST, url, body: Some(body) }
    }
}

/// The connection to a provider.
pub(super) struct Wire {
    http: reqwest::Client,
    headers: HeaderMap,
    redactor: Redactor,
    secret: String,
    /// Between two tries.
    pub(super) retry: ExponentialBuilder,
}

impl Wire {
    pub(super) fn new(token: Token, redactor: &Redactor) -> Result<Self, PullRequestError> {
        let failed = |message: &str, source| PullRequestError {
            kind: PullRequestErrorKind::NoToken,
            message: message.to_owned(),
            source: Some(source),
        };
        let authorization = token.for_api().map_err(|e| {
            failed(
                "the token contains characters that a header \
                cannot contain",
                e.into(),
            )
        })?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            // GitHub turns callers without a name away.
            (
                USER_AGENT,
                HeaderValue::from_static(concat!("greenloop/", env!("CARGO_PKG_VERSION"))),
            ),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let http = reqwest::Client::builder()
            // A redirect leads to a page to sign in at, or takes the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(15))
            .build()
            .map_err(|e| failed("could not create an HTTP client", e.into()))?;
        Ok(Self {
            http,
            headers,
            redactor: redactor.clone(),
            secret: token.secret().to_owned(),
            retry: RETRY,
        })
    }

    /// A header that every call to this provider carries.
    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// A call that may be repeated.
    pub(super) async fn ask(&self, call: &Call) -> Result<Value, WireError> {
        let mut delays = self.retry.build();
        loop {
            let error = match self.once(call).await {
                Err(error) if error.kind.passes() => error,
                ended => return ended,
            };
            let Some(next) = delays.next() else { return Err(error) };
            tokio::time::sleep(delay(next, error.wait)).await;
        }
    }

    /// A call that makes something. Between two tries `look` says whether an earlier one made
    /// it after all.
    pub(super) async fn make<T, L>(
        &self,
        call: &Call,
        look: impl Fn() -> L,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<(T, Creation), WireError>
    where
        L: Future<Output = Result<Option<T>, WireError>>,
    {
        let mut delays = self.retry.build();
        let mut pause = Duration::ZERO;
        loop {
            let error = match self.once(call).await {
                Ok(answer) => {
                    let made = read(&answer).ok_or_else(|| {
                        WireError::new(CallErrorKind::Foreign, "the answer is not a pull request")
                    })?;
                    return Ok((made, Creation::Now));
                }
                Err(error) => error,
            };
            let looks = error.kind.passes() || error.kind == CallErrorKind::Conflict;
            if !looks {
                return Err(error);
            }
            let next = delays.next();
            if error.kind.passes() {
                // What was made may not be seen at once: the last look waits too.
                pause = next.unwrap_or(pause);
                tokio::time::sleep(delay(pause, error.wait)).await;
            }
            if let Some(there) = look().await? {
                let made = if error.kind.passes() { Creation::Now } else { Creation::Before };
                return Ok((there, made));
            }
            if !error.kind.passes() || next.is_none() {
                return Err(error);
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<Value, WireError> {
        let mut request =
            self.http.request(call.method.clone(), call.url.clone()).headers(self.headers.clone());
        if let Some(body) = &call.body {
            let body = checked("the code host", body.to_string().as_bytes()).into_owned();
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let broken = |source: reqwest::Error| {
            let what = if source.is_timeout() { "the request timed out" } else { "no connection" };
            let host = call.url.host_str().unwrap_or("the server");
            let mut error = WireError::new(CallErrorKind::Broken, format!("{what} from {host}"));
            error.source = Some(source.without_url());
            error
        };
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                return Err(WireError::new(CallErrorKind::Foreign, "the answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        let json = serde_json::from_slice::<Value>(&body);
        if status.is_success() && status != StatusCode::NON_AUTHORITATIVE_INFORMATION {
            let html = headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|kind| kind.starts_with("text/html"));
            return json.map_err(|_not_json| match html {
                // Azure DevOps shows a page to sign in at.
                true => WireError::new(
                    CallErrorKind::Auth,
                    "the server requires an interactive \
                    login",
                ),
                false => WireError::new(CallErrorKind::Foreign, "the answer is not JSON"),
            });
        }
        Err(self.refusal(status, &headers, json.ok().as_ref()))
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: Option<&Value>) -> WireError {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let wait = header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        // GitHub's limits come as 403.
        let limited = wait.is_some() || header("x-ratelimit-remaining") == Some("0");
        let kind = match status.as_u16() {
            // A page to sign in at, directly or by a redirect, is how Azure DevOps refuses a
            // token.
            203 | 300..=399 | 401 => CallErrorKind::Auth,
            403 if limited => CallErrorKind::Busy,
            403 => CallErrorKind::Auth,
            404 => CallErrorKind::Missing,
            409 | 422 => CallErrorKind::Conflict,
            408 | 425 | 429 | 500.. => CallErrorKind::Busy,
            _ => CallErrorKind::Rejected,
        };
        let mut said: Vec<&str> = Vec::new();
        said.extend(body.and_then(|body| body.get("message")).and_then(Value::as_str));
        let errors = body.and_then(|body| body.get("errors")).and_then(Value::as_array);
        for error in errors.into_iter().flatten().take(3) {
            said.extend(error.get("message").and_then(Value::as_str));
        }
        let said: String = said.join(": ").chars().take(LONGEST_MESSAGE).collect();
        let said = self.redacted(&said);
        let message = match said.is_empty() {
            true => format!("HTTP {}", status.as_u16()),
            false => format!("HTTP {}: {said}", status.as_u16()),
        };
        WireError { kind, message, wait, source: None }
    }

    /// Without secrets, on one line.
    fn redacted(&self, text: &str) -> String {
        let text = text.replace(&self.secret, greenloop_evidence::MARKER);
        let text = self.redactor.redact(&text);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// When something was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// By this call, or by a try of it whose answer was lost.
    Now,
    /// It was there.
    Before,
}
