//! A new release: rendered, tried, recorded, written, followed.

use kube::api::DynamicObject;
use serde_json::Value;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::difference;
use super::error::{KubernetesError, KubernetesErrorKind};
use super::lease::Hold;
use super::manifest::{Manifest, ObjectId, checksum};
use super::prune;
use super::record::{Content, Record};
use super::store::History;
use super::stuck;
use super::survey::Step;
use super::target::{KubernetesTarget, cancelled, refused, step};
use super::track::{self, Outcome, TrackError, TrackErrorKind, TrackSettings, Workload};
use super::writing::{self, Written};
use crate::model::{
    Excerpt, FailureClass, Notice, Release, ReleaseId, ReleaseState, RunEvent, Stage,
};
use crate::ports::{Deployed, RolloutRequest, TargetError, TargetErrorKind};

impl KubernetesTarget {
    pub(super) async fn roll_out_held(
        &self,
        cluster: &Cluster,
        hold: &Hold,
        request: &RolloutRequest,
    ) -> Result<Deployed, TargetError> {
        let store = self.store();
        let history = self.history(cluster).await.map_err(|error| self.told(error))?;
        if history.get(request.release).is_some_and(Record::serves) {
            return self.deployed(request.release).await.map_err(|error| self.told(error));
        }
        let began = Instant::now();
        let steps = match self.plan_of(cluster, request).await {
            Ok(steps) => steps,
            Err(_) if cluster.cancel().is_cancelled() => return Err(cancelled()),
            Err(error) => {
                step(cluster.events(), "dry run", false, self.redacted(&error.message), began);
                let mut error = self.told(error);
                error.evidence.command = Some("server-side dry run of the manifests".to_owned());
                return Err(error);
            }
        };
        let diff = self.show(cluster, &steps, began);
        self.show_leftovers(cluster, &history, &steps).await.map_err(|error| self.told(error))?;
        let good = history.serving().filter(|record| record.is_good());
        let since_good = match good {
            Some(good) => self.since(good, &steps),
            None => diff,
        };
        let record = self.record(hold, request, &history, good, &steps);
        let written = store.create(cluster, &history, &record).await;
        written.map_err(|error| self.told(error))?;

        let outcome = self.write_and_follow(cluster, hold, request, steps, since_good).await;
        match outcome {
            Ok(()) => {
                let now = jiff::Timestamp::now();
                let live = |record: &mut Record| {
                    record.release.state = ReleaseState::Live;
                    record.since = Some(now);
                };
                let kept = store.change(cluster, request.release, live).await;
                kept.map_err(|error| self.told(error))?;
                self.deployed(request.release).await.map_err(|error| self.told(error))
            }
            Err(error) if error.kind == TargetErrorKind::Cancelled => {
                // What a cancelled rollout leaves must be what was there before it.
                match self.give_way(cluster, hold, request.release).await {
                    Ok(_) => Err(error),
                    Err(worse) => Err(worse),
                }
            }
            Err(error) => {
                if error.kind == TargetErrorKind::Superseded && !hold.lost().is_cancelled() {
                    let reason = Some(error.message.clone());
                    let state = ReleaseState::Superseded;
                    let noted = store.set_state(cluster, request.release, state, reason).await;
                    noted.map_err(|error| self.told(error))?;
                }
                Err(error)
            }
        }
    }

    /// Sends what would change, and says it as one text.
    fn show(&self, cluster: &Cluster, steps: &[Step], began: Instant) -> String {
        let diff = self.redacted(&difference::joined(steps.iter().map(Step::diff)));
        let created = steps.iter().filter(|step| step.creates()).count();
        let same = steps.iter().filter(|step| !step.creates() && step.diff().is_empty()).count();
        let changed = steps.len() - created - same;
        let detail = format!(
            "{} valid: {created} new, {changed} changed, {same} the same",
            crate::model::counted(steps.len(), "object is", "objects are")
        );
        step(cluster.events(), "dry run", true, detail, began);
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
        steps: &[Step],
    ) -> Result<(), KubernetesError> {
        let named: Vec<ObjectId> = steps.iter().map(|step| step.object.id()).collect();
        let leftovers = self.leftovers(cluster, history, &named).await?;
        for line in prune::in_words(&leftovers, self.plan.prune) {
            cluster.events().send(RunEvent::Notice(Notice::Info(line)));
        }
        Ok(())
    }

    /// The rendered diff since the last good release.
    fn since(&self, good: &Record, steps: &[Step]) -> String {
        let old = Self::recorded(&good.content.objects, good.id());
        let find = |id: &ObjectId| old.iter().find(|object| object.id() == *id);
        let new = steps.iter().map(|step| {
            let id = step.object.id();
            let before = find(&id).map(Manifest::value);
            difference::one(&id.to_string(), before, Some(step.object.value()))
        });
        let gone = old
            .iter()
            .filter(|object| !steps.iter().any(|step| step.object.id() == object.id()))
            .map(|object| difference::one(&object.id().to_string(), Some(object.value()), None));
        self.redacted(&difference::joined(new.chain(gone)))
    }

    fn record(
        &self,
        hold: &Hold,
        request: &RolloutRequest,
        history: &History,
        good: Option<&Record>,
        steps: &[Step],
    ) -> Record {
        let objects: Vec<Manifest> = steps.iter().map(|step| step.object.clone()).collect();
        let ever = history.records.iter().any(Record::is_good);
        let before = |step: &Step| {
            let live: &DynamicObject = step.live.as_ref().filter(|_| !ever && !step.creates())?;
            Some(difference::plain(&serde_json::to_value(live).ok()?))
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

    async fn write_and_follow(
        &self,
        cluster: &Cluster,
        hold: &Hold,
        request: &RolloutRequest,
        steps: Vec<Step>,
        diff: String,
    ) -> Result<(), TargetError> {
        let began = Instant::now();
        let written = match writing::write(cluster, steps).await {
            Ok(written) => written,
            Err(error) => {
                let interrupted = cluster.cancel().is_cancelled()
                    && matches!(
                        error.kind,
                        KubernetesErrorKind::Cancelled | KubernetesErrorKind::Unreachable
                    );
                if interrupted {
                    return Err(cancelled());
                }
                step(cluster.events(), "apply", false, self.redacted(&error.message), began);
                let mut error = self.told(error);
                error.evidence.command = Some("server-side apply of the manifests".to_owned());
                if !diff.is_empty() {
                    error.evidence.excerpts.push(excerpt(&diff));
                }
                return Err(error);
            }
        };
        step(cluster.events(), "apply", true, counted(&written), began);
        let workloads: Vec<Workload> = written.iter().filter_map(Written::workload).collect();
        let settings = TrackSettings { deadline: request.wait, soak: self.plan.soak, diff };
        self.follow(cluster, hold, &workloads, &settings).await
    }

    /// Follows workloads until they have proved themselves.
    pub(super) async fn follow(
        &self,
        cluster: &Cluster,
        hold: &Hold,
        workloads: &[Workload],
        settings: &TrackSettings,
    ) -> Result<(), TargetError> {
        let began = Instant::now();
        if workloads.is_empty() {
            return Ok(());
        }
        let followed = tokio::select! {
            followed = track::track(
                cluster.client(),
                workloads,
                settings,
                self.redactor(),
                cluster.events(),
                cluster.cancel(),
            ) => followed.map_err(|error| self.untracked(error))?,
            never = stuck::unstick(cluster, workloads) => match never {},
            () = hold.lost().cancelled() => {
                let lost = hold.permit().await.err();
                let lost = lost.map_or_else(
                    || refused(
                        TargetErrorKind::Superseded,
                        "the environment is no longer held by this run".to_owned(),
                    ),
                    |error| self.told(error),
                );
                return Err(lost);
            }
        };
        match followed {
            Outcome::Ready { soaked } => {
                let titles: Vec<String> = workloads
                    .iter()
                    .map(|workload| format!("{}/{}", workload.kind.word(), workload.name))
                    .collect();
                let detail = format!(
                    "{} ready, and still for {:.1} s",
                    titles.join(", "),
                    soaked.as_secs_f64()
                );
                step(cluster.events(), "ready", true, detail, began);
                Ok(())
            }
            Outcome::Doomed(doom) => {
                step(cluster.events(), "ready", false, doom.message.clone(), began);
                Err(TargetError {
                    kind: TargetErrorKind::Release,
                    message: doom.message,
                    class: doom.class,
                    evidence: doom.evidence,
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
            let message = format!("release {} serves by now, not {release}", serving.id());
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

/// `3 new, 2 changed, 1 the same`
fn counted(written: &[Written]) -> String {
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
