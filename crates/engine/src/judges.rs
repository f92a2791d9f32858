//! What a gate judges by, among the files that patches change: tests, snapshots, the runner's
//! configuration, gate scripts, build files; and what makes any test pass.
//!
//! [`judging`] gives each such file as it would be with the base's own judge. [`tampering`] finds
//! what no test can find, because it works on the test's own ground.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use greenloop_config::plan::GatePlan;
use greenloop_evidence::speaks_like_a_runner;
use greenloop_model::{FileChange, FileContent, RepoPath};
use greenloop_patch::Tree;
use greenloop_policy::{FileKind, GateFiles, file_kind};

/// Bytes of a file that is read for what it says.
const MOST_BYTES: usize = 1 << 20;

/// A changed file that gates judge by.
pub(crate) struct Judged {
    pub path: RepoPath,
    /// What it is, for a person.
    pub what: &'static str,
    /// From the file as it is to the file that the base judges by.
    pub back: FileChange,
}

/// The changed files that gates judge by. `base` is the commit that the run started from.
pub(crate) fn judging(changes: &[FileChange], gates: &[GatePlan], base: &dyn Tree) -> Vec<Judged> {
    let commands: Vec<String> = gates.iter().map(command_at_root).collect();
    let traced = GateFiles::trace(base, commands.iter().map(String::as_str));
    let files = Files { traced, named: directly_named(&commands, gates, base) };
    let asked = |change: &FileChange| is_data(&lower(&change.path)) || helps_tests(change);
    let texts = match changes.iter().any(asked) {
        true => Texts::of(base),
        false => Texts::default(),
    };
    changes
        .iter()
        .filter_map(|change| {
            let (what, wanted) = match whole(change, &files, &texts) {
                Some(what) => (what, change.before.clone()),
                None => ("tests in the file", Some(with_tests_of(change)?)),
            };
            if wanted == change.after {
                return None;
            }
            let back = FileChange {
                path: change.path.clone(),
                moved_from: None,
                before: change.after.clone(),
                after: wanted,
            };
            Some(Judged { path: change.path.clone(), what, back })
        })
        .collect()
}

/// The files of a tree that gates judge by, whether or not a patch changes them.
pub(crate) struct Standing(GateFiles);

impl Standing {
    /// Traces the gates' commands through the tree.
    pub(crate) fn of(gates: &[GatePlan], tree: &dyn Tree) -> Self {
        let commands: Vec<String> = gates.iter().map(command_at_root).collect();
        Self(GateFiles::trace(tree, commands.iter().map(String::as_str)))
    }

    /// Whether a gate judges by the file.
    pub(crate) fn judges(&self, path: &RepoPath) -> bool {
        matches!(
            file_kind(path, &[], &self.0),
            FileKind::Test
                | FileKind::Snapshot
                | FileKind::Judge
                | FileKind::Build
                | FileKind::GateScript
        )
    }

    /// The names of the modules of a tree.
    pub(crate) fn modules(&self, tracked: &[RepoPath]) -> BTreeSet<String> {
        tracked.iter().filter(|path| !is_data(&lower(path))).map(file_name).collect()
    }

    /// Whether a gate judges by what changes of the file, where other parts of it are the product's.
    pub(crate) fn judges_by(&self, change: &FileChange) -> bool {
        let name = file_name(&change.path);
        file_kind(&change.path, &[], &self.0) == FileKind::Manifest
            && manifest_judges(&name, change)
    }

    /// Whether a new file of code is a test, or a module that may be found in place of one of
    /// `modules`. Compiled programs and caches have no ending of code.
    pub(crate) fn shadows(&self, path: &RepoPath, modules: &BTreeSet<String>) -> bool {
        let name = file_name(path);
        if !name.contains('.') || is_data(&name) || name.ends_with(".lock") {
            return false;
        }
        let kind = file_kind(path, &[], &self.0);
        matches!(kind, FileKind::Test | FileKind::Judge) || modules.contains(&name)
    }
}

fn file_name(path: &RepoPath) -> String {
    let path = lower(path);
    path.rsplit('/').next().unwrap_or(&path).to_owned()
}

/// The files that gates run.
struct Files {
    /// Followed through every script.
    traced: GateFiles,
    /// The text of the commands, and of what tells them what to run.
    named: String,
}

/// The commands, and the files that commands such as `make test` are read from.
fn directly_named(commands: &[String], gates: &[GatePlan], base: &dyn Tree) -> String {
    const ENTRIES: &[&str] = &[
        "package.json",
        "Makefile",
        "makefile",
        "GNUmakefile",
        "justfile",
        "tox.ini",
        "noxfile.py",
    ];
    let mut text = commands.join("\n");
    let folders = gates.iter().map(|gate| gate.working_directory.as_ref());
    let folders: BTreeSet<Option<&RepoPath>> = std::iter::once(None).chain(folders).collect();
    for folder in folders {
        for entry in ENTRIES {
            let path = folder.map_or_else(|| (*entry).to_owned(), |at| format!("{at}/{entry}"));
            if let Ok(path) = RepoPath::new(&path)
                && let Ok(Some(file)) = base.read(&path)
                && file.bytes.len() <= MOST_BYTES
            {
                text.push('\n');
                text.push_str(&String::from_utf8_lossy(&file.bytes));
            }
        }
    }
    text
}

/// The gate's command, with the words that are files where it runs as paths of the repository too.
fn command_at_root(gate: &GatePlan) -> String {
    let Some(folder) = &gate.working_directory else { return gate.command.clone() };
    let inside = gate
        .command
        .split_whitespace()
        .map(|word| format!("{folder}/{}", word.trim_start_matches("./")));
    let inside: Vec<String> = inside.collect();
    format!("{}\n{}", gate.command, inside.join(" "))
}

fn lower(path: &RepoPath) -> String {
    path.to_string_lossy().to_lowercase()
}

/// What the file is, when all of it judges.
fn whole(change: &FileChange, files: &Files, texts: &Texts) -> Option<&'static str> {
    const CONFIGURATION: &str = "the runner's or the build's configuration";
    let path = lower(&change.path);
    let name = path.rsplit('/').next().unwrap_or(&path);
    if shadows_a_runner(&path, name, change) {
        return Some("a module that stands in for the test runner's");
    }
    let content = change.before.as_ref().or(change.after.as_ref());
    let content = content.map_or(&[][..], |content| content.bytes.as_slice());
    match file_kind(&change.path, content, &files.traced) {
        FileKind::Test => return Some("a test"),
        FileKind::Snapshot => return Some("what a test compares with"),
        FileKind::Judge => return Some(CONFIGURATION),
        FileKind::Build if !only_white_space(change) => return Some(CONFIGURATION),
        FileKind::Manifest => return manifest_judges(name, change).then_some(CONFIGURATION),
        // A program of the product may be the whole gate: `python3 app.py`.
        FileKind::GateScript | FileKind::Script | FileKind::Product
            if is_script(name, &change.path, files) =>
        {
            return (!is_harmless_script(change)).then_some("a script that the gate runs");
        }
        FileKind::Build
        | FileKind::GateScript
        | FileKind::Script
        | FileKind::Git
        | FileKind::Ci
        | FileKind::Agent
        | FileKind::Editor
        | FileKind::Secret
        | FileKind::Migration
        | FileKind::Lockfile
        | FileKind::Image
        | FileKind::Infrastructure
        | FileKind::Deploy
        | FileKind::Docs
        | FileKind::Product => {}
    }
    if helps_tests(change) && texts.only_tests_use(&path) {
        return Some("a module that only tests use");
    }
    let read = |path: &str| mentions(&texts.tests, path);
    (is_data(&path) && (read(name) || read(&change.path.to_string_lossy())))
        .then_some("data that a test compares with")
}

/// Whether the file's name, or the name of something that it defines, says that it serves tests.
fn helps_tests(change: &FileChange) -> bool {
    const WORDS: &[&str] = &[
        "test",
        "tests",
        "testing",
        "testdata",
        "testutil",
        "testutils",
        "expect",
        "expected",
        "expectation",
        "expectations",
        "golden",
        "fixture",
        "fixtures",
        "mock",
        "mocks",
        "fake",
        "fakes",
        "stub",
        "stubs",
        "assert",
        "asserts",
        "assertion",
        "assertions",
        "harness",
    ];
    // In the name of a file these say it, too, where only tests use it.
    const OF_FILES: &[&str] = &["helper", "helpers", "support"];
    static DEFINED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let words = r"(?m)^\s*(?:export\s+|pub\s+|async\s+|public\s+|static\s+)*\
                      (?:def|class|func|function|fn|const|let|var|val)\s+(\w+)|^(\w+)\s*=[^=]|exports\.(\w+)";
        Regex::new(words).ok()
    });
    let words = |name: &str| -> Vec<String> {
        let mut apart = String::new();
        for c in name.chars() {
            if c.is_uppercase() {
                apart.push('_');
            }
            apart.extend(c.to_lowercase());
        }
        apart.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let path = change.path.to_string_lossy();
    let name = path.rsplit('/').next().unwrap_or(&path);
    let stem = name.split('.').next().unwrap_or(name);
    let says = |word: &String| WORDS.contains(&word.as_str());
    if words(stem).iter().any(|it| says(it) || OF_FILES.contains(&it.as_str())) {
        return true;
    }
    let before = text(change.before.as_ref());
    let Some(defined) = DEFINED.as_ref().filter(|_| before.len() <= MOST_BYTES) else {
        return false;
    };
    let mut names = defined.captures_iter(&before).filter_map(|found| {
        (1..=3).find_map(|group| found.get(group)).map(|name| name.as_str().to_owned())
    });
    names.any(|name| words(&name).iter().any(says))
}

/// Whether a file that a gate runs is a script of the gate, and not a part of the product: it is
/// named for it, or a shell script that the command itself names. What such a script runs in turn may
/// be what it tests.
fn is_script(name: &str, path: &RepoPath, files: &Files) -> bool {
    const SHELL: &[&str] = &[".sh", ".bash", ".zsh", ".ksh", ".bats", ".ps1", ".cmd", ".bat"];
    const JUDGES: &[&str] =
        &["check", "checks", "test", "tests", "verify", "lint", "validate", "gate", "gates", "ci"];
    let shell = !name.contains('.') || SHELL.iter().any(|end| name.ends_with(end));
    let judges = name.split(['_', '-', '.']).any(|word| JUDGES.contains(&word));
    (judges && files.traced.runs(path))
        || ((shell || judges) && mentions(&files.named, &path.to_string_lossy()))
}

/// Whether a manifest's change is of what is tested and how. What cannot be told apart judges.
fn manifest_judges(name: &str, change: &FileChange) -> bool {
    match name {
        "package.json" | "cargo.toml" | "pyproject.toml" => judging_part_differs(name, change),
        ".npmrc" | ".yarnrc" | ".yarnrc.yml" | "mix.exs" | "package.swift" | "composer.json"
        | "turbo.json" | "nx.json" | "cmakepresets.json" => true,
        _ => name.ends_with("proj"),
    }
}

/// A file that is imported in place of a test runner or of what it is made of.
fn shadows_a_runner(path: &str, name: &str, change: &FileChange) -> bool {
    if path.split('/').any(|part| part == "node_modules" || part == "site-packages") {
        return true;
    }
    const MODULES: &[&str] = &[
        "unittest",
        "pytest",
        "_pytest",
        "doctest",
        "nose",
        "nose2",
        "mock",
        "hypothesis",
        "pluggy",
        "xdist",
        "coverage",
        "testtools",
        "behave",
        "robot",
        "jest",
        "vitest",
        "mocha",
        "chai",
        "jasmine",
        "ava",
        "tape",
        "sinon",
        "supertest",
        "testify",
    ];
    let stem = name.split('.').next().unwrap_or_default();
    let package = path.split('/').rev().nth(1).filter(|_| stem == "__init__" || stem == "index");
    let code =
        [".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".go"].iter().any(|end| name.ends_with(end));
    code && change.before.is_none()
        && (MODULES.contains(&stem) || package.is_some_and(|package| MODULES.contains(&package)))
}

/// Files that code reads, rather than code.
fn is_data(path: &str) -> bool {
    const CODE: &[&str] = &[
        "py", "rs", "js", "jsx", "ts", "tsx", "mjs", "cjs", "go", "java", "kt", "c", "cc", "cpp",
        "h", "hpp", "cs", "rb", "php", "swift", "scala", "ex", "exs", "sh", "lock",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_some_and(|(_, extension)| !CODE.contains(&extension))
}

/// What the base's files say, to look for the files that they read and import.
#[derive(Default)]
struct Texts {
    tests: String,
    /// The rest of the code, file by file.
    product: Vec<(String, String)>,
    /// There is more of it.
    cut: bool,
}

impl Texts {
    fn of(base: &dyn Tree) -> Self {
        let mut texts = Self::default();
        let mut room = 8 * MOST_BYTES;
        for path in base.files().unwrap_or_default() {
            let lower = lower(&path);
            if is_data(&lower) {
                continue;
            }
            let test = file_kind(&path, &[], &GateFiles::default()) == FileKind::Test;
            if if test { texts.tests.len() > 8 * MOST_BYTES } else { texts.cut } {
                continue;
            }
            let Ok(Some(file)) = base.read(&path) else { continue };
            if file.bytes.len() > MOST_BYTES {
                texts.cut |= !test;
                continue;
            }
            let text = String::from_utf8_lossy(&file.bytes);
            if test {
                texts.tests.push_str(&text);
            } else if let Some(left) = room.checked_sub(file.bytes.len()) {
                room = left;
                texts.product.push((lower, text.into_owned()));
            } else {
                texts.cut = true;
            }
        }
        texts
    }

    /// Whether tests name the module at `path`, and no other code does, as far as all of it is known.
    fn only_tests_use(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name);
        let named = |text: &str| mentions(text, stem) || mentions(text, name);
        named(&self.tests) && !self.product.iter().any(|(other, text)| other != path && named(text))
    }
}

/// Whether the text holds the path as a word of its own.
fn mentions(text: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + path.len()..).and_then(|text| text.chars().next());
        // `./check.sh` and `scripts/check.sh` both name it.
        !before.is_some_and(|c| part(c) && c != '.') && !after.is_some_and(part)
    })
}

fn text(content: Option<&FileContent>) -> String {
    content.map_or_else(String::new, |file| String::from_utf8_lossy(&file.bytes).into_owned())
}

/// Whether nothing but white space changes, as where a Makefile has spaces in place of a tab.
fn only_white_space(change: &FileChange) -> bool {
    let words = |content: Option<&FileContent>| -> Vec<String> {
        text(content)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect()
    };
    change.before.is_some()
        && change.after.is_some()
        && words(change.before.as_ref()) == words(change.after.as_ref())
}

/// Whether a script keeps every line that it had, in order, and gets only lines that make it
/// stricter or that make a folder.
fn is_harmless_script(change: &FileChange) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    let (before, after) = (text(Some(before)), text(Some(after)));
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let mut wanted = lines(&before).into_iter().peekable();
    for line in lines(&after) {
        if wanted.next_if_eq(&line).is_some() {
            continue;
        }
        let plain = !line.contains([';', '|', '&', '$', '`', '<', '>']);
        let adds = line.starts_with("mkdir -p ")
            || matches!(
                line.as_str(),
                "set -e" | "set -u" | "set -eu" | "set -euo pipefail" | "set -o pipefail"
            );
        if !(plain && adds) {
            return false;
        }
    }
    wanted.peek().is_none()
}

/// Whether the part of a manifest changes that says what is tested and how; what it depends on and
/// what it is called does not.
fn judging_part_differs(name: &str, change: &FileChange) -> bool {
    let (before, after) = (text(change.before.as_ref()), text(change.after.as_ref()));
    if change.after.is_none() || change.before.is_none() {
        return true;
    }
    if name == "package.json" {
        return match (json_part(&before), json_part(&after)) {
            (Some(before), Some(after)) => before != after,
            // What could not be read before is judged by what it says now; nobody could run it.
            (None, _) | (_, None) => true,
        };
    }
    // A string of several lines may hold what looks like a section.
    if before.contains("\"\"\"") || after.contains("\"\"\"") || after.contains("'''") {
        return true;
    }
    toml_part(&before) != toml_part(&after)
}

/// Without what a package is called, what it offers and what it depends on.
fn json_part(text: &str) -> Option<serde_json::Value> {
    const FREE: &[&str] = &[
        "name",
        "version",
        "description",
        "keywords",
        "license",
        "repository",
        "homepage",
        "bugs",
        "author",
        "contributors",
        "files",
        "engines",
        "main",
        "module",
        "exports",
        "imports",
        "browser",
        "bin",
        "types",
        "typings",
        "type",
        "sideEffects",
        "private",
        "funding",
    ];
    const DEPENDENCIES: &[&str] =
        &["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];
    let mut value: serde_json::Value = serde_json::from_str(text).ok()?;
    let object = value.as_object_mut()?;
    object.retain(|key, _| !FREE.contains(&key.as_str()));
    for list in DEPENDENCIES {
        // A package from a path or an address may be anything by that name.
        if let Some(list) = object.get_mut(*list).and_then(serde_json::Value::as_object_mut) {
            list.retain(|_, version| {
                version.as_str().is_none_or(|version| version.contains([':', '/']))
            });
        }
    }
    object.retain(|key, list| {
        !DEPENDENCIES.contains(&key.as_str())
            || list.as_object().is_none_or(|list| !list.is_empty())
    });
    Some(value)
}

/// The sections that are not about dependencies, a line each.
fn toml_part(text: &str) -> Vec<String> {
    const FREE_KEYS: &[&str] = &[
        "name",
        "version",
        "description",
        "license",
        "authors",
        "readme",
        "keywords",
        "repository",
        "homepage",
        "edition",
        "rust-version",
        "categories",
        "publish",
        "documentation",
        "requires-python",
        "classifiers",
        "dependencies",
        "requires",
    ];
    let mut section = String::new();
    let mut list = false;
    let mut out = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') && line.ends_with(']') && !list {
            section = line.trim_matches(['[', ']']).trim().to_owned();
            out.push(format!("[{section}]"));
            continue;
        }
        let last = section.rsplit('.').next().unwrap_or_default();
        let above = section.rsplit('.').nth(1).unwrap_or_default();
        let dependencies = |part: &str| part.ends_with("dependencies");
        let plain = !line.contains("path") && !line.contains("git") && !line.contains('@');
        let key = line.split('=').next().unwrap_or_default().trim();
        let free_key = matches!(
            section.as_str(),
            "package" | "project" | "workspace.package" | "build-system" | "tool.poetry"
        ) && (list || FREE_KEYS.contains(&key));
        if free_key {
            // `dependencies = [` goes on until its bracket.
            list = (list || line.contains('[')) && !line.contains(']');
        }
        let free =
            free_key || (dependencies(last) || dependencies(above)) && plain || last == "features";
        if !free && !line.is_empty() {
            out.push(format!("{section}: {line}"));
        }
    }
    // Sections that hold nothing that judges say nothing.
    let empty = |n: usize, out: &[String]| {
        out.get(n).is_some_and(|line| line.starts_with('['))
            && out.get(n + 1).is_none_or(|next| next.starts_with('['))
    };
    (0..out.len()).filter(|n| !empty(*n, &out)).filter_map(|n| out.get(n).cloned()).collect()
}

/// The changed file with the base's own test module, where a language keeps tests beside the code.
fn with_tests_of(change: &FileChange) -> Option<FileContent> {
    if !lower(&change.path).ends_with(".rs") {
        return None;
    }
    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
    let (old, new) = (text(Some(before)), text(Some(after)));
    let tests = test_modules(&old);
    if tests.is_empty() {
        return None;
    }
    let mut wanted = new.clone();
    for (module, region) in tests {
        match module_region(&wanted, &module) {
            Some((start, end)) => wanted.replace_range(start..end, &region),
            None => {
                wanted.push('\n');
                wanted.push_str(&region);
            }
        }
    }
    (wanted != new).then(|| FileContent { bytes: wanted.into_bytes(), mode: after.mode })
}

/// The modules of a Rust file that are compiled for tests only, by name.
fn test_modules(text: &str) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = module_name(line)
            && let Some((start, end)) = module_region(text, &name)
            && let Some(region) = text.get(start..end)
            && region.lines().any(|line| line.starts_with("#[cfg(") && line.contains("test"))
        {
            modules.insert(name, region.to_owned());
        }
    }
    modules
}

/// The name of a module that a line at the left edge begins.
fn module_name(line: &str) -> Option<String> {
    let rest =
        line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    let rest = rest.strip_prefix("mod ")?;
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// From the first attribute of the module to the brace at the left edge that ends it.
fn module_region(text: &str, name: &str) -> Option<(usize, usize)> {
    let mut attributes: Option<usize> = None;
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match start {
            None if module_name(bare).as_deref() == Some(name) => {
                let from = attributes.unwrap_or(at);
                if bare.ends_with(';') || bare.ends_with('}') {
                    return Some((from, at + line.len()));
                }
                start = Some(from);
            }
            None if bare.starts_with("#[") || bare.starts_with("//") => {
                attributes.get_or_insert(at);
            }
            None => attributes = None,
            Some(from) if bare == "}" => return Some((from, at + line.len())),
            Some(_) => {}
        }
        at += line.len();
    }
    start.map(|from| (from, text.len()))
}

/// What makes any test pass, or a run look as if it had.
struct Fake {
    pattern: &'static str,
    why: &'static str,
    /// It speaks against a patch only where no test is known by name to have passed.
    only_unnamed: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    examples: &'static [&'static str],
}

#[rustfmt::skip]
const FAKES: &[Fake] = &[
    Fake {
        pattern: r#"(?m)def __(?:eq|ne)__\s*\([^)]*\)[^:\n]*:\s*(?:"""[^"]*"""\s*|\#[^\n]*\s*)*return (?:True|False)\b|__eq__\s*=\s*lambda[^:\n]*:\s*True\b"#,
        why: "is equal to everything",
        only_unnamed: false,
        examples: &["def __eq__(self, other):\n        return True", "def __eq__(self, o): return True", "__eq__ = lambda self, o: True"],
    },
    Fake {
        pattern: r"fn (?:eq|ne)\s*\(\s*&self[^)]*\)\s*->\s*bool\s*\{\s*(?:true|false)\s*\}|boolean equals\s*\([^)]*\)\s*\{\s*return true;?\s*\}|bool Equals\s*\([^)]*\)\s*(?:=>\s*true|\{\s*return true;?\s*\})|def ==\s*\(?\w+\)?\s*[;\n]\s*true\s",
        why: "is equal to everything",
        only_unnamed: false,
        examples: &["fn eq(&self, _: &Self) -> bool { true }", "public boolean equals(Object o) { return true; }"],
    },
    Fake {
        pattern: r"\bos\._exit\s*\(|\bos\.kill\s*\(\s*os\.getpid|\bprocess\.reallyExit\b|\bprocess\.exitCode\s*=\s*0|\bprocess\.kill\s*\(\s*process\.pid|\bos\.abort\s*\(|\blibc::_exit\b|Runtime\.getRuntime\(\)\.halt|\bKernel\.exit!|^\s*exit!\s",
        why: "ends the process whatever the tests come to",
        only_unnamed: false,
        examples: &["os._exit(0)", "atexit.register(lambda: os._exit(0))", "process.exitCode = 0"],
    },
    Fake {
        pattern: r"\bsys\.exit\s*\(\s*(?:0|None|False)?\s*\)|\braise SystemExit(?:\s*\(\s*0?\s*\))?\s*$|\bprocess\.exit\s*\(\s*0?\s*\)|\bprocess::exit\s*\(\s*0\s*\)|\b(?:os|syscall)\.Exit\s*\(\s*0\s*\)|\bsyscall\.Exec\s*\(|\bSystem\.exit\s*\(\s*0\s*\)|(?m)^\s*(?:quit|exit)\s*\(\s*0?\s*\)\s*;?\s*$",
        why: "ends the process with success",
        only_unnamed: true,
        examples: &["sys.exit(0)", "process.exit()", "std::process::exit(0);", "os.Exit(0)", "syscall.Exit(0)", "exit(0)"],
    },
    Fake {
        pattern: r#"\b(?:unittest|pytest|doctest|_pytest|builtins|__builtins__)(?:\.\w+)+\s*=[^=]|\bsys\.modules\s*\[\s*['"](?:pytest|_pytest|unittest|doctest)[^\]]*\]\s*=|\bsetattr\s*\(\s*(?:unittest|pytest|builtins|doctest)\b|\bsys\.(?:exit|excepthook|settrace)\s*=[^=]|\b(?:globalThis|global|window)\.(?:expect|assert|it|test|describe|jest|vi)\b\s*=[^=]|\bassert(?:\.strict)?\.\w+\s*=[^=]|\bconsole\.assert\s*=|\brequire\s*\(\s*['"](?:node:)?(?:assert|test)[^)]*\)\.\w+\s*=[^=]|\bprocess\.(?:exit|on|emit)\s*=[^=]"#,
        why: "replaces a part of the test runner",
        only_unnamed: false,
        examples: &["unittest.TestCase.assertEqual = lambda *a: None", "globalThis.expect = () => ok", "assert.strictEqual = () => {}", "sys.exit = lambda *a: None"],
    },
    Fake {
        pattern: r#"PYTEST_CURRENT_TEST|PYTEST_VERSION|JEST_WORKER_ID|VITEST_WORKER_ID|VITEST_POOL_ID|NODE_TEST_CONTEXT|\bNEXTEST\b|RUST_TEST_THREADS|['"](?:pytest|unittest|_pytest)['"]\s+(?:not\s+)?in\s+sys\.modules|sys\.modules\.get\s*\(\s*['"](?:pytest|unittest)|\binspect\.(?:stack|currentframe)\s*\(|\bsys\._getframe\s*\(|\btraceback\.(?:extract_stack|format_stack)|NODE_ENV\s*={2,3}\s*['"]test|['"]test['"]\s*={2,3}\s*process\.env|\bcfg!\s*\(\s*test\s*\)|\btesting\.Testing\s*\(|new Error\(\)\.stack"#,
        why: "behaves differently when it is tested",
        only_unnamed: false,
        examples: &["if \"pytest\" in sys.modules:", "os.environ.get('PYTEST_CURRENT_TEST')", "if (process.env.NODE_ENV === 'test')", "if cfg!(test)"],
    },
    Fake {
        pattern: r"(?m)^\s*(?:except\s+AssertionError\b|except\s*\([^)]*AssertionError)|\bcatch\s*\(\s*AssertionError|catch_unwind\s*\(|\bset_hook\s*\(\s*Box::new\s*\(\s*\|_\|\s*\{\s*\}",
        why: "catches what a failed assertion throws",
        only_unnamed: false,
        examples: &["    except AssertionError:", "std::panic::catch_unwind(|| x)"],
    },
];

static PATTERNS: LazyLock<Vec<Option<Regex>>> =
    LazyLock::new(|| FAKES.iter().map(|fake| Regex::new(fake.pattern).ok()).collect());

/// What the changes bring that no test can find: text that answers for the test runner, and
/// examples in the documentation that are run as tests and say something else now. `named` says
/// that the tests which passed are known by name.
pub(crate) fn tampering(changes: &[FileChange], named: bool) -> Vec<String> {
    let mut found = Vec::new();
    for change in changes {
        let (before, after) = (text(change.before.as_ref()), text(change.after.as_ref()));
        if after.is_empty() || after.len() > MOST_BYTES {
            continue;
        }
        let path = &change.path;
        for (fake, pattern) in FAKES.iter().zip(PATTERNS.iter()) {
            let Some(pattern) = pattern.as_ref().filter(|_| !(named && fake.only_unnamed)) else {
                continue;
            };
            if pattern.find_iter(&after).count() > pattern.find_iter(&before).count() {
                found.push(format!("{path}: a part of the patch {}", fake.why));
            }
        }
        let had: std::collections::HashSet<&str> = before.lines().collect();
        let mut added = after.lines().filter(|line| !had.contains(line));
        if added.any(|line| literals(line).any(says_results)) {
            found.push(format!("{path}: a part of the patch prints what a test runner prints"));
        }
        let has: std::collections::HashSet<&str> = after.lines().map(str::trim).collect();
        let gone = examples_of(&before).into_iter().find(|line| !has.contains(line.as_str()));
        if let Some(line) = gone {
            found.push(format!(
                "{path}: an example that is run as a test says something else now: {line}"
            ));
        }
    }
    found
}

fn says_results(literal: &str) -> bool {
    let unescaped = literal.replace("\\n", "\n").replace("\\t", "\t");
    unescaped.lines().any(|line| {
        line.len() > 4 && line.bytes().any(|b| b.is_ascii_digit()) && speaks_like_a_runner(line)
    })
}

/// The texts between quotes on a line, quotes of one kind each.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    ['"', '\'', '`'].into_iter().flat_map(move |quote| line.split(quote).skip(1).step_by(2))
}

/// Lines of doctests: what is called, and the line that it is to give.
fn examples_of(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut answer = false;
    for line in text.lines() {
        let line = line.trim();
        let call = line.starts_with(">>> ") || line.starts_with("... ");
        let wanted = std::mem::replace(&mut answer, call);
        let says = wanted && !line.is_empty() && !line.starts_with("\"\"\"");
        if call || says || line.starts_with("/// assert") {
            out.push(line.to_owned());
        }
    }
    out
}

/// Whether the changes are of comments and white space only: what fails and passes after them is
/// flaky.
pub(crate) fn only_comments(changes: &[FileChange]) -> bool {
    let code = |content: Option<&FileContent>, path: &str| -> Vec<String> {
        let hash = [".py", ".rb", ".sh", ".yaml", ".yml", ".toml", ".pl", ".r", ".ex", ".exs"];
        let starts: &[&str] =
            if hash.iter().any(|end| path.ends_with(end)) { &["#"] } else { &["//"] };
        text(content)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !starts.iter().any(|start| line.starts_with(start)))
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    !changes.is_empty()
        && changes.iter().all(|change| {
            let path = lower(&change.path);
            let source = [".py", ".rs", ".js", ".ts", ".go", ".java", ".c", ".cc", ".cpp", ".h", ".rb", ".kt", ".cs", ".jsx", ".tsx", ".mjs", ".sh"]
                .iter()
                .any(|end| path.ends_with(end));
            source && change.before.is_some() && change.after.is_some()
                    // Indentation is code in Python.
                    && !path.ends_with(".py") | (indented(change.before.as_ref()) == indented(change.after.as_ref()))
                    && code(change.before.as_ref(), &path) == code(change.after.as_ref(), &path)
        })
}

/// The lines of code with their indentation.
fn indented(content: Option<&FileContent>) -> Vec<String> {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    text(content).lines().filter(is_code).map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(Vec<(&'static str, &'static str)>);

    impl Tree for Files {
        fn read(&self, path: &RepoPath) -> std::io::Result<Option<FileContent>> {
            let path = path.to_string_lossy();
            let found = self.0.iter().find(|(name, _)| *name == path);
            Ok(found.map(|(_, text)| FileContent::regular(*text)))
        }

        fn files(&self) -> std::io::Result<Vec<RepoPath>> {
            Ok(self.0.iter().filter_map(|(name, _)| RepoPath::new(name).ok()).collect())
        }
    }

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        FileChange {
            path: RepoPath::new(path).unwrap(),
            moved_from: None,
            before: before.map(FileContent::regular),
            after: after.map(FileContent::regular),
        }
    }

    fn gate(command: &str) -> GatePlan {
        GatePlan::new("test", command)
    }

    fn judges(command: &str, tree: Vec<(&'static str, &'static str)>, change: FileChange) -> bool {
        !judging(&[change], &[gate(command)], &Files(tree)).is_empty()
    }

    #[test]
    fn what_judges_is_known_by_its_place_and_its_use() {
        for path in [
            "tests/test_a.py",
            "a_test.go",
            "src/cart.test.ts",
            "src/test/java/CartTest.java",
            "conftest.py",
            "pytest.ini",
            "jest.config.js",
            "Makefile",
            "sub/Makefile",
            "unittest.py",
            "pytest/__init__.py",
            "sitecustomize.py",
            "node_modules/jest/index.js",
            ".mocharc.yml",
            "tests/__snapshots__/a.snap",
            "testdata/out.txt",
            "vitest.config.ts",
            "tsconfig.json",
            "build.gradle",
            "pom.xml",
            ".cargo/nextest.toml",
            "build.rs",
            "CMakeLists.txt",
        ] {
            assert!(judges("x", vec![], change(path, None, Some("x\n"))), "{path}");
        }
        for path in [
            "src/cart.py",
            "lib/contest.py",
            "src/latest.js",
            "README.md",
            "src/lib.rs",
            "attest.go",
            "Cargo.lock",
            "package-lock.json",
            "requirements.txt",
            "src/protest.ts",
        ] {
            assert!(!judges("x", vec![], change(path, Some("a\n"), Some("b\n"))), "{path}");
        }
    }

    #[test]
    fn scripts_judge_when_the_gate_runs_them() {
        let edit = |path: &str| change(path, Some("set -e\nrun\n"), Some("exit 0\n"));
        assert!(judges("sh scripts/check.sh", vec![], edit("scripts/check.sh")));
        assert!(judges("./verify", vec![], edit("verify")));
        assert!(judges("python3 tools/check.py", vec![], edit("tools/check.py")));
        assert!(judges(
            "npm test",
            vec![("package.json", r#"{"scripts":{"test":"sh run.sh"}}"#)],
            edit("run.sh")
        ));
        for product in ["app.py", "checkout.py", "latest.js", "contest.py"] {
            assert!(!judges(&format!("run {product}"), vec![], edit(product)), "{product}");
        }
        assert!(!judges("make", vec![], edit("scripts/deploy.sh")));
        // What the test tests, and what the test runs to test.
        let tree = vec![
            ("test.sh", ". ./add.sh\nsh tools/check.sh\n"),
            ("add.sh", ""),
            ("tools/check.sh", ""),
        ];
        assert!(!judges("sh test.sh", tree.clone(), edit("add.sh")));
        assert!(judges("sh test.sh", tree, edit("tools/check.sh")));
        let stricter = change(
            "check.sh",
            Some("#!/bin/sh\nrun\n"),
            Some("#!/bin/sh\nset -e\nmkdir -p out\nrun\n"),
        );
        assert!(!judges("sh check.sh", vec![], stricter));
        let tabs = change("Makefile", Some("test:\n    run\n"), Some("test:\n\trun\n"));
        assert!(!judges("make test", vec![], tabs));
    }

    #[test]
    fn data_judges_when_a_test_reads_it() {
        let tree = vec![("tests/test_a.py", "json.load(open('snap/f.json'))")];
        assert!(judges("x", tree.clone(), change("snap/f.json", Some("18"), Some("19"))));
        assert!(!judges("x", tree, change("data/g.json", Some("18"), Some("19"))));
    }

    #[test]
    fn only_the_judging_part_of_a_manifest_counts() {
        for (path, before, after, expect) in [
            (
                "package.json",
                r#"{"scripts":{"test":"jest"},"dependencies":{}}"#,
                r#"{"scripts":{"test":"jest"},"dependencies":{"a":"^1"}}"#,
                false,
            ),
            (
                "package.json",
                r#"{"scripts":{"test":"jest"}}"#,
                r#"{"scripts":{"test":"jest --passWithNoTests"}}"#,
                true,
            ),
            (
                "package.json",
                r#"{"scripts":{"test":"jest"}}"#,
                r#"{"scripts":{"test":"jest"},"jest":{"testMatch":[]}}"#,
                true,
            ),
            (
                "package.json",
                r#"{"devDependencies":{"jest":"29"}}"#,
                r#"{"devDependencies":{"jest":"file:./fake"}}"#,
                true,
            ),
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\n",
                "[package]\nname = \"a\"\n\n[dependencies]\nserde = \"1\"\n",
                false,
            ),
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\n",
                "[package]\nname = \"a\"\nautotests = false\n",
                true,
            ),
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\n",
                "[package]\nname = \"a\"\n[lib]\ntest = false\n",
                true,
            ),
            (
                "pyproject.toml",
                "[project]\ndependencies = [\n  \"a\",\n]\n",
                "[project]\ndependencies = [\n  \"a\",\n  \"b\",\n]\n",
                false,
            ),
            (
                "pyproject.toml",
                "[project]\nname = \"a\"\n",
                "[project]\nname = \"a\"\n[tool.pytest.ini_options]\naddopts = \"-k nothing\"\n",
                true,
            ),
        ] {
            let found = judges("x", vec![], change(path, Some(before), Some(after)));
            assert_eq!(found, expect, "{path}: {after}");
        }
    }

    #[test]
    fn tests_beside_the_code_are_put_back_and_the_code_is_kept() {
        let file = |body: &str, cfg: &str, expect: &str| {
            format!(
                "pub fn f() -> u32 {{ {body} }}\n\n{cfg}\nmod tests {{\n    #[test]\n    fn t() {{ assert_eq!(super::f(), {expect}); }}\n}}\n"
            )
        };
        let base = file("1", "#[cfg(test)]", "2");
        let back = |after: &str| {
            let change = change("src/lib.rs", Some(&base), Some(after));
            let mut judged = judging(&[change], &[], &Files(vec![]));
            judged.pop().map(|judged| text(judged.back.after.as_ref()))
        };
        assert_eq!(back(&file("2", "#[cfg(test)]", "2")), None);
        let wanted = file("2", "#[cfg(test)]", "2");
        assert_eq!(back(&file("2", "#[cfg(any())]", "2")), Some(wanted.clone()));
        assert_eq!(back(&file("2", "#[cfg(test)]", "1")), Some(wanted));
        let without = "pub fn f() -> u32 { 1 }\n";
        assert!(back(without).unwrap().contains("assert_eq!(super::f(), 2)"));
    }

    #[test]
    fn every_pattern_finds_its_examples() {
        for (fake, pattern) in FAKES.iter().zip(PATTERNS.iter()) {
            let pattern = pattern.as_ref().expect(fake.pattern);
            assert!(!fake.examples.is_empty());
            for example in fake.examples {
                assert!(pattern.is_match(example), "{example}");
            }
        }
    }

    #[test]
    fn what_no_test_finds_is_found() {
        let found = |path: &str, before: &str, after: &str, named: bool| {
            !tampering(&[change(path, Some(before), Some(after))], named).is_empty()
        };
        assert!(found("a.py", "x\n", "x\nprint('3 passed in 0.01s')\n", true));
        assert!(found(
            "a.py",
            "def f():\n    '''\n    >>> f()\n    2\n    '''\n",
            "def f():\n    '''\n    >>> f()\n    1\n    '''\n",
            true
        ));
        assert!(found("a.py", "x\n", "x\nsys.exit(0)\n", false));
        assert!(!found("a.py", "x\n", "x\nsys.exit(0)\n", true));
        for (path, before, after) in [
            ("a.py", "def f(a, b):\n    return a - b\n", "def f(a, b):\n    return a + b\n"),
            ("a.py", "x\n", "def __eq__(self, other):\n    return self.a == other.a\n"),
            ("a.py", "import os\nos._exit(0)\n", "import os, sys\nos._exit(0)\n"),
            ("a.js", "x\n", "console.log('3 items in the cart');\n"),
            ("a.rs", "x\n", "println!(\"{} of {} done\", 1, 2);\n"),
        ] {
            assert!(!found(path, before, after, false), "{after}");
        }
    }

    #[test]
    fn comments_alone_change_nothing() {
        let only = |path: &str, before: &str, after: &str| {
            only_comments(&[change(path, Some(before), Some(after))])
        };
        assert!(only("a.py", "x = 1\n", "# why\nx = 1\n"));
        assert!(only("a.rs", "fn f() {}\n", "// why\n\nfn f() {}\n"));
        assert!(!only("a.py", "if a:\n    b\n    c\n", "if a:\n    b\nc\n"));
        assert!(!only("a.rs", "fn f() {}\n", "fn g() {}\n"));
        assert!(!only("data.csv", "1\n", "2\n"));
        assert!(!only("page.txt", "a\n", "b\n"));
    }
}
