//! The one event stream: everything a run tells the outside world.
//!
//! Stages and the engine send; reporters, and nobody else, consume.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::summary::RunSummary;
use super::words::named;
use super::{
    CommitId, Endpoint, EnvironmentName, Evaluation, Failure, GateResult, ImageRef, Invocation,
    Limits, Progress, ReleaseId, Review, RunId, Stage, TargetKind, Usage,
};

/// Where events go. Sending never blocks and never fails: a reporter that is gone is no reason
/// to stop a deployment.
///
/// The reporters end when the last sink is dropped, and the process waits for them: nobody keeps one
/// beyond the call that it was given to.
#[derive(Debug, Clone)]
pub struct EventSink(Option<std::sync::mpsc::Sender<RunEvent>>);

impl EventSink {
    /// A sink into `sender`.
    pub fn new(sender: std::sync::mpsc::Sender<RunEvent>) -> Self {
        Self(Some(sender))
    }

    /// A sink that drops everything.
    pub fn null() -> Self {
        Self(None)
    }

    /// Sends one event.
    pub fn send(&self, event: RunEvent) {
        if let Some(sender) = &self.0 {
            let _receiver_gone = sender.send(event);
        }
    }
}

named!(
    /// What a run is for.
    RunKind {
        /// From a commit to a verified deployment.
        Deploy = "deploy",
        /// The smoke tests against what is deployed.
        Verify = "verify",
        /// An earlier release serves again.
        RollBack = "roll back",
        /// One command passes.
        Heal = "heal",
    }
);

/// What a run is about, known when it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The run. Not part of its record: it stands in that of every event.
    #[serde(skip, default = "RunId::nil")]
    pub run: RunId,
    /// What it is for.
    pub task: RunKind,
    /// The same for people, with the environment or the command it is about.
    pub title: String,
    /// The environment; `None` for `heal`.
    pub environment: Option<EnvironmentName>,
    /// The commit it starts from.
    pub commit: CommitId,
    /// The first line of that commit's message.
    pub commit_subject: String,
    /// The target; `None` for `heal`.
    pub target: Option<TargetKind>,
    /// Who writes and who reviews: `replay (recorded transcript)`, `gpt-4o at api.openai.com`.
    pub author: String,
    pub reviewer: String,
    /// The limits it runs under.
    pub limits: Limits,
    /// The repository's root.
    #[serde(serialize_with = "lossy")]
    pub repository: PathBuf,
    /// How to start it again.
    pub invocation: Invocation,
    /// The run's folder: audit log, patches, stage logs, reports.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
}

/// A path as text; bytes that are not UTF-8 are replaced.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Something a person should know that is not an event of the loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "level", content = "text", rename_all = "snake_case")]
pub enum Notice {
    /// Good to know.
    Info(String),
    /// Look at this.
    Warning(String),
}

/// Everything a run tells, in the form of its records too (`docs/events.md`): a field may be added;
/// one that changes its meaning or goes away needs a new version of them. Texts from outside (output, reasons, diffs) are redacted already;
/// reporters make control characters and pipeline commands harmless when they print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The first event.
    Started(Box<RunHeader>),
    /// Something to know.
    Notice(Notice),
    /// A pass over the stages begins.
    IterationStarted { iteration: u32, of: u32, commit: CommitId },
    /// A stage begins; for gates, with the names in configured order.
    StageStarted { iteration: u32, stage: Stage, parts: Vec<String> },
    /// A gate, flow or check within a stage begins.
    PartStarted { stage: Stage, name: String, command: String },
    /// Output of a part: one or more whole lines where possible; lossy text.
    Output { stage: Stage, name: String, text: String },
    /// A gate ended.
    GateFinished {
        iteration: u32,
        #[serde(rename = "gate")]
        result: GateResult,
    },
    /// A rollout or smoke step ended: `ok` and what happened.
    StepFinished {
        stage: Stage,
        name: String,
        ok: bool,
        detail: String,
        #[serde(rename = "elapsed_ms", with = "crate::millis")]
        elapsed: Duration,
    },
    /// How far a part has come, in bytes; `total` when it is known. Frequent: for live display,
    /// not for records.
    Progress { stage: Stage, name: String, done: u64, total: Option<u64> },
    /// The image that will be rolled out is in its registry.
    ImageReady { image: ImageRef, tags: Vec<String>, reused: bool },
    /// A stage passed.
    StagePassed {
        iteration: u32,
        stage: Stage,
        #[serde(rename = "elapsed_ms", with = "crate::millis")]
        elapsed: Duration,
    },
    /// A stage failed; `progress` compares with the iteration before.
    StageFailed {
        iteration: u32,
        failure: Box<Failure>,
        progress: Option<Progress>,
        #[serde(rename = "elapsed_ms", with = "crate::millis")]
        elapsed: Duration,
    },
    /// A suspect is run once more on the same tree; `passed` is `None` while it runs.
    FlakyRerun { stage: Stage, name: String, passed: Option<bool> },
    /// The last verified release was restored (`ok`), or could not be.
    Restored { release: Option<ReleaseId>, ok: bool, detail: String },
    /// The author is asked.
    AuthorAsked { iteration: u32, model: String },
    /// The author used a tool: `read src/main.rs 1-80`.
    AuthorLooked { iteration: u32, call: String },
    /// The author answered with edits; the canonical diff of what they come to.
    PatchProposed { iteration: u32, reason: String, diff: String, usage: Usage },
    /// The author's answer could not be used; `reason` goes back to the author.
    PatchRefused { iteration: u32, reason: String, usage: Usage },
    /// The author answered that no patch is right.
    NoPatch { iteration: u32, class: String, reason: String },
    /// The reviewer is asked.
    ReviewerAsked { iteration: u32, model: String },
    /// The reviewer answered.
    Reviewed { iteration: u32, review: Review, usage: Usage },
    /// The policy decided.
    Evaluated {
        iteration: u32,
        #[serde(flatten)]
        evaluation: Evaluation,
    },
    /// A person decided; `reason` is why, where they said so.
    HumanDecided {
        iteration: u32,
        approved: bool,
        who: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The patch is committed and in the work tree.
    PatchApplied { iteration: u32, commit: CommitId, files: Vec<String> },
    /// A new release serves.
    Switched {
        release: ReleaseId,
        #[serde(flatten)]
        endpoint: Endpoint,
    },
    /// The last event.
    Finished(Box<RunSummary>),
}
