//! Errors in the API server's form: a `Status` object.

use serde_json::{Value, json};

use super::resource::Resource;

/// An error: an HTTP status with a `Status` body.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

/// One error of an invalid object.
#[derive(Debug, Clone)]
pub(crate) struct Mistake {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Mistake {
    pub(crate) fn required(field: impl Into<String>) -> Self {
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message: "Required value".to_owned(),
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }
}

impl Refusal {
    /// `reason` may be empty.
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": message.into(),
        });
        if !reason.is_empty() {
            body["reason"] = json!(reason);
        }
        body["code"] = json!(code);
        Self { code, body }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        let mut details = json!({});
        if !name.is_empty() {
            details["name"] = json!(name);
        }
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        details["kind"] = json!(resource.plural);
        self.body["details"] = details;
        self
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(crate) fn no_path() -> Self {
        let mut refusal =
            Self::new(404, "NotFound", "the server could not find the requested resource");
        refusal.body["details"] = json!({});
        refusal
    }

    pub(crate) fn exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn stale(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; \
             please apply your changes to the latest version and try again",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(crate) fn precondition(resource: &Resource, name: &str, what: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {what}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", resource.qualified())
        } else {
            format!("{} {name:?} is forbidden: {why}", resource.qualified())
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// A creation in a namespace that is being deleted.
    pub(crate) fn terminating(resource: &Resource, namespace: &str, name: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut refusal = Self::forbidden(resource, name, &why);
        refusal.body["details"]["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        refusal
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, mistakes: &[Mistake]) -> Self {
        let told: Vec<String> =
            mistakes.iter().map(|m| format!("{}: {}", m.field, m.message)).collect();
        let told = if let [one] = told.as_slice() {
            one.clone()
        } else {
            format!("[{}]", told.join(", "))
        };
        let message = format!("{} {name:?} is invalid: {told}", resource.qualified_kind());
        let mut refusal = Self::new(422, "Invalid", message);
        let causes: Vec<Value> = mistakes
            .iter()
            .map(|m| json!({"reason": m.reason, "message": m.message, "field": m.field}))
            .collect();
        let mut details = json!({"name": name});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        details["kind"] = json!(resource.kind);
        details["causes"] = json!(causes);
        refusal.body["details"] = details;
        refusal
    }

    /// A server-side apply that would take fields from others: `(who, field)` each.
    pub(crate) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let message = if let [(who, field)] = conflicts {
            format!("Apply failed with 1 conflict: conflict with {who}: {field}")
        } else {
            let mut lines = Vec::new();
            let mut last = None;
            for (who, field) in conflicts {
                if last != Some(who) {
                    lines.push(format!("conflicts with {who}:"));
                    last = Some(who);
                }
                lines.push(format!("- {field}"));
            }
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        };
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(who, field)| {
                json!({
                    "reason": "FieldManagerConflict",
                    "message": format!("conflict with {who}"),
                    "field": field,
                })
            })
            .collect();
        let mut refusal = Self::new(409, "Conflict", message);
        refusal.body["details"] = json!({"causes": causes});
        refusal
    }
}
