//! What a rollout changes, as a unified diff for people: only what somebody wrote, keys sorted,
//! no secret in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use similar::TextDiff;

use super::manifest::labels::{COMMIT, RELEASE, RUN};
use super::manifest::object::mapping;

/// Bytes of a whole diff.
const LONGEST: usize = 512 * 1024;
/// Replaces a secret's value.
const HIDDEN: &str = "(hidden)";
/// The same, where the two sides differ.
const HIDDEN_OTHER: &str = "(hidden, another value)";

/// Annotations that say who wrote, not what.
const MARKS: &[&str] = &[
    RUN,
    RELEASE,
    COMMIT,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
];
/// Metadata that the API server keeps.
const KEPT: &[&str] =
    &["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// An object as somebody wrote it: without status, bookkeeping and marks, its keys sorted.
pub(super) fn plain(object: &Value) -> Value {
    let mut object = sorted(object);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in KEPT {
            metadata.remove(*key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            for key in MARKS {
                annotations.remove(*key);
            }
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// What of an object somebody has written, as its managed fields say: what the API server gives it
/// besides, such as a Service's `clusterIP` or a default, is nobody's. An object without managed
/// fields is left as it is.
fn owned(object: &Value) -> Value {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let of_object = |entry: &&Value| {
        entry.get("subresource").and_then(Value::as_str).is_none_or(|part| part != "status")
    };
    let sets: Vec<&Value> = entries
        .into_iter()
        .flatten()
        .filter(of_object)
        .filter_map(|entry| entry.get("fieldsV1"))
        .collect();
    if sets.is_empty() {
        return object.clone();
    }
    let mut kept = project(object, &sets);
    // Names are in nobody's fields.
    for pointer in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        let Some(value) = object.pointer(pointer) else { continue };
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(fields) = mapping(&mut kept, parent) {
            fields.insert(key.to_owned(), value.clone());
        }
    }
    kept
}

/// The part of `value` that one of the sets of fields (`FieldsV1`) has.
fn project(value: &Value, sets: &[&Value]) -> Value {
    // A leaf: all that is below it.
    if sets.iter().any(|set| set.as_object().is_none_or(Map::is_empty)) {
        return value.clone();
    }
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (key, inner) in fields {
                let step = format!("f:{key}");
                let below: Vec<&Value> = sets.iter().filter_map(|set| set.get(&step)).collect();
                if !below.is_empty() {
                    kept.insert(key.clone(), project(inner, &below));
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => {
            let entries = || sets.iter().filter_map(|set| set.as_object()).flatten();
            let kept = items.iter().enumerate().filter_map(|(i, item)| {
                let of_item = entries().filter(|(step, _)| is_step_to(step, i, item));
                let (steps, below): (Vec<&String>, Vec<&Value>) = of_item.unzip();
                if below.is_empty() {
                    return None;
                }
                let mut kept = project(item, &below);
                // What tells items apart stays with them.
                for key in steps.iter().filter_map(|step| step.strip_prefix("k:")) {
                    let keys = serde_json::from_str::<Map<String, Value>>(key);
                    if let (Ok(keys), Some(fields)) = (keys, kept.as_object_mut()) {
                        fields.extend(keys);
                    }
                }
                Some(kept)
            });
            Value::Array(kept.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a step of a path leads to the item: `k:{"name":"web"}`, `v:"a"`, `i:0`.
fn is_step_to(step: &str, index: usize, item: &Value) -> bool {
    match step.split_at_checked(2) {
        Some(("k:", keys)) => serde_json::from_str::<Map<String, Value>>(keys)
            .is_ok_and(|keys| keys.iter().all(|(key, value)| item.get(key) == Some(value))),
        Some(("v:", text)) => serde_json::from_str::<Value>(text).is_ok_and(|value| value == *item),
        Some(("i:", text)) => text.parse() == Ok(index),
        _ => false,
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            Value::Object(
                fields.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The diff from `before` to `after` (either may not be there), headed by `title`; empty when
/// they say the same.
pub(super) fn one(title: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    let mut before = before.map(|object| plain(&owned(object)));
    let mut after = after.map(|object| plain(&owned(object)));
    if before == after {
        return String::new();
    }
    hide(&mut before, &mut after);
    let text = |value: &Option<Value>| match value {
        Some(value) => serde_yaml::to_string(value).unwrap_or_else(|_| format!("{value:#}\n")),
        None => String::new(),
    };
    let (before_text, after_text) = (text(&before), text(&after));
    let name = |side: &str, value: &Option<Value>| match value {
        Some(_) => format!("{side}/{title}"),
        None => "/dev/null".to_owned(),
    };
    TextDiff::from_lines(&before_text, &after_text)
        .unified_diff()
        .context_radius(3)
        .header(&name("a", &before), &name("b", &after))
        .to_string()
}

/// Values of a Secret become a word; where both sides have a key with another value, the words
/// differ too.
fn hide(before: &mut Option<Value>, after: &mut Option<Value>) {
    let is_secret = |value: &Option<Value>| {
        value.as_ref().is_some_and(|v| {
            v.get("kind").and_then(Value::as_str) == Some("Secret")
                && v.get("apiVersion").and_then(Value::as_str) == Some("v1")
        })
    };
    if !is_secret(before) && !is_secret(after) {
        return;
    }
    for field in ["data", "stringData"] {
        let old = before.as_ref().and_then(|value| value.get(field)).cloned();
        let blank = |side: &mut Option<Value>, against: Option<&Value>| {
            let values =
                side.as_mut().and_then(|v| v.get_mut(field)).and_then(Value::as_object_mut);
            for (key, value) in values.into_iter().flatten() {
                let other = against.and_then(|old| old.get(key)).is_some_and(|old| old != value);
                *value = if other { HIDDEN_OTHER } else { HIDDEN }.into();
            }
        };
        blank(after, old.as_ref());
        blank(before, None);
    }
}

/// Several diffs as one, bounded.
pub(super) fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let mut whole = String::new();
    let mut left_out = 0usize;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if whole.len() + part.len() > LONGEST {
            left_out += 1;
        } else {
            whole.push_str(&part);
        }
    }
    if left_out > 0 {
        let more = greenloop_model::counted(left_out, "more object", "more objects");
        whole.push_str(&format!("# {more} with changes, not shown\n"));
    }
    whole
}

/// Paths at which two values differ, `spec.template.spec.containers[web].image`, at most `most`.
pub(super) fn paths(before: &Value, after: &Value, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let (before, after) = (plain(&owned(before)), plain(&owned(after)));
    compare(&before, &after, &mut String::new(), &mut found, most);
    found
}

fn compare(a: &Value, b: &Value, at: &mut String, found: &mut Vec<String>, most: usize) {
    if a == b || found.len() >= most {
        return;
    }
    let length = at.len();
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for key in keys {
                if !at.is_empty() {
                    at.push('.');
                }
                at.push_str(key);
                let nothing = Value::Null;
                let side = |map: &Map<String, Value>| map.get(key).cloned();
                let (x, y) = (side(left), side(right));
                compare(
                    x.as_ref().unwrap_or(&nothing),
                    y.as_ref().unwrap_or(&nothing),
                    at,
                    found,
                    most,
                );
                at.truncate(length);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (i, (x, y)) in left.iter().zip(right).enumerate() {
                match x.get("name").and_then(Value::as_str) {
                    Some(name) => at.push_str(&format!("[{name}]")),
                    None => at.push_str(&format!("[{i}]")),
                }
                compare(x, y, at, found, most);
                at.truncate(length);
            }
        }
        _ => found.push(at.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_somebody_wrote_is_compared() {
        let live = json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"b": "1", "a": "x\ny\n"},
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "7", "managedFields": [],
                "annotations": {"greenloop.dev/run": "1"}},
            "status": {"x": 1}});
        let same = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x\ny\n", "b": "1"},
            "metadata": {"name": "a", "annotations": {"greenloop.dev/run": "2"}}});
        assert_eq!(one("configmap/a", Some(&live), Some(&same)), "");
        let mut other = same.clone();
        other["data"]["b"] = "2".into();
        let diff = one("configmap/a", Some(&live), Some(&other));
        assert!(diff.starts_with("--- a/configmap/a\n+++ b/configmap/a\n"), "{diff}");
        assert!(diff.contains("-  b: \"1\"\n+  b: \"2\"\n"), "{diff}");
        let new = one("configmap/a", None, Some(&other));
        assert!(new.starts_with("--- /dev/null\n+++ b/configmap/a\n"), "{new}");
    }

    #[test]
    fn secrets_are_hidden_and_their_change_is_not() {
        let secret = |one: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                "data": {"password": one, "other": "c2FtZQ=="}})
        };
        let diff = one("secret/s", Some(&secret("b2xk")), Some(&secret("bmV3")));
        assert!(
            !diff.contains("b2xk") && !diff.contains("bmV3") && !diff.contains("c2FtZQ"),
            "{diff}"
        );
        assert!(
            diff.contains("-  password: (hidden)\n+  password: (hidden, another value)"),
            "{diff}"
        );
        assert!(!one("secret/s", None, Some(&secret("b2xk"))).contains("b2xk"));
    }

    /// What the API server gives an object stands in no diff, whatever the field is called.
    #[test]
    fn what_nobody_wrote_is_no_difference() {
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop", "uid": "1",
                "annotations": {"a": "1", "cloud.example.org/given": "x"},
                "managedFields": [
                    {"manager": "greenloop", "operation": "Apply", "fieldsV1": {
                        "f:metadata": {"f:annotations": {"f:a": {}}},
                        "f:spec": {"f:selector": {}, "f:externalIPs": {"v:\"10.1.1.1\"": {}},
                            "f:ports": {
                                "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {},
                                    "f:targetPort": {}}}}}},
                    {"manager": "cloud", "operation": "Update", "subresource": "status",
                        "fieldsV1": {"f:spec": {"f:clusterIP": {}}}}]},
            "spec": {"clusterIP": "10.96.0.0", "clusterIPs": ["10.96.0.0"], "type": "NodePort",
                "externalIPs": ["10.1.1.1"],
                "selector": {"app": "web"}, "ports": [
                    {"port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 31000},
                    {"port": 81, "protocol": "TCP", "nodePort": 31001}]}});
        let diff = one("service/web", None, Some(&service));
        for part in ["targetPort: 8080", "app: web", "protocol: TCP", "10.1.1.1", "namespace: shop"]
        {
            assert!(diff.contains(part), "{part}: {diff}");
        }
        for part in ["clusterIP", "10.96.0.0", "nodePort", "type:", "81", "given", "managed"] {
            assert!(!diff.contains(part), "{part}: {diff}");
        }
        let mut moved = service.clone();
        moved["spec"]["clusterIP"] = json!("10.96.0.7");
        moved["spec"]["ports"][0]["nodePort"] = json!(32000);
        assert_eq!(one("service/web", Some(&service), Some(&moved)), "");
        assert_eq!(paths(&service, &moved, 5), Vec::<String>::new());
    }

    #[test]
    fn differing_places_are_named() {
        let pod = |image: &str, extra: Value| json!({"spec": {"containers": [{"name": "web", "image": image}], "extra": extra}});
        assert_eq!(
            paths(&pod("a", json!(null)), &pod("b", json!([1])), 10),
            ["spec.containers[web].image", "spec.extra"]
        );
        assert_eq!(paths(&pod("a", json!(1)), &pod("b", json!(2)), 1).len(), 1);
    }
}
