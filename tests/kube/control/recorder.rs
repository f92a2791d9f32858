//! Events of controllers and the kubelet: one counted object per cause.

use serde_json::{Value, json};

use crate::server::api::Api;
use crate::server::managed::Writer;
use crate::server::resource::by_kind;
use crate::server::store;

/// Records an event about `about`.
pub(crate) fn record(
    api: &mut Api,
    about: &Value,
    component: &str,
    warning: bool,
    reason: &str,
    message: &str,
    field: Option<&str>,
) {
    let resource = by_kind("Event");
    let (namespace, name) = store::identity(about);
    let mut involved = json!({
        "kind": about["kind"], "namespace": namespace, "name": name,
        "uid": about["metadata"]["uid"], "apiVersion": about["apiVersion"],
        "resourceVersion": about["metadata"]["resourceVersion"],
    });
    if let Some(field) = field {
        involved["fieldPath"] = json!(field);
    }
    let same = |event: &&Value| {
        event["involvedObject"]["uid"] == involved["uid"]
            && event["involvedObject"]["fieldPath"] == involved["fieldPath"]
            && event["reason"] == reason
            && event["message"] == message
    };
    let before = api.store.list(resource, Some(&namespace)).find(same).cloned();
    if let Some(mut event) = before {
        event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
        event["lastTimestamp"] = json!(store::now());
        api.store.replace(resource, event);
        return;
    }
    let now = store::now();
    let stamp = format!("{:x}", uuid::Uuid::new_v4().as_u128() >> 64);
    let mut source = json!({"component": component});
    if component == "kubelet" {
        source["host"] = json!("node-1");
    }
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{name}.{stamp}"), "namespace": namespace},
        "involvedObject": involved, "reason": reason, "message": message, "source": source,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        "type": if warning { "Warning" } else { "Normal" },
        "eventTime": null, "reportingComponent": component, "reportingInstance": "",
    });
    let strictness = crate::server::api::Strictness::Ignore;
    let _namespace_gone =
        api.create(resource, &namespace, &event, &Writer::named(component), strictness);
}
