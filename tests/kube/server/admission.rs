//! Admission of valid objects: namespaces, quotas, pod security, and denials scripted by a
//! scenario.

use serde_json::Value;

use super::resource::{Resource, by_kind};
use super::status::Refusal;
use super::store::Store;

/// A write that an admission webhook denies.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    /// `deployments`, `pods`
    pub(crate) plural: &'static str,
    /// `policy.example.com`
    pub(crate) webhook: &'static str,
    pub(crate) message: &'static str,
}

/// Whether the object may be created.
pub(crate) fn admit(
    store: &Store,
    denials: &[Denial],
    resource: &'static Resource,
    object: &Value,
) -> Result<(), Refusal> {
    let (namespace, name) = super::store::identity(object);
    if resource.namespaced {
        let home = by_kind("Namespace");
        let Some(found) = store.get(home, "", &namespace) else {
            return Err(Refusal::not_found(home, &namespace));
        };
        if found["metadata"]["deletionTimestamp"].is_string() {
            return Err(Refusal::terminating(resource, &namespace, &name));
        }
    }
    denied(denials, resource)?;
    webhooks(store, resource)?;
    if resource.kind == "Pod" {
        quota(store, resource, object)?;
        let home = store.get(by_kind("Namespace"), "", &namespace).cloned().unwrap_or_default();
        let level = &home["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        if let Some(level) = level.as_str() {
            let broken = security(level, &object["spec"]);
            if !broken.is_empty() {
                let why = format!("violates PodSecurity \"{level}:latest\": {}", broken.join(", "));
                return Err(Refusal::forbidden(resource, &name, &why));
            }
        }
    }
    Ok(())
}

/// Whether a webhook denies writes of this resource.
pub(crate) fn denied(denials: &[Denial], resource: &Resource) -> Result<(), Refusal> {
    match denials.iter().find(|denial| denial.plural == resource.plural) {
        Some(denial) => Err(Refusal::new(
            403,
            "Forbidden",
            format!(
                "admission webhook {:?} denied the request: {}",
                denial.webhook, denial.message
            ),
        )),
        None => Ok(()),
    }
}

/// Whether every webhook for writes of this resource is reachable: one whose Service has no ready
/// pod refuses connections, and `failurePolicy: Fail` turns that into a denial.
pub(crate) fn webhooks(store: &Store, resource: &Resource) -> Result<(), Refusal> {
    let registered = store.list(by_kind("ValidatingWebhookConfiguration"), None);
    let hooks = registered.flat_map(|one| one["webhooks"].as_array().into_iter().flatten());
    for hook in hooks.filter(|hook| hook["failurePolicy"] != "Ignore") {
        let matches = hook["rules"].as_array().into_iter().flatten().any(|rule| {
            let plurals = rule["resources"].as_array().into_iter().flatten();
            plurals.into_iter().any(|plural| plural == resource.plural)
        });
        let service = &hook["clientConfig"]["service"];
        let text = |field: &str| service[field].as_str().unwrap_or_default();
        let (namespace, name) = (text("namespace"), text("name"));
        if !matches || is_served(store, namespace, name) {
            continue;
        }
        let path = service["path"].as_str().unwrap_or("/");
        let hook = hook["name"].as_str().unwrap_or_default();
        return Err(Refusal::new(
            500,
            "InternalError",
            format!(
                "Internal error occurred: failed calling webhook {hook:?}: failed to call \
                 webhook: Post \"https://{name}.{namespace}.svc:443{path}?timeout=10s\": dial tcp \
                 10.96.3.4:443: connect: connection refused"
            ),
        ));
    }
    Ok(())
}

/// Whether a pod that the Service selects is ready.
fn is_served(store: &Store, namespace: &str, name: &str) -> bool {
    let Some(service) = store.get(by_kind("Service"), namespace, name) else { return false };
    let Some(selector) = service["spec"]["selector"].as_object() else { return false };
    store.list(by_kind("Pod"), Some(namespace)).any(|pod| {
        let ready = pod["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        let labels = &pod["metadata"]["labels"];
        ready && selector.iter().all(|(key, value)| labels[key] == *value)
    })
}

/// `500m` and `2` as thousandths.
pub(crate) fn milli(quantity: &str) -> i64 {
    let (digits, scale) = match quantity.strip_suffix('m') {
        Some(digits) => (digits, 1),
        None => (quantity, 1000),
    };
    digits.parse::<f64>().map_or(0, |amount| (amount * f64::from(scale)) as i64)
}

/// The sum of a pod's requests of one resource, in thousandths.
pub(crate) fn requested(spec: &Value, what: &str) -> i64 {
    spec["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["resources"]["requests"][what].as_str())
        .map(milli)
        .sum()
}

fn quota(store: &Store, resource: &'static Resource, pod: &Value) -> Result<(), Refusal> {
    let (namespace, name) = super::store::identity(pod);
    for quota in store.list(by_kind("ResourceQuota"), Some(&namespace)) {
        let Some(hard) = quota["spec"]["hard"]["pods"].as_str() else { continue };
        let used = store
            .list(resource, Some(&namespace))
            .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")))
            .count();
        if used + 1 > hard.parse::<usize>().unwrap_or(0) {
            let quota = quota["metadata"]["name"].as_str().unwrap_or_default();
            let why = format!(
                "exceeded quota: {quota}, requested: pods=1, used: pods={used}, limited: \
                 pods={hard}"
            );
            return Err(Refusal::forbidden(resource, &name, &why));
        }
    }
    Ok(())
}

fn security(level: &str, spec: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let containers = spec["containers"].as_array().cloned().unwrap_or_default();
    let names = |bad: &dyn Fn(&Value) -> bool| -> Option<String> {
        let bad: Vec<String> = containers
            .iter()
            .filter(|container| bad(&container["securityContext"]))
            .map(|container| container["name"].to_string())
            .collect();
        match bad.len() {
            0 => None,
            1 => Some(format!("container {}", bad[0])),
            _ => Some(format!("containers {}", bad.join(", "))),
        }
    };
    if let Some(who) = names(&|context| context["privileged"] == true) {
        broken.push(format!("privileged ({who} must not set securityContext.privileged=true)"));
    }
    if level != "restricted" {
        return broken;
    }
    let pod = &spec["securityContext"];
    if let Some(who) = names(&|context| context["allowPrivilegeEscalation"] != false) {
        broken.push(format!(
            "allowPrivilegeEscalation != false ({who} must set \
             securityContext.allowPrivilegeEscalation=false)"
        ));
    }
    let drops = |context: &Value| {
        context["capabilities"]["drop"]
            .as_array()
            .is_some_and(|drop| drop.iter().any(|name| name == "ALL"))
    };
    if let Some(who) = names(&|context| !drops(context)) {
        broken.push(format!(
            "unrestricted capabilities ({who} must set \
             securityContext.capabilities.drop=[\"ALL\"])"
        ));
    }
    let root = |context: &Value| pod["runAsNonRoot"] != true && context["runAsNonRoot"] != true;
    if let Some(who) = names(&root) {
        broken.push(format!(
            "runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)"
        ));
    }
    let profile = |context: &Value| {
        pod["seccompProfile"]["type"].is_null() && context["seccompProfile"]["type"].is_null()
    };
    if let Some(who) = names(&profile) {
        broken.push(format!(
            "seccompProfile (pod or {who} must set securityContext.seccompProfile.type to \
             \"RuntimeDefault\" or \"Localhost\")"
        ));
    }
    broken
}
