//! What serves, and what has become of it since.

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::DynamicObject;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use crate::apply::workload_kind;
use crate::cluster::{ApplyError, Cluster, Ownership, WriteMode};
use crate::diff;
use crate::dry_run::{NamespaceState, PlannedObject, Purpose, dry_run, namespace_state};
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::manifest::labels::RELEASE;
use crate::manifest::{Manifest, ObjectId};
use crate::record::Record;
use crate::track;
use greenloop_config::plan::Manifests;
use greenloop_model::Condition;
use greenloop_ports::TargetStatus;

/// Places that are named for one object.
const PLACES: usize = 6;
/// Objects that are looked at at the same time.
const AT_ONCE: usize = 6;

/// What one object says.
#[derive(Default)]
struct ObjectStatus {
    notes: Vec<String>,
    /// Of a workload: how it is.
    workload: Option<Condition>,
}

impl KubernetesTarget {
    /// The records, and how the cluster differs from the one that serves.
    pub(super) async fn read_status(&self) -> Result<TargetStatus, KubernetesError> {
        if matches!(self.plan.manifests, Manifests::Files(_)) {
            // For the Secrets in them; whether they can be rendered is a rollout's business.
            let _unreadable = self.render_names(&CancellationToken::new()).await;
        }
        let cluster = self.cluster().await?;
        let history = self.history(&cluster).await?;
        self.refuse_history_of_others(&cluster, &history).await?;
        let mut notes = Vec::new();
        let mut condition = Condition::default();
        let serving = history.serving();
        let namespace = namespace_state(&cluster, &self.plan.namespace).await?;
        match serving {
            Some(record) => {
                let seen = self.drift(&cluster, record).await?;
                condition = conclude(&seen);
                if let NamespaceState::Ending(error) = namespace {
                    notes.extend(error.notes);
                    condition = match condition {
                        Condition::Down(why) => {
                            Condition::Down(format!("{}; {why}", error.message))
                        }
                        Condition::Serves | Condition::Partly(_) | Condition::Unknown(_) => {
                            Condition::Partly(error.message)
                        }
                    };
                }
                notes.extend(seen.into_iter().flat_map(|seen| seen.notes));
                if condition != Condition::Serves {
                    notes.extend(self.unready_pods(&cluster, record).await?);
                }
                notes.extend(self.left_beside(&cluster, &history, record).await?);
            }
            None => {
                let stopped = history.records.iter().filter_map(|record| record.stopped).max();
                notes.push(match stopped {
                    Some(at) => format!(
                        "stopped by `greenloop stop` on {}",
                        at.strftime("%Y-%m-%d %H:%M:%SZ")
                    ),
                    None => "no release of Greenloop is serving".to_owned(),
                });
                if let NamespaceState::Ending(error) = namespace {
                    notes.push(error.message);
                    notes.extend(error.notes);
                }
            }
        }
        notes.extend(history.unreadable.iter().cloned());
        notes.extend(self.known_secrets().note());
        Ok(TargetStatus {
            serving: serving.map(|record| (record.release.clone(), self.endpoint())),
            condition: condition.map(|reason| self.redacted(&reason)),
            releases: history.records.iter().map(|record| record.release.clone()).collect(),
            notes: notes.into_iter().map(|note| self.redacted(&note)).collect(),
        })
    }

    /// What keeps the pods of the record's workloads from being ready, as far as that may be seen.
    async fn unready_pods(
        &self,
        cluster: &Cluster,
        record: &Record,
    ) -> Result<Vec<String>, KubernetesError> {
        let ids: Vec<ObjectId> = record.objects().iter().map(Manifest::id).collect();
        let ids: Vec<ObjectId> = ids.into_iter().filter(|id| id.kind != "Job").collect();
        let workloads = self.workloads(cluster, &ids).await?;
        let told = track::unready_pods(cluster.client(), &workloads).await;
        Ok(told.unwrap_or_else(|error| vec![error.message]))
    }

    /// What the cluster has of each object of the record.
    async fn drift(
        &self,
        cluster: &Cluster,
        record: &Record,
    ) -> Result<Vec<ObjectStatus>, KubernetesError> {
        let objects: Vec<Manifest> =
            record.objects().into_iter().filter(|object| object.kind() != "Job").collect();
        self.learn(cluster, &objects).await?;
        let steps = dry_run(cluster, objects, Purpose::Restore).await?;
        let looks = steps.into_iter().map(|step| compare(cluster, record, step));
        futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await
    }
}

async fn compare(
    cluster: &Cluster,
    record: &Record,
    step: PlannedObject,
) -> Result<ObjectStatus, KubernetesError> {
    let id = step.object.id();
    let is_workload = workload_kind(&id).is_some();
    let Some(live) = &step.live else {
        let gone = format!("{id} no longer exists");
        let workload = is_workload.then(|| Condition::Down(gone.clone()));
        return Ok(ObjectStatus { notes: vec![gone], workload });
    };
    let mut seen =
        ObjectStatus { notes: Vec::new(), workload: workload_condition(&step.object, live) };
    seen.notes.extend(seen.workload.iter().filter_map(Condition::reason).map(str::to_owned));
    let release = live.metadata.annotations.as_ref().and_then(|a| a.get(RELEASE));
    if let Some(other) = release.filter(|other| **other != record.id().to_string()) {
        let told = format!("{id} is of release {other}");
        seen.notes.push(told.clone());
        // Its pods may serve all the same.
        seen.workload = seen.workload.take().map(|condition| match condition {
            Condition::Down(pods) => Condition::Down(format!("{told}; {pods}")),
            Condition::Partly(pods) => Condition::Partly(format!("{told}; {pods}")),
            Condition::Serves | Condition::Unknown(_) => Condition::Partly(told),
        });
    }
    let Some(kind) = &step.kind else { return Ok(seen) };
    // The API server itself says what laying the release down again would change.
    match cluster.apply(kind, &step.object, WriteMode::Dry, Ownership::Taken).await {
        Ok(after) => {
            if let Some(changed) = changes(&step.object, live, &after) {
                if seen.workload == Some(Condition::Serves) {
                    seen.workload = Some(Condition::Partly(changed.clone()));
                }
                seen.notes.push(changed);
            }
        }
        Err(ApplyError::Failed(error)) if error.kind == KubernetesErrorKind::Unreachable => {
            return Err(error);
        }
        Err(_) => seen.notes.push(format!("could not compare {id} with its release")),
    }
    Ok(seen)
}

/// The workloads' conditions in one: down when all are, or when there is no workload and every
/// object is gone.
fn conclude(seen: &[ObjectStatus]) -> Condition {
    let workloads: Vec<&Condition> =
        seen.iter().filter_map(|seen| seen.workload.as_ref()).collect();
    let reasons: Vec<&str> = workloads.iter().filter_map(|workload| workload.reason()).collect();
    if reasons.is_empty() {
        return Condition::Serves;
    }
    let told = reasons.join("; ");
    match workloads.iter().all(|workload| matches!(workload, Condition::Down(_))) {
        true => Condition::Down(told),
        false => Condition::Partly(told),
    }
}

/// `deployment/web has been changed since: spec.template…[web].image (kubectl-edit)`
fn changes(object: &Manifest, live: &DynamicObject, after: &DynamicObject) -> Option<String> {
    let value = |object: &DynamicObject| serde_json::to_value(object).ok();
    let places = diff::paths(&value(live)?, &value(after)?, PLACES);
    if places.is_empty() {
        return None;
    }
    let mut writers: Vec<&str> = live
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .filter_map(|entry| entry.manager.as_deref())
        .filter(|manager| *manager != crate::manifest::labels::MANAGER)
        .collect();
    writers.sort_unstable();
    writers.dedup();
    let who = match writers.as_slice() {
        [] => String::new(),
        writers => format!(" (written by {})", writers.join(", ")),
    };
    Some(format!("{} has been changed since: {}{who}", object.id(), places.join(", ")))
}

/// How a workload is, by its own status; `None` for what is none.
fn workload_condition(object: &Manifest, live: &DynamicObject) -> Option<Condition> {
    workload_kind(&object.id())?;
    let number = |pointer: &str| live.data.pointer(pointer).and_then(Value::as_i64);
    let (wanted, ready) = match object.kind() {
        "DaemonSet" => (
            number("/status/desiredNumberScheduled").unwrap_or(0),
            number("/status/numberReady").unwrap_or(0),
        ),
        _ => (number("/spec/replicas").unwrap_or(1), number("/status/readyReplicas").unwrap_or(0)),
    };
    let id = object.id();
    let pods = format!("{id}: {ready} of {wanted} pods are ready");
    Some(if ready < wanted && ready == 0 {
        Condition::Down(pods)
    } else if ready < wanted {
        Condition::Partly(pods)
    } else if live.metadata.deletion_timestamp.is_some() {
        Condition::Partly(format!("{id} is being deleted"))
    } else if wanted == 0 && object.kind() != "DaemonSet" {
        Condition::Down(format!("{id} is scaled to 0"))
    } else if live.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        Condition::Partly(format!("{id} is paused"))
    } else {
        Condition::Serves
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn live(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn changes_and_missing_pods_are_said_in_words() {
        let of = |image: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "resourceVersion": "7", "managedFields": [
                    {"manager": "kubectl-edit"}, {"manager": "greenloop"}]},
                "spec": {"replicas": 3, "template": {"spec": {"containers": [
                    {"name": "web", "image": image}]}}},
                "status": {"readyReplicas": 1}})
        };
        let origin = Origin { file: "release".to_owned(), line: None };
        let object = Manifest::new(of("a"), origin).unwrap();
        assert_eq!(
            changes(&object, &live(of("b")), &live(of("a"))),
            Some(
                "deployment/web has been changed since: spec.template.spec.containers[web].image \
                 (written by kubectl-edit)"
                    .to_owned()
            )
        );
        assert_eq!(changes(&object, &live(of("a")), &live(of("a"))), None);
        assert_eq!(
            workload_condition(&object, &live(of("a"))),
            Some(Condition::Partly("deployment/web: 1 of 3 pods are ready".to_owned()))
        );
    }
}
