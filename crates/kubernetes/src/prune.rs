//! Objects that a release no longer names.
//!
//! A candidate is what an earlier record of the environment names and the release at hand does
//! not. It is removed only with `deploy.kubernetes.prune`, only once the release at hand is
//! verified, and only when all of this holds:
//!
//! - the records say that Greenloop made it, and it was not taken over by a release since;
//! - the object itself says that it is of one of these releases: the label, the annotation and a
//!   server-side apply of ours among its managed fields; nothing else owns it;
//! - removing it takes no data along that no record can bring back;
//! - it is in the environment's namespace and no record of another environment there names it:
//!   what belongs to the cluster or to another namespace may serve others;
//! - it does not bear Helm's `helm.sh/resource-policy: keep`.
//!
//! What stays is told, with the reason. A restore and a rollback bring back what was removed: the
//! record of the release that named it has it.

use kube::api::DynamicObject;
use serde_json::Value;

use super::cluster::Kind;
use super::dry_run::PlannedObject;
use super::manifest::labels::{MANAGED_BY, MANAGER, RELEASE};
use super::manifest::{Manifest, ObjectId, order};
use super::record::Record;
use super::store::History;
use greenloop_model::{ReleaseId, ReleaseState, counted};

/// Objects that are named in words.
const NAMED: usize = 20;

/// An object that is there and that the release at hand does not name.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
    pub(super) uid: Option<String>,
    /// Why it is never removed; `None` when it may be.
    pub(super) keep: Option<KeepReason>,
}

/// Helm's annotation of an object that no upgrade, rollback or removal of a release may delete.
const POLICY: &str = "helm.sh/resource-policy";

/// Why an object is never removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepReason {
    /// It belongs to the cluster or to another namespace, or another environment names it.
    Shared,
    /// Its annotation says that it is to be kept.
    Policy,
    /// It was brought by a hook of Helm's, which is for the occasion of its release only.
    Hook,
    /// It, or what goes with it, may hold data that no record has.
    HoldsData,
    /// It is not, or no longer, Greenloop's.
    Foreign,
    /// It may not be looked at.
    Unseen,
}

impl Leftover {
    /// `no longer named: configmap/old; kept: set …`
    fn in_words(&self, prune: bool) -> String {
        let id = &self.id;
        let fate = match self.keep {
            None if prune => "will be deleted once this release is verified".to_owned(),
            None => "kept: set `deploy.kubernetes.prune: true` to delete it".to_owned(),
            Some(KeepReason::HoldsData) => {
                let place = match &id.namespace {
                    Some(namespace) => format!(" --namespace {namespace}"),
                    None => String::new(),
                };
                format!("kept: it may hold data; to delete it: `kubectl delete {id}{place}`")
            }
            Some(KeepReason::Shared) => "kept: others may use it".to_owned(),
            Some(KeepReason::Policy) => format!("kept: annotation `{POLICY}`"),
            Some(KeepReason::Hook) => {
                "kept: created by a Helm hook, which an upgrade does not delete".to_owned()
            }
            Some(KeepReason::Foreign) => "kept: not created by Greenloop".to_owned(),
            Some(KeepReason::Unseen) => "kept: the account is not permitted to read it".to_owned(),
        };
        format!("no longer in the release: {id}; {fate}")
    }
}

/// One line for each, bounded.
pub(super) fn in_words(leftovers: &[Leftover], prune: bool) -> Vec<String> {
    let mut lines: Vec<String> =
        leftovers.iter().take(NAMED).map(|leftover| leftover.in_words(prune)).collect();
    if leftovers.len() > NAMED {
        let more = counted(leftovers.len() - NAMED, "more object", "more objects");
        lines.push(format!("no longer in the release: {more}"));
    }
    lines
}

/// What earlier releases brought and `named` lacks, by the records alone.
pub(super) fn candidates(history: &History, named: &[ObjectId]) -> Vec<ObjectId> {
    let mut all = Vec::new();
    for record in &history.records {
        if record.is_good() {
            let objects = record.objects();
            all.extend(objects.iter().map(Manifest::id));
            all.extend(record.content.made.iter().cloned());
        } else if record.release.state == ReleaseState::Failed {
            // What stayed of it because it may hold data.
            all.extend(record.content.created.iter().cloned());
        }
    }
    all.retain(|id| !named.contains(id));
    all.sort();
    all.dedup();
    all
}

/// What Greenloop has made, as the newest record has it. Records of an earlier version know only
/// what each of them created.
pub(super) fn made_so_far(history: &History) -> Vec<ObjectId> {
    let newest = history.records.iter().find(|record| !record.content.made.is_empty());
    match newest {
        Some(record) => record.content.made.clone(),
        None => {
            let records = history.records.iter();
            records.flat_map(|record| record.content.created.iter().cloned()).collect()
        }
    }
}

/// What Greenloop has made once a release is applied: what it made before and what this release
/// creates, without what somebody else has made again since.
pub(super) fn made(history: &History, steps: &[PlannedObject]) -> Vec<ObjectId> {
    let releases: Vec<ReleaseId> = history.records.iter().map(Record::id).collect();
    let mut made = made_so_far(history);
    for step in steps {
        let id = step.object.id();
        let foreign = step.live.as_ref().is_some_and(|live| !is_marked(live, &releases));
        if step.creates() {
            made.push(id);
        } else if foreign {
            made.retain(|other| *other != id);
        }
    }
    made.sort();
    made.dedup();
    made
}

/// Whether a live object says of itself that a release of this environment wrote it.
pub(super) fn is_marked(live: &DynamicObject, releases: &[ReleaseId]) -> bool {
    let metadata = &live.metadata;
    let of = metadata.annotations.as_ref().and_then(|annotations| annotations.get(RELEASE));
    let ours = of.is_some_and(|of| releases.iter().any(|id| id.to_string() == *of));
    let labelled = metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    let applied = metadata.managed_fields.iter().flatten().any(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    ours && applied && labelled.is_some_and(|by| by == MANAGER)
}

/// Whether removing it may take data along: nothing of Greenloop's removes such an object.
pub(super) fn holds_data(id: &ObjectId, live: &DynamicObject) -> bool {
    let claims = live.data.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    order::holds_data(id.group(), &id.kind)
        || claims.is_some_and(|claims| !claims.is_empty())
        // An operator does what it wants with what belongs to its objects, a database's claims
        // for instance.
        || order::is_custom(id.group())
}

pub(super) fn has(live: &DynamicObject, annotation: &str) -> bool {
    live.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(annotation))
}

/// Whether the object says that it is to be kept.
pub(super) fn is_to_be_kept(live: &DynamicObject) -> bool {
    let annotations = live.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(POLICY)).is_some_and(|policy| policy.trim() == "keep")
}

/// Objects that releases of other environments consist of; `None` when that cannot be told.
pub(super) fn named_by(others: &History) -> Option<Vec<ObjectId>> {
    let live = others.records.iter().filter(|record| record.release.state != ReleaseState::Failed);
    let named = live.flat_map(|record| {
        let objects = record.objects();
        objects.into_iter().map(|object| object.id())
    });
    others.unreadable.is_empty().then(|| named.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(api_version: &str, kind: &str) -> ObjectId {
        ObjectId {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some("shop".to_owned()),
            name: "a".to_owned(),
        }
    }

    fn live(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_may_hold_data_is_known() {
        let claims = json!([{"metadata": {"name": "data"}}]);
        for (api_version, kind, claims, expect) in [
            ("v1", "ConfigMap", json!([]), false),
            ("v1", "PersistentVolumeClaim", json!([]), true),
            ("v1", "Namespace", json!([]), true),
            ("apps/v1", "StatefulSet", json!([]), false),
            ("apps/v1", "StatefulSet", claims, true),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!([]), true),
            ("networking.k8s.io/v1", "Ingress", json!([]), false),
            ("autoscaling/v2", "HorizontalPodAutoscaler", json!([]), false),
            ("postgres.example.org/v1", "Cluster", json!([]), true),
        ] {
            let object = live(json!({"apiVersion": api_version, "kind": kind,
                "metadata": {"name": "a"}, "spec": {"volumeClaimTemplates": claims}}));
            assert_eq!(holds_data(&id(api_version, kind), &object), expect, "{api_version} {kind}");
        }
    }

    #[test]
    fn only_what_bears_every_mark_is_ours() {
        let release = ReleaseId::generate();
        let object = |by: &str, of: String, manager: &str, operation: &str| {
            live(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a",
                "labels": {MANAGED_BY: by}, "annotations": {RELEASE: of},
                "managedFields": [{"manager": manager, "operation": operation}]}}))
        };
        let own = release.to_string();
        for (object, expect) in [
            (object(MANAGER, own.clone(), MANAGER, "Apply"), true),
            (object("Helm", own.clone(), MANAGER, "Apply"), false),
            (object(MANAGER, ReleaseId::generate().to_string(), MANAGER, "Apply"), false),
            (object(MANAGER, own.clone(), "kubectl", "Apply"), false),
            (object(MANAGER, own, MANAGER, "Update"), false),
        ] {
            assert_eq!(is_marked(&object, &[release]), expect, "{object:?}");
        }
    }

    #[test]
    fn what_becomes_of_an_object_is_said() {
        let kind = Kind {
            resource: kube::discovery::ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: "ConfigMap".to_owned(),
                plural: "configmaps".to_owned(),
            },
            namespaced: true,
        };
        let of = |keep| Leftover { id: id("v1", "ConfigMap"), kind: kind.clone(), uid: None, keep };
        for (keep, prune, expect) in [
            (None, false, "set `deploy.kubernetes.prune: true` to delete it"),
            (None, true, "will be deleted once this release is verified"),
            (Some(KeepReason::Foreign), true, "not created by Greenloop"),
            (Some(KeepReason::Shared), true, "kept: others may use it"),
            (Some(KeepReason::Hook), true, "created by a Helm hook"),
            (Some(KeepReason::Policy), true, "annotation `helm.sh/resource-policy`"),
            (Some(KeepReason::HoldsData), true, "`kubectl delete configmap/a --namespace shop`"),
        ] {
            let words = in_words(&[of(keep)], prune);
            assert!(words[0].starts_with("no longer in the release: configmap/a; "), "{words:?}");
            assert!(words[0].contains(expect), "{words:?}");
        }
        assert_eq!(
            in_words(&std::iter::repeat_n(of(None), 22).collect::<Vec<_>>(), false)[20],
            "no longer in the release: 2 more objects"
        );
    }
}
