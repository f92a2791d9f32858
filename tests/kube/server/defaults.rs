//! Defaults that the API server sets.

use serde_json::{Value, json};

use super::resource::Resource;

fn set(object: &mut Value, name: &str, value: Value) {
    let object = object.as_object_mut().unwrap();
    if object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), value);
    }
}

fn items<'a>(object: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets the defaults of the fields that the tests need.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    let kind = resource.kind;
    if let Some(data) = object.get("stringData").cloned()
        && kind == "Secret"
    {
        encode(object, &data);
    }
    if kind == "Secret" {
        set(object, "type", json!("Opaque"));
    }
    if kind == "Namespace" {
        set(object, "spec", json!({"finalizers": ["kubernetes"]}));
        set(object, "status", json!({"phase": "Active"}));
        let name = object["metadata"]["name"].clone();
        set(&mut object["metadata"], "labels", json!({}));
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    match kind {
        "Pod" => pod(spec, "Always"),
        "Deployment" => deployment(spec),
        "ReplicaSet" => {
            set(spec, "replicas", json!(1));
            pod(&mut spec["template"]["spec"], "Always");
        }
        "StatefulSet" => stateful_set(spec),
        "DaemonSet" => {
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "updateStrategy", json!({}));
            set(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
            if spec["updateStrategy"]["type"] == "RollingUpdate" {
                set(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
                set(&mut spec["updateStrategy"]["rollingUpdate"], "maxSurge", json!(0));
                set(&mut spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", json!(1));
            }
            pod(&mut spec["template"]["spec"], "Always");
        }
        "Job" => job(spec),
        "CronJob" => {
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            job(&mut spec["jobTemplate"]["spec"]);
        }
        "Service" => service(spec),
        "HorizontalPodAutoscaler" => set(spec, "minReplicas", json!(1)),
        "PersistentVolumeClaim" => {
            set(spec, "volumeMode", json!("Filesystem"));
            set(object, "status", json!({"phase": "Pending"}));
        }
        "NetworkPolicy" => set(spec, "policyTypes", json!(["Ingress"])),
        "Ingress" => {
            for rule in items(spec, "rules") {
                if let Some(http) = rule.get_mut("http") {
                    for path in items(http, "paths") {
                        set(path, "pathType", json!("ImplementationSpecific"));
                    }
                }
            }
        }
        _ => {}
    }
}

fn encode(object: &mut Value, data: &Value) {
    use base64::Engine as _;
    set(object, "data", json!({}));
    for (name, value) in data.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        object["data"][name] = json!(base64::engine::general_purpose::STANDARD.encode(text));
    }
    object.as_object_mut().unwrap().shift_remove("stringData");
}

fn deployment(spec: &mut Value) {
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
    set(spec, "strategy", json!({}));
    set(&mut spec["strategy"], "type", json!("RollingUpdate"));
    if spec["strategy"]["type"] == "RollingUpdate" {
        set(&mut spec["strategy"], "rollingUpdate", json!({}));
        set(&mut spec["strategy"]["rollingUpdate"], "maxSurge", json!("25%"));
        set(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", json!("25%"));
    }
    pod(&mut spec["template"]["spec"], "Always");
}

fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "serviceName", json!(""));
    set(
        spec,
        "persistentVolumeClaimRetentionPolicy",
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
    );
    set(spec, "updateStrategy", json!({}));
    set(&mut spec["updateStrategy"], "type", json!("RollingUpdate"));
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        set(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
        set(&mut spec["updateStrategy"]["rollingUpdate"], "partition", json!(0));
    }
    pod(&mut spec["template"]["spec"], "Always");
}

fn job(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    pod(&mut spec["template"]["spec"], "Always");
}

fn service(spec: &mut Value) {
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    set(spec, "internalTrafficPolicy", json!("Cluster"));
    set(spec, "ipFamilies", json!(["IPv4"]));
    set(spec, "ipFamilyPolicy", json!("SingleStack"));
    if spec["type"] != "ExternalName" {
        let last = uuid::Uuid::new_v4().as_bytes()[0];
        set(spec, "clusterIP", json!(format!("10.96.7.{last}")));
        let address = spec["clusterIP"].clone();
        set(spec, "clusterIPs", json!([address]));
    }
    for port in items(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        set(port, "targetPort", number);
    }
}

fn probe(container: &mut Value, name: &str) {
    let Some(probe) = container.get_mut(name).filter(|probe| probe.is_object()) else { return };
    set(probe, "timeoutSeconds", json!(1));
    set(probe, "periodSeconds", json!(10));
    set(probe, "successThreshold", json!(1));
    set(probe, "failureThreshold", json!(3));
    if let Some(get) = probe.get_mut("httpGet") {
        set(get, "path", json!("/"));
        set(get, "scheme", json!("HTTP"));
    }
}

/// A pod's spec, in a pod or in a template.
pub(crate) fn pod(spec: &mut Value, restart: &str) {
    if !spec.is_object() {
        return;
    }
    set(spec, "restartPolicy", json!(restart));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "schedulerName", json!("default-scheduler"));
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers"] {
        for container in items(spec, list) {
            let image = container["image"].as_str().unwrap_or_default();
            let tag = image.rsplit('/').next().unwrap_or_default();
            let moving = !tag.contains('@') && (!tag.contains(':') || tag.ends_with(":latest"));
            set(
                container,
                "imagePullPolicy",
                json!(if moving { "Always" } else { "IfNotPresent" }),
            );
            set(container, "terminationMessagePath", json!("/dev/termination-log"));
            set(container, "terminationMessagePolicy", json!("File"));
            set(container, "resources", json!({}));
            for port in items(container, "ports") {
                set(port, "protocol", json!("TCP"));
            }
            for variable in items(container, "env") {
                if let Some(from) = variable.get_mut("valueFrom")
                    && let Some(field) = from.get_mut("fieldRef")
                {
                    set(field, "apiVersion", json!("v1"));
                }
            }
            for name in ["readinessProbe", "livenessProbe", "startupProbe"] {
                probe(container, name);
            }
        }
    }
    for volume in items(spec, "volumes") {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source) {
                set(source, "defaultMode", json!(420));
            }
        }
    }
}

/// What admission adds to a pod.
pub(crate) fn admit_pod(object: &mut Value) {
    let spec = &mut object["spec"];
    set(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    set(spec, "serviceAccount", account);
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set(spec, "priority", json!(0));
    set(spec, "tolerations", json!([]));
    if spec["tolerations"].as_array().is_some_and(Vec::is_empty) {
        let toleration = |key: &str| {
            json!({
                "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300,
            })
        };
        spec["tolerations"] = json!([
            toleration("node.kubernetes.io/not-ready"),
            toleration("node.kubernetes.io/unreachable"),
        ]);
    }
    object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
}
