//! A language model, wherever it is: OpenAI, Azure OpenAI, a compatible server, a recording.

use std::time::Duration;

use async_trait::async_trait;

use greenloop_model::Usage;

/// One message of a conversation, after the system prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// What Greenloop says.
    User(String),
    /// What the model answered.
    Assistant { text: String, tool_calls: Vec<ToolCall> },
    /// The result of a tool call.
    ToolResult { call_id: String, text: String },
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// `read_file`
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema of its arguments, an object.
    pub parameters: serde_json::Value,
}

/// A call the model makes.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The model's id for it; comes back with the result.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments as the model wrote them; not yet known to be JSON.
    pub arguments: String,
}

/// The form an answer must have, where the server can hold the model to it.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSchema {
    /// A short name: `review`.
    pub name: &'static str,
    /// The schema, strict.
    pub schema: serde_json::Value,
}

/// One request to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The system prompt.
    pub system: String,
    /// The conversation so far; ends with a user message or tool results.
    pub messages: Vec<Message>,
    /// Tools it may call; empty for one-shot requests.
    pub tools: Vec<ToolSpec>,
    /// The form of the answer.
    pub schema: Option<JsonSchema>,
    /// Sampling temperature; `None` leaves it to the server.
    pub temperature: Option<f32>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
}

/// A whole answer: a reply that was cut is a [`ModelErrorKind::Cut`], never a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelReply {
    /// The text, perhaps empty when there are tool calls.
    pub text: String,
    /// Calls it wants made before it goes on.
    pub tool_calls: Vec<ToolCall>,
    /// What it used.
    pub usage: Usage,
    /// Which model answered, as the server says.
    pub served: Served,
}

/// What a server says of the model that answered: a name such as `gpt-4o` is an alias of a version
/// that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// `gpt-4o-2024-08-06`: `model` of the answer.
    pub model: Option<String>,
    /// `fp_44709d6fcb`: `system_fingerprint` of the answer, the configuration that it ran with.
    pub fingerprint: Option<String>,
}

/// The kind of an error of a model call, after all retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelErrorKind {
    /// No key or endpoint is configured.
    NotConfigured,
    /// The server refuses the credentials.
    Auth,
    /// Too many requests, still, after waiting.
    RateLimited,
    /// No connection, or 5xx.
    Unreachable,
    /// It took longer than it was given.
    Timeout,
    /// The answer ended before the model did: a broken stream, or the token limit.
    Cut,
    /// The server will not take this request (4xx).
    Rejected,
    /// The server's answer is not in the protocol's form.
    Protocol,
    /// The recording has no further answer, or none for this request.
    NoRecording,
}

/// A model call that gave no usable reply.
#[derive(Debug, thiserror::Error)]
#[error("{model}: {message}")]
pub struct ModelError {
    /// Which model.
    pub model: String,
    /// The kind, which decides what follows.
    pub kind: ModelErrorKind,
    /// For a person; redacted.
    pub message: String,
    /// What it used all the same.
    pub usage: Usage,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A pause that is due before a request to a model is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelWait {
    /// Which model: `gpt-4o at api.openai.com`.
    pub model: String,
    /// What came of the request, for a person; redacted: `HTTP status 429: slow down`.
    pub reason: String,
    /// What the server asked for; `None` when it named no time.
    pub asked: Option<Duration>,
    /// How long the pause is.
    pub pause: Duration,
    /// Which retry follows, from 1.
    pub retry: u32,
    /// How many there may be.
    pub retries: u32,
}

/// Receives the waits that a model asks for, before they begin.
pub trait Waits: Send + Sync {
    /// Whether the pause may begin.
    ///
    /// # Errors
    /// Why not, as a fragment that ends the error's message; the request fails at once.
    fn allow(&self, wait: &ModelWait) -> Result<(), String>;
}

/// Allows every wait, and reports none.
#[derive(Debug, Clone, Copy)]
pub struct SilentWaits;

impl Waits for SilentWaits {
    fn allow(&self, _: &ModelWait) -> Result<(), String> {
        Ok(())
    }
}

/// A language model.
#[async_trait]
pub trait Model: Send + Sync {
    /// Who answers, for people and the audit log: `gpt-4o at api.openai.com`.
    fn label(&self) -> String;

    /// Whether it would be answered now, asked as cheaply as the server allows and at most once
    /// or twice: reachable, and the key taken. A recording always is.
    async fn check(&self) -> Result<(), ModelError> {
        Ok(())
    }

    /// One request, retries included. Dropping the future cancels it.
    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError>;

    /// The same; `waits` is asked before each pause between retries. Implemented by models that
    /// pause, and by those that pass requests on.
    async fn complete_with(
        &self,
        request: &ModelRequest,
        _waits: &dyn Waits,
    ) -> Result<ModelReply, ModelError> {
        self.complete(request).await
    }
}
