//! The resources of the API server, one per row.

/// A resource, as in discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource {
    /// `apps`; empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short: &'static [&'static str],
    /// `status`, `scale`, `log` …
    pub(crate) subresources: &'static [&'static str],
    /// Whether `metadata.generation` counts the changes of its spec.
    pub(crate) generation: bool,
}

impl Resource {
    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployments.apps`, `pods`: how messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Deployment.apps`, `Pod`.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.to_owned()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// The storage key: events are served by two groups and stored once.
    pub(crate) fn stored(&self) -> &'static Resource {
        if self.kind == "Event" { by_kind("Event") } else { find(self.group, self.plural).unwrap() }
    }
}

const fn row(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        kind,
        namespaced: true,
        short,
        subresources: &[],
        generation: false,
    }
}

const fn cluster_wide(mut resource: Resource) -> Resource {
    resource.namespaced = false;
    resource
}

const fn counted(mut resource: Resource, subresources: &'static [&'static str]) -> Resource {
    resource.generation = true;
    resource.subresources = subresources;
    resource
}

const fn with(mut resource: Resource, subresources: &'static [&'static str]) -> Resource {
    resource.subresources = subresources;
    resource
}

const fn version(mut resource: Resource, version: &'static str) -> Resource {
    resource.version = version;
    resource
}

/// The only custom kind: its definition is installed, its schema keeps unknown fields.
pub(crate) const CUSTOM: Resource =
    counted(row("greenloop.test", "widgets", "Widget", &["wd"]), &["status"]);

/// All resources; the first row of a kind is its storage.
pub(crate) const RESOURCES: &[Resource] = &[
    with(cluster_wide(row("", "namespaces", "Namespace", &["ns"])), &["status", "finalize"]),
    cluster_wide(row("", "nodes", "Node", &["no"])),
    row("", "configmaps", "ConfigMap", &["cm"]),
    row("", "secrets", "Secret", &[]),
    with(row("", "services", "Service", &["svc"]), &["status"]),
    with(row("", "serviceaccounts", "ServiceAccount", &["sa"]), &["token"]),
    row("", "endpoints", "Endpoints", &["ep"]),
    counted(
        row("", "pods", "Pod", &["po"]),
        &["status", "log", "portforward", "exec", "eviction", "binding"],
    ),
    row("", "events", "Event", &["ev"]),
    with(row("", "persistentvolumeclaims", "PersistentVolumeClaim", &["pvc"]), &["status"]),
    with(row("", "resourcequotas", "ResourceQuota", &["quota"]), &["status"]),
    row("", "limitranges", "LimitRange", &["limits"]),
    counted(row("apps", "deployments", "Deployment", &["deploy"]), &["status", "scale"]),
    counted(row("apps", "replicasets", "ReplicaSet", &["rs"]), &["status", "scale"]),
    counted(row("apps", "statefulsets", "StatefulSet", &["sts"]), &["status", "scale"]),
    counted(row("apps", "daemonsets", "DaemonSet", &["ds"]), &["status"]),
    row("apps", "controllerrevisions", "ControllerRevision", &[]),
    counted(row("batch", "jobs", "Job", &[]), &["status"]),
    counted(row("batch", "cronjobs", "CronJob", &["cj"]), &["status"]),
    version(
        with(
            row("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"]),
            &["status"],
        ),
        "v2",
    ),
    counted(row("networking.k8s.io", "ingresses", "Ingress", &["ing"]), &["status"]),
    counted(row("networking.k8s.io", "networkpolicies", "NetworkPolicy", &["netpol"]), &[]),
    counted(row("policy", "poddisruptionbudgets", "PodDisruptionBudget", &["pdb"]), &["status"]),
    row("coordination.k8s.io", "leases", "Lease", &[]),
    row("discovery.k8s.io", "endpointslices", "EndpointSlice", &[]),
    row("rbac.authorization.k8s.io", "roles", "Role", &[]),
    row("rbac.authorization.k8s.io", "rolebindings", "RoleBinding", &[]),
    cluster_wide(row("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", &[])),
    cluster_wide(row(
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        "ClusterRoleBinding",
        &[],
    )),
    cluster_wide(row("storage.k8s.io", "storageclasses", "StorageClass", &["sc"])),
    cluster_wide(counted(
        row(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            &["crd"],
        ),
        &["status"],
    )),
    cluster_wide(counted(
        row(
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            &[],
        ),
        &[],
    )),
    row("events.k8s.io", "events", "Event", &["ev"]),
    cluster_wide(row(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        &[],
    )),
    CUSTOM,
];

/// The resource of that group with that plural name.
pub(crate) fn find(group: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.group == group && resource.plural == plural)
}

/// The resource objects of that kind are stored under.
pub(crate) fn by_kind(kind: &str) -> &'static Resource {
    RESOURCES.iter().find(|resource| resource.kind == kind).unwrap()
}
