//! Running the stages, and taking a release back or recording it as verified.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::gate_writes::GatesRan;
use super::rerun::{Again, is_cheap_to_rerun};
use super::{Deliverable, DriveError, Driver};
use crate::machine::{Event, FailureInput, Mode};
use crate::stages::StageContext;
use crate::stages::gates::run_gates_counted;
use crate::stages::image::{ImageOutcome, image_log, make_image};
use crate::stages::rollout::{
    PAUSES, RolloutOutcome, restore, roll_back, roll_out, target_failure,
};
use crate::stages::smoke::{SmokeOutcome, Subject, run_smoke, script_fault};
use greenloop_audit::Actor;
use greenloop_config::plan::GatePlan;
use greenloop_model::{
    Attempt, AttemptOutcome, CommitId, Condition, EventSink, Evidence, Failure, FailureClass,
    GateResult, GateStatus, Notice, ReleaseId, Restoration, RunEvent, Stage, StageOutcome, compare,
    error_chain,
};
use greenloop_ports::{
    Deployed, Earlier, Image, ImageRequest, Restored, RolloutRequest, Target, TargetError,
    TargetErrorKind,
};

/// What is said to have failed when what is to be tested cannot be reached at all.
const UNREACHED: &str = "connection";
/// What is said to have failed when no release of Greenloop serves what is to be tested.
const RELEASE: &str = "release";
/// How long the target may take to say what serves before that is tested.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// From the cancellation on, how long a target may take to accept a restore: pipelines kill ten
/// seconds after they have asked, and the end of the run has to be written too.
const GRACE: Duration = Duration::from_secs(8);
/// How much of it a rollout may take to stop; what it was doing is then left to itself.
const LEAVE: Duration = Duration::from_secs(3);

/// What serves without this run's doing, as far as the target says.
#[derive(Debug, Default)]
struct ExistingRelease {
    release: Option<ReleaseId>,
    commit: Option<CommitId>,
    /// Why no release of Greenloop serves.
    absent: Option<String>,
}

impl Driver {
    pub(super) async fn run_stage(
        &mut self,
        iteration: u32,
        stage: Stage,
    ) -> Result<Event, DriveError> {
        if self.state.spec().stages.first() == Some(&stage) {
            self.events.send(RunEvent::IterationStarted {
                iteration,
                of: self.state.spec().limits.max_iterations,
                commit: self.tip.clone(),
            });
        }
        let began = Instant::now();
        let mut moved = false;
        let before = self.before_commands(stage)?;
        let from = SystemTime::now();
        let outcome = match stage {
            Stage::Gates => match self.assignment_to_begin() {
                Some(outcome) => outcome,
                None => {
                    let plans = self.run.gates.clone();
                    self.gates(iteration, &plans, &[]).await?
                }
            },
            Stage::Rollout => self.roll_out(iteration).await?,
            Stage::Smoke => self.smoke(iteration).await?,
            Stage::Image => self.image(iteration).await?,
            Stage::Tasks => {
                let before = self.tip.clone();
                let outcome = self.tasks(iteration).await?;
                moved = self.tip != before;
                outcome
            }
        };
        let elapsed = began.elapsed();
        if let Some(before) = before {
            // What a command changed is not somebody's work: a patch may put it back.
            self.context.gates_ran.push(GatesRan { from, to: SystemTime::now() });
            if matches!(outcome, StageOutcome::Passed { .. })
                && let Some(failure) = self.strayed_since(stage, &before)?
            {
                let symptom = symptom_of(&failure);
                self.failed(iteration, failure, elapsed)?;
                return Ok(Event::StageFailed(symptom));
            }
            // What fails may run once more, and pass.
            self.context.strayed_before = Some(before);
        }
        Ok(match outcome {
            StageOutcome::Passed { .. } => {
                if stage == Stage::Gates {
                    if let Some(failure) = self.strayed()? {
                        let symptom = symptom_of(&failure);
                        self.failed(iteration, failure, elapsed)?;
                        return Ok(Event::StageFailed(symptom));
                    }
                    if let Some(doubted) = self.prove(iteration).await? {
                        return Ok(doubted);
                    }
                }
                self.note(&Actor::Machine, "stage.passed", json!({
                    "iteration": iteration, "stage": stage.name(), "ms": elapsed.as_millis() as u64,
                }))?;
                self.events.send(RunEvent::StagePassed { iteration, stage, elapsed });
                if moved {
                    self.context.tests.forget_base();
                    Event::TasksMerged { tree: self.run.workspace.tree_id(&self.tip)? }
                } else {
                    Event::StagePassed
                }
            }
            StageOutcome::Cancelled => Event::Cancelled,
            StageOutcome::Declined { failure } => {
                let reason = failure.headline.clone();
                self.failed(iteration, *failure, elapsed)?;
                Event::Declined { reason }
            }
            StageOutcome::Failed { failure, gates } => {
                let mut symptom = symptom_of(&failure);
                symptom.flaky_suspect |= stage == Stage::Gates
                    && (self.is_suspect(&failure, &gates)
                        || is_cheap_to_rerun(&failure, &gates, &self.run.gates)
                        || self.reruns_only_tests(&failure, &gates));
                self.failed(iteration, *failure, elapsed)?;
                Event::StageFailed(symptom)
            }
        })
    }

    pub(super) fn failed(
        &mut self,
        iteration: u32,
        failure: Failure,
        elapsed: Duration,
    ) -> Result<(), DriveError> {
        let progress = self.context.previous.as_ref().map(|last| compare(last, &failure));
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
            self.context.attempts.last_mut()
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
        self.note_first_failure(&failure);
        self.context.failure = Some(failure);
        Ok(())
    }

    pub(super) fn context(&self, iteration: u32) -> StageContext<'_> {
        StageContext {
            root: self.run.workspace.root(),
            run: self.run.header.run,
            iteration,
            folder: &self.run.header.folder,
            redactor: &self.run.redactor,
            events: &self.events,
            cancel: &self.cancel,
            parallelism: self.run.parallelism,
            env_remove: &self.run.env_remove,
            sandbox: self.run.sandbox.as_ref(),
        }
    }

    /// `failed` have failed on this very tree, and run again because they may be flaky.
    pub(super) async fn gates(
        &mut self,
        iteration: u32,
        plans: &[GatePlan],
        failed: &[String],
    ) -> Result<StageOutcome, DriveError> {
        self.events.send(RunEvent::StageStarted {
            iteration,
            stage: Stage::Gates,
            parts: plans.iter().map(|g| g.name.clone()).collect(),
        });
        let from = SystemTime::now();
        let context = self.context(iteration);
        let ran = run_gates_counted(plans, failed, &context);
        let (outcome, tests) = if failed.is_empty() {
            ran.await
        } else {
            let (ran, prepared) = self.while_preparing(iteration, ran).await;
            self.context.prepared = prepared.or(self.context.prepared.take());
            ran
        };
        self.context.gates_ran.push(GatesRan { from, to: SystemTime::now() });
        let (StageOutcome::Passed { gates } | StageOutcome::Failed { gates, .. }) = &outcome else {
            return Ok(outcome);
        };
        self.note_tests(iteration, tests, gates)?;
        if self.context.patches.is_empty() {
            self.note_habits()?;
        } else {
            self.note_meddling(iteration).await?;
        }
        self.compare_with_earlier_runs(gates);
        let tree = self.state.tree().clone();
        for (plan, _) in plans.iter().zip(gates).filter(|(_, result)| result.passed()) {
            self.run.passed_before.insert(&tree, &plan.command);
        }
        self.context.unfinished_gates =
            gates.iter().filter(|g| !g.passed()).map(|g| g.name.clone()).collect();
        self.context.failed_gates = gates
            .iter()
            .filter(|g| matches!(g.status, GateStatus::Failed(_)))
            .map(|g| g.name.clone())
            .collect();
        Ok(outcome)
    }

    async fn image(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let source = self.run.delivery.as_ref().and_then(|delivery| delivery.image.clone());
        let Some(source) = source else {
            return Ok(StageOutcome::Passed { gates: Vec::new() });
        };
        self.context.image = None;
        let parts = Vec::new();
        self.events.send(RunEvent::StageStarted { iteration, stage: Stage::Image, parts });
        let context = self.context(iteration);
        let log = image_log(&context);
        let request = ImageRequest {
            commit: self.tip.clone(),
            committed_at: self.run.workspace.committed_at(&self.tip)?,
            source: self.run.workspace.remote_url("origin"),
            run: self.run.header.run,
            work_tree: self.run.workspace.root().to_owned(),
            log: self.run.header.folder.join(&log),
        };
        match make_image(source.as_ref(), &request, &log, &context).await {
            ImageOutcome::Ready(Image { image, tags, reused }) => {
                self.note(
                    &Actor::Machine,
                    "image.ready",
                    json!({
                        "iteration": iteration,
                        "image": image.to_string(),
                        "tags": tags,
                        "reused": reused,
                    }),
                )?;
                self.context.image = Some(image.clone());
                self.events.send(RunEvent::ImageReady { image, tags, reused });
                Ok(StageOutcome::Passed { gates: Vec::new() })
            }
            ImageOutcome::Failed(failure) => {
                Ok(StageOutcome::Failed { failure, gates: Vec::new() })
            }
            ImageOutcome::Cancelled => Ok(StageOutcome::Cancelled),
        }
    }

    async fn roll_out(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let Some((delivery, target)) = self.delivery() else {
            return Ok(StageOutcome::Passed { gates: Vec::new() });
        };
        let release = match delivery.what {
            Deliverable::New => Some(ReleaseId::generate()),
            Deliverable::Earlier(Earlier::Release(release)) => Some(release),
            Deliverable::Earlier(Earlier::LastVerified | Earlier::Revision(_)) => None,
        };
        let what = delivery.what;
        let wait = delivery.wait;
        let script = delivery.verification.script.clone();
        self.context.release = release;
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
        // The gates have made what they make: a script that cannot run would fail the release.
        let script = script.filter(|_| what == Deliverable::New);
        if let Some(failure) =
            script.and_then(|script| script_fault(&script, self.run.workspace.root()))
        {
            return Ok(StageOutcome::Failed { failure: Box::new(failure), gates: Vec::new() });
        }
        self.context.at_risk = true;
        let context = self.context(iteration);
        let leave = match what {
            Deliverable::New => LEAVE,
            // It takes itself back.
            Deliverable::Earlier(_) => GRACE,
        };
        let work = async {
            match what {
                Deliverable::New => {
                    let request = RolloutRequest {
                        release: release.unwrap_or_else(ReleaseId::generate),
                        commit: self.tip.clone(),
                        run: self.run.header.run,
                        image: self.context.image.clone(),
                        work_tree: self.run.workspace.root().to_owned(),
                        wait,
                    };
                    roll_out(target.as_ref(), &request, &context).await
                }
                Deliverable::Earlier(earlier) => {
                    roll_back(target.as_ref(), earlier, &context, PAUSES).await
                }
            }
        };
        let mut cancelled_at = None;
        let left = async {
            context.cancel.cancelled().await;
            cancelled_at = Some(tokio::time::Instant::now());
            tokio::time::sleep(leave).await;
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = left => RolloutOutcome::Cancelled,
        };
        self.cancelled_at = cancelled_at;
        match outcome {
            RolloutOutcome::Deployed(deployed) => {
                // Before the record of it: when that fails, it is taken back.
                self.context.release = Some(deployed.release);
                self.context.deployed = Some(deployed.clone());
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
            RolloutOutcome::Declined(failure) => Ok(StageOutcome::Declined { failure }),
            RolloutOutcome::Cancelled => Ok(StageOutcome::Cancelled),
        }
    }

    async fn smoke(&mut self, iteration: u32) -> Result<StageOutcome, DriveError> {
        let Some(delivery) = &self.run.delivery else {
            return Ok(StageOutcome::Passed { gates: Vec::new() });
        };
        let Some(target) = &delivery.target else {
            let subject = Subject { url: &delivery.url, target: None, release: None, fresh: false };
            let context = self.context(iteration);
            return Ok(concluded(run_smoke(&delivery.verification, &subject, &context).await));
        };
        // Whose log is evidence: the release of this run, or whatever serves when it only verifies.
        let deployed = self.context.deployed.as_ref().map(|deployed| deployed.release);
        let fresh = deployed.is_some();
        let existing = match deployed {
            Some(release) => {
                ExistingRelease { release: Some(release), ..ExistingRelease::default() }
            }
            None => self.existing_release(target.as_ref()).await,
        };
        let ExistingRelease { release, commit, absent } = existing;
        // Told once: what failed runs again.
        let first = self.context.failure.is_none();
        if let (Some(release), Some(commit), true) = (release, commit, first) {
            let subject = self.run.workspace.subject(&commit).unwrap_or_default();
            let text =
                format!("deployed is release {} of {}  {subject}", release.short(), commit.short());
            let text = self.redacted(text.trim_end());
            self.events.send(RunEvent::Notice(Notice::Info(text)));
        }
        // It may be on its way back.
        if let (Some(_), Some(why), true) = (release, &absent, first) {
            self.events.send(RunEvent::Notice(Notice::Warning(why.clone())));
        }
        let context = self.context(iteration);
        let reached = tokio::select! {
            reached = target.smoke_endpoint() => reached,
            () = context.cancel.cancelled() => return Ok(StageOutcome::Cancelled),
        };
        let url = match reached {
            Ok(reached) => reached.map_or_else(|| delivery.url.clone(), |endpoint| endpoint.url),
            Err(error) => {
                let parts = vec![UNREACHED.to_owned()];
                let stage = Stage::Smoke;
                self.events.send(RunEvent::StageStarted { iteration, stage, parts });
                let failure = target_failure(stage, UNREACHED, error);
                return Ok(StageOutcome::Failed { failure, gates: Vec::new() });
            }
        };
        if let Some(why) = absent.filter(|_| release.is_none()) {
            return Ok(self.is_absent(iteration, why));
        }
        let subject = Subject { url: &url, target: Some(target.as_ref()), release, fresh };
        let outcome = run_smoke(&delivery.verification, &subject, &context).await;
        // What passed may be anybody's who answers at the address.
        if !fresh && matches!(outcome, SmokeOutcome::Passed) {
            let now = self.existing_release(target.as_ref()).await;
            if let Some(why) = now.absent {
                return Ok(self.is_absent(iteration, why));
            }
        }
        Ok(concluded(outcome))
    }

    /// What was to be tested does not serve.
    fn is_absent(&self, iteration: u32, why: String) -> StageOutcome {
        let stage = Stage::Smoke;
        self.events.send(RunEvent::StageStarted { iteration, stage, parts: vec![RELEASE.into()] });
        let error = TargetError {
            kind: TargetErrorKind::NoRelease,
            evidence: Box::new(Evidence { notes: vec![why.clone()], ..Evidence::default() }),
            message: why,
            class: FailureClass::Config,
            source: None,
        };
        StageOutcome::Failed { failure: target_failure(stage, RELEASE, error), gates: Vec::new() }
    }

    /// The release that serves without this run's doing.
    async fn existing_release(&self, target: &dyn Target) -> ExistingRelease {
        let asked = tokio::time::timeout(STATUS_TIMEOUT, target.status()).await;
        let Ok(Ok(status)) = asked else { return ExistingRelease::default() };
        let name = self.run.header.environment.as_ref();
        let environment = name.map_or("this environment", |name| name.as_str());
        let absent = match (&status.serving, &status.condition) {
            (None, _) => Some(format!(
                "Greenloop has deployed nothing in {environment}, so there is nothing to verify; \
                 `greenloop run` deploys the current commit"
            )),
            (Some((release, _)), Condition::Down(why)) => {
                Some(format!("release {} is not serving in {environment}: {why}", release.id))
            }
            (Some(_), Condition::Serves | Condition::Partly(_) | Condition::Unknown(_)) => None,
        };
        let serving = status.serving.map(|(release, _)| release);
        ExistingRelease {
            release: serving.as_ref().map(|release| release.id),
            commit: serving.map(|release| release.commit),
            absent: absent.map(|why| self.redacted(&why)),
        }
    }

    pub(super) async fn rerun(
        &mut self,
        iteration: u32,
        stage: Stage,
        name: String,
    ) -> Result<Event, DriveError> {
        self.events.send(RunEvent::FlakyRerun { stage, name: name.clone(), passed: None });
        let began = Instant::now();
        let outcome = match stage {
            Stage::Gates => match self.rerun_gates(iteration).await? {
                Again::Ran(outcome) => outcome,
                Again::Confirmed => {
                    let passed = Some(false);
                    self.events.send(RunEvent::FlakyRerun { stage, name: name.clone(), passed });
                    self.note_rerun(iteration, stage, &name, false)?;
                    return Ok(match &self.context.failure {
                        Some(failure) => Event::RerunFailed(symptom_of(failure)),
                        None => Event::Broke { reason: "no failure is at hand".into() },
                    });
                }
            },
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
            StageOutcome::Failed { .. } | StageOutcome::Declined { .. } => false,
            StageOutcome::Cancelled => return Ok(Event::Cancelled),
        };
        self.events.send(RunEvent::FlakyRerun { stage, name: name.clone(), passed: Some(passed) });
        self.note_rerun(iteration, stage, &name, passed)?;
        Ok(match outcome {
            StageOutcome::Failed { failure, .. } | StageOutcome::Declined { failure } => {
                let symptom = symptom_of(&failure);
                self.failed(iteration, *failure, began.elapsed())?;
                Event::RerunFailed(symptom)
            }
            StageOutcome::Passed { gates } => {
                if stage == Stage::Gates {
                    if let Some(failure) = self.strayed()? {
                        let symptom = symptom_of(&failure);
                        self.failed(iteration, failure, began.elapsed())?;
                        return Ok(Event::RerunFailed(symptom));
                    }
                    if let Some(doubted) = self.prove(iteration).await? {
                        return Ok(doubted);
                    }
                }
                if let Some(before) =
                    self.context.strayed_before.take().filter(|_| stage == Stage::Smoke)
                    && let Some(failure) = self.strayed_since(stage, &before)?
                {
                    let symptom = symptom_of(&failure);
                    self.failed(iteration, failure, began.elapsed())?;
                    return Ok(Event::RerunFailed(symptom));
                }
                self.context.failure = None;
                let flaky: Vec<String> = match stage {
                    Stage::Gates => {
                        let flaky = |gate: &GateResult| gate.status == GateStatus::Flaky;
                        gates.into_iter().filter(flaky).map(|gate| gate.name).collect()
                    }
                    Stage::Tasks | Stage::Image | Stage::Rollout | Stage::Smoke => vec![name],
                };
                for name in flaky {
                    if !self.context.flaky.contains(&name) {
                        self.context.flaky.push(name);
                    }
                }
                let elapsed = began.elapsed();
                self.events.send(RunEvent::StagePassed { iteration, stage, elapsed });
                Event::RerunPassed
            }
            StageOutcome::Cancelled => Event::Cancelled,
        })
    }

    fn note_rerun(
        &mut self,
        iteration: u32,
        stage: Stage,
        name: &str,
        passed: bool,
    ) -> Result<(), DriveError> {
        let data = json!({
            "iteration": iteration, "stage": stage.name(), "name": name, "passed": passed,
        });
        self.note(&Actor::Machine, "rerun", data)
    }

    pub(super) async fn restore(&mut self) -> Event {
        let Some(((_, target), release)) = self.delivery().zip(self.context.release) else {
            return Event::Restored { serving: false };
        };
        let hurry = self.cancel.clone();
        if self.cancelled {
            hurry.cancel();
        }
        let since = self.cancelled_at;
        let work = restore(target.as_ref(), release, &self.events, &hurry, PAUSES);
        let outcome = in_time(work, &hurry, since).await;
        let (happened, restored, detail) = match outcome {
            Ok(Restored::Release { deployed, serving_after }) => {
                let release = deployed.release;
                let url = &deployed.endpoint.url;
                let detail = match serving_after {
                    Some(after) => {
                        let (tested, fails) = self.tested(target.as_ref(), &hurry).await;
                        self.context.restored_fails = fails;
                        let after = after.as_secs_f64();
                        format!(
                            "release {release} serves again after {after:.1} s at {url}{tested}"
                        )
                    }
                    None => format!(
                        "the target accepted release {release}; the run did not wait until it \
                         serves, and skipped the soak"
                    ),
                };
                let restored = Restoration::Restored { release, serving_after };
                (Event::Restored { serving: true }, Some(restored), Ok(detail))
            }
            Ok(Restored::Untouched(Deployed { release, endpoint })) => {
                let detail = format!("release {release} never stopped serving at {}", endpoint.url);
                let restored = Restoration::Untouched { release };
                (Event::Restored { serving: true }, Some(restored), Ok(detail))
            }
            Ok(Restored::Nothing) => {
                let detail = "there is no verified release to restore: nothing serves".to_owned();
                (Event::Restored { serving: false }, Some(Restoration::Nothing), Ok(detail))
            }
            Err(error) => {
                let reason = self.redacted(&error_chain(&error));
                let (happened, restored) = match error.kind {
                    // It has to be repaired forward, and that is what the loop does.
                    TargetErrorKind::Forbidden => (Event::Restored { serving: false }, None),
                    TargetErrorKind::Superseded => {
                        (Event::Declined { reason: reason.clone() }, None)
                    }
                    TargetErrorKind::Release
                    | TargetErrorKind::Target
                    | TargetErrorKind::AddressInUse
                    | TargetErrorKind::Cancelled
                    | TargetErrorKind::NoRelease
                    | TargetErrorKind::Held => {
                        let unconfirmed = self.cancelled.then_some(Restoration::Unconfirmed);
                        (Event::RestoreFailed { reason: reason.clone() }, unconfirmed)
                    }
                };
                (happened, restored, Err(reason))
            }
        };
        self.context.deployed = None;
        self.context.at_risk = false;
        self.context.restored = restored;
        self.tell_of_restore(restored, detail, hurry.is_cancelled());
        happened
    }

    /// Into the log, as far as it can be written, and to whoever watches.
    fn tell_of_restore(
        &mut self,
        restored: Option<Restoration>,
        detail: Result<String, String>,
        hurried: bool,
    ) {
        let serving_after = match restored {
            Some(Restoration::Restored { serving_after, .. }) => serving_after,
            Some(
                Restoration::Untouched { .. } | Restoration::Nothing | Restoration::Unconfirmed,
            )
            | None => None,
        };
        let release = restored.and_then(|restored| restored.release());
        let ok = detail.is_ok();
        let (Ok(detail) | Err(detail)) = detail;
        let noted = self.note(
            &Actor::Machine,
            "restore",
            json!({
                "ok": ok,
                "release": release.map(|release| release.to_string()),
                "serving_after_ms": serving_after.map(|after| after.as_millis() as u64),
                "hurried": hurried,
                "detail": detail,
            }),
        );
        if let Err(error) = noted {
            // A release is taken back whether or not the log can be written.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the restore could not be \
                recorded"
            );
        }
        self.events.send(RunEvent::Restored { release, ok, detail });
    }

    /// What the smoke tests say of a release that has just been restored, to be added to what is
    /// told of it. It passed the tests of its own commit; these are of the commit at hand, which
    /// may ask for more: what they find is reported, and decides nothing. Second, what fails.
    async fn tested(
        &self,
        target: &dyn Target,
        hurry: &CancellationToken,
    ) -> (String, Option<String>) {
        let Some(delivery) = &self.run.delivery else { return (String::new(), None) };
        let quiet = EventSink::null();
        let context =
            StageContext { events: &quiet, cancel: hurry, ..self.context(self.state.iteration()) };
        let url = match target.smoke_endpoint().await {
            Ok(reached) => reached.map_or_else(|| delivery.url.clone(), |endpoint| endpoint.url),
            Err(error) => {
                let why = self.redacted(&error.message);
                return (format!("; could not test it: {why}"), None);
            }
        };
        let subject = Subject { url: &url, target: Some(target), release: None, fresh: true };
        match run_smoke(&delivery.verification, &subject, &context).await {
            SmokeOutcome::Passed => (", and passes the smoke tests".to_owned(), None),
            SmokeOutcome::Failed(failure) => {
                let found = self.redacted(&failure.headline);
                (format!("; the smoke tests of this commit fail on it: {found}"), Some(found))
            }
            SmokeOutcome::Cancelled => (String::new(), None),
        }
    }

    /// Without the machine and without a record: see the module's text.
    pub(super) async fn take_back(&mut self) {
        let keeps = self.state.spec().mode == Mode::RollBack;
        if self.context.at_risk && !keeps {
            let _happened = self.restore().await;
        }
    }

    pub(super) async fn mark_verified(&mut self) -> Result<Event, DriveError> {
        let (Some((_, target)), Some(deployed)) = (self.delivery(), self.context.deployed.clone())
        else {
            return Ok(Event::MarkedVerified);
        };
        if let Err(error) = target.mark_verified(deployed.release).await {
            let reason = self.redacted(&error_chain(&error));
            return Ok(match error.kind {
                TargetErrorKind::Superseded => {
                    self.context.deployed = None;
                    self.context.at_risk = false;
                    Event::Declined { reason }
                }
                TargetErrorKind::Release
                | TargetErrorKind::Target
                | TargetErrorKind::AddressInUse
                | TargetErrorKind::Cancelled
                | TargetErrorKind::NoRelease
                | TargetErrorKind::Held
                | TargetErrorKind::Forbidden => Event::Broke { reason },
            });
        }
        // Verified, whether or not the record of it can be written: not to be taken back.
        self.context.deployed = None;
        self.context.at_risk = false;
        self.context.restored = None;
        self.context.restored_fails = None;
        self.note(
            &Actor::Machine,
            "release.verified",
            json!({
                "release": deployed.release.to_string(),
                "commit": self.tip.to_string(),
                "url": deployed.endpoint.url,
            }),
        )?;
        // After the record: the release is verified, whatever comes of what it no longer names.
        if self.state.spec().mode != Mode::RollBack {
            target.prune(deployed.release, &self.events, &self.cancel).await;
        }
        Ok(Event::MarkedVerified)
    }
}

fn concluded(outcome: SmokeOutcome) -> StageOutcome {
    match outcome {
        SmokeOutcome::Passed => StageOutcome::Passed { gates: Vec::new() },
        SmokeOutcome::Failed(failure) => StageOutcome::Failed { failure, gates: Vec::new() },
        SmokeOutcome::Cancelled => StageOutcome::Cancelled,
    }
}

/// A restore that may take as long as it needs, until it is told to hurry.
async fn in_time(
    restore: impl Future<Output = Result<Restored, TargetError>>,
    hurry: &CancellationToken,
    cancelled_at: Option<tokio::time::Instant>,
) -> Result<Restored, TargetError> {
    let over = async {
        hurry.cancelled().await;
        let since = cancelled_at.unwrap_or_else(tokio::time::Instant::now);
        tokio::time::sleep_until(since + GRACE).await;
    };
    tokio::select! {
        outcome = restore => outcome,
        () = over => {
            let message = format!(
                "the target did not accept the last verified release within {} s; the next run in \
                 this environment continues the restore",
                GRACE.as_secs()
            );
            Err(TargetError {
                kind: TargetErrorKind::Target,
                message,
                class: FailureClass::Infrastructure,
                evidence: Box::default(),
                source: None,
            })
        }
    }
}

pub(super) fn symptom_of(failure: &Failure) -> FailureInput {
    FailureInput {
        stage: failure.stage,
        name: failure.name.clone(),
        class: failure.class,
        fingerprint: failure.fingerprint.clone(),
        headline: failure.headline.clone(),
        person_only: failure.evidence.remedy.as_ref().is_some_and(|remedy| remedy.person_only),
        flaky_suspect: failure.flaky_suspect,
    }
}
