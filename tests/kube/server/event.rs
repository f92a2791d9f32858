//! Events: stored as core/v1, served as events.k8s.io/v1 too.

use serde_json::{Value, json};

use super::resource::Resource;

/// An object in the form of its group.
pub(crate) fn served(resource: &Resource, object: &Value) -> Value {
    if resource.group != "events.k8s.io" {
        return object.clone();
    }
    let mut event = json!({
        "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": object["metadata"],
        "eventTime": object["eventTime"], "reason": object["reason"],
        "regarding": object["involvedObject"], "note": object["message"],
        "type": object["type"], "deprecatedFirstTimestamp": object["firstTimestamp"],
        "deprecatedLastTimestamp": object["lastTimestamp"], "deprecatedCount": object["count"],
        "deprecatedSource": object["source"],
        "reportingController": object["reportingComponent"],
        "reportingInstance": object["reportingInstance"],
        "action": object["action"], "series": object["series"],
    });
    event.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    event
}

/// Converts back to the stored form.
pub(crate) fn stored(resource: &Resource, object: &Value) -> Value {
    if resource.group != "events.k8s.io" {
        return object.clone();
    }
    let mut event = json!({
        "kind": "Event", "apiVersion": "v1", "metadata": object["metadata"],
        "involvedObject": object["regarding"], "reason": object["reason"],
        "message": object["note"], "type": object["type"], "eventTime": object["eventTime"],
        "firstTimestamp": object["deprecatedFirstTimestamp"],
        "lastTimestamp": object["deprecatedLastTimestamp"], "count": object["deprecatedCount"],
        "source": object["deprecatedSource"],
        "reportingComponent": object["reportingController"],
        "reportingInstance": object["reportingInstance"], "action": object["action"],
        "series": object["series"],
    });
    event.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    event
}
