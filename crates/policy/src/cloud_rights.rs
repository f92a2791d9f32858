//! Rights in a cloud that a document grants: policy statements at any depth of JSON
//! or YAML.

use serde_json::Value;

use super::objects;
use super::syntax::{SourceFile, Syntax};

/// What the document after the change grants to everybody, or of everything, and did not before.
pub(super) fn find(file: &SourceFile, before: &str, after: &str) -> Vec<String> {
    let likely = ["Effect", "effect", "Principal", "AWS::", "allUsers"];
    if !likely.iter().any(|word| after.contains(word)) {
        return Vec::new();
    }
    let read = |text: &str| -> Option<Value> {
        match file.syntax {
            Syntax::Json => objects::json(text),
            Syntax::Yaml => objects::yaml(text).or_else(|| objects::yaml(&without_tags(text))),
            Syntax::Shell
            | Syntax::Make
            | Syntax::Docker
            | Syntax::Sql
            | Syntax::Prose
            | Syntax::Code => None,
        }
    };
    let granted = |text: &str| {
        let mut found = Vec::new();
        if let Some(document) = read(text) {
            collect(&document, &mut found);
        }
        found
    };
    let mut was = granted(before);
    let mut found = granted(after);
    // One that was there counts once.
    found.retain(|grant| match was.iter().position(|old| old == grant) {
        Some(at) => {
            was.swap_remove(at);
            false
        }
        None => true,
    });
    found
}

/// CloudFormation's short forms of functions, which are no part of YAML: `!Sub x`.
fn without_tags(text: &str) -> String {
    text.split_inclusive(' ').filter(|word| !word.trim_start().starts_with('!')).collect()
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let get = |key: &str| {
                map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
            };
            if get("Effect")
                .and_then(Value::as_str)
                .is_some_and(|e| e.eq_ignore_ascii_case("allow"))
            {
                for key in ["Action", "Actions", "NotAction", "Principal", "Principals"] {
                    if let Some(grant) = get(key).and_then(widest) {
                        found.push(format!("allows {} {grant}", key.to_lowercase()));
                    }
                }
            }
            let access = get("PublicAccess").or_else(|| get("AccessControl"));
            if access.and_then(Value::as_str).is_some_and(|text| text.starts_with("Public")) {
                found.push("gives access to everybody".to_owned());
            }
            for (key, value) in map {
                let open = matches!(key.as_str(), "CidrIp" | "CidrIpv6")
                    && matches!(value.as_str(), Some("0.0.0.0/0" | "::/0"));
                let managed = value.as_str().is_some_and(|text| {
                    text.ends_with("/AdministratorAccess")
                        || matches!(text, "allUsers" | "allAuthenticatedUsers")
                });
                if open || managed {
                    found.push(format!("sets {key} to {value}"));
                }
                collect(value, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                if item.as_str().is_some_and(|text| {
                    text.ends_with("/AdministratorAccess")
                        || matches!(text, "allUsers" | "allAuthenticatedUsers")
                }) {
                    found.push(format!("names {item}"));
                }
                collect(item, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What stands for everything, or for everything of a service.
fn widest(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let all = text == "*" || text.ends_with(":*") && text.matches(':').count() == 1;
            all.then(|| text.clone())
        }
        Value::Array(items) => items.iter().find_map(widest),
        Value::Object(map) => map.values().find_map(widest),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    #[test]
    fn statements_that_grant_everything_are_found() {
        for (path, text, expect) in [
            ("a.json", r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#, true),
            (
                "a.json",
                r#"{"Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"*"}]}"#,
                true,
            ),
            ("a.yaml", "S: [{Effect: Allow, Principal: '*', Action: 'sts:AssumeRole'}]\n", true),
            ("a.yaml", "Effect: Allow\nPrincipal:\n  AWS: '*'\nResource: !Sub a\n", true),
            (
                "a.json",
                r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#,
                false,
            ),
            ("a.json", r#"{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#, false),
        ] {
            let file = SourceFile::new(&RepoPath::new(path).expect("a path"), text.as_bytes());
            assert_eq!(!find(&file, "", text).is_empty(), expect, "{text}");
            assert!(find(&file, text, text).is_empty());
        }
    }
}
