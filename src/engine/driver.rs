//! Performs what the machine decides: append to the audit log, then act.
//!
//! # Guarantees
//!
//! - Every input is on disk before the machine's answer to it is acted on, and every effect's
//!   intent is on disk before the effect. When the log cannot be appended to, the effect does
//!   not happen and the run ends.
//! - One exception, on purpose: a release that serves unverified is taken back even when the
//!   log can no longer be written. A broken release must not stay up because a disk is full.
//!
//! # Caveats
//!
//! - An effect whose outcome was never recorded is looked at, not repeated: see
//!   [`super::recover`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::advice;
use super::approval::Approval;
use super::machine::{Course, Effect, Happened, Input, Mode, OutOfOrder, State, Symptom, step};
use super::passed::PassedBefore;
use super::record::{RecordError, stop_word, write_course, write_effect, write_input};
use crate::apply::{CommitInfo, Workspace, WorkspaceError};
use crate::audit::{Actor, AuditError, Writer};
use crate::config::plan::{GatePlan, PolicyPlan, VerificationPlan};
use crate::evidence::Redactor;
use crate::heal::{Author, Brief, Reviewer};
use crate::model::{
    Attempt, AttemptOutcome, CommitId, Decision, Evaluation, EventSink, Failure, GateStatus,
    Notice, Proposal, Release, ReleaseId, ReleaseState, RepoPath, Review, RunEvent, RunHeader,
    RunSummary, Stage, StageOutcome, StopReason, SummaryPatch, Usage, Verdict, compare,
};
use crate::patch::{Answer, ParsedPatch, ResolveOptions, parse_answer, resolve};
use crate::policy::{Confirmation, Policy, clear};
use crate::ports::{Deployed, ModelError, ModelErrorKind, Restored, RolloutRequest, Target};
use crate::stages::StageContext;
use crate::stages::gates::{run_gates, run_gates_again};
use crate::stages::rollout::{RolloutOutcome, roll_back, roll_out};
use crate::stages::smoke::{SmokeOutcome, run_smoke};

/// Commits the author is told of, and bytes of their diffs.
const HISTORY_COMMITS: usize = 5;
const HISTORY_BYTES: usize = 12_000;

/// Where releases go and how they are verified; absent when one command is healed.
pub struct Delivery {
    /// Where it runs; `None` for a target this version cannot reach, of which only the address
    /// is needed.
    pub target: Option<Arc<dyn Target>>,
    /// How long a rollout may take.
    pub wait: Duration,
    /// How it is verified.
    pub verification: VerificationPlan,
    /// What smoke tests call when nothing was rolled out (verify only).
    pub url: String,
    /// What is rolled out.
    pub what: Deliverable,
}

/// What a rollout makes serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliverable {
    /// A new release from the work tree.
    New,
    /// An earlier release; the verified one before the one that serves for `None`.
    Earlier(Option<ReleaseId>),
}

/// An agent, or why there is none. A run that needs no healing needs no model.
pub type Agent<T> = Result<T, ModelError>;

/// What becomes of the work tree when the run ends healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkTreeAtEnd {
    /// The patches stay in it.
    Keep,
    /// It is as it was before; the patches are on the run's branch.
    Restore,
}

/// Everything a run needs. Assembled by the composition root.
pub struct Assembly {
    /// What it is about.
    pub header: RunHeader,
    /// What the machine has to know.
    pub course: Course,
    /// In configured order.
    pub gates: Vec<GatePlan>,
    /// Variables that gates and scripts do not get to see.
    pub hidden_env: Vec<String>,
    /// Where releases go.
    pub delivery: Option<Delivery>,
    /// The Codex role.
    pub author: Agent<Author>,
    /// The Jules role.
    pub reviewer: Agent<Reviewer>,
    /// The rules.
    pub policy: Policy,
    /// Their settings, as the author is told of them.
    pub policy_plan: PolicyPlan,
    /// How a person's decision is had.
    pub approval: Approval,
    /// The repository.
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
    /// The audit log.
    #[error("the audit log failed")]
    Audit(#[from] AuditError),
    /// A record that could not be written.
    #[error("a record could not be written")]
    Record(#[from] RecordError),
    /// The driver gave the machine an input that cannot be.
    #[error("the loop lost its thread")]
    OutOfOrder(#[from] OutOfOrder),
    /// Git or the work tree.
    #[error("the repository failed")]
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
    review: Option<Review>,
    confirmation: Option<Confirmation>,
}

/// What is known of the trouble at hand.
#[derive(Default)]
struct Case {
    failure: Option<Failure>,
    previous: Option<Failure>,
    attempts: Vec<Attempt>,
    refused: Option<(Proposal, String)>,
    draft: Option<Draft>,
    patches: Vec<SummaryPatch>,
    release: Option<ReleaseId>,
    deployed: Option<Deployed>,
    serving: Option<Deployed>,
    /// Gates that failed or were skipped when the gates last ran.
    unfinished_gates: Vec<String>,
    /// Those of them that failed.
    failed_gates: Vec<String>,
}

struct Driver {
    run: Assembly,
    audit: Writer,
    events: EventSink,
    cancel: CancellationToken,
    began: Instant,
    before: Duration,
    state: State,
    case: Case,
    tip: CommitId,
}

/// Drives a run to its end. The summary is also the last event; the audit log's last record is
/// `run.finished`.
pub async fn drive(
    run: Assembly,
    audit: Writer,
    events: EventSink,
    cancel: CancellationToken,
    continuation: Option<Continuation>,
) -> Result<RunSummary, DriveError> {
    let tip = run.workspace.tip(run.header.run)?.unwrap_or_else(|| run.header.commit.clone());
    let (state, case, first) = match continuation {
        None => (State::new(run.course.clone()), Case::default(), Happened::Started),
        Some(Continuation { state, attempts, patches }) => {
            (state, Case { attempts, patches, ..Case::default() }, Happened::Resumed)
        }
    };
    let before = state.elapsed();
    let mut driver =
        Driver { run, audit, events, cancel, began: Instant::now(), before, state, case, tip };
    driver.events.send(RunEvent::Started(Box::new(driver.run.header.clone())));
    if first == Happened::Started {
        driver.begin()?;
    }
    if let Some(reason) = driver.state.stop_reason().cloned() {
        // It died between its last decision and the record of its end.
        return driver.finish(reason).await;
    }
    let reason = match driver.turn(first).await {
        Ok(reason) => reason,
        Err(error) => {
            // The log or the repository is broken, so the machine cannot be asked any more.
            driver.take_back().await;
            StopReason::Internal { reason: advice::chain(&error) }
        }
    };
    driver.finish(reason).await
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
            "course": write_course(&self.run.course)?,
        });
        self.audit.append(&Actor::Machine, "run.started", data)?;
        Ok(())
    }

    async fn turn(&mut self, first: Happened) -> Result<StopReason, DriveError> {
        let mut what = first;
        let mut spent = Usage::default();
        loop {
            let input = Input { at: self.before + self.began.elapsed(), spent, what };
            self.audit.append(&Actor::Machine, "input", write_input(&input)?)?;
            if input.what == Happened::Cancelled {
                // Consumed: what follows a cancel (a restore) must not be cancelled by it.
                self.cancel = CancellationToken::new();
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
                Effect::AskAuthor { iteration, again } => self.ask_author(iteration, again).await?,
                Effect::AskReviewer { iteration } => self.ask_reviewer(iteration).await?,
                Effect::AskHumanForPatch { iteration } => {
                    (self.ask_about_patch(iteration).await?, Usage::default())
                }
                Effect::AskHumanForRollout { iteration } => {
                    (self.ask_about_rollout(iteration).await?, Usage::default())
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

    // --- stages

    async fn run_stage(&mut self, iteration: u32, stage: Stage) -> Result<Happened, DriveError> {
        if self.run.course.stages.first() == Some(&stage) {
            self.events.send(RunEvent::IterationStarted {
                iteration,
                of: self.run.course.limits.max_iterations,
                commit: self.tip.clone(),
            });
        }
        let began = Instant::now();
        let outcome = match stage {
            Stage::Gates => {
                let plans = self.run.gates.clone();
                self.gates(iteration, &plans, &[]).await
            }
            Stage::Rollout => self.roll_out(iteration).await?,
            Stage::Smoke => self.smoke(iteration).await?,
            // Their stages come with the container and the cluster targets; a plan that asks
            // for them is refused when it is made.
            Stage::Tasks | Stage::Image => StageOutcome::Passed { gates: Vec::new() },
        };
        let elapsed = began.elapsed();
        Ok(match outcome {
            StageOutcome::Passed { .. } => {
                self.note(&Actor::Machine, "stage.passed", json!({
                    "iteration": iteration, "stage": stage.name(), "ms": elapsed.as_millis() as u64,
                }))?;
                self.events.send(RunEvent::StagePassed { iteration, stage, elapsed });
                Happened::StagePassed
            }
            StageOutcome::Cancelled => Happened::Cancelled,
            StageOutcome::Failed { failure, .. } => {
                let mut symptom = symptom_of(&failure);
                symptom.flaky_suspect |= stage == Stage::Gates && self.passed_before(&failure.name);
                self.failed(iteration, *failure, elapsed)?;
                Happened::StageFailed(symptom)
            }
        })
    }

    fn failed(
        &mut self,
        iteration: u32,
        failure: Failure,
        elapsed: Duration,
    ) -> Result<(), DriveError> {
        let progress = self.case.previous.as_ref().map(|last| compare(last, &failure));
        self.note(
            &Actor::Machine,
            "stage.failed",
            json!({
                "iteration": iteration,
                "stage": failure.stage.name(),
                "name": failure.name,
                "headline": failure.headline,
                "class": failure.class.name(),
                "fingerprint": failure.fingerprint.as_str(),
                "failing_tests": failure.evidence.failing_tests,
                "log": failure.evidence.log,
                "progress": progress.map(|p| p.name()),
                "ms": elapsed.as_millis() as u64,
            }),
        )?;
        if let Some(Attempt { outcome: AttemptOutcome::Applied { next_failure }, .. }) =
            self.case.attempts.last_mut()
            && next_failure.is_none()
        {
            *next_failure = Some(failure.headline.clone());
        }
        self.events.send(RunEvent::StageFailed {
            iteration,
            failure: Box::new(failure.clone()),
            progress,
            elapsed,
        });
        self.case.failure = Some(failure);
        Ok(())
    }

    fn context(&self, iteration: u32) -> StageContext<'_> {
        StageContext {
            root: self.run.workspace.root(),
            run: self.run.header.run,
            iteration,
            folder: &self.run.header.folder,
            redactor: &self.run.redactor,
            events: &self.events,
            cancel: &self.cancel,
            parallelism: self.run.parallelism,
            hidden_env: &self.run.hidden_env,
        }
    }

    /// `failed` have failed on this very tree, and run again because they may be flaky.
    async fn gates(
        &mut self,
        iteration: u32,
        plans: &[GatePlan],
        failed: &[String],
    ) -> StageOutcome {
        self.events.send(RunEvent::StageStarted {
            iteration,
            stage: Stage::Gates,
            parts: plans.iter().map(|g| g.name.clone()).collect(),
        });
        let context = self.context(iteration);
        let outcome = match failed {
            [] => run_gates(plans, &context).await,
            failed => run_gates_again(plans, failed, &context).await,
        };
        let (StageOutcome::Passed { gates } | StageOutcome::Failed { gates, .. }) = &outcome else {
            return outcome;
        };
        let tree = self.state.tree().clone();
        for (plan, _) in plans.iter().zip(gates).filter(|(_, result)| result.passed()) {
            self.run.passed_before.insert(&tree, &plan.command);
        }
        self.case.unfinished_gates =
            gates.iter().filter(|g| !g.passed()).map(|g| g.name.clone()).collect();
        self.case.failed_gates = gates
            .iter()
            .filter(|g| matches!(g.status, GateStatus::Failed(_)))
            .map(|g| g.name.clone())
            .collect();
        outcome
    }

    fn passed_before(&self, gate: &str) -> bool {
        let plan = self.run.gates.iter().find(|plan| plan.name == gate);
        plan.is_some_and(|plan| self.run.passed_before.contains(self.state.tree(), &plan.command))
    }

    async fn roll_out(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let Some((delivery, target)) = self.delivery() else {
            return Ok(StageOutcome::Passed { gates: Vec::new() });
        };
        let release = match delivery.what {
            Deliverable::New => Some(ReleaseId::generate()),
            Deliverable::Earlier(release) => release,
        };
        let earlier = delivery.what != Deliverable::New;
        let wait = delivery.wait;
        self.case.release = release;
        self.events.send(RunEvent::StageStarted {
            iteration,
            stage: Stage::Rollout,
            parts: vec![target.kind().name().to_owned()],
        });
        self.note(
            &Actor::Machine,
            "rollout.intent",
            json!({
                "iteration": iteration,
                "release": release.map(|id| id.to_string()),
                "commit": self.tip.to_string(),
            }),
        )?;
        let context = self.context(iteration);
        let outcome = match release.filter(|_| !earlier) {
            Some(release) => {
                let request = RolloutRequest {
                    release,
                    commit: self.tip.clone(),
                    run: self.run.header.run,
                    work_tree: self.run.workspace.root().to_owned(),
                    wait,
                };
                roll_out(target.as_ref(), &request, &context).await
            }
            None => roll_back(target.as_ref(), release, &context).await,
        };
        match outcome {
            RolloutOutcome::Deployed(deployed) => {
                // Before the record of it: when that fails, it is taken back.
                self.case.release = Some(deployed.release);
                self.case.deployed = Some(deployed.clone());
                self.note(
                    &Actor::Machine,
                    "rollout.switched",
                    json!({
                        "release": deployed.release.to_string(), "url": deployed.endpoint.url,
                    }),
                )?;
                self.events.send(RunEvent::Switched {
                    release: deployed.release,
                    endpoint: deployed.endpoint,
                });
                Ok(StageOutcome::Passed { gates: Vec::new() })
            }
            RolloutOutcome::Failed(failure) => {
                Ok(StageOutcome::Failed { failure, gates: Vec::new() })
            }
            RolloutOutcome::Cancelled => Ok(StageOutcome::Cancelled),
        }
    }

    async fn smoke(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let Some(delivery) = &self.run.delivery else {
            return Ok(StageOutcome::Passed { gates: Vec::new() });
        };
        let url = self.case.deployed.as_ref().map_or(&delivery.url, |d| &d.endpoint.url);
        // Whose log is evidence: the release of this run, or whatever serves when it only verifies.
        let watched = match (&delivery.target, &self.case.deployed) {
            (None, _) => None,
            (Some(target), Some(deployed)) => Some((target.as_ref(), deployed.release)),
            (Some(target), None) => {
                let status = target.status().await.ok();
                let serving = status.and_then(|status| status.serving);
                serving.map(|(release, _)| (target.as_ref(), release.id))
            }
        };
        let context = self.context(iteration);
        Ok(match run_smoke(&delivery.verification, url, watched, &context).await {
            SmokeOutcome::Passed => StageOutcome::Passed { gates: Vec::new() },
            SmokeOutcome::Failed(failure) => StageOutcome::Failed { failure, gates: Vec::new() },
            SmokeOutcome::Cancelled => StageOutcome::Cancelled,
        })
    }

    async fn rerun(
        &mut self,
        iteration: u32,
        stage: Stage,
        name: String,
    ) -> Result<Happened, DriveError> {
        self.events.send(RunEvent::FlakyRerun { stage, name: name.clone(), passed: None });
        let began = Instant::now();
        let outcome = match stage {
            Stage::Gates => {
                let names = self.case.unfinished_gates.clone();
                let mut plans: Vec<GatePlan> =
                    self.run.gates.iter().filter(|g| names.contains(&g.name)).cloned().collect();
                for plan in &mut plans {
                    // What the others gave has been had already.
                    plan.needs.retain(|need| names.contains(need));
                }
                let failed = self.case.failed_gates.clone();
                self.gates(iteration, &plans, &failed).await
            }
            Stage::Smoke => {
                // A look at the target brings back what keeps the release running, if that is
                // what is gone; what it says is the smoke tests' business.
                if let Some((_, target)) = self.delivery() {
                    let _looked = target.status().await;
                }
                self.smoke(iteration).await?
            }
            Stage::Tasks | Stage::Image | Stage::Rollout => StageOutcome::Passed { gates: vec![] },
        };
        let passed = match &outcome {
            StageOutcome::Passed { .. } => true,
            StageOutcome::Failed { .. } => false,
            StageOutcome::Cancelled => return Ok(Happened::Cancelled),
        };
        self.events.send(RunEvent::FlakyRerun { stage, name: name.clone(), passed: Some(passed) });
        self.note(
            &Actor::Machine,
            "rerun",
            json!({
                "iteration": iteration, "stage": stage.name(), "name": name, "passed": passed,
            }),
        )?;
        Ok(match outcome {
            StageOutcome::Failed { failure, .. } => {
                let symptom = symptom_of(&failure);
                self.failed(iteration, *failure, began.elapsed())?;
                Happened::RerunFailed(symptom)
            }
            StageOutcome::Passed { .. } | StageOutcome::Cancelled => {
                self.case.failure = None;
                let elapsed = began.elapsed();
                self.events.send(RunEvent::StagePassed { iteration, stage, elapsed });
                Happened::RerunPassed
            }
        })
    }

    async fn restore(&mut self) -> Happened {
        let Some(((_, target), release)) = self.delivery().zip(self.case.release) else {
            return Happened::Restored { serving: false };
        };
        let outcome = target.restore(release).await;
        let (happened, event) = match outcome {
            Ok(Restored::Release(deployed) | Restored::Untouched(deployed)) => {
                let detail =
                    format!("the last verified release serves at {}", deployed.endpoint.url);
                let event =
                    RunEvent::Restored { release: Some(deployed.release), ok: true, detail };
                self.case.serving = Some(deployed);
                (Happened::Restored { serving: true }, event)
            }
            Ok(Restored::Nothing) => {
                let detail = "there is no verified release to restore; the failed one was stopped"
                    .to_owned();
                let event = RunEvent::Restored { release: None, ok: true, detail };
                (Happened::Restored { serving: false }, event)
            }
            Err(error) => {
                let reason = self.redacted(&advice::chain(&error));
                let event = RunEvent::Restored { release: None, ok: false, detail: reason.clone() };
                (Happened::RestoreFailed { reason }, event)
            }
        };
        self.case.deployed = None;
        self.events.send(event);
        happened
    }

    /// Without the machine and without a record: see the module's text.
    async fn take_back(&mut self) {
        let keeps = self.run.course.mode == Mode::RollBack;
        if self.case.deployed.is_some() && !keeps {
            let _happened = self.restore().await;
        }
    }

    async fn mark_verified(&mut self) -> Result<Happened, DriveError> {
        let (Some((_, target)), Some(deployed)) = (self.delivery(), self.case.deployed.clone())
        else {
            return Ok(Happened::MarkedVerified);
        };
        if let Err(error) = target.mark_verified(deployed.release).await {
            return Ok(Happened::Broke { reason: self.redacted(&advice::chain(&error)) });
        }
        // Verified, whether or not the record of it can be written: not to be taken back.
        self.case.deployed = None;
        self.case.serving = Some(deployed.clone());
        self.note(
            &Actor::Machine,
            "release.verified",
            json!({
                "release": deployed.release.to_string(),
                "commit": self.tip.to_string(),
                "url": deployed.endpoint.url,
            }),
        )?;
        Ok(Happened::MarkedVerified)
    }

    // --- author, reviewer, person

    async fn ask_author(
        &mut self,
        iteration: u32,
        again: bool,
    ) -> Result<(Happened, Usage), DriveError> {
        let author = match &self.run.author {
            Ok(author) => author,
            Err(error) => return Ok((model_failed(error, &self.run.redactor), Usage::default())),
        };
        let Some(failure) = &self.case.failure else {
            return Ok((
                Happened::Broke { reason: "no failure is at hand".into() },
                Usage::default(),
            ));
        };
        self.events.send(RunEvent::AuthorAsked { iteration, model: author.label() });
        let commits = self.history(failure);
        let limits_text =
            advice::limits_text(&self.run.policy_plan, &self.run.course.limits, iteration);
        let brief = Brief {
            failure,
            commits: &commits,
            attempts: &self.case.attempts,
            limits_text,
            title: &self.run.header.title,
        };
        let refused = self.case.refused.take().filter(|_| again);
        let events = self.events.clone();
        let mut on_look = |call: &str| {
            events.send(RunEvent::AuthorLooked { iteration, call: call.to_owned() });
        };
        let refusal = refused.as_ref().map(|(proposal, text)| (proposal, text.as_str()));
        let asked = author.propose(&brief, &self.run.workspace, &self.tip, refusal, &mut on_look);
        let answer = tokio::select! {
            answer = asked => answer,
            () = self.cancel.cancelled() => return Ok((Happened::Cancelled, Usage::default())),
        };
        let actor = Actor::Author(author.label());
        match answer {
            // Never parsed: half a patch is not a patch. A model that is cut time and again is
            // as good as none.
            Err(error) if error.kind == ModelErrorKind::Cut && !again => {
                let reason = self.redacted(&error.to_string());
                let proposal = Proposal { answer: String::new(), reason: String::new() };
                let refused = self.refuse(iteration, &actor, proposal, reason, error.usage);
                // There is no answer to send back: it is asked anew, and told why.
                self.case.refused = None;
                refused
            }
            Err(error) => {
                let usage = error.usage;
                Ok((model_failed(&error, &self.run.redactor), usage))
            }
            Ok((proposal, usage)) => self.receive(iteration, &actor, proposal, usage),
        }
    }

    /// The latest commits that touched the failing files, newest first.
    fn history(&self, failure: &Failure) -> Vec<CommitInfo> {
        let paths: Vec<RepoPath> =
            failure.evidence.code.iter().filter_map(|c| RepoPath::new(&c.path).ok()).collect();
        let found = self.run.workspace.recent_commits(
            &self.run.header.commit,
            &paths,
            HISTORY_COMMITS,
            HISTORY_BYTES,
        );
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the author is not told of recent commits");
            Vec::new()
        })
    }

    fn receive(
        &mut self,
        iteration: u32,
        actor: &Actor,
        proposal: Proposal,
        usage: Usage,
    ) -> Result<(Happened, Usage), DriveError> {
        let edits =
            match parse_answer(&proposal.answer) {
                Err(refusal) => {
                    return self.refuse(iteration, actor, proposal, refusal.to_string(), usage);
                }
                Ok(Answer::NoPatch(no_patch)) => {
                    let reason = self.redacted(&no_patch.reason);
                    self.note(actor, "author.no_patch", json!({
                    "iteration": iteration, "class": no_patch.class.name(), "reason": reason,
                }))?;
                    self.events.send(RunEvent::NoPatch {
                        iteration,
                        class: no_patch.class.name().to_owned(),
                        reason: reason.clone(),
                    });
                    return Ok((Happened::NoPatch { class: no_patch.class, reason }, usage));
                }
                Ok(Answer::Edits(edits)) => edits,
            };
        let tree = self.run.workspace.tree_at(&self.tip)?;
        let options = ResolveOptions::new([self.run.workspace.root()]);
        let patch = match resolve(&edits, &tree, &options) {
            Ok(patch) => patch,
            Err(refusal) => {
                return self.refuse(iteration, actor, proposal, refusal.to_string(), usage);
            }
        };
        let resulting = match self.run.workspace.preview(&self.tip, patch.changes()) {
            Ok(tree) => tree,
            Err(error) => {
                let reason = format!("the patch cannot be applied: {}", advice::chain(&error));
                return self.refuse(iteration, actor, proposal, reason, usage);
            }
        };
        if &resulting == self.state.tree() {
            let reason = "the patch changes nothing: the files are already like that".to_owned();
            return self.refuse(iteration, actor, proposal, reason, usage);
        }
        match self.run.workspace.in_the_way(&self.tip, patch.changes()) {
            Ok(paths) if paths.is_empty() => {}
            Ok(paths) => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                let reason = format!(
                    "the work tree has files there that are not in the last commit, and nothing \
                     overwrites them: {}; leave them alone, and choose another path for a new file",
                    paths.join(", ")
                );
                return self.refuse(iteration, actor, proposal, reason, usage);
            }
            Err(error) => {
                let reason = format!("the patch cannot be applied: {}", advice::chain(&error));
                return self.refuse(iteration, actor, proposal, reason, usage);
            }
        }
        let evaluation = self.run.policy.evaluate(patch.changes());
        let decision = evaluation.decision();
        let diff = self.redacted(&String::from_utf8_lossy(&patch.to_unified_diff()));
        let reason = self.redacted(edits.reason());
        let file = format!("patches/patch_{iteration}.diff");
        write_file(&self.run.header.folder.join(&file), diff.as_bytes())?;
        self.note(actor, "author.proposed", json!({
            "iteration": iteration, "reason": reason, "patch": file, "tree": resulting.to_string(),
            "leniencies": patch.leniencies(), "diff": diff,
        }))?;
        self.events.send(RunEvent::PatchProposed {
            iteration,
            reason: reason.clone(),
            diff: diff.clone(),
            usage,
        });
        self.note(&Actor::Machine, "policy.evaluated", json!({
            "iteration": iteration, "decision": decision.name(), "matches": matches_json(&evaluation),
        }))?;
        self.events.send(RunEvent::Evaluated { iteration, evaluation: evaluation.clone() });
        if decision == Decision::Forbid {
            let outcome = AttemptOutcome::Forbidden { evaluation };
            self.remember(iteration, diff, outcome);
        } else {
            self.case.draft =
                Some(Draft { patch, diff, reason, evaluation, review: None, confirmation: None });
        }
        Ok((Happened::Proposed { tree: resulting, decision }, usage))
    }

    fn refuse(
        &mut self,
        iteration: u32,
        actor: &Actor,
        proposal: Proposal,
        reason: String,
        usage: Usage,
    ) -> Result<(Happened, Usage), DriveError> {
        let reason = self.redacted(&reason);
        let answer = self.redacted(&proposal.answer);
        self.note(
            actor,
            "author.refused",
            json!({
                "iteration": iteration, "reason": reason, "answer": answer,
            }),
        )?;
        self.events.send(RunEvent::PatchRefused { iteration, reason: reason.clone(), usage });
        let shown: String = answer.chars().take(4_000).collect();
        self.remember(iteration, shown, AttemptOutcome::Refused { reason: reason.clone() });
        self.case.refused = Some((proposal, reason.clone()));
        Ok((Happened::Refused { reason }, usage))
    }

    fn remember(&mut self, iteration: u32, diff: String, outcome: AttemptOutcome) {
        let headline = self.case.failure.as_ref().map_or_else(String::new, |f| f.headline.clone());
        self.case.attempts.push(Attempt { iteration, headline, diff, outcome });
    }

    async fn ask_reviewer(&mut self, iteration: u32) -> Result<(Happened, Usage), DriveError> {
        let reviewer = match &self.run.reviewer {
            Ok(reviewer) => reviewer,
            Err(error) => return Ok((model_failed(error, &self.run.redactor), Usage::default())),
        };
        let (Some(draft), Some(failure)) = (&self.case.draft, &self.case.failure) else {
            return Ok((
                Happened::Broke { reason: "no patch is at hand".into() },
                Usage::default(),
            ));
        };
        self.events.send(RunEvent::ReviewerAsked { iteration, model: reviewer.label() });
        let facts = self.run.policy.facts(draft.patch.changes(), &draft.evaluation);
        let asked = reviewer.review(&draft.diff, failure, &facts, &draft.reason);
        let answer = tokio::select! {
            answer = asked => answer,
            () = self.cancel.cancelled() => return Ok((Happened::Cancelled, Usage::default())),
        };
        let (mut review, usage) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let usage = error.usage;
                return Ok((model_failed(&error, &self.run.redactor), usage));
            }
        };
        review.reason = self.redacted(&review.reason);
        review.suggestion = review.suggestion.map(|text| self.redacted(&text));
        self.note(
            &Actor::Reviewer(review.reviewer.clone()),
            "reviewer.reviewed",
            json!({
                "iteration": iteration,
                "verdict": if review.verdict == Verdict::Approve { "approve" } else { "reject" },
                "risk": review.risk.name(),
                "reason": review.reason,
                "suggestion": review.suggestion,
            }),
        )?;
        self.events.send(RunEvent::Reviewed { iteration, review: review.clone(), usage });
        let verdict = review.verdict;
        match verdict {
            Verdict::Approve => {
                if let Some(draft) = &mut self.case.draft {
                    draft.review = Some(review);
                }
            }
            Verdict::Reject => {
                if let Some(draft) = self.case.draft.take() {
                    self.remember(iteration, draft.diff, AttemptOutcome::Rejected { review });
                }
            }
        }
        Ok((Happened::Reviewed { verdict }, usage))
    }

    async fn ask_about_patch(&mut self, iteration: u32) -> Result<Happened, DriveError> {
        let Some(draft) = &self.case.draft else {
            return Ok(Happened::Broke { reason: "no patch is at hand".into() });
        };
        let request = advice::patch_request(&draft.evaluation, iteration);
        let happened = self.ask_person(iteration, request).await?;
        if let (Happened::HumanDecided { approved: Some(true), .. }, Some(draft)) =
            (&happened, &mut self.case.draft)
        {
            draft.confirmation = self.run.approval.who().map(Confirmation::by);
        }
        Ok(happened)
    }

    async fn ask_about_rollout(&mut self, iteration: u32) -> Result<Happened, DriveError> {
        let request = advice::rollout_request(&self.run.header, &self.tip);
        self.ask_person(iteration, request).await
    }

    async fn ask_person(
        &mut self,
        iteration: u32,
        request: String,
    ) -> Result<Happened, DriveError> {
        self.note(
            &Actor::Machine,
            "human.asked",
            json!({
                "iteration": iteration, "request": request,
            }),
        )?;
        let approved = tokio::select! {
            approved = self.run.approval.decide(&request) => approved,
            () = self.cancel.cancelled() => return Ok(Happened::Cancelled),
        };
        if let (Some(approved), Some(who)) = (approved, self.run.approval.who()) {
            let who = who.to_owned();
            self.note(
                &Actor::Human(who.clone()),
                "human.decided",
                json!({
                    "iteration": iteration, "approved": approved, "request": request,
                }),
            )?;
            self.events.send(RunEvent::HumanDecided { iteration, approved, who });
        }
        Ok(Happened::HumanDecided { approved, request })
    }

    // --- the patch

    fn apply(&mut self, iteration: u32) -> Result<Happened, DriveError> {
        let Some(draft) = self.case.draft.take() else {
            return Ok(Happened::Broke { reason: "no patch is at hand".into() });
        };
        let Some(review) = draft.review else {
            return Ok(Happened::Broke { reason: "the patch was not reviewed".into() });
        };
        let confirmed_by = draft.confirmation.as_ref().map(|c| c.who().to_owned());
        let cleared = match clear(draft.patch, &review, &draft.evaluation, draft.confirmation) {
            Ok(cleared) => cleared,
            Err(error) => return Ok(Happened::Broke { reason: error.to_string() }),
        };
        let failure = self.case.failure.as_ref().map_or_else(String::new, |f| f.headline.clone());
        let message =
            advice::commit_message(&self.run.header, iteration, &failure, &draft.reason, &review);
        let run = self.run.header.run;
        let prepared = self.run.workspace.prepare(run, &self.tip, &cleared, &message)?;
        self.audit.append(
            &Actor::Machine,
            "apply.intent",
            json!({
                "iteration": iteration,
                "parent": self.tip.to_string(),
                "commit": prepared.commit().to_string(),
                "tree": prepared.tree().to_string(),
            }),
        )?;
        if self.case.patches.is_empty() && self.run.workspace.tip(run)?.is_none() {
            self.run.workspace.start_branch(run, &self.run.header.commit)?;
        }
        let applied = self.run.workspace.publish(run, &prepared)?;
        self.tip = applied.commit().clone();
        let files: Vec<String> = prepared.files().iter().map(ToString::to_string).collect();
        self.note(
            &Actor::Machine,
            "apply.done",
            json!({
                "iteration": iteration, "commit": self.tip.to_string(), "files": files,
            }),
        )?;
        self.events.send(RunEvent::PatchApplied { iteration, commit: self.tip.clone(), files });
        self.remember(
            iteration,
            draft.diff.clone(),
            AttemptOutcome::Applied { next_failure: None },
        );
        self.case.patches.push(SummaryPatch {
            iteration,
            failure,
            reason: draft.reason,
            diff: draft.diff,
            review,
            commit: self.tip.clone(),
            confirmed_by,
        });
        self.case.previous = self.case.failure.take();
        self.case.refused = None;
        Ok(Happened::Applied { tree: prepared.tree().clone() })
    }

    // --- the end

    async fn finish(mut self, reason: StopReason) -> Result<RunSummary, DriveError> {
        let healed = reason == StopReason::Verified;
        let run = self.run.header.run;
        let keep = healed && self.run.at_end == WorkTreeAtEnd::Keep;
        if !keep
            && self.tip != self.run.header.commit
            && let Err(error) = self.run.workspace.restore(&self.tip, &self.run.header.commit)
        {
            let text = format!(
                "the work tree could not be put back as it was: {}",
                self.redacted(&advice::chain(&error))
            );
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
        }
        let serving = self.serving().await;
        let restored = self.state.restored() == Some(true);
        let branch = (!self.case.patches.is_empty()).then(|| run.branch());
        let mut summary = RunSummary {
            stop: reason.clone(),
            iterations: self.state.iteration(),
            patches: std::mem::take(&mut self.case.patches),
            failure: if healed { None } else { self.case.failure.take().map(Box::new) },
            serving,
            restored,
            branch,
            usage: self.state.usage(),
            elapsed: self.before + self.began.elapsed(),
            next_steps: Vec::new(),
        };
        summary.next_steps = advice::next_steps(&self.run.header, &summary, keep);
        if let Err(error) = self.run.passed_before.save() {
            tracing::warn!(%error, "the gates that passed could not be remembered");
        }
        let data = json!({
            "outcome": stop_word(&reason),
            "reason": reason.to_string(),
            "iterations": summary.iterations,
            "restored": summary.restored,
            "branch": summary.branch,
            "patches": summary.patches.len(),
            "tokens": summary.usage.tokens(),
            "cost_usd": summary.usage.cost_usd,
        });
        // Before the last event: the report shows the chain's head.
        if let Err(error) = self.audit.close(&Actor::Machine, data) {
            let text = format!("the audit log has no end: {}", advice::chain(&error));
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
        }
        self.events.send(RunEvent::Finished(Box::new(summary.clone())));
        Ok(summary)
    }

    async fn serving(&self) -> Option<(ReleaseId, crate::model::Endpoint)> {
        if let Some(deployed) = &self.case.serving {
            return Some((deployed.release, deployed.endpoint.clone()));
        }
        let (_, target) = self.delivery()?;
        let (Release { id, state, .. }, endpoint) = target.status().await.ok()?.serving?;
        (state != ReleaseState::Failed).then_some((id, endpoint))
    }

    fn redacted(&self, text: &str) -> String {
        self.run.redactor.redact(text).into_owned()
    }
}

fn symptom_of(failure: &Failure) -> Symptom {
    Symptom {
        stage: failure.stage,
        name: failure.name.clone(),
        class: failure.class,
        fingerprint: failure.fingerprint.clone(),
        flaky_suspect: failure.flaky_suspect,
    }
}

fn model_failed(error: &ModelError, redactor: &Redactor) -> Happened {
    let configured = error.kind != ModelErrorKind::NotConfigured;
    // The name of a model that is not there says nothing.
    let reason = if configured { advice::chain(error) } else { error.message.clone() };
    Happened::ModelFailed { reason: redactor.redact(&reason).into_owned(), configured }
}

fn matches_json(evaluation: &Evaluation) -> Vec<serde_json::Value> {
    let one = |m: &crate::model::RuleMatch| {
        json!({
            "rule": m.rule,
            "decision": m.decision.name(),
            "path": m.path.as_ref().map(ToString::to_string),
            "line": m.line,
            "detail": m.detail,
        })
    };
    evaluation.matches().iter().map(one).collect()
}

fn write_file(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)
}
