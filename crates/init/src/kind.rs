//! The table of the kinds of projects, as it is written.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::condition::{Choice, Condition, TextIn};

pub(crate) const TABLE: &str = include_str!("../table/kinds.yaml");

/// All kinds, in the order of preference. The table is held by the tests of this module.
pub(crate) static KINDS: LazyLock<Vec<Kind>> =
    LazyLock::new(|| serde_yaml::from_str(TABLE).unwrap_or_default());

/// One kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    pub(crate) id: String,
    /// For a person.
    pub(crate) name: String,
    pub(crate) markers: Vec<String>,
    #[serde(default)]
    pub(crate) folders: Option<Vec<String>>,
    /// Its gates stand for those of the languages.
    #[serde(default)]
    pub(crate) runner: bool,
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Vec<Choice>>,
    #[serde(default)]
    pub(crate) gates: Vec<GateTemplate>,
    #[serde(default)]
    pub(crate) starts: Vec<StartTemplate>,
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "what the tests check the table by"))]
    pub(crate) examples: Vec<Example>,
}

/// A command that may be a gate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateTemplate {
    /// Its role: `test`.
    pub(crate) name: String,
    pub(crate) command: String,
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
    #[serde(default = "yes")]
    pub(crate) required: bool,
    /// It fetches something.
    #[serde(default)]
    pub(crate) network: bool,
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    #[serde(default)]
    pub(crate) reports: Vec<String>,
}

/// A way to start a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartTemplate {
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
    /// The file that is started.
    pub(crate) find: Option<FindFile>,
    pub(crate) command: Vec<String>,
    /// Variables bound to the first group of an expression in that file.
    #[serde(default)]
    pub(crate) binds: BTreeMap<String, String>,
    /// Words that are added where that file asks for them.
    pub(crate) argument: Option<Argument>,
    /// The files and folders of a release.
    #[serde(default)]
    pub(crate) artifacts: Vec<String>,
    /// A release is the project's own files.
    #[serde(default)]
    pub(crate) sources: bool,
    /// What belongs to a release besides the sources, where it is there.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// How one sees that the service listens on `$PORT`; a command with `{{ port }}` does.
    pub(crate) reads_port: Option<TextIn>,
    /// It answers `GET /`.
    #[serde(default)]
    pub(crate) root: bool,
    /// Must be on the PATH.
    pub(crate) program: Option<String>,
}

/// A file by its content; the names come first, in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindFile {
    pub(crate) file: String,
    pub(crate) has: String,
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argument {
    pub(crate) has: String,
    pub(crate) words: Vec<String>,
}

/// A repository and what is to be found in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "what the tests check the table by"))]
pub(crate) struct Example {
    pub(crate) files: BTreeMap<String, String>,
    /// The first command of each role.
    #[serde(default)]
    pub(crate) gates: BTreeMap<String, String>,
    pub(crate) start: Option<String>,
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::tests::found;

    #[test]
    fn the_table_is_read() {
        let kinds = serde_yaml::from_str::<Vec<Kind>>(TABLE).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(kinds.len(), KINDS.len());
        for kind in &kinds {
            assert!(!kind.examples.is_empty(), "{} has no example", kind.id);
            for (at, text) in TABLE.match_indices("has: ").map(|(at, _)| (at, &TABLE[at + 5..])) {
                if let Some(rest) = text.strip_prefix('\'') {
                    let expression = rest.split('\'').next().unwrap();
                    assert!(regex::Regex::new(expression).is_ok(), "at byte {at}: {expression}");
                }
            }
        }
    }

    #[test]
    fn every_example_is_found() {
        for kind in KINDS.iter() {
            for (nth, example) in kind.examples.iter().enumerate() {
                let (gates, start) = found(&example.files);
                let case = format!("{} {nth}", kind.id);
                assert_eq!(gates, example.gates, "{case}");
                assert_eq!(start, example.start, "{case}");
            }
        }
    }
}
