//! The small controllers: garbage collection, terminating namespaces, quotas, volume claims and
//! autoscalers' bounds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{condition, pods};
use crate::server::api::{Api, Deletion, scale_of};
use crate::server::managed::Writer;
use crate::server::resource::{Resource, by_kind};
use crate::server::store;

pub(crate) fn sync(api: &mut Api) {
    garbage(api);
    namespaces(api);
    quotas(api);
    autoscalers(api);
}

/// Deletes objects whose owner is gone; a foreground deletion waits for the dependents.
fn garbage(api: &mut Api) {
    let names: Vec<String> = api
        .store
        .list(by_kind("Namespace"), None)
        .map(|namespace| store::identity(namespace).1)
        .collect();
    for namespace in names {
        let all = api.store.in_namespace(&namespace);
        let alive: Vec<Value> =
            all.iter().map(|(_, object)| object["metadata"]["uid"].clone()).collect();
        let foreground: Vec<Value> = all
            .iter()
            .filter(|(_, object)| {
                object["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|name| name == "foregroundDeletion"))
            })
            .map(|(_, object)| object["metadata"]["uid"].clone())
            .collect();
        let mut waited = Vec::new();
        for (resource, object) in &all {
            let Some(owners) = object["metadata"]["ownerReferences"].as_array() else { continue };
            let orphaned = !owners.is_empty()
                && owners.iter().all(|owner| {
                    !alive.contains(&owner["uid"]) || foreground.contains(&owner["uid"])
                });
            for owner in owners {
                waited.push(owner["uid"].clone());
            }
            if orphaned && !pods::leaving(object) {
                let (namespace, name) = store::identity(object);
                let _gone = api.delete(resource, &namespace, &name, &Deletion::default());
            }
        }
        for (resource, object) in &all {
            let uid = &object["metadata"]["uid"];
            if foreground.contains(uid) && !waited.contains(uid) {
                let (namespace, name) = store::identity(object);
                api.store.remove(resource, &namespace, &name);
            }
        }
    }
}

fn namespaces(api: &mut Api) {
    let leaving: Vec<String> = api
        .store
        .list(by_kind("Namespace"), None)
        .filter(|namespace| pods::leaving(namespace))
        .map(|namespace| store::identity(namespace).1)
        .collect();
    for namespace in leaving {
        let held = api.store.in_namespace(&namespace);
        if held.is_empty() {
            api.store.remove(by_kind("Namespace"), "", &namespace);
        }
        report(api, &namespace, &held);
        for (resource, object) in held {
            if !pods::leaving(&object) {
                let (namespace, name) = store::identity(&object);
                let _gone = api.delete(resource, &namespace, &name, &Deletion::default());
            }
        }
    }
}

/// What a namespace that is being deleted still waits for.
fn report(api: &mut Api, namespace: &str, held: &[(&'static Resource, Value)]) {
    let Some(live) = api.store.get(by_kind("Namespace"), "", namespace).cloned() else { return };
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for (resource, object) in held {
        *kinds.entry(format!("{}.{}", resource.plural, resource.group)).or_default() += 1;
        for name in object["metadata"]["finalizers"].as_array().into_iter().flatten() {
            *finalizers.entry(name.as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    let told = |counts: &BTreeMap<String, usize>, has: &str| {
        let each = counts.iter().map(|(name, count)| format!("{name} {has} {count}"));
        each.map(|one| format!("{one} resource instances")).collect::<Vec<_>>().join(", ")
    };
    let mut status = live["status"].clone();
    let content = format!("Some resources are remaining: {}", told(&kinds, "has"));
    let kind = "NamespaceContentRemaining";
    condition::set(&mut status, kind, !kinds.is_empty(), "SomeResourcesRemain", &content, false);
    let content = format!(
        "Some content in the namespace has finalizers remaining: {}",
        told(&finalizers, "in")
    );
    let kind = "NamespaceFinalizersRemaining";
    let some = !finalizers.is_empty();
    condition::set(&mut status, kind, some, "SomeFinalizersRemain", &content, false);
    pods::write_status(api, "Namespace", &live, status, "kube-controller-manager");
}

fn quotas(api: &mut Api) {
    let all: Vec<Value> = api.store.list(by_kind("ResourceQuota"), None).cloned().collect();
    for quota in all {
        let (namespace, _) = store::identity(&quota);
        let used =
            api.store.list(by_kind("Pod"), Some(&namespace)).filter(|p| pods::active(p)).count();
        let status = json!({"hard": quota["spec"]["hard"], "used": {"pods": used.to_string()}});
        pods::write_status(api, "ResourceQuota", &quota, status, "kube-controller-manager");
    }
}

/// Without metrics, an autoscaler still enforces its bounds.
fn autoscalers(api: &mut Api) {
    let all: Vec<Value> =
        api.store.list(by_kind("HorizontalPodAutoscaler"), None).cloned().collect();
    for scaler in all {
        let (namespace, _) = store::identity(&scaler);
        let about = &scaler["spec"]["scaleTargetRef"];
        if !matches!(about["kind"].as_str(), Some("Deployment" | "StatefulSet")) {
            continue;
        }
        let resource = by_kind(about["kind"].as_str().unwrap_or_default());
        let name = about["name"].as_str().unwrap_or_default();
        let Some(target) = api.store.get(resource, &namespace, name).cloned() else { continue };
        let now = target["spec"]["replicas"].as_i64().unwrap_or(1);
        let least = scaler["spec"]["minReplicas"].as_i64().unwrap_or(1);
        let most = scaler["spec"]["maxReplicas"].as_i64().unwrap_or(i64::MAX);
        let wanted = now.clamp(least, most);
        if now != 0 && wanted != now {
            let mut scale = scale_of(&target);
            scale["spec"]["replicas"] = json!(wanted);
            let writer = Writer {
                subresource: "scale".to_owned(),
                ..Writer::named("kube-controller-manager")
            };
            let strictness = crate::server::api::Strictness::Ignore;
            let _refused = api.update(resource, &namespace, name, &scale, &writer, strictness);
        }
    }
}
