//! One call, tried until it is answered or its budget is spent.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::{HubError, HubErrorKind};
use crate::types::Problem;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, backoff, delay, retry_after};
use greenloop_http::{HttpClients, checked, is_private, words};
use greenloop_model::error_chain;

/// For one try of a call that does not wait at the hub.
const TRY: Duration = Duration::from_secs(20);
/// How long a call is tried for, unless the caller says otherwise.
const BUDGET: Duration = Duration::from_secs(60);
/// A hub that has not answered for so long is reported: whoever waits learns for what.
const REPORTED: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read.
const LONGEST: usize = 16 << 20;
/// Between two tries of a call, and of a connection that is to be followed.
pub(super) const BACKOFF: ExponentialBuilder =
    backoff(Duration::from_millis(100), Duration::from_secs(10));

/// Speaks to one hub. Cheap to clone.
#[derive(Clone)]
pub struct HubClient {
    shared: Arc<Shared>,
    budget: Duration,
}

struct Shared {
    base: Url,
    token: Option<SecretString>,
    http: HttpClients,
}

impl std::fmt::Debug for HubClient {
    /// Never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubClient").field("hub", &self.shared.base.as_str()).finish()
    }
}

/// What is sent, but for its key.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Below `/api/v1/`.
    pub(super) path: String,
    pub(super) query: Vec<(&'a str, String)>,
    pub(super) body: Option<serde_json::Value>,
    pub(super) key: Option<String>,
    /// How long the hub itself may wait before it answers.
    pub(super) waits: Duration,
}

impl<'a> Call<'a> {
    /// Reads.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            body: None,
            key: None,
            waits: Duration::ZERO,
        }
    }

    /// Changes something, once, however often it is sent.
    pub(super) fn post(path: impl Into<String>, body: &impl Serialize) -> Result<Self, HubError> {
        let body = serde_json::to_value(body).map_err(|error| {
            HubError::new(HubErrorKind::Invalid, "could not encode the request").because(error)
        })?;
        let key = uuid::Uuid::now_v7().to_string();
        Ok(Self { method: Method::POST, body: Some(body), key: Some(key), ..Self::get(path) })
    }

    pub(super) fn with(mut self, name: &'a str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }
}

impl HubClient {
    /// For the hub at `url` (`http://hub.example.org:8080`), with the token it gave.
    ///
    /// # Errors
    /// [`HubErrorKind::Invalid`] when that is not an address of a web server.
    pub fn new(url: &str, token: Option<SecretString>) -> Result<Self, HubError> {
        let invalid = || {
            HubError::new(
                HubErrorKind::Invalid,
                format!(
                    "{url:?} is not a valid address for a \
                hub"
                ),
            )
        };
        let mut base = Url::parse(url).map_err(|error| invalid().because(error))?;
        let plain = matches!(base.scheme(), "http" | "https")
            && base.host().is_some()
            && base.username().is_empty()
            && base.password().is_none();
        if !plain {
            return Err(invalid());
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&format!("{path}/"));
        if token.is_some() && !is_private(&base) {
            tracing::warn!(hub = %base, "the token would be sent unencrypted: use https");
        }
        let shared = Shared { base, token, http: HttpClients::default() };
        Ok(Self { shared: Arc::new(shared), budget: BUDGET })
    }

    /// The same, with connections of its own: for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        let Shared { base, token, http: _ } = self.shared.as_ref();
        let shared =
            Shared { base: base.clone(), token: token.clone(), http: HttpClients::default() };
        Self { shared: Arc::new(shared), budget: self.budget }
    }

    /// The same, but each call is given up after this.
    #[must_use]
    pub fn within(&self, budget: Duration) -> Self {
        Self { budget, ..self.clone() }
    }

    /// Where the hub is, with a slash at the end: also where its dashboard is.
    pub fn address(&self) -> &Url {
        &self.shared.base
    }

    /// Sends until it is answered; `None` for an answer without content.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<T>, HubError> {
        let (status, body) = self.answer(call).await?;
        self.read(call, status, &body)
    }

    /// As [`call`](Self::call), where the answer is text and not JSON.
    pub(super) async fn text(&self, call: &Call<'_>) -> Result<String, HubError> {
        let (_, body) = self.answer(call).await?;
        String::from_utf8(body).map_err(|error| self.odd(call, "it is not text").because(error))
    }

    /// The answer of a success.
    async fn answer(&self, call: &Call<'_>) -> Result<(StatusCode, Vec<u8>), HubError> {
        let began = Instant::now();
        let until = began + self.budget + call.waits;
        let mut reported = false;
        let mut delays = BACKOFF.build();
        loop {
            let (error, asked) = match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err((error, asked)) => (error, asked),
            };
            if error.kind != HubErrorKind::Unavailable {
                return Err(error);
            }
            let pause = delay(delays.next().unwrap_or_default(), asked);
            if Instant::now() + pause > until {
                return Err(error);
            }
            if began.elapsed() > REPORTED && !std::mem::replace(&mut reported, true) {
                let error = error_chain(&error);
                let seconds = until.duration_since(Instant::now()).as_secs();
                tracing::warn!("{error}; trying again for up to {seconds} s");
            }
            tracing::debug!(%error, ?pause, "retrying the request to the hub");
            tokio::time::sleep(pause).await;
        }
    }

    /// As [`call`](Self::call), where an answer without content is none.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, HubError> {
        self.call(call).await?.ok_or_else(|| self.odd(call, "an empty answer"))
    }

    async fn once(
        &self,
        call: &Call<'_>,
    ) -> Result<(StatusCode, Vec<u8>), (HubError, Option<Duration>)> {
        let url = self.url(&call.path).map_err(|error| (error, None))?;
        let lost = |error: reqwest::Error| {
            let message = format!("could not reach the hub at {}", self.shared.base);
            let error = error.without_url();
            (HubError::new(HubErrorKind::Unavailable, message).because(error), None)
        };
        let mut request = self
            .request(call.method.clone(), url)
            .map_err(lost)?
            .header(ACCEPT, "application/json, application/problem+json")
            .query(&call.query)
            .timeout(TRY + call.waits);
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            let body = checked("the hub", body.to_string().as_bytes()).into_owned();
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let asked = retry_after(response.headers(), jiff::Timestamp::now());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            if body.len() + piece.len() > LONGEST {
                return Err((self.odd(call, "the answer is too long"), None));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            Ok((status, body))
        } else {
            Err((self.refused(call, status, &body), asked))
        }
    }

    /// A request with what every request to the hub carries.
    pub(super) fn request(
        &self,
        method: Method,
        url: Url,
    ) -> Result<reqwest::RequestBuilder, reqwest::Error> {
        let request = self.shared.http.client(&url)?.request(method, url);
        let bearer = self.shared.token.as_ref().and_then(|token| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(match bearer {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }

    pub(super) fn url(&self, path: &str) -> Result<Url, HubError> {
        self.shared.base.join(&format!("api/v1/{path}")).map_err(|error| {
            HubError::new(HubErrorKind::Invalid, format!("no such path: {path}")).because(error)
        })
    }

    fn refused(&self, call: &Call<'_>, status: StatusCode, body: &[u8]) -> HubError {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let kind = HubErrorKind::of(status.as_u16(), problem.as_ref());
        let said = problem.map_or_else(
            || words(&String::from_utf8_lossy(body)),
            |problem| words(&problem.detail),
        );
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!(
            "the hub at {} answers {} {} with {}{said}",
            self.shared.base,
            call.method,
            call.path,
            status.as_u16(),
        );
        HubError::new(kind, message)
    }

    fn read<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        status: StatusCode,
        body: &[u8],
    ) -> Result<Option<T>, HubError> {
        if status == StatusCode::NO_CONTENT || body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(body)
            .map(Some)
            .map_err(|error| self.odd(call, "the answer is not from a hub").because(error))
    }

    fn odd(&self, call: &Call<'_>, what: &str) -> HubError {
        let message = format!("{} {} of {}: {what}", call.method, call.path, self.shared.base);
        HubError::new(HubErrorKind::Protocol, message)
    }
}
