//! Field ownership: the paths of `managedFields`, and the merge of server-side apply
//! (structured-merge-diff), with the list keys of the served kinds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `f:name`
    Field(String),
    /// `k:{…}`: an item of a list by its keys, as compact JSON.
    Key(String),
    /// `v:…`: an item of a set.
    Member(String),
}

pub(crate) type Path = Vec<Step>;
pub(crate) type Paths = BTreeSet<Path>;
/// Each owned field with its value; a list's item itself with null.
pub(crate) type Leaves = BTreeMap<Path, Value>;

/// How a list is merged.
pub(crate) enum Merge {
    Map(&'static [&'static str]),
    Set,
    Atomic,
}

/// How the list in the field `name` of a `kind` is merged; `items` tell apart the ports of a
/// container and those of a service.
pub(crate) fn list_merge(kind: &str, name: &str, items: &[Value]) -> Merge {
    if kind == "Widget" {
        return Merge::Atomic;
    }
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims" => {
            if kind == "ServiceAccount" && name == "imagePullSecrets" {
                Merge::Atomic
            } else {
                Merge::Map(&["name"])
            }
        }
        "volumeMounts" => Merge::Map(&["mountPath"]),
        "volumeDevices" => Merge::Map(&["devicePath"]),
        "hostAliases" => Merge::Map(&["ip"]),
        "conditions" => Merge::Map(&["type"]),
        "topologySpreadConstraints" => Merge::Map(&["topologyKey", "whenUnsatisfiable"]),
        "ownerReferences" => Merge::Map(&["uid"]),
        "podIPs" => Merge::Map(&["ip"]),
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => {
            Merge::Map(&["containerPort", "protocol"])
        }
        "ports" if kind == "Service" => Merge::Map(&["port", "protocol"]),
        "finalizers" => Merge::Set,
        _ => Merge::Atomic,
    }
}

/// Objects that are owned atomically.
fn atomic_map(kind: &str, name: &str) -> bool {
    kind != "Widget"
        && matches!(
            name,
            "selector"
                | "nodeSelector"
                | "labelSelector"
                | "podSelector"
                | "namespaceSelector"
                | "configMapKeyRef"
                | "secretKeyRef"
                | "fieldRef"
                | "resourceFieldRef"
                | "scaleTargetRef"
                | "roleRef"
                | "involvedObject"
        )
}

/// What identifies an item; a missing `protocol` is `TCP`.
pub(crate) fn item_key(keys: &[&str], item: &Value) -> String {
    let mut key = Map::new();
    for name in keys {
        let value = match item.get(*name) {
            Some(value) => value.clone(),
            None if *name == "protocol" => json!("TCP"),
            None => Value::Null,
        };
        key.insert((*name).to_owned(), value);
    }
    Value::Object(key).to_string()
}

/// Fields of `metadata` without ownership.
const UNOWNED: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "generateName",
];

/// Every field of `object` that can be owned.
pub(crate) fn leaves(kind: &str, object: &Value) -> Leaves {
    let mut found = Leaves::new();
    let Some(fields) = object.as_object() else { return found };
    for (name, value) in fields {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                let mut metadata = value.clone();
                if let Some(map) = metadata.as_object_mut() {
                    map.retain(|name, _| !UNOWNED.contains(&name.as_str()));
                }
                if metadata.as_object().is_some_and(|map| !map.is_empty()) {
                    descend(kind, name, &metadata, vec![field(name)], &mut found);
                }
            }
            _ => descend(kind, name, value, vec![field(name)], &mut found),
        }
    }
    found
}

fn field(name: &str) -> Step {
    Step::Field(name.to_owned())
}

fn descend(kind: &str, name: &str, value: &Value, path: Path, found: &mut Leaves) {
    match value {
        Value::Null => {}
        Value::Object(map) if !map.is_empty() && !atomic_map(kind, name) => {
            for (name, value) in map {
                let mut path = path.clone();
                path.push(field(name));
                descend(kind, name, value, path, found);
            }
        }
        Value::Array(items) => match list_merge(kind, name, items) {
            Merge::Map(keys) => {
                for item in items {
                    let mut path = path.clone();
                    path.push(Step::Key(item_key(keys, item)));
                    found.insert(path.clone(), Value::Null);
                    descend(kind, "", item, path, found);
                }
            }
            Merge::Set => {
                for item in items {
                    let mut path = path.clone();
                    path.push(Step::Member(item.to_string()));
                    found.insert(path, item.clone());
                }
            }
            Merge::Atomic => {
                found.insert(path, value.clone());
            }
        },
        _ => {
            found.insert(path, value.clone());
        }
    }
}

/// Merges an applied configuration into the live object.
pub(crate) fn merge(kind: &str, name: &str, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(old), Value::Object(new)) if !atomic_map(kind, name) => {
            let mut merged = old.clone();
            for (name, value) in new {
                let value = match old.get(name) {
                    Some(old) => merge(kind, name, old, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(old), Value::Array(new)) => match list_merge(kind, name, new) {
            Merge::Map(keys) => Value::Array(merge_items(kind, keys, old, new)),
            Merge::Set => {
                let mut merged = old.clone();
                merged.extend(new.iter().filter(|item| !old.contains(item)).cloned());
                Value::Array(merged)
            }
            Merge::Atomic => applied.clone(),
        },
        _ => applied.clone(),
    }
}

/// The order of the applied list, with the items of others in their positions.
fn merge_items(kind: &str, keys: &[&str], old: &[Value], new: &[Value]) -> Vec<Value> {
    let key = |item: &Value| item_key(keys, item);
    let mut merged: Vec<Value> = Vec::new();
    let mut done = BTreeSet::new();
    let (mut left, mut right) = (old.iter().peekable(), new.iter().peekable());
    let mut take = |item: &Value, done: &mut BTreeSet<String>| {
        if done.insert(key(item)) {
            let live = old.iter().find(|old| key(old) == key(item));
            merged.push(live.map_or_else(|| item.clone(), |live| merge(kind, "", live, item)));
        }
    };
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (None, None) => break,
            (Some(item), _) if !new.iter().any(|new| key(new) == key(item)) => {
                take(item, &mut done);
                left.next();
            }
            (Some(item), _) if done.contains(&key(item)) => {
                left.next();
            }
            (Some(_), None) => {
                left.next();
            }
            (_, Some(item)) => {
                take(item, &mut done);
                right.next();
            }
        }
    }
    merged
}

/// Removes `path` from `object`, with parents that become empty.
pub(crate) fn remove(kind: &str, object: &mut Value, path: &[Step]) {
    remove_in(kind, "", object, path);
}

fn remove_in(kind: &str, name: &str, at: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, at) {
        (Step::Field(field), Value::Object(map)) => {
            if rest.is_empty() {
                map.shift_remove(field);
            } else if let Some(child) = map.get_mut(field) {
                remove_in(kind, field, child, rest);
                let empty = child.as_object().is_some_and(Map::is_empty)
                    || child.as_array().is_some_and(Vec::is_empty);
                if empty {
                    map.shift_remove(field);
                }
            }
        }
        (Step::Key(key), Value::Array(items)) => {
            let Merge::Map(keys) = list_merge(kind, name, items) else { return };
            let Some(place) = items.iter().position(|item| item_key(keys, item) == *key) else {
                return;
            };
            match rest {
                [] => {
                    items.remove(place);
                }
                // A remaining item keeps its keys.
                [Step::Field(field)] if keys.contains(&field.as_str()) => {}
                rest => remove_in(kind, "", &mut items[place], rest),
            }
        }
        (Step::Member(member), Value::Array(items)) => {
            let member: Value = serde_json::from_str(member).unwrap();
            items.retain(|item| *item != member);
        }
        _ => {}
    }
}

/// `.spec.template.spec.containers[name="web"].image`
pub(crate) fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Key(key) => {
                let key: Map<String, Value> = serde_json::from_str(key).unwrap();
                let parts: Vec<String> =
                    key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                text.push_str(&format!("[{}]", parts.join(",")));
            }
            Step::Member(value) => text.push_str(&format!("[={value}]")),
        }
    }
    text
}

/// Converts to `fieldsV1`.
pub(crate) fn to_v1(paths: &Paths) -> Value {
    let mut root = json!({});
    for path in paths {
        let mut at = &mut root;
        for step in path {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Key(key) => format!("k:{key}"),
                Step::Member(value) => format!("v:{value}"),
            };
            at = at.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}));
        }
        let longer = paths
            .range((std::ops::Bound::Excluded(path.clone()), std::ops::Bound::Unbounded))
            .next()
            .is_some_and(|next| next.starts_with(path));
        if longer {
            at.as_object_mut().unwrap().insert(".".to_owned(), json!({}));
        }
    }
    root
}

/// Converts from `fieldsV1`.
pub(crate) fn from_v1(fields: &Value) -> Paths {
    let mut paths = Paths::new();
    read_v1(fields, &mut Vec::new(), &mut paths);
    paths
}

fn read_v1(fields: &Value, path: &mut Path, paths: &mut Paths) {
    let Some(map) = fields.as_object() else { return };
    if map.is_empty() || map.contains_key(".") {
        paths.insert(path.clone());
    }
    for (name, below) in map {
        let step = match name.split_once(':') {
            Some(("f", name)) => Step::Field(name.to_owned()),
            Some(("k", key)) => Step::Key(key.to_owned()),
            Some(("v", value)) => Step::Member(value.to_owned()),
            _ => continue,
        };
        path.push(step);
        read_v1(below, path, paths);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_and_read_back() {
        let object = json!({
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {
                "containers": [{"name": "web", "ports": [{"containerPort": 80}]}]}}},
        });
        let paths: Paths = leaves("Deployment", &object).into_keys().collect();
        let v1 = to_v1(&paths);
        assert_eq!(from_v1(&v1), paths);
        let container =
            &v1["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
        assert_eq!(container["."], json!({}));
        assert_eq!(v1["f:spec"]["f:selector"], json!({}));
        let told: Vec<String> = paths.iter().map(|path| written(path)).collect();
        assert!(
            told.contains(
                &".spec.template.spec.containers[name=\"web\"]\
              .ports[containerPort=80,protocol=\"TCP\"].containerPort"
                    .to_owned()
            )
        );
    }

    #[test]
    fn lists_merge_by_key_in_the_applied_order() {
        let live = json!({"containers": [
            {"name": "sidecar", "image": "s"}, {"name": "web", "image": "1", "tty": true}]});
        let applied = json!({"containers": [{"name": "new"}, {"name": "web", "image": "2"}]});
        assert_eq!(
            merge("Pod", "", &live, &applied),
            json!({"containers": [
                {"name": "sidecar", "image": "s"}, {"name": "new"},
                {"name": "web", "image": "2", "tty": true}]})
        );
    }
}
