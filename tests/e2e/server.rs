//! A local OpenAI-compatible server: chat completions, streamed or not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The answers for the author, in order; the last one repeats. The answer for the reviewer is
/// `review`.
pub(crate) struct ModelServer {
    server: MockServer,
    seen: Arc<Mutex<Vec<Value>>>,
}

/// An answer that calls a tool: `call NAME ARGUMENTS`, the arguments in JSON.
const CALL: &str = "call ";

/// A defect of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quirk {
    None,
    /// Rejects requests with stream options.
    NoStreams,
    /// Ends streams to the author before the answer is complete.
    CutsTheAuthor,
    /// Answers its first `times` requests with 429 and this `Retry-After`.
    Busy {
        asks: &'static str,
        times: usize,
    },
}

struct Script {
    quirk: Quirk,
    answers: Vec<String>,
    review: String,
    next: Mutex<usize>,
    seen: Arc<Mutex<Vec<Value>>>,
}

/// Only requests to the reviewer ask for JSON.
fn is_review(body: &Value) -> bool {
    body.get("response_format").is_some()
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if self.quirk == Quirk::NoStreams
            && (body.get("stream").is_some() || body.get("stream_options").is_some())
        {
            self.seen.lock().unwrap().push(body);
            return ResponseTemplate::new(400)
                .set_body_json(json!({"error": {"message": "unknown field"}}));
        }
        if let Quirk::Busy { asks, times } = self.quirk
            && self.seen.lock().unwrap().len() < times
        {
            self.seen.lock().unwrap().push(body);
            return ResponseTemplate::new(429)
                .insert_header("retry-after", asks)
                .set_body_json(json!({"error": {"message": "slow down"}}));
        }
        let answer = if is_review(&body) {
            self.review.clone()
        } else {
            let mut next = self.next.lock().unwrap();
            let answer = self.answers[(*next).min(self.answers.len() - 1)].clone();
            *next += 1;
            answer
        };
        let cut = self.quirk == Quirk::CutsTheAuthor && !is_review(&body);
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let number = self.seen.lock().unwrap().len();
        self.seen.lock().unwrap().push(body);
        if let Some((name, arguments)) =
            answer.strip_prefix(CALL).and_then(|call| call.split_once(' '))
        {
            assert!(stream, "the program asks for streams");
            return tool_call(number, name, arguments);
        }
        if !stream {
            return ResponseTemplate::new(200).set_body_json(json!({
                "id": "x", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{
                    "index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": answer},
                }],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
            }));
        }
        let chunk = |delta: Value, finish: Value, usage: Value| {
            format!(
                "data: {}\n\n",
                json!({
                    "id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                    "usage": usage,
                })
            )
        };
        let middle = answer.len() / 2;
        let middle = (0..=middle).rev().find(|i| answer.is_char_boundary(*i)).unwrap_or(0);
        let (first, second) = answer.split_at(middle);
        let mut text =
            chunk(json!({"role": "assistant", "content": first}), Value::Null, Value::Null);
        text += &chunk(json!({"content": second}), Value::Null, Value::Null);
        if cut {
            return ResponseTemplate::new(200).set_body_raw(text, "text/event-stream");
        }
        text += &chunk(
            json!({}),
            json!("stop"),
            json!({
                "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 60},
            }),
        );
        text += "data: [DONE]\n\n";
        ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
    }
}

/// A streamed call of a tool, in two pieces.
fn tool_call(number: usize, name: &str, arguments: &str) -> ResponseTemplate {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({
            "id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m",
            "choices": [choice], "usage": null,
        });
        format!("data: {chunk}\n\n")
    };
    let id = format!("call_{number}");
    let first = json!({
        "role": "assistant",
        "tool_calls": [{
            "index": 0, "id": id, "type": "function",
            "function": {"name": name, "arguments": ""},
        }],
    });
    let rest = json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]});
    let text = [
        chunk(first, Value::Null),
        chunk(rest, Value::Null),
        chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    ResponseTemplate::new(200).set_body_raw(text.concat(), "text/event-stream")
}

pub(crate) const APPROVE: &str =
    r#"{"verdict": "approve", "risk": "low", "reason": "minimal and correct", "suggestion": null}"#;
pub(crate) const REJECT: &str = r#"{"verdict": "reject", "risk": "high", "reason": "masks the error", "suggestion": "repair the cause"}"#;

impl ModelServer {
    pub(crate) async fn start(answers: &[&str], review: &str) -> Self {
        Self::with_quirk(answers, review, Quirk::None).await
    }

    pub(crate) async fn with_quirk(answers: &[&str], review: &str, quirk: Quirk) -> Self {
        let server = MockServer::start().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .respond_with(Script {
                quirk,
                answers: answers.iter().map(|a| (*a).to_owned()).collect(),
                review: review.to_owned(),
                next: Mutex::new(0),
                seen: Arc::clone(&seen),
            })
            .mount(&server)
            .await;
        Self { server, seen }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.server.uri())
    }

    /// The requests made to the author.
    pub(crate) fn author_requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().filter(|b| !is_review(b)).cloned().collect()
    }

    /// The requests made to the reviewer.
    pub(crate) fn reviewer_requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().filter(|b| is_review(b)).cloned().collect()
    }
}
