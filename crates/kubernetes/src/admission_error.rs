//! What a refusal (403) means, as a sentence and with the rule to add. What was refused to whom is
//! taken from the `details` of the API's Status where they have it (group, resource, name). The
//! verb, the account and the scope stand in the message alone, and so does what an admission
//! controller wants: the API has one code for all of them and no field that tells a full quota
//! from a rule. This one table reads those words.

use std::fmt;
use std::sync::LazyLock;

use kube::core::Status;
use regex::Regex;

/// Words of the ResourceQuota controller (`plugin/pkg/admission/resourcequota`).
const QUOTA: &[&str] = &["exceeded quota:", "exceeded hierarchical quota:"];

/// Whether a denial that is not the authorizer's is of a quota that is used up.
pub(super) fn is_quota(message: &str) -> bool {
    QUOTA.iter().any(|words| message.contains(words))
}

/// A right that an account lacks, as the authorizer says it
/// (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingRight {
    account: String,
    verb: String,
    /// `deployments`, `pods/log`
    resource: String,
    group: String,
    /// `None` for the whole cluster.
    namespace: Option<String>,
    /// What the authorizer adds, such as where Azure keeps the role.
    reason: String,
}

impl MissingRight {
    /// What a refusal says; `None` for one that is not the authorizer's.
    pub(super) fn of(status: &Status) -> Option<Self> {
        static REFUSAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let text = r#"User "((?:[^"\\]|\\.)*)" cannot (\S+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)"| at the cluster scope)?(?:: (?s:(.*)))?$"#;
            Regex::new(text).ok()
        });
        if status.code != 403 {
            return None;
        }
        let found = REFUSAL.as_ref()?.captures(&status.message)?;
        let text = |i: usize| found.get(i).map_or("", |found| found.as_str());
        let details = status.details.as_ref();
        let detail = |of: fn(&kube::core::response::StatusDetails) -> &String| {
            details.map(of).filter(|text| !text.is_empty()).cloned()
        };
        // The details name the resource without its subresource.
        let resource = match text(3).split_once('/') {
            Some((resource, sub)) => {
                format!("{}/{sub}", detail(|d| &d.kind).unwrap_or_else(|| resource.to_owned()))
            }
            None => detail(|d| &d.kind).unwrap_or_else(|| text(3).to_owned()),
        };
        let namespace = text(5);
        Some(Self {
            account: text(1).replace("\\\"", "\""),
            verb: text(2).to_owned(),
            resource,
            group: detail(|d| &d.group).unwrap_or_else(|| text(4).to_owned()),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            reason: text(6).to_owned(),
        })
    }

    /// `{apiGroups: ["apps"], resources: ["deployments"], verbs: ["patch"]}`
    pub(super) fn rule(&self) -> String {
        let kind = if self.namespace.is_some() { "Role" } else { "ClusterRole" };
        format!(
            "add to the account's {kind}: {{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: \
             [\"{}\"]}}",
            self.group, self.resource, self.verb
        )
    }
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(
            f,
            "the account `{}` is not permitted to {} {}{dot}{}",
            self.account, self.verb, self.resource, self.group
        )?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}")?,
            None => f.write_str(" in the whole cluster")?,
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        Ok(())
    }
}

/// What can be done about a namespace that is being deleted.
pub(super) const ENDING: &str = "wait until it is gone and run again, which creates it again, or name \
                                 another namespace";

/// Whether the namespace is being deleted: nobody can create anything in it.
pub(super) fn is_ending(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}

/// A refusal as a sentence, and the lines that go with it.
pub(super) fn in_words(status: &Status) -> Option<(String, Vec<String>)> {
    if status.code != 403 {
        return None;
    }
    if is_ending(status) {
        return Some((format!("{}: {ENDING}", admission(status)), Vec::new()));
    }
    if let Some(right) = MissingRight::of(status) {
        let said = format!("the API server reports: {}", status.message);
        return Some((right.to_string(), vec![right.rule(), said]));
    }
    Some((admission(status), Vec::new()))
}

/// The same of an error; `None` for one that is no refusal.
pub(super) fn of_error(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) => {
            let right = MissingRight::of(status)?;
            Some(format!("{right}; {}", right.rule()))
        }
        _ => None,
    }
}

/// What an admission controller or a webhook says, without what the Status says besides.
fn admission(status: &Status) -> String {
    static WEBHOOK: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"^admission webhook "([^"]+)" denied the request(?:: (?s:(.*))| without explanation)?$"#).ok()
    });
    let message = status.message.as_str();
    if let Some(found) = WEBHOOK.as_ref().and_then(|webhook| webhook.captures(message)) {
        let name = found.get(1).map_or("", |name| name.as_str());
        let why = found.get(2).map_or("it gives no reason", |why| why.as_str());
        return format!("the admission webhook `{name}` denied the request: {why}");
    }
    let Some(details) = &status.details else { return message.to_owned() };
    let dot = if details.group.is_empty() { "" } else { "." };
    let head =
        format!("{}{dot}{} \"{}\" is forbidden: ", details.kind, details.group, details.name);
    match message.strip_prefix(&head) {
        Some(why) => format!("admission denied {} {}: {why}", details.kind, details.name),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(message: &str, details: serde_json::Value) -> Status {
        serde_json::from_value(json!({"status": "Failure", "reason": "Forbidden", "code": 403,
            "message": message, "details": details}))
        .unwrap()
    }

    #[test]
    fn a_full_quota_is_told_from_a_rule() {
        for (message, expect) in [
            (
                "persistentvolumeclaims \"data\" is forbidden: exceeded quota: storage, requested: \
                 requests.storage=10Gi, used: requests.storage=95Gi, limited: \
                 requests.storage=100Gi",
                true,
            ),
            (
                "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": \
                 runAsNonRoot != true",
                false,
            ),
            ("admission webhook \"policy.example.org\" denied the request: no owner label", false),
        ] {
            assert_eq!(is_quota(message), expect, "{message}");
        }
    }

    #[test]
    fn a_missing_right_is_a_sentence_and_a_rule() {
        for (message, details, sentence, rule) in [
            (
                "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:ci:deployer\" \
                 cannot patch resource \"deployments\" in API group \"apps\" in the namespace \
                 \"shop\"",
                json!({"name": "web", "group": "apps", "kind": "deployments"}),
                "the account `system:serviceaccount:ci:deployer` is not permitted to patch \
                 deployments.apps in namespace shop",
                "add to the account's Role: {apiGroups: [\"apps\"], resources: [\"deployments\"], \
                 verbs: [\"patch\"]}",
            ),
            (
                "pods \"web-1\" is forbidden: User \"ci\" cannot get resource \"pods/log\" in API \
                 group \"\" in the namespace \"shop\"",
                json!({"name": "web-1", "kind": "pods"}),
                "the account `ci` is not permitted to get pods/log in namespace shop",
                "add to the account's Role: {apiGroups: [\"\"], resources: [\"pods/log\"], verbs: \
                 [\"get\"]}",
            ),
            (
                "namespaces is forbidden: User \"ci\" cannot create resource \"namespaces\" in API \
                 group \"\" at the cluster scope: Azure does not have opinion for this user.",
                json!({"kind": "namespaces"}),
                "the account `ci` is not permitted to create namespaces in the whole cluster (Azure \
                 does not have opinion for this user.)",
                "add to the account's ClusterRole: {apiGroups: [\"\"], resources: \
                 [\"namespaces\"], verbs: [\"create\"]}",
            ),
        ] {
            let right = MissingRight::of(&status(message, details)).unwrap();
            assert_eq!(right.to_string(), sentence);
            assert_eq!(right.rule(), rule);
        }
    }

    #[test]
    fn what_admission_refuses_is_a_sentence() {
        for (message, details, expect) in [
            (
                "admission webhook \"policy.example.org\" denied the request: no owner label",
                json!(null),
                "the admission webhook `policy.example.org` denied the request: no owner label",
            ),
            (
                "admission webhook \"policy.example.org\" denied the request without explanation",
                json!(null),
                "the admission webhook `policy.example.org` denied the request: it gives no reason",
            ),
            (
                "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": \
                 runAsNonRoot != true",
                json!({"name": "web", "kind": "pods"}),
                "admission denied pods web: violates PodSecurity \"restricted:latest\": \
                 runAsNonRoot != true",
            ),
            ("no", json!(null), "no"),
        ] {
            let (sentence, _) = in_words(&status(message, details)).unwrap();
            assert_eq!(sentence, expect);
        }
    }
}
