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
    if before == after {
        return;
    }
    let empty = serde_json::Map::new();
    let lists;
    // An empty container, or one of another kind, is a difference itself.
    let maps = match (before, after) {
        _ if path.len() > MAX_DEPTH => None,
        (Some(Value::Object(old)), Some(Value::Object(new))) => Some((old, new)),
        (None, Some(Value::Object(new))) if !new.is_empty() => Some((&empty, new)),
        (Some(Value::Object(old)), None) if !old.is_empty() => Some((old, &empty)),
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            lists = (named(old), named(new));
            Some((&lists.0, &lists.1))
        }
        (None, Some(Value::Array(new))) if !new.is_empty() => {
            lists = (serde_json::Map::new(), named(new));
            Some((&lists.0, &lists.1))
        }
        (Some(Value::Array(old)), None) if !old.is_empty() => {
            lists = (named(old), serde_json::Map::new());
            Some((&lists.0, &lists.1))
        }
        _ => None,
    };
    if let Some((old, new)) = maps {
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            path.push(key.clone());
            compare(path, old.get(key), new.get(key), found);
            path.pop();
        }
        return;
    }
    found.push(Difference { path: path.clone(), before: before.cloned(), after: after.cloned() });
}

/// A list as a map, by the names of its objects, else by position: every entry has its own key.
pub(crate) fn named(list: &[Value]) -> serde_json::Map<String, Value> {
    let mut map = serde_json::Map::new();
    for (index, value) in list.iter().enumerate() {
        let name = ["name", "containerPort", "port", "mountPath", "host"]
            .iter()
            .find_map(|key| value.get(key))
            .map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        let mut key =
            name.filter(|name| !map.contains_key(name)).unwrap_or_else(|| index.to_string());
        // A position that another entry has as its name.
        while map.contains_key(&key) {
            key.push('\'');
        }
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
    fn every_difference_is_found() {
        let deep = |text: &str| {
            serde_json::json!(format!("{}\"{text}\"{}", "[".repeat(100), "]".repeat(100)))
                .as_str()
                .and_then(json)
                .expect("a document")
        };
        for (before, after, paths) in [
            (json(r#"{"a": 1}"#), json(r#"{"a": 2}"#), vec!["a"]),
            (json(r#"{}"#), json(r#"{"a": {}}"#), vec!["a"]),
            (json(r#"{"a": []}"#), json(r#"{}"#), vec!["a"]),
            (json(r#"{"a": []}"#), json(r#"{"a": {}}"#), vec!["a"]),
            (json(r#"{"a": [1]}"#), json(r#"{"a": {"0": 1}}"#), vec!["a"]),
            (json(r#"{}"#), json(r#"{"a": {"b": 1}}"#), vec!["a.b"]),
            // A name that is another entry's position, also with the mark that sets them apart.
            (
                json(r#"[{"name": "1", "a": 1}, 2]"#),
                json(r#"[{"name": "1", "a": 2}, 2]"#),
                vec!["1.a"],
            ),
            (
                json(r#"[{"name": "2", "a": 1}, {"name": "2'"}, 3]"#),
                json(r#"[{"name": "2", "a": 2}, {"name": "2'"}, 4]"#),
                vec!["2.a", "2''"],
            ),
            (
                json(r#"[{"name": "a"}, {"name": "b"}]"#),
                json(r#"[{"name": "b"}, {"name": "a"}]"#),
                vec![],
            ),
        ] {
            let (before, after) = (before.expect("json"), after.expect("json"));
            let found: Vec<String> =
                differences(&before, &after).into_iter().map(|it| it.path.join(".")).collect();
            assert_eq!(found, paths, "{before} {after}");
        }
        assert_eq!(differences(&deep("a"), &deep("b")).len(), 1);
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
