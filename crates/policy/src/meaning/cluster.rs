//! Objects of a cluster, a chart's values and compositions: what a change of them grants, or which
//! safeguard it takes away.
//!
//! Objects are identified by group, kind, namespace and name, wherever they are: in one of
//! several documents, in a `List`, in a patch of kustomize. A pod's template is found in every kind
//! that holds one, because keys count wherever they are. The content of a `ConfigMap` is data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Finding;
use super::dockerfile::repository;
use crate::objects;
use crate::rules;
use crate::syntax::{SourceFile, Syntax};

/// How deep documents are compared.
const MAX_DEPTH: usize = 64;
/// A number of a probe that grows by this factor makes one that hardly fails.
const PROBE_FACTOR: f64 = 10.0;

/// What a change of a key's value has to be, to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Any.
    Any,
    /// It is gone, or null.
    Gone,
    /// It is true, or not plainly false.
    True,
    /// It is no longer true, or said to be false.
    NotTrue,
    /// It is no longer false, or said to be true.
    NotFalse,
    /// It is zero, or gone.
    Zero,
    /// A smaller number, or zero.
    Fewer,
    /// A larger number.
    More,
    /// An entry of the list that was not there.
    Added,
    /// An entry of the list that is gone.
    Removed,
    /// An entry of the list that was not there, or one that is gone.
    Listed,
    /// Another registry or repository.
    Repository,
    /// A kind of service that is reached from outside.
    Outside,
    /// A profile that confines nothing.
    Unconfined,
}

/// Keys that grant something: the key, the key above it (`""`: any), when, and what it grants.
const KEYS: &[(&str, &str, When, &str)] = &[
    ("privileged", "", When::True, "a privileged container"),
    ("hostpid", "", When::True, "the node's processes"),
    ("hostipc", "", When::True, "the node's shared memory"),
    ("hostnetwork", "", When::True, "the node's network"),
    ("hostusers", "", When::NotFalse, "the node's users"),
    ("shareprocessnamespace", "", When::True, "processes of other containers"),
    ("hostpath", "", When::Any, "a folder of the node"),
    ("hostport", "", When::Any, "a port of the node"),
    ("nodeport", "", When::Any, "a port of every node"),
    ("hostaliases", "", When::Any, "other addresses of hosts"),
    ("dnsconfig", "", When::Any, "other addresses of hosts"),
    ("nodename", "", When::Any, "another node"),
    ("tolerations", "", When::Any, "other nodes"),
    ("runtimeclassname", "", When::Any, "another runtime"),
    ("priorityclassname", "", When::Any, "another priority"),
    ("add", "capabilities", When::Added, "other capabilities"),
    ("drop", "capabilities", When::Removed, "other capabilities"),
    ("cap_add", "", When::Any, "other capabilities"),
    ("cap_drop", "", When::Any, "other capabilities"),
    ("security_opt", "", When::Any, "other security options"),
    ("network_mode", "", When::Any, "another network mode"),
    ("pid", "", When::Any, "the node's processes"),
    ("ipc", "", When::Any, "the node's shared memory"),
    ("userns_mode", "", When::Any, "the node's users"),
    ("devices", "", When::Any, "devices of the node"),
    ("allowprivilegeescalation", "", When::NotFalse, "more rights than the process has"),
    ("runasnonroot", "", When::NotTrue, "a process that may run as root"),
    ("runasuser", "", When::Zero, "another user"),
    ("runasgroup", "", When::Zero, "another group"),
    ("fsgroup", "", When::Zero, "another group"),
    ("supplementalgroups", "", When::Any, "other groups"),
    ("readonlyrootfilesystem", "", When::NotTrue, "a root file system that can be written"),
    ("seccompprofile", "", When::Unconfined, "other system calls"),
    ("apparmorprofile", "", When::Unconfined, "another profile"),
    ("selinuxoptions", "", When::Any, "another profile"),
    ("windowsoptions", "", When::Any, "another security context"),
    ("procmount", "", When::Any, "an unmasked /proc"),
    ("sysctls", "", When::Any, "kernel parameters"),
    ("securitycontext", "", When::Gone, "no security context"),
    ("podsecuritycontext", "", When::Gone, "no security context"),
    ("serviceaccountname", "", When::Any, "another service account"),
    ("serviceaccount", "", When::Any, "another service account"),
    ("automountserviceaccounttoken", "", When::NotFalse, "the service account's token"),
    ("serviceaccounttoken", "", When::Any, "the service account's token"),
    ("imagepullsecrets", "", When::Any, "other credentials for registries"),
    ("secretkeyref", "", When::Any, "another credential"),
    ("secretref", "", When::Any, "other credentials"),
    ("secretname", "", When::Any, "other credentials"),
    ("secrets", "", When::Any, "other credentials"),
    ("readinessprobe", "", When::Gone, "no readiness probe"),
    ("livenessprobe", "", When::Gone, "no liveness probe"),
    ("startupprobe", "", When::Gone, "no startup probe"),
    ("healthcheck", "", When::Gone, "no health check"),
    ("exec", "readinessprobe", When::Any, "another command of a probe"),
    ("exec", "livenessprobe", When::Any, "another command of a probe"),
    ("exec", "startupprobe", When::Any, "another command of a probe"),
    ("test", "healthcheck", When::Any, "another command of a health check"),
    ("disable", "healthcheck", When::True, "no health check"),
    ("limits", "", When::Gone, "no limits"),
    ("cpu", "limits", When::Gone, "no limit of processors"),
    ("memory", "limits", When::Gone, "no limit of memory"),
    ("resources", "", When::Gone, "no limits"),
    ("rules", "", When::Any, "other rights"),
    ("aggregationrule", "", When::Any, "other rights"),
    ("roleref", "", When::Any, "other rights"),
    ("subjects", "", When::Any, "rights of others"),
    ("verbs", "", When::Any, "other rights"),
    ("apigroups", "", When::Any, "other rights"),
    ("ingress", "", When::Any, "other connections"),
    ("egress", "", When::Any, "other connections"),
    ("networkpolicy", "", When::Any, "other connections"),
    ("policytypes", "", When::Any, "other connections"),
    ("webhooks", "", When::Any, "other admission rules"),
    ("failurepolicy", "", When::Any, "other admission rules"),
    ("command", "", When::Any, "another command"),
    ("args", "", When::Any, "another command"),
    ("entrypoint", "", When::Any, "another command"),
    ("lifecycle", "", When::Any, "other hooks"),
    ("containers", "", When::Listed, "other containers"),
    ("initcontainers", "", When::Listed, "other containers"),
    ("ephemeralcontainers", "", When::Listed, "other containers"),
    ("externalips", "", When::Any, "an address outside the cluster"),
    ("loadbalancersourceranges", "", When::Any, "other callers"),
    ("externalname", "", When::Any, "another host"),
    ("type", "spec", When::Outside, "a service that is reached from outside"),
    ("type", "service", When::Outside, "a service that is reached from outside"),
    ("persistentvolumereclaimpolicy", "", When::Any, "another fate of data"),
    ("reclaimpolicy", "", When::Any, "another fate of data"),
    ("image", "", When::Repository, "an image from elsewhere"),
    ("repository", "", When::Repository, "an image from elsewhere"),
    ("registry", "", When::Repository, "an image from elsewhere"),
    ("newname", "", When::Repository, "an image from elsewhere"),
    ("replicas", "", When::Fewer, "fewer replicas"),
    ("replicacount", "", When::Fewer, "fewer replicas"),
    ("minreplicas", "", When::Fewer, "fewer replicas"),
    ("maxreplicas", "", When::Fewer, "fewer replicas"),
    ("minavailable", "", When::Fewer, "fewer replicas"),
    ("suspend", "", When::True, "a job that does not run"),
    ("failurethreshold", "", When::More, "a probe that hardly fails"),
    ("periodseconds", "", When::More, "a probe that hardly runs"),
    ("initialdelayseconds", "", When::More, "a probe that begins late"),
    ("timeoutseconds", "", When::More, "a probe that hardly fails"),
    ("minreadyseconds", "", When::Fewer, "pods that count as ready at once"),
    ("$patch", "", When::Any, "something that a patch deletes or replaces"),
    ("helmcharts", "", When::Any, "objects from elsewhere"),
    ("generators", "", When::Any, "programs that make objects"),
    ("transformers", "", When::Any, "programs that change objects"),
];

/// Kinds that grant or forbid by all that they say.
const WHOLE_KINDS: &[&str] = &[
    "role",
    "clusterrole",
    "rolebinding",
    "clusterrolebinding",
    "networkpolicy",
    "adminnetworkpolicy",
    "ciliumnetworkpolicy",
    "ciliumclusterwidenetworkpolicy",
    "authorizationpolicy",
    "peerauthentication",
    "requestauthentication",
    "validatingwebhookconfiguration",
    "mutatingwebhookconfiguration",
    "validatingadmissionpolicy",
    "validatingadmissionpolicybinding",
    "mutatingadmissionpolicy",
    "podsecuritypolicy",
    "securitycontextconstraints",
    "clusterpolicy",
    "constrainttemplate",
    "resourcequota",
    "limitrange",
    "priorityclass",
    "storageclass",
    "persistentvolume",
    "apiservice",
    "customresourcedefinition",
    "runtimeclass",
    "secret",
    "externalsecret",
    "clustersecretstore",
    "secretstore",
    "certificatesigningrequest",
    "podpreset",
];

/// Annotations that grant something, by how they begin.
const ANNOTATIONS: &[(&str, &str)] = &[
    ("container.apparmor.security.beta.kubernetes.io/", "another profile"),
    ("seccomp.security.alpha.kubernetes.io/", "other system calls"),
    ("eks.amazonaws.com/", "rights in the cloud"),
    ("iam.gke.io/", "rights in the cloud"),
    ("azure.workload.identity/", "rights in the cloud"),
    ("iam.amazonaws.com/", "rights in the cloud"),
    ("vault.hashicorp.com/", "other credentials"),
    ("service.beta.kubernetes.io/", "a service that is reached from outside"),
    ("networking.gke.io/load-balancer-type", "a service that is reached from outside"),
    ("nginx.ingress.kubernetes.io/", "other rules of the ingress"),
    ("sidecar.istio.io/", "no sidecar"),
    ("linkerd.io/inject", "no sidecar"),
];

/// Keys whose content is data.
const DATA: &[&str] = &["data", "binarydata", "stringdata"];

/// Whether the file can be read as objects.
pub(crate) fn is_readable(file: &SourceFile, text: &str) -> bool {
    documents(file, text).is_some()
}

/// What the change grants or takes away. Texts that cannot be read yield nothing.
pub(super) fn compare(file: &SourceFile, before: &str, after: &str) -> Vec<Finding> {
    let Some(new) = documents(file, after).map(keyed) else { return Vec::new() };
    let old = match documents(file, before).map(keyed) {
        Some(old) => old,
        None if before.trim().is_empty() => BTreeMap::new(),
        // No objects can be identified: the kind of the file decides.
        None => return Vec::new(),
    };
    let empty = Value::Object(Map::new());
    let mut found = Vec::new();
    let known: BTreeSet<&str> = actions(before).collect();
    if let Some(action) = actions(after).find(|it| it.contains('\n') && !known.contains(it)) {
        let detail = format!("a template's action of several lines: `{}`", one_line(action));
        found.push(Finding::new(rules::OBJECT_RIGHTS, detail));
    }
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.get(key), new.get(key));
        let kind = key.kind.to_lowercase();
        let mut walk = Walk { root: key.to_string(), found: &mut found };
        if WHOLE_KINDS.contains(&kind.as_str()) && differs(was, is) {
            let what = if is.is_none() { "is gone" } else { "is another one" };
            walk.push(&[], format!("this {} {what}", key.kind));
            continue;
        }
        if was.is_some() && is.is_none() && !key.name.is_empty() {
            walk.push(&[], "the object is gone".to_owned());
        }
        let holds_data = matches!(kind.as_str(), "configmap" | "secret");
        let (was, is) = (was.unwrap_or(&empty), is.unwrap_or(&empty));
        if holds_data {
            walk.compare(&mut Vec::new(), &without_data(was), &without_data(is));
        } else {
            walk.compare(&mut Vec::new(), was, is);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Every place where the objects of two versions differ, as keys joined by dots, with the values;
/// `None` when a version cannot be read, or the objects are not the same ones.
pub(crate) fn changed_values(
    file: &SourceFile,
    before: &str,
    after: &str,
) -> Option<Vec<objects::Difference>> {
    let (old, new) = (keyed(documents(file, before)?), keyed(documents(file, after)?));
    if old.keys().ne(new.keys()) {
        return None;
    }
    Some(old.iter().flat_map(|(key, was)| objects::differences(was, &new[key])).collect())
}

/// Whether a container of the file's objects has a port of that number or name.
pub(crate) fn has_container_port(file: &SourceFile, text: &str, port: &str) -> bool {
    fn search(value: &Value, port: &str, depth: usize) -> bool {
        let named = |value: &Value| match value {
            Value::String(name) => name == port,
            other => other.as_u64().is_some_and(|number| port.parse() == Ok(number)),
        };
        if depth > MAX_DEPTH {
            return false;
        }
        match value {
            Value::Array(list) => list.iter().any(|it| search(it, port, depth + 1)),
            Value::Object(map) => {
                map.get("containerPort")
                    .is_some_and(|number| named(number) || map.get("name").is_some_and(named))
                    || map.values().any(|it| search(it, port, depth + 1))
            }
            _ => false,
        }
    }
    documents(file, text).is_some_and(|all| all.iter().any(|it| search(it, port, 0)))
}

/// Whether a text of data holds objects of a cluster, or patches of them; `None` when it cannot be
/// read.
pub(crate) fn holds_objects(file: &SourceFile, text: &str) -> Option<bool> {
    let documents = match file.syntax {
        Syntax::Json => vec![objects::json(text)?],
        _ => list(objects::yaml(text)?)?,
    };
    Some(documents.iter().any(|value| {
        let patch = value.as_array().is_some_and(|list| {
            is_json_patch(list)
                && list.iter().any(|it| {
                    let path = it["path"].as_str().unwrap_or_default();
                    ["/spec", "/metadata", "/rules", "/data", "/subjects", "/webhooks"]
                        .iter()
                        .any(|start| path.starts_with(start))
                })
        });
        let object = |value: &Value| value["apiVersion"].is_string() && value["kind"].is_string();
        let listed = value.as_array().is_some_and(|list| list.iter().any(object));
        patch || listed || object(value) || is_list_of_objects(value)
    }))
}

fn is_list_of_objects(value: &Value) -> bool {
    value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array()
}

/// Whether two objects of a kind that counts as a whole say something else.
fn differs(was: Option<&Value>, is: Option<&Value>) -> bool {
    let said = |value: Option<&Value>| -> Option<Value> {
        let mut value = value?.clone();
        // The labels of a ClusterRole decide which other roles get its rights.
        let aggregates = value["kind"] == "ClusterRole";
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            if !aggregates {
                metadata.remove("labels");
            }
            metadata.remove("annotations");
        }
        Some(value)
    };
    said(was) != said(is)
}

fn without_data(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !DATA.contains(&key.to_lowercase().as_str()));
    }
    value
}

/// The identity of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ObjectKey {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    /// For those that are alike otherwise.
    index: usize,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => Ok(()),
            (kind, "") => write!(f, "{kind}: "),
            (kind, name) => write!(f, "{kind}/{name}: "),
        }
    }
}

fn keyed(documents: Vec<Value>) -> BTreeMap<ObjectKey, Value> {
    let mut found = BTreeMap::new();
    let mut alike: BTreeMap<ObjectKey, usize> = BTreeMap::new();
    for value in documents {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&value["apiVersion"]);
        let mut key = ObjectKey {
            group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: text(&value["kind"]),
            namespace: text(&value["metadata"]["namespace"]),
            name: text(&value["metadata"]["name"]),
            index: 0,
        };
        let count = alike.entry(key.clone()).or_default();
        key.index = *count;
        *count += 1;
        found.insert(key, value);
    }
    found
}

/// The objects of a file; `None` when it cannot be read. What is no YAML because of its actions is
/// a template: what it leaves open is read as text.
fn documents(file: &SourceFile, text: &str) -> Option<Vec<Value>> {
    let parsed = match file.syntax {
        Syntax::Json => objects::json(text).map(|value| vec![value]),
        Syntax::Yaml => {
            let plain = || objects::yaml(&untemplated(text));
            list(objects::yaml(text).or_else(|| text.contains("{{").then(plain)?)?)
        }
        Syntax::Code if file.is_template() => list(objects::yaml(&untemplated(text))?),
        Syntax::Shell
        | Syntax::Make
        | Syntax::Docker
        | Syntax::Sql
        | Syntax::Prose
        | Syntax::Code => None,
    };
    let mut found = Vec::new();
    for value in parsed? {
        flatten(value, 0, &mut found);
    }
    Some(found)
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(documents) => Some(documents),
        _ => None,
    }
}

/// Objects of lists, and what patches say, as objects of their own.
fn flatten(value: Value, depth: usize, found: &mut Vec<Value>) {
    if depth > MAX_DEPTH {
        found.push(value);
        return;
    }
    match value {
        Value::Null => {}
        Value::Array(list) if is_json_patch(&list) => found.push(patched(&list)),
        Value::Array(list) => list.into_iter().for_each(|it| flatten(it, depth + 1, found)),
        Value::Object(mut object) => {
            let is_list = object.get("kind").and_then(Value::as_str).is_some_and(|kind| {
                kind.ends_with("List") && object.get("items").is_some_and(Value::is_array)
            });
            if is_list && let Some(Value::Array(items)) = object.remove("items") {
                items.into_iter().for_each(|item| flatten(item, depth + 1, found));
                return;
            }
            if is_kustomization(&object) {
                inline_patches(&object, depth, found);
            }
            found.push(Value::Object(object));
        }
        other => found.push(other),
    }
}

fn is_kustomization(object: &Map<String, Value>) -> bool {
    let kind = object.get("kind").and_then(Value::as_str);
    matches!(kind, Some("Kustomization" | "Component"))
        || kind.is_none() && (object.contains_key("resources") || object.contains_key("patches"))
}

/// The patches that a kustomization has as text.
fn inline_patches(object: &Map<String, Value>, depth: usize, found: &mut Vec<Value>) {
    for key in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
        let Some(Value::Array(patches)) = object.get(key) else { continue };
        for patch in patches {
            let text = patch.as_str().or_else(|| patch["patch"].as_str()).unwrap_or_default();
            if !text.contains(['\n', '{', '[']) {
                continue;
            }
            if let Some(documents) = objects::yaml(text) {
                flatten(documents, depth + 1, found);
            }
        }
    }
}

/// Whether a list is a patch of RFC 6902.
fn is_json_patch(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|it| it["op"].is_string() && it["path"].is_string())
}

/// The object that a patch of RFC 6902 would set, as far as it says it: a removed value is null.
/// What it sets deeper than documents are compared has the rest of its path as one key.
fn patched(operations: &[Value]) -> Value {
    let mut root = Value::Object(Map::new());
    for (index, operation) in operations.iter().enumerate() {
        if operation["op"] == "test" {
            continue;
        }
        let pointer = operation["path"].as_str().unwrap_or_default();
        let mut at = &mut root;
        let mut tokens = pointer.splitn(MAX_DEPTH + 3, '/').skip(1).peekable();
        while let Some(token) = tokens.next() {
            let mut key = token.replace("~1", "/").replace("~0", "~");
            // An addition to a list, at its end or before an entry, takes no other's place.
            let inserts = operation["op"] == "add" && key.parse::<usize>().is_ok();
            if key == "-" || (inserts && tokens.peek().is_none()) {
                key = format!("{key}+{index}");
            }
            if let Value::Array(list) = at {
                let list = std::mem::take(list).into_iter().enumerate();
                *at = list.map(|(position, it)| (position.to_string(), it)).collect();
            } else if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let Some(object) = at.as_object_mut() else { return root };
            at = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
        }
        *at = match operation["op"].as_str() {
            Some("remove") => Value::Null,
            Some("move" | "copy") => operation["from"].clone(),
            _ => operation["value"].clone(),
        };
    }
    root
}

/// The actions of a template, in their order.
pub(crate) fn actions(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find("{{")?;
        let end = start + rest[start..].find("}}")? + 2;
        let action = &rest[start..end];
        rest = &rest[end..];
        Some(action)
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A template without its actions: lines of actions alone are dropped, and what an action puts in
/// is text.
fn untemplated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        plain.push_str(&rest[..start]);
        let action = &rest[start..start + length + 2];
        // Actions of several lines are one.
        plain.push('\u{1}');
        plain.push_str(&action.chars().filter(|c| c.is_alphanumeric()).collect::<String>());
        plain.push('\u{2}');
        rest = &rest[start + length + 2..];
    }
    plain.push_str(rest);
    for line in plain.lines() {
        let trimmed = line.trim();
        let alone = trimmed.starts_with('\u{1}') && trimmed.ends_with('\u{2}');
        if !alone {
            out.push_str(&line.replace('\u{1}', "TEMPLATE").replace('\u{2}', ""));
        }
        out.push('\n');
    }
    out
}

/// Compares one object with what it was.
struct Walk<'a> {
    root: String,
    found: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn push(&mut self, path: &[String], what: String) {
        let detail = if path.is_empty() {
            format!("{}{what}", self.root)
        } else {
            format!("{}{}: {what}", self.root, path.join("."))
        };
        self.found.push(Finding::new(rules::OBJECT_RIGHTS, detail));
    }

    fn compare(&mut self, path: &mut Vec<String>, was: &Value, is: &Value) {
        if was == is {
            return;
        }
        if path.len() > MAX_DEPTH {
            self.push(path, "too deep to be compared".to_owned());
            return;
        }
        match (was, is) {
            // Only a patch has one in the place of the other.
            (Value::Array(_), Value::Object(_)) | (Value::Object(_), Value::Array(_)) => {
                self.compare(path, was, &Value::Null);
                self.compare(path, &Value::Null, is);
            }
            (Value::Array(_), _) | (_, Value::Array(_)) => {
                let none = Vec::new();
                let (old, new) = (was.as_array().unwrap_or(&none), is.as_array().unwrap_or(&none));
                self.volumes(path, old, new);
                let (old, new) = (crate::objects::named(old), crate::objects::named(new));
                for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                    path.push(format!("[{key}]"));
                    let null = Value::Null;
                    let (was, is) = (old.get(key), new.get(key));
                    self.compare(path, was.unwrap_or(&null), is.unwrap_or(&null));
                    path.pop();
                }
            }
            (Value::Object(_), _) | (_, Value::Object(_)) => {
                let none = Map::new();
                let (old, new) =
                    (was.as_object().unwrap_or(&none), is.as_object().unwrap_or(&none));
                for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                    let above = path.last().map(|key| key.to_lowercase()).unwrap_or_default();
                    path.push(key.clone());
                    self.key(path, &above, old.get(key), new.get(key));
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// One key of an object, its value before and after.
    fn key(
        &mut self,
        path: &mut Vec<String>,
        above: &str,
        was: Option<&Value>,
        is: Option<&Value>,
    ) {
        if was == is {
            return;
        }
        let key = path.last().map(|key| key.to_lowercase()).unwrap_or_default();
        // A service, a volume or a network of a composition may be called that.
        let named = path.len() == 3
            && ["services", "volumes", "networks", "configs", "secrets"]
                .contains(&path[0].to_lowercase().as_str());
        if matches!(above, "annotations" | "labels") && !named {
            let known = ANNOTATIONS.iter().find(|(start, _)| key.starts_with(start));
            if key.starts_with("pod-security.kubernetes.io/") {
                self.push(path, "another pod security level".to_owned());
            } else if let Some((_, what)) = known {
                self.push(path, (*what).to_owned());
            }
            return;
        }
        let matching = KEYS
            .iter()
            .filter(|(name, parent, ..)| *name == key && (parent.is_empty() || *parent == above));
        for (_, _, when, what) in matching {
            if when.counts(was, is) {
                self.push(path, (*what).to_owned());
                if *when != When::Listed {
                    return;
                }
            }
        }
        if matches!(key.as_str(), "resources" | "bases" | "components" | "crds")
            && let Some(place) = remote(was, is)
        {
            self.push(path, format!("objects from `{place}`"));
        }
        let null = Value::Null;
        self.compare(path, was.unwrap_or(&null), is.unwrap_or(&null));
    }

    /// Folders of the machine in a composition's list of volumes.
    fn volumes(&mut self, path: &[String], old: &[Value], new: &[Value]) {
        if path.last().is_none_or(|key| !key.eq_ignore_ascii_case("volumes")) {
            return;
        }
        for added in new.iter().filter(|volume| !old.contains(volume)) {
            let source = added.as_str().or_else(|| added["source"].as_str()).unwrap_or_default();
            let host = source.split(':').next().unwrap_or_default();
            if host.starts_with(['/', '~']) || host.starts_with("..") || source.contains(".sock") {
                self.push(path, format!("a folder of the machine (`{source}`)"));
            }
        }
    }
}

/// An entry that another host has, and that was not there.
fn remote(was: Option<&Value>, is: Option<&Value>) -> Option<String> {
    let known = was.and_then(Value::as_array).cloned().unwrap_or_default();
    is?.as_array()?.iter().filter(|it| !known.contains(it)).find_map(|it| {
        let text = it.as_str()?;
        let elsewhere = text.contains("://")
            || text.contains("?ref=")
            || text.starts_with("git@")
            || text.starts_with("github.com/");
        elsewhere.then(|| text.to_owned())
    })
}

impl When {
    fn counts(self, was: Option<&Value>, is: Option<&Value>) -> bool {
        let there = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        // Charts and compositions quote their values.
        let truth = |value: Option<&Value>| {
            value.and_then(|value| match value {
                Value::Bool(truth) => Some(*truth),
                Value::String(text) => text.to_lowercase().parse().ok(),
                _ => None,
            })
        };
        let number = |value: Option<&Value>| {
            value.and_then(|value| match value {
                Value::String(text) => text.trim_end_matches('%').parse().ok(),
                other => other.as_f64(),
            })
        };
        let entries = |value: Option<&Value>| -> BTreeSet<String> {
            value
                .and_then(Value::as_array)
                .map(|list| {
                    let name = |it: &Value| it.get("name").unwrap_or(it).to_string();
                    list.iter().map(name).collect()
                })
                .unwrap_or_default()
        };
        // Entries that a patch adds, replaces or removes.
        let patched = was.is_some_and(Value::is_object) || is.is_some_and(Value::is_object);
        let place = |value: Option<&Value>| value.and_then(Value::as_str).map(repository);
        match self {
            Self::Any => true,
            // A patch that removes a value says null.
            Self::Gone => (there(was) && !there(is)) || is.is_some_and(Value::is_null),
            Self::True => there(is) && truth(is) != Some(false),
            Self::NotTrue => (there(is) && truth(is) != Some(true)) || truth(was) == Some(true),
            Self::NotFalse => (there(is) && truth(is) != Some(false)) || truth(was) == Some(false),
            Self::Zero => (there(is) && number(is).is_none_or(|is| is == 0.0)) || !there(is),
            Self::Fewer => match (number(was), number(is)) {
                (Some(was), Some(is)) => is < was || is == 0.0,
                (None, Some(is)) => is == 0.0,
                (_, None) => there(was),
            },
            Self::More => {
                number(was).zip(number(is)).is_some_and(|(was, is)| is > was * PROBE_FACTOR)
                    || (!there(was) && number(is).is_some_and(|is| is > 600.0))
            }
            Self::Added => patched || !entries(is).is_subset(&entries(was)),
            Self::Removed => patched || !entries(was).is_subset(&entries(is)),
            Self::Listed => there(was) && there(is) && (patched || entries(was) != entries(is)),
            Self::Repository => place(was) != place(is) || is.is_some_and(Value::is_null),
            Self::Outside => is
                .and_then(Value::as_str)
                .is_some_and(|text| matches!(text, "LoadBalancer" | "NodePort" | "ExternalName")),
            Self::Unconfined => {
                let open = is.map(Value::to_string).unwrap_or_default().to_lowercase();
                there(was) || open.contains("unconfined")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn file(path: &str) -> SourceFile {
        SourceFile::new(&RepoPath::new(path).expect("a path"), b"")
    }

    fn found(path: &str, before: &str, after: &str) -> Vec<String> {
        compare(&file(path), before, after).into_iter().map(|finding| finding.detail).collect()
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  replicas: 3\n  containers:\n    - name: app\n      image: r.example/app:1\n      env: [{name: A, value: b}]\n      readinessProbe: {httpGet: {path: /health}, failureThreshold: 3}\n      resources: {limits: {memory: 1Gi}}\n      securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}\n";

    /// As items of a list, and beside another document.
    fn forms(pod: &str) -> Vec<(&'static str, String)> {
        let value = objects::yaml(pod).expect("yaml")[0].clone();
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}, value.clone()
        ]});
        vec![
            ("a.yaml", pod.to_owned()),
            ("a.yaml", format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n---\n{pod}")),
            ("a.json", value.to_string()),
            ("a.json", list.to_string()),
            ("a.yaml", list.to_string()),
        ]
    }

    #[test]
    fn grants_are_found_wherever_they_stand() {
        for (from, to, grants_some) in [
            ("  containers:", "  hostPID: true\n  containers:", true),
            ("image: r.example/app:1", "image: other.example/app:1", true),
            ("image: r.example/app:1", "image: r.example/app:2", false),
            ("replicas: 3", "replicas: 1", true),
            ("replicas: 3", "replicas: 4", false),
            ("      readinessProbe: {httpGet: {path: /health}, failureThreshold: 3}\n", "", true),
            ("path: /health", "path: /healthz", false),
            ("failureThreshold: 3", "failureThreshold: 30000", true),
            ("failureThreshold: 3", "failureThreshold: 5", false),
            ("value: b", "value: c", false),
            ("name: A, value: b", "name: command, value: c", false),
            ("runAsNonRoot: true", "runAsNonRoot: false", true),
            ("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0", true),
            ("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 10001", false),
            ("runAsNonRoot: true", "runAsNonRoot: true, readOnlyRootFilesystem: true", false),
            ("drop: [ALL]", "drop: []", true),
            ("drop: [ALL]", "drop: [ALL], add: [NET_ADMIN]", true),
            ("memory: 1Gi", "memory: 2Gi", false),
            ("limits: {memory: 1Gi}", "requests: {memory: 1Gi}", true),
            ("    - name: app", "    - {name: x, image: r.example/app:1}\n    - name: app", true),
            (
                "  containers:",
                "  initContainers: [{name: i, image: x.example/i}]\n  containers:",
                true,
            ),
            ("  containers:", "  volumes: [{name: h, hostPath: {path: /}}]\n  containers:", true),
            ("metadata: {name: a}", "metadata: {name: a, annotations: {note: x}}", false),
        ] {
            let after = POD.replace(from, to);
            assert_ne!(after, POD, "{from}");
            for ((path, before), (_, after)) in forms(POD).into_iter().zip(forms(&after)) {
                let details = found(path, &before, &after);
                assert_eq!(!details.is_empty(), grants_some, "{path}: {from} -> {to}: {details:?}");
            }
        }
    }

    #[test]
    fn the_order_of_a_list_means_nothing() {
        let item = |name: &str| {
            serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"containers": [{"name": "c", "image": format!("r.example/{name}:1")}]}})
        };
        let list =
            |items: [Value; 2]| serde_json::json!({"kind": "List", "items": items}).to_string();
        let (before, after) = (list([item("a"), item("b")]), list([item("b"), item("a")]));
        assert_eq!(found("a.json", &before, &after), Vec::<String>::new());
    }

    #[test]
    fn data_of_a_config_map_is_data() {
        let map = |text: &str| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  command: {text}\n  pod.yaml: |\n    kind: Pod\n    spec: {{hostPID: {text}}}\n"
            )
        };
        assert_eq!(found("a.yaml", &map("'false'"), &map("'true'")), Vec::<String>::new());
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostPID: true}\n";
        assert!(!found("a.yaml", "", pod).is_empty());
    }

    #[test]
    fn patches_and_templates_are_read() {
        let kustomization = "resources: [a.yaml]\n";
        for after in [
            "resources: [a.yaml]\npatches:\n  - patch: |-\n      - op: add\n        path: /spec/template/spec/hostNetwork\n        value: true\n",
            "resources: [a.yaml]\npatches:\n  - patch: |-\n      kind: Deployment\n      spec: {template: {spec: {hostPID: true}}}\n",
            "resources: [a.yaml, 'github.com/x/y?ref=main']\n",
            "resources: [a.yaml]\nimages: [{name: app, newName: evil.example/app}]\n",
        ] {
            assert!(!found("kustomization.yaml", kustomization, after).is_empty(), "{after}");
        }
        let patch = "- {op: remove, path: /spec/template/spec/containers/0/readinessProbe}\n";
        assert!(!found("patch.yaml", "[]", patch).is_empty());
        let chart = "kind: Deployment\napiVersion: apps/v1\nspec:\n  {{- if .Values.x }}\n  x: {{ .Values.x | quote }}\n  {{- end }}\n";
        let after = format!("{chart}  hostPID: true\n");
        assert!(!found("templates/d.yaml", chart, &after).is_empty());
        assert_eq!(found("templates/d.yaml", chart, chart), Vec::<String>::new());
        assert!(!is_readable(&file("a.yaml"), "a: [\n"));
    }

    #[test]
    fn patches_hide_nothing() {
        let add =
            |path: &str, value: &str| format!("- {{op: add, path: {path}, value: {value}}}\n");
        let containers = "/spec/template/spec/containers";
        let deep = "/a".repeat(100_000);
        for (before, after, grants_some) in [
            // Two additions before the same entry, and one below a list that was set.
            (
                String::new(),
                add(&format!("{containers}/0"), "{securityContext: {privileged: true}}")
                    + &add(&format!("{containers}/0"), "{securityContext: {}}"),
                true,
            ),
            (
                String::new(),
                add(containers, "[{securityContext: {privileged: true}}]")
                    + &add(&format!("{containers}/-"), "{name: a}"),
                true,
            ),
            (
                add("/spec/capabilities/add", "[A]"),
                add("/spec/capabilities/add/-", "NET_ADMIN"),
                true,
            ),
            (String::new(), "- {op: remove, path: /spec/capabilities/drop/0}\n".to_owned(), true),
            (String::new(), add("/spec/hostPID", "true"), true),
            // Deeper than it can be compared.
            (String::new(), add(&deep, "1"), true),
            (add(&format!("{deep}/b"), "1"), add(&format!("{deep}/c"), "1"), true),
            (String::new(), add("/spec/template/spec/terminationGracePeriodSeconds", "60"), false),
        ] {
            let details = found("patch.yaml", &before, &after);
            let shown: String = after.chars().take(200).collect();
            assert_eq!(!details.is_empty(), grants_some, "{shown}: {details:?}");
        }
    }

    #[test]
    fn actions_of_templates_hide_nothing() {
        let chart = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: a}\nspec:\n  {{- if .Values.x }}\n  x: 1\n  {{- end }}\n";
        let plain = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec:\n  x: 1\n";
        for (before, after, grants_some) in [
            (plain, format!("{plain}  # {{{{\n  hostPID: true\n  # }}}}\n"), true),
            (chart, format!("{chart}  # {{{{ `\n  hostPID: true\n  # ` }}}}\n"), true),
            (chart, format!("{chart}  y: {{{{ .Values.y }}}}\n"), false),
            (chart, format!("{chart}  hostPID: {{{{ true }}}}\n"), true),
        ] {
            let details = found("templates/d.yaml", before, &after);
            assert_eq!(!details.is_empty(), grants_some, "{after}: {details:?}");
        }
        assert_eq!(actions("a {{ b }} {{c\n}} {{ d").collect::<Vec<_>>(), ["{{ b }}", "{{c\n}}"]);
    }

    #[test]
    fn only_labels_are_labels() {
        let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\nrules: []\n";
        let composition = "services:\n  labels:\n    image: r.example/a\n    labels: {a: b}\n";
        for (before, from, to, grants_some) in [
            (
                role,
                "{name: a}",
                "{name: a, labels: {rbac.authorization.k8s.io/aggregate-to-edit: 'true'}}",
                true,
            ),
            (role, "{name: a}", "{name: a, annotations: {b: c}}", false),
            (composition, "    image", "    privileged: true\n    image", true),
            (composition, "r.example/a", "x.example/a", true),
            (composition, "a: b", "privileged: c", false),
        ] {
            let details = found("compose.yaml", before, &before.replacen(from, to, 1));
            assert_eq!(!details.is_empty(), grants_some, "{to}: {details:?}");
        }
    }

    #[test]
    fn many_objects_that_are_alike_are_told_apart() {
        let list = |last: &str| {
            let item = r#"{"kind": "Pod", "spec": {}},"#.repeat(20_000);
            format!(r#"{{"kind": "List", "items": [{item}{{"kind": "Pod", "spec": {{{last}}}}}]}}"#)
        };
        assert_eq!(found("a.json", &list(""), &list(r#""hostPID": true"#)).len(), 1);
    }

    #[test]
    fn any_part_of_a_file_can_be_compared() {
        for (path, text) in forms(POD) {
            let text = text.replace("a", "{{ é }}a");
            for (at, _) in text.char_indices().step_by(3) {
                let _findings = found(path, POD, &text[..at]);
                let _findings = found(path, &text[at..], &text[..at]);
            }
        }
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(!is_readable(&file("a.json"), &deep));
    }

    #[test]
    fn roles_and_policies_count_whole() {
        let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\nrules: [{verbs: [get], resources: [pods]}]\n";
        assert!(!found("a.yaml", role, &role.replace("[get]", "['*']")).is_empty());
        assert!(!found("a.yaml", role, "").is_empty());
        assert!(!found("a.yaml", "", role).is_empty());
        let labelled = role.replace("{name: a}", "{name: a, labels: {a: b}}");
        assert!(found("a.yaml", role, &labelled).is_empty());
    }
}
