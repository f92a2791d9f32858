//! What the service does with templates before a run: it binds parameters, evaluates `${{ … }}`,
//! and inserts templates.
//!
//! Source: "Template usage" and "Template parameters" in the documentation of Azure Pipelines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::expression::{evaluate, parse, text_of};

/// A pipeline's files, by their path below the folder of the pipelines.
pub(crate) type Files = BTreeMap<PathBuf, String>;

pub(crate) fn read(text: &str) -> Result<Value, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

struct Expander<'a> {
    files: &'a Files,
    complaints: Vec<String>,
}

/// The parameters in scope, and the folder that templates are relative to.
struct Scope {
    parameters: Map<String, Value>,
    folder: PathBuf,
}

/// A pipeline, or a single template with the parameters `given`, fully expanded.
pub(crate) fn expand(files: &Files, path: &str, given: &Value) -> Result<Value, Vec<String>> {
    let mut expander = Expander { files, complaints: Vec::new() };
    let expanded = expander.file(Path::new(path), given);
    if expander.complaints.is_empty() { Ok(expanded) } else { Err(expander.complaints) }
}

impl Expander<'_> {
    fn complain<T: Default>(&mut self, what: impl Into<String>) -> T {
        self.complaints.push(what.into());
        T::default()
    }

    fn file(&mut self, path: &Path, given: &Value) -> Value {
        let Some(text) = self.files.get(path) else {
            return self.complain(format!("there is no template {}", path.display()));
        };
        let mut document = match read(text) {
            Ok(document) => document,
            Err(error) => return self.complain(format!("{}: {error}", path.display())),
        };
        let declared = document.get("parameters").cloned().unwrap_or_default();
        let parameters = self.bind(path, &declared, given);
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if let Some(root) = document.as_object_mut() {
            root.shift_remove("parameters");
        }
        self.node(&document, &Scope { parameters, folder })
    }

    fn bind(&mut self, path: &Path, declared: &Value, given: &Value) -> Map<String, Value> {
        const TYPES: [&str; 5] = ["string", "number", "boolean", "object", "stepList"];
        let mut bound = Map::new();
        let text = |value: &Value, key: &str| value.get(key).map(text_of).unwrap_or_default();
        for parameter in declared.as_array().into_iter().flatten() {
            let (name, kind) = (text(parameter, "name"), text(parameter, "type"));
            let at = format!("{}: parameter {name}", path.display());
            for key in parameter.as_object().into_iter().flat_map(Map::keys) {
                if !["name", "displayName", "type", "default", "values"].contains(&key.as_str()) {
                    self.complain::<()>(format!("{at}: unknown key {key}"));
                }
            }
            if !TYPES.contains(&kind.as_str()) {
                self.complain::<()>(format!("{at}: unknown type {kind:?}"));
            }
            let value = match given.get(&name).or_else(|| parameter.get("default")) {
                Some(value) => value.clone(),
                None => self.complain(format!("{at} is missing")),
            };
            let fits = match kind.as_str() {
                "string" => value.is_string() || value.is_number(),
                "number" => text_of(&value).parse::<f64>().is_ok(),
                "boolean" => matches!(text_of(&value).to_lowercase().as_str(), "true" | "false"),
                "stepList" => value.is_array(),
                _ => true,
            };
            if !fits {
                self.complain::<()>(format!("{at}: {value} is no {kind}"));
            }
            bound.insert(name, value);
        }
        for name in given.as_object().into_iter().flat_map(Map::keys) {
            if !bound.contains_key(name) {
                self.complain::<()>(format!("{}: there is no parameter {name}", path.display()));
            }
        }
        bound
    }

    fn evaluate(&mut self, text: &str, scope: &Scope) -> Value {
        let look_up = |words: &[String]| match words {
            [parameters, name] if parameters == "parameters" => scope
                .parameters
                .get(name)
                .cloned()
                .ok_or_else(|| format!("there is no parameter {name}")),
            other => Err(format!("{} is not known before the run", other.join("."))),
        };
        match parse(text).and_then(|expression| evaluate(&expression, &look_up)) {
            Ok(value) => value,
            Err(error) => self.complain(format!("${{{{ {text} }}}}: {error}")),
        }
    }

    fn node(&mut self, node: &Value, scope: &Scope) -> Value {
        match node {
            Value::String(text) => self.text(text, scope),
            Value::Array(items) => Value::Array(self.list(items, scope)),
            Value::Object(fields) => Value::Object(self.mapping(fields, scope)),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str, scope: &Scope) -> Value {
        if let Some(inner) = directive(text) {
            return self.evaluate(inner, scope);
        }
        let (mut out, mut rest) = (String::new(), text);
        while let Some(start) = rest.find("${{") {
            let Some(end) = rest[start..].find("}}") else { break };
            let inner = &rest[start + 3..start + end];
            out.push_str(&rest[..start]);
            out.push_str(&text_of(&self.evaluate(inner.trim(), scope)));
            rest = &rest[start + end + 2..];
        }
        Value::String(out + rest)
    }

    /// Whether a branch is taken; `taken`: whether an earlier branch of its chain was.
    fn branch(&mut self, directive: &str, taken: &mut Option<bool>, scope: &Scope) -> bool {
        let (word, condition) = directive.split_once(' ').unwrap_or((directive, ""));
        let truth = |value: Value| text_of(&value).eq_ignore_ascii_case("true");
        let now = match (word, *taken) {
            ("if", _) => truth(self.evaluate(condition, scope)),
            ("elseif", Some(false)) => truth(self.evaluate(condition, scope)),
            ("else", Some(false)) => true,
            ("elseif" | "else", Some(true)) => return false,
            _ => return self.complain(format!("${{{{ {directive} }}}} stands alone")),
        };
        *taken = Some(now);
        now
    }

    fn mapping(&mut self, fields: &Map<String, Value>, scope: &Scope) -> Map<String, Value> {
        let mut out = Map::new();
        let mut chain = None;
        for (key, value) in fields {
            let Some(directive) = directive(key) else {
                chain = None;
                let value = self.node(value, scope);
                out.insert(key.clone(), value);
                continue;
            };
            let inserted = directive == "insert" || self.branch(directive, &mut chain, scope);
            if inserted {
                match self.node(value, scope) {
                    Value::Object(more) => out.extend(more),
                    other => self.complain(format!("{other} cannot be inserted into a mapping")),
                }
            }
        }
        out
    }

    fn list(&mut self, items: &[Value], scope: &Scope) -> Vec<Value> {
        let mut out = Vec::new();
        let mut chain = None;
        for item in items {
            let only = item.as_object().filter(|fields| fields.len() == 1);
            let only = only.and_then(|fields| fields.iter().next());
            if let Some((key, value)) = only
                && let Some(directive) = directive(key)
            {
                if self.branch(directive, &mut chain, scope) {
                    match value {
                        Value::Array(more) => out.extend(self.list(more, scope)),
                        other => out.push(self.node(other, scope)),
                    }
                }
                continue;
            }
            chain = None;
            let item = self.node(item, scope);
            let Some(template) = item.get("template") else {
                out.push(item);
                continue;
            };
            let path = scope.folder.join(text_of(template));
            for key in item.as_object().into_iter().flat_map(Map::keys) {
                if !["template", "parameters"].contains(&key.as_str()) {
                    self.complain::<()>(format!("a template's use has no key {key}"));
                }
            }
            let document = self.file(&path, item.get("parameters").unwrap_or(&Value::Null));
            match document.get("steps").and_then(Value::as_array) {
                Some(steps) => out.extend(steps.iter().cloned()),
                None => self.complain(format!("{} has no steps", path.display())),
            }
        }
        out
    }
}

/// The expression in `${{ … }}`, if the text contains nothing else.
fn directive(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    (!inner.contains("${{")).then(|| inner.trim())
}
