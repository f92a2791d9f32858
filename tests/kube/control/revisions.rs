//! ControllerRevisions of StatefulSets and DaemonSets.

use serde_json::{Value, json};

use super::pods;
use crate::server::api::{Api, Strictness};
use crate::server::managed::Writer;
use crate::server::resource::by_kind;
use crate::server::store;

/// The revision of the owner's current template: created if it is new, renumbered as the newest if
/// it is an old one. Returns all names by revision number, newest last.
pub(crate) fn current(api: &mut Api, owner: &Value) -> (String, Vec<(String, Value)>) {
    let (namespace, name) = store::identity(owner);
    let template = &owner["spec"]["template"];
    let mut data = json!({"spec": {"template": template}});
    data["spec"]["template"]["$patch"] = json!("replace");
    let mut all = pods::owned(api, "ControllerRevision", owner);
    all.sort_by_key(|revision| revision["revision"].as_i64());
    let newest = all.last().and_then(|revision| revision["revision"].as_i64()).unwrap_or(0);
    let same = all.iter().find(|revision| revision["data"] == data).cloned();
    let resource = by_kind("ControllerRevision");
    let found = match same {
        Some(mut revision) => {
            if revision["revision"].as_i64() != Some(newest) {
                revision["revision"] = json!(newest + 1);
                api.store.replace(resource, revision.clone());
            }
            revision["metadata"]["name"].as_str().unwrap_or_default().to_owned()
        }
        None => {
            let hash = pods::hash(template);
            let named = format!("{name}-{hash}");
            let mut labels = template["metadata"]["labels"].clone();
            if labels.is_object() {
                let label = match owner["kind"].as_str() {
                    Some("DaemonSet") => "controller-revision-hash",
                    _ => "controller.kubernetes.io/hash",
                };
                labels[label] = json!(hash);
            }
            let revision = json!({
                "apiVersion": "apps/v1", "kind": "ControllerRevision",
                "metadata": {
                    "name": named, "namespace": namespace, "labels": labels,
                    "ownerReferences": pods::owner_reference(owner),
                },
                "data": data, "revision": newest + 1,
            });
            let writer = Writer::named("kube-controller-manager");
            let _refused = api.create(resource, &namespace, &revision, &writer, Strictness::Ignore);
            named
        }
    };
    let mut all = pods::owned(api, "ControllerRevision", owner);
    all.sort_by_key(|revision| revision["revision"].as_i64());
    let named = all
        .into_iter()
        .map(|revision| {
            let name = revision["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let mut template = revision["data"]["spec"]["template"].clone();
            if let Some(template) = template.as_object_mut() {
                template.shift_remove("$patch");
            }
            (name, template)
        })
        .collect();
    (found, named)
}
