//! A language model, wherever it is: OpenAI, Azure OpenAI, a compatible server, a recording.

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
}
