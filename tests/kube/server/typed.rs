//! Decoding like in the API server: by the kind's type, so that unknown fields and wrong types are
//! detected.

use k8s_openapi::api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::resource::Resource;

/// A typed object, and its unknown fields.
pub(crate) struct Decoded {
    pub(crate) object: Value,
    /// `spec.template.spec.containers[0].imge`
    pub(crate) unknown: Vec<String>,
}

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|e| e.to_string())?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

/// # Errors
/// The decoder's error for a wrong type.
pub(crate) fn decode(resource: &Resource, object: &Value) -> Result<Decoded, String> {
    let mut object = object.clone();
    quantities_as_text(&mut object);
    let typed = match resource.kind {
        "Namespace" => through::<api::core::v1::Namespace>(&object),
        "ConfigMap" => through::<api::core::v1::ConfigMap>(&object),
        "Secret" => through::<api::core::v1::Secret>(&object),
        "Service" => through::<api::core::v1::Service>(&object),
        "ServiceAccount" => through::<api::core::v1::ServiceAccount>(&object),
        "Pod" => through::<api::core::v1::Pod>(&object),
        "PersistentVolumeClaim" => through::<api::core::v1::PersistentVolumeClaim>(&object),
        "ResourceQuota" => through::<api::core::v1::ResourceQuota>(&object),
        "LimitRange" => through::<api::core::v1::LimitRange>(&object),
        "Deployment" => through::<api::apps::v1::Deployment>(&object),
        "ReplicaSet" => through::<api::apps::v1::ReplicaSet>(&object),
        "StatefulSet" => through::<api::apps::v1::StatefulSet>(&object),
        "DaemonSet" => through::<api::apps::v1::DaemonSet>(&object),
        "Job" => through::<api::batch::v1::Job>(&object),
        "CronJob" => through::<api::batch::v1::CronJob>(&object),
        "HorizontalPodAutoscaler" => {
            through::<api::autoscaling::v2::HorizontalPodAutoscaler>(&object)
        }
        "Ingress" => through::<api::networking::v1::Ingress>(&object),
        "NetworkPolicy" => through::<api::networking::v1::NetworkPolicy>(&object),
        "PodDisruptionBudget" => through::<api::policy::v1::PodDisruptionBudget>(&object),
        "Lease" => through::<api::coordination::v1::Lease>(&object),
        "Role" => through::<api::rbac::v1::Role>(&object),
        "RoleBinding" => through::<api::rbac::v1::RoleBinding>(&object),
        _ => Ok(object.clone()),
    }?;
    let mut unknown = Vec::new();
    lost(&object, &typed, &mut String::new(), &mut unknown);
    let mut typed = typed;
    drop_nulls(&mut typed);
    Ok(Decoded { object: typed, unknown })
}

/// The fields of `given` that are not in `kept`.
fn lost(given: &Value, kept: &Value, path: &mut String, unknown: &mut Vec<String>) {
    let length = path.len();
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (name, value) in given {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                match kept.get(name) {
                    Some(kept) => lost(value, kept, path, unknown),
                    None if value.is_null() || *value == Value::Array(Vec::new()) => {}
                    None => unknown.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (place, (given, kept)) in given.iter().zip(kept).enumerate() {
                path.push_str(&format!("[{place}]"));
                lost(given, kept, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A quantity may be written as a number.
fn quantities_as_text(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if matches!(name.as_str(), "limits" | "requests" | "hard" | "capacity")
                    && let Value::Object(amounts) = value
                {
                    for amount in amounts.values_mut() {
                        if amount.is_number() {
                            *amount = Value::String(amount.to_string());
                        }
                    }
                } else {
                    quantities_as_text(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(quantities_as_text),
        _ => {}
    }
}
