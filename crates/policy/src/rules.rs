//! Every rule, as a person reads about it (`greenloop policy explain RULE`) and as the policy
//! applies it. The table is data: `rules/rules.yaml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use globset::GlobMatcher;
use regex::Regex;
use serde::Deserialize;

use super::file_kind::{FileKind, path_matcher};
use super::lines::{Alignment, split};
use super::shapes::Shape;
use super::spelled;
use super::syntax::SourceFile;
use greenloop_config::plan::PolicyRule;
use greenloop_model::{Decision, FileChange, FileContent, FileMode, RepoPath};

pub(super) const TABLE: &str = include_str!("../rules/rules.yaml");

/// A rule with its reasons.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDoc {
    /// `never_delete`
    pub id: String,
    /// What a match means.
    #[serde(with = "decision")]
    pub decision: Decision,
    /// What it matches.
    pub what: String,
    pub why: String,
    /// How to get past it.
    #[serde(default = "confirm", deserialize_with = "way_out")]
    pub way_out: String,
    /// What it matches and what it leaves alone, by the configuration in `config.yaml`.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// The kinds of files it looks at; all when empty.
    #[serde(default)]
    pub(super) kinds: Vec<FileKind>,
    /// The paths it looks at, beside the kinds; all when empty.
    #[serde(default)]
    pub(super) paths: Vec<String>,
    /// An expression that counts where a stretch of changed lines has it more often afterwards.
    #[serde(default)]
    pub(super) adds: Option<String>,
    /// An expression that counts where a stretch of changed lines had it more often before.
    #[serde(default)]
    pub(super) removes: Option<String>,
    /// Any change of such a file counts, but for these shapes.
    #[serde(default)]
    pub(super) unless: Option<Vec<Shape>>,
    #[serde(skip)]
    compiled: OnceLock<Compiled>,
}

/// One file's change that a rule matches, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub path: String,
    /// Before; `None` for a new file.
    #[serde(default)]
    pub before: Option<String>,
    /// Afterwards; `None` for a deleted file.
    #[serde(default)]
    pub after: Option<String>,
    /// The kind of entry afterwards.
    #[serde(default = "regular", with = "mode")]
    pub mode: FileMode,
    /// The failure that the change repairs.
    #[serde(default)]
    pub failure: Option<String>,
    /// Other files of the repository.
    #[serde(default)]
    pub beside: BTreeMap<String, String>,
    /// Whether the rule matches.
    #[serde(default = "yes")]
    pub matches: bool,
}

impl Example {
    /// The change it describes.
    ///
    /// # Errors
    /// When its path is none.
    pub fn change(&self) -> Result<FileChange, String> {
        let content =
            |text: &Option<String>| text.as_ref().map(|text| FileContent::regular(text.as_bytes()));
        let mut change = FileChange {
            path: RepoPath::new(&self.path).map_err(|e| e.to_string())?,
            moved_from: None,
            before: content(&self.before),
            after: content(&self.after),
        };
        if let Some(after) = &mut change.after {
            after.mode = self.mode;
        }
        Ok(change)
    }
}

#[derive(Debug, Default)]
struct Compiled {
    paths: Vec<GlobMatcher>,
    adds: Option<Regex>,
    removes: Option<Regex>,
}

/// Where a rule of data matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextMatch {
    /// 0-based line of the resulting file; of the place where the text was, when it went away.
    pub line: usize,
    /// The line, shortened.
    pub text: String,
    /// Whether the text went away.
    pub gone: bool,
}

impl RuleDoc {
    /// Compiles the expressions, so that a mistake is found when the rule is read.
    fn compile(&self) -> Result<Compiled, String> {
        let regex = |text: &Option<String>| {
            text.as_ref()
                .map(|text| Regex::new(text).map_err(|e| format!("{}: {e}", self.id)))
                .transpose()
        };
        Ok(Compiled {
            paths: self.paths.iter().map(|p| path_matcher(p)).collect::<Result<_, _>>()?,
            adds: regex(&self.adds)?,
            removes: regex(&self.removes)?,
        })
    }

    /// One of the configuration.
    ///
    /// # Errors
    /// Says which of its expressions cannot be compiled.
    pub(super) fn own(plan: &PolicyRule, kinds: Vec<FileKind>) -> Result<Self, String> {
        let doc = Self {
            id: plan.id.clone(),
            decision: plan.decision,
            what: "A rule of the configuration (safety.rules).".to_owned(),
            why: plan.reason.clone(),
            way_out: plan.way_out.clone().unwrap_or_else(|| match plan.decision {
                Decision::Forbid => by_hand(),
                Decision::NeedsHuman | Decision::Allow => confirm(),
            }),
            examples: Vec::new(),
            kinds,
            paths: plan.paths.clone(),
            adds: plan.adds.clone(),
            removes: plan.removes.clone(),
            unless: None,
            compiled: OnceLock::new(),
        };
        let compiled = doc.compile()?;
        let _first = doc.compiled.set(compiled);
        Ok(doc)
    }

    /// Whether it looks for text rather than at any change.
    pub(super) fn reads_text(&self) -> bool {
        self.adds.is_some() || self.removes.is_some()
    }

    /// Whether it looks at a path from which a file of one of these kinds was moved away.
    pub(super) fn looks_at_path(&self, path: &RepoPath, kinds: &[Option<FileKind>]) -> bool {
        (self.kinds.is_empty() || kinds.iter().flatten().any(|kind| self.kinds.contains(kind)))
            && !self.paths.is_empty()
            && self.compiled().paths.iter().any(|glob| glob.is_match(&*path.to_string_lossy()))
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| self.compile().unwrap_or_default())
    }

    /// Whether it looks at this file.
    pub(super) fn looks_at(&self, file: &SourceFile, kind: FileKind) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.paths.is_empty()
                || self.compiled().paths.iter().any(|glob| glob.is_match(&file.path)))
    }

    /// Where the change adds or removes what the rule looks for.
    pub(super) fn matches(&self, before: &[u8], after: &[u8], lines: &Alignment) -> Vec<TextMatch> {
        let compiled = self.compiled();
        let mut found = Vec::new();
        if compiled.adds.is_none() && compiled.removes.is_none() {
            return found;
        }
        let (before, after) = (split(before), split(after));
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        for hunk in lines.hunks() {
            let old: Vec<String> = before[hunk.before.clone()].iter().map(|l| text(l)).collect();
            let new: Vec<String> = after[hunk.after.clone()].iter().map(|l| text(l)).collect();
            let hits = |regex: &Regex, texts: &[String]| -> Vec<usize> {
                let is_hit = |text: &String| {
                    regex.is_match(text)
                        || spelled::read(text).is_some_and(|read| regex.is_match(&read))
                };
                (0..texts.len()).filter(|i| is_hit(&texts[*i])).collect()
            };
            let shorten = |text: &str| text.trim().chars().take(100).collect::<String>();
            if let Some(regex) = &compiled.adds {
                let (was, is) = (hits(regex, &old), hits(regex, &new));
                if is.len() > was.len() {
                    found.extend(is.into_iter().map(|index| TextMatch {
                        line: hunk.after.start + index,
                        text: shorten(&new[index]),
                        gone: false,
                    }));
                }
            }
            if let Some(regex) = &compiled.removes {
                let (was, is) = (hits(regex, &old), hits(regex, &new));
                if was.len() > is.len() {
                    found.extend(was.into_iter().map(|index| TextMatch {
                        line: hunk.after.start,
                        text: shorten(&old[index]),
                        gone: true,
                    }));
                }
            }
        }
        found
    }
}

/// The built-in rules, the strictest first; a test holds that the table can be read.
pub(super) fn table() -> &'static [RuleDoc] {
    static RULES: OnceLock<Vec<RuleDoc>> = OnceLock::new();
    RULES.get_or_init(|| read(TABLE).unwrap_or_default())
}

/// Reads a table of rules and compiles its expressions.
///
/// # Errors
/// Says what is wrong with which rule.
pub(super) fn read(text: &str) -> Result<Vec<RuleDoc>, String> {
    let mut rules: Vec<RuleDoc> = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    for rule in &rules {
        rule.compile()?;
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.decision));
    Ok(rules)
}

pub(super) const NEVER_DELETE: &str = "never_delete";
pub(super) const REQUIRE_CONFIRMATION: &str = "require_confirmation";
pub(super) const DESTRUCTIVE_COMMAND: &str = "destructive_command";
pub(super) const GIT_INTERNALS: &str = "git_internals";
pub(super) const SYMLINK: &str = "symlink";
pub(super) const SUBMODULE: &str = "submodule";
pub(super) const FILE_MODE: &str = "file_mode";
pub(super) const OWN_CONFIG: &str = "own_config";
pub(super) const OWN_RECORDS: &str = "own_records";
pub(super) const MAX_FILES: &str = "max_files";
pub(super) const MAX_CHANGED_LINES: &str = "max_changed_lines";
pub(super) const MAX_FILE_BYTES: &str = "max_file_bytes";
pub(super) const BINARY_FILE: &str = "binary_file";
pub(super) const REMOVED_TEST: &str = "removed_test";
pub(super) const CHANGED_TEST: &str = "changed_test";
pub(super) const SKIPPED_TEST: &str = "skipped_test";
pub(super) const WEAKENED_GATE: &str = "weakened_gate";
pub(super) const DISABLED_LINT: &str = "disabled_lint";
pub(super) const SECRET: &str = "secret";
pub(super) const REQUIRE_APPROVAL: &str = "require_approval";
pub(super) const HIDDEN_TEXT: &str = "hidden_text";
pub(super) const UNREACHABLE_CODE: &str = "unreachable_code";
pub(super) const TEST_ANSWER: &str = "test_answer";
pub(super) const SHADOWS_GATE: &str = "shadows_gate";
pub(super) const CHANGES_RUNNER: &str = "changes_runner";
pub(super) const KNOWS_THE_TEST: &str = "knows_the_test";
pub(super) const READS_TESTS: &str = "reads_tests";
pub(super) const EQUALS_ANYTHING: &str = "equals_anything";
pub(super) const HIDDEN_PROGRAM: &str = "hidden_program";
pub(super) const PAGE_SCRIPT: &str = "page_script";
pub(super) const CLOUD_RIGHTS: &str = "cloud_rights";
pub(super) const OBJECT_RIGHTS: &str = "object_rights";
pub(super) const IMAGE_BASE: &str = "image_base";
pub(super) const IMAGE_DOWNLOAD: &str = "image_download";
pub(super) const IMAGE_USER: &str = "image_user";
pub(super) const IMAGE_SECRET: &str = "image_secret";
pub(super) const IMAGE_ISOLATION: &str = "image_isolation";
pub(super) const IMAGE_HEALTH: &str = "image_health";
pub(super) const DEPENDENCY_SOURCE: &str = "dependency_source";
pub(super) const INSTALL_SCRIPT: &str = "install_script";
pub(super) const INTEGRITY: &str = "integrity";

fn confirm() -> String {
    "Confirm it when asked, run with --yes, or make the change yourself and commit it.".to_owned()
}

fn by_hand() -> String {
    "Nothing overrides this rule: make the change yourself and commit it.".to_owned()
}

fn way_out<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "confirm" => confirm(),
        "by_hand" => by_hand(),
        other => other.to_owned(),
    })
}

fn regular() -> FileMode {
    FileMode::Regular
}

fn yes() -> bool {
    true
}

mod decision {
    use greenloop_model::Decision;
    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Decision, D::Error> {
        match String::deserialize(from)?.as_str() {
            "allow" => Ok(Decision::Allow),
            "needs_human" => Ok(Decision::NeedsHuman),
            "forbid" => Ok(Decision::Forbid),
            other => Err(D::Error::custom(format!("{other} is not a decision"))),
        }
    }
}

mod mode {
    use greenloop_model::FileMode;
    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<FileMode, D::Error> {
        match String::deserialize(from)?.as_str() {
            "regular" => Ok(FileMode::Regular),
            "executable" => Ok(FileMode::Executable),
            "symlink" => Ok(FileMode::Symlink),
            "submodule" => Ok(FileMode::Submodule),
            other => Err(D::Error::custom(format!("{other} is not a kind of entry"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        assert_eq!(read(TABLE).map(|rules| rules.is_empty()), Ok(false));
    }

    #[test]
    fn a_rule_with_a_broken_expression_is_refused() {
        let table = "- {id: x, decision: forbid, what: w, why: y, adds: '('}";
        assert!(read(table).is_err());
    }
}
