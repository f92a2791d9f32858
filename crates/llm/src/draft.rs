//! An answer while it comes in.

use serde::Deserialize;
use serde_json::Value;

use super::price::Tokens;
use greenloop_ports::{Served, ToolCall};

/// One event of a stream, or the whole body of a server that does not stream. Lenient: servers
/// leave out, null, number and rename what they like; what matters is read, the rest ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Counted>,
    error: Option<Value>,
    model: Option<Value>,
    system_fingerprint: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    index: Option<u64>,
    delta: Option<MessagePart>,
    message: Option<MessagePart>,
    finish_reason: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessagePart {
    content: Option<Value>,
    refusal: Option<Value>,
    tool_calls: Option<Vec<CallPart>>,
    function_call: Option<FunctionPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallPart {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Counted {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<CountedDetails>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct CountedDetails {
    cached_tokens: Option<u64>,
}

/// How an answer ended, by its `finish_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model was done, or wants its calls made.
    Done,
    /// The longest answer allowed was reached.
    Length,
    /// A filter took offence.
    Filtered,
    /// The server gave up on it.
    Aborted,
}

impl Finish {
    /// Words of OpenAI and of servers that pass on others' words. An unknown word means that the
    /// model stopped for some reason of its own.
    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "length" | "max_tokens" | "model_length" => Self::Length,
            "content_filter" | "safety" | "recitation" | "prohibited_content" => Self::Filtered,
            "error" | "abort" | "network_error" | "insufficient_system_resource" => Self::Aborted,
            _ => Self::Done,
        }
    }
}

struct CallDraft {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// An answer while it comes in.
#[derive(Default)]
pub(super) struct Draft {
    text: String,
    refusal: String,
    calls: Vec<CallDraft>,
    finish: Option<Finish>,
    counted: Option<Tokens>,
    served: Served,
}

/// A whole answer, or what can be said of one that is not.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) tool_calls: Vec<ToolCall>,
    /// What the model said instead of an answer, where the server tells it apart.
    pub(super) refusal: Option<String>,
    /// `None`: it was cut.
    pub(super) finish: Option<Finish>,
    /// Its tokens, where the server counts.
    pub(super) counted: Option<Tokens>,
    pub(super) served: Served,
}

impl Draft {
    /// Takes in one event; an error object that stands in the answer's place is handed back.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<(), Value> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(error);
        }
        name(&mut self.served.model, chunk.model);
        name(&mut self.served.fingerprint, chunk.system_fingerprint);
        if let Some(usage) = chunk.usage
            && let (Some(sent), received) = (usage.prompt_tokens, usage.completion_tokens)
        {
            let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
            self.counted =
                Some(Tokens { sent, cached: cached.unwrap_or(0), received: received.unwrap_or(0) });
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) != 0 {
                continue;
            }
            // A message is whole: that its JSON could be read shows that nothing was cut off.
            if choice.message.is_some() {
                self.finish = Some(Finish::Done);
            }
            for part in choice.delta.into_iter().chain(choice.message) {
                self.take_part(part);
            }
            match choice.finish_reason {
                Some(Value::String(word)) if !word.is_empty() => {
                    self.finish = Some(Finish::of(&word));
                }
                Some(Value::Null | Value::Bool(_) | Value::String(_)) | None => {}
                Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    self.finish = Some(Finish::Done);
                }
            }
        }
        Ok(())
    }

    /// Whether the answer is whole but for the count of its tokens, and whether that is here.
    pub(super) const fn finished(&self) -> (bool, bool) {
        (self.finish.is_some(), self.counted.is_some())
    }

    fn take_part(&mut self, part: MessagePart) {
        push_text(&mut self.text, part.content);
        push_text(&mut self.refusal, part.refusal);
        for call in part.tool_calls.unwrap_or_default() {
            let function = call.function.unwrap_or_default();
            self.take_call(call.index, call.id.unwrap_or_default(), function);
        }
        if let Some(function) = part.function_call {
            self.take_call(Some(0), String::new(), function);
        }
    }

    /// Joins the pieces of a call: by index; without one, by whether a new call begins. Some
    /// servers number every call 0 and tell them apart by id alone.
    fn take_call(&mut self, index: Option<u64>, id: String, function: FunctionPart) {
        let name = function.name.unwrap_or_default();
        let begins = |call: &CallDraft| {
            !id.is_empty() && !call.id.is_empty() && call.id != id && !name.is_empty()
        };
        let known = match index {
            Some(_) => self.calls.iter().rposition(|c| c.index == index && !begins(c)),
            None if name.is_empty() => self.calls.len().checked_sub(1),
            None => None,
        };
        let mut arguments = String::new();
        match function.arguments {
            Some(Value::String(text)) => arguments = text,
            Some(Value::Null) | None => {}
            Some(other) => arguments = other.to_string(),
        }
        match known.and_then(|at| self.calls.get_mut(at)) {
            Some(call) => {
                if call.id.is_empty() {
                    call.id = id;
                }
                if call.name.is_empty() {
                    call.name = name;
                }
                call.arguments.push_str(&arguments);
            }
            None => self.calls.push(CallDraft { index, id, name, arguments }),
        }
    }

    /// The answer as far as it came.
    pub(super) fn answer(self) -> Answer {
        let named = self.calls.into_iter().filter(|call| !call.name.is_empty());
        let tool_calls = named
            .enumerate()
            .map(|(nth, call)| ToolCall {
                id: if call.id.is_empty() { format!("call_{nth}") } else { call.id },
                name: call.name,
                arguments: call.arguments,
            })
            .collect();
        Answer {
            text: without_thoughts(self.text),
            tool_calls,
            refusal: (!self.refusal.is_empty()).then_some(self.refusal),
            finish: self.finish,
            counted: self.counted,
            served: self.served,
        }
    }
}

/// Keeps what a server says first of itself. Some events have it empty, or as null.
fn name(known: &mut Option<String>, said: Option<Value>) {
    /// Characters of a name that is not made up.
    const LONGEST: usize = 200;
    if let Some(Value::String(said)) = said.filter(|_| known.is_none())
        && !said.is_empty()
    {
        *known = Some(said.chars().filter(|c| !c.is_control()).take(LONGEST).collect());
    }
}

/// Adds text that came as a string, or as a list of parts that have a `text`.
fn push_text(text: &mut String, content: Option<Value>) {
    match content {
        Some(Value::String(content)) => text.push_str(&content),
        Some(Value::Array(parts)) => {
            for part in parts {
                text.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
    }
}

/// Open models behind simple servers think aloud before they answer; that is no part of it.
fn without_thoughts(text: String) -> String {
    match text.trim_start().strip_prefix("<think>").and_then(|rest| rest.split_once("</think>")) {
        Some((_, answer)) => answer.trim_start().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draft(chunks: &[Value]) -> Answer {
        let mut draft = Draft::default();
        for chunk in chunks {
            draft.take(serde_json::from_value(chunk.clone()).unwrap()).unwrap();
        }
        draft.answer()
    }

    fn delta(delta: Value) -> Value {
        json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
    }

    #[test]
    fn text_comes_in_pieces_of_many_shapes() {
        let answer = draft(&[
            json!({ "choices": [], "prompt_filter_results": [] }),
            delta(json!({ "role": "assistant", "content": null })),
            delta(json!({ "content": "a" })),
            delta(json!({ "content": [{ "type": "text", "text": "b" }] })),
            delta(json!({ "reasoning_content": "hm" })),
            json!({ "choices": [{ "index": 1, "delta": { "content": "other" } }] }),
            json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": null }),
            json!({ "choices": null, "usage": { "prompt_tokens": 3, "completion_tokens": 2,
                "prompt_tokens_details": { "cached_tokens": 1 } } }),
        ]);
        assert_eq!(answer.text, "ab");
        assert_eq!(answer.finish, Some(Finish::Done));
        assert_eq!(answer.counted, Some(Tokens { sent: 3, cached: 1, received: 2 }));
    }

    #[test]
    fn endings() {
        for (word, expect) in [
            (json!("stop"), Some(Finish::Done)),
            (json!("end_turn"), Some(Finish::Done)),
            (json!("length"), Some(Finish::Length)),
            (json!("MAX_TOKENS"), Some(Finish::Length)),
            (json!("content_filter"), Some(Finish::Filtered)),
            (json!("abort"), Some(Finish::Aborted)),
            (json!(null), None),
            (json!(""), None),
        ] {
            let chunk = json!({ "choices": [{ "delta": {}, "finish_reason": word }] });
            assert_eq!(draft(&[chunk]).finish, expect, "{word}");
        }
        // A whole message needs none, but is held to the one it has.
        for (word, expect) in [(json!(null), Finish::Done), (json!("length"), Finish::Length)] {
            let whole =
                json!({ "choices": [{ "message": { "content": "x" }, "finish_reason": word }] });
            assert_eq!(draft(&[whole]).finish, Some(expect));
        }
    }

    #[test]
    fn calls_are_joined_however_they_are_numbered() {
        let piece = |index: Value, id: Value, name: Value, arguments: Value| {
            delta(json!({ "tool_calls": [
                { "index": index, "id": id, "function": { "name": name, "arguments": arguments } }
            ] }))
        };
        let (null, empty) = (json!(null), json!(""));
        let by_index = [
            piece(json!(0), json!("a"), json!("read"), empty.clone()),
            piece(json!(1), json!("b"), json!("list"), json!("{")),
            piece(json!(0), null.clone(), null.clone(), json!("{}")),
            piece(json!(1), empty.clone(), empty.clone(), json!("}")),
        ];
        let without_index = [
            piece(null.clone(), json!("a"), json!("read"), json!("{")),
            piece(null.clone(), null.clone(), null.clone(), json!("}")),
            piece(null.clone(), json!("b"), json!("list"), json!({})),
        ];
        let all_zero = [
            piece(json!(0), json!("a"), json!("read"), json!("{}")),
            piece(json!(0), json!("b"), json!("list"), json!("{}")),
        ];
        for chunks in [&by_index[..], &without_index, &all_zero] {
            let calls = draft(chunks).tool_calls;
            let got: Vec<_> = calls.iter().map(|c| (&*c.id, &*c.name, &*c.arguments)).collect();
            assert_eq!(got, [("a", "read", "{}"), ("b", "list", "{}")], "{chunks:?}");
        }
        let whole = json!({ "choices": [{ "message": {
            "content": null,
            "tool_calls": [{ "function": { "name": "read", "arguments": { "path": "x" } } },
                           { "function": { "name": "read", "arguments": "{}" } }],
        } }] });
        let calls = draft(&[whole]).tool_calls;
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].arguments, "{\"path\":\"x\"}");
        assert_ne!(calls[0].id, calls[1].id);
    }

    #[test]
    fn thoughts_are_no_part_of_the_answer() {
        for (text, expect) in [
            ("<think>\nhm\n</think>\n\nyes", "yes"),
            ("yes <think>x</think>", "yes <think>x</think>"),
            ("<think>never closed", "<think>never closed"),
        ] {
            assert_eq!(without_thoughts(text.to_owned()), expect);
        }
    }

    #[test]
    fn an_error_in_the_stream_is_handed_back() {
        let chunk: Chunk =
            serde_json::from_value(json!({ "error": { "code": 502, "message": "x" } })).unwrap();
        assert_eq!(Draft::default().take(chunk).unwrap_err()["code"], 502);
    }
}
