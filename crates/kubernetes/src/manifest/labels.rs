//! Objects as they go to the cluster: in their namespace, with Greenloop's marks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Manifest;
use super::object::mapping;
use greenloop_model::{CommitId, ReleaseId, RunId};

/// The label on every object.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value, and the field manager.
pub(crate) const MANAGER: &str = "greenloop";
/// The run that wrote the object last.
pub(crate) const RUN: &str = "greenloop.dev/run";
/// The release it is a part of.
pub(crate) const RELEASE: &str = "greenloop.dev/release";
/// The commit that release was made from.
pub(crate) const COMMIT: &str = "greenloop.dev/commit";

/// Whose objects they are.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) run: RunId,
    pub(crate) release: ReleaseId,
    pub(crate) commit: CommitId,
}

impl Stamp {
    /// Puts an object into its namespace and marks it. The marks stand on the object itself, never
    /// on a pods' template: a run that changes nothing restarts nothing.
    pub(crate) fn put_on(&self, object: &mut Manifest, namespaced: bool, namespace: &str) {
        let own = object.namespace().filter(|own| !own.is_empty()).unwrap_or(namespace).to_owned();
        object.set_namespace(namespaced.then_some(own.as_str()));
        if object.kind() == "Secret" && object.group().is_empty() {
            object.change(encode);
        }
        object.label(MANAGED_BY, MANAGER);
        object.annotate(RUN, &self.run.to_string());
        object.annotate(RELEASE, &self.release.to_string());
        object.annotate(COMMIT, self.commit.as_str());
    }
}

/// Moves a Secret's `stringData` to where the API server keeps it. It is only a way of writing:
/// what is applied through it is owned under another name than what is kept, so that a key that
/// goes would stay, and a change by hand would not be seen.
fn encode(secret: &mut Value) {
    let written = secret.as_object_mut().and_then(|fields| fields.remove("stringData"));
    let Some(Value::Object(written)) = written else { return };
    let Some(data) = mapping(secret, "/data") else { return };
    for (key, value) in written {
        let value = match value {
            Value::String(text) => Value::from(STANDARD.encode(text)),
            // No text: the API server says so.
            other => other,
        };
        data.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Origin;
    use super::*;

    #[test]
    fn objects_get_a_namespace_and_marks_and_templates_do_not() {
        let stamp = Stamp {
            run: RunId::generate(),
            release: ReleaseId::generate(),
            commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        };
        let object = |kind: &str, namespace: Option<&str>| {
            let mut value = json!({"apiVersion": "apps/v1", "kind": kind,
                "metadata": {"name": "a"}, "spec": {"template": {"metadata": {}}}});
            if let Some(namespace) = namespace {
                value["metadata"]["namespace"] = namespace.into();
            }
            Manifest::new(value, Origin { file: "a".to_owned(), line: None }).unwrap()
        };
        for (namespaced, own, expect) in [
            (true, None, Some("shop")),
            (true, Some("other"), Some("other")),
            (false, Some("other"), None),
        ] {
            let mut stamped = object("Deployment", own);
            stamp.put_on(&mut stamped, namespaced, "shop");
            assert_eq!(stamped.namespace(), expect);
            let annotations = &stamped.value()["metadata"]["annotations"];
            assert_eq!(annotations[RUN], stamp.run.to_string());
            assert_eq!(annotations[RELEASE], stamp.release.to_string());
            assert_eq!(stamped.value()["metadata"]["labels"][MANAGED_BY], MANAGER);
            assert_eq!(stamped.template(), Some(&json!({"metadata": {}})));
        }
    }

    #[test]
    fn what_a_secret_is_written_as_becomes_what_it_is_kept_as() {
        let mut secret = json!({"kind": "Secret", "data": {"a": "MQ==", "b": "Mg=="},
            "stringData": {"b": "ä", "c": 3}});
        encode(&mut secret);
        let expect = json!({"kind": "Secret", "data": {"a": "MQ==", "b": "w6Q=", "c": 3}});
        assert_eq!(secret, expect);
        encode(&mut secret);
        assert_eq!(secret, expect);
    }
}
