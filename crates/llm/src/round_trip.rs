//! One HTTP request and its response: the service that stands under `async_openai`'s client.
//!
//! It is made for one attempt: it knows the attempt's deadline, watches the body as it comes in
//! and keeps what became of it, which the layers above would flatten into text.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::Response;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;

use super::token::Tokens;
use greenloop_azure::AzureError;
use greenloop_http::checked;
use greenloop_http::retry::retry_after;

/// The longest answer that is read.
const LONGEST_BODY: usize = 32 << 20;

/// The longest line of a stream of events. Each piece of a line is searched for its end together
/// with all that came before it.
const LONGEST_LINE: usize = 8 << 20;

/// How much of a refusal is read.
const LONGEST_REFUSAL: usize = 64 << 10;

/// How long a server's message may be when it is passed on.
const LONGEST_MESSAGE: usize = 400;

/// A response that is not 200.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// The parameters it names.
    pub(super) params: Vec<String>,
    /// The codes and types it gives.
    pub(super) codes: Vec<String>,
    /// Its message, bounded; what kind of body it is when there is none to be found.
    pub(super) message: String,
    /// How long it asks to wait.
    pub(super) wait: Option<Duration>,
}

/// How a body's end came about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BodyEnd {
    /// The server was done.
    Complete,
    /// The connection broke.
    Broken(String),
    /// Nothing came for so long.
    Stalled(Duration),
    /// The time for the whole request was up.
    Deadline,
    /// It is longer than anything an answer can be.
    TooLong,
}

/// A round trip that gave no answer to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The request could not be made or sent, or no response came.
    #[error("no connection")]
    NoConnection(#[source] reqwest::Error),
    /// `async_openai` could not build the request.
    #[error("could not build the request")]
    Unbuildable(#[source] OpenAIError),
    /// There is no token to send.
    #[error("no token")]
    NoToken(#[source] AzureError),
    /// The server said no.
    #[error("HTTP status {}", .0.status)]
    Refused(Refusal),
    /// The time was up before a response came.
    #[error("the response timed out")]
    Late,
    /// The response ended before it was whole.
    #[error("the response was truncated")]
    Cut(BodyEnd),
    /// The body is neither a stream of events nor JSON.
    #[error("the response is neither an event stream nor JSON, but {0}")]
    Foreign(String),
}

impl From<WireError> for OpenAIError {
    fn from(error: WireError) -> Self {
        Self::Boxed(Box::new(error))
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct RoundTrip {
    pub(super) http: reqwest::Client,
    pub(super) tokens: Option<Tokens>,
    /// For the whole response.
    pub(super) deadline: Instant,
    /// Between two pieces of the body.
    pub(super) idle: Duration,
    /// How the body of a streamed answer ended.
    pub(super) ended: Arc<OnceLock<BodyEnd>>,
}

impl tower_service::Service<HttpRequestFactory> for RoundTrip {
    type Response = Response;
    type Error = WireError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, WireError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.go(factory).await })
    }
}

impl RoundTrip {
    async fn go(self, factory: HttpRequestFactory) -> Result<Response, WireError> {
        let mut request = factory.build().await.map_err(WireError::Unbuildable)?;
        if let Some(body) = request.body().and_then(reqwest::Body::as_bytes)
            && let Cow::Owned(covered) = checked("the model", body)
        {
            *request.body_mut() = Some(covered.into());
        }
        if let Some(tokens) = &self.tokens {
            let token = tokio::time::timeout_at(self.deadline, tokens.token())
                .await
                .map_err(|_elapsed| WireError::Late)?
                .map_err(WireError::NoToken)?;
            // A token that is no header value would be a fault of the identity service; the
            // server then refuses the request.
            if let Ok(mut value) =
                HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            {
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        let response = tokio::time::timeout_at(self.deadline, self.http.execute(request))
            .await
            .map_err(|_elapsed| WireError::Late)?
            .map_err(|source| WireError::NoConnection(source.without_url()))?;
        if !response.status().is_success() {
            return Err(WireError::Refused(self.refusal(response).await));
        }
        let is_stream = header(&response, CONTENT_TYPE)
            .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        if is_stream {
            let ended = Arc::clone(&self.ended);
            let most = Most { body: LONGEST_BODY, line: LONGEST_LINE };
            let body = watch(response, self.deadline, self.idle, most, ended);
            return Ok(events(reqwest::Body::wrap_stream(body)));
        }
        self.whole(response).await
    }

    /// A body that does not say it is a stream of events: read as a whole, then seen for what it
    /// is. One JSON document is re-framed as one event.
    async fn whole(&self, response: Response) -> Result<Response, WireError> {
        let kind = header(&response, CONTENT_TYPE).unwrap_or("an unnamed type").to_owned();
        let (body, end) = self.collect(response, LONGEST_BODY).await;
        if end != BodyEnd::Complete {
            return Err(WireError::Cut(end));
        }
        match body.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{') => {
                match serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
                    Ok(_) => {}
                    Err(error) if error.is_eof() => {
                        return Err(WireError::Cut(BodyEnd::Broken("half a document".into())));
                    }
                    Err(_) => return Err(WireError::Foreign("broken JSON".into())),
                }
                // Line breaks in a JSON document stand between its tokens only.
                let line: Vec<u8> = body
                    .iter()
                    .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b })
                    .collect();
                let _first = self.ended.set(BodyEnd::Complete);
                Ok(events([b"data: ", &line[..], b"\n\ndata: [DONE]\n\n"].concat().into()))
            }
            Some(b':' | b'd' | b'e' | b'i' | b'r') if looks_like_events(&body) => {
                let _first = self.ended.set(BodyEnd::Complete);
                Ok(events(body.into()))
            }
            None => Err(WireError::Foreign("nothing".into())),
            Some(_) => Err(WireError::Foreign(format!("{kind} of {} bytes", body.len()))),
        }
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status().as_u16();
        let wait = retry_after(response.headers(), jiff::Timestamp::now());
        let location = header(&response, LOCATION).map(str::to_owned);
        let kind = header(&response, CONTENT_TYPE).unwrap_or("an unnamed type").to_owned();
        let (body, _end) = self.collect(response, LONGEST_REFUSAL).await;
        let mut refusal = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => Refusal::of_json(&value),
            Err(_) if body.is_empty() => Refusal::default(),
            Err(_) => {
                Refusal { message: format!("the body is {kind}, not JSON"), ..Refusal::default() }
            }
        };
        if let Some(to) = location.filter(|_| (300..400).contains(&status)) {
            refusal.message = bounded(&format!("a redirect to {to}"));
        }
        Refusal { status, wait, ..refusal }
    }

    async fn collect(&self, response: Response, most: usize) -> (Vec<u8>, BodyEnd) {
        let ended = Arc::new(OnceLock::new());
        let most = Most { body: most, line: most };
        let body = watch(response, self.deadline, self.idle, most, Arc::clone(&ended));
        let mut body = std::pin::pin!(body);
        let mut bytes = Vec::new();
        while let Some(Ok(piece)) = body.next().await {
            bytes.extend_from_slice(&piece);
        }
        (bytes, ended.get().cloned().unwrap_or(BodyEnd::Complete))
    }
}

impl Refusal {
    /// What a JSON body says, in the forms of OpenAI, Azure, FastAPI (vLLM, Mistral) and simple
    /// servers.
    pub(super) fn of_json(value: &Value) -> Self {
        let error = match &value["error"] {
            Value::Object(_) => &value["error"],
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => value,
        };
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let message = [&error["message"], &value["error"], &error["detail"], &value["message"]]
            .into_iter()
            .find_map(text)
            .unwrap_or_default();
        let codes = [&error["code"], &error["type"], &error["innererror"]["code"]];
        let mut params: Vec<String> = text(&error["param"]).into_iter().collect();
        locations(value, &mut params, 0);
        Self {
            status: 0,
            params,
            codes: codes.into_iter().filter_map(text).collect(),
            message: bounded(&message),
            wait: None,
        }
    }
}

/// `{"loc": ["body", "stream_options"]}` anywhere within.
fn locations(value: &Value, params: &mut Vec<String>, depth: u8) {
    if depth > 8 {
        return;
    }
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(loc)) = fields.get("loc") {
                let mut names = loc.iter().filter_map(Value::as_str).filter(|n| *n != "body");
                params.extend(names.next().map(str::to_owned));
            }
            fields.values().for_each(|value| locations(value, params, depth + 1));
        }
        Value::Array(items) => items.iter().for_each(|v| locations(v, params, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A server's words, on one line and not too many.
pub(super) fn bounded(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().map(plain).take(LONGEST_MESSAGE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn header(response: &Response, name: http::HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

fn looks_like_events(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|word| start.starts_with(word))
}

/// A response that says it is a stream of events.
fn events(body: reqwest::Body) -> Response {
    let mut response = http::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Response::from(response)
}

/// Bytes that are read.
#[derive(Debug, Clone, Copy)]
struct Most {
    body: usize,
    line: usize,
}

/// What has been read.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    body: usize,
    /// Of the line that has not ended.
    line: usize,
}

impl Read {
    /// With one more piece.
    fn with(self, piece: &[u8]) -> Self {
        let line = match piece.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => piece.len() - end - 1,
            None => self.line + piece.len(),
        };
        Self { body: self.body + piece.len(), line }
    }

    fn fits(self, most: Most) -> bool {
        self.body <= most.body && self.line <= most.line
    }
}

/// The body with its end watched: `ended` is set before the stream ends.
fn watch(
    response: Response,
    deadline: Instant,
    idle: Duration,
    most: Most,
    ended: Arc<OnceLock<BodyEnd>>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let start = (Some(Box::pin(response.bytes_stream())), Read::default());
    futures::stream::unfold(start, move |(body, read)| {
        let ended = Arc::clone(&ended);
        async move {
            let mut body = body?;
            let end =
                match tokio::time::timeout_at(deadline.min(Instant::now() + idle), body.next())
                    .await
                {
                    Ok(Some(Ok(piece))) if read.with(&piece).fits(most) => {
                        let read = read.with(&piece);
                        return Some((Ok(piece), (Some(body), read)));
                    }
                    Ok(Some(Ok(_))) => BodyEnd::TooLong,
                    Ok(Some(Err(error))) => BodyEnd::Broken(root(&error.without_url())),
                    Ok(None) => BodyEnd::Complete,
                    Err(_) if Instant::now() >= deadline => BodyEnd::Deadline,
                    Err(_) => BodyEnd::Stalled(idle),
                };
            let complete = end == BodyEnd::Complete;
            let _first = ended.set(end);
            (!complete)
                .then(|| (Err(std::io::Error::other("the body was truncated")), (None, read)))
        }
    })
}

/// The last cause in the chain: what the operating system or the protocol said.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies_and_lines_without_an_end_do_not_fit() {
        let most = Most { body: 100, line: 10 };
        for (pieces, fits) in [
            (&["0123456789", "\n0123456789", "\r\n01234\n", "567\n"][..], true),
            (&["0123456789", "0"], false),
            (&["a\n012345", "67890"], false),
            (&["a\n012345", "6789\n", "0123456789"], true),
        ] {
            let read =
                pieces.iter().fold(Read::default(), |read, piece| read.with(piece.as_bytes()));
            assert_eq!(read.fits(most), fits, "{pieces:?}");
        }
        let lines = (0..101).fold(Read::default(), |read, _| read.with(b"\n"));
        assert!(!lines.fits(most) && lines.line == 0, "{lines:?}");
    }

    #[test]
    fn refusals_are_read_in_many_forms() {
        for (body, message, codes, params) in [
            (
                json!({"error": {"message": "no", "type": "invalid_request_error",
                       "param": "temperature", "code": "unsupported_value"}}),
                "no",
                &["unsupported_value", "invalid_request_error"][..],
                &["temperature"][..],
            ),
            (json!({"error": "model not found"}), "model not found", &[], &[]),
            (json!({"error": {"code": 400, "message": "x"}}), "x", &[], &[]),
            (
                json!({"detail": [{"loc": ["body", "stream_options"], "msg": "extra"}]}),
                "",
                &[],
                &["stream_options"],
            ),
            (
                json!({"object": "error", "message": {"detail": [{"loc": ["body", "tools", 0]}]}}),
                "",
                &[],
                &["tools"],
            ),
            (json!({"statusCode": 429, "message": "slow\ndown"}), "slow down", &[], &[]),
            (json!([1]), "", &[], &[]),
        ] {
            let refusal = Refusal::of_json(&body);
            assert_eq!(refusal.message, message, "{body}");
            assert_eq!(refusal.codes, codes, "{body}");
            assert_eq!(refusal.params, params, "{body}");
        }
    }
}
