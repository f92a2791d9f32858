//! Replicas that an autoscaler owns: a rollout that set them would undo its work.

use std::collections::BTreeSet;

use kube::api::DynamicObject;
use serde_json::Value;

use super::manifest::Manifest;
use super::ownership::is_ours;

/// Kinds whose replicas a HorizontalPodAutoscaler scales.
const SCALED: &[&str] = &["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"];

/// Workloads that autoscalers look after, by namespace, kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scaled(BTreeSet<(String, String, String)>);

impl Scaled {
    /// Adds what a HorizontalPodAutoscaler, as an object, looks after.
    pub(super) fn add(&mut self, autoscaler: &Value) {
        let text = |pointer: &str| autoscaler.pointer(pointer).and_then(Value::as_str);
        let target = text("/spec/scaleTargetRef/kind").zip(text("/spec/scaleTargetRef/name"));
        if let Some((kind, name)) = target {
            let namespace = text("/metadata/namespace").unwrap_or_default();
            self.0.insert((namespace.to_owned(), kind.to_owned(), name.to_owned()));
        }
    }

    /// Whether an autoscaler looks after the object.
    pub(super) fn has(&self, object: &Manifest) -> bool {
        self.0.contains(&(
            object.namespace().unwrap_or_default().to_owned(),
            object.kind().to_owned(),
            object.name().to_owned(),
        ))
    }
}

/// Whether the kind can be looked after at all.
pub(super) fn is_scalable(object: &Manifest) -> bool {
    SCALED.contains(&object.kind())
}

/// Leaves the replicas of a scaled workload to its autoscaler.
///
/// Leaving the field out is enough where it was never ours. Where it was, leaving it out would
/// make the API server give it its default of one; it is set to what it is, until the
/// autoscaler's next write takes it over.
pub(super) fn leave_replicas(object: &mut Manifest, live: Option<&DynamicObject>) {
    let current = live
        .filter(|live| is_ours(live, ".spec.replicas"))
        .and_then(|live| live.data.pointer("/spec/replicas"))
        .cloned();
    let spec = object.body_mut().find(|(key, _)| *key == "spec");
    if let Some((_, Value::Object(spec))) = spec {
        match current {
            Some(current) => {
                spec.insert("replicas".to_owned(), current);
            }
            None => {
                spec.remove("replicas");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::manifest::Origin;
    use super::*;

    fn web() -> Manifest {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 2, "a": 1}});
        Manifest::new(value, Origin { file: "a.yaml".to_owned(), line: None }).unwrap()
    }

    fn live(manager: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "managedFields": [
                {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": 7},
        }))
        .unwrap()
    }

    #[test]
    fn replicas_are_left_to_the_autoscaler() {
        let autoscaler = json!({"metadata": {"namespace": "shop"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
        let mut scaled = Scaled::default();
        assert!(!scaled.has(&web()));
        scaled.add(&autoscaler);
        assert!(scaled.has(&web()));

        for (live, expect) in [
            (None, json!({"a": 1})),
            (Some(live("someone")), json!({"a": 1})),
            (Some(live("greenloop")), json!({"replicas": 7, "a": 1})),
        ] {
            let mut object = web();
            leave_replicas(&mut object, live.as_ref());
            assert_eq!(object.value()["spec"], expect);
        }
    }
}
