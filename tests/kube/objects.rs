//! The manifests of the scenarios.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::program::{PORT, Program};
use crate::world::World;

/// A container that runs `program`, with a readiness probe.
pub(crate) fn container(world: &World, program: &Program) -> Value {
    let mut container = json!({
        "name": "web", "image": world.image, "imagePullPolicy": "IfNotPresent",
        "command": program.command(),
    });
    if program.page().is_some() {
        container["ports"] = json!([{"containerPort": PORT}]);
        container["readinessProbe"] = probe("/");
    }
    container
}

/// A probe every second.
pub(crate) fn probe(path: &str) -> Value {
    json!({
        "httpGet": {"path": path, "port": PORT}, "periodSeconds": 1, "failureThreshold": 3,
    })
}

fn template(world: &World, name: &str, program: &Program) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "containers": [container(world, program)],
        },
    })
}

fn workload(world: &World, kind: &str, name: &str, program: &Program) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": template(world, name, program),
        },
    })
}

/// A Deployment of one replica, `web`, which creates the new pod before it deletes the old one.
pub(crate) fn deployment(world: &World, program: &Program) -> Value {
    let mut object = workload(world, "Deployment", "web", program);
    object["spec"]["replicas"] = json!(1);
    object["spec"]["strategy"] = json!({
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    });
    object
}

/// A StatefulSet of two replicas, `db`.
pub(crate) fn stateful_set(world: &World, program: &Program) -> Value {
    let mut object = workload(world, "StatefulSet", "db", program);
    object["spec"]["replicas"] = json!(2);
    object["spec"]["serviceName"] = json!("db");
    object
}

/// A DaemonSet, `agent`.
pub(crate) fn daemon_set(world: &World, program: &Program) -> Value {
    workload(world, "DaemonSet", "agent", program)
}

/// A Job, `migrate`, that tries twice.
pub(crate) fn job(world: &World, program: &Program) -> Value {
    let mut template = template(world, "migrate", program);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
        "spec": {"backoffLimit": 0, "template": template},
    })
}

/// A Service before the Deployment `web`.
pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": PORT}]},
    })
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The spec of a workload's pods.
pub(crate) fn pod_spec(workload: &mut Value) -> &mut Value {
    &mut workload["spec"]["template"]["spec"]
}

/// The first container of a workload's pods.
pub(crate) fn first(workload: &mut Value) -> &mut Value {
    &mut workload["spec"]["template"]["spec"]["containers"][0]
}

/// The API resource of an object's kind.
pub(crate) fn resource(object: &Value) -> ApiResource {
    let version = object["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().unwrap();
    let found = crate::server::resource::by_kind(kind);
    let kind = GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk_with_plural(&kind, found.plural)
}
