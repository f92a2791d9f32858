//! A model that answers from a recording.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::not_configured;
use super::price::{Price, Tokens, estimate_answer, estimate_request};
use super::transcript::{Recorded, Role, parse};
use greenloop_config::plan::RolePlan;
use greenloop_model::Usage;
use greenloop_ports::{
    Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, Served, ToolCall,
};

/// A model that answers from a recording; [`super::transcript`] describes the file. Each record
/// is used once: a request gets the first unused one of its role whose `match` occurs in the
/// request's last message.
pub struct Replay {
    label: String,
    role: Role,
    price: Price,
    records: Mutex<Vec<Option<Recorded>>>,
}

impl Replay {
    /// Reads `path`, relative to `root`: a file, or a folder whose `*.jsonl` files are read in
    /// the order of their names.
    pub fn open(role: &str, plan: &RolePlan, root: &Path, path: &Path) -> Result<Self, ModelError> {
        let label = format!("replay ({})", path.display());
        let role = Role::from_name(role)
            .ok_or_else(|| not_configured(label.clone(), format!("unknown role {role:?}"), None))?;
        let full = root.join(path);
        let unreadable = |path: &Path, source: std::io::Error| {
            let message = format!("could not read the recording {}", path.display());
            not_configured(label.clone(), message, Some(source.into()))
        };
        let mut files = Vec::new();
        if full.is_dir() {
            for entry in std::fs::read_dir(&full).map_err(|e| unreadable(&full, e))? {
                files.push(entry.map_err(|e| unreadable(&full, e))?.path());
            }
            files.retain(|file| file.extension().is_some_and(|ext| ext == "jsonl"));
            files.sort();
        } else {
            files.push(full);
        }
        let mut records = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, e))?;
            let of_file = parse(&text).map_err(|source| {
                let message = format!("{}, line {}: no answer", file.display(), source.line);
                not_configured(label.clone(), message, Some(source.into()))
            })?;
            records.extend(of_file.into_iter().filter(|r| r.role == role).map(Some));
        }
        Ok(Self { label, role, price: Price::of(plan), records: Mutex::new(records) })
    }

    /// Takes the record that answers `last` out of the recording.
    fn take(&self, last: &str) -> Option<Recorded> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |record: &Recorded| record.when.as_ref().is_none_or(|when| last.contains(when));
        records.iter_mut().find(|record| record.as_ref().is_some_and(fits))?.take()
    }

    fn left(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count()
    }
}

#[async_trait]
impl Model for Replay {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError> {
        let last = match request.messages.last() {
            Some(Message::User(text) | Message::ToolResult { text, .. }) => text.as_str(),
            Some(Message::Assistant { text, .. }) => text,
            None => "",
        };
        let Some(record) = self.take(last) else {
            let role = self.role.name();
            let message = match self.left() {
                0 => format!("the recording contains no further answer for the {role}"),
                left => format!(
                    "none of the {left} unused answers for the {role} matches this request, which \
                     ends: {}",
                    ending(last)
                ),
            };
            return Err(ModelError {
                model: self.label.clone(),
                kind: ModelErrorKind::NoRecording,
                message,
                usage: Usage::default(),
                source: None,
            });
        };
        let calls = record.tool_calls.into_iter().enumerate();
        let tool_calls: Vec<ToolCall> = calls
            .map(|(nth, call)| ToolCall {
                id: format!("call_{nth}"),
                name: call.name,
                arguments: match call.arguments {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                },
            })
            .collect();
        let usage = match record.usage {
            Some(usage) => {
                Tokens { sent: usage.input_tokens, cached: 0, received: usage.output_tokens }
            }
            None => Tokens {
                sent: estimate_request(request),
                cached: 0,
                received: estimate_answer(&record.answer, &tool_calls),
            },
        };
        let usage = self.price.usage(usage);
        Ok(ModelReply { text: record.answer, tool_calls, usage, served: Served::default() })
    }
}

/// The last words of a request, on one line.
fn ending(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let last = words[words.len().saturating_sub(20)..].join(" ");
    let skip = last.chars().count().saturating_sub(160);
    last.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{plan_for, request};
    use greenloop_config::plan::Provider;
    use std::path::PathBuf;

    fn replay(lines: &str) -> Result<Replay, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.jsonl"), lines).unwrap();
        let plan = plan_for(Provider::Replay { path: PathBuf::from("t.jsonl") });
        Replay::open("author", &plan, folder.path(), Path::new("t.jsonl"))
    }

    const LINES: &str = r#"
# the demo's first failure
{"role":"author","match":"E0425","answer":"one","usage":{"input_tokens":1000000,"output_tokens":1}}
{"role":"reviewer","answer":"no"}
{"role":"author","answer":"","tool_calls":[{"name":"read_file","arguments":{"path":"a"}}]}
{"role":"author","match":"panicked","answer":"three"}
"#;

    #[tokio::test]
    async fn each_answer_is_given_once_to_the_request_it_is_for() {
        let model = replay(LINES).unwrap();
        let second = model.complete(&request("a test panicked")).await.unwrap();
        assert_eq!(second.text, "");
        assert_eq!(second.tool_calls[0].arguments, r#"{"path":"a"}"#);
        assert!(second.usage.input_tokens > 0, "estimated");
        assert_eq!(model.complete(&request("a test panicked")).await.unwrap().text, "three");

        let error = model.complete(&request("a test\n panicked")).await.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::NoRecording);
        assert!(error.message.contains("a test panicked"), "{}", error.message);

        let first = model.complete(&request("error[E0425]")).await.unwrap();
        assert_eq!(first.text, "one");
        assert_eq!(first.usage.cost_usd, 2.0 + 10.0 / 1e6);
        let error = model.complete(&request("error[E0425]")).await.unwrap_err();
        assert!(error.message.contains("no further answer for the author"), "{}", error.message);
    }

    #[test]
    fn a_bad_recording_is_told_with_its_line() {
        for (lines, expect) in [
            ("\n{\"role\":\"author\"}", "line 2"),
            ("{\"role\":\"boss\",\"answer\":\"\"}", "line 1"),
            ("{\"role\":\"author\",\"answer\":\"\",\"matches\":\"x\"}", "line 1"),
        ] {
            let error = replay(lines).err().unwrap();
            assert_eq!(error.kind, ModelErrorKind::NotConfigured);
            assert!(error.message.contains(expect), "{}", error.message);
        }
    }

    #[test]
    fn a_folder_is_read_in_order_and_a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            let line = format!("{{\"role\":\"author\",\"answer\":\"{name}\"}}");
            std::fs::write(folder.path().join(format!("{name}.jsonl")), line).unwrap();
        }
        std::fs::write(folder.path().join("README"), "no record").unwrap();
        let plan = plan_for(Provider::Replay { path: PathBuf::new() });
        let model = Replay::open("author", &plan, folder.path(), Path::new(".")).unwrap();
        assert_eq!(model.take("").unwrap().answer, "a");

        let missing = Path::new("demo/none.jsonl");
        let error = Replay::open("author", &plan, folder.path(), missing).err().unwrap();
        assert!(error.to_string().contains("demo/none.jsonl"), "{error}");
    }
}
