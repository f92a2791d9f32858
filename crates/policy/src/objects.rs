//! Data files as data: what differs between two versions of a JSON, YAML or TOML file, and what a
//! lockfile of a format without a reader adds.

use std::collections::BTreeSet;

use serde_json::Value;

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
        Some(Value::Array(list)) => Some(named(list)),
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
pub(crate) fn named(list: &[Value]) -> serde_json::Map<String, Value> {
    let mut map = serde_json::Map::new();
    for (index, value) in list.iter().enumerate() {
        let name = ["name", "containerPort", "port", "mountPath", "host"]
            .iter()
            .find_map(|key| value.get(key))
            .map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        let key = name.filter(|name| !map.contains_key(name)).unwrap_or_else(|| index.to_string());
        map.insert(key, value.clone());
    }
    map
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
