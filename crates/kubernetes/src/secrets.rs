//! What the redactor must know before anything of a release is tried, written or shown: the
//! values in its Secrets, in the manifests and in records, and of those in the cluster that it
//! names or that its pods read.
//!
//! A Secret that may not be read (403) is told of once, and nothing fails: its values cannot be
//! known, so that a container that prints them has them in its log.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use serde_json::Value;

use super::record;
use greenloop_evidence::{Redactor, SecretValue, sensitive_parts};

/// Secrets that are read at the same time.
pub(super) const AT_ONCE: usize = 8;
/// How long a pod's Secrets may take: its log may be gone soon.
const ANSWER: Duration = Duration::from_secs(2);
/// Secrets of the cluster that one release names, at most.
pub(super) const MOST: usize = 500;

/// A Secret by its namespace and name.
pub(super) type Name = (String, String);

/// What has been asked of the cluster.
#[derive(Debug, Default)]
pub(super) struct KnownSecrets {
    pub(super) read: Mutex<BTreeSet<Name>>,
    /// Secrets that may not be read.
    pub(super) refused: Mutex<BTreeSet<Name>>,
}

impl KnownSecrets {
    /// One sentence about the Secrets that may not be read; `None` when there are none.
    pub(super) fn note(&self) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_empty() {
            return None;
        }
        let names: Vec<String> =
            refused.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
        Some(format!(
            "no permission to read Secrets ({}): their values are unknown and cannot be redacted \
             in logs; grant `get` on `secrets` there",
            names.join(", ")
        ))
    }
}

/// Learns the Secrets that a pod reads, before its log is read: they may have come after the
/// release. What cannot be read stays unknown.
pub(super) async fn of_pod(client: &Client, pod: &Pod, redactor: &Redactor) {
    let Ok(value) = serde_json::to_value(pod) else { return };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut wanted = BTreeSet::new();
    references(&value, namespace, &mut wanted);
    let read = wanted.into_iter().take(MOST).map(|(namespace, name)| async move {
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        api.get_opt(&name).await.ok().flatten()
    });
    let read = futures::stream::iter(read).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let read: Vec<Option<Secret>> = tokio::time::timeout(ANSWER, read).await.unwrap_or_default();
    let mut public = BTreeSet::from([namespace]);
    containers(&value, &mut public);
    public.extend(pod.metadata.labels.iter().flatten().map(|(_, label)| label.as_str()));
    let parts: Vec<String> = read.iter().flatten().flat_map(kept).collect();
    redactor.learn(parts.into_iter().filter(|part| !public.contains(part.as_str())));
}

pub(super) fn is_secret(object: &Value) -> bool {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    text("kind") == Some("Secret") && text("apiVersion") == Some("v1")
}

/// The values in an object that is a Secret.
pub(super) fn written(object: &Value) -> Vec<String> {
    if !is_secret(object) || object.get("type").and_then(Value::as_str) == Some(record::TYPE) {
        return Vec::new();
    }
    let fields = |field: &str| object.get(field).and_then(Value::as_object).into_iter().flatten();
    let mut parts = Vec::new();
    for (key, value) in fields("data") {
        let Some(encoded) = value.as_str() else { continue };
        let compact: String = encoded.split_whitespace().collect();
        // What is no base64 the API server refuses; what was meant is a secret all the same.
        let bytes = STANDARD.decode(&compact).unwrap_or_else(|_| encoded.as_bytes().to_vec());
        parts.extend(sensitive_parts(SecretValue { key, bytes: &bytes }));
    }
    for (key, value) in fields("stringData") {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parts.extend(sensitive_parts(SecretValue { key, bytes: text.as_bytes() }));
    }
    parts
}

/// The values in a Secret of the cluster.
pub(super) fn kept(secret: &Secret) -> Vec<String> {
    if secret.type_.as_deref() == Some(record::TYPE) {
        return Vec::new();
    }
    let data = secret.data.iter().flatten();
    data.flat_map(|(key, value)| sensitive_parts(SecretValue { key, bytes: &value.0 })).collect()
}

/// The Secrets that an object names, wherever it does: `secretKeyRef`, `envFrom`, volumes,
/// projected volumes, `imagePullSecrets`, an Ingress's `secretName`, and what follows the same
/// forms in kinds that a cluster has besides.
pub(super) fn references(value: &Value, namespace: &str, found: &mut BTreeSet<Name>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let mut add = |name: Option<&Value>, of: Option<&Value>| {
                    if let Some(name) = name.and_then(Value::as_str).filter(|n| !n.is_empty()) {
                        let namespace = of.and_then(Value::as_str).unwrap_or(namespace);
                        found.insert((namespace.to_owned(), name.to_owned()));
                    }
                };
                let lower = key.to_ascii_lowercase();
                match lower.as_str() {
                    "secretname" => add(Some(inner), fields.get("secretNamespace")),
                    "imagepullsecrets" | "secrets" => {
                        for one in inner.as_array().into_iter().flatten() {
                            add(one.get("name"), one.get("namespace"));
                        }
                    }
                    "secret" => add(inner.get("name"), inner.get("namespace")),
                    _ if lower.ends_with("secretref") || lower.ends_with("secretkeyref") => {
                        add(inner.get("name"), inner.get("namespace"));
                    }
                    _ => {}
                }
                // Annotations and a ConfigMap's texts name nothing.
                if !matches!(key.as_str(), "managedFields" | "annotations") {
                    references(inner, namespace, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, namespace, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names of containers, anywhere in an object.
pub(super) fn containers<'a>(value: &'a Value, names: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    let all = inner.as_array().into_iter().flatten();
                    names.extend(all.filter_map(|one| one.get("name").and_then(Value::as_str)));
                }
                containers(inner, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| containers(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_of_naming_a_secret_is_seen() {
        let pod = |spec: Value| json!({"kind": "Deployment", "spec": {"template": {"spec": spec}}});
        for (object, expect) in [
            (
                pod(json!({"containers": [{"env": [{"name": "A",
                    "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}]})),
                vec!["x"],
            ),
            (
                pod(json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]})),
                vec!["x"],
            ),
            (pod(json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]})), vec!["x"]),
            (
                pod(json!({"volumes": [{"name": "v",
                    "projected": {"sources": [{"secret": {"name": "x"}}, {"secret": {"name": "y"}}]}}]})),
                vec!["x", "y"],
            ),
            (
                pod(
                    json!({"volumes": [{"name": "v", "csi": {"nodePublishSecretRef": {"name": "x"}}}]}),
                ),
                vec!["x"],
            ),
            (pod(json!({"imagePullSecrets": [{"name": "x"}]})), vec!["x"]),
            (json!({"kind": "ServiceAccount", "secrets": [{"name": "x"}]}), vec!["x"]),
            (json!({"kind": "Ingress", "spec": {"tls": [{"secretName": "x"}]}}), vec!["x"]),
            (json!({"kind": "Other", "spec": {"passwordSecretKeyRef": {"name": "x"}}}), vec!["x"]),
            (json!({"kind": "ConfigMap", "data": {"secret": "none"}}), vec![]),
        ] {
            let mut found = BTreeSet::new();
            references(&object, "shop", &mut found);
            let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
            assert_eq!(names, expect, "{object}");
            assert!(found.iter().all(|(namespace, _)| namespace == "shop"));
        }
    }

    #[test]
    fn both_ways_of_writing_a_secret_are_read() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret",
            "data": {"a": "c3dhbi1sYWtl", "b": "c3dhbi1s\n  YWtlLTI=", "bad": "no base64!"},
            "stringData": {"c": "grey-heron"}});
        let parts = written(&secret);
        for part in ["swan-lake", "swan-lake-2", "no base64!", "grey-heron"] {
            assert!(parts.iter().any(|known| known == part), "{part}: {parts:?}");
        }
        assert_eq!(
            written(&json!({"apiVersion": "v1", "kind": "ConfigMap",
            "data": {"a": "swan-lake"}})),
            Vec::<String>::new()
        );
    }
}
