//! What a workload reads besides its image: a change of it must roll the pods, and a rollback
//! must bring it back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Manifest;
use super::object::mapping;

/// The annotation on a pods' template.
pub(crate) const CHECKSUM: &str = "greenloop.dev/config-checksum";

/// What is configuration: a kind and a name in the workload's own namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source<'a> {
    ConfigMap(&'a str),
    Secret(&'a str),
}

/// Sets the checksum of the ConfigMaps and Secrets among `objects` on the template of every
/// workload that refers to them. Objects must be in their namespaces.
pub(crate) fn mark(objects: &mut [Manifest]) {
    let hashes = hashes(objects);
    for object in objects {
        // A Job's template cannot be changed; its configuration is read once.
        if object.kind() == "Job" {
            continue;
        }
        let namespace = object.namespace().unwrap_or_default().to_owned();
        let Some(template) = object.template_mut() else { continue };
        let mut digest = Sha256::new();
        let mut any = false;
        for source in references(template) {
            let (kind, name) = match source {
                Source::ConfigMap(name) => ("ConfigMap", name),
                Source::Secret(name) => ("Secret", name),
            };
            let key = (namespace.clone(), kind.to_owned(), name.to_owned());
            if let Some(hash) = hashes.get(&key) {
                digest.update(format!("{kind}/{name}={hash}\n"));
                any = true;
            }
        }
        if any {
            let sum = hex(&digest.finalize());
            if let Some(annotations) = mapping(template, "/metadata/annotations") {
                annotations.insert(CHECKSUM.to_owned(), Value::from(sum));
            }
        }
    }
}

/// `configmap/web` with the hash of its content, for the record of a release.
pub(crate) fn config_hashes(objects: &[Manifest]) -> BTreeMap<String, String> {
    let hashes = hashes(objects);
    let lower = |kind: &str| kind.to_lowercase();
    hashes
        .into_iter()
        .map(|((namespace, kind, name), hash)| {
            (format!("{namespace}/{}/{name}", lower(&kind)), hash)
        })
        .collect()
}

/// By namespace, kind and name.
fn hashes(objects: &[Manifest]) -> BTreeMap<(String, String, String), String> {
    let config = objects
        .iter()
        .filter(|o| o.group().is_empty() && matches!(o.kind(), "ConfigMap" | "Secret"));
    config
        .map(|object| {
            let namespace = object.namespace().unwrap_or_default().to_owned();
            (
                (namespace, object.kind().to_owned(), object.name().to_owned()),
                content_hash(object.value()),
            )
        })
        .collect()
}

/// Of what pods can read, whatever order the keys stand in.
fn content_hash(object: &Value) -> String {
    let mut digest = Sha256::new();
    for field in ["data", "binaryData", "stringData"] {
        let sorted: BTreeMap<&String, &Value> =
            object.get(field).and_then(Value::as_object).into_iter().flatten().collect();
        for (key, value) in sorted {
            let value = value.to_string();
            digest.update(format!("{field} {} {key} {} {value}\n", key.len(), value.len()));
        }
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Everything a template's pods read from: `env`, `envFrom`, volumes, projected volumes.
fn references(template: &Value) -> BTreeSet<Source<'_>> {
    let mut found = BTreeSet::new();
    let pod = template.get("spec");
    for key in ["containers", "initContainers"] {
        for container in items(pod, key) {
            for variable in items(Some(container), "env") {
                let from = variable.get("valueFrom");
                named(from, "configMapKeyRef", "name", Source::ConfigMap, &mut found);
                named(from, "secretKeyRef", "name", Source::Secret, &mut found);
            }
            for from in items(Some(container), "envFrom") {
                named(Some(from), "configMapRef", "name", Source::ConfigMap, &mut found);
                named(Some(from), "secretRef", "name", Source::Secret, &mut found);
            }
        }
    }
    for volume in items(pod, "volumes") {
        named(Some(volume), "configMap", "name", Source::ConfigMap, &mut found);
        named(Some(volume), "secret", "secretName", Source::Secret, &mut found);
        for source in items(volume.get("projected"), "sources") {
            named(Some(source), "configMap", "name", Source::ConfigMap, &mut found);
            named(Some(source), "secret", "name", Source::Secret, &mut found);
        }
    }
    found
}

fn items<'a>(value: Option<&'a Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    value.and_then(|value| value.get(key)).and_then(Value::as_array).into_iter().flatten()
}

fn named<'a>(
    value: Option<&'a Value>,
    key: &str,
    name: &str,
    source: fn(&'a str) -> Source<'a>,
    found: &mut BTreeSet<Source<'a>>,
) {
    let reference = value.and_then(|value| value.get(key)).and_then(|value| value.get(name));
    found.extend(reference.and_then(Value::as_str).map(source));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Origin;
    use super::*;

    fn object(value: Value) -> Manifest {
        Manifest::new(value, Origin { file: "a.yaml".to_owned(), line: None }).unwrap()
    }

    fn config(kind: &str, name: &str, data: Value) -> Manifest {
        object(json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": "shop"}, "data": data}))
    }

    fn deployment(pod: Value) -> Manifest {
        object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": pod}}}))
    }

    fn sum(objects: &[Manifest]) -> Option<String> {
        let template = objects.last()?.template()?;
        let annotation = template.get("metadata")?.get("annotations")?.get(CHECKSUM)?;
        annotation.as_str().map(str::to_owned)
    }

    fn marked(config: Manifest, pod: &Value) -> Option<String> {
        let mut objects = vec![config, deployment(pod.clone())];
        mark(&mut objects);
        sum(&objects)
    }

    #[test]
    fn every_way_of_referring_is_seen() {
        for (kind, pod) in [
            (
                "ConfigMap",
                json!({"containers": [{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]}]}),
            ),
            (
                "Secret",
                json!({"initContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}]}),
            ),
            ("ConfigMap", json!({"containers": [{"envFrom": [{"configMapRef": {"name": "x"}}]}]})),
            ("Secret", json!({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]})),
            ("ConfigMap", json!({"volumes": [{"name": "v", "configMap": {"name": "x"}}]})),
            ("Secret", json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]})),
            (
                "ConfigMap",
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}}]}),
            ),
            (
                "Secret",
                json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]}),
            ),
        ] {
            let one = marked(config(kind, "x", json!({"k": "1"})), &pod);
            assert!(one.is_some(), "{kind} {pod}");
            assert_eq!(one, marked(config(kind, "x", json!({"k": "1"})), &pod));
            assert_ne!(one, marked(config(kind, "x", json!({"k": "2"})), &pod), "{pod}");
            let other = if kind == "Secret" { "ConfigMap" } else { "Secret" };
            assert_eq!(marked(config(other, "x", json!({"k": "1"})), &pod), None, "{pod}");
            assert_eq!(marked(config(kind, "y", json!({"k": "1"})), &pod), None, "{pod}");
        }
    }

    #[test]
    fn what_nobody_reads_rolls_nothing() {
        assert_eq!(marked(config("ConfigMap", "x", json!({})), &json!({"containers": []})), None);
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_their_borders_do() {
        let pod = json!({"containers": [{"envFrom": [{"configMapRef": {"name": "x"}}]}]});
        let of = |data: Value| marked(config("ConfigMap", "x", data), &pod);
        assert_eq!(of(json!({"a": "1", "b": "2"})), of(json!({"b": "2", "a": "1"})));
        assert_ne!(of(json!({"a": "1\ndata b 2"})), of(json!({"a": "1", "b": "2"})));
    }
}
