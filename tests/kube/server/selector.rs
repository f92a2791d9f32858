//! Label and field selectors of list and watch.

use serde_json::Value;

use super::resource::Resource;
use super::status::Refusal;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Equals(String, String),
    Differs(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// Both selectors of a request; objects must match both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn values(text: &str) -> Vec<String> {
    text.trim()
        .trim_matches(|c| c == '(' || c == ')')
        .split(',')
        .map(|value| value.trim().to_owned())
        .collect()
}

fn requirement(text: &str) -> Requirement {
    if let Some((key, list)) = text.split_once(" notin ") {
        Requirement::NotIn(key.trim().to_owned(), values(list))
    } else if let Some((key, list)) = text.split_once(" in ") {
        Requirement::In(key.trim().to_owned(), values(list))
    } else if let Some((key, value)) = text.split_once("!=") {
        Requirement::Differs(key.trim().to_owned(), value.trim().to_owned())
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        Requirement::Equals(key.trim().to_owned(), value.trim().to_owned())
    } else if let Some(key) = text.strip_prefix('!') {
        Requirement::Absent(key.trim().to_owned())
    } else {
        Requirement::Exists(text.to_owned())
    }
}

/// The fields a resource can be selected by; `metadata.name` and `metadata.namespace` always.
fn selectable(resource: &Resource) -> &'static [&'static str] {
    match resource.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Secret" => &["type"],
        "Namespace" => &["status.phase"],
        "ReplicaSet" => &["status.replicas"],
        "Job" => &["status.successful"],
        _ => &[],
    }
}

impl Selector {
    /// From a request's `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(
        resource: &Resource,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Self, Refusal> {
        let mut parsed = Self {
            labels: split(labels.unwrap_or_default()).into_iter().map(requirement).collect(),
            fields: Vec::new(),
        };
        for part in split(fields.unwrap_or_default()) {
            let (name, value, equal) = if let Some((name, value)) = part.split_once("!=") {
                (name, value, false)
            } else if let Some((name, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (name, value, true)
            } else {
                return Err(Refusal::bad_request(format!(
                    "unable to parse requirement: invalid field selector: {part:?}"
                )));
            };
            let known = matches!(name, "metadata.name" | "metadata.namespace")
                || selectable(resource).contains(&name);
            if !known {
                return Err(Refusal::bad_request(format!("field label not supported: {name}")));
            }
            parsed.fields.push((name.to_owned(), value.to_owned(), equal));
        }
        Ok(parsed)
    }

    /// Whether `object` is selected.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.labels.iter().all(|requirement| match requirement {
            Requirement::Equals(key, value) => label(key) == Some(value),
            Requirement::Differs(key, value) => label(key) != Some(value),
            Requirement::In(key, list) => {
                label(key).is_some_and(|has| list.iter().any(|value| value == has))
            }
            Requirement::NotIn(key, list) => {
                !label(key).is_some_and(|has| list.iter().any(|value| value == has))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        }) && self.fields.iter().all(|(name, value, equal)| {
            let name = name.replace("regarding.", "involvedObject.");
            let mut at = object;
            for step in name.split('.') {
                at = &at[step];
            }
            let has = at.as_str().map_or_else(
                || if at.is_null() { String::new() } else { at.to_string() },
                str::to_owned,
            );
            (has == *value) == *equal
        })
    }
}

/// Whether a workload's `spec.selector` selects these labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = selector["matchExpressions"].as_array().is_none_or(|list| {
        list.iter().all(|expression| {
            let has = expression["key"].as_str().and_then(|key| labels.get(key));
            let among = || {
                expression["values"]
                    .as_array()
                    .is_some_and(|values| has.is_some_and(|has| values.contains(has)))
            };
            match expression["operator"].as_str() {
                Some("In") => among(),
                Some("NotIn") => !among(),
                Some("Exists") => has.is_some(),
                Some("DoesNotExist") => has.is_none(),
                _ => false,
            }
        })
    });
    equal && expressions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::resource::by_kind;

    #[test]
    fn labels_and_fields_select() {
        let object = json!({
            "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
            "involvedObject": {"name": "web-1"}, "count": 3,
        });
        for (labels, fields, expect) in [
            ("app=web", "", true),
            ("app==web,tier!=back", "", true),
            ("app in (web, api),!canary", "", true),
            ("tier notin (front)", "", false),
            ("tier", "metadata.name=web", true),
            ("", "metadata.name!=web", false),
            ("", "involvedObject.name=web-1", true),
        ] {
            let selector = Selector::parse(by_kind("Event"), Some(labels), Some(fields)).unwrap();
            assert_eq!(selector.matches(&object), expect, "{labels} {fields}");
        }
        assert!(Selector::parse(by_kind("Event"), None, Some("spec.x=1")).is_err());
    }
}
