//! What serves, and what has become of it since.

use kube::api::DynamicObject;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, Ownership, Write};
use super::difference;
use super::error::{KubernetesError, KubernetesErrorKind};
use super::manifest::Manifest;
use super::manifest::settle::RELEASE;
use super::record::Record;
use super::survey::{Purpose, survey};
use super::target::KubernetesTarget;
use super::writing::workload_kind;
use crate::config::plan::Manifests;
use crate::ports::TargetStatus;

/// Places that are named for one object.
const PLACES: usize = 6;

impl KubernetesTarget {
    /// The records, and how the cluster differs from the one that serves.
    pub(super) async fn look(&self) -> Result<TargetStatus, KubernetesError> {
        if matches!(self.plan.manifests, Manifests::Files(_)) {
            // For the Secrets in them; whether they can be rendered is a rollout's business.
            let _unreadable = self.names(&CancellationToken::new()).await;
        }
        let cluster = self.cluster().await?;
        let history = self.history(&cluster).await?;
        let mut notes = Vec::new();
        let serving = history.serving();
        match serving {
            Some(record) => {
                notes.extend(self.drift(&cluster, record).await?);
                notes.extend(self.left_beside(&cluster, &history, record).await?);
            }
            None => notes.push("nothing that Greenloop released is serving".to_owned()),
        }
        notes.extend(history.unreadable.iter().cloned());
        notes.extend(self.known_secrets().note());
        Ok(TargetStatus {
            serving: serving.map(|record| (record.release.clone(), self.endpoint())),
            releases: history.records.iter().map(|record| record.release.clone()).collect(),
            notes: notes.into_iter().map(|note| self.redacted(&note)).collect(),
        })
    }

    /// In words, what differs from the record.
    async fn drift(
        &self,
        cluster: &Cluster,
        record: &Record,
    ) -> Result<Vec<String>, KubernetesError> {
        let objects: Vec<Manifest> = Self::recorded(&record.content.objects, record.id())
            .into_iter()
            .filter(|object| object.kind() != "Job")
            .collect();
        self.learn(cluster, &objects).await?;
        let mut notes = Vec::new();
        for step in survey(cluster, objects, Purpose::Restore).await? {
            let id = step.object.id();
            let Some(live) = &step.live else {
                notes.push(format!("{id} is gone"));
                continue;
            };
            notes.extend(standing(&step.object, live));
            let release = live.metadata.annotations.as_ref().and_then(|a| a.get(RELEASE));
            if let Some(other) = release.filter(|other| **other != record.id().to_string()) {
                notes.push(format!("{id} is of release {other}"));
            }
            let Some(kind) = &step.kind else { continue };
            // The API server itself says what laying the release down again would change.
            let tried = cluster.apply(kind, &step.object, Write::Dry, Ownership::Taken).await;
            match tried {
                Ok(after) => notes.extend(changes(&step.object, live, &after)),
                Err(super::cluster::Unapplied::Failed(error))
                    if error.kind == KubernetesErrorKind::Unreachable =>
                {
                    return Err(error);
                }
                Err(_) => notes.push(format!("{id} cannot be compared with its release")),
            }
        }
        Ok(notes)
    }
}

/// `deployment/web was changed since: spec.template…[web].image (kubectl-edit)`
fn changes(object: &Manifest, live: &DynamicObject, after: &DynamicObject) -> Option<String> {
    let value = |object: &DynamicObject| serde_json::to_value(object).ok();
    let places = difference::paths(&value(live)?, &value(after)?, PLACES);
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
        .filter(|manager| *manager != super::manifest::settle::MANAGER)
        .collect();
    writers.sort_unstable();
    writers.dedup();
    let who = match writers.as_slice() {
        [] => String::new(),
        writers => format!(" (written by {})", writers.join(", ")),
    };
    Some(format!("{} was changed since: {}{who}", object.id(), places.join(", ")))
}

/// How many pods of a workload are not what they should be.
fn standing(object: &Manifest, live: &DynamicObject) -> Option<String> {
    workload_kind(&object.id())?;
    let number = |pointer: &str| live.data.pointer(pointer).and_then(Value::as_i64);
    let (wanted, ready) = match object.kind() {
        "DaemonSet" => (
            number("/status/desiredNumberScheduled").unwrap_or(0),
            number("/status/numberReady").unwrap_or(0),
        ),
        _ => (number("/spec/replicas").unwrap_or(1), number("/status/readyReplicas").unwrap_or(0)),
    };
    if live.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Some(format!("{} is paused", object.id()));
    }
    (ready < wanted).then(|| format!("{}: {ready} of {wanted} pods are ready", object.id()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::manifest::Origin;
    use super::*;

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
                "deployment/web was changed since: spec.template.spec.containers[web].image \
                 (written by kubectl-edit)"
                    .to_owned()
            )
        );
        assert_eq!(changes(&object, &live(of("a")), &live(of("a"))), None);
        assert_eq!(
            standing(&object, &live(of("a"))),
            Some("deployment/web: 1 of 3 pods are ready".to_owned())
        );
    }
}
