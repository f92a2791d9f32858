//! The one event stream: everything a run tells the outside world.
//!
//! Stages and the engine send; reporters, and nobody else, consume.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::summary_record::SummaryRecord;
use super::words::named;
use super::{
    CommitId, Endpoint, EnvironmentName, Evaluation, Failure, GateResult, ImageRef, Invocation,
    Limits, ModelUsage, Progress, Proof, ReleaseId, Restoration, Review, RunId, RunningNow, Stage,
    StopReason, TargetKind, Usage,
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
    Task {
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
    pub task: Task,
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

const fn yes() -> bool {
    true
}

const fn is_true(value: &bool) -> bool {
    *value
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

/// One applied patch in the summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SummaryPatch {
    /// 1-based.
    pub iteration: u32,
    /// The failure it repaired.
    pub failure: String,
    /// The author's reason.
    pub reason: String,
    /// The canonical unified diff.
    pub diff: String,
    /// The review that let it pass.
    pub review: Review,
    /// The commit that carries it.
    pub commit: CommitId,
    /// Who confirmed it, where the policy wanted a person.
    pub confirmed_by: Option<String>,
}

/// One thing a person can do after a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// What it does, or what is to be done where no command does it.
    pub what: String,
    /// To be typed as it stands.
    pub command: Option<String>,
}

/// Where a run's patches are at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum FixPlace {
    /// In the work tree, and on the run's branch.
    WorkTree {
        /// Whether it was remembered, so that it can be taken back; in records where it was not.
        #[serde(default = "yes", skip_serializing_if = "is_true")]
        can_undo: bool,
    },
    /// On the run's branch, which stands on HEAD's commit.
    Branch,
    /// On the run's branch, which stands on a commit of the changed work tree.
    SnapshotBranch,
    /// There too, though they were to be in the work tree.
    NotBroughtBack {
        /// What kept them out of it.
        #[serde(rename = "reason", default)]
        why: String,
    },
}

/// How a run ended, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "SummaryRecord", try_from = "SummaryRecord")]
pub struct RunSummary {
    /// Why it ended.
    pub stop: StopReason,
    /// Passes over the stages.
    pub iterations: u32,
    /// The patches that were applied, in order.
    pub patches: Vec<SummaryPatch>,
    /// The failure that is left, when it did not end verified.
    pub failure: Option<Box<Failure>>,
    /// What the target says that it runs, asked when the run had ended; `None` for a run that
    /// concerns no target.
    pub serving: Option<RunningNow>,
    /// What became of the release that failed, when one was taken back and none was rolled out
    /// after it.
    pub restored: Option<Restoration>,
    /// The branch with the patches, when there are any.
    pub branch: Option<String>,
    /// Where the patches are; `None` when there are none.
    pub fix: Option<FixPlace>,
    /// What failed and then passed on the same tree: gates and flows, in that order.
    pub flaky: Vec<String>,
    /// What the tests show of the patches; `None` when none was applied or no gate was run.
    pub proof: Option<Proof>,
    /// Tokens and money.
    pub usage: Usage,
    /// The same by model; of a run that was resumed, since then.
    pub models: Vec<ModelUsage>,
    /// Wall-clock time.
    pub elapsed: Duration,
    /// What a person can do next, most useful first.
    pub next_steps: Vec<NextStep>,
}

impl RunSummary {
    /// Why the patches are not in the work tree, when that is where they were to be.
    pub fn not_brought_back(&self) -> Option<&str> {
        match &self.fix {
            Some(FixPlace::NotBroughtBack { why }) => Some(why),
            Some(FixPlace::WorkTree { .. } | FixPlace::Branch | FixPlace::SnapshotBranch)
            | None => None,
        }
    }

    /// Whether it ended with a release of this run that failed and the last verified one serving
    /// again. Not a rollout that could not begin for want of a machine, a credential or a quota:
    /// nothing was switched then, and what is out of order is not the release.
    pub fn rolled_back(&self) -> bool {
        let deployment_failed = self
            .failure
            .as_ref()
            .is_some_and(|failure| matches!(failure.stage, Stage::Rollout | Stage::Smoke));
        let switched = match &self.stop {
            StopReason::Verified | StopReason::Cancelled | StopReason::Abandoned => false,
            StopReason::NotHealable { class, stage: Stage::Rollout } => class.heals(),
            StopReason::NotHealable { .. }
            | StopReason::MaxIterations { .. }
            | StopReason::NoProgress { .. }
            | StopReason::RepeatedAnswer { .. }
            | StopReason::RepeatedTree { .. }
            | StopReason::Budget { .. }
            | StopReason::NoPatch { .. }
            | StopReason::NeedsHuman { .. }
            | StopReason::Declined { .. }
            | StopReason::NoHealing { .. }
            | StopReason::ModelUnavailable { .. }
            | StopReason::NoModel { .. }
            | StopReason::Internal { .. } => true,
        };
        self.is_restored() && deployment_failed && switched
    }

    /// Whether the last verified release serves because the one of this run was taken back.
    pub fn is_restored(&self) -> bool {
        self.restored.is_some_and(|restored| restored.release().is_some())
    }
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
    /// A person decided.
    HumanDecided { iteration: u32, approved: bool, who: String },
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
