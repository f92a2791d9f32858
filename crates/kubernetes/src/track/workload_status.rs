//! How far a workload has come: which of its pods are of the revision that this run wrote, and
//! whether all that should be there is there.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::object::{Followed, Object, job_is_complete};
use super::view::{SeenPod, View, is_terminating, owner};

/// The annotation in which a Deployment's controller counts revisions.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label that names a pod's ControllerRevision.
const REVISION_HASH: &str = "controller-revision-hash";

/// How far a workload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkloadStatus {
    /// Whether it is there: observed, updated, available, nothing old left.
    pub(super) done: bool,
    /// Pods that are updated and ready, and that should be.
    pub(super) ready: i32,
    pub(super) wanted: i32,
    /// What it waits for, in words.
    pub(super) words: String,
}

impl View {
    /// How far the workload has come.
    pub(super) fn workload_status(&self, scope: usize) -> WorkloadStatus {
        let Some(followed) = self.followed.get(scope) else { return waiting("unknown") };
        let Some(object) = &followed.object else { return waiting("not seen yet") };
        if !object.is_observed() {
            return waiting("its controller has not processed the change yet");
        }
        let ready = self.new_pods(scope).filter(|(_, seen)| is_ready(&seen.pod)).count();
        let ready = i32::try_from(ready).unwrap_or(i32::MAX);
        match object {
            Object::Deployment(object) => of_deployment(object, ready),
            Object::StatefulSet(object) => of_stateful_set(object, ready),
            Object::DaemonSet(object) => of_daemon_set(object, ready),
            Object::Job(object) => of_job(object),
        }
    }

    /// The pods of the revision that this run wrote, by uid; none that is being deleted.
    pub(super) fn new_pods(&self, scope: usize) -> impl Iterator<Item = (&String, &SeenPod)> {
        let revision = self.followed.get(scope).and_then(|followed| self.revision(followed));
        self.pods.iter().filter(move |(_, seen)| {
            let is_new = revision.as_ref().is_some_and(|revision| revision.has(&seen.pod));
            is_new && !is_terminating(&seen.pod)
        })
    }

    /// The pods of the workload that are of an earlier revision, or are going away.
    pub(super) fn other_pods(&self, scope: usize) -> impl Iterator<Item = &SeenPod> {
        let followed = self.followed.get(scope);
        let revision = followed.and_then(|followed| self.revision(followed));
        let owner_uid = followed.and_then(|followed| followed.object.as_ref()).map(Object::uid);
        self.pods.values().filter(move |seen| {
            let owner_of_pod = owner(&seen.pod.metadata);
            let set = owner_of_pod.and_then(|uid| self.replica_sets.get(uid));
            let owned = owner_uid.is_some()
                && (owner_of_pod == owner_uid
                    || set.is_some_and(|set| owner(&set.metadata) == owner_uid));
            let is_new = revision.as_ref().is_some_and(|revision| revision.has(&seen.pod));
            owned && (!is_new || is_terminating(&seen.pod))
        })
    }

    /// The uid of the Deployment's ReplicaSet of this revision.
    pub(super) fn new_replica_set(&self, followed: &Followed) -> Option<&str> {
        let Some(Object::Deployment(object)) = &followed.object else { return None };
        let revision = object.metadata.annotations.as_ref()?.get(REVISION)?;
        let owner_uid = object.metadata.uid.as_deref();
        let set = self.replica_sets.values().find(|set| {
            owner(&set.metadata) == owner_uid
                && set.metadata.annotations.as_ref().and_then(|all| all.get(REVISION))
                    == Some(revision)
        })?;
        set.metadata.uid.as_deref()
    }

    /// What the pods of the current revision are told by; `None` until the controller has seen
    /// the change, for what the status names is the revision before until then.
    fn revision(&self, followed: &Followed) -> Option<Revision> {
        let object = followed.object.as_ref().filter(|object| object.is_observed())?;
        let uid = object.uid().to_owned();
        match object {
            Object::Deployment(_) => {
                let set = self.new_replica_set(followed)?;
                Some(Revision { owner: set.to_owned(), hash: None })
            }
            Object::StatefulSet(set) => {
                let hash = set.status.as_ref()?.update_revision.clone()?;
                Some(Revision { owner: uid, hash: Some(hash) })
            }
            Object::DaemonSet(_) => {
                let newest = self
                    .revisions
                    .values()
                    .filter(|revision| owner(&revision.metadata) == Some(uid.as_str()))
                    .max_by_key(|revision| revision.revision)?;
                let hash = newest.metadata.labels.as_ref()?.get(REVISION_HASH)?.clone();
                Some(Revision { owner: uid, hash: Some(hash) })
            }
            Object::Job(_) => Some(Revision { owner: uid, hash: None }),
        }
    }
}

/// What the pods of one revision have in common.
struct Revision {
    owner: String,
    hash: Option<String>,
}

impl Revision {
    fn has(&self, pod: &Pod) -> bool {
        let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION_HASH));
        owner(&pod.metadata) == Some(self.owner.as_str())
            && (self.hash.is_none() || hash == self.hash.as_ref())
    }
}

fn waiting(words: &str) -> WorkloadStatus {
    WorkloadStatus { done: false, ready: 0, wanted: 0, words: words.to_owned() }
}

/// Whether the pod is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The words for what is still missing, or for its being done.
fn words(ready: i32, wanted: i32, missing: &[(bool, String)]) -> String {
    let counted = match wanted {
        0 => "no pods are wanted".to_owned(),
        _ => format!("{ready} of {wanted} ready"),
    };
    match missing.iter().find(|(is_missing, _)| *is_missing) {
        Some((_, what)) if ready >= wanted => format!("{counted}, {what}"),
        _ => counted,
    }
}

/// Updated = available = desired, and no old replica is left: what `kubectl rollout status`
/// asks, and that the pods themselves say so, whose restarts are counted from here on.
fn of_deployment(object: &Deployment, ready: i32) -> WorkloadStatus {
    let wanted = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = object.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or(0);
    let all = status.replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    let missing = [
        (updated < wanted, format!("{updated} of {wanted} updated")),
        (all > updated, format!("{} of an earlier revision to go", all - updated)),
        (available < wanted, format!("{available} of {wanted} available")),
        (ready < wanted, "waiting for pods to become ready".to_owned()),
    ];
    WorkloadStatus {
        done: !missing.iter().any(|(is_missing, _)| *is_missing),
        ready,
        wanted,
        words: words(ready, wanted, &missing),
    }
}

/// Pods below the partition keep their revision, and those of `OnDelete` keep it until somebody
/// deletes them: they only have to be ready.
fn of_stateful_set(object: &StatefulSet, ready: i32) -> WorkloadStatus {
    let spec = object.spec.clone().unwrap_or_default();
    let all = spec.replicas.unwrap_or(1);
    let strategy = spec.update_strategy.unwrap_or_default();
    let on_delete = strategy.type_.as_deref() == Some("OnDelete");
    let partition =
        strategy.rolling_update.and_then(|update| update.partition).unwrap_or(0).clamp(0, all);
    let wanted = if on_delete { 0 } else { all - partition };
    let status = object.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or(0);
    let all_ready = status.ready_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(all_ready);
    let missing = [
        (updated < wanted, format!("{updated} of {wanted} updated")),
        (all_ready < all, format!("{all_ready} of {all} ready in all")),
        (available < all, format!("{available} of {all} available")),
        (ready < wanted, "waiting for pods to become ready".to_owned()),
    ];
    let mut words = words(ready, wanted, &missing);
    if on_delete {
        words = format!("{all_ready} of {all} ready; pods change when they are deleted (OnDelete)");
    } else if partition > 0 {
        words.push_str(&format!("; {partition} below the partition stay as they are"));
    }
    WorkloadStatus {
        done: !missing.iter().any(|(is_missing, _)| *is_missing),
        ready,
        wanted,
        words,
    }
}

fn of_daemon_set(object: &DaemonSet, ready: i32) -> WorkloadStatus {
    let strategy = object.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let on_delete = strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete");
    let status = object.status.clone().unwrap_or_default();
    let all = status.desired_number_scheduled;
    let wanted = if on_delete { 0 } else { all };
    let updated = status.updated_number_scheduled.unwrap_or(0);
    let available = status.number_available.unwrap_or(0);
    let missing = [
        (updated < wanted, format!("{updated} of {wanted} nodes updated")),
        (available < all, format!("{available} of {all} available")),
        (ready < wanted, "waiting for pods to become ready".to_owned()),
    ];
    let mut words = words(ready, wanted, &missing);
    if on_delete {
        words = format!("{available} of {all} available; pods change when they are deleted");
    }
    WorkloadStatus {
        done: !missing.iter().any(|(is_missing, _)| *is_missing),
        ready,
        wanted,
        words,
    }
}

fn of_job(object: &Job) -> WorkloadStatus {
    let wanted = object.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(1);
    let succeeded = object.status.as_ref().and_then(|status| status.succeeded).unwrap_or(0);
    WorkloadStatus {
        done: job_is_complete(object),
        ready: succeeded,
        wanted,
        words: format!("{succeeded} of {wanted} complete"),
    }
}
