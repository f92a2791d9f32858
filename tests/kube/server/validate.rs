//! Validation of objects, as far as deployments need it.

use serde_json::{Value, json};

use super::resource::Resource;
use super::selector::selects;
use super::status::{Mistake, Refusal};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn subdomain(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 253
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-' || c == '.')
}

fn containers(spec: &Value, at: &str, mistakes: &mut Vec<Mistake>) {
    let mut names = Vec::new();
    let empty = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = spec[list].as_array().unwrap_or(&empty);
        if list == "containers" && containers.is_empty() {
            mistakes.push(Mistake::required(format!("{at}.containers")));
        }
        for (place, container) in containers.iter().enumerate() {
            let at = format!("{at}.{list}[{place}]");
            match container["name"].as_str() {
                None | Some("") => mistakes.push(Mistake::required(format!("{at}.name"))),
                Some(name) if names.contains(&name) => mistakes.push(Mistake {
                    reason: "FieldValueDuplicate",
                    field: format!("{at}.name"),
                    message: format!("Duplicate value: {name:?}"),
                }),
                Some(name) => names.push(name),
            }
            if container["image"].as_str().unwrap_or_default().is_empty() {
                mistakes.push(Mistake::required(format!("{at}.image")));
            }
            for (number, mount) in
                container["volumeMounts"].as_array().unwrap_or(&empty).iter().enumerate()
            {
                let known = spec["volumes"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|volume| volume["name"] == mount["name"]));
                if !known {
                    mistakes.push(Mistake {
                        reason: "FieldValueNotFound",
                        field: format!("{at}.volumeMounts[{number}].name"),
                        message: format!("Not found: {}", mount["name"]),
                    });
                }
            }
        }
    }
}

fn workload(object: &Value, mistakes: &mut Vec<Mistake>) {
    let spec = &object["spec"];
    if spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        mistakes.push(Mistake::required("spec.selector"));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_object() && !selects(&spec["selector"], labels) {
        let shown = if labels.is_null() { &json!({}) } else { labels };
        mistakes.push(Mistake::invalid(
            "spec.template.metadata.labels",
            shown,
            "`selector` does not match template `labels`",
        ));
    }
    containers(&spec["template"]["spec"], "spec.template.spec", mistakes);
    if spec["strategy"]["type"] == "Recreate" && spec["strategy"]["rollingUpdate"].is_object() {
        mistakes.push(Mistake::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        mistakes.push(Mistake::invalid(
            "spec.replicas",
            &spec["replicas"],
            "must be greater than or equal to 0",
        ));
    }
}

fn immutable(path: &str, old: &Value, new: &Value, mistakes: &mut Vec<Mistake>) {
    if old != new {
        mistakes.push(Mistake::invalid(path, new, "field is immutable"));
    }
}

/// Fields of a StatefulSet's spec that may change.
const STATEFUL_MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn changes(kind: &str, old: &Value, new: &Value, mistakes: &mut Vec<Mistake>) {
    let (before, after) = (&old["spec"], &new["spec"]);
    match kind {
        "Deployment" | "ReplicaSet" | "DaemonSet" => {
            immutable("spec.selector", &before["selector"], &after["selector"], mistakes);
        }
        "StatefulSet" => {
            let fixed = |spec: &Value| {
                let mut spec = spec.clone();
                if let Some(spec) = spec.as_object_mut() {
                    spec.retain(|name, _| !STATEFUL_MUTABLE.contains(&name.as_str()));
                }
                spec
            };
            if fixed(before) != fixed(after) {
                mistakes.push(Mistake::forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                     'template', 'updateStrategy', 'revisionHistoryLimit', \
                     'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ));
            }
        }
        "Job" => {
            immutable("spec.selector", &before["selector"], &after["selector"], mistakes);
            immutable("spec.completions", &before["completions"], &after["completions"], mistakes);
            immutable("spec.template", &before["template"], &after["template"], mistakes);
        }
        "ConfigMap" | "Secret"
            if old["immutable"] == true
                && (old["data"] != new["data"] || new["immutable"] != true) =>
        {
            mistakes.push(Mistake::forbidden("data", "field is immutable when `immutable` is set"));
        }
        "Service"
            if before["clusterIP"] != after["clusterIP"] && before["clusterIP"].is_string() =>
        {
            mistakes.push(Mistake::invalid(
                "spec.clusterIPs[0]",
                &after["clusterIPs"],
                "may not change once set",
            ));
        }
        "Pod" => {
            let fixed = |spec: &Value| {
                let mut spec = spec.clone();
                for container in spec["containers"].as_array_mut().into_iter().flatten() {
                    container["image"] = Value::Null;
                }
                if let Some(spec) = spec.as_object_mut() {
                    spec.retain(|name, _| {
                        !matches!(
                            name.as_str(),
                            "tolerations" | "activeDeadlineSeconds" | "nodeName"
                        )
                    });
                }
                spec
            };
            if fixed(before) != fixed(after) {
                mistakes.push(Mistake::forbidden(
                    "spec",
                    "pod updates may not change fields other than \
                     `spec.containers[*].image`,`spec.initContainers[*].image`,\
                     `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                     existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
                     set to 1 if it was previously negative)",
                ));
            }
        }
        _ => {}
    }
}

/// Validates an object that replaces `old`.
pub(crate) fn check(
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut mistakes = Vec::new();
    if name.is_empty() {
        mistakes.push(Mistake {
            reason: "FieldValueRequired",
            field: "metadata.name".to_owned(),
            message: "Required value: name or generateName is required".to_owned(),
        });
    } else if !subdomain(name) {
        mistakes.push(Mistake::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
    match resource.kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            workload(object, &mut mistakes);
        }
        "Pod" => containers(&object["spec"], "spec", &mut mistakes),
        "Job" => {
            containers(&object["spec"]["template"]["spec"], "spec.template.spec", &mut mistakes);
            let restart = &object["spec"]["template"]["spec"]["restartPolicy"];
            if !matches!(restart.as_str(), Some("Never" | "OnFailure")) {
                mistakes.push(Mistake {
                    reason: "FieldValueRequired",
                    field: "spec.template.spec.restartPolicy".to_owned(),
                    message: "Required value: valid values: \"OnFailure\", \"Never\"".to_owned(),
                });
            }
        }
        "Service" => {
            let headless = object["spec"]["clusterIP"] == "None";
            let ports = object["spec"]["ports"].as_array().is_some_and(|ports| !ports.is_empty());
            if !ports && !headless && object["spec"]["type"] != "ExternalName" {
                mistakes.push(Mistake::required("spec.ports"));
            }
        }
        _ => {}
    }
    if let Some(old) = old {
        changes(resource.kind, old, object, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Refusal::invalid(resource, name, &mistakes)) }
}
