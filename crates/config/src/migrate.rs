//! Bringing a configuration to the form of this version, as edits of its text: comments, order and
//! layout stay.

use std::ops::Range;

use super::document::{Document, Node, Value};
use super::error::ConfigError;
use super::file_kind::CONFIGURATION;
use super::version::{self, VERSION};

/// A value that was renamed: at the end of a path of keys, where `*` is any key.
struct Renamed {
    path: &'static [&'static str],
    from: &'static str,
    to: &'static str,
}

/// What earlier forms had under other names.
const RENAMED: &[Renamed] = &[
    Renamed { path: &["deploy", "method"], from: "kubectl", to: "kubernetes" },
    Renamed { path: &["environments", "*", "deploy", "method"], from: "kubectl", to: "kubernetes" },
];

/// A configuration in this version's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file's text; as it was when there is nothing to change.
    pub text: String,
    /// What was changed, a line each.
    pub changes: Vec<String>,
}

struct Edit {
    span: Range<usize>,
    text: String,
    what: String,
}

/// Brings the text to this version's form.
///
/// # Errors
/// When it is not valid: before the change, as a file of a later version is, or after it.
pub fn migrate(text: &str, file_name: &str) -> Result<Migration, ConfigError> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let document = Document::parse(body, file_name, &CONFIGURATION)?;
    version::check(&document)?;
    let mut edits = Vec::new();
    for renamed in RENAMED {
        rename(document.root(), renamed.path, renamed, body, &mut edits);
    }
    if document.root().get("version").is_none() {
        edits.extend(version_line(&document, body));
    }
    // An anchored value is met once for each place that uses it.
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    edits.dedup_by_key(|edit| edit.span.clone());
    let mut migrated = body.to_owned();
    for edit in edits.iter().rev() {
        migrated.replace_range(edit.span.clone(), &edit.text);
    }
    super::parse(&migrated, file_name)?;
    let changes = edits.into_iter().map(|edit| edit.what).collect();
    Ok(Migration { text: format!("{mark}{migrated}"), changes })
}

fn rename(node: &Node, path: &[&str], renamed: &Renamed, text: &str, edits: &mut Vec<Edit>) {
    let [key, rest @ ..] = path else {
        let written = node.written();
        let known = matches!(&node.value, Value::Text(value) if value == renamed.from);
        // In quotes or not: only the value between them is replaced.
        if let Some(at) =
            text.get(written.clone()).filter(|_| known).and_then(|it| it.find(renamed.from))
        {
            let start = written.start + at;
            let span = start..start + renamed.from.len();
            let what = format!("`{}` is called `{}`", renamed.from, renamed.to);
            edits.push(Edit { span, text: renamed.to.to_owned(), what });
        }
        return;
    };
    let Value::Map(entries) = &node.value else { return };
    for (name, value) in entries {
        if *key == "*" || name.name == *key {
            rename(value, rest, renamed, text, edits);
        }
    }
}

/// `version: 1` before the first key, or before the comment that stands right above that key.
fn version_line(document: &Document, text: &str) -> Option<Edit> {
    let Value::Map(entries) = &document.root().value else { return None };
    let (first, _) = entries.first()?;
    let what = format!("`version: {VERSION}` says which form the file has");
    let line_start = text[..first.span.start].rfind('\n').map_or(0, |at| at + 1);
    if !text[line_start..first.span.start].trim().is_empty() {
        // A mapping in braces.
        let at = first.span.start;
        return Some(Edit { span: at..at, text: format!("version: {VERSION}, "), what });
    }
    let mut at = line_start;
    let mut above = at;
    while above > 0 {
        let start = text[..above - 1].rfind('\n').map_or(0, |at| at + 1);
        if !text[start..above].trim_start().starts_with('#') {
            at = above;
            break;
        }
        above = start;
    }
    // A comment that begins the file is about the file.
    Some(Edit { span: at..at, text: format!("version: {VERSION}\n\n"), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, parse, to_json};

    fn plans(text: &str) -> Vec<serde_json::Value> {
        let config = parse(text, "x").unwrap();
        let plan =
            |name: &str| to_json(&config.plan(name, &Overrides::default(), &|_| None).unwrap());
        config.environments().into_iter().map(|name| plan(name.as_str())).collect()
    }

    const OLD: &str = "\
# What we deploy.

# Where.
environments:            # two
  a:
    namespace: x
    url: https://a.example.org
    deploy: &cluster
      method: \"kubectl\"   # as it was
      manifest_path: ./k8s
  b: {namespace: y, url: 'https://kubectl.example.org', deploy: *cluster}

deploy: {method: kubectl, manifest_path: k8s}
";

    #[test]
    fn old_names_are_replaced_and_all_else_stays() {
        let migrated = migrate(OLD, "x").unwrap();
        let expect = OLD
            .replace("\"kubectl\"", "\"kubernetes\"")
            .replace("{method: kubectl,", "{method: kubernetes,")
            .replace("# Where.\n", "version: 1\n\n# Where.\n");
        assert_eq!(migrated.text, expect);
        assert_eq!(migrated.changes.len(), 3, "{:?}", migrated.changes);
        assert_eq!(plans(&migrated.text), plans(OLD));
        let again = migrate(&migrated.text, "x").unwrap();
        assert_eq!(again, Migration { text: migrated.text, changes: Vec::new() });
    }

    #[test]
    fn every_layout_gets_its_version() {
        let rest = "environments: {a: {url: 'http://localhost:1'}}\ndeploy: {method: process, process: \
                    {command: [a], artifacts: [a]}}\n";
        let braces = "{environments: {a: {url: 'http://localhost:1'}}, deploy: {method: process, process: \
                      {command: [a], artifacts: [a]}}}\n";
        for (text, begins) in [
            (rest.to_owned(), "version: 1\n\nenvironments"),
            (format!("# about the file\n{rest}"), "# about the file\nversion: 1\n\nenv"),
            (format!("# a\n\n# b\n{rest}"), "# a\n\nversion: 1\n\n# b\nenv"),
            (format!("---\n{rest}"), "---\nversion: 1\n\nenv"),
            (format!("\u{feff}{rest}"), "\u{feff}version: 1\n\nenv"),
            (braces.to_owned(), "{version: 1, environments"),
        ] {
            let migrated = migrate(&text, "x").unwrap();
            assert!(migrated.text.starts_with(begins), "{}", migrated.text);
            assert_eq!(plans(&migrated.text), plans(&text));
        }
    }

    #[test]
    fn a_later_version_is_refused() {
        let error = migrate(&format!("version: 9\n{OLD}"), "x").unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
