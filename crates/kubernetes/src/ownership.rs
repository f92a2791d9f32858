//! Who owns a field, and whether it may be taken.
//!
//! Greenloop applies without force first. A conflict is then looked at, field by field:
//!
//! - Fields that **people** wrote with a tool of their own (`kubectl edit`, `kubectl apply`,
//!   `helm` and so on) become the release's: the repository is the truth, and a change by hand
//!   that nobody can see in it would be lost by the next rollout anyway. Each is named in a
//!   notice and stands in the diff.
//! - Fields that a **controller** or another delivery tool owns are not taken: two writers would
//!   fight for ever. The rollout fails and names field and owner.
//! - A restore takes everything: what worked must work again.

use kube::api::DynamicObject;
use serde_json::Value;

use super::manifest::labels::MANAGER;

/// Managers behind which a person sits, by the beginning of their name.
const PEOPLE: &[&str] = &["kubectl", "helm", "k9s", "node-fetch", "Mozilla", "oc", MANAGER];

/// A field in conflict, with those who own it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    /// As the API server writes it: `.spec.template.spec.containers[name="web"].image`.
    pub(super) field: String,
    /// Field managers besides ours.
    pub(super) owners: Vec<String>,
}

impl Owned {
    /// Whether all owners are people's tools.
    pub(super) fn is_peoples(&self) -> bool {
        !self.owners.is_empty()
            && self
                .owners
                .iter()
                .all(|owner| PEOPLE.iter().any(|beginning| owner.starts_with(beginning)))
    }
}

impl std::fmt::Display for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owners = match self.owners.as_slice() {
            [] => "another manager".to_owned(),
            owners => owners.join(" and "),
        };
        write!(f, "{} is owned by {owners}", self.field)
    }
}

/// The owners of `fields` in `live`.
pub(super) fn owners(live: Option<&DynamicObject>, fields: Vec<String>) -> Vec<Owned> {
    let entries = || live.into_iter().flat_map(|o| o.metadata.managed_fields.iter().flatten());
    fields
        .into_iter()
        .map(|field| {
            let mut owners: Vec<String> = entries()
                .filter(|entry| entry.manager.as_deref() != Some(MANAGER))
                .filter(|entry| entry.fields_v1.as_ref().is_some_and(|f| owns(&f.0, &field)))
                .filter_map(|entry| entry.manager.clone())
                .collect();
            owners.sort();
            owners.dedup();
            Owned { field, owners }
        })
        .collect()
}

/// Whether Greenloop's own applying owns the field.
pub(super) fn is_ours(live: &DynamicObject, field: &str) -> bool {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    entries.any(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0, field))
    })
}

/// Whether a `FieldsV1` tree holds a path as the API server prints it. The print is ambiguous
/// where keys have dots, so the tree leads: each child that fits is followed.
fn owns(fields: &Value, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    let children = fields.as_object().into_iter().flatten();
    children.into_iter().any(|(key, below)| {
        let Some(printed) = printed(key) else { return false };
        let Some(rest) = path.strip_prefix(&printed) else { return false };
        (rest.is_empty() || rest.starts_with(['.', '['])) && owns(below, rest)
    })
}

/// One step of a path (`structured-merge-diff`, `fieldpath`): `f:name` is printed `.name`,
/// `k:{"name":"web"}` is `[name="web"]`, `v:"a"` is `[="a"]`, `i:0` is `[0]`.
fn printed(key: &str) -> Option<String> {
    let (sort, rest) = key.split_at_checked(2)?;
    match sort {
        "f:" => Some(format!(".{rest}")),
        "i:" => Some(format!("[{rest}]")),
        "v:" => Some(format!("[={rest}]")),
        "k:" => {
            let keys: Value = serde_json::from_str(rest).ok()?;
            let keys: Vec<String> =
                keys.as_object()?.iter().map(|(name, value)| format!("{name}={value}")).collect();
            Some(format!("[{}]", keys.join(",")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "managedFields": [
                {"manager": "greenloop", "operation": "Apply", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:ports": {
                        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}}}}}}}},
                {"manager": "vpa-updater", "operation": "Update", "fieldsType": "FieldsV1",
                 "fieldsV1": {"f:metadata": {"f:annotations": {"f:vpa.io/last.run": {}}}}},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn owners_are_found_by_the_printed_path() {
        for (field, owners_of, peoples) in [
            (".spec.template.spec.containers[name=\"web\"].image", vec!["kubectl-edit"], true),
            (
                ".spec.template.spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"].name",
                vec!["kubectl-edit"],
                true,
            ),
            (".metadata.annotations.vpa.io/last.run", vec!["vpa-updater"], false),
            (".spec.template.spec.containers[name=\"webber\"].image", vec![], false),
            (".spec.replicas", vec![], false),
            (".spec.rep", vec![], false),
        ] {
            let found = owners(Some(&live()), vec![field.to_owned()]);
            assert_eq!(found[0].owners, owners_of, "{field}");
            assert_eq!(found[0].is_peoples(), peoples, "{field}");
        }
        assert!(is_ours(&live(), ".spec.replicas"));
        assert!(!is_ours(&live(), ".spec.template"));
    }
}
