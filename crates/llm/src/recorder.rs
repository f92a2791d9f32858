//! A model whose answers are written down, to be replayed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::not_configured;
use super::transcript::{Recorded, RecordedCall, RecordedUsage, Role};
use greenloop_evidence::Redactor;
use greenloop_ports::{Model, ModelError, ModelReply, ModelRequest, SilentWaits, Waits};

/// Passes requests on and adds each answer, redacted, to a file in the form that
/// [`super::Replay`] reads: this is how transcripts are made. The file only grows.
pub struct Recorder {
    model: Arc<dyn Model>,
    role: Role,
    redactor: Redactor,
    file: Mutex<File>,
}

impl Recorder {
    /// Records what `model` answers as `role` (`author` or `reviewer`) at the end of `path`.
    pub fn new(
        model: Arc<dyn Model>,
        role: &str,
        path: &Path,
        redactor: Redactor,
    ) -> Result<Self, ModelError> {
        let role = Role::from_name(role)
            .ok_or_else(|| not_configured(model.label(), format!("unknown role {role:?}"), None))?;
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|source| {
            let message = format!("could not record answers to {}", path.display());
            not_configured(model.label(), message, Some(source.into()))
        })?;
        Ok(Self { model, role, redactor, file: Mutex::new(file) })
    }

    fn line(&self, reply: &ModelReply) -> Result<String, serde_json::Error> {
        let calls = reply.tool_calls.iter().map(|call| RecordedCall {
            name: call.name.clone(),
            arguments: Value::String(self.redactor.redact(&call.arguments).into_owned()),
        });
        let recorded = Recorded {
            role: self.role,
            when: None,
            answer: self.redactor.redact(&reply.text).into_owned(),
            tool_calls: calls.collect(),
            usage: Some(RecordedUsage {
                input_tokens: reply.usage.input_tokens,
                output_tokens: reply.usage.output_tokens,
            }),
        };
        serde_json::to_string(&recorded).map(|line| line + "\n")
    }
}

#[async_trait]
impl Model for Recorder {
    fn label(&self) -> String {
        self.model.label()
    }

    async fn check(&self) -> Result<(), ModelError> {
        self.model.check().await
    }

    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError> {
        self.complete_with(request, &SilentWaits).await
    }

    async fn complete_with(
        &self,
        request: &ModelRequest,
        waits: &dyn Waits,
    ) -> Result<ModelReply, ModelError> {
        let reply = self.model.complete_with(request, waits).await?;
        // A full disk costs the recording, not the run. One write, so that lines of two roles
        // that share the file stay whole.
        let written = self.line(&reply).map_err(std::io::Error::from).and_then(|line| {
            self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the answer was not recorded");
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Replay;
    use crate::tests::{plan_for, request};
    use greenloop_config::plan::Provider;

    #[tokio::test]
    async fn what_is_recorded_can_be_replayed() {
        let folder = tempfile::tempdir().unwrap();
        let answers = concat!(
            r#"{"role":"author","answer":"","tool_calls":[{"name":"list_files","arguments":{}}]}"#,
            "\n",
            r#"{"role":"author","answer":"it is hunter2-secret","usage":{"input_tokens":7,"output_tokens":2}}"#,
        );
        std::fs::write(folder.path().join("a.jsonl"), answers).unwrap();
        let plan = plan_for(Provider::Replay { path: "a.jsonl".into() });
        let open =
            |name: &str| Replay::open("author", &plan, folder.path(), Path::new(name)).unwrap();
        let redactor = Redactor::new(["hunter2-secret".to_owned()]);
        let path = folder.path().join("b.jsonl");
        let recorder = Recorder::new(Arc::new(open("a.jsonl")), "author", &path, redactor).unwrap();
        for _ in 0..2 {
            recorder.complete(&request("x")).await.unwrap();
        }
        let replay = open("b.jsonl");
        let first = replay.complete(&request("x")).await.unwrap();
        assert_eq!(
            (&*first.tool_calls[0].name, &*first.tool_calls[0].arguments),
            ("list_files", "{}")
        );
        let second = replay.complete(&request("x")).await.unwrap();
        assert_eq!(second.text, "it is [redacted]");
        assert_eq!((second.usage.input_tokens, second.usage.output_tokens), (7, 2));
    }
}
