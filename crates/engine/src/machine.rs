//! The loop as a pure function: [`step`] takes a state and what happened, and returns the next
//! state and the one effect to perform.
//!
//! # Expected flow
//!
//! `RunStage` for each configured stage; on a failure `Restore` (when a release of this run is
//! out), `Rerun` (when it may be flaky), `AskAuthor`, `AskReviewer`, `AskHuman` (when the policy
//! wants one), `Apply`, and round again; `Finish` is always last.
//!
//! # Guarantees
//!
//! - Stop conditions (iterations, repeated fingerprint, repeated tree, budgets, cancel) are
//!   decided here and nowhere else.
//! - Evidence, then restore, then think: after a failed rollout or smoke test the restore comes
//!   before the author is asked, so a model that is down never keeps a broken release up.
//! - `Apply` follows only an approved review and, where the policy wants one, a person's yes.
//! - The function reads no clock and no file: recovery and replay feed it the recorded inputs
//!   and must come to the same effects.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use greenloop_model::{
    Decision, FailureClass, FailureSummary, Fingerprint, Limits, NoPatchClass, Repeated,
    ReviewVerdict, Stage, StopReason, TreeId, Usage,
};

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A failed release is taken back, then the failure is healed.
    Heal,
    /// The run ends; nothing was released.
    Verify,
    /// The run ends, and the release stays: a rollback never rolls back a rollback.
    #[serde(rename = "roll back")]
    RollBack,
}

/// The rules that the machine decides by. A log is replayed by those that its run was under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub enum Rules {
    /// Answers are not compared, a patch that wants a person is reviewed first, and a restore that
    /// fails after a cancel is an internal error.
    V1,
    /// What the author or the reviewer repeats ends the run, and a patch that wants a person
    /// goes back to the author once when nobody can be asked. A run that was cancelled ends as
    /// cancelled, whatever becomes of its restore.
    V2,
    /// A restore that fails is a reason of its own to end, not an internal error.
    V3,
}

impl Rules {
    /// What new runs are under.
    pub const CURRENT: Self = Self::V3;

    /// Those of programs that did not record any.
    const fn first() -> Self {
        Self::V1
    }
}

/// The number in records.
impl From<Rules> for u32 {
    fn from(rules: Rules) -> Self {
        match rules {
            Rules::V1 => 1,
            Rules::V2 => 2,
            Rules::V3 => 3,
        }
    }
}

impl TryFrom<u32> for Rules {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            other => Err(format!("{other} is not a set of rules that this program knows")),
        }
    }
}

/// What the machine has to know of a run before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The stages to run, in order; never empty.
    pub stages: Vec<Stage>,
    /// When it stops at the latest.
    #[serde(flatten)]
    pub limits: Limits,
    /// What follows a failure.
    pub mode: Mode,
    /// A person must agree before the rollout.
    pub approve_rollout: bool,
    /// Whether a person can be asked about a patch, or has said yes beforehand. Older programs did
    /// not ask.
    #[serde(default = "always_attended")]
    pub attended: bool,
    /// What it decides by. Older programs knew one set of rules.
    #[serde(default = "Rules::first")]
    pub rules: Rules,
    /// The tree the run starts from.
    pub tree: TreeId,
}

/// Older programs did not ask.
const fn always_attended() -> bool {
    true
}

/// A failure as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureInput {
    /// The stage that failed.
    pub stage: Stage,
    /// The gate, flow or check.
    pub name: String,
    /// Its class.
    pub class: FailureClass,
    /// Its normalised identity.
    pub fingerprint: Fingerprint,
    /// One line for a person; empty in records of programs that did not write it.
    #[serde(default)]
    pub headline: String,
    /// Its cause is known, and no patch of the repository helps.
    #[serde(default)]
    pub person_only: bool,
    /// Whether it may pass when it is run again: it looks like a network or timing failure, or
    /// it has passed on this very tree before.
    pub flaky_suspect: bool,
}

impl FailureInput {
    fn summary(&self) -> Box<FailureSummary> {
        Box::new(FailureSummary {
            stage: self.stage,
            name: self.name.clone(),
            class: self.class,
            fingerprint: self.fingerprint.clone(),
            headline: self.headline.clone(),
        })
    }
}

/// What happened, with the time since the run began and what models have used since the input
/// before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Since the run began; over all processes, when it was resumed.
    #[serde(rename = "at_ms", with = "greenloop_model::millis")]
    pub at: Duration,
    /// Used since the last input.
    pub spent: Usage,
    /// What happened.
    #[serde(flatten)]
    pub what: Event,
}

/// What a person would have to agree to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// What the person would be asked.
    pub request: String,
    /// Whether another patch may do without: the rule is about this one, not about every patch.
    pub avoidable: bool,
}

/// What happened. The identities (`answer`, `refusal`, `review`) are `None` in the records of
/// programs that did not write them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub enum Event {
    /// The run begins.
    Started,
    /// A new process takes over a run whose process is gone. Candidates are stopped, a release
    /// that was not verified has given way, the work tree is that of the branch's tip.
    /// `attended` is whether the new process can ask a person about a patch; `None` in the
    /// records of programs that did not write it.
    Resumed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attended: Option<bool>,
    },
    /// The stage passed.
    StagePassed,
    /// The tasks are done, and their work has led the run to this tree.
    TasksMerged { tree: TreeId },
    /// The stage failed.
    #[serde(with = "crate::record_forms::failure")]
    StageFailed(FailureInput),
    /// The suspects passed this time.
    RerunPassed,
    /// They failed again; the failure as it is now.
    #[serde(with = "crate::record_forms::failure")]
    RerunFailed(FailureInput),
    /// The gates pass with the patches, and what ran speaks against them: tests are missing, or
    /// pass only by what the patches changed in what judges. `request` is what a person would be
    /// asked, `person` that no other patch is asked for before.
    Doubted {
        #[serde(rename = "failure")]
        symptom: FailureInput,
        request: String,
        person: bool,
    },
    /// The last verified release serves (`true`), or there was none and nothing serves
    /// (`false`).
    Restored { serving: bool },
    /// The target could not restore.
    RestoreFailed { reason: String },
    /// The target will not go on with this run's release; nothing of it is to be taken back.
    Declined { reason: String },
    /// The author answered with a patch that fits, leading to this tree. `answer` is the
    /// identity of its text, `refusal` that of the rules that forbid it, `wants` what a person
    /// would have to confirm.
    Proposed {
        tree: TreeId,
        decision: Decision,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Fingerprint>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Fingerprint>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wants: Option<Confirmation>,
    },
    /// The author's answer was cut, could not be read, or does not fit; `refusal` is the
    /// identity of what was wrong with it.
    Refused {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Fingerprint>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Fingerprint>,
    },
    /// The author says that no patch is right.
    NoPatch { class: NoPatchClass, reason: String },
    /// A model could not be asked.
    ModelFailed { reason: String, configured: bool },
    /// The reviewer's verdict, with the identity and the words of its reason.
    Reviewed {
        #[serde(rename = "approved", with = "crate::record_forms::approved")]
        verdict: ReviewVerdict,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        review: Option<Fingerprint>,
        #[serde(default)]
        reason: String,
    },
    /// A person decided; `None` when nobody could be asked.
    HumanDecided { approved: Option<bool>, request: String },
    /// The patch is committed.
    Applied { tree: TreeId },
    /// The release is recorded as verified.
    MarkedVerified,
    /// Something under the loop failed.
    Broke { reason: String },
    /// A person or a signal wants the run to end.
    Cancelled,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Run one stage.
    RunStage { iteration: u32, stage: Stage },
    /// Run what failed once more, on the same tree.
    Rerun { iteration: u32, stage: Stage, name: String },
    /// Let the last verified release serve again.
    Restore,
    /// Ask the author; `again` when its last answer goes back with the reason it was refused.
    AskAuthor { iteration: u32, again: bool },
    /// Ask the reviewer about the patch at hand.
    AskReviewer { iteration: u32 },
    /// Ask a person about the patch at hand.
    AskHumanForPatch { iteration: u32 },
    /// Ask a person whether to roll out.
    AskHumanForRollout { iteration: u32 },
    /// Ask a person whether what speaks against the applied patches is to be accepted.
    AskHumanForProof { iteration: u32 },
    /// Commit the patch at hand and write it to the work tree.
    Apply { iteration: u32 },
    /// Record the release as verified.
    MarkVerified,
    /// End.
    #[serde(serialize_with = "crate::record_forms::stop")]
    Finish(StopReason),
}

/// Where the loop is. Each variant carries what only it needs.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Before [`Event::Started`]. Goes to `Staging`.
    Ready,
    /// A stage runs. Goes to the next stage, `Approving`, `Verifying`, or a failure's route.
    Staging { stage: usize },
    /// A person is asked about the rollout. Goes to `Staging` or `Done`.
    Approving { stage: usize },
    /// What failed runs again. Goes back to `Staging` or on along the failure's route.
    Rerunning { symptom: FailureInput, stage: usize },
    /// The last verified release is being restored. Goes on along `then`.
    Restoring { then: AfterRestore },
    /// The author is asked. Goes to `Reviewing`, itself, a rerun or `Done`.
    Authoring { symptom: FailureInput, refused: bool },
    /// The reviewer is asked. Goes to `Confirming`, `Applying`, `Authoring` or `Done`.
    Reviewing { symptom: FailureInput, decision: Decision, tree: TreeId },
    /// A person is asked about the patch. Goes to `Applying` or `Done`.
    Confirming { symptom: FailureInput },
    /// The patch is being applied. Goes to `Staging` of the next iteration.
    Applying { symptom: FailureInput },
    /// A person is asked about a tree that passes and is doubted. Goes to the next stage or
    /// `Done`.
    Accepting { stage: usize },
    /// The release is being recorded as verified. Goes to `Done`.
    Verifying,
    /// The run is over.
    Done(StopReason),
}

/// What follows a restore.
#[derive(Debug, Clone, PartialEq)]
enum AfterRestore {
    /// The failure's route goes on.
    Heal(FailureInput),
    /// The run ends.
    Finish(StopReason),
}

/// What is remembered over the iterations.
#[derive(Debug, Clone, PartialEq)]
struct Memory {
    iteration: u32,
    /// Failures in the order they came, one for each pass that failed.
    failures: Vec<Failed>,
    /// Trees that failed, in order; the current one is last once it has failed.
    failed_trees: Vec<TreeId>,
    tree: TreeId,
    /// Stages and names that were run again on the current tree.
    rerun: BTreeSet<(Stage, String)>,
    usage: Usage,
    elapsed: Duration,
    /// A release of this run serves and is not verified.
    live: bool,
    /// How the last restore of this run ended, while no later rollout passed.
    restored: Option<bool>,
    said: Said,
    /// Trees that passed and were doubted.
    doubts: u32,
    /// What a person would be asked about the tree at hand, when it was doubted.
    doubt: Option<String>,
}

/// A pass over the stages that failed.
#[derive(Debug, Clone, PartialEq)]
struct Failed {
    iteration: u32,
    tree: TreeId,
    fingerprint: Fingerprint,
}

/// What the author and the reviewer have said about the tree at hand.
#[derive(Debug, Clone, Default, PartialEq)]
struct Said {
    /// Every answer of the author.
    answers: BTreeSet<Fingerprint>,
    /// The last answer whose patch went to the reviewer.
    in_review: Option<Fingerprint>,
    /// Why the last answer was turned down, when it was.
    refusal: Option<Fingerprint>,
    /// The reviewer's last veto, while no patch was approved since.
    veto: Option<Fingerprint>,
    /// Trees of patches that were forbidden or vetoed.
    turned_down: Vec<TreeId>,
    /// The patch that went back because it wants a person.
    sent_back: Option<SentBack>,
}

/// A patch that nobody could be asked about.
#[derive(Debug, Clone, PartialEq)]
struct SentBack {
    /// The tree it leads to.
    tree: TreeId,
    /// The identity of its answer.
    answer: Option<Fingerprint>,
    /// What a person would be asked.
    request: String,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    spec: RunSpec,
    phase: Phase,
    memory: Memory,
}

impl State {
    /// Before the first input.
    pub fn new(spec: RunSpec) -> Self {
        let tree = spec.tree.clone();
        Self {
            spec,
            phase: Phase::Ready,
            memory: Memory {
                iteration: 1,
                failures: Vec::new(),
                failed_trees: Vec::new(),
                tree,
                rerun: BTreeSet::new(),
                usage: Usage::default(),
                elapsed: Duration::ZERO,
                live: false,
                restored: None,
                said: Said::default(),
                doubts: 0,
                doubt: None,
            },
        }
    }

    /// The current iteration, 1-based.
    pub fn iteration(&self) -> u32 {
        self.memory.iteration
    }

    /// The tree at hand.
    pub fn tree(&self) -> &TreeId {
        &self.memory.tree
    }

    /// What models have used.
    pub fn usage(&self) -> Usage {
        self.memory.usage
    }

    /// Time at the last input.
    pub fn elapsed(&self) -> Duration {
        self.memory.elapsed
    }

    /// Whether a release of this run was taken back and the last verified one serves
    /// (`Some(true)`), or nothing serves (`Some(false)`).
    pub fn restored(&self) -> Option<bool> {
        self.memory.restored
    }

    /// What the run was started with; `attended` follows the process that drives it now.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Whether a patch of that decision would wait for a person whom nobody can ask: it is neither
    /// reviewed nor applied.
    pub fn nobody_to_ask(&self, decision: Decision) -> bool {
        self.by(Rules::V2) && decision == Decision::NeedsHuman && !self.spec.attended
    }

    /// Whether the tasks stage runs: only there does the tree change without a patch.
    pub fn runs_tasks(&self) -> bool {
        match &self.phase {
            Phase::Staging { stage } => self.spec.stages.get(*stage) == Some(&Stage::Tasks),
            Phase::Ready
            | Phase::Approving { .. }
            | Phase::Rerunning { .. }
            | Phase::Restoring { .. }
            | Phase::Authoring { .. }
            | Phase::Reviewing { .. }
            | Phase::Confirming { .. }
            | Phase::Applying { .. }
            | Phase::Accepting { .. }
            | Phase::Verifying
            | Phase::Done(_) => false,
        }
    }

    /// Why the run ended, when it has.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        match &self.phase {
            Phase::Done(reason) => Some(reason),
            Phase::Ready
            | Phase::Staging { .. }
            | Phase::Approving { .. }
            | Phase::Rerunning { .. }
            | Phase::Restoring { .. }
            | Phase::Authoring { .. }
            | Phase::Reviewing { .. }
            | Phase::Confirming { .. }
            | Phase::Applying { .. }
            | Phase::Accepting { .. }
            | Phase::Verifying => None,
        }
    }
}

/// An input that cannot follow the state: the log is not one of this machine.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{input} cannot follow {phase}")]
pub struct OutOfOrder {
    phase: String,
    input: String,
}

/// The next state, and what to do. See the module's text.
pub fn step(mut state: State, input: Input) -> Result<(State, Effect), OutOfOrder> {
    state.memory.elapsed = state.memory.elapsed.max(input.at);
    state.memory.usage += input.spent;
    let (phase, effect) = state.next(input.what)?;
    state.phase = phase;
    Ok((state, effect))
}

impl State {
    fn next(&mut self, what: Event) -> Result<(Phase, Effect), OutOfOrder> {
        let phase = self.phase.clone();
        match (phase, what) {
            (phase @ Phase::Done(_), what) => {
                Err(OutOfOrder { phase: format!("{phase:?}"), input: format!("{what:?}") })
            }
            (Phase::Restoring { then }, Event::Cancelled) => {
                // The restore goes on: a broken release must not stay up because of Ctrl-C.
                let _superseded = then;
                Ok(self.restore_then(AfterRestore::Finish(StopReason::Cancelled)))
            }
            (_, Event::Cancelled) => Ok(self.end(StopReason::Cancelled)),
            (_, Event::Broke { reason }) => Ok(self.end(StopReason::Internal { reason })),
            (phase, Event::Resumed { attended }) => {
                let iteration = self.memory.iteration;
                let tree = self.memory.tree.clone();
                // The stages run again. By the first rules a failure that an earlier iteration had
                // on this very tree counted twice.
                let by_tree = self.by(Rules::V2);
                self.memory.failures.retain(|failed| {
                    if by_tree { failed.tree != tree } else { failed.iteration != iteration }
                });
                if self.memory.failed_trees.last() == Some(&self.memory.tree) {
                    self.memory.failed_trees.pop();
                }
                self.memory.live = false;
                self.resume_asking(&phase, attended);
                Ok(self.stage(0))
            }
            (Phase::Ready, Event::Started) => Ok(self.stage(0)),
            (Phase::Approving { stage }, Event::HumanDecided { approved, request }) => {
                Ok(match approved {
                    Some(true) => self.run_stage(stage),
                    Some(false) | None => self.end(StopReason::NeedsHuman { request }),
                })
            }
            (Phase::Staging { stage }, Event::StagePassed) => Ok(self.passed(stage)),
            (Phase::Staging { stage }, Event::TasksMerged { tree })
                if self.spec.stages.get(stage) == Some(&Stage::Tasks) =>
            {
                self.memory.tree = tree;
                self.memory.rerun.clear();
                self.memory.said = Said::default();
                Ok(self.passed(stage))
            }
            (Phase::Staging { stage }, Event::StageFailed(symptom)) => {
                Ok(self.failed(symptom, stage))
            }
            (Phase::Rerunning { stage, .. }, Event::RerunPassed) => {
                // The failure that a person was needed for is gone.
                self.memory.said.sent_back = None;
                Ok(self.passed(stage))
            }
            (Phase::Rerunning { .. }, Event::RerunFailed(symptom)) => {
                Ok(self.restore_first(symptom))
            }
            (
                Phase::Staging { stage } | Phase::Rerunning { stage, .. },
                Event::Doubted { symptom, request, person },
            ) => Ok(self.doubted(symptom, stage, request, person)),
            (Phase::Accepting { stage }, Event::HumanDecided { approved, request }) => {
                Ok(match approved {
                    Some(true) => {
                        self.memory.doubt = None;
                        self.passed(stage)
                    }
                    Some(false) | None => self.end(StopReason::NeedsHuman { request }),
                })
            }
            (Phase::Restoring { then }, Event::Restored { serving }) => {
                self.memory.restored = Some(serving);
                Ok(self.after_restore(then))
            }
            // Whoever cancelled is not kept waiting: the next run finds what is left to be done.
            (
                Phase::Restoring { then: AfterRestore::Finish(StopReason::Cancelled) },
                Event::RestoreFailed { .. },
            ) if self.by(Rules::V2) => Ok(Self::finish(StopReason::Cancelled)),
            (Phase::Restoring { .. }, Event::RestoreFailed { reason }) => {
                Ok(Self::finish(match self.by(Rules::V3) {
                    true => StopReason::NotRestored { reason },
                    false => StopReason::Internal {
                        reason: format!(
                            "the last verified release could not be restored: {reason}"
                        ),
                    },
                }))
            }
            // What serves is not this run's to take back.
            (
                Phase::Staging { .. } | Phase::Restoring { .. } | Phase::Verifying,
                Event::Declined { reason },
            ) => Ok(Self::finish(StopReason::Declined { reason })),
            (
                Phase::Authoring { symptom, .. },
                Event::Proposed { tree, decision, answer, refusal, wants },
            ) => {
                if let Some(reason) = self.seen_before(&tree) {
                    return Ok(self.end(self.doubt_or(reason)));
                }
                if let Some(reason) = self.repeated_patch(&tree, answer.clone(), wants.as_ref()) {
                    return Ok(self.end(reason));
                }
                match decision {
                    Decision::Forbid => {
                        let why = "the policy forbids it";
                        if let Some(reason) = self.repeated_refusal(refusal, why) {
                            return Ok(self.end(reason));
                        }
                        self.memory.said.turned_down.push(tree);
                        Ok(self.try_again(symptom))
                    }
                    Decision::Allow | Decision::NeedsHuman => {
                        self.memory.said.refusal = None;
                        match wants.filter(|_| self.nobody_to_ask(decision)) {
                            Some(wants) => Ok(self.send_back(symptom, tree, answer, wants)),
                            None => {
                                self.memory.said.in_review = answer;
                                Ok(self.ask_reviewer(symptom, decision, tree))
                            }
                        }
                    }
                }
            }
            (Phase::Authoring { symptom, refused }, Event::Refused { reason, answer, refusal }) => {
                if let Some(stop) = self.repeated_answer(answer, &reason) {
                    return Ok(self.end(stop));
                }
                if let Some(stop) = self.repeated_refusal(refusal, &reason) {
                    return Ok(self.end(stop));
                }
                if refused {
                    return Ok(self.try_again(symptom));
                }
                Ok(self.ask_author(symptom, true))
            }
            (Phase::Authoring { symptom, .. }, Event::NoPatch { class, reason }) => {
                let stage = self.spec.stages.iter().position(|s| *s == symptom.stage);
                match (class, stage) {
                    // A release that failed was taken back already: only what runs before a
                    // rollout can be run again by itself.
                    (NoPatchClass::Flaky, Some(stage))
                        if symptom.stage < Stage::Rollout && self.may_rerun(&symptom) =>
                    {
                        Ok(self.rerun(symptom, stage))
                    }
                    // It knows of no way without a person: the patch that wants one waits.
                    (NoPatchClass::NeedsHuman, _) => {
                        let stop = StopReason::NoPatch { class, reason };
                        let stop = self.waits_for_a_person().unwrap_or(stop);
                        Ok(self.end(stop))
                    }
                    (NoPatchClass::Flaky | NoPatchClass::Infrastructure, _) => {
                        Ok(self.end(StopReason::NoPatch { class, reason }))
                    }
                }
            }
            // What failed stays what the run ends with, whatever became of the model.
            (
                Phase::Authoring { symptom, .. } | Phase::Reviewing { symptom, .. },
                Event::ModelFailed { reason, configured },
            ) => {
                let failure = Some(symptom.summary());
                Ok(self.end(if configured {
                    StopReason::ModelUnavailable { failure, reason }
                } else {
                    StopReason::NoModel { failure, reason }
                }))
            }
            (
                Phase::Reviewing { symptom, decision, tree },
                Event::Reviewed { verdict, review, reason },
            ) => {
                let iteration = self.memory.iteration;
                match (verdict, decision) {
                    (ReviewVerdict::Reject, _) | (ReviewVerdict::Approve, Decision::Forbid) => {
                        if let Some(stop) = self.repeated_veto(review, reason) {
                            return Ok(self.end(stop));
                        }
                        self.memory.said.turned_down.push(tree);
                        Ok(self.try_again(symptom))
                    }
                    (ReviewVerdict::Approve, Decision::NeedsHuman) => {
                        Ok((Phase::Confirming { symptom }, Effect::AskHumanForPatch { iteration }))
                    }
                    (ReviewVerdict::Approve, Decision::Allow) => {
                        Ok((Phase::Applying { symptom }, Effect::Apply { iteration }))
                    }
                }
            }
            (Phase::Confirming { symptom }, Event::HumanDecided { approved, request }) => {
                let iteration = self.memory.iteration;
                Ok(match approved {
                    Some(true) => (Phase::Applying { symptom }, Effect::Apply { iteration }),
                    Some(false) | None => self.end(StopReason::NeedsHuman { request }),
                })
            }
            (Phase::Applying { .. }, Event::Applied { tree }) => {
                self.memory.tree = tree;
                self.memory.rerun.clear();
                self.memory.iteration += 1;
                self.memory.doubt = None;
                // It was said of another tree: the same answer may fit this one.
                self.memory.said = Said::default();
                Ok(self.stage(0))
            }
            (Phase::Verifying, Event::MarkedVerified) => {
                self.memory.live = false;
                self.memory.restored = None;
                Ok(Self::finish(StopReason::Verified))
            }
            (phase, what) => {
                Err(OutOfOrder { phase: format!("{phase:?}"), input: format!("{what:?}") })
            }
        }
    }

    fn finish(reason: StopReason) -> (Phase, Effect) {
        (Phase::Done(reason.clone()), Effect::Finish(reason))
    }

    /// Ends the run; a release that is out and not verified is taken back first.
    fn end(&mut self, reason: StopReason) -> (Phase, Effect) {
        if self.must_take_back() {
            self.restore_then(AfterRestore::Finish(reason))
        } else {
            Self::finish(reason)
        }
    }

    fn must_take_back(&self) -> bool {
        match self.spec.mode {
            Mode::Heal | Mode::Verify => self.memory.live,
            Mode::RollBack => false,
        }
    }

    fn restore_then(&mut self, then: AfterRestore) -> (Phase, Effect) {
        self.memory.live = false;
        (Phase::Restoring { then }, Effect::Restore)
    }

    fn stage(&mut self, index: usize) -> (Phase, Effect) {
        if let Some(reason) = self.over_time() {
            return self.end(reason);
        }
        match self.spec.stages.get(index) {
            Some(Stage::Rollout) if self.spec.approve_rollout => (
                Phase::Approving { stage: index },
                Effect::AskHumanForRollout { iteration: self.memory.iteration },
            ),
            Some(_) => self.run_stage(index),
            None if self.memory.live => (Phase::Verifying, Effect::MarkVerified),
            None => Self::finish(StopReason::Verified),
        }
    }

    fn run_stage(&mut self, index: usize) -> (Phase, Effect) {
        match self.spec.stages.get(index) {
            Some(stage) => {
                // From here on a release of this run may be out, whatever the process learns
                // of it before it dies.
                if *stage == Stage::Rollout {
                    self.memory.live = true;
                }
                let effect = Effect::RunStage { iteration: self.memory.iteration, stage: *stage };
                (Phase::Staging { stage: index }, effect)
            }
            None => self.stage(index),
        }
    }

    fn passed(&mut self, stage: usize) -> (Phase, Effect) {
        self.stage(stage + 1)
    }

    fn failed(&mut self, symptom: FailureInput, stage: usize) -> (Phase, Effect) {
        let again =
            symptom.flaky_suspect && !symptom.person_only && symptom.stage != Stage::Rollout;
        if again && self.may_rerun(&symptom) {
            return self.rerun(symptom, stage);
        }
        self.restore_first(symptom)
    }

    /// What passes and is doubted goes back to the author once, who is told what is missing; the
    /// second time a person decides.
    fn doubted(
        &mut self,
        symptom: FailureInput,
        stage: usize,
        request: String,
        person: bool,
    ) -> (Phase, Effect) {
        self.memory.doubts += 1;
        self.memory.doubt = Some(request);
        if person || self.memory.doubts > 1 {
            let effect = Effect::AskHumanForProof { iteration: self.memory.iteration };
            return (Phase::Accepting { stage }, effect);
        }
        self.restore_first(symptom)
    }

    fn may_rerun(&self, symptom: &FailureInput) -> bool {
        !self.memory.rerun.contains(&(symptom.stage, symptom.name.clone()))
    }

    fn rerun(&mut self, symptom: FailureInput, stage: usize) -> (Phase, Effect) {
        self.memory.rerun.insert((symptom.stage, symptom.name.clone()));
        let effect = Effect::Rerun {
            iteration: self.memory.iteration,
            stage: symptom.stage,
            name: symptom.name.clone(),
        };
        (Phase::Rerunning { symptom, stage }, effect)
    }

    /// Evidence is frozen by now: take the release back, then think.
    fn restore_first(&mut self, symptom: FailureInput) -> (Phase, Effect) {
        if self.must_take_back() {
            self.restore_then(AfterRestore::Heal(symptom))
        } else {
            self.heal(symptom)
        }
    }

    fn after_restore(&mut self, then: AfterRestore) -> (Phase, Effect) {
        match then {
            AfterRestore::Heal(symptom) => self.heal(symptom),
            AfterRestore::Finish(reason) => Self::finish(reason),
        }
    }

    fn heal(&mut self, symptom: FailureInput) -> (Phase, Effect) {
        let memory = &mut self.memory;
        memory.failures.push(Failed {
            iteration: memory.iteration,
            tree: memory.tree.clone(),
            fingerprint: symptom.fingerprint.clone(),
        });
        if memory.failed_trees.last() != Some(&memory.tree) {
            memory.failed_trees.push(memory.tree.clone());
        }
        match self.spec.mode {
            Mode::Heal => {}
            Mode::Verify | Mode::RollBack => {
                return self.end(StopReason::NoHealing { stage: symptom.stage });
            }
        }
        // Workers have tried to repair a task already, and start from the repository's own branch:
        // a patch of this run would not reach them.
        if symptom.stage == Stage::Tasks || symptom.person_only || !symptom.class.heals() {
            return self
                .end(StopReason::NotHealable { class: symptom.class, stage: symptom.stage });
        }
        if let Some(reason) = self.no_progress(&symptom.fingerprint) {
            return self.end(self.doubt_or(reason));
        }
        self.ask(symptom)
    }

    fn ask(&mut self, symptom: FailureInput) -> (Phase, Effect) {
        // A patch of the last iteration could not be tried any more.
        if self.memory.iteration >= self.spec.limits.max_iterations {
            let limit = self.spec.limits.max_iterations;
            let stop = StopReason::MaxIterations { limit };
            return self.end(self.doubt_or(stop));
        }
        self.ask_author(symptom, false)
    }

    /// `again`: the last answer goes back to the author, with what is wrong with it.
    fn ask_author(&mut self, symptom: FailureInput, again: bool) -> (Phase, Effect) {
        if let Some(reason) = self.over_budget() {
            return self.end(reason);
        }
        let effect = Effect::AskAuthor { iteration: self.memory.iteration, again };
        (Phase::Authoring { symptom, refused: again }, effect)
    }

    fn ask_reviewer(
        &mut self,
        symptom: FailureInput,
        decision: Decision,
        tree: TreeId,
    ) -> (Phase, Effect) {
        let effect = Effect::AskReviewer { iteration: self.memory.iteration };
        (Phase::Reviewing { symptom, decision, tree }, effect)
    }

    /// A patch that wants a person goes back to the author once, who may know of a way without;
    /// the next one waits. Neither is reviewed: nothing would come of it.
    fn send_back(
        &mut self,
        symptom: FailureInput,
        tree: TreeId,
        answer: Option<Fingerprint>,
        wants: Confirmation,
    ) -> (Phase, Effect) {
        let Confirmation { request, avoidable } = wants;
        if !avoidable || self.memory.said.sent_back.is_some() {
            return self.end(StopReason::NeedsHuman { request });
        }
        self.memory.said.sent_back = Some(SentBack { tree, answer, request });
        self.ask_author(symptom, true)
    }

    /// A new process asks from here on. What was turned down stays so; a patch that was under way
    /// when the last process died is lost, and one that waits for a person can be put to one who
    /// is there now: those answers may come again.
    fn resume_asking(&mut self, phase: &Phase, attended: Option<bool>) {
        let said = &mut self.memory.said;
        let lost = match phase {
            Phase::Reviewing { .. } | Phase::Confirming { .. } | Phase::Applying { .. } => {
                said.in_review.take()
            }
            Phase::Ready
            | Phase::Staging { .. }
            | Phase::Approving { .. }
            | Phase::Rerunning { .. }
            | Phase::Restoring { .. }
            | Phase::Authoring { .. }
            | Phase::Accepting { .. }
            | Phase::Verifying
            | Phase::Done(_) => None,
        };
        let waiting = match attended {
            Some(true) => said.sent_back.take().and_then(|patch| patch.answer),
            Some(false) | None => None,
        };
        for answer in [lost, waiting].into_iter().flatten() {
            said.answers.remove(&answer);
        }
        self.spec.attended = attended.unwrap_or(self.spec.attended);
    }

    fn waits_for_a_person(&self) -> Option<StopReason> {
        let sent_back = self.memory.said.sent_back.as_ref().map(|patch| &patch.request);
        let request = self.memory.doubt.as_ref().or(sent_back)?.clone();
        Some(StopReason::NeedsHuman { request })
    }

    /// Why the run ends where the author has no further answer about a doubted tree.
    fn doubt_or(&self, reason: StopReason) -> StopReason {
        let request = self.memory.doubt.clone();
        request.map_or(reason, |request| StopReason::NeedsHuman { request })
    }

    fn by(&self, rules: Rules) -> bool {
        self.spec.rules >= rules
    }

    /// Notes an answer; why it ends the run, when it was given before. `reason` is what was
    /// wrong with it.
    fn repeated_answer(&mut self, answer: Option<Fingerprint>, reason: &str) -> Option<StopReason> {
        let answer = answer.filter(|_| self.by(Rules::V2))?;
        if self.memory.said.answers.insert(answer) {
            return None;
        }
        let (what, reason) = (Repeated::Answer, reason.to_owned());
        Some(self.waits_for_a_person().unwrap_or(StopReason::RepeatedAnswer { what, reason }))
    }

    /// The same for a patch that fits: one that leads to a tree which was turned down says the
    /// same in other words.
    fn repeated_patch(
        &mut self,
        tree: &TreeId,
        answer: Option<Fingerprint>,
        wants: Option<&Confirmation>,
    ) -> Option<StopReason> {
        if !self.by(Rules::V2) {
            return None;
        }
        let said = &self.memory.said;
        if let (Some(sent_back), Some(wants)) = (&said.sent_back, wants)
            && &sent_back.tree == tree
        {
            return Some(StopReason::NeedsHuman { request: wants.request.clone() });
        }
        let reason = "the patch was turned down before";
        if said.turned_down.contains(tree) {
            let (what, reason) = (Repeated::Answer, reason.to_owned());
            return Some(StopReason::RepeatedAnswer { what, reason });
        }
        self.repeated_answer(answer, reason)
    }

    fn repeated_refusal(
        &mut self,
        refusal: Option<Fingerprint>,
        reason: &str,
    ) -> Option<StopReason> {
        let refusal = refusal.filter(|_| self.by(Rules::V2));
        let same = refusal.is_some() && refusal == self.memory.said.refusal;
        self.memory.said.refusal = refusal;
        if !same {
            return None;
        }
        let (what, reason) = (Repeated::Refusal, reason.to_owned());
        Some(self.waits_for_a_person().unwrap_or(StopReason::RepeatedAnswer { what, reason }))
    }

    fn repeated_veto(&mut self, veto: Option<Fingerprint>, reason: String) -> Option<StopReason> {
        let veto = veto.filter(|_| self.by(Rules::V2));
        let same = veto.is_some() && veto == self.memory.said.veto;
        self.memory.said.veto = veto;
        same.then_some(StopReason::RepeatedAnswer { what: Repeated::Review, reason })
    }

    /// The proposal was not applied. The tree is the same, so the stages would fail the same
    /// way: the next iteration begins with the author.
    fn try_again(&mut self, symptom: FailureInput) -> (Phase, Effect) {
        self.memory.iteration += 1;
        self.ask(symptom)
    }

    fn no_progress(&self, fingerprint: &Fingerprint) -> Option<StopReason> {
        let seen: Vec<&Fingerprint> =
            self.memory.failures.iter().map(|failed| &failed.fingerprint).collect();
        let repeats = seen.iter().filter(|f| **f == fingerprint).count() as u32;
        let threshold = self.spec.limits.no_progress_threshold;
        let swings = match seen.as_slice() {
            [.., a, b, c] => a == c && a != b,
            _ => false,
        };
        (repeats >= threshold || swings).then_some(StopReason::NoProgress { repeats })
    }

    fn seen_before(&self, tree: &TreeId) -> Option<StopReason> {
        let position = self.memory.failed_trees.iter().rposition(|seen| seen == tree)?;
        // The last one is the tree at hand; the one before it makes an A-B-A swing.
        let swing = position + 2 == self.memory.failed_trees.len();
        Some(StopReason::RepeatedTree { swing })
    }

    fn over_time(&self) -> Option<StopReason> {
        let limit = self.spec.limits.max_duration?;
        (self.memory.elapsed >= limit)
            .then(|| StopReason::Budget { what: format!("time ({}s)", limit.as_secs()) })
    }

    fn over_budget(&self) -> Option<StopReason> {
        let limits = &self.spec.limits;
        let usage = &self.memory.usage;
        if let Some(limit) = limits.max_tokens.filter(|limit| usage.tokens() >= *limit) {
            return Some(StopReason::Budget {
                what: format!("token ({} of {limit} used)", usage.tokens()),
            });
        }
        if let Some(limit) = limits.max_cost_usd.filter(|limit| usage.cost_usd >= *limit) {
            return Some(StopReason::Budget {
                what: format!("cost (${:.2} of ${limit:.2} used)", usage.cost_usd),
            });
        }
        self.over_time()
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
