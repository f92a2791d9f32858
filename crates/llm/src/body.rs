//! The body of a request.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::abilities::{Abilities, Form, TokenLimit};
use greenloop_ports::{Message, ModelRequest};

/// The chat-completions body of `request`, with what the server can do.
pub(super) fn body(model: &str, request: &ModelRequest, can: Abilities) -> Value {
    let tools = can.tools && !request.tools.is_empty();
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages(request, tools));
    // Left out rather than false: a server without streams may not know the word.
    if can.stream {
        body.insert("stream".into(), true.into());
        if can.stream_options {
            body.insert("stream_options".into(), json!({ "include_usage": true }));
        }
    }
    if let Some(temperature) = request.temperature.filter(|_| can.temperature) {
        // As it was written: 0.2 and not the nearest single-precision number's digits.
        let rounded = (f64::from(temperature) * 10_000.0).round() / 10_000.0;
        body.insert("temperature".into(), rounded.into());
    }
    if let Some(max_tokens) = request.max_tokens {
        let name = match can.token_limit {
            TokenLimit::MaxTokens => "max_tokens",
            TokenLimit::MaxCompletionTokens => "max_completion_tokens",
        };
        body.insert(name.into(), max_tokens.into());
    }
    if can.cache_key {
        body.insert("prompt_cache_key".into(), cache_key(request).into());
    }
    if tools {
        let specs = request.tools.iter().map(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            })
        });
        body.insert("tools".into(), specs.collect());
    }
    if let Some(schema) = &request.schema {
        let format = match can.form {
            Form::Schema => Some(json!({
                "type": "json_schema",
                "json_schema": { "name": schema.name, "strict": true, "schema": schema.schema },
            })),
            Form::Object => Some(json!({ "type": "json_object" })),
            Form::Prompt => None,
        };
        body.extend(format.map(|format| ("response_format".to_owned(), format)));
    }
    Value::Object(body)
}

/// The same for all requests that begin with the same text: the system prompt and the tools are what
/// runs have in common.
fn cache_key(request: &ModelRequest) -> String {
    let mut digest = Sha256::new();
    digest.update(request.system.as_bytes());
    for tool in &request.tools {
        digest.update([0]);
        digest.update(tool.name.as_bytes());
    }
    let digest: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("greenloop-{digest}")
}

/// The conversation. Where no tools are sent, earlier calls and their results are sent in plain
/// text: servers refuse tool messages in a request that offers no tools.
fn messages(request: &ModelRequest, tools: bool) -> Value {
    let mut list = vec![json!({ "role": "system", "content": request.system })];
    let mut called: Vec<(&str, String)> = Vec::new();
    for message in &request.messages {
        match message {
            Message::User(text) => push_text(&mut list, "user", text),
            Message::Assistant { text, tool_calls } if tools && !tool_calls.is_empty() => {
                let calls: Value = tool_calls
                    .iter()
                    .map(|call| {
                        json!({
                            "id": call.id,
                            "type": "function",
                            "function": { "name": call.name, "arguments": call.arguments },
                        })
                    })
                    .collect();
                let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
                list.push(json!({ "role": "assistant", "content": content, "tool_calls": calls }));
            }
            Message::Assistant { text, tool_calls } => {
                if !text.is_empty() {
                    push_text(&mut list, "assistant", text);
                }
                called.extend(tool_calls.iter().map(|call| {
                    (call.id.as_str(), format!("{} with {}", call.name, call.arguments))
                }));
            }
            Message::ToolResult { call_id, text } if tools => {
                list.push(json!({ "role": "tool", "tool_call_id": call_id, "content": text }));
            }
            Message::ToolResult { call_id, text } => {
                let call = called.iter().rev().find(|(id, _)| id == call_id);
                let call = call.map_or("a tool", |(_, call)| call.as_str());
                push_text(&mut list, "user", &format!("Result of {call}:\n{text}"));
            }
        }
    }
    Value::Array(list)
}

/// Adds text; to the last message when it has the same role, because some servers insist that
/// roles take turns.
fn push_text(list: &mut Vec<Value>, role: &str, text: &str) {
    if let Some(last) = list.last_mut()
        && last["role"] == role
        && last.get("tool_calls").is_none()
        && let Some(Value::String(content)) = last.get_mut("content")
    {
        content.push_str("\n\n");
        content.push_str(text);
        return;
    }
    list.push(json!({ "role": role, "content": text }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_ports::{JsonSchema, ToolCall, ToolSpec};

    fn request() -> ModelRequest {
        let call = ToolCall { id: "c1".into(), name: "read".into(), arguments: "{}".into() };
        ModelRequest {
            system: "be brief".into(),
            messages: vec![
                Message::User("why?".into()),
                Message::Assistant { text: String::new(), tool_calls: vec![call] },
                Message::ToolResult { call_id: "c1".into(), text: "because".into() },
                Message::User("go on".into()),
            ],
            tools: vec![ToolSpec { name: "read", description: "reads", parameters: json!({}) }],
            schema: Some(JsonSchema { name: "review", schema: json!({"type": "object"}) }),
            temperature: Some(0.2),
            max_tokens: Some(100),
        }
    }

    #[test]
    fn requests_that_begin_alike_share_a_cache_key() {
        let can = Abilities { cache_key: true, ..Abilities::all(TokenLimit::MaxTokens) };
        let key = |request: &ModelRequest| body("m", request, can)["prompt_cache_key"].clone();
        let first = request();
        let later = ModelRequest {
            messages: vec![Message::User("another failure".into())],
            temperature: None,
            ..request()
        };
        let other = ModelRequest { system: "be long".into(), ..request() };
        assert!(key(&first).is_string());
        assert_eq!(key(&first), key(&later));
        assert_ne!(key(&first), key(&other));
        assert_ne!(key(&first), key(&ModelRequest { tools: Vec::new(), ..request() }));
        let unknown = body("m", &first, Abilities::all(TokenLimit::MaxTokens));
        assert!(unknown.get("prompt_cache_key").is_none());
    }

    #[test]
    fn everything_is_sent_to_a_server_that_can() {
        let body = body("m", &request(), Abilities::all(TokenLimit::MaxTokens));
        assert_eq!(body["stream"], true);
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["temperature"].to_string(), "0.2");
        assert_eq!(body["max_tokens"], 100);
        assert_eq!(body["tools"][0]["function"]["name"], "read");
        assert_eq!(body["response_format"]["json_schema"]["name"], "review");
        assert_eq!(body["messages"][2]["tool_calls"][0]["id"], "c1");
        assert_eq!(body["messages"][3]["role"], "tool");
    }

    #[test]
    fn a_server_that_can_do_little_gets_plain_text_in_turns() {
        let can = Abilities {
            form: Form::Prompt,
            tools: false,
            stream_options: false,
            stream: false,
            token_limit: TokenLimit::MaxCompletionTokens,
            temperature: false,
            cache_key: false,
        };
        assert_eq!(
            body("m", &request(), can),
            json!({
                "model": "m",
                "messages": [
                    { "role": "system", "content": "be brief" },
                    {
                        "role": "user",
                        "content": "why?\n\nResult of read with {}:\nbecause\n\ngo on",
                    },
                ],
                "max_completion_tokens": 100,
            })
        );
        let object = Abilities { form: Form::Object, ..can };
        assert_eq!(body("m", &request(), object)["response_format"]["type"], "json_object");
    }
}
