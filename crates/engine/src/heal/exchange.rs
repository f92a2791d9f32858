//! What was asked of a model and what it answered, kept so that an auditor sees what a decision
//! rests on.
//!
//! Every call of the author's and the reviewer's models goes through [`ExchangeLog`]. It holds the
//! redacted request and answer until the driver takes them: it writes each once, under the hash
//! of its bytes, and names the hashes in a record.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use greenloop_evidence::Redactor;
use greenloop_model::Usage;
use greenloop_ports::{
    Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, Served, SilentWaits,
    ToolCall, Waits,
};

/// Bytes, and the hash that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Sixty-four hex digits.
    pub sha256: String,
    pub bytes: Vec<u8>,
}

impl Content {
    fn of(value: &Value) -> Self {
        let bytes = format!("{value:#}\n").into_bytes();
        let digest = Sha256::digest(&bytes);
        Self { sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(), bytes }
    }
}

/// One call of a model.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// Who was asked: `gpt-4o at api.openai.com`.
    pub model: String,
    pub request: Content,
    /// Or how it failed, as a word.
    pub answer: Result<Content, &'static str>,
    pub usage: Usage,
    /// Which model answered, as its server says; redacted.
    served: Served,
    temperature: Option<f32>,
    max_tokens: Option<u32>,
    tools: Vec<&'static str>,
    schema: Option<&'static str>,
}

impl Exchange {
    /// What the audit log says of it.
    pub(crate) fn record(&self, iteration: u32) -> Value {
        let mut record = json!({
            "iteration": iteration,
            "model": self.model,
            "parameters": {
                "temperature": self.temperature,
                "max_tokens": self.max_tokens,
                "tools": self.tools,
                "schema": self.schema,
            },
            "request": self.request.sha256,
            "usage": {"input_tokens": self.usage.input_tokens, "output_tokens": self.usage.output_tokens},
        });
        if let Some(model) = &self.served.model {
            record["served_model"] = json!(model);
        }
        if let Some(fingerprint) = &self.served.fingerprint {
            record["system_fingerprint"] = json!(fingerprint);
        }
        match &self.answer {
            Ok(answer) => record["answer"] = json!(answer.sha256),
            Err(failed) => record["failed"] = json!(failed),
        }
        record
    }
}

/// A model whose calls are held until they are taken.
pub(crate) struct ExchangeLog {
    model: Arc<dyn Model>,
    redactor: Redactor,
    held: Mutex<Vec<Exchange>>,
    waits: Mutex<Arc<dyn Waits>>,
}

impl ExchangeLog {
    pub(crate) fn new(model: Arc<dyn Model>, redactor: Redactor) -> Self {
        let waits = Mutex::new(Arc::new(SilentWaits) as Arc<dyn Waits>);
        Self { model, redactor, held: Mutex::new(Vec::new()), waits }
    }

    /// The calls since they were last taken, in order.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who is asked from now on before the model pauses.
    pub(crate) fn ask_before_waits(&self, waits: Arc<dyn Waits>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    fn text(&self, text: &str) -> Value {
        Value::String(self.redactor.redact(text).into_owned())
    }

    fn served(&self, Served { model, fingerprint }: &Served) -> Served {
        let clean = |said: &Option<String>| {
            said.as_deref().map(|said| self.redactor.redact(said).into_owned())
        };
        Served { model: clean(model), fingerprint: clean(fingerprint) }
    }

    fn calls(&self, calls: &[ToolCall]) -> Value {
        calls
            .iter()
            .map(|call| json!({"id": call.id, "name": call.name, "arguments": self.text(&call.arguments)}))
            .collect()
    }

    fn request(&self, request: &ModelRequest) -> Value {
        let messages: Vec<Value> = request
            .messages
            .iter()
            .map(|message| match message {
                Message::User(text) => json!({"role": "user", "text": self.text(text)}),
                Message::Assistant { text, tool_calls } => json!({
                    "role": "assistant",
                    "text": self.text(text),
                    "tool_calls": self.calls(tool_calls),
                }),
                Message::ToolResult { call_id, text } => {
                    json!({"role": "tool", "call": call_id, "text": self.text(text)})
                }
            })
            .collect();
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                })
            })
            .collect();
        json!({
            "model": self.model.label(),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "schema": request.schema.as_ref().map(|schema| &schema.schema),
            "tools": tools,
            "system": self.text(&request.system),
            "messages": messages,
        })
    }
}

#[async_trait]
impl Model for ExchangeLog {
    fn label(&self) -> String {
        self.model.label()
    }

    async fn check(&self) -> Result<(), ModelError> {
        self.model.check().await
    }

    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError> {
        let asked = Content::of(&self.request(request));
        let waits = Arc::clone(&self.waits.lock().unwrap_or_else(PoisonError::into_inner));
        let replied = self.model.complete_with(request, &*waits).await;
        let (answer, usage, served) = match &replied {
            Ok(reply) => {
                let said = json!({
                    "text": self.text(&reply.text),
                    "tool_calls": self.calls(&reply.tool_calls),
                });
                (Ok(Content::of(&said)), reply.usage, self.served(&reply.served))
            }
            Err(error) => (Err(word(error.kind)), error.usage, Served::default()),
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(Exchange {
            model: self.model.label(),
            request: asked,
            answer,
            usage,
            served,
            temperature: request.temperature,
            max_tokens: request.max_tokens,
            tools: request.tools.iter().map(|tool| tool.name).collect(),
            schema: request.schema.as_ref().map(|schema| schema.name),
        });
        replied
    }
}

const fn word(kind: ModelErrorKind) -> &'static str {
    match kind {
        ModelErrorKind::NotConfigured => "not_configured",
        ModelErrorKind::Auth => "auth",
        ModelErrorKind::RateLimited => "rate_limited",
        ModelErrorKind::Unreachable => "unreachable",
        ModelErrorKind::Timeout => "timeout",
        ModelErrorKind::Cut => "cut",
        ModelErrorKind::Rejected => "rejected",
        ModelErrorKind::Protocol => "protocol",
        ModelErrorKind::NoRecording => "no_recording",
    }
}
