//! Data files as data: what differs between two versions of a JSON, YAML or TOML file, which
//! differences grant rights in a cluster, and what a lockfile adds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::syntax::{SourceFile, Syntax};

/// How deep documents are compared.
const MAX_DEPTH: usize = 64;

/// A value that another one took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Keys and positions from the root.
    pub path: Vec<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// The document; `None` when it cannot be parsed.
pub(super) fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// The documents of a stream, as a list; `None` when one cannot be parsed.
pub(super) fn yaml(text: &str) -> Option<Value> {
    let documents: Vec<Value> = serde_yaml::from_multiple(text).ok()?;
    Some(Value::Array(documents))
}

/// The documents of a file that is YAML or JSON. Templates are read with their marks as text.
fn documents(file: &SourceFile, text: &str) -> Option<Vec<Value>> {
    match file.syntax {
        Syntax::Json => json(text).map(|value| vec![value]),
        Syntax::Yaml => match yaml(text)? {
            Value::Array(documents) => Some(documents),
            other => Some(vec![other]),
        },
        Syntax::Shell
        | Syntax::Make
        | Syntax::Docker
        | Syntax::Sql
        | Syntax::Prose
        | Syntax::Code => None,
    }
}

/// Every place where two documents differ. Lists of named objects (containers, variables,
/// volumes) are compared by name.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(
    path: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    if before == after || path.len() > MAX_DEPTH {
        return;
    }
    let empty = serde_json::Map::new();
    let map = |value: Option<&Value>| match value {
        Some(Value::Object(map)) => Some(map.clone()),
        None => Some(empty.clone()),
        Some(Value::Array(list)) => named(list),
        Some(_) => None,
    };
    let nested = |value: Option<&Value>| matches!(value, Some(Value::Object(_) | Value::Array(_)));
    if (nested(before) || nested(after))
        && let (Some(old), Some(new)) = (map(before), map(after))
    {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            path.push(key.clone());
            compare(path, old.get(key), new.get(key), found);
            path.pop();
        }
        return;
    }
    found.push(Difference { path: path.clone(), before: before.cloned(), after: after.cloned() });
}

/// A list as a map, by the names of its objects, else by position.
fn named(list: &[Value]) -> Option<serde_json::Map<String, Value>> {
    let mut map = serde_json::Map::new();
    for (index, value) in list.iter().enumerate() {
        let name = ["name", "containerPort", "port", "mountPath", "host"]
            .iter()
            .find_map(|key| value.get(key))
            .map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        let key = name.filter(|name| !map.contains_key(name)).unwrap_or_else(|| index.to_string());
        map.insert(key, value.clone());
    }
    Some(map)
}

/// What a difference in a cluster's or a composition's objects grants or takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub what: &'static str,
    /// `spec.template.spec.hostPID`
    pub path: String,
}

/// Keys whose value grants something when it is what the second member says.
const GRANTING: &[(&str, GrantCondition, &str)] = &[
    ("privileged", GrantCondition::True, "a privileged container"),
    ("hostpid", GrantCondition::True, "the node's processes"),
    ("hostipc", GrantCondition::True, "the node's shared memory"),
    ("hostnetwork", GrantCondition::True, "the node's network"),
    ("hostusers", GrantCondition::True, "the node's users"),
    ("hostpath", GrantCondition::Any, "a folder of the node"),
    ("hostport", GrantCondition::Any, "a port of the node"),
    ("capabilities", GrantCondition::Any, "other capabilities"),
    ("cap_add", GrantCondition::Any, "other capabilities"),
    ("cap_drop", GrantCondition::Any, "other capabilities"),
    ("security_opt", GrantCondition::Any, "other security options"),
    ("securitycontext", GrantCondition::Any, "another security context"),
    ("podsecuritycontext", GrantCondition::Any, "another security context"),
    ("network_mode", GrantCondition::Any, "another network mode"),
    ("pid", GrantCondition::Any, "the node's processes"),
    ("ipc", GrantCondition::Any, "the node's shared memory"),
    ("userns_mode", GrantCondition::Any, "the node's users"),
    ("devices", GrantCondition::Any, "devices of the node"),
    ("allowprivilegeescalation", GrantCondition::Any, "more rights than the process has"),
    ("runasnonroot", GrantCondition::Any, "another user"),
    ("runasuser", GrantCondition::Any, "another user"),
    ("runasgroup", GrantCondition::Any, "another user"),
    ("fsgroup", GrantCondition::Any, "another user"),
    ("readonlyrootfilesystem", GrantCondition::Any, "a root file system that can be written"),
    ("seccompprofile", GrantCondition::Any, "other system calls"),
    ("apparmorprofile", GrantCondition::Any, "another profile"),
    ("selinuxoptions", GrantCondition::Any, "another profile"),
    ("procmount", GrantCondition::Any, "an unmasked /proc"),
    ("sysctls", GrantCondition::Any, "kernel parameters"),
    ("serviceaccountname", GrantCondition::Any, "another service account"),
    ("serviceaccount", GrantCondition::Any, "another service account"),
    ("automountserviceaccounttoken", GrantCondition::Any, "the service account's token"),
    ("imagepullsecrets", GrantCondition::Any, "other credentials for registries"),
    ("readinessprobe", GrantCondition::Gone, "no readiness probe"),
    ("livenessprobe", GrantCondition::Gone, "no liveness probe"),
    ("startupprobe", GrantCondition::Gone, "no startup probe"),
    ("healthcheck", GrantCondition::Gone, "no health check"),
    ("limits", GrantCondition::Gone, "no limits"),
    ("resources", GrantCondition::Gone, "no limits"),
    ("rules", GrantCondition::Any, "other rights"),
    ("rolerefs", GrantCondition::Any, "other rights"),
    ("roleref", GrantCondition::Any, "other rights"),
    ("subjects", GrantCondition::Any, "rights of others"),
    ("verbs", GrantCondition::Any, "other rights"),
    ("apigroups", GrantCondition::Any, "other rights"),
    ("ingress", GrantCondition::Any, "other connections"),
    ("egress", GrantCondition::Any, "other connections"),
    ("networkpolicy", GrantCondition::Any, "other connections"),
    ("policytypes", GrantCondition::Any, "other connections"),
    ("webhooks", GrantCondition::Any, "other admission rules"),
    ("failurepolicy", GrantCondition::Any, "other admission rules"),
    ("command", GrantCondition::Any, "another command"),
    ("args", GrantCondition::Any, "another command"),
    ("entrypoint", GrantCondition::Any, "another command"),
    ("lifecycle", GrantCondition::Any, "other hooks"),
    ("initcontainers", GrantCondition::Any, "other containers"),
    ("ephemeralcontainers", GrantCondition::Any, "other containers"),
    ("externalips", GrantCondition::Any, "an address outside the cluster"),
    ("loadbalancersourceranges", GrantCondition::Any, "other callers"),
    ("externalname", GrantCondition::Any, "another host"),
    ("persistentvolumereclaimpolicy", GrantCondition::Any, "another fate of data"),
    ("reclaimpolicy", GrantCondition::Any, "another fate of data"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GrantCondition {
    /// Counts when the value is true, or not plainly false.
    True,
    /// Counts when it is gone.
    Gone,
    /// Counts however it changes.
    Any,
}

/// What the change of a cluster's, chart's or composition's objects grants or takes away.
pub(super) fn grants(file: &SourceFile, before: &str, after: &str) -> Vec<Grant> {
    let (Some(old), Some(new)) = (documents(file, before), documents(file, after)) else {
        return Vec::new();
    };
    let keyed = |documents: Vec<Value>| -> BTreeMap<String, Value> {
        documents
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                let name = value["metadata"]["name"].as_str().map(str::to_owned);
                let kind = value["kind"].as_str().unwrap_or_default().to_owned();
                (format!("{kind}/{}", name.unwrap_or_else(|| index.to_string())), value)
            })
            .collect()
    };
    let (old, new) = (keyed(old), keyed(new));
    let mut found = Vec::new();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let empty = Value::Object(serde_json::Map::new());
        let (before, after) = (old.get(key).unwrap_or(&empty), new.get(key).unwrap_or(&empty));
        for difference in differences(before, after) {
            if let Some(what) = grant(&difference) {
                found.push(Grant { what, path: difference.path.join(".") });
            }
        }
    }
    found
}

fn grant(difference: &Difference) -> Option<&'static str> {
    let keys: Vec<String> = difference.path.iter().map(|key| key.to_lowercase()).collect();
    for key in &keys {
        if let Some((_, sense, what)) = GRANTING.iter().find(|(name, ..)| name == key) {
            let counts = match sense {
                GrantCondition::Any => true,
                GrantCondition::Gone => difference.after.is_none(),
                GrantCondition::True => {
                    difference.after.as_ref().is_some_and(|value| *value != false)
                }
            };
            if counts {
                return Some(what);
            }
        }
        if key.starts_with("pod-security.kubernetes.io/") {
            return Some("another pod security level");
        }
    }
    let last = keys.last().map_or("", String::as_str);
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    match last {
        "image" | "repository" | "registry" => (place_of(difference.before.as_ref())
            != place_of(difference.after.as_ref())
            || difference.before.is_none()
            || difference.after.is_none())
        .then_some("an image from elsewhere"),
        "replicas" | "replicacount" | "minreplicas" | "minavailable" => {
            let fewer = match (number(&difference.before), number(&difference.after)) {
                (Some(old), Some(new)) => new < old || new == 0.0,
                (_, new) => new == Some(0.0),
            };
            fewer.then_some("fewer replicas")
        }
        "type" if keys.iter().any(|key| key == "spec" || key == "service") => {
            let text = difference.after.as_ref().and_then(Value::as_str).unwrap_or_default();
            matches!(text, "LoadBalancer" | "NodePort" | "ExternalName")
                .then_some("a service that is reached from outside")
        }
        _ if keys.iter().any(|key| key == "volumes") => {
            let text = difference.after.as_ref().map(Value::to_string).unwrap_or_default();
            (text.contains("docker.sock") || text.contains("\"/") || text.contains("containerd"))
                .then_some("a folder of the node")
        }
        _ => None,
    }
}

fn place_of(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).map(image_place).unwrap_or_default()
}

/// Registry and repository of an image reference.
fn image_place(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((place, tag)) if !tag.contains('/') => place,
        Some(_) | None => image,
    }
}

/// `(section, key)` of every line of a TOML file that changes; `None` when a changed line lies
/// within a value of several lines, whose key this does not tell.
pub(super) fn changed_toml_keys(before: &str, after: &str) -> Option<BTreeSet<(String, String)>> {
    let (old, new) = (toml_lines(before)?, toml_lines(after)?);
    Some(
        old.keys()
            .chain(new.keys())
            .filter(|key| old.get(*key) != new.get(*key))
            .cloned()
            .collect(),
    )
}

/// Values by section and key, white space normalised.
fn toml_lines(text: &str) -> Option<BTreeMap<(String, String), String>> {
    let mut section = String::new();
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut open: Option<((String, String), String)> = None;
    let balance = |text: &str| {
        let count = |c: char| text.matches(c).count();
        count('[') == count(']')
            && count('{') == count('}')
            && text.matches("\"\"\"").count().is_multiple_of(2)
    };
    for line in text.lines() {
        let line = line.trim();
        if let Some((key, mut value)) = open.take() {
            value.push(' ');
            value.push_str(line);
            if balance(&value) {
                found.insert(key, value);
            } else {
                open = Some((key, value));
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).replace('"', "");
            found.insert((section.clone(), String::new()), line.to_owned());
            continue;
        }
        let (key, value) = line.split_once('=')?;
        let key = (section.clone(), key.trim().trim_matches('"').to_owned());
        if balance(value) {
            found.insert(key, value.trim().to_owned());
        } else {
            open = Some((key, value.trim().to_owned()));
        }
    }
    open.is_none().then_some(found)
}

/// Whether a lockfile's change adds no host, takes no checksum away, and adds no script that an
/// install runs.
pub(super) fn lockfile_adds_no_source(before: &str, after: &str) -> bool {
    let hosts = |text: &str| -> BTreeSet<String> {
        text.match_indices("://")
            .filter_map(|(at, _)| {
                let host = text[at + 3..].split(['/', '"', '\'', ' ', '\n', '#', '?']).next()?;
                Some(host.to_lowercase())
            })
            .collect()
    };
    let count = |text: &str, words: &[&str]| -> usize {
        words.iter().map(|word| text.matches(word).count()).sum()
    };
    let checksums = ["integrity", "checksum", "sha256", "sha512", "h1:"];
    let entries = ["\"resolved\"", "resolved ", "[[package]]", "resolution:"];
    let (old_sums, new_sums) = (count(before, &checksums), count(after, &checksums));
    let (old_entries, new_entries) = (count(before, &entries), count(after, &entries));
    let scripts = ["hasInstallScript", "requiresBuild: true", "git+", "file:", "link:"];
    hosts(after).is_subset(&hosts(before))
        && new_sums + old_entries.saturating_sub(new_entries) >= old_sums
        && count(after, &scripts) <= count(before, &scripts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn file(path: &str) -> SourceFile {
        SourceFile::new(&RepoPath::new(path).expect("a path"), b"")
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  replicas: 3\n  containers:\n    - name: app\n      image: r.example/app:1\n      env: [{name: A, value: b}]\n      readinessProbe: {httpGet: {path: /health}}\n";

    #[test]
    fn grants_are_found_wherever_they_stand() {
        for (from, to, grants_some) in [
            ("  containers:", "  hostPID: true\n  containers:", true),
            ("image: r.example/app:1", "image: other.example/app:1", true),
            ("image: r.example/app:1", "image: r.example/app:2", false),
            ("replicas: 3", "replicas: 1", true),
            ("replicas: 3", "replicas: 4", false),
            ("      readinessProbe: {httpGet: {path: /health}}\n", "", true),
            ("path: /health", "path: /healthz", false),
            ("value: b", "value: c", false),
            ("      env:", "      securityContext: {runAsUser: 0}\n      env:", true),
        ] {
            let after = POD.replace(from, to);
            let yaml = grants(&file("a.yaml"), POD, &after);
            assert_eq!(!yaml.is_empty(), grants_some, "{from} -> {to}: {yaml:?}");
            let json = |text: &str| {
                let documents = super::yaml(text).expect("yaml");
                documents[0].to_string()
            };
            let as_json = grants(&file("a.json"), &json(POD), &json(&after));
            assert_eq!(!as_json.is_empty(), grants_some, "{from} -> {to}: {as_json:?}");
        }
    }

    #[test]
    fn toml_keys_are_told_by_section() {
        let before = "[project]\nversion = \"1\"\ndependencies = [\n  \"a\",\n]\n[tool.mypy]\nstrict = true\n";
        let after = before.replace("\"1\"", "\"2\"");
        let keys = changed_toml_keys(before, &after).expect("keys");
        assert_eq!(keys, [("project".to_owned(), "version".to_owned())].into());
        let after = before.replace("\"a\"", "\"b\"");
        let keys = changed_toml_keys(before, &after).expect("keys");
        assert_eq!(keys, [("project".to_owned(), "dependencies".to_owned())].into());
    }

    #[test]
    fn a_lockfile_keeps_its_hosts_and_checksums() {
        let old = "\"a\": {\"version\": \"1\", \"resolved\": \"https://r.example/a-1.tgz\", \"integrity\": \"x\"}";
        for (from, to, fine) in [
            ("1", "2", true),
            ("r.example", "evil.example", false),
            (", \"integrity\": \"x\"", "", false),
        ] {
            let new = old.replace(from, to);
            assert_eq!(lockfile_adds_no_source(old, &new), fine, "{to}");
        }
    }
}
