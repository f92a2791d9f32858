//! JSON patch, merge patch and strategic merge patch.

use serde_json::{Map, Value};

use super::fields::{Merge, item_key, list_merge};
use super::status::Refusal;

/// A patch that is not an apply.
#[derive(Debug, Clone)]
pub(crate) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    /// Applies it to `object`.
    pub(crate) fn on(&self, kind: &str, object: &Value) -> Result<Value, Refusal> {
        let mut patched = object.clone();
        match self {
            Self::Json(operations) => {
                for operation in operations.as_array().into_iter().flatten() {
                    one(&mut patched, operation).ok_or_else(|| {
                        Refusal::new(
                            422,
                            "Invalid",
                            "the server rejected our request due to an error in our request",
                        )
                    })?;
                }
            }
            Self::Merge(change) => merge(&mut patched, change),
            Self::Strategic(change) => strategic(kind, "", &mut patched, change),
        }
        Ok(patched)
    }
}

/// RFC 7386.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let map = target.as_object_mut().unwrap();
    for (name, value) in change {
        if value.is_null() {
            map.shift_remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// RFC 6902, one operation.
fn one(target: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    let (parent, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    let value = operation.get("value").cloned().unwrap_or(Value::Null);
    match operation["op"].as_str()? {
        "test" => (target.pointer(path).unwrap_or(&Value::Null) == &value).then_some(()),
        "move" | "copy" => {
            let from = operation["from"].as_str()?;
            let moved = target.pointer(from)?.clone();
            if operation["op"] == "move" {
                one(target, &serde_json::json!({"op": "remove", "path": from}))?;
            }
            one(target, &serde_json::json!({"op": "add", "path": path, "value": moved}))
        }
        verb @ ("add" | "replace" | "remove") => match target.pointer_mut(parent)? {
            Value::Object(map) => {
                if verb != "add" && !map.contains_key(&last) {
                    return None;
                }
                if verb == "remove" {
                    map.shift_remove(&last);
                } else {
                    map.insert(last, value);
                }
                Some(())
            }
            Value::Array(items) => {
                let place = if last == "-" { items.len() } else { last.parse().ok()? };
                match verb {
                    "add" if place <= items.len() => items.insert(place, value),
                    "replace" if place < items.len() => items[place] = value,
                    "remove" if place < items.len() => {
                        items.remove(place);
                    }
                    _ => return None,
                }
                Some(())
            }
            _ => None,
        },
        _ => None,
    }
}

fn strategic(kind: &str, name: &str, target: &mut Value, change: &Value) {
    match (target, change) {
        (target, Value::Object(change)) => {
            if change.get("$patch").is_some_and(|directive| directive == "replace")
                || !target.is_object()
            {
                *target = Value::Object(Map::new());
            }
            let map = target.as_object_mut().unwrap();
            for (name, value) in change {
                if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
                    if let Some(Value::Array(items)) = map.get_mut(field) {
                        items.retain(|item| {
                            !value.as_array().is_some_and(|gone| gone.contains(item))
                        });
                    }
                } else if name == "$retainKeys" {
                    map.retain(|name, _| {
                        value.as_array().is_some_and(|keys| keys.iter().any(|key| key == name))
                    });
                } else if name.starts_with('$') {
                } else if value.is_null() {
                    map.shift_remove(name);
                } else {
                    let entry = map.entry(name.clone()).or_insert(Value::Null);
                    strategic(kind, name, entry, value);
                }
            }
        }
        (target, Value::Array(change)) => {
            let empty = Vec::new();
            let old = target.as_array().unwrap_or(&empty);
            let both: Vec<Value> = old.iter().chain(change).cloned().collect();
            *target = match list_merge(kind, name, &both) {
                Merge::Map(keys) => Value::Array(items(kind, keys, old, change)),
                Merge::Set => {
                    let mut merged = old.clone();
                    merged.extend(change.iter().filter(|item| !old.contains(item)).cloned());
                    Value::Array(merged)
                }
                Merge::Atomic => Value::Array(change.clone()),
            };
        }
        (target, change) => *target = change.clone(),
    }
}

fn items(kind: &str, keys: &[&str], old: &[Value], change: &[Value]) -> Vec<Value> {
    // The merge key of a strategic patch is the first of the list's keys.
    let keys = &keys[..1];
    let mut merged = old.to_vec();
    for item in change {
        if item["$patch"] == "replace" {
            merged = Vec::new();
            continue;
        }
        let key = item_key(keys, item);
        let place = merged.iter().position(|old| item_key(keys, old) == key);
        match place {
            Some(place) if item["$patch"] == "delete" => {
                merged.remove(place);
            }
            Some(place) => strategic(kind, "", &mut merged[place], item),
            None if item["$patch"] == "delete" => {}
            None => {
                let mut new = Value::Null;
                strategic(kind, "", &mut new, item);
                merged.push(new);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_patch() {
        let object = json!({"spec": {"containers": [
            {"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "x": 1}});
        for (patch, expect) in [
            (
                Patch::Merge(json!({"spec": {"x": null, "containers": []}})),
                json!({"spec": {"containers": []}}),
            ),
            (
                Patch::Strategic(json!({"spec": {"containers": [
                    {"name": "b", "image": "2"}, {"name": "a", "$patch": "delete"}]}})),
                json!({"spec": {"containers": [{"name": "b", "image": "2"}], "x": 1}}),
            ),
            (
                Patch::Json(json!([
                    {"op": "replace", "path": "/spec/containers/0/image", "value": "3"},
                    {"op": "remove", "path": "/spec/containers/1"}])),
                json!({"spec": {"containers": [{"name": "a", "image": "3"}], "x": 1}}),
            ),
        ] {
            assert_eq!(patch.on("Pod", &object).unwrap(), expect);
        }
    }
}
