//! The objects, their versions, and all changes in order.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::resource::Resource;

/// The `type` of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change, as in a watch.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: ChangeKind,
    pub(crate) resource: &'static Resource,
    /// The current or last state.
    pub(crate) object: Value,
    /// The previous state.
    pub(crate) before: Option<Value>,
    pub(crate) at: Instant,
}

type Key = (&'static str, &'static str, String, String);

/// The server's storage. Every change has one revision; revisions only increase.
pub(crate) struct Store {
    objects: BTreeMap<Key, Value>,
    revision: u64,
    pub(crate) history: Vec<Change>,
    /// Watches from before this revision get 410.
    pub(crate) compacted: u64,
    changed: watch::Sender<u64>,
}

fn key(resource: &'static Resource, namespace: &str, name: &str) -> Key {
    let stored = resource.stored();
    (stored.group, stored.plural, namespace.to_owned(), name.to_owned())
}

/// `2026-01-02T03:04:05Z`
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Namespace and name of an object.
pub(crate) fn identity(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            revision: 100,
            history: Vec::new(),
            compacted: 0,
            changed: watch::Sender::new(100),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Clears the history: older watches must list again.
    pub(crate) fn compact(&mut self) {
        self.revision += 10;
        self.compacted = self.revision;
        self.changed.send_replace(self.revision);
    }

    /// Notifies of changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn get(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<&Value> {
        self.objects.get(&key(resource, namespace, name))
    }

    /// All of a resource, in one namespace or in all, by namespace and name.
    pub(crate) fn list(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Value> {
        let stored = resource.stored();
        let from = (stored.group, stored.plural, namespace.unwrap_or_default().to_owned());
        self.objects
            .range((from.0, from.1, from.2, String::new())..)
            .take_while(move |(key, _)| (key.0, key.1) == (stored.group, stored.plural))
            .filter(move |(key, _)| namespace.is_none_or(|namespace| key.2 == namespace))
            .map(|(_, object)| object)
    }

    /// Every object of a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<(&'static Resource, Value)> {
        self.objects
            .iter()
            .filter(|(key, _)| key.2 == namespace)
            .map(|(key, object)| (super::resource::find(key.0, key.1).unwrap(), object.clone()))
            .collect()
    }

    fn record(
        &mut self,
        kind: ChangeKind,
        resource: &'static Resource,
        object: Value,
        before: Option<Value>,
    ) {
        let resource = resource.stored();
        let revision = self.revision;
        let at = Instant::now();
        self.history.push(Change { revision, kind, resource, object, before, at });
        self.changed.send_replace(revision);
    }

    /// Stores a new object, and returns it with uid, time and version.
    pub(crate) fn insert(&mut self, resource: &'static Resource, mut object: Value) -> Value {
        self.revision += 1;
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(uuid::Uuid::new_v4().to_string());
        metadata["creationTimestamp"] = json!(now());
        metadata["resourceVersion"] = json!(self.revision.to_string());
        let (namespace, name) = identity(&object);
        self.objects.insert(key(resource, &namespace, &name), object.clone());
        self.record(ChangeKind::Added, resource, object.clone(), None);
        object
    }

    /// Stores a changed object; one that did not change keeps its version.
    pub(crate) fn replace(&mut self, resource: &'static Resource, mut object: Value) -> Value {
        let (namespace, name) = identity(&object);
        let key = key(resource, &namespace, &name);
        let before = self.objects.get(&key).cloned();
        if let Some(before) = &before {
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if *before == object {
                return object;
            }
        }
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key, object.clone());
        self.record(ChangeKind::Modified, resource, object.clone(), before);
        object
    }

    /// Removes an object, and returns its last state.
    pub(crate) fn remove(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let before = self.objects.remove(&key(resource, namespace, name))?;
        self.revision += 1;
        let mut object = before.clone();
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.record(ChangeKind::Deleted, resource, object.clone(), Some(before));
        Some(object)
    }
}
