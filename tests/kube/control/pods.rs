//! Helpers of the controllers for pods.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::clock;
use super::condition;
use crate::server::api::{Api, Deletion, Strictness};
use crate::server::managed::Writer;
use crate::server::resource::by_kind;
use crate::server::status::Refusal;
use crate::server::store;

/// Since when each ready pod (by uid) has been ready.
pub(crate) type Ready = BTreeMap<String, Instant>;

/// The objects of a kind that `owner` controls, oldest first.
pub(crate) fn owned(api: &Api, kind: &str, owner: &Value) -> Vec<Value> {
    let (namespace, _) = store::identity(owner);
    let uid = &owner["metadata"]["uid"];
    let mut found: Vec<Value> = api
        .store
        .list(by_kind(kind), Some(&namespace))
        .filter(|object| {
            object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| {
                owners.iter().any(|owner| owner["uid"] == *uid && owner["controller"] == true)
            })
        })
        .cloned()
        .collect();
    found.sort_by_key(|object| {
        let version = &object["metadata"]["creationTimestamp"];
        version.as_str().unwrap_or_default().to_owned()
    });
    found
}

/// The reference by which `owner` controls another object.
pub(crate) fn owner_reference(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Whether it counts: neither finished nor terminating.
pub(crate) fn active(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) && !leaving(pod)
}

pub(crate) fn leaving(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(crate) fn ready(pod: &Value) -> bool {
    condition::holds(pod, "Ready") && !leaving(pod)
}

/// Whether it has been ready for `minReadySeconds`.
pub(crate) fn available(pod: &Value, minimum: &Value, since: &Ready) -> bool {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let minimum = clock::seconds(minimum.as_i64().unwrap_or(0));
    ready(pod) && since.get(uid).is_some_and(|since| since.elapsed() >= minimum)
}

/// Makes a pod from a template.
pub(crate) fn create(
    api: &mut Api,
    owner: &Value,
    name: Value,
    template: &Value,
    labels: &[(&str, String)],
) -> Result<Value, Refusal> {
    let (namespace, _) = store::identity(owner);
    let mut metadata = json!({
        "namespace": namespace, "labels": template["metadata"]["labels"],
        "annotations": template["metadata"]["annotations"],
        "ownerReferences": owner_reference(owner),
    });
    for (field, value) in name.as_object().into_iter().flatten() {
        metadata[field] = value.clone();
    }
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    for (label, value) in labels {
        metadata["labels"][*label] = json!(value);
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"],
    });
    let writer = Writer::named("kube-controller-manager");
    api.create(by_kind("Pod"), &namespace, &pod, &writer, Strictness::Ignore)
}

/// Deletes a pod gracefully.
pub(crate) fn delete(api: &mut Api, pod: &Value) {
    let (namespace, name) = store::identity(pod);
    let _gone = api.delete(by_kind("Pod"), &namespace, &name, &Deletion::default());
}

/// Writes an object's status when it has changed.
pub(crate) fn write_status(api: &mut Api, kind: &str, object: &Value, status: Value, by: &str) {
    let (namespace, name) = store::identity(object);
    let resource = by_kind(kind);
    let Some(live) = api.store.get(resource, &namespace, &name).cloned() else { return };
    if live["metadata"]["uid"] != object["metadata"]["uid"] || live["status"] == status {
        return;
    }
    let mut changed = live.clone();
    changed["status"] = status;
    let _refused = api.commit(resource, &live, changed, &Writer::of_status(by));
}

/// A short hash of a template, in the letters that Kubernetes uses.
pub(crate) fn hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut canonical = template.clone();
    canonical.sort_all_objects();
    let digest = blake3::hash(canonical.to_string().as_bytes());
    digest
        .as_bytes()
        .iter()
        .take(10)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}
