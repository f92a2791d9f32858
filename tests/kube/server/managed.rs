//! `metadata.managedFields`: field ownership, and server-side apply.

use serde_json::{Value, json};

use super::fields::{self, Leaves, Paths};
use super::resource::Resource;
use super::status::Refusal;
use super::store;

/// A field manager, and its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// `status`, `scale`; empty for the object itself.
    pub(crate) subresource: String,
    pub(crate) dry_run: bool,
    /// Takes fields from others (`force` of server-side apply).
    pub(crate) force: bool,
}

impl Writer {
    pub(crate) fn named(manager: &str) -> Self {
        Self {
            manager: manager.to_owned(),
            subresource: String::new(),
            dry_run: false,
            force: false,
        }
    }

    pub(crate) fn of_status(manager: &str) -> Self {
        Self { subresource: "status".to_owned(), ..Self::named(manager) }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    paths: Paths,
}

impl Entry {
    fn is(&self, writer: &Writer, operation: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
    }

    /// The name of an owner in a conflict.
    fn told(&self) -> String {
        let mut told = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            told.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == "Update" {
            told.push_str(&format!(" using {} at {}", self.api_version, self.time));
        }
        told
    }
}

fn read(object: &Value) -> Vec<Entry> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| Entry {
            manager: text(entry, "manager"),
            operation: text(entry, "operation"),
            subresource: text(entry, "subresource"),
            api_version: text(entry, "apiVersion"),
            time: text(entry, "time"),
            paths: fields::from_v1(&entry["fieldsV1"]),
        })
        .collect()
}

fn write(object: &mut Value, entries: &[Entry]) {
    let list: Vec<Value> = entries
        .iter()
        .filter(|entry| !entry.paths.is_empty())
        .map(|entry| {
            let mut written = json!({
                "manager": entry.manager, "operation": entry.operation,
                "apiVersion": entry.api_version, "time": entry.time,
                "fieldsType": "FieldsV1", "fieldsV1": fields::to_v1(&entry.paths),
            });
            if !entry.subresource.is_empty() {
                written["subresource"] = json!(entry.subresource);
            }
            written
        })
        .collect();
    let metadata = object["metadata"].as_object_mut().unwrap();
    if list.is_empty() {
        metadata.shift_remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

fn entry<'a>(
    entries: &'a mut Vec<Entry>,
    resource: &Resource,
    writer: &Writer,
    operation: &str,
) -> &'a mut Entry {
    let place = entries.iter().position(|entry| entry.is(writer, operation));
    let place = place.unwrap_or_else(|| {
        entries.push(Entry {
            manager: writer.manager.clone(),
            operation: operation.to_owned(),
            subresource: writer.subresource.clone(),
            api_version: resource.api_version(),
            time: store::now(),
            paths: Paths::new(),
        });
        entries.len() - 1
    });
    &mut entries[place]
}

/// Fields of `new` that are new or have another value than in `old`.
fn changed(old: &Leaves, new: &Leaves) -> Paths {
    new.iter()
        .filter(|(path, value)| old.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect()
}

/// Updates the ownership after a create, an update or a patch that is not an apply.
pub(crate) fn note_update(
    resource: &Resource,
    old: Option<&Value>,
    new: &mut Value,
    writer: &Writer,
) {
    let before = old.map(|old| fields::leaves(resource.kind, old)).unwrap_or_default();
    let after = fields::leaves(resource.kind, new);
    let changed = changed(&before, &after);
    let removed: Paths = before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
    let mut entries = old.map(read).unwrap_or_default();
    if !changed.is_empty() || !removed.is_empty() {
        for entry in &mut entries {
            entry.paths.retain(|path| !changed.contains(path) && !removed.contains(path));
        }
        if !changed.is_empty() {
            let own = entry(&mut entries, resource, writer, "Update");
            own.paths.extend(changed);
            own.time = store::now();
        }
    }
    write(new, &entries);
}

/// The paths, and what they lie in.
fn with_parents<'a>(paths: impl IntoIterator<Item = &'a fields::Path>) -> Paths {
    let all = paths.into_iter();
    all.flat_map(|path| (1..=path.len()).map(|length| path[..length].to_vec())).collect()
}

/// Applies `applied` over `live`, and updates the ownership.
///
/// # Errors
/// A conflict, if fields of others would change without `force`.
pub(crate) fn apply(
    resource: &Resource,
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer,
    finish: impl Fn(&mut Value),
) -> Result<Value, Refusal> {
    let kind = resource.kind;
    let empty = json!({"metadata": {}});
    let base = live.unwrap_or(&empty);
    let mut merged = fields::merge(kind, "", base, applied);
    let configured = fields::leaves(kind, applied);
    let wanted: Paths = configured.keys().cloned().collect();
    let mut entries = live.map(read).unwrap_or_default();
    let last = entries
        .iter()
        .find(|entry| entry.is(writer, "Apply"))
        .map(|entry| entry.paths.clone())
        .unwrap_or_default();

    let before = fields::leaves(kind, base);
    let taken = changed(&before, &fields::leaves(kind, &merged));
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !entry.is(writer, "Apply")) {
        let disputed: Paths = entry.paths.intersection(&taken).cloned().collect();
        for path in disputed {
            if writer.force {
                entry.paths.remove(&path);
            } else {
                conflicts.push((entry.told(), fields::written(&path)));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(Refusal::apply_conflict(&conflicts));
    }

    let others: Paths = entries
        .iter()
        .filter(|entry| !entry.is(writer, "Apply"))
        .flat_map(|entry| entry.paths.iter().cloned())
        .collect();
    // Removes fields that were applied before and have no owner any more, with the defaults inside
    // them; parents before their children.
    let owned = with_parents(others.iter().chain(&wanted));
    for path in with_parents(&last).difference(&owned) {
        fields::remove(kind, &mut merged, path);
    }

    finish(&mut merged);
    let changes =
        live.is_none_or(|live| fields::leaves(kind, live) != fields::leaves(kind, &merged));
    let own = entry(&mut entries, resource, writer, "Apply");
    if changes || own.paths != wanted {
        own.time = store::now();
    }
    own.paths = wanted;
    let present: Paths = fields::leaves(kind, &merged).into_keys().collect();
    for entry in entries.iter_mut().filter(|entry| !entry.is(writer, "Apply")) {
        entry.paths.retain(|path| present.contains(path));
    }
    write(&mut merged, &entries);
    Ok(merged)
}
