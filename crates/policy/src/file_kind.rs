//! What a file of the repository is for, by its path, its content and what the gates run.
//!
//! The table of names is data: `rules/kinds.yaml`.

use std::sync::OnceLock;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use super::gate_files::GateFiles;
use super::meaning::cluster;
use super::shell::commands;
use super::syntax::{SourceFile, Syntax};
use greenloop_model::RepoPath;

pub(super) const TABLE: &str = include_str!("../rules/kinds.yaml");

/// What a file is for. The order is that of the table: the first that fits counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Git's own files and hooks that a repository carries.
    Git,
    /// Run by continuous integration, or by a hosting service.
    Ci,
    /// Instructions for coding agents, and the programs they start.
    Agent,
    /// Tasks and settings that an editor or an interactive shell runs.
    Editor,
    /// Files that hold credentials.
    Secret,
    /// Database migrations and schemas.
    Migration,
    /// What tests compare with: snapshots, fixtures, recorded answers.
    Snapshot,
    /// Configuration of test runners, linters, coverage and compilers.
    Judge,
    /// Pinned dependencies.
    Lockfile,
    /// Declared dependencies, and where they come from.
    Manifest,
    /// Image builds and compose files.
    Image,
    /// Terraform, Ansible, web servers, services of a machine.
    Infrastructure,
    /// Kubernetes objects, charts.
    Deploy,
    /// Build files and task runners.
    Build,
    /// Tests.
    Test,
    /// A script that a gate runs, directly or through other files.
    GateScript,
    /// Any other shell script.
    Script,
    /// Text for people.
    Docs,
    /// Everything else.
    Product,
}

impl FileKind {
    /// Every kind.
    pub(super) const ALL: [Self; 19] = [
        Self::Git,
        Self::Ci,
        Self::Agent,
        Self::Editor,
        Self::Secret,
        Self::Migration,
        Self::Snapshot,
        Self::Judge,
        Self::Lockfile,
        Self::Manifest,
        Self::Image,
        Self::Infrastructure,
        Self::Deploy,
        Self::Build,
        Self::Test,
        Self::GateScript,
        Self::Script,
        Self::Docs,
        Self::Product,
    ];

    /// The kind that [`FileKind::name`] calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// `gate_script`
    pub const fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Ci => "ci",
            Self::Agent => "agent",
            Self::Editor => "editor",
            Self::Secret => "secret",
            Self::Migration => "migration",
            Self::Snapshot => "snapshot",
            Self::Judge => "judge",
            Self::Lockfile => "lockfile",
            Self::Manifest => "manifest",
            Self::Image => "image",
            Self::Infrastructure => "infrastructure",
            Self::Deploy => "deploy",
            Self::Build => "build",
            Self::Test => "test",
            Self::GateScript => "gate_script",
            Self::Script => "script",
            Self::Docs => "docs",
            Self::Product => "product",
        }
    }

    /// Why files of this kind matter, as a clause about them.
    pub fn reason(self) -> &'static str {
        let row = table().rows.iter().find(|(row, ..)| *row == self);
        match self {
            Self::GateScript => "a gate runs it",
            Self::Script => "somebody runs it",
            Self::Product => "it is the product",
            _ => row.map_or("", |(_, reason, ..)| reason.as_str()),
        }
    }

    /// Whether a gate reads the file to judge the product: with another version of it, passing
    /// means something else.
    pub fn judges(self) -> bool {
        match self {
            Self::Test
            | Self::Snapshot
            | Self::Judge
            | Self::GateScript
            | Self::Build
            | Self::Manifest
            | Self::Lockfile
            | Self::Ci
            | Self::Git => true,
            Self::Agent
            | Self::Editor
            | Self::Secret
            | Self::Migration
            | Self::Image
            | Self::Infrastructure
            | Self::Deploy
            | Self::Script
            | Self::Docs
            | Self::Product => false,
        }
    }
}

/// What the file at `path` with this content is for, in a repository whose gates run `gates`.
pub fn file_kind(path: &RepoPath, content: &[u8], gates: &GateFiles) -> FileKind {
    let by_name = table().of(path);
    if by_name == Some(FileKind::Agent) && is_page_about_agents(path) {
        return FileKind::Docs;
    }
    if let Some(kind) = by_name
        && !matches!(kind, FileKind::Docs | FileKind::Test)
    {
        return kind;
    }
    if let Some(kind) = by_name {
        return kind;
    }
    let file = SourceFile::new(path, content);
    // A gate that starts the product, or reads it in, does not make a script of it.
    let tool = file.path.split('/').rev().skip(1).any(|folder| SCRIPT_FOLDERS.contains(&folder));
    let product = gates.is_run_by_tests_only(path)
        && !file
            .path
            .split('/')
            .rev()
            .skip(1)
            .any(|folder| folder != "bin" && SCRIPT_FOLDERS.contains(&folder));
    let runs = gates.runs(path) && !product && (file.syntax == Syntax::Shell || tool);
    if runs || (gates.sources(path) && tool) {
        return FileKind::GateScript;
    }
    match file.syntax {
        Syntax::Shell if checks_or_ships(&file, content) => FileKind::GateScript,
        Syntax::Shell => FileKind::Script,
        Syntax::Yaml | Syntax::Json if is_kubernetes(&file, content) => FileKind::Deploy,
        Syntax::Docker => FileKind::Image,
        Syntax::Make => FileKind::Build,
        Syntax::Sql => FileKind::Migration,
        Syntax::Prose => FileKind::Docs,
        Syntax::Yaml | Syntax::Json | Syntax::Code => FileKind::Product,
    }
}

/// A page of the documentation that is about people, or programs, called agents: coding agents read
/// the name in capitals only.
fn is_page_about_agents(path: &RepoPath) -> bool {
    let path = path.to_string_lossy();
    let mut parts = path.rsplit('/');
    matches!(parts.next(), Some("agents.md" | "agent.md"))
        && parts.any(|folder| matches!(folder, "docs" | "doc"))
        && !path.split('/').any(|part| part.starts_with('.'))
}

/// Whether the name of a file says that it is a test.
pub(super) fn is_named_test(path: &RepoPath) -> bool {
    table().of(path) == Some(FileKind::Test)
}

/// Folders whose programs serve the repository rather than its users.
const SCRIPT_FOLDERS: &[&str] =
    &["scripts", "script", "tools", "tool", "bin", "hack", "dev", "ci", "build", "contrib", "etc"];

/// What scripts that check or ship are called.
const SCRIPT_NAMES: &[&str] = &[
    "test",
    "tests",
    "check",
    "checks",
    "verify",
    "lint",
    "ci",
    "smoke",
    "build",
    "deploy",
    "release",
    "publish",
    "rollback",
    "rollout",
    "provision",
    "bootstrap",
    "install",
    "setup",
    "coverage",
    "e2e",
    "validate",
    "gate",
    "package",
    "migrate",
    "backup",
    "restore",
    "health",
    "healthcheck",
    "entrypoint",
];

/// Programs that check, build or ship.
const SCRIPT_PROGRAMS: &[&str] = &[
    "pytest",
    "tox",
    "nox",
    "jest",
    "vitest",
    "mocha",
    "npm",
    "yarn",
    "pnpm",
    "npx",
    "cargo",
    "go",
    "make",
    "gmake",
    "mvn",
    "gradle",
    "bazel",
    "ctest",
    "rspec",
    "phpunit",
    "dotnet",
    "ruff",
    "mypy",
    "eslint",
    "tsc",
    "shellcheck",
    "kubectl",
    "helm",
    "kustomize",
    "docker",
    "podman",
    "buildah",
    "terraform",
    "tofu",
    "pulumi",
    "ansible",
    "ansible-playbook",
    "aws",
    "az",
    "gcloud",
    "ssh",
    "scp",
    "rsync",
    "systemctl",
    "twine",
    "gh",
    "skopeo",
    "crane",
    "psql",
    "mysql",
    "pg_dump",
];

/// Whether a script checks, builds or ships, by its name or by what it runs.
fn checks_or_ships(file: &SourceFile, content: &[u8]) -> bool {
    let named =
        file.name.split(|c: char| !c.is_alphanumeric()).any(|word| SCRIPT_NAMES.contains(&word));
    named
        || commands(&String::from_utf8_lossy(content))
            .iter()
            .any(|command| SCRIPT_PROGRAMS.contains(&command.program()))
}

/// Whether the text holds objects of a cluster, or patches of them. One that cannot be parsed is
/// judged by its lines.
fn is_kubernetes(file: &SourceFile, content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let likely = (text.contains("apiVersion") && text.contains("kind"))
        || (text.contains("op") && text.contains("path"))
        || text.contains("List");
    if !likely {
        return false;
    }
    let has = |key: &str| {
        text.lines().any(|line| {
            let line = line.trim_start_matches(['-', ' ', '{', '\t', '"']);
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with(':'))
        })
    };
    cluster::holds_objects(file, &text).unwrap_or_else(|| has("apiVersion") && has("kind"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: FileKind,
    reason: String,
    paths: Vec<String>,
    examples: Examples,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    #[serde(rename = "match")]
    hit: Vec<String>,
    miss: Vec<String>,
}

/// The table of names, compiled.
#[derive(Debug)]
struct Kinds {
    rows: Vec<(FileKind, String, GlobSet, GlobSet)>,
}

impl Kinds {
    /// Reads the table and checks its examples.
    fn read(text: &str) -> Result<Self, String> {
        let table: Vec<Row> = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
        let mut rows = Vec::new();
        for row in &table {
            let (mut hit, mut miss) = (GlobSetBuilder::new(), GlobSetBuilder::new());
            for pattern in &row.paths {
                let (set, pattern) = match pattern.strip_prefix('!') {
                    Some(rest) => (&mut miss, rest),
                    None => (&mut hit, pattern.as_str()),
                };
                set.add(glob_of(pattern)?);
            }
            let build = |set: GlobSetBuilder| set.build().map_err(|e| e.to_string());
            rows.push((row.kind, row.reason.clone(), build(hit)?, build(miss)?));
        }
        let kinds = Self { rows };
        for row in &table {
            for (paths, expect) in [(&row.examples.hit, true), (&row.examples.miss, false)] {
                for path in paths {
                    let repo_path = RepoPath::new(path).map_err(|e| e.to_string())?;
                    if (kinds.of(&repo_path) == Some(row.kind)) != expect {
                        let verb = if expect { "is not" } else { "is" };
                        return Err(format!("{path} {verb} {}", row.kind.name()));
                    }
                }
            }
        }
        Ok(kinds)
    }

    fn of(&self, path: &RepoPath) -> Option<FileKind> {
        let path = as_every_system_reads(&path.to_string_lossy());
        self.rows
            .iter()
            .find(|(_, _, hit, miss)| hit.is_match(&path) && !miss.is_match(&path))
            .map(|(kind, ..)| *kind)
    }
}

/// Without what Windows takes off the end of a name: dots, blanks, and the name of a stream.
fn as_every_system_reads(path: &str) -> String {
    let name = |part: &str| -> String {
        let plain = part.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
        if plain.is_empty() { part.to_owned() } else { plain.to_owned() }
    };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

/// As a glob over whole paths.
fn glob_of(pattern: &str) -> Result<Glob, String> {
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("", rest),
        None => ("**/", pattern),
    };
    let below = if rest.ends_with('/') { "**" } else { "" };
    GlobBuilder::new(&format!("{root}{rest}{below}"))
        .case_insensitive(true)
        .literal_separator(true)
        .empty_alternates(true)
        .build()
        .map_err(|e| format!("{pattern}: {e}"))
}

/// A matcher for paths, in the language of the table.
pub(super) fn path_matcher(pattern: &str) -> Result<GlobMatcher, String> {
    glob_of(pattern).map(|glob| glob.compile_matcher())
}

/// The compiled table; a test holds that it can be read.
fn table() -> &'static Kinds {
    static TABLE_READ: OnceLock<Kinds> = OnceLock::new();
    TABLE_READ.get_or_init(|| Kinds::read(TABLE).unwrap_or(Kinds { rows: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_its_examples() {
        assert_eq!(Kinds::read(TABLE).map(|kinds| kinds.rows.len()), Ok(16));
    }

    #[test]
    fn an_example_that_does_not_hold_is_an_error() {
        let table =
            "- {kind: docs, reason: x, paths: ['*.md'], examples: {match: [a.rs], miss: []}}";
        assert_eq!(Kinds::read(table).map(|_| ()), Err("a.rs is not docs".to_owned()));
    }

    #[test]
    fn content_decides_where_the_name_does_not() {
        let gates = GateFiles::default();
        for (path, content, expect) in [
            ("src/main.rs", "fn main() {}", FileKind::Product),
            ("bin/run", "#!/bin/sh\n", FileKind::Script),
            ("stack.yaml.in", "apiVersion: v1\nkind: Pod\n", FileKind::Product),
            ("ops/app.yaml", "apiVersion: v1\nkind: Pod\n", FileKind::Deploy),
            (
                "ops/app.json",
                "{\n \"apiVersion\": \"v1\",\n \"kind\": \"Pod\"\n}",
                FileKind::Deploy,
            ),
            (
                "ops/all.json",
                "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[]}",
                FileKind::Deploy,
            ),
            ("ops/patch.yaml", "- {op: add, path: /spec/a, value: 1}\n", FileKind::Deploy),
            ("api/calls.json", "[{\"op\": \"get\", \"path\": \"/users\"}]", FileKind::Product),
            ("config/app.yaml", "port: 80\n", FileKind::Product),
            ("kube/client.go", "package kube\n", FileKind::Product),
            ("docs/conf.py", "x = 1\n", FileKind::Product),
            ("package.json.", "{}", FileKind::Manifest),
            (".vscode /tasks.json::$DATA", "{}", FileKind::Editor),
        ] {
            let path = RepoPath::new(path).expect("a path");
            assert_eq!(file_kind(&path, content.as_bytes(), &gates), expect, "{path}");
        }
    }
}
