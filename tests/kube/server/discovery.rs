//! `/api`, `/apis`, `/version`, and the part of OpenAPI that clients read before they write.

use serde_json::{Value, json};

use super::resource::{RESOURCES, Resource};

/// The server's version.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "emulationMajor": "1", "emulationMinor": "34",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "33",
        "gitVersion": "v1.34.1", "gitCommit": "93248f9ae092f571eb870b7664c534bfc7d00f03",
        "gitTreeState": "clean", "buildDate": "2025-09-09T19:37:42Z",
        "goVersion": "go1.24.6", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// The groups in the order of the table, with the version each is served in.
fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups = Vec::new();
    for resource in RESOURCES {
        if !groups.contains(&(resource.group, resource.version)) {
            groups.push((resource.group, resource.version));
        }
    }
    groups
}

fn rows(group: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(move |resource| resource.group == group)
}

fn verbs(resource: &Resource) -> Value {
    if resource.kind == "SelfSubjectAccessReview" {
        return json!(["create"]);
    }
    json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
}

fn subresource(resource: &Resource, name: &str) -> (Value, Value) {
    match name {
        "scale" => (
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
            json!(["get", "patch", "update"]),
        ),
        "log" => (kind_of(resource, "Pod"), json!(["get"])),
        "portforward" => (kind_of(resource, "PodPortForwardOptions"), json!(["create", "get"])),
        "exec" => (kind_of(resource, "PodExecOptions"), json!(["create", "get"])),
        _ => (kind_of(resource, resource.kind), json!(["get", "patch", "update"])),
    }
}

fn kind_of(resource: &Resource, kind: &str) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": kind})
}

/// `/api`
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

fn group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/apis`
pub(crate) fn group_list() -> Value {
    let list: Vec<Value> = groups()
        .into_iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, version)| group(name, version))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

/// `/apis/GROUP`
pub(crate) fn one_group(name: &str) -> Option<Value> {
    let (_, version) = groups().into_iter().find(|(group, _)| *group == name)?;
    let mut body = group(name, version);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    Some(body)
}

/// `/api/v1`, `/apis/GROUP/VERSION`
pub(crate) fn resource_list(name: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for resource in rows(name).filter(|resource| resource.version == version) {
        list.push(json!({
            "name": resource.plural, "singularName": resource.kind.to_lowercase(),
            "namespaced": resource.namespaced, "kind": resource.kind,
            "verbs": verbs(resource), "shortNames": resource.short,
            "categories": if matches!(resource.plural, "pods" | "services" | "deployments") {
                json!(["all"])
            } else {
                json!([])
            },
        }));
        for sub in resource.subresources {
            let (kind, verbs) = subresource(resource, sub);
            list.push(json!({
                "name": format!("{}/{sub}", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind["kind"], "verbs": verbs,
            }));
        }
    }
    let group_version =
        if name.is_empty() { version.to_owned() } else { format!("{name}/{version}") };
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group_version, "resources": list,
        })
    })
}

/// The aggregated form of `/api` (`core`) or `/apis`.
pub(crate) fn aggregated(core: bool) -> Value {
    let items: Vec<Value> = groups()
        .into_iter()
        .filter(|(name, _)| name.is_empty() == core)
        .map(|(name, version)| {
            let resources: Vec<Value> = rows(name)
                .map(|resource| {
                    let subresources: Vec<Value> = resource
                        .subresources
                        .iter()
                        .map(|sub| {
                            let (kind, verbs) = subresource(resource, sub);
                            json!({"subresource": sub, "responseKind": kind, "verbs": verbs})
                        })
                        .collect();
                    json!({
                        "resource": resource.plural,
                        "responseKind": kind_of(resource, resource.kind),
                        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
                        "singularResource": resource.kind.to_lowercase(),
                        "verbs": verbs(resource), "shortNames": resource.short,
                        "subresources": subresources,
                    })
                })
                .collect();
            json!({
                "metadata": {"name": name, "creationTimestamp": null},
                "versions": [
                    {"version": version, "resources": resources, "freshness": "Current"}
                ],
            })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    })
}

/// `/openapi/v3`: where each group's document is.
pub(crate) fn openapi_root() -> Value {
    let mut paths = serde_json::Map::new();
    for (name, version) in groups() {
        let path = group_path(name, version);
        paths.insert(
            path.clone(),
            json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=0")}),
        );
    }
    json!({"paths": paths})
}

fn group_path(name: &str, version: &str) -> String {
    if name.is_empty() { format!("api/{version}") } else { format!("apis/{name}/{version}") }
}

/// `/openapi/v3/apis/GROUP/VERSION`: no schemas, but the parameters of writes, which kubectl checks
/// before it relies on the server's field validation.
pub(crate) fn openapi_document(path: &str) -> Option<Value> {
    let (name, version) = groups().into_iter().find(|(n, v)| group_path(n, v) == path)?;
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation", "force"]
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    let mut paths = serde_json::Map::new();
    for resource in rows(name) {
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let kind = json!({
            "group": name, "version": version, "kind": resource.kind,
        });
        let path = format!("/{}{scope}/{}/{{name}}", group_path(name, version), resource.plural);
        paths.insert(
            path,
            json!({"patch": {
                "parameters": parameters, "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": kind, "responses": {},
            }}),
        );
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.1"},
        "paths": paths, "components": {"schemas": {}},
    }))
}
