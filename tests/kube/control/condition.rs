//! Conditions of a status.

use serde_json::{Value, json};

use crate::server::store;

/// The condition of that type.
pub(crate) fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether the condition of that type is true.
pub(crate) fn holds(object: &Value, kind: &str) -> bool {
    find(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Sets a condition; its transition time changes only with its status. `updated` also sets
/// `lastUpdateTime`, like workloads' conditions.
pub(crate) fn set(
    status: &mut Value,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    updated: bool,
) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let truth = if holds { "True" } else { "False" };
    let conditions = status["conditions"].as_array_mut().unwrap();
    let place = conditions.iter().position(|condition| condition["type"] == kind);
    let mut condition = match place {
        Some(place) => conditions[place].clone(),
        None => json!({"type": kind}),
    };
    if condition["status"] != truth {
        condition["lastTransitionTime"] = json!(store::now());
    }
    let same = condition["status"] == truth
        && condition["reason"].as_str().unwrap_or_default() == reason
        && condition["message"].as_str().unwrap_or_default() == message;
    if updated && !same {
        condition["lastUpdateTime"] = json!(store::now());
    }
    if !updated {
        condition["lastProbeTime"] = Value::Null;
    }
    condition["status"] = json!(truth);
    for (name, text) in [("reason", reason), ("message", message)] {
        if text.is_empty() {
            condition.as_object_mut().unwrap().shift_remove(name);
        } else {
            condition[name] = json!(text);
        }
    }
    match place {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}

/// Removes a condition.
pub(crate) fn drop(status: &mut Value, kind: &str) {
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != kind);
    }
}
