//! Performs what the machine decides: append to the audit log, then act.
//!
//! # Guarantees
//!
//! - Every input is on disk before the machine's answer to it is acted on, and every effect's
//!   intent is on disk before the effect. When the log cannot be appended to, the effect does
//!   not happen and the run ends.
//! - One exception, on purpose: a release that serves unverified, or whose rollout failed, is
//!   taken back even when the log can no longer be written. A broken release must not stay up
//!   because a disk is full.
//!
//! # Caveats
//!
//! - An effect whose outcome was never recorded is looked at, not repeated: see
//!   [`super::recover`].

mod agents;
mod assignment;
mod end;
mod exchanges;
mod gate_writes;
mod meddling;
mod patch;
mod prove;
mod rerun;
mod stages;
mod strayed;
mod tasks;
mod waits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::gate_writes::{GatesRan, KeptFile};
use self::strayed::StrayedBefore;
use crate::approval::Approval;
use crate::heal::{Author, Conversation, Reviewer, SentBack};
use crate::machine::{Effect, Event, Input, OutOfOrder, RunSpec, State, step};
use crate::passed::PassedBefore;
use crate::record::{RecordError, write_effect, write_input, write_run_spec};
use greenloop_audit::{Actor, AuditError, Writer};
use greenloop_config::plan::{GatePlan, PolicyPlan, VerificationPlan};
use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::{Level, Sandbox};
use greenloop_model::{
    Attempt, CommitId, Evaluation, EventSink, Failure, ImageRef, ModelUsage, Notice, ReleaseId,
    Restoration, Review, RunEvent, RunHeader, StopReason, SummaryPatch, TreeId, Usage, error_chain,
};
use greenloop_patch::ParsedPatch;
use greenloop_policy::{Confirmation, Policy, Scope};
use greenloop_ports::{Deployed, Earlier, ImageSource, ModelError, Target, TaskRunner};
use greenloop_workspace::{Workspace, WorkspaceError};

pub use assignment::Assignment;
pub use end::Ended;

/// Where releases go and how they are verified; absent when one command is healed.
pub struct Delivery {
    /// Where it runs; `None` for a target this version cannot reach, of which only the address
    /// is needed.
    pub target: Option<Arc<dyn Target>>,
    /// Where its image comes from; `None` when it runs none.
    pub image: Option<Arc<dyn ImageSource>>,
    /// How long a rollout may take.
    pub wait: Duration,
    /// How it is verified.
    pub verification: VerificationPlan,
    /// What smoke tests call when nothing was rolled out (verify only).
    pub url: String,
    /// What is rolled out.
    pub what: Deliverable,
}

/// Where a run's tasks are worked on.
pub struct Tasks {
    pub runner: Arc<dyn TaskRunner>,
    /// How long the whole graph may take.
    pub timeout: Duration,
}

/// What a rollout makes serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliverable {
    /// A new release from the work tree.
    New,
    /// An earlier one.
    Earlier(Earlier),
}

/// An agent, or why there is none. A run that needs no healing needs no model.
pub type Agent<T> = Result<T, ModelError>;

/// What becomes of the work tree when the run ends healed.
#[derive(Debug, Clone)]
pub enum WorkTreeAtEnd {
    /// The patches stay in it.
    Keep,
    /// It is as it was before; the patches are on the run's branch.
    Restore,
    /// It is a copy that is thrown away; the patches are merged into the original.
    BringBack(Workspace),
    /// It is a copy that is thrown away; the patches are on the run's branch.
    Discard,
}

/// Everything a run needs. Assembled by the composition root.
pub struct RunDependencies {
    /// What it is about.
    pub header: RunHeader,
    /// What the machine has to know; of a run that is resumed, `attended` alone counts.
    pub spec: RunSpec,
    /// In configured order.
    pub gates: Vec<GatePlan>,
    /// What is to be done although nothing has failed.
    pub assignment: Option<Assignment>,
    /// Where its tasks are worked on, when it has any.
    pub tasks: Option<Tasks>,
    /// Variables that gates and scripts do not get to see.
    pub env_remove: Vec<String>,
    /// What gates and scripts run in.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Where releases go.
    pub delivery: Option<Delivery>,
    /// The Codex role.
    pub author: Agent<Author>,
    /// The Jules role.
    pub reviewer: Agent<Reviewer>,
    /// The rules.
    pub policy: Policy,
    /// Their settings, as the author's prompt states them.
    pub policy_plan: PolicyPlan,
    /// How a person's decision is had.
    pub approval: Approval,
    pub workspace: Workspace,
    /// Gates that passed on a tree in an earlier run.
    pub passed_before: PassedBefore,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
    /// What becomes of the work tree.
    pub at_end: WorkTreeAtEnd,
    /// Gates that may run at the same time.
    pub parallelism: usize,
}

/// What lies under the loop and failed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("the audit log failed")]
    Audit(#[from] AuditError),
    /// A record that could not be written.
    #[error("a record could not be written")]
    Record(#[from] RecordError),
    /// The driver gave the machine an input that cannot be.
    #[error("internal error")]
    OutOfOrder(#[from] OutOfOrder),
    /// Git or the work tree.
    #[error("git or the work tree failed")]
    Workspace(#[from] WorkspaceError),
    /// The run's own folder.
    #[error("the run's folder failed")]
    Folder(#[from] std::io::Error),
}

/// A run that is to go on where a dead process left it.
pub struct Continuation {
    /// The machine as the recorded inputs left it.
    pub state: State,
    /// What was tried before.
    pub attempts: Vec<Attempt>,
    /// Patches that are committed already.
    pub patches: Vec<SummaryPatch>,
}

/// A patch on its way from the author to the branch.
struct Draft {
    patch: ParsedPatch,
    diff: String,
    reason: String,
    evaluation: Evaluation,
    /// Of the policy, for the reviewer.
    facts: String,
    /// What the evaluation, and a person's yes, are about.
    scope: Scope,
    /// That it leads to.
    tree: TreeId,
    review: Option<Review>,
    confirmation: Option<Confirmation>,
}

/// A conversation that was begun about a failure on a commit, after so many attempts.
struct Prepared {
    failure: Failure,
    tip: CommitId,
    attempts: usize,
    conversation: Conversation,
}

/// What is known of the run beyond the machine's state.
#[derive(Default)]
struct RunContext {
    failure: Option<Failure>,
    previous: Option<Failure>,
    attempts: Vec<Attempt>,
    sent_back: Option<SentBack>,
    /// With the author, about this failure, up to its last answer.
    conversation: Option<Conversation>,
    draft: Option<Draft>,
    patches: Vec<SummaryPatch>,
    /// The image of the tree at hand.
    image: Option<ImageRef>,
    release: Option<ReleaseId>,
    deployed: Option<Deployed>,
    /// Whether the target may have objects of an unverified release of this run: from the start
    /// of a rollout on, whatever comes of it, until the release is verified or taken back.
    at_risk: bool,
    /// What the last restore came to, while nothing was rolled out after it.
    restored: Option<Restoration>,
    /// See [`TargetAtEnd::restored_fails`](greenloop_model::TargetAtEnd::restored_fails).
    restored_fails: Option<String>,
    /// Gates that failed or were skipped when the gates last ran.
    unfinished_gates: Vec<String>,
    /// Those of them that failed.
    failed_gates: Vec<String>,
    /// What failed and passed on the same tree.
    flaky: Vec<String>,
    gates_ran: Vec<GatesRan>,
    /// Files of the work tree that were reset for a patch, each with the blob of what it held.
    reset: Vec<KeptFile>,
    /// The tracked files as they were before the commands of the last stage.
    strayed_before: Option<StrayedBefore>,
    /// Written while gates ran once more: what the author is asked first.
    prepared: Option<Prepared>,
    /// What each model has used.
    models: Vec<ModelUsage>,
    tests: prove::Tests,
}

struct Driver {
    run: RunDependencies,
    audit: Writer,
    events: EventSink,
    cancel: CancellationToken,
    /// A person or a signal has ended the run: what is still to be done is done in seconds.
    cancelled: bool,
    /// When that reached a rollout that was under way.
    cancelled_at: Option<tokio::time::Instant>,
    began: Instant,
    before: Duration,
    /// How long people took for their decisions.
    waited: Duration,
    state: State,
    context: RunContext,
    tip: CommitId,
}

/// Drives a run to its end. The summary is also the last event.
pub async fn drive(
    run: RunDependencies,
    audit: Writer,
    events: EventSink,
    cancel: CancellationToken,
    continuation: Option<Continuation>,
) -> Result<Ended, DriveError> {
    let tip = run.workspace.tip(run.header.run)?.unwrap_or_else(|| run.header.commit.clone());
    let (state, context, first) = match continuation {
        None => (State::new(run.spec.clone()), RunContext::default(), Event::Started),
        Some(Continuation { state, attempts, patches }) => {
            let first = Event::Resumed { attended: Some(run.spec.attended) };
            (state, RunContext { attempts, patches, ..RunContext::default() }, first)
        }
    };
    let before = state.elapsed();
    let mut driver = Driver {
        run,
        audit,
        events,
        cancel,
        cancelled: false,
        cancelled_at: None,
        began: Instant::now(),
        before,
        waited: Duration::ZERO,
        state,
        context,
        tip,
    };
    driver.events.send(RunEvent::Started(Box::new(driver.run.header.clone())));
    if first == Event::Started {
        driver.begin()?;
    }
    driver.note_sandbox()?;
    if let Some(reason) = driver.state.stop_reason().cloned() {
        // It died between its last decision and the record of its end.
        return Ok(driver.finish(reason).await);
    }
    let reason = match driver.turn(first).await {
        Ok(reason) => reason,
        Err(error) => {
            // The log or the repository is broken, so the machine cannot be asked any more.
            driver.take_back().await;
            StopReason::Internal { reason: error_chain(&error) }
        }
    };
    Ok(driver.finish(reason).await)
}

impl Driver {
    fn begin(&mut self) -> Result<(), DriveError> {
        let header = &self.run.header;
        let data = json!({
            "title": header.title,
            "environment": header.environment.as_ref().map(ToString::to_string),
            "commit": header.commit.to_string(),
            "subject": header.commit_subject,
            "branch": header.run.branch(),
            "author": header.author,
            "reviewer": header.reviewer,
            "greenloop": env!("CARGO_PKG_VERSION"),
            "course": write_run_spec(&self.run.spec)?,
        });
        self.audit.append_with_next(&Actor::Machine, "run.started", data)?;
        Ok(())
    }

    /// What commands are kept from, on the screen and in the audit log.
    fn note_sandbox(&mut self) -> Result<(), DriveError> {
        let Some(sandbox) = self.run.sandbox.clone() else { return Ok(()) };
        let (level, missing) = (sandbox.level(), sandbox.missing());
        let reasons = sandbox.probe().map(|probe| probe.reasons()).unwrap_or_default();
        let notice = match level {
            Level::A | Level::B | Level::C => {
                let mut text = format!("sandbox: level {level} ({})", level.parts());
                if level < Level::A {
                    let why = reasons.iter().chain(&missing).cloned().collect::<Vec<_>>();
                    text.push_str(&format!("; {}", why.join("; ")));
                }
                Notice::Info(text)
            }
            Level::D => {
                let why = if sandbox.is_off() {
                    "the configuration turns it off (`sandbox.level: off`)".to_owned()
                } else {
                    reasons.join("; ")
                };
                Notice::Warning(format!(
                    "NO SANDBOX: gates and scripts, and whatever a patch makes them run, can read \
                     and change everything that you can, keys and other repositories included: \
                     {why}"
                ))
            }
        };
        let data = json!({
            "level": level.name(),
            "off": sandbox.is_off(),
            "missing": missing,
            "reasons": reasons,
        });
        self.audit.append_with_next(&Actor::Machine, "sandbox", data)?;
        self.events.send(RunEvent::Notice(notice));
        Ok(())
    }

    async fn turn(&mut self, first: Event) -> Result<StopReason, DriveError> {
        let mut what = first;
        let mut spent = Usage::default();
        loop {
            let worked = self.began.elapsed().saturating_sub(self.waited);
            let input = Input { at: self.before + worked, spent, what };
            // On the disk with the intent, before anything is done about it.
            self.audit.append_with_next(&Actor::Machine, "input", write_input(&input)?)?;
            if input.what == Event::Cancelled {
                // Consumed: what follows a cancel (a restore) must not be cancelled by it.
                self.cancel = CancellationToken::new();
                self.cancelled = true;
            }
            let (state, effect) = step(self.state.clone(), input)?;
            self.state = state;
            self.audit.append(&Actor::Machine, "intent", write_effect(&effect))?;
            (what, spent) = match effect {
                Effect::Finish(reason) => return Ok(reason),
                Effect::RunStage { iteration, stage } => {
                    (self.run_stage(iteration, stage).await?, Usage::default())
                }
                Effect::Rerun { iteration, stage, name } => {
                    (self.rerun(iteration, stage, name).await?, Usage::default())
                }
                Effect::Restore => (self.restore().await, Usage::default()),
                Effect::AskAuthor { iteration, again } => {
                    let author = self.run.author.as_ref().ok();
                    let model = author.map(|author| author.label_after(&self.context.attempts));
                    let (what, spent) = self.ask_author(iteration, again).await?;
                    ModelUsage::add(&mut self.context.models, model.unwrap_or_default(), spent);
                    (what, spent)
                }
                Effect::AskReviewer { iteration } => {
                    let reviewer = self.run.reviewer.as_ref().ok();
                    let model = reviewer.map(Reviewer::label);
                    let (what, spent) = self.ask_reviewer(iteration).await?;
                    ModelUsage::add(&mut self.context.models, model.unwrap_or_default(), spent);
                    (what, spent)
                }
                Effect::AskHumanForPatch { iteration } => {
                    (self.ask_about_patch(iteration).await?, Usage::default())
                }
                Effect::AskHumanForRollout { iteration } => {
                    (self.ask_about_rollout(iteration).await?, Usage::default())
                }
                Effect::AskHumanForProof { iteration } => {
                    (self.ask_about_doubt(iteration).await?, Usage::default())
                }
                Effect::Apply { iteration } => (self.apply(iteration)?, Usage::default()),
                Effect::MarkVerified => (self.mark_verified().await?, Usage::default()),
            };
        }
    }

    fn note(
        &mut self,
        actor: &Actor,
        event: &str,
        data: serde_json::Value,
    ) -> Result<(), DriveError> {
        self.audit.append(actor, event, data)?;
        Ok(())
    }

    fn delivery(&self) -> Option<(&Delivery, Arc<dyn Target>)> {
        let delivery = self.run.delivery.as_ref()?;
        Some((delivery, Arc::clone(delivery.target.as_ref()?)))
    }

    fn redacted(&self, text: &str) -> String {
        self.run.redactor.redact(text).into_owned()
    }
}
