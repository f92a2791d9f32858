//! The conditions of the table, and the variables of its commands.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::files::{Files, join};

/// What must hold, relative to a project's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Condition {
    /// A file that the glob matches; one without wildcards may be an ignored one.
    File(String),
    NoFile(String),
    Text(TextIn),
    Json(JsonIn),
    Not(Box<Condition>),
    Any(Vec<Condition>),
}

/// Some file that the glob matches holds text that the expression matches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextIn {
    pub(crate) file: String,
    pub(crate) has: String,
}

/// A JSON file has a value at the pointer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonIn {
    file: String,
    at: String,
    /// The value is text that this matches.
    has: Option<String>,
    /// The value is no text that this matches.
    lacks: Option<String>,
}

/// One way to a variable's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    value: Option<String>,
    find: Option<Find>,
    /// Put before and after what was found.
    #[serde(default)]
    before: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    when: Vec<Condition>,
}

/// The first group of an expression, in a file's text or in the path of a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    /// A glob; the expression is for the text.
    file: Option<String>,
    /// A glob; the expression is for the path, relative to the project's folder.
    path: Option<String>,
    has: String,
    /// What the file at the path holds.
    containing: Option<String>,
}

/// The values of variables.
pub(crate) type Variables = BTreeMap<String, String>;

impl Condition {
    pub(crate) fn holds(&self, files: &Files, folder: &str) -> bool {
        match self {
            Self::File(glob) => has_file(files, folder, glob),
            Self::NoFile(glob) => !has_file(files, folder, glob),
            Self::Text(text) => text.holds(files, folder),
            Self::Json(json) => json.holds(files, folder),
            Self::Not(condition) => !condition.holds(files, folder),
            Self::Any(conditions) => conditions.iter().any(|one| one.holds(files, folder)),
        }
    }
}

/// Whether all hold.
pub(crate) fn all(conditions: &[Condition], files: &Files, folder: &str) -> bool {
    conditions.iter().all(|condition| condition.holds(files, folder))
}

fn has_file(files: &Files, folder: &str, glob: &str) -> bool {
    match glob.contains(['*', '?', '[', '{']) {
        true => !files.matching(folder, glob).is_empty(),
        false => files.exists(&join(folder, glob)),
    }
}

impl TextIn {
    pub(crate) fn holds(&self, files: &Files, folder: &str) -> bool {
        let Ok(has) = Regex::new(&self.has) else { return false };
        let found = files.matching(folder, &self.file);
        found.into_iter().any(|path| files.text(path).is_some_and(|text| has.is_match(&text)))
    }
}

impl JsonIn {
    fn holds(&self, files: &Files, folder: &str) -> bool {
        let Some(text) = files.text(&join(folder, &self.file)) else { return false };
        let Ok(json) = serde_json::from_str::<Value>(&text) else { return false };
        let Some(value) = json.pointer(&self.at) else { return false };
        let text = value.as_str().unwrap_or_default();
        let matches = |expression: &str| Regex::new(expression).is_ok_and(|it| it.is_match(text));
        self.has.as_deref().is_none_or(matches) && !self.lacks.as_deref().is_some_and(matches)
    }
}

/// The values of `choices` in a project.
pub(crate) fn resolve(
    choices: &BTreeMap<String, Vec<Choice>>,
    files: &Files,
    folder: &str,
) -> Variables {
    let mut values = Variables::new();
    for (name, choices) in choices {
        let chosen = choices.iter().find_map(|choice| choice.value(files, folder));
        if let Some(value) = chosen {
            values.insert(name.clone(), value);
        }
    }
    // A value may be made of others.
    for (name, value) in values.clone() {
        match fill(&value, &values) {
            Some(filled) => values.insert(name, filled),
            None => values.remove(&name),
        };
    }
    values
}

impl Choice {
    fn value(&self, files: &Files, folder: &str) -> Option<String> {
        if !all(&self.when, files, folder) {
            return None;
        }
        let value = match &self.find {
            Some(find) => find.value(files, folder)?,
            None => self.value.clone()?,
        };
        Some(format!("{}{value}{}", self.before, self.after))
    }
}

impl Find {
    fn value(&self, files: &Files, folder: &str) -> Option<String> {
        let has = Regex::new(&self.has).ok()?;
        let group = |text: &str| Some(has.captures(text)?.get(1)?.as_str().trim().to_owned());
        if let Some(glob) = &self.file {
            let found = files.matching(folder, glob);
            return found.into_iter().find_map(|path| group(&files.text(path)?));
        }
        let containing = self.containing.as_deref().map(Regex::new).transpose().ok()?;
        let found = files.matching(folder, self.path.as_deref()?).into_iter();
        let mut found = found.filter(|path| {
            containing.as_ref().is_none_or(|expression| {
                files.text(path).is_some_and(|text| expression.is_match(&text))
            })
        });
        found.find_map(|path| group(crate::files::relative(path, folder)?))
    }
}

/// `text` with its variables replaced; `None` when one has no value. `{{ port }}` stays: Greenloop
/// replaces it itself.
pub(crate) fn fill(text: &str, variables: &Variables) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{ ") {
        let (name, after) = after.split_once(" }}")?;
        filled.push_str(before);
        match name {
            "port" => filled.push_str("{{ port }}"),
            name => filled.push_str(variables.get(name)?),
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}
