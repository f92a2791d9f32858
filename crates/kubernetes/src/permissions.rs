//! What the account must be able to do, and whether it may.

use kube::discovery::ApiResource;

use super::cluster::{AccessRequest, Cluster, Kind};
use super::error::KubernetesError;
use super::manifest::order;

/// One right that a run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// `patch`
    pub verb: &'static str,
    /// As RBAC writes it: `deployments.apps`, `pods/log`.
    pub resource: String,
    /// Where; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Whether the API server allows it.
    pub allowed: bool,
}

/// A right that is asked about.
#[derive(Debug, Clone)]
pub(super) struct Need {
    verb: &'static str,
    resource: ApiResource,
    subresource: Option<&'static str>,
    namespace: Option<String>,
    name: Option<String>,
}

/// What is asked about once, however often it is needed.
type Key = (String, &'static str, Option<String>, Option<String>);

impl Need {
    fn key(&self) -> Key {
        (self.title(), self.verb, self.namespace.clone(), self.name.clone())
    }

    fn title(&self) -> String {
        let mut title = self.resource.plural.clone();
        if let Some(subresource) = self.subresource {
            title.push('/');
            title.push_str(subresource);
        }
        if !self.resource.group.is_empty() {
            title.push('.');
            title.push_str(&self.resource.group);
        }
        title
    }
}

/// A resource and the verbs that are needed of it.
type Row = (&'static str, &'static str, Option<&'static str>, &'static [&'static str]);

/// What every run needs in its namespace: the lease, the records, and what a rollout is judged by.
const ALWAYS: &[Row] = &[
    ("coordination.k8s.io/v1", "leases", None, &["get", "create", "update"]),
    ("v1", "secrets", None, &["get", "list", "create", "update", "delete"]),
    ("v1", "pods", None, &["get", "list", "watch", "delete"]),
    ("v1", "pods", Some("log"), &["get"]),
    ("v1", "events", None, &["list", "watch"]),
    ("apps/v1", "replicasets", None, &["list", "watch"]),
    ("apps/v1", "controllerrevisions", None, &["list"]),
    ("autoscaling/v2", "horizontalpodautoscalers", None, &["list"]),
];
/// What a port-forward needs: over a WebSocket it is a `get`, and since Kubernetes 1.35 a `create`
/// besides.
const FORWARD: &[Row] =
    &[("v1", "services", None, &["get"]), ("v1", "pods", Some("portforward"), &["get", "create"])];
/// What is done with an object of a release.
const OBJECT: &[&str] = &["get", "patch", "create"];
/// And with one that goes with a release that failed.
const REMOVED: &[&str] = &["delete"];
/// What is done besides with one that is followed.
const FOLLOWED: &[&str] = &["list", "watch"];
/// And with one that can go back to a revision of its own.
const UNDONE: &[&str] = &["list", "watch", "update"];

fn resource(api_version: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: String::new(),
        plural: plural.to_owned(),
    }
}

/// Where an object is to be.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// In this namespace; its name does not matter.
    Namespace(String),
    /// In the cluster itself, under this name: rights there are often given for names alone.
    Cluster(String),
}

/// All that is needed in `namespace`, with a port-forward when one is wanted, and for objects of
/// `kinds` in their places.
pub(super) fn needs(namespace: &str, forwards: bool, kinds: &[(Kind, Scope)]) -> Vec<Need> {
    let forward = FORWARD.iter().filter(|_| forwards);
    let mut needs: Vec<Need> = ALWAYS
        .iter()
        .chain(forward)
        .flat_map(|(api_version, plural, subresource, verbs)| {
            verbs.iter().map(|verb| Need {
                verb,
                resource: resource(api_version, plural),
                subresource: *subresource,
                namespace: Some(namespace.to_owned()),
                name: None,
            })
        })
        .collect();
    for (kind, place) in kinds {
        let followed = match (kind.resource.group.as_str(), kind.resource.kind.as_str()) {
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => UNDONE,
            ("batch", "Job") => FOLLOWED,
            _ => &[],
        };
        let stays = order::holds_data(&kind.resource.group, &kind.resource.kind);
        let removed = REMOVED.iter().filter(|_| !stays);
        let (namespace, name) = match place {
            Scope::Namespace(namespace) => (Some(namespace.clone()), None),
            Scope::Cluster(name) => (None, Some(name.clone())),
        };
        needs.extend(OBJECT.iter().chain(removed).chain(followed).map(|verb| Need {
            verb,
            resource: kind.resource.clone(),
            subresource: None,
            namespace: namespace.clone(),
            name: name.clone(),
        }));
    }
    let mut seen = std::collections::BTreeSet::new();
    needs.retain(|need| seen.insert(need.key()));
    needs
}

/// Asks the API server about each.
///
/// # Errors
/// When it does not answer.
pub(super) async fn ask(
    cluster: &Cluster,
    needs: Vec<Need>,
) -> Result<Vec<Permission>, KubernetesError> {
    let mut permissions = Vec::with_capacity(needs.len());
    for need in needs {
        let allowed = cluster
            .may(&AccessRequest {
                verb: need.verb,
                resource: &need.resource,
                subresource: need.subresource,
                namespace: need.namespace.as_deref(),
                name: need.name.as_deref(),
            })
            .await?;
        let resource = need.title();
        permissions.push(Permission {
            verb: need.verb,
            resource,
            namespace: need.namespace,
            allowed,
        });
    }
    Ok(permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_is_asked_once() {
        let secrets = Kind { resource: resource("v1", "secrets"), namespaced: true };
        let mut deployments =
            Kind { resource: resource("apps/v1", "deployments"), namespaced: true };
        deployments.resource.kind = "Deployment".to_owned();
        let namespaces = Kind {
            resource: ApiResource { kind: "Namespace".to_owned(), ..resource("v1", "namespaces") },
            namespaced: false,
        };
        let shop = || Scope::Namespace("shop".to_owned());
        let namespace = Scope::Cluster("shop".to_owned());
        let kinds = [(secrets, shop()), (deployments, shop()), (namespaces, namespace)];
        let titles: Vec<String> = needs("shop", true, &kinds)
            .iter()
            .map(|need| format!("{} {}", need.verb, need.title()))
            .collect();
        let count = |text: &str| titles.iter().filter(|title| *title == text).count();
        for (text, expect) in [
            ("create secrets", 1),
            ("patch secrets", 1),
            ("watch deployments.apps", 1),
            ("get pods/portforward", 1),
            ("get pods/log", 1),
            ("watch secrets", 0),
            ("create namespaces", 1),
            // It would take everything in it along.
            ("delete namespaces", 0),
        ] {
            assert_eq!(count(text), expect, "{text}");
        }
    }

    /// The Role that people are told to give, against what is asked of a cluster: nothing is
    /// missing, and nothing is given that is not needed for the kinds it speaks of.
    #[test]
    fn the_role_in_the_repository_gives_what_is_needed_and_no_more() {
        use k8s_openapi::api::rbac::v1::Role;
        use std::collections::BTreeSet;
        let kinds: Vec<(Kind, Scope)> = [
            ("v1", "configmaps", "ConfigMap"),
            ("v1", "services", "Service"),
            ("v1", "secrets", "Secret"),
            ("apps/v1", "deployments", "Deployment"),
            ("apps/v1", "statefulsets", "StatefulSet"),
            ("apps/v1", "daemonsets", "DaemonSet"),
            ("batch/v1", "jobs", "Job"),
            ("batch/v1", "cronjobs", "CronJob"),
            ("networking.k8s.io/v1", "ingresses", "Ingress"),
            ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
            ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
            ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
        ]
        .into_iter()
        .map(|(api_version, plural, kind)| {
            let mut resource = resource(api_version, plural);
            resource.kind = kind.to_owned();
            (Kind { resource, namespaced: true }, Scope::Namespace("shop".to_owned()))
        })
        .collect();
        let needed: BTreeSet<String> = needs("shop", true, &kinds)
            .iter()
            .map(|need| format!("{} {}", need.verb, need.title()))
            .collect();

        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s/greenloop/rbac.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(&text).unwrap();
        let role = documents.into_iter().find(|document| document["kind"] == "Role").unwrap();
        let role: Role = serde_json::from_value(role).unwrap();
        let mut given = BTreeSet::new();
        for rule in role.rules.unwrap() {
            for group in rule.api_groups.unwrap() {
                for resource in rule.resources.as_ref().unwrap() {
                    let dot = if group.is_empty() { "" } else { "." };
                    let verbs = rule.verbs.iter();
                    given.extend(verbs.map(|verb| format!("{verb} {resource}{dot}{group}")));
                }
            }
        }
        assert_eq!(given, needed);
    }
}
