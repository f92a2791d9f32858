//! The table of languages.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::heal::pattern;
use greenloop_model::RepoPath;

/// Where a definition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::heal) enum Body {
    /// At the brace that matches its first one, or at a `;` before any.
    Braces,
    /// Before the next line that is not deeper.
    Indent,
    /// With its line.
    Line,
}

/// What a module's path is relative to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::heal) enum Relative {
    /// Any folder of the repository; the nearest one is meant.
    #[default]
    Anywhere,
    /// The importing file's folder.
    Folder,
    /// The importing file's folder for one leading dot, the one above for two, and so on.
    Dots,
}

/// One language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::heal) struct Language {
    pub(super) name: String,
    files: Vec<String>,
    pub(super) body: Body,
    #[serde(deserialize_with = "pattern::all_by_lines")]
    pub(super) definitions: Vec<Regex>,
    #[serde(default, deserialize_with = "pattern::all_by_lines")]
    pub(super) titles: Vec<Regex>,
    #[serde(default)]
    pub(super) not_names: Vec<String>,
    pub(super) imports: Vec<ImportRule>,
    #[serde(default)]
    pub(in crate::heal) by_name: bool,
}

/// One way to import.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportRule {
    #[serde(deserialize_with = "pattern::by_lines")]
    pub(super) pattern: Regex,
    pub(super) separator: String,
    #[serde(default)]
    pub(super) relative: Relative,
    pub(super) places: Vec<String>,
}

const TABLE: &str = include_str!("languages.yaml");

static LANGUAGES: LazyLock<Vec<Language>> =
    LazyLock::new(|| serde_yaml::from_str(TABLE).unwrap_or_default());

/// The language of a file, by the ending of its name.
pub(in crate::heal) fn of_path(path: &RepoPath) -> Option<&'static Language> {
    let path = path.to_string();
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    LANGUAGES.iter().find(|language| language.files.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let languages = serde_yaml::from_str::<Vec<Language>>(TABLE).unwrap();
        let mut endings: Vec<_> = languages.iter().flat_map(|language| &language.files).collect();
        let all = endings.len();
        endings.sort();
        endings.dedup();
        assert_eq!(endings.len(), all, "each ending has one language");
        for language in &languages {
            for pattern in &language.definitions {
                assert!(pattern.capture_names().flatten().any(|name| name == "name"));
            }
            for rule in &language.imports {
                assert!(rule.pattern.capture_names().flatten().any(|name| name == "module"));
                assert!(!rule.places.is_empty());
            }
        }
        for (path, name) in [
            ("a/b.py", Some("python")),
            ("x.test.TSX", Some("javascript")),
            ("Makefile", None),
            ("a.b/c", None),
        ] {
            let found = of_path(&RepoPath::new(path).unwrap());
            assert_eq!(found.map(|language| language.name.as_str()), name, "{path}");
        }
    }
}
