//! The hub and workers in `k8s/`, as rendered by kustomize; `manifests` validates each document.

use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use super::{grace, installed, is_secret, read, root, text};

const VARIANTS: [&str; 6] = [
    "hub/postgres",
    "hub/sqlite",
    "worker/backend",
    "worker/frontend",
    "worker/backend-keda",
    "worker/frontend-keda",
];

fn rendered(variant: &str) -> Option<Vec<Value>> {
    let folder = root().join("k8s").join(variant);
    let output = installed(Command::new("kubectl").arg("kustomize").arg(folder))?;
    assert!(output.status.success(), "{variant}: {}", text(&output));
    Some(serde_yaml::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap())
}

fn all(documents: &[Value], kind: &str) -> Vec<Value> {
    documents.iter().filter(|document| document["kind"] == kind).cloned().collect()
}

fn the(documents: &[Value], kind: &str) -> Value {
    let found = all(documents, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found.into_iter().next().unwrap()
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[test]
fn every_pod_is_locked_down() {
    for variant in VARIANTS {
        let Some(documents) = rendered(variant) else { return };
        assert!(all(&documents, "Secret").is_empty(), "{variant}: a secret in the repository");
        let deployment = the(&documents, "Deployment");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{variant}");
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{variant}");
        assert!(context["runAsUser"].as_u64().unwrap() > 0, "{variant}");
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{variant}");
        for absent in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.get(absent).is_none(), "{variant}: {absent}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{variant}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{variant}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{variant}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{variant}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{variant}");
            let image = container["image"].as_str().unwrap();
            assert!(image.contains("@sha256:"), "{variant}: {image}");
            if container.get("ports").is_some() {
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    assert!(container[probe].is_object(), "{variant}: no {probe}");
                }
            }
            for entry in container["env"].as_array().unwrap() {
                let name = entry["name"].as_str().unwrap();
                let written = entry["value"].as_str().unwrap_or_default();
                let open = written.is_empty() || written.starts_with("sqlite:");
                assert!(!is_secret(name) || open, "{variant}: {name} is written down");
            }
        }
        assert!(pod["volumes"].as_array().unwrap().iter().all(|v| v.get("hostPath").is_none()));
    }
}

#[test]
fn everything_finds_the_pods_it_means() {
    for variant in VARIANTS {
        let Some(documents) = rendered(variant) else { return };
        let deployment = the(&documents, "Deployment");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert!(selects(&deployment["spec"]["selector"]["matchLabels"], labels), "{variant}");
        for policy in all(&documents, "NetworkPolicy") {
            assert!(selects(&policy["spec"]["podSelector"]["matchLabels"], labels), "{variant}");
            assert_eq!(policy["spec"]["policyTypes"][1], "Egress", "{variant}");
        }
        for budget in all(&documents, "PodDisruptionBudget") {
            assert!(selects(&budget["spec"]["selector"]["matchLabels"], labels), "{variant}");
        }
        for service in all(&documents, "Service") {
            assert!(selects(&service["spec"]["selector"], labels), "{variant}");
        }
        let account = the(&documents, "ServiceAccount");
        assert_eq!(account["automountServiceAccountToken"], false, "{variant}");
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], account["metadata"]["name"], "{variant}");
        for document in &documents {
            if document["kind"] != "Namespace" {
                assert_eq!(document["metadata"]["namespace"], "greenloop", "{variant}");
            }
        }
    }
}

/// Two roles in one namespace: neither Deployment selects the other's pods.
#[test]
fn roles_stay_apart() {
    let (Some(backend), Some(frontend)) = (rendered("worker/backend"), rendered("worker/frontend"))
    else {
        return;
    };
    for (one, other) in [(&backend, &frontend), (&frontend, &backend)] {
        let selector = &the(one, "Deployment")["spec"]["selector"]["matchLabels"];
        let labels = &the(other, "Deployment")["spec"]["template"]["metadata"]["labels"];
        assert!(!selects(selector, labels), "{selector} selects {labels}");
    }
}

#[test]
fn a_worker_reaches_the_hub_git_and_dns() {
    let Some(documents) = rendered("worker/backend") else { return };
    let policy = the(&documents, "NetworkPolicy");
    assert_eq!(policy["spec"].get("ingress").and_then(Value::as_array).map_or(0, Vec::len), 0);
    let mut ports = Vec::new();
    for rule in policy["spec"]["egress"].as_array().unwrap() {
        ports.extend(rule["ports"].as_array().unwrap().iter().map(|p| p["port"].as_u64().unwrap()));
        for to in rule["to"].as_array().unwrap() {
            if let Some(block) = to.get("ipBlock") {
                let except: Vec<&str> =
                    block["except"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                // The metadata service, and the rest of the cluster and its network.
                assert!(except.contains(&"169.254.0.0/16") && except.contains(&"10.0.0.0/8"));
            }
        }
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports, [22, 53, 443, 7474]);
    let Some(hub) = rendered("hub/sqlite") else { return };
    let labels = &the(&hub, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let to = &policy["spec"]["egress"][1]["to"][0];
    assert!(selects(&to["podSelector"]["matchLabels"], labels));
    let from = &the(&hub, "NetworkPolicy")["spec"]["ingress"][0]["from"][0];
    let worker = &the(&documents, "Deployment")["spec"]["template"]["metadata"]["labels"];
    assert!(selects(&from["podSelector"]["matchLabels"], worker));
}

#[test]
fn a_drained_worker_has_the_time_its_tasks_are_given_and_runs_on_spot_nodes() {
    let Some(documents) = rendered("worker/backend") else { return };
    let pod = &the(&documents, "Deployment")["spec"]["template"]["spec"];
    let args: Vec<&str> =
        pod["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let grace = grace(args).expect("--grace");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= grace + 30);
    let spot = "kubernetes.azure.com/scalesetpriority";
    let toleration = &pod["tolerations"][0];
    assert_eq!((&toleration["key"], &toleration["value"]), (&spot.into(), &"spot".into()));
    let affinity = &pod["affinity"]["nodeAffinity"];
    let preferred = &affinity["preferredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(preferred["preference"]["matchExpressions"][0]["key"], spot);
}

#[test]
fn two_hubs_only_where_the_store_can() {
    let (Some(postgres), Some(sqlite)) = (rendered("hub/postgres"), rendered("hub/sqlite")) else {
        return;
    };
    let hubs = |documents: &[Value]| the(documents, "Deployment")["spec"].clone();
    assert_eq!(hubs(&postgres)["replicas"], 2);
    assert_eq!(hubs(&sqlite)["replicas"], 1);
    // Two pods with one disk would write to one database.
    assert_eq!(hubs(&sqlite)["strategy"]["type"], "Recreate");
    let claim = the(&sqlite, "PersistentVolumeClaim");
    assert_eq!(claim["spec"]["accessModes"][0], "ReadWriteOncePod");
    let volumes = hubs(&sqlite)["template"]["spec"]["volumes"].clone();
    assert!(volumes.as_array().unwrap().iter().any(|volume| {
        volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    }));
}

/// The keys of KEDA's ScaledObject (`keda.sh/v1alpha1`) that ours use: any other key is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScaledObjectSpec {
    scale_target_ref: ScaleTarget,
    min_replica_count: u32,
    max_replica_count: u32,
    polling_interval: u32,
    cooldown_period: u32,
    advanced: Advanced,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleTarget {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Advanced {
    horizontal_pod_autoscaler_config: Autoscaler,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Autoscaler {
    behavior: k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    r#type: String,
    metadata: Prometheus,
}

/// Every value of a trigger's metadata is a string, numbers and booleans too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Prometheus {
    server_address: String,
    query: String,
    threshold: String,
    activation_threshold: String,
    ignore_null_values: String,
}

#[test]
fn workers_are_scaled_by_what_is_pending_down_to_none() {
    for role in ["backend", "frontend"] {
        let Some(documents) = rendered(&format!("worker/{role}-keda")) else { return };
        let object = the(&documents, "ScaledObject");
        assert_eq!(object["apiVersion"], "keda.sh/v1alpha1");
        let spec: ScaledObjectSpec = serde_json::from_value(object["spec"].clone()).unwrap();
        let deployment = the(&documents, "Deployment");
        assert_eq!(spec.scale_target_ref.name, deployment["metadata"]["name"]);
        // Two owners of `replicas` would conflict.
        assert!(deployment["spec"].get("replicas").is_none());
        assert_eq!(spec.min_replica_count, 0);
        assert!(spec.max_replica_count > 0 && spec.polling_interval <= 30);
        assert!(spec.cooldown_period >= 60);
        let behavior = spec.advanced.horizontal_pod_autoscaler_config.behavior;
        assert!(behavior.scale_down.unwrap().stabilization_window_seconds.unwrap() >= 60);
        let trigger = spec.triggers.first().unwrap();
        assert_eq!(trigger.r#type, "prometheus");
        let prometheus = &trigger.metadata;
        assert!(prometheus.query.contains("greenloop_tasks_pending"), "{}", prometheus.query);
        assert!(prometheus.query.contains(&format!("role=~\"{role}|\"")), "{}", prometheus.query);
        assert_eq!(the(&documents, "ConfigMap")["data"]["role"], role);
        assert!(prometheus.server_address.starts_with("http"));
        assert!(prometheus.threshold.parse::<f64>().unwrap() >= 1.0);
        assert_eq!(prometheus.activation_threshold, "0");
        assert_eq!(prometheus.ignore_null_values, "false");
    }
}

/// A cluster without KEDA has no ScaledObject, and `apply -k` would fail halfway.
#[test]
fn a_cluster_needs_nothing_of_its_own_without_the_overlay_for_it() {
    for variant in ["hub/postgres", "hub/sqlite", "worker/backend", "worker/frontend"] {
        let Some(documents) = rendered(variant) else { return };
        for document in &documents {
            let version = document["apiVersion"].as_str().unwrap();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let built_in = ["", "apps", "policy"].contains(&group) || group.ends_with(".k8s.io");
            assert!(built_in, "{variant}: {version} {}", document["kind"]);
        }
    }
}

#[test]
fn a_worker_takes_the_keys_of_models_and_reaches_git_by_ssh() {
    let text = read("k8s/worker/base/deployment.yaml");
    let deployment: Value = serde_yaml::from_str(&text).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let models = &container["envFrom"][0]["secretRef"];
    assert_eq!((&models["name"], &models["optional"]), (&"greenloop-models".into(), &true.into()));
    let ssh =
        container["env"].as_array().unwrap().iter().find(|it| it["name"] == "GIT_SSH_COMMAND");
    let command = ssh.unwrap()["value"].as_str().unwrap();
    assert!(command.starts_with("ssh ") && !command.contains('\n'), "{command}");
    assert!(read("Dockerfile").contains("openssh-client"), "the image has the program");
}

/// The check without kubectl: every file that a kustomization names exists.
#[test]
fn a_kustomization_names_files_that_are_there() {
    for variant in VARIANTS.into_iter().chain(["hub/base", "worker/base", "worker/keda"]) {
        let text = read(&format!("k8s/{variant}/kustomization.yaml"));
        let kustomization: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(kustomization["kind"], "Kustomization");
        for resource in kustomization["resources"].as_array().unwrap() {
            let path = root().join("k8s").join(variant).join(resource.as_str().unwrap());
            assert!(path.exists(), "{}", path.display());
        }
    }
}
