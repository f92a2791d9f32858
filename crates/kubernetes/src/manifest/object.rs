//! One object of a release, and how objects are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// As a person knows it: `k8s/web.yaml`, `helm template web`.
    pub(crate) file: String,
    /// 1-based; `None` for an item of a list and for objects of a record.
    pub(crate) line: Option<u64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// What an object is called. Two objects are one when their group, kind, namespace and name are
/// the same; the version is only a view of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectId {
    /// `apps/v1`
    pub(crate) api_version: String,
    /// `Deployment`
    pub(crate) kind: String,
    /// `None` for what belongs to the cluster, and before it is put into its namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl ObjectId {
    /// `apps`, empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }
}

impl PartialEq for ObjectId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ObjectId {}

impl PartialOrd for ObjectId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for ObjectId {
    /// As people type it: `deployment/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

/// One object of a release.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// The object; always a mapping with `apiVersion`, `kind` and `metadata.name`.
    value: Value,
    /// Where it stands.
    pub(crate) origin: Origin,
}

/// What keeps a value from being an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoObject {
    /// It is no mapping.
    Mapping,
    /// It has no `apiVersion`.
    ApiVersion,
    /// It has no `kind`.
    Kind,
    /// It has no `metadata.name`.
    Name,
    /// It has `metadata.generateName` in its place.
    GeneratedName,
}

impl Manifest {
    pub(crate) fn new(value: Value, origin: Origin) -> Result<Self, NoObject> {
        let text = |pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        if !value.is_object() {
            return Err(NoObject::Mapping);
        }
        if !text("/apiVersion") {
            return Err(NoObject::ApiVersion);
        }
        if !text("/kind") {
            return Err(NoObject::Kind);
        }
        if !text("/metadata/name") {
            return Err(match text("/metadata/generateName") {
                true => NoObject::GeneratedName,
                false => NoObject::Name,
            });
        }
        Ok(Self { value, origin })
    }

    /// The object.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(crate) fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// As it stands in the object.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    pub(crate) fn id(&self) -> ObjectId {
        ObjectId {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// `apps`, empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// The namespace, or none for what belongs to the cluster.
    pub(crate) fn set_namespace(&mut self, namespace: Option<&str>) {
        let Some(metadata) = mapping(&mut self.value, "/metadata") else { return };
        match namespace {
            Some(namespace) => {
                metadata.insert("namespace".to_owned(), namespace.into());
            }
            None => {
                metadata.remove("namespace");
            }
        }
    }

    /// Sets `metadata.annotations[key]`.
    pub(crate) fn annotate(&mut self, key: &str, text: &str) {
        if let Some(annotations) = mapping(&mut self.value, "/metadata/annotations") {
            annotations.insert(key.to_owned(), text.into());
        }
    }

    /// Sets `metadata.labels[key]`, when it has none.
    pub(crate) fn label(&mut self, key: &str, text: &str) {
        if let Some(labels) = mapping(&mut self.value, "/metadata/labels") {
            labels.entry(key).or_insert_with(|| text.into());
        }
    }

    /// Changes the object by `how`, which must leave its names alone.
    pub(crate) fn change(&mut self, how: impl FnOnce(&mut Value)) {
        how(&mut self.value);
    }

    /// Everything below `spec` and beside it, to be changed in place; the names stay.
    pub(crate) fn body_mut(&mut self) -> impl Iterator<Item = (&String, &mut Value)> {
        let named = |key: &str| matches!(key, "apiVersion" | "kind" | "metadata");
        let fields = self.value.as_object_mut().into_iter().flatten();
        fields.filter(move |(key, _)| !named(key))
    }

    /// The pods' template, where the kind has one.
    #[cfg(test)]
    pub(crate) fn template(&self) -> Option<&Value> {
        self.value.pointer(template_at(self.kind())?)
    }

    /// The same, to be changed.
    pub(crate) fn template_mut(&mut self) -> Option<&mut Value> {
        let pointer = template_at(self.text("/kind"))?;
        self.value.pointer_mut(pointer)
    }
}

/// Where a kind keeps its pods' template.
pub(crate) fn template_at(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// The mapping at `pointer` below `value`; what is no mapping on the way becomes one, so there is
/// always one.
pub(crate) fn mapping<'a>(
    mut value: &'a mut Value,
    pointer: &str,
) -> Option<&'a mut Map<String, Value>> {
    for key in pointer.split('/').filter(|key| !key.is_empty()) {
        value = as_mapping(value)?.entry(key).or_insert(Value::Null);
    }
    as_mapping(value)
}

fn as_mapping(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin() -> Origin {
        Origin { file: "k8s/web.yaml".to_owned(), line: Some(4) }
    }

    #[test]
    fn an_object_has_a_kind_and_a_name() {
        for (value, expect) in [
            (json!([]), NoObject::Mapping),
            (json!({"kind": "Service"}), NoObject::ApiVersion),
            (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), NoObject::Kind),
            (json!({"apiVersion": "v1", "kind": "Service", "metadata": {}}), NoObject::Name),
            (
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "a-"}}),
                NoObject::GeneratedName,
            ),
        ] {
            assert_eq!(Manifest::new(value.clone(), origin()), Err(expect), "{value}");
        }
    }

    #[test]
    fn the_version_is_only_a_view() {
        let id = |api_version: &str, namespace: Option<&str>| ObjectId {
            api_version: api_version.to_owned(),
            kind: "HorizontalPodAutoscaler".to_owned(),
            namespace: namespace.map(str::to_owned),
            name: "web".to_owned(),
        };
        assert_eq!(id("autoscaling/v1", None), id("autoscaling/v2", None));
        assert_ne!(id("autoscaling/v2", None), id("other/v2", None));
        assert_ne!(id("autoscaling/v2", None), id("autoscaling/v2", Some("a")));
    }

    #[test]
    fn marks_are_made_where_there_are_no_mappings_yet() {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/managed-by": "Helm"}}});
        let mut manifest = Manifest::new(value, origin()).unwrap();
        manifest.annotate("x", "1");
        manifest.label("app.kubernetes.io/managed-by", "greenloop");
        manifest.label("other", "2");
        assert_eq!(
            manifest.value()["metadata"],
            json!({"name": "a",
                "labels": {"app.kubernetes.io/managed-by": "Helm", "other": "2"},
                "annotations": {"x": "1"}})
        );
    }
}
