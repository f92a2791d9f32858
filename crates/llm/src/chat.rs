//! A model behind the chat-completions interface.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config as _;
use async_openai::error::OpenAIError;
use async_trait::async_trait;
use futures::StreamExt;
use http::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::time::Instant;

use super::abilities::{Abilities, Fallbacks, ServerAbilities, TokenLimit};
use super::address::Address;
use super::body::body;
use super::draft::{Answer, Chunk, Draft, Finish};
use super::not_configured;
use super::price::{Price, Tokens, estimate_answer, estimate_request};
use super::round_trip::{BodyEnd, Refusal, RoundTrip, WireError, bounded, root};
use greenloop_azure::AzureErrorKind;
use greenloop_config::plan::RolePlan;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, LONGEST, RETRY, delay};
use greenloop_model::Usage;
use greenloop_ports::{
    Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, ModelWait, SilentWaits, Waits,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the list of models is waited for.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the count of tokens is waited for once the answer is whole.
const COUNT_TIMEOUT: Duration = Duration::from_secs(3);

/// A model behind the chat-completions interface.
pub(super) struct ChatModel {
    address: Address,
    http: reqwest::Client,
    price: Price,
    timeout: Duration,
    idle: Duration,
    max_retries: u32,
    backoff: ExponentialBuilder,
    known: ServerAbilities,
}

/// One attempt that gave no reply.
struct FailedAttempt {
    kind: ModelErrorKind,
    message: String,
    /// Whether the same request may fare better, and how long the server wants it to wait.
    retry: Option<Option<Duration>>,
    /// The refusal, when leaving something out may repair it.
    refusal: Option<Box<Refusal>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl FailedAttempt {
    fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry: None, refusal: None, source: None }
    }

    fn retried(mut self, wait: Option<Duration>) -> Self {
        self.retry = Some(wait);
        self
    }

    fn because_of(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl ChatModel {
    pub(super) fn new(address: Address, plan: &RolePlan) -> Result<Self, ModelError> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("greenloop/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirected POST would become a GET, or carry the prompt to another host.
            .redirect(reqwest::redirect::Policy::none());
        if address.loopback() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|source| {
            not_configured(address.label(), "could not create an HTTP client", Some(source.into()))
        })?;
        let token_limit = if address.is_openai() {
            TokenLimit::MaxCompletionTokens
        } else {
            TokenLimit::MaxTokens
        };
        let cache_key = address.takes_cache_key();
        Ok(Self {
            address,
            http,
            price: Price::of(plan),
            timeout: plan.timeout,
            idle: (plan.timeout / 2).max(Duration::from_secs(30)).min(plan.timeout),
            max_retries: plan.max_retries,
            backoff: RETRY.without_max_times(),
            known: ServerAbilities::new(Abilities { cache_key, ..Abilities::all(token_limit) }),
        })
    }

    /// One HTTP request. `usage` grows by what was used, whatever came of it.
    async fn attempt(
        &self,
        request: &ModelRequest,
        can: Abilities,
        usage: &mut Usage,
    ) -> Result<ModelReply, FailedAttempt> {
        let ended = Arc::new(OnceLock::new());
        let service = RoundTrip {
            http: self.http.clone(),
            tokens: self.address.tokens().cloned(),
            deadline: Instant::now() + self.timeout,
            idle: self.idle,
            ended: Arc::clone(&ended),
        };
        let client =
            Client::build(self.http.clone(), self.address.clone()).with_http_service(service);
        let body = body(self.address.model(), request, can);
        let mut events = client
            .chat()
            .create_stream_byot::<_, Chunk>(body)
            .await
            .map_err(|error| self.explain(error))?;

        let mut draft = Draft::default();
        let outcome = loop {
            let (finished, counted) = draft.finished();
            let event = if finished && !counted {
                // The answer is whole: a server that now falls silent costs only the count.
                let Ok(event) = tokio::time::timeout(COUNT_TIMEOUT, events.next()).await else {
                    break Ok(());
                };
                event
            } else {
                events.next().await
            };
            match event {
                None => break Ok(()),
                Some(Ok(chunk)) => {
                    if let Err(error) = draft.take(chunk) {
                        break Err(streamed_error(&error));
                    }
                }
                // Whatever follows a whole answer cannot unmake it.
                Some(Err(_)) if finished => break Ok(()),
                Some(Err(error)) => break Err(self.explain(error)),
            }
        };
        let answer = draft.answer();
        let tokens = answer.counted.unwrap_or_else(|| Tokens {
            sent: estimate_request(request),
            cached: 0,
            received: estimate_answer(&answer.text, &answer.tool_calls),
        });
        *usage += self.price.usage(tokens);
        match (outcome, ended.get()) {
            // The watched body knows better than the event parser why it ended.
            (Err(_), Some(end)) if answer.finish.is_none() && *end != BodyEnd::Complete => {
                Err(self.cut(end))
            }
            (Err(failure), _) => Err(failure),
            (Ok(()), end) => self.judge(request, answer, end.unwrap_or(&BodyEnd::Complete)),
        }
    }

    /// Whether an answer is one.
    fn judge(
        &self,
        request: &ModelRequest,
        answer: Answer,
        end: &BodyEnd,
    ) -> Result<ModelReply, FailedAttempt> {
        match answer.finish {
            Some(Finish::Done) => {}
            None => return Err(self.cut(end)),
            Some(Finish::Length) => {
                let message = match request.max_tokens {
                    Some(most) => format!("the answer was truncated at max_tokens ({most})"),
                    None => "the answer was truncated at the model's maximum length".to_owned(),
                };
                return Err(FailedAttempt::new(ModelErrorKind::Cut, message));
            }
            Some(Finish::Filtered) => {
                let message = "the answer was blocked by the server's content filter";
                return Err(FailedAttempt::new(ModelErrorKind::Rejected, message));
            }
            Some(Finish::Aborted) => {
                let message = "the server aborted the answer";
                return Err(FailedAttempt::new(ModelErrorKind::Cut, message).retried(None));
            }
        }
        if let Some(refusal) = answer.refusal.filter(|_| answer.text.is_empty()) {
            let message = format!("the model refused to answer: {}", bounded(&refusal));
            return Err(FailedAttempt::new(ModelErrorKind::Rejected, message));
        }
        // The caller puts in what all attempts together have used.
        let usage = Usage::default();
        let Answer { text, tool_calls, served, .. } = answer;
        Ok(ModelReply { text, tool_calls, usage, served })
    }

    fn cut(&self, end: &BodyEnd) -> FailedAttempt {
        let cut = |message: String| FailedAttempt::new(ModelErrorKind::Cut, message).retried(None);
        match end {
            BodyEnd::Complete => cut("the stream ended before the answer was complete".into()),
            BodyEnd::Broken(cause) => {
                cut(format!("the connection was lost during the answer ({})", bounded(cause)))
            }
            BodyEnd::Stalled(after) => {
                cut(format!("the answer stalled: no data for {} s", after.as_secs_f32()))
            }
            BodyEnd::Deadline => self.late(),
            BodyEnd::TooLong => {
                FailedAttempt::new(ModelErrorKind::Protocol, "the response is too long")
            }
        }
    }

    /// Timeouts are not retried: what took this long once takes it again, and a deployment waits.
    fn late(&self) -> FailedAttempt {
        let message = format!("no complete answer within {} s", self.timeout.as_secs_f32());
        FailedAttempt::new(ModelErrorKind::Timeout, message)
    }

    fn explain(&self, error: OpenAIError) -> FailedAttempt {
        let protocol = |message: &str| FailedAttempt::new(ModelErrorKind::Protocol, message);
        match error {
            OpenAIError::Boxed(boxed) => match boxed.downcast::<WireError>() {
                Ok(error) => self.explain_wire(*error),
                Err(_) => protocol("HTTP error"),
            },
            // The JSON parser's error names a place and a type; the text it read stays here.
            OpenAIError::JSONDeserialize(source, _text) => {
                protocol("an event of the answer does not follow the protocol").because_of(source)
            }
            OpenAIError::StreamError(_) => FailedAttempt::new(
                ModelErrorKind::Cut,
                "the stream was interrupted during the \
                    answer",
            )
            .retried(None),
            OpenAIError::Reqwest(source) => {
                FailedAttempt::new(ModelErrorKind::Unreachable, "the request failed")
                    .retried(None)
                    .because_of(source.without_url())
            }
            OpenAIError::ApiError(_)
            | OpenAIError::FileSaveError(_)
            | OpenAIError::FileReadError(_)
            | OpenAIError::InvalidArgument(_) => protocol("the client rejected the request"),
        }
    }

    fn explain_wire(&self, error: WireError) -> FailedAttempt {
        match error {
            WireError::NoConnection(source) => {
                let message = format!("no connection ({})", bounded(&root(&source)));
                let retried = !source.is_builder();
                let failure = FailedAttempt::new(ModelErrorKind::Unreachable, message);
                let failure = if retried { failure.retried(None) } else { failure };
                failure.because_of(source)
            }
            WireError::Unbuildable(_) => FailedAttempt::new(
                ModelErrorKind::NotConfigured,
                "its address is not usable in a request",
            ),
            WireError::NoToken(source) => {
                let kind = match source.kind {
                    AzureErrorKind::Unreachable => ModelErrorKind::Unreachable,
                    AzureErrorKind::NoCredential | AzureErrorKind::NotConfigured => {
                        ModelErrorKind::NotConfigured
                    }
                    AzureErrorKind::Auth
                    | AzureErrorKind::Forbidden
                    | AzureErrorKind::NotFound
                    | AzureErrorKind::Refused
                    | AzureErrorKind::Protocol => ModelErrorKind::Auth,
                };
                FailedAttempt::new(kind, source.to_string()).because_of(source)
            }
            WireError::Refused(refusal) => refused(refusal),
            WireError::Late => self.late(),
            WireError::Cut(end) => self.cut(&end),
            WireError::Foreign(what) => {
                let message = format!("the response is not an answer but {}", bounded(&what));
                FailedAttempt::new(ModelErrorKind::Protocol, message)
            }
        }
    }

    /// Asks for the list of models, once. A server that has none has answered all the same.
    async fn list(&self) -> Result<(), FailedAttempt> {
        let deadline = Instant::now() + self.timeout.min(CHECK_TIMEOUT);
        let mut headers = self.address.headers();
        if let Some(tokens) = self.address.tokens() {
            let token = tokio::time::timeout_at(deadline, tokens.token())
                .await
                .map_err(|_elapsed| self.late())?
                .map_err(|source| self.explain_wire(WireError::NoToken(source)))?;
            if let Ok(mut value) =
                HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        let request =
            self.http.get(self.address.models()).query(&self.address.query()).headers(headers);
        let response = tokio::time::timeout_at(deadline, request.send())
            .await
            .map_err(|_elapsed| {
                let message = format!("no answer within {} s", CHECK_TIMEOUT.as_secs());
                FailedAttempt::new(ModelErrorKind::Unreachable, message)
            })?
            .map_err(|error| self.explain_wire(WireError::NoConnection(error.without_url())))?;
        match response.status().as_u16() {
            status @ (401 | 403 | 408 | 429 | 500 | 502..=504 | 506..=599) => {
                Err(refused(Refusal { status, ..Refusal::default() }))
            }
            _ => Ok(()),
        }
    }

    /// Whether a pause before a retry may begin. A server that asks for more time than all the
    /// retries that are left may take would refuse each of them.
    fn may_wait(
        &self,
        failure: &FailedAttempt,
        asked: Option<Duration>,
        pause: Duration,
        retry: u32,
        waits: &dyn Waits,
    ) -> Result<(), String> {
        let left = (self.max_retries + 1).saturating_sub(retry);
        let most = LONGEST.saturating_mul(left);
        if let Some(asked) = asked.filter(|asked| *asked > most) {
            return Err(format!(
                "the server asks to wait {} s{}, longer than the retries that are left may take \
                 ({left} of at most {} s each): run again then, or use another model",
                asked.as_secs(),
                until(asked).map(|until| format!(" (until {until})")).unwrap_or_default(),
                LONGEST.as_secs(),
            ));
        }
        waits.allow(&ModelWait {
            model: self.address.label(),
            reason: self.address.scrub(&failure.message),
            asked,
            pause,
            retry,
            retries: self.max_retries,
        })
    }

    fn error(&self, failure: FailedAttempt, retries: u32, usage: Usage) -> ModelError {
        let mut message = self.address.scrub(&failure.message);
        if retries > 0 {
            message.push_str(&format!(" (after {retries} retries)"));
        }
        ModelError {
            model: self.address.label(),
            kind: failure.kind,
            message,
            usage,
            source: failure.source,
        }
    }
}

#[async_trait]
impl Model for ChatModel {
    fn label(&self) -> String {
        self.address.label()
    }

    async fn check(&self) -> Result<(), ModelError> {
        let failure = match self.list().await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let tokens = self.address.tokens().filter(|_| failure.kind == ModelErrorKind::Auth);
        let Some(tokens) = tokens else { return Err(self.error(failure, 0, Usage::default())) };
        // A token that was revoked before its time.
        tokens.forget().await;
        self.list().await.map_err(|failure| self.error(failure, 0, Usage::default()))
    }

    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError> {
        self.complete_with(request, &SilentWaits).await
    }

    async fn complete_with(
        &self,
        request: &ModelRequest,
        waits: &dyn Waits,
    ) -> Result<ModelReply, ModelError> {
        let mut usage = Usage::default();
        let mut retries = 0;
        let mut delays = self.backoff.build();
        let mut token_renewed = false;
        let mut can = self.known.get();
        let mut fallbacks = Fallbacks::new(can);
        loop {
            let mut failure = match self.attempt(request, can, &mut usage).await {
                Ok(reply) => {
                    self.known.remember(can);
                    return Ok(ModelReply { usage, ..reply });
                }
                Err(failure) => failure,
            };
            if let Some(next) =
                failure.refusal.as_ref().and_then(|refusal| fallbacks.next(request, refusal, can))
            {
                tracing::debug!(
                    model = self.label(),
                    ?next,
                    "request rejected; retrying with \
                    fewer parameters"
                );
                can = next;
                continue;
            }
            if failure.kind == ModelErrorKind::Auth
                && !token_renewed
                && let Some(tokens) = self.address.tokens()
            {
                token_renewed = true;
                tokens.forget().await;
                continue;
            }
            match failure.retry {
                Some(asked) if retries < self.max_retries => {
                    let pause = delay(delays.next().unwrap_or_default(), asked);
                    let next = retries + 1;
                    if let Err(why) = self.may_wait(&failure, asked, pause, next, waits) {
                        failure.message.push_str(&format!("; {why}"));
                        return Err(self.error(failure, retries, usage));
                    }
                    tracing::debug!(
                        model = self.label(),
                        kind = ?failure.kind,
                        pause_ms = pause.as_millis() as u64,
                        "retrying the request to the model after a delay"
                    );
                    tokio::time::sleep(pause).await;
                    retries = next;
                }
                Some(_) | None => return Err(self.error(failure, retries, usage)),
            }
        }
    }
}

/// When a wait that begins now ends; `None` beyond the calendar.
fn until(wait: Duration) -> Option<String> {
    let end = jiff::Timestamp::now().checked_add(wait).ok()?;
    Some(end.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// What an HTTP status other than 200 comes to.
fn refused(refusal: Refusal) -> FailedAttempt {
    let says =
        if refusal.message.is_empty() { String::new() } else { format!(": {}", refusal.message) };
    let message = format!("HTTP status {}{says}", refusal.status);
    let wait = refusal.wait;
    let exhausted = ["insufficient_quota", "billing_hard_limit_reached"];
    let is_final = refusal.codes.iter().any(|code| exhausted.contains(&code.as_str()));
    let of = |kind| FailedAttempt::new(kind, message.clone());
    match refusal.status {
        401 | 403 => of(ModelErrorKind::Auth),
        429 if is_final => of(ModelErrorKind::RateLimited),
        429 => of(ModelErrorKind::RateLimited).retried(wait),
        408 | 409 | 425 => of(ModelErrorKind::Unreachable).retried(wait),
        501 | 505 => of(ModelErrorKind::Unreachable),
        500..=599 => of(ModelErrorKind::Unreachable).retried(wait),
        _ => FailedAttempt { refusal: Some(Box::new(refusal)), ..of(ModelErrorKind::Rejected) },
    }
}

/// What an error object within a stream comes to: by its numeric code, if it has one.
fn streamed_error(error: &Value) -> FailedAttempt {
    let wrapped = serde_json::json!({ "error": error });
    let refusal = Refusal::of_json(&wrapped);
    let code = ["code", "status", "status_code"].iter().find_map(|name| {
        let value = &error[*name];
        value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    });
    match code.and_then(|code| u16::try_from(code).ok()) {
        Some(status @ 400..=599) => {
            FailedAttempt { refusal: None, ..refused(Refusal { status, ..refusal }) }
        }
        Some(_) | None => {
            let message = format!("the server aborted with an error: {}", refusal.message);
            FailedAttempt::new(ModelErrorKind::Cut, message).retried(None)
        }
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
