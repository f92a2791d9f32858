//! Rendered text as objects, each with the place it stands at.

use serde_json::Value;
use serde_yaml::{MessageFormatter, Spanned};

use super::object::NoObject;
use super::source::{Form, Source};
use super::{Manifest, Origin};
use crate::error::{KubernetesError, KubernetesErrorKind};

/// Objects in one source.
const MOST: usize = 2_000;

/// All objects of a source, lists unfolded, empty documents left out.
pub(crate) fn parse(source: &Source) -> Result<Vec<Manifest>, KubernetesError> {
    let documents = match source.form {
        Form::Yaml => yaml(source)?,
        Form::Json => vec![(1, json(source)?)],
    };
    let mut objects = Vec::new();
    for (line, value) in documents {
        let origin = Origin { file: source.name.clone(), line: Some(line) };
        unfold(value, origin, &mut objects)?;
        if objects.len() > MOST {
            return Err(invalid(format!("{} has more than {MOST} objects", source.name)));
        }
    }
    Ok(objects)
}

fn invalid(message: String) -> KubernetesError {
    KubernetesError::new(KubernetesErrorKind::Manifest, message)
}

fn yaml(source: &Source) -> Result<Vec<(u64, Value)>, KubernetesError> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: 128,
            max_nodes: 1_000_000,
            max_documents: 5_000,
            max_total_scalar_bytes: 32 << 20,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
        // A mode that is written `0644` means octal, as kubectl reads it.
        legacy_octal_numbers: true,
        with_snippet: false,
        emit_comments: false,
    };
    let read = serde_yaml::from_multiple_with_options::<Spanned<Value>>(&source.text, options);
    let documents = read.map_err(|error| {
        let place = error.location().map_or_else(
            || source.name.clone(),
            |at| format!("{}:{}:{}", source.name, at.line(), at.column()),
        );
        let said = serde_yaml::DefaultMessageFormatter.format_message(&error);
        let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        invalid(format!("{place}: not valid YAML: {said}"))
    })?;
    Ok(documents.into_iter().map(|document| (document.referenced.line(), document.value)).collect())
}

fn json(source: &Source) -> Result<Value, KubernetesError> {
    serde_json::from_str(&source.text).map_err(|error| {
        let place = format!("{}:{}:{}", source.name, error.line(), error.column());
        invalid(format!("{place}: not valid JSON")).because(error)
    })
}

fn unfold(value: Value, origin: Origin, out: &mut Vec<Manifest>) -> Result<(), KubernetesError> {
    if value.is_null() {
        return Ok(());
    }
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|k| k.ends_with("List"))
        && value.get("items").is_some_and(Value::is_array);
    if is_list {
        let Value::Object(mut list) = value else { return Ok(()) };
        let items = list.remove("items");
        let items = items.as_ref().and_then(Value::as_array).into_iter().flatten();
        for item in items {
            unfold(item.clone(), origin.clone(), out)?;
        }
        return Ok(());
    }
    let place = origin.to_string();
    out.push(Manifest::new(value, origin).map_err(|problem| invalid(in_words(&place, problem)))?);
    Ok(())
}

fn in_words(place: &str, problem: NoObject) -> String {
    let what = match problem {
        NoObject::Mapping => "this is not an object: it must be a mapping",
        NoObject::ApiVersion => "the object has no `apiVersion`",
        NoObject::Kind => "the object has no `kind`",
        NoObject::Name => "the object has no `metadata.name`",
        NoObject::GeneratedName => {
            "the object has `generateName`; use `name`, so that it can be applied again and \
             rolled back"
        }
    };
    format!("{place}: {what}")
}

/// Two objects of the same name are a mistake: the second would overwrite the first.
pub(crate) fn refuse_doubles(objects: &[Manifest]) -> Result<(), KubernetesError> {
    let mut seen = std::collections::BTreeMap::new();
    for object in objects {
        if let Some(first) = seen.insert(object.id(), &object.origin) {
            let message =
                format!("{}: {} is defined twice, first at {first}", object.origin, object.id());
            return Err(invalid(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "k8s/all.yaml".to_owned(), text: text.to_owned(), form: Form::Yaml }
    }

    #[test]
    fn documents_and_lists_give_objects_with_their_place() {
        let text = "# about\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  \
                    metadata: {name: b}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: c}\n";
        let objects = parse(&source(text)).unwrap();
        let seen: Vec<String> =
            objects.iter().map(|o| format!("{} {}", o.id(), o.origin)).collect();
        assert_eq!(
            seen,
            ["configmap/a k8s/all.yaml:3", "secret/b k8s/all.yaml:8", "service/c k8s/all.yaml:8"]
        );
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, expect) in [
            ("a: [1\nb: 2", "k8s/all.yaml:"),
            ("apiVersion: v1\nkind: Service\nkind: Pod\n", "k8s/all.yaml:3:1: not valid YAML"),
            ("kind: Service\n", "k8s/all.yaml:1: the object has no `apiVersion`"),
            (
                "---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n",
                "k8s/all.yaml:2: the object has `generateName`",
            ),
        ] {
            let error = parse(&source(text)).unwrap_err();
            assert!(error.message.starts_with(expect), "{}", error.message);
        }
    }

    #[test]
    fn values_mean_what_kubectl_reads() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {mode: 0644, \
                    on: \"no\", big: 1e3}\n";
        let objects = parse(&source(text)).unwrap();
        assert_eq!(objects[0].value()["data"]["mode"], 420);
        assert_eq!(objects[0].value()["data"]["on"], "no");
    }

    #[test]
    fn the_same_object_twice_is_refused() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\n\
                    kind: ConfigMap\nmetadata: {name: a}\n";
        let error = refuse_doubles(&parse(&source(text)).unwrap()).unwrap_err();
        assert_eq!(
            error.message,
            "k8s/all.yaml:5: configmap/a is defined twice, first at k8s/all.yaml:1"
        );
    }
}
