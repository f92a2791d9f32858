//! For tests: a recorded model that keeps what it was asked, and things to ask about.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use greenloop_config::plan::{Provider, RolePlan};
use greenloop_llm::Replay;
use greenloop_model::{
    CommitId, Evidence, Excerpt, Exit, Failure, FailureClass, Fingerprint, Location, Stage,
};
use greenloop_ports::{Message, Model, ModelError, ModelReply, ModelRequest};
use greenloop_workspace::Workspace;

pub(super) struct Recorded {
    replay: Replay,
    asked: Mutex<Vec<ModelRequest>>,
}

impl Recorded {
    /// Answers these texts; one that is a JSON array is a list of `[tool, arguments]` calls.
    pub(super) fn answering(role: &str, answers: &[&str]) -> Arc<Self> {
        let lines = answers.iter().map(|answer| {
            let calls = serde_json::from_str::<Vec<(String, Value)>>(answer).ok();
            let record = match calls {
                Some(calls) => {
                    let calls: Vec<Value> = calls
                        .into_iter()
                        .map(|(name, arguments)| json!({ "name": name, "arguments": arguments }))
                        .collect();
                    json!({ "role": role, "answer": "", "tool_calls": calls })
                }
                None => json!({ "role": role, "answer": answer }),
            };
            format!("{record}\n")
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.jsonl"), lines.collect::<String>()).unwrap();
        let replay = Replay::open(role, &plan(0), folder.path(), Path::new("t.jsonl")).unwrap();
        Arc::new(Self { replay, asked: Mutex::new(Vec::new()) })
    }

    pub(super) fn requests(&self) -> Vec<ModelRequest> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Model for Recorded {
    fn label(&self) -> String {
        self.replay.label()
    }

    async fn complete(&self, request: &ModelRequest) -> Result<ModelReply, ModelError> {
        self.asked.lock().unwrap().push(request.clone());
        self.replay.complete(request).await
    }
}

pub(super) fn plan(tool_steps: u32) -> RolePlan {
    RolePlan {
        provider: Provider::Replay { path: PathBuf::new() },
        model: "m".into(),
        temperature: Some(0.1),
        max_tokens: Some(2000),
        system_prompt: None,
        timeout: Duration::from_secs(1),
        max_retries: 0,
        input_price: 0.0,
        cached_input_price: 0.0,
        output_price: 0.0,
        tool_steps,
        explores: false,
        agent: None,
        next: Vec::new(),
    }
}

/// A failed test whose log says `text`.
pub(super) fn failure(text: &str) -> Failure {
    let at = Location { file: "src/price.py".into(), line: 2, column: None };
    let lines = text.lines().count().max(1) as u64;
    let excerpt = Excerpt {
        start: 10,
        end: 9 + lines,
        kind: "pytest".into(),
        text: text.into(),
        locations: vec![at],
    };
    Failure {
        stage: Stage::Gates,
        name: "unit tests".into(),
        headline: "test_total failed".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([7; 8]),
        flaky_suspect: false,
        symptoms: std::iter::once("test_total".to_owned()).collect(),
        evidence: Evidence {
            command: Some("pytest -q".into()),
            exit: Some(Exit::Code(1)),
            excerpts: vec![excerpt],
            log_lines: 99,
            failing_tests: std::iter::once("tests/test_price.py::test_total".to_owned()).collect(),
            ..Evidence::default()
        },
    }
}

/// A real repository in a temporary folder.
pub(super) struct Repository {
    folder: tempfile::TempDir,
    pub(super) workspace: Workspace,
    pub(super) head: CommitId,
}

impl Repository {
    /// With one commit of these files.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        git(folder.path(), &["init", "-q"]);
        git(folder.path(), &["add", "-A"]);
        git(folder.path(), &["commit", "-qm", "Begin"]);
        let workspace = Workspace::open(folder.path()).unwrap();
        let head = workspace.head().unwrap().commit;
        Self { folder, workspace, head }
    }

    /// One more commit, which is the head then.
    pub(super) fn commit(&mut self, subject: &str, files: &[(&str, &str)]) {
        write(self.folder.path(), files);
        git(self.folder.path(), &["add", "-A"]);
        git(self.folder.path(), &["commit", "-qm", subject]);
        self.head = self.workspace.head().unwrap().commit;
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let settings = ["-c", "user.name=Test", "-c", "user.email=test@localhost"];
    let run = Command::new("git")
        .args(settings)
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// The fence's mark, as the first line of the conversation names it.
pub(super) fn mark(request: &ModelRequest) -> String {
    let Some(Message::User(text)) = request.messages.first() else { panic!("no user message") };
    let line = text.lines().next().unwrap().strip_prefix("The mark is ").unwrap();
    line.trim_end_matches('.').to_owned()
}
