//! The order in which objects are applied, and the opposite one in which they are removed.

use super::Manifest;

/// What must be there before what comes after it can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Namespaces,
    /// New kinds, before objects of them.
    Kinds,
    /// What pods read, run as, and are limited by.
    Configuration,
    Services,
    Workloads,
    /// What speaks about workloads: autoscalers, ingresses, disruption budgets, other kinds.
    Rest,
}

const CORE: &str = "";

/// The rank of a kind.
pub(crate) fn rank(group: &str, kind: &str) -> Rank {
    match (group, kind) {
        (CORE, "Namespace") => Rank::Namespaces,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Rank::Kinds,
        (
            CORE,
            "ConfigMap"
            | "Secret"
            | "ServiceAccount"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "ResourceQuota"
            | "LimitRange",
        )
        | ("rbac.authorization.k8s.io" | "storage.k8s.io" | "scheduling.k8s.io", _) => {
            Rank::Configuration
        }
        (CORE, "Service" | "Endpoints") => Rank::Services,
        (CORE, "Pod" | "ReplicationController")
        | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job" | "CronJob") => Rank::Workloads,
        _ => Rank::Rest,
    }
}

/// Sorts by rank; within a rank the order of the manifests stays.
pub(crate) fn sort(objects: &mut [Manifest]) {
    objects.sort_by_key(|object| rank(object.group(), object.kind()));
}

/// Whether removing the object would take data with it that no release can bring back.
pub(crate) fn holds_data(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        (CORE, "Namespace" | "PersistentVolume" | "PersistentVolumeClaim")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// Whether the group is none that the API server brings itself: those have no dot, or end in
/// `.k8s.io`, which is kept for them.
pub(crate) fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Origin;
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let object = |api_version: &str, kind: &str| {
            let value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
            Manifest::new(value, Origin { file: "a.yaml".to_owned(), line: None }).unwrap()
        };
        let mut objects = vec![
            object("networking.k8s.io/v1", "Ingress"),
            object("apps/v1", "Deployment"),
            object("example.org/v1", "Widget"),
            object("batch/v1", "Job"),
            object("v1", "Service"),
            object("v1", "Secret"),
            object("rbac.authorization.k8s.io/v1", "RoleBinding"),
            object("v1", "ConfigMap"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            object("v1", "Namespace"),
        ];
        sort(&mut objects);
        let kinds: Vec<&str> = objects.iter().map(Manifest::kind).collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "CustomResourceDefinition",
                "Secret",
                "RoleBinding",
                "ConfigMap",
                "Service",
                "Deployment",
                "Job",
                "Ingress",
                "Widget",
            ]
        );
    }
}
