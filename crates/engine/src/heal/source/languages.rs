//! The table of languages.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    files: Vec<String>,
    body: Body,
    definitions: Vec<String>,
    #[serde(default)]
    titles: Vec<String>,
    #[serde(default)]
    not_names: Vec<String>,
    imports: Vec<WrittenImport>,
    #[serde(default)]
    by_name: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenImport {
    pattern: String,
    separator: String,
    #[serde(default)]
    relative: Relative,
    places: Vec<String>,
}

/// One language.
#[derive(Debug)]
pub(in crate::heal) struct Language {
    pub(super) name: String,
    files: Vec<String>,
    pub(super) body: Body,
    pub(super) definitions: Vec<Regex>,
    pub(super) titles: Vec<Regex>,
    pub(super) not_names: Vec<String>,
    pub(super) imports: Vec<ImportRule>,
    pub(in crate::heal) by_name: bool,
}

/// One way to import.
#[derive(Debug)]
pub(super) struct ImportRule {
    pub(super) pattern: Regex,
    pub(super) separator: String,
    pub(super) relative: Relative,
    pub(super) places: Vec<String>,
}

/// What is wrong with the built-in table; a test shows that nothing is.
#[derive(Debug, thiserror::Error)]
enum Faulty {
    #[error("the table of languages cannot be read")]
    Form(#[source] Box<serde_yaml::Error>),
    #[error("invalid pattern of language {name}")]
    Pattern {
        name: String,
        #[source]
        source: regex::Error,
    },
}

fn load(text: &str) -> Result<Vec<Language>, Faulty> {
    let written: Vec<Written> =
        serde_yaml::from_str(text).map_err(|source| Faulty::Form(Box::new(source)))?;
    written.into_iter().map(language).collect()
}

fn language(written: Written) -> Result<Language, Faulty> {
    let Written { name, files, body, definitions, titles, not_names, imports, by_name } = written;
    let regex = |pattern: &String| {
        let built = RegexBuilder::new(pattern).multi_line(true).build();
        built.map_err(|source| Faulty::Pattern { name: name.clone(), source })
    };
    let definitions = definitions.iter().map(regex).collect::<Result<_, _>>()?;
    let titles = titles.iter().map(regex).collect::<Result<_, _>>()?;
    let imports = imports
        .into_iter()
        .map(|WrittenImport { pattern, separator, relative, places }| {
            Ok(ImportRule { pattern: regex(&pattern)?, separator, relative, places })
        })
        .collect::<Result<_, _>>()?;
    Ok(Language { name, files, body, definitions, titles, not_names, imports, by_name })
}

static LANGUAGES: LazyLock<Vec<Language>> =
    LazyLock::new(|| load(include_str!("languages.yaml")).unwrap_or_default());

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
        let languages = load(include_str!("languages.yaml")).unwrap();
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
