//! A new release: rendered, tried, recorded, written, followed.

use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::Value;
use tokio::time::Instant;

use super::{KubernetesTarget, cancelled, refused, step};
use crate::apply::{self, AppliedObject};
use crate::cluster::Cluster;
use crate::diff;
use crate::dry_run::PlannedObject;
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::lease::held::HeldLease;
use crate::manifest::waves::{self, Awaited};
use crate::manifest::{Manifest, ObjectId, checksum};
use crate::prune;
use crate::record::{Content, Record};
use crate::store::History;
use crate::stuck_pods;
use crate::track::{
    self, Outcome, TrackError, TrackErrorKind, TrackSettings, Tracker, WaveOutcome, Workload,
};
use crate::transient_refusal::{TransientRefusal, transient_refusal};
use greenloop_model::{
    Excerpt, FailureClass, Notice, Release, ReleaseId, ReleaseState, RunEvent, Stage,
};
use greenloop_ports::{Deployed, RolloutRequest, TargetError, TargetErrorKind};

impl KubernetesTarget {
    pub(super) async fn roll_out_held(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        request: &RolloutRequest,
    ) -> Result<Deployed, TargetError> {
        let store = self.store();
        let history = self.history(cluster).await.map_err(|error| self.target_error(error))?;
        if history.get(request.release).is_some_and(Record::serves) {
            return Ok(self.deployed(request.release));
        }
        let began = Instant::now();
        let steps = match self.planned(cluster, request, &history).await {
            Ok(steps) => steps,
            Err(_) if cluster.cancel().is_cancelled() => return Err(cancelled()),
            Err(error) => {
                step(cluster.events(), "dry run", false, self.redacted(&error.message), began);
                let mut error = self.target_error(error);
                error.evidence.command = Some("server-side dry run of the manifests".to_owned());
                return Err(error);
            }
        };
        let diff = self.show(cluster, &steps, began);
        self.show_leftovers(cluster, &history, &steps)
            .await
            .map_err(|error| self.target_error(error))?;
        let good = history.serving().filter(|record| record.is_good());
        let since_good = match good {
            Some(good) => self.since(good, &steps),
            None => diff,
        };
        let record = self.record(hold, request, &history, good, &steps);
        let written = store.create(cluster, &history, &record).await;
        written.map_err(|error| self.target_error(error))?;

        let outcome = self.apply_and_track(cluster, hold, request, steps, since_good).await;
        match outcome {
            Ok(()) => {
                let now = jiff::Timestamp::now();
                let live = |record: &mut Record| {
                    record.release.state = ReleaseState::Live;
                    record.since = Some(now);
                };
                let kept = store.change(cluster, request.release, live).await;
                kept.map_err(|error| self.target_error(error))?;
                Ok(self.deployed(request.release))
            }
            Err(error) => {
                if error.kind == TargetErrorKind::Superseded && !hold.lost().is_cancelled() {
                    let reason = Some(error.message.clone());
                    let state = ReleaseState::Superseded;
                    let noted = store.set_state(cluster, request.release, state, reason).await;
                    noted.map_err(|error| self.target_error(error))?;
                }
                Err(error)
            }
        }
    }

    /// Sends what would change, and says it as one text.
    fn show(&self, cluster: &Cluster, steps: &[PlannedObject], began: Instant) -> String {
        let diff = self.redacted(&diff::joined(steps.iter().map(PlannedObject::diff)));
        let created = steps.iter().filter(|step| step.creates()).count();
        let same = steps.iter().filter(|step| !step.creates() && step.diff().is_empty()).count();
        let changed = steps.len() - created - same;
        let detail = format!(
            "{} valid: {created} new, {changed} changed, {same} the same",
            greenloop_model::counted(steps.len(), "object is", "objects are")
        );
        step(cluster.events(), "dry run", true, detail, began);
        let order = waves_of(steps);
        if !order.is_empty() {
            cluster.events().send(RunEvent::Output {
                stage: Stage::Rollout,
                name: "order".to_owned(),
                text: order,
            });
        }
        if !diff.is_empty() {
            cluster.events().send(RunEvent::Output {
                stage: Stage::Rollout,
                name: "diff".to_owned(),
                text: diff.clone(),
            });
        }
        diff
    }

    /// Says what earlier releases brought and this one does not name.
    async fn show_leftovers(
        &self,
        cluster: &Cluster,
        history: &History,
        steps: &[PlannedObject],
    ) -> Result<(), KubernetesError> {
        let named: Vec<ObjectId> = steps.iter().map(|step| step.object.id()).collect();
        let leftovers = self.leftovers(cluster, history, &named).await?;
        for line in prune::in_words(&leftovers, self.plan.prune) {
            cluster.events().send(RunEvent::Notice(Notice::Info(line)));
        }
        Ok(())
    }

    /// The rendered diff since the last good release.
    fn since(&self, good: &Record, steps: &[PlannedObject]) -> String {
        let old = good.objects();
        let find = |id: &ObjectId| old.iter().find(|object| object.id() == *id);
        let new = steps.iter().map(|step| {
            let id = step.object.id();
            let before = find(&id).map(Manifest::value);
            diff::one(&id.to_string(), before, Some(step.object.value()))
        });
        let gone = old
            .iter()
            .filter(|object| !steps.iter().any(|step| step.object.id() == object.id()))
            .map(|object| diff::one(&object.id().to_string(), Some(object.value()), None));
        self.redacted(&diff::joined(new.chain(gone)))
    }

    fn record(
        &self,
        hold: &HeldLease,
        request: &RolloutRequest,
        history: &History,
        good: Option<&Record>,
        steps: &[PlannedObject],
    ) -> Record {
        let objects: Vec<Manifest> = steps.iter().map(|step| step.object.clone()).collect();
        let ever = history.records.iter().any(Record::is_good);
        let before = |step: &PlannedObject| {
            let live: &DynamicObject = step.live.as_ref().filter(|_| !ever && !step.creates())?;
            Some(diff::plain(&serde_json::to_value(live).ok()?))
        };
        Record {
            release: Release {
                id: request.release,
                commit: request.commit.clone(),
                run: request.run,
                image: request.image.clone(),
                state: ReleaseState::Candidate,
                created_at: jiff::Timestamp::now(),
                verified_at: None,
            },
            since: None,
            previous: good.map(Record::id),
            rollback: self.rollback,
            fencing: hold.fencing(),
            reason: None,
            stopped: None,
            repository: self.repository.clone(),
            content: Content {
                created: steps
                    .iter()
                    .filter(|step| step.creates())
                    .map(|step| step.object.id())
                    .collect(),
                made: prune::made(history, steps),
                before: steps.iter().filter_map(before).collect::<Vec<Value>>(),
                config: checksum::config_hashes(&objects),
                wait: request.wait,
                objects: objects.into_iter().map(|object| object.value().clone()).collect(),
            },
        }
    }

    async fn apply_and_track(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        request: &RolloutRequest,
        steps: Vec<PlannedObject>,
        diff: String,
    ) -> Result<(), TargetError> {
        let objects: Vec<Manifest> = steps.iter().map(|step| step.object.clone()).collect();
        let waves = waves::waves(&objects).map_err(|error| self.target_error(error))?;
        let settings = TrackSettings { deadline: request.wait, soak: self.plan.soak, diff };
        let tracker = Tracker::new(
            cluster.client(),
            &settings,
            waves::promised(&objects),
            self.redactor(),
            cluster.events(),
        );
        let mut apply = Apply {
            target: self,
            cluster,
            hold,
            tracker,
            began: Instant::now(),
            diff: &settings.diff,
            written: Vec::new(),
            services: objects.iter().filter_map(in_addresses).collect(),
            deferred: Vec::new(),
        };
        let mut steps: Vec<Option<PlannedObject>> = steps.into_iter().map(Some).collect();
        for (number, wave) in waves.iter().enumerate() {
            let makers_to_come =
                steps.iter().flatten().any(|step| waves::makes_others(&step.object));
            apply.await_all(&wave.awaited, makers_to_come).await?;
            for place in &wave.objects {
                let step = steps.get_mut(*place).and_then(Option::take);
                if let Some(step) = step {
                    apply.write(step, true).await?;
                }
            }
            apply.catch_up(number + 1 == waves.len()).await?;
        }
        step(cluster.events(), "apply", true, counted(&apply.written), apply.began);
        apply.prove().await
    }

    /// Follows workloads until they have proved themselves.
    pub(super) async fn follow(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        workloads: &[Workload],
        settings: &TrackSettings,
    ) -> Result<(), TargetError> {
        let began = Instant::now();
        if workloads.is_empty() {
            return Ok(());
        }
        let tracked = track::track(
            cluster.client(),
            workloads,
            settings,
            self.redactor(),
            cluster.events(),
            cluster.cancel(),
        );
        let outcome = self.while_held(cluster, hold, workloads, tracked).await?;
        self.ended(cluster, outcome, workloads, began)
    }

    /// Follows while the lease is held, and sees to pods that keep a StatefulSet waiting.
    async fn while_held<T>(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        workloads: &[Workload],
        followed: impl Future<Output = Result<T, TrackError>>,
    ) -> Result<T, TargetError> {
        tokio::select! {
            followed = followed => followed.map_err(|error| self.untracked(error)),
            never = stuck_pods::unstick(cluster, workloads) => match never {},
            () = hold.lost().cancelled() => {
                let lost = hold.permit().await.err();
                Err(lost.map_or_else(
                    || refused(
                        TargetErrorKind::Superseded,
                        "the environment is no longer held by this run".to_owned(),
                    ),
                    |error| self.target_error(error),
                ))
            }
        }
    }

    /// What the end of the following means for the rollout.
    fn ended(
        &self,
        cluster: &Cluster,
        outcome: Outcome,
        workloads: &[Workload],
        began: Instant,
    ) -> Result<(), TargetError> {
        match outcome {
            Outcome::Ready { soaked } => {
                let titles: Vec<String> = workloads.iter().map(title).collect();
                let detail = format!(
                    "{} ready, and stable for {:.1} s",
                    titles.join(", "),
                    soaked.as_secs_f64()
                );
                step(cluster.events(), "ready", true, detail, began);
                Ok(())
            }
            Outcome::Failed(failure) => {
                step(cluster.events(), "ready", false, failure.message.clone(), began);
                Err(TargetError {
                    kind: TargetErrorKind::Release,
                    message: failure.message,
                    class: failure.class,
                    evidence: failure.evidence,
                    source: None,
                })
            }
            Outcome::Superseded { message } => {
                step(cluster.events(), "ready", false, message.clone(), began);
                Err(refused(TargetErrorKind::Superseded, message))
            }
            Outcome::Cancelled => Err(cancelled()),
        }
    }

    pub(super) fn untracked(&self, error: TrackError) -> TargetError {
        let class = match error.kind {
            TrackErrorKind::Unreachable => FailureClass::Infrastructure,
            TrackErrorKind::Refused => FailureClass::Auth,
        };
        let mut told = refused(TargetErrorKind::Target, self.redacted(&error.message));
        told.class = class;
        told.source = error.source.map(|source| source as _);
        told
    }

    /// Records that the smoke tests of `release` passed: it is what serves, and what was before
    /// it is kept for a rollback.
    pub(super) async fn verified(&self, release: ReleaseId) -> Result<(), KubernetesError> {
        let cluster = self.guarded().await?;
        let store = self.store();
        let history = self.history(&cluster).await?;
        let fencing = history.get(release).map_or(0, |record| record.fencing);
        if let Some(serving) = history.serving()
            && serving.id() != release
            && serving.fencing > fencing
            && history.get(release).is_some_and(|record| record.since < serving.since)
        {
            let message = format!("release {} is serving now, not {release}", serving.id());
            return Err(KubernetesError::new(KubernetesErrorKind::Lost, message));
        }
        let now = jiff::Timestamp::now();
        let verify = |record: &mut Record| {
            record.release.state = ReleaseState::Verified;
            record.release.verified_at = Some(now);
            record.since = record.since.or(Some(now));
        };
        store.change(&cluster, release, verify).await?;
        // First the new one, then the others: whoever dies in between leaves two of which the
        // later one serves.
        let history = self.history(&cluster).await?;
        for other in history.records.iter().filter(|record| record.id() != release) {
            let state = match other.release.state {
                ReleaseState::Live | ReleaseState::Verified if other.is_good() => {
                    ReleaseState::Superseded
                }
                // What a run that died has left.
                ReleaseState::Live | ReleaseState::Candidate => ReleaseState::Failed,
                ReleaseState::Verified | ReleaseState::Superseded | ReleaseState::Failed => {
                    continue;
                }
            };
            store.set_state(&cluster, other.id(), state, None).await?;
        }
        let history = self.history(&cluster).await?;
        let most = usize::try_from(self.plan.history).unwrap_or(usize::MAX);
        for surplus in history.surplus(most) {
            store.remove(&cluster, surplus).await?;
        }
        Ok(())
    }
}

/// The order in which the objects are applied, where something is awaited.
pub(super) fn waves_of(steps: &[PlannedObject]) -> String {
    let objects: Vec<Manifest> = steps.iter().map(|step| step.object.clone()).collect();
    waves::waves(&objects).map(|waves| waves::describe(&objects, &waves)).unwrap_or_default()
}

/// How long a webhook that the release does not bring is waited for.
const FOREIGN_WEBHOOK: Duration = Duration::from_secs(60);
/// Between two tries to write what was refused for now.
const AGAIN: Duration = Duration::from_secs(1);

/// `deployment/web`
fn title(workload: &Workload) -> String {
    format!("{}/{}", workload.kind.word(), workload.name)
}

/// `//policy.shop.svc`, of a Service.
fn in_addresses(object: &Manifest) -> Option<String> {
    let service = object.kind() == "Service" && object.group().is_empty();
    let namespace = object.namespace().filter(|_| service)?;
    Some(format!("//{}.{namespace}.svc", object.name()))
}

/// A release that is being written, wave after wave.
struct Apply<'a> {
    target: &'a KubernetesTarget,
    cluster: &'a Cluster,
    hold: &'a HeldLease,
    tracker: Tracker<'a>,
    began: Instant,
    diff: &'a str,
    written: Vec<AppliedObject>,
    /// The release's Services, as addresses of webhooks hold them.
    services: Vec<String>,
    /// What a webhook of the release has yet to be up for.
    deferred: Vec<PlannedObject>,
}

impl Apply<'_> {
    fn workloads(&self) -> Vec<Workload> {
        self.written.iter().filter_map(AppliedObject::workload).collect()
    }

    /// Waits for what must be there before the next wave, and for what should.
    async fn await_all(
        &mut self,
        awaited: &[Awaited],
        makers_to_come: bool,
    ) -> Result<(), TargetError> {
        let found = awaited.iter().filter_map(|one| {
            let written = self.written.iter().find(|written| written.id == one.id)?;
            Some((written.workload()?, one.firm))
        });
        let found: Vec<(Workload, bool)> = found.collect();
        if found.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let named: Vec<String> = found.iter().map(|(workload, _)| title(workload)).collect();
        let named = named.join(", ");
        let workloads = self.workloads();
        let pairs: Vec<(&Workload, bool)> =
            found.iter().map(|(workload, firm)| (workload, *firm)).collect();
        let (target, cluster, hold) = (self.target, self.cluster, self.hold);
        let settling = self.tracker.stamp(&pairs, makers_to_come, cluster.cancel());
        match target.while_held(cluster, hold, &workloads, settling).await? {
            WaveOutcome::Ready => {
                let detail = format!("{named} ready: applying the next wave");
                step(cluster.events(), "await", true, detail, began);
                Ok(())
            }
            WaveOutcome::Deferred(why) => {
                let text = format!(
                    "{named} may be waiting for the next wave, so that is applied now: {why}"
                );
                cluster.events().send(RunEvent::Notice(Notice::Info(text)));
                Ok(())
            }
            WaveOutcome::Ended(outcome) => target.ended(cluster, outcome, &workloads, self.began),
        }
    }

    /// Tries again what was put off for a webhook that the release brings; with `all`, until it is
    /// written or the time is over.
    async fn catch_up(&mut self, all: bool) -> Result<(), TargetError> {
        for step in std::mem::take(&mut self.deferred) {
            let put_off = !all && !self.tracker.is_moving();
            self.write(step, put_off).await?;
        }
        Ok(())
    }

    /// Writes one object; what is refused only for now is tried again while the rollout has time
    /// and something can change it. What a webhook of the release refuses may be put off until
    /// the release has come further.
    async fn write(&mut self, one: PlannedObject, may_put_off: bool) -> Result<(), TargetError> {
        let refused_since = Instant::now();
        let mut told = false;
        loop {
            if self.cluster.cancel().is_cancelled() {
                return Err(cancelled());
            }
            let error = match apply::one(self.cluster, one.clone()).await {
                Ok(written) => {
                    let workload = written.workload();
                    self.written.push(written);
                    self.tracker.add(workload.as_slice());
                    return Ok(());
                }
                Err(error) => error,
            };
            let own = self.services.iter().any(|address| error.message.contains(address));
            if own && may_put_off && transient_refusal(&error) == Some(TransientRefusal::Webhook) {
                let (kind, name) = (one.object.kind(), one.object.name());
                self.tracker.promise(waves::missing(kind, name));
                self.deferred.push(one);
                return Ok(());
            }
            let limit = match transient_refusal(&error) {
                None => Duration::ZERO,
                // Its backend may be what this release brings, or changes.
                Some(_) if self.tracker.is_moving() => self.tracker.left(),
                Some(TransientRefusal::Webhook) => FOREIGN_WEBHOOK.min(self.tracker.left()),
                Some(TransientRefusal::Quota) => Duration::ZERO,
            };
            if refused_since.elapsed() + AGAIN >= limit {
                return Err(self.apply_failure(error));
            }
            if !told {
                told = true;
                let text = self.target.redacted(&format!("{}; retrying", error.message));
                self.cluster.events().send(RunEvent::Notice(Notice::Warning(text)));
            }
            let workloads = self.workloads();
            let (target, cluster, hold) = (self.target, self.cluster, self.hold);
            let passed = self.tracker.pass(AGAIN, cluster.cancel());
            if let Some(outcome) = target.while_held(cluster, hold, &workloads, passed).await? {
                return target.ended(cluster, outcome, &workloads, self.began);
            }
        }
    }

    fn apply_failure(&self, error: KubernetesError) -> TargetError {
        let interrupted = self.cluster.cancel().is_cancelled()
            && matches!(
                error.kind,
                KubernetesErrorKind::Cancelled | KubernetesErrorKind::Unreachable
            );
        if interrupted {
            return cancelled();
        }
        let message = self.target.redacted(&error.message);
        step(self.cluster.events(), "apply", false, message, self.began);
        let mut error = self.target.target_error(error);
        error.evidence.command = Some("server-side apply of the manifests".to_owned());
        if !self.diff.is_empty() {
            error.evidence.excerpts.push(excerpt(self.diff));
        }
        error
    }

    /// Follows everything until it has proved itself.
    async fn prove(mut self) -> Result<(), TargetError> {
        let workloads = self.workloads();
        if workloads.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let (target, cluster, hold) = (self.target, self.cluster, self.hold);
        let proving = self.tracker.prove(cluster.cancel());
        let outcome = target.while_held(cluster, hold, &workloads, proving).await?;
        target.ended(cluster, outcome, &workloads, began)
    }
}

/// `3 new, 2 changed, 1 the same`
fn counted(written: &[AppliedObject]) -> String {
    let created = written.iter().filter(|one| one.was_created()).count();
    let changed = written.iter().filter(|one| !one.diff().is_empty()).count() - created;
    format!("{created} new, {changed} changed, {} the same", written.len() - created - changed)
}

fn excerpt(diff: &str) -> Excerpt {
    let lines = diff.lines().count().max(1);
    Excerpt {
        start: 1,
        end: u64::try_from(lines).unwrap_or(u64::MAX),
        kind: Excerpt::DIFF.to_owned(),
        text: diff.chars().take(16 * 1024).collect(),
        locations: Vec::new(),
    }
}
