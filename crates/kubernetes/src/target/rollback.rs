//! Letting an earlier release serve again: after a failure, when a person asks, and for a run
//! that died.
//!
//! An earlier release is laid down as a whole, as its record has it, and followed like a rollout
//! with a time budget of its own. What later releases brought and it lacks is removed, except for
//! what may hold data. Jobs are acts, not state: they are not done again.
//!
//! Before the first verified release there is nothing to lay down: what the failed release made
//! is removed, and objects that were there before it become what they were.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{KubernetesTarget, USUAL_WAIT, cancelled, refused, step};
use crate::apply::{self, AppliedObject, workload_kind};
use crate::cluster::Cluster;
use crate::diff;
use crate::dry_run::{self, Purpose};
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::lease::held::HeldLease;
use crate::manifest::{Manifest, ObjectId};
use crate::record::{Content, Record};
use crate::store::History;
use crate::track::{TrackSettings, Workload};
use crate::undo;
use greenloop_config::plan::Rollback;
use greenloop_model::{
    CommitId, EventSink, Notice, Release, ReleaseId, ReleaseState, RunEvent, RunId, Stage,
};
use greenloop_ports::{Deployed, Earlier, Restored, TargetError, TargetErrorKind, TargetStatus};

/// What laying a release down came to.
struct ApplyResult {
    written: Vec<AppliedObject>,
    removed: Vec<ObjectId>,
}

impl ApplyResult {
    fn has_changed(&self) -> bool {
        !self.removed.is_empty() || self.written.iter().any(AppliedObject::has_changed)
    }

    fn workloads(&self) -> Vec<Workload> {
        self.written.iter().filter_map(AppliedObject::workload).collect()
    }
}

impl KubernetesTarget {
    /// Lets `failed` give way to the last verified release. A cancelled `hurry` ends the waiting:
    /// for pods, and for proof.
    pub(super) async fn restore_previous(
        &self,
        failed: ReleaseId,
        events: &EventSink,
        hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let cluster = cluster.during(events, &CancellationToken::new());
        let history = self.history(&cluster).await.map_err(|error| self.target_error(error))?;
        let Some(record) = history.get(failed) else {
            // It never came as far as a write.
            return Ok(self.untouched(&history));
        };
        let held = self.acquire_lease(&cluster, record.release.run).await;
        let held = held.map_err(|error| self.target_error(error))?;
        let cluster = cluster.guarded(&held.hold);
        let outcome =
            self.restore_previous_held(&cluster, &held.hold, &history, failed, hurry).await;
        self.release_lease(held).await;
        outcome
    }

    fn untouched(&self, history: &History) -> Restored {
        match history.serving() {
            Some(serving) => Restored::Untouched(self.deployed(serving.id())),
            None => Restored::Nothing,
        }
    }

    /// The same, with the lease in hand.
    async fn restore_previous_held(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        history: &History,
        failed: ReleaseId,
        hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        let began = Instant::now();
        let store = self.store();
        let Some(record) = history.get(failed) else { return Ok(self.untouched(history)) };
        if record.release.state == ReleaseState::Superseded {
            let message = match &record.reason {
                Some(reason) => format!("{reason}: this run must not roll it back"),
                None => format!("release {failed} is no longer the serving release"),
            };
            return Err(refused(TargetErrorKind::Superseded, message));
        }
        if record.rollback == Rollback::Forbidden {
            let message = format!(
                "release {failed} must not be rolled back (`deploy.rollback: forbidden`): it \
                 stays until a person decides"
            );
            return Err(refused(TargetErrorKind::Forbidden, message));
        }
        let mark = async || {
            let marked = store.set_state(cluster, failed, ReleaseState::Failed, None).await;
            marked.map_err(|error| self.target_error(error))
        };
        let Some(good) = history.good_before(Some(record)) else {
            let undone = self.remove_objects(cluster, record).await;
            undone.map_err(|error| self.target_error(error))?;
            mark().await?;
            let detail = "there is no verified release; restored the state from before the first \
                one";
            step(cluster.events(), "restore", true, detail.to_owned(), began);
            return Ok(Restored::Nothing);
        };
        let laid = self
            .apply_record(cluster, good, &[record])
            .await
            .map_err(|error| self.target_error(error))?;
        let deployed = self.deployed(good.id());
        let wait = good.content.wait.max(record.content.wait);
        let serving_after = self.serving_again(cluster, hold, &laid, (good, wait), began, hurry);
        let serving_after = match serving_after.await {
            Ok(serving_after) => serving_after,
            Err(mut error) => {
                error.message = format!("applied release {} again: {}", good.id(), error.message);
                return Err(error);
            }
        };
        mark().await?;
        Ok(match laid.has_changed() {
            true => Restored::Release { deployed, serving_after },
            false => Restored::Untouched(deployed),
        })
    }

    /// Waits until what was laid down serves, says so, and watches it for the soak after that. How
    /// long it took to serve; `None` when that was not waited for.
    async fn serving_again(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        laid: &ApplyResult,
        (good, wait): (&Record, Duration),
        began: Instant,
        hurry: &CancellationToken,
    ) -> Result<Option<Duration>, TargetError> {
        let quiet = cluster.during(&EventSink::null(), hurry);
        let workloads = laid.workloads();
        let settings = |soak| TrackSettings { deadline: wait, soak, diff: String::new() };
        let serves = self.follow(&quiet, hold, &workloads, &settings(Some(Duration::ZERO))).await;
        match serves {
            Ok(()) => {}
            Err(error) if error.kind == TargetErrorKind::Cancelled => {
                let detail = format!(
                    "release {}: accepted by the API server; the run did not wait until it \
                     serves, and skipped the soak",
                    good.id()
                );
                step(cluster.events(), "restore", true, detail, began);
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let after = began.elapsed();
        let detail =
            format!("release {} serves again after {:.1} s", good.id(), after.as_secs_f64());
        step(cluster.events(), "restore", true, detail, began);
        let watched = cluster.during(cluster.events(), hurry);
        match self.follow(&watched, hold, &workloads, &settings(self.plan.soak)).await {
            Err(error) if error.kind == TargetErrorKind::Cancelled => {
                let text = "the soak of the restored release was skipped: the run was cancelled";
                cluster.events().send(RunEvent::Notice(Notice::Warning(text.to_owned())));
                Ok(Some(after))
            }
            outcome => outcome.map(|()| Some(after)),
        }
    }

    /// Writes all of a release's objects, and removes what `later` ones brought.
    async fn apply_record(
        &self,
        cluster: &Cluster,
        good: &Record,
        later: &[&Record],
    ) -> Result<ApplyResult, KubernetesError> {
        let began = Instant::now();
        let objects: Vec<Manifest> =
            good.objects().into_iter().filter(|object| object.kind() != "Job").collect();
        self.learn(cluster, &objects).await?;
        let kept: Vec<ObjectId> = objects.iter().map(Manifest::id).collect();
        let steps = dry_run::dry_run(cluster, objects, Purpose::Restore).await?;
        let written = apply::write_together(cluster, steps).await?;
        let releases: Vec<ReleaseId> = later.iter().map(|record| record.id()).collect();
        let brought: Vec<ObjectId> =
            later.iter().flat_map(|record| record.content.created.iter().cloned()).collect();
        let removed = apply::remove(cluster, &releases, &brought, &kept).await?;
        let diff = self.redacted(&diff::joined(written.iter().map(AppliedObject::diff)));
        let changed = written.iter().filter(|one| !one.diff().is_empty()).count();
        let detail = format!(
            "release {}: {changed} of {} objects restored, {} deleted",
            good.id(),
            written.len(),
            removed.len()
        );
        step(cluster.events(), "apply", true, detail, began);
        // What a failed release changed was shown when it came; the way back is the same.
        let taken_back = later.iter().all(|record| record.release.verified_at.is_none());
        if !diff.is_empty() && (later.is_empty() || !taken_back) {
            cluster.events().send(RunEvent::Output {
                stage: Stage::Rollout,
                name: "diff".to_owned(),
                text: diff,
            });
        }
        Ok(ApplyResult { written, removed })
    }

    /// Undoes the very first release.
    async fn remove_objects(
        &self,
        cluster: &Cluster,
        record: &Record,
    ) -> Result<(), KubernetesError> {
        let objects = record.objects_before();
        let kept: Vec<ObjectId> = objects.iter().map(Manifest::id).collect();
        let steps = dry_run::dry_run(cluster, objects, Purpose::Restore).await?;
        apply::write_together(cluster, steps).await?;
        let created = &record.content.created;
        apply::remove(cluster, &[record.id()], created, &kept).await?;
        Ok(())
    }

    pub(super) async fn roll_back_held(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        earlier: Earlier,
    ) -> Result<Deployed, TargetError> {
        let history = self.history(cluster).await.map_err(|error| self.target_error(error))?;
        let own = self.refuse_history_of_others(cluster, &history).await;
        own.map_err(|error| self.target_error(error))?;
        let serving = history.serving();
        let none = |message: String| refused(TargetErrorKind::NoRelease, message);
        let wanted = match earlier {
            Earlier::LastVerified => history.rolled_back_to().ok_or_else(|| {
                none(match serving {
                    Some(serving) => {
                        format!("there is no verified release before {}", serving.id())
                    }
                    None => "there is no verified release".to_owned(),
                })
            })?,
            Earlier::Release(release) => match history.get(release) {
                None => return Err(none(format!("there is no record of release {release}"))),
                Some(record) if record.is_good() => record,
                Some(record) => {
                    return Err(none(format!(
                        "release {release} is {} and was never verified",
                        record.release.state.name()
                    )));
                }
            },
            Earlier::Revision(number) => {
                let foreign =
                    self.foreign(cluster).await.map_err(|error| self.target_error(error))?;
                if !foreign.is_empty() {
                    return self.undo_to_revision(cluster, hold, &foreign, number).await;
                }
                let status = TargetStatus {
                    serving: serving.map(|record| (record.release.clone(), self.endpoint())),
                    releases: history.records.iter().map(|r| r.release.clone()).collect(),
                    ..TargetStatus::default()
                };
                let place = number.max(1);
                let release = status.earlier(place);
                let record = release.and_then(|release| history.get(release));
                record.filter(|record| record.is_good()).ok_or_else(|| {
                    none(format!("there is no earlier verified release with the number {place}"))
                })?
            }
        };
        if let Some(stays) = history.closed_by(wanted) {
            let message = format!(
                "release {} must not be rolled back (`deploy.rollback: forbidden`)",
                stays.id()
            );
            return Err(refused(TargetErrorKind::Forbidden, message));
        }
        self.apply_and_follow(cluster, hold, &history, wanted).await
    }

    async fn apply_and_follow(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        history: &History,
        wanted: &Record,
    ) -> Result<Deployed, TargetError> {
        let later: Vec<&Record> =
            history.records.iter().filter(|record| record.id() > wanted.id()).collect();
        let laid = match self.apply_record(cluster, wanted, &later).await {
            Ok(laid) => laid,
            Err(_) if cluster.cancel().is_cancelled() => {
                return Err(self.resume_serving(cluster, history).await);
            }
            Err(error) => return Err(self.target_error(error)),
        };
        let workloads = laid.workloads();
        let settings = TrackSettings {
            deadline: wanted.content.wait.max(USUAL_WAIT),
            soak: self.plan.soak,
            diff: diff::joined(laid.written.iter().map(AppliedObject::diff)),
        };
        match self.follow(cluster, hold, &workloads, &settings).await {
            Ok(()) => {}
            Err(error) if error.kind == TargetErrorKind::Cancelled => {
                return Err(self.resume_serving(cluster, history).await);
            }
            // Nothing is rolled back from a rollback: it would bring back what was left.
            Err(error) => return Err(error),
        }
        let now = jiff::Timestamp::now();
        let serve = |record: &mut Record| {
            record.release.state = ReleaseState::Live;
            record.since = Some(now);
        };
        let kept = self.store().change(cluster, wanted.id(), serve).await;
        kept.map_err(|error| self.target_error(error))?;
        Ok(self.deployed(wanted.id()))
    }

    /// After a rollback was cancelled: what served before it serves on.
    async fn resume_serving(&self, cluster: &Cluster, history: &History) -> TargetError {
        let cluster = cluster.during(cluster.events(), &CancellationToken::new());
        let Some(serving) = history.serving() else { return cancelled() };
        match self.apply_record(&cluster, serving, &[]).await {
            Ok(_) => cancelled(),
            Err(error) => self.target_error(error),
        }
    }

    /// Workloads of the manifests that are in the cluster without being a release's.
    async fn foreign(&self, cluster: &Cluster) -> Result<Vec<ObjectId>, KubernetesError> {
        let mut foreign = Vec::new();
        for object in self.render_names(cluster.cancel()).await? {
            let mut id = object.id();
            if workload_kind(&id).is_none() {
                continue;
            }
            id.namespace.get_or_insert_with(|| self.plan.namespace.clone());
            let Some(kind) = cluster.kind(&id.api_version, &id.kind).await? else { continue };
            let Some(live) = cluster.get(&kind, &id).await? else { continue };
            let annotations = live.metadata.annotations.as_ref();
            if !annotations.is_some_and(|a| a.contains_key(crate::manifest::labels::RELEASE)) {
                foreign.push(id);
            }
        }
        Ok(foreign)
    }

    /// `kubectl rollout undo` for each, with a record of what came of it.
    async fn undo_to_revision(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        ids: &[ObjectId],
        number: u32,
    ) -> Result<Deployed, TargetError> {
        let began = Instant::now();
        let mut workloads = Vec::new();
        for id in ids {
            let undone = undo::undo(cluster, id, number).await;
            workloads.push(undone.map_err(|error| match error.kind {
                KubernetesErrorKind::Missing => {
                    refused(TargetErrorKind::NoRelease, self.redacted(&error.message))
                }
                _ => self.target_error(error),
            })?);
        }
        let titles: Vec<String> = ids.iter().map(ObjectId::to_string).collect();
        let detail = match number {
            0 => format!("{}: the revision before", titles.join(", ")),
            number => format!("{}: revision {number}", titles.join(", ")),
        };
        step(cluster.events(), "undo", true, detail, began);
        let settings =
            TrackSettings { deadline: USUAL_WAIT, soak: self.plan.soak, diff: String::new() };
        self.follow(cluster, hold, &workloads, &settings).await?;
        let release = ReleaseId::generate();
        let kept = self.remember(cluster, hold, ids, release).await;
        kept.map_err(|error| self.target_error(error))?;
        Ok(self.deployed(release))
    }

    /// A record of workloads as they are, so that what was gone back to can be verified and
    /// restored like a release.
    async fn remember(
        &self,
        cluster: &Cluster,
        hold: &HeldLease,
        ids: &[ObjectId],
        release: ReleaseId,
    ) -> Result<(), KubernetesError> {
        let mut objects: Vec<Value> = Vec::new();
        for id in ids {
            let Some(kind) = cluster.kind(&id.api_version, &id.kind).await? else { continue };
            let Some(live) = cluster.get(&kind, id).await? else { continue };
            if let Ok(value) = serde_json::to_value(live) {
                objects.push(diff::plain(&value));
            }
        }
        let store = self.store();
        let history = self.history(cluster).await?;
        let now = jiff::Timestamp::now();
        let record = Record {
            release: Release {
                id: release,
                commit: unknown_commit()?,
                run: hold.run(),
                image: None,
                state: ReleaseState::Live,
                created_at: now,
                verified_at: None,
            },
            since: Some(now),
            previous: history.serving().map(Record::id),
            rollback: Rollback::Allowed,
            fencing: hold.fencing(),
            reason: Some("restored with --to-revision".to_owned()),
            stopped: None,
            repository: self.repository.clone(),
            content: Content { objects, wait: USUAL_WAIT, ..Content::default() },
        };
        store.create(cluster, &history, &record).await
    }

    /// Cleans up after a run that is gone; `holder` has the lease now.
    pub(super) async fn clean_up_after(
        &self,
        cluster: &Cluster,
        run: RunId,
        holder: Option<String>,
    ) -> Result<Vec<String>, TargetError> {
        let history = self.history(cluster).await.map_err(|error| self.target_error(error))?;
        let mut left: Vec<&Record> = history
            .records
            .iter()
            .filter(|record| {
                record.release.run == run
                    && record.release.verified_at.is_none()
                    && matches!(record.release.state, ReleaseState::Candidate | ReleaseState::Live)
            })
            .collect();
        left.sort_by_key(|record| std::cmp::Reverse(record.id()));
        let its_own = holder.as_deref() == Some(run.to_string().as_str());
        if left.is_empty() && !its_own {
            return Ok(Vec::new());
        }
        if let Some(other) = holder.filter(|_| !its_own)
            && other != self.lease_holder().await
        {
            return Ok(vec![format!(
                "run {other} holds the environment and cleans up what run {run} left"
            )]);
        }
        let held =
            self.acquire_lease(cluster, run).await.map_err(|error| self.target_error(error))?;
        let cluster = &cluster.guarded(&held.hold);
        let mut notes = Vec::new();
        let mut outcome = Ok(());
        for record in left {
            let history = self.history(cluster).await.map_err(|error| self.target_error(error))?;
            let patient = CancellationToken::new();
            match self
                .restore_previous_held(cluster, &held.hold, &history, record.id(), &patient)
                .await
            {
                Ok(Restored::Release { deployed, .. } | Restored::Untouched(deployed)) => {
                    notes.push(format!(
                        "release {} was never verified; release {} is serving",
                        record.id(),
                        deployed.release
                    ));
                }
                Ok(Restored::Nothing) => notes.push(format!(
                    "release {} was never verified; its objects are deleted",
                    record.id()
                )),
                Err(error) => match error.kind {
                    TargetErrorKind::Forbidden | TargetErrorKind::Superseded => {
                        notes.push(error.message);
                    }
                    TargetErrorKind::Release
                    | TargetErrorKind::Target
                    | TargetErrorKind::AddressInUse
                    | TargetErrorKind::Cancelled
                    | TargetErrorKind::NoRelease
                    | TargetErrorKind::Held => {
                        outcome = Err(error);
                        break;
                    }
                },
            }
        }
        if its_own {
            notes.push("released its lease".to_owned());
        }
        self.release_lease(held).await;
        for note in &notes {
            cluster.events().send(RunEvent::Notice(Notice::Info(note.clone())));
        }
        outcome.map(|()| notes)
    }
}

/// Nobody knows what commit a revision was made from.
fn unknown_commit() -> Result<CommitId, KubernetesError> {
    "0".repeat(40).parse().map_err(|error: greenloop_model::InvalidId| {
        KubernetesError::new(KubernetesErrorKind::Record, "the commit is unknown").because(error)
    })
}
