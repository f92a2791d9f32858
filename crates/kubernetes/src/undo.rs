//! Going back to a revision that the cluster itself remembers, as `kubectl rollout undo` does,
//! for workloads that Greenloop did not deploy.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::apply::{workload_kind, workload_of};
use super::cluster::Cluster;
use super::error::{KubernetesError, KubernetesErrorKind};
use super::manifest::ObjectId;
use super::manifest::labels::MANAGER;
use super::track::{Workload, WorkloadKind};

/// Where a Deployment's ReplicaSet keeps its number.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label that a Deployment's controller adds to its ReplicaSets' templates.
const HASH: &str = "pod-template-hash";
/// Tries of a compare-and-swap.
const TRIES: usize = 5;

/// A revision with its pods' template.
#[derive(Debug, Clone, PartialEq)]
struct Revision {
    number: i64,
    template: Value,
}

/// Lets a workload go back to revision `number`, or to the one before the current one for 0. The
/// workload as it is afterwards, to be followed.
///
/// # Errors
/// [`KubernetesErrorKind::Missing`] when the cluster does not remember that revision.
pub(super) async fn undo(
    cluster: &Cluster,
    id: &ObjectId,
    number: u32,
) -> Result<Workload, KubernetesError> {
    let missing = |message: String| KubernetesError::new(KubernetesErrorKind::Missing, message);
    let (Some(kind), Some(served)) =
        (workload_kind(id), cluster.kind(&id.api_version, &id.kind).await?)
    else {
        return Err(missing(format!("{id} has a kind without revisions")));
    };
    let api = cluster.api(&served, id.namespace.as_deref());
    let plain = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    for _ in 0..TRIES {
        let live = cluster.get(&served, id).await?;
        let mut live = live.ok_or_else(|| missing(format!("there is no {id}")))?;
        let mut revisions = revisions(cluster, kind, &live).await?;
        revisions.sort_by_key(|revision| revision.number);
        let template = wanted(&revisions, current(&live), number).ok_or_else(|| {
            let known: Vec<String> =
                revisions.iter().map(|revision| revision.number.to_string()).collect();
            missing(match number {
                0 => format!("{id} has no revision before the current one"),
                number => {
                    format!("{id} has no revision {number}; it has {}", known.join(", "))
                }
            })
        })?;
        let before = live.data.pointer("/spec/template").cloned();
        let paused = live.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
        let spec = live.data.get_mut("spec").and_then(Value::as_object_mut);
        let Some(spec) = spec else { return Err(missing(format!("{id} has no spec"))) };
        spec.insert("template".to_owned(), template);
        if paused {
            spec.insert("paused".to_owned(), false.into());
        }
        live.metadata.managed_fields = None;
        match cluster.write(|| api.replace(&id.name, &plain, &live)).await {
            Ok(after) => {
                let changed = after.data.pointer("/spec/template") != before.as_ref();
                return Ok(workload_of(kind, &after, changed));
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                return Err(KubernetesError::of(&format!("roll back {id}"), error));
            }
        }
    }
    let message = format!("could not roll back {id}: another client keeps changing it");
    Err(KubernetesError::new(KubernetesErrorKind::Conflict, message))
}

/// The template of revision `number`; for 0 of the newest that is not `current`.
fn wanted(revisions: &[Revision], current: Option<i64>, number: u32) -> Option<Value> {
    let found = match number {
        0 => {
            let now = current.or_else(|| revisions.last().map(|revision| revision.number))?;
            revisions.iter().rev().find(|revision| revision.number < now)
        }
        number => revisions.iter().find(|revision| revision.number == i64::from(number)),
    };
    found.map(|revision| revision.template.clone())
}

/// The number that the controller has given to what is now, where it says one.
fn current(live: &DynamicObject) -> Option<i64> {
    live.annotations().get(REVISION)?.parse().ok()
}

fn is_owned(owners: Option<&Vec<OwnerReference>>, uid: &str) -> bool {
    owners.into_iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

async fn revisions(
    cluster: &Cluster,
    kind: WorkloadKind,
    live: &DynamicObject,
) -> Result<Vec<Revision>, KubernetesError> {
    let namespace = live.metadata.namespace.clone().unwrap_or_default();
    let uid = live.metadata.uid.clone().unwrap_or_default();
    let all = ListParams::default();
    match kind {
        WorkloadKind::Deployment => {
            let api: Api<ReplicaSet> = Api::namespaced(cluster.client().clone(), &namespace);
            let listed = cluster.ask(|| api.list(&all)).await;
            let listed = listed
                .map_err(|e| KubernetesError::of(&format!("list replicasets in {namespace}"), e))?;
            let own = listed
                .items
                .into_iter()
                .filter(|set| is_owned(set.metadata.owner_references.as_ref(), &uid));
            Ok(own
                .filter_map(|set| {
                    let number = set.annotations().get(REVISION)?.parse().ok()?;
                    let mut template = serde_json::to_value(set.spec?.template?).ok()?;
                    if let Some(labels) =
                        template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)
                    {
                        labels.remove(HASH);
                    }
                    Some(Revision { number, template })
                })
                .collect())
        }
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            let api: Api<ControllerRevision> =
                Api::namespaced(cluster.client().clone(), &namespace);
            let listed = cluster.ask(|| api.list(&all)).await;
            let listed = listed.map_err(|e| {
                KubernetesError::of(&format!("list controllerrevisions in {namespace}"), e)
            })?;
            let own = listed
                .items
                .into_iter()
                .filter(|revision| is_owned(revision.metadata.owner_references.as_ref(), &uid));
            Ok(own
                .filter_map(|revision| {
                    let mut template = revision.data?.0.pointer("/spec/template")?.clone();
                    // The data is a patch; this word is part of it, not of the template.
                    if let Some(fields) = template.as_object_mut() {
                        fields.remove("$patch");
                    }
                    Some(Revision { number: revision.revision, template })
                })
                .collect())
        }
        // A Job is done once; there is nothing to go back to.
        WorkloadKind::Job => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn revisions_are_chosen_as_kubectl_does() {
        let revisions: Vec<Revision> = [1, 3, 4]
            .into_iter()
            .map(|number| Revision { number, template: json!(number) })
            .collect();
        for (current, number, expect) in [
            (Some(4), 0, Some(json!(3))),
            (Some(3), 0, Some(json!(1))),
            (Some(1), 0, None),
            (None, 0, Some(json!(3))),
            (Some(4), 1, Some(json!(1))),
            (Some(4), 2, None),
        ] {
            assert_eq!(wanted(&revisions, current, number), expect, "{current:?} {number}");
        }
        assert_eq!(wanted(&[], None, 0), None);
    }
}
