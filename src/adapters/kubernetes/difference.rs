//! What a rollout changes, as a unified diff for people: only what somebody wrote, keys sorted,
//! no secret in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use similar::TextDiff;

use super::manifest::settle::{COMMIT, RELEASE, RUN};

/// Bytes of a whole diff.
const LONGEST: usize = 512 * 1024;
/// What stands in the place of a secret's value.
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
    let mut before = before.map(plain);
    let mut after = after.map(plain);
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
        whole.push_str(&format!("# {left_out} more objects change; their diffs are too long\n"));
    }
    whole
}

/// Paths at which two values differ, `spec.template.spec.containers[web].image`, at most `most`.
pub(super) fn paths(before: &Value, after: &Value, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    compare(&plain(before), &plain(after), &mut String::new(), &mut found, most);
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
