//! The code a failure is about, read from the commit's tree: the failing tests, what they import,
//! the places that the log names. Of each file the definitions that matter, the rest as
//! signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::source::{
    Definition, Files, Language, definitions, enclosing, imported, is_test, of_path, stem,
    tested_by,
};
use greenloop_model::{Evidence, FileMode, RepoPath};
use greenloop_patch::Tree;

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 1 << 20;

/// Failing tests whose source is shown.
const MOST_TESTS: usize = 3;

/// Files that are read to find a failing test by its name, and their bytes.
const MOST_SEARCHED: usize = 600;
const MOST_SEARCHED_BYTES: usize = 8 << 20;

/// Files that imports are followed into, and how many imports deep.
const MOST_FOLLOWED: usize = 16;
const DEEPEST: u8 = 3;

/// A definition of up to this many lines is shown with its body.
const WHOLE_BODY: usize = 60;

/// Lines shown before and after a place in a longer definition, and outside of any.
const AROUND: usize = 12;

/// A file of up to this many characters is shown as a whole once any of it is.
const SMALL_FILE: usize = 900;

/// Signatures that are shown of one file.
const MOST_SIGNATURES: usize = 16;

/// Files that are shown because the log or the command mentions them.
const MOST_MENTIONED: usize = 6;

/// The rest of a repository of up to this many characters is shown too.
const SMALL_REPOSITORY: usize = 1_500;

/// What a command's program reads. Shown where the command is all that is known.
const READ_BY: &[(&str, &[&str])] = &[
    ("make", &["Makefile", "GNUmakefile", "makefile"]),
    ("docker", &["Dockerfile"]),
    ("buildah", &["Dockerfile", "Containerfile"]),
    ("podman", &["Containerfile", "Dockerfile"]),
    ("docker-compose", &["docker-compose.yml", "compose.yaml"]),
    ("npm", &["package.json"]),
    ("npx", &["package.json"]),
    ("pnpm", &["package.json"]),
    ("yarn", &["package.json"]),
    ("bun", &["package.json"]),
    ("tsc", &["tsconfig.json"]),
    ("cargo", &["Cargo.toml"]),
    ("go", &["go.mod"]),
    ("pip", &["requirements.txt", "pyproject.toml"]),
    ("uv", &["pyproject.toml"]),
    ("poetry", &["pyproject.toml"]),
    ("mvn", &["pom.xml"]),
    ("gradle", &["build.gradle", "build.gradle.kts"]),
    ("cmake", &["CMakeLists.txt"]),
    ("bundle", &["Gemfile"]),
    ("composer", &["composer.json"]),
    ("dotnet", &["Directory.Build.props"]),
    ("terraform", &["main.tf"]),
    ("ansible-playbook", &["playbook.yml"]),
    ("helm", &["Chart.yaml", "values.yaml"]),
];

/// Code to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The file; a line of its own above the text.
    pub(super) title: String,
    /// The lines as they are in the file; `…` stands for lines that are left out.
    pub(super) text: String,
}

/// The code that is shown for a failure.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// File by file, what matters most first.
    pub(super) shown: Vec<Shown>,
    /// The files that have to do with the failure, shown or not.
    pub(super) related: BTreeSet<RepoPath>,
    /// The files that are shown.
    pub(super) paths: BTreeSet<RepoPath>,
}

/// What the author sees: `budget` characters of code.
pub(super) fn relevant(tree: &dyn Tree, evidence: &Evidence, budget: usize) -> Code {
    let mut search = Search::new(tree, evidence);
    search.tests();
    search.named_places();
    search.follow();
    search.mentioned();
    search.rest();
    search.finish(budget)
}

/// What the reviewer sees: the failing tests, and the definitions that hold the `changed` lines
/// (1-based), as they are before the change.
pub(super) fn around_changes(
    tree: &dyn Tree,
    evidence: &Evidence,
    changed: &[(RepoPath, Vec<u64>)],
    budget: usize,
) -> Code {
    let mut search = Search::new(tree, evidence);
    search.tests();
    for (path, lines) in changed {
        for line in lines {
            search.place(path, *line, 1);
        }
    }
    search.finish(budget)
}

/// A file that has been read.
struct Source {
    lines: Vec<String>,
    chars: usize,
    language: Option<&'static Language>,
    definitions: Vec<Definition>,
}

impl Source {
    fn text(&self, first: usize, last: usize) -> String {
        self.lines[first..=last].join("\n")
    }

    fn is_container(&self, definition: &Definition) -> bool {
        definition.lines() > 25 && self.within(definition).next().is_some()
    }

    fn within<'a>(&'a self, outer: &'a Definition) -> impl Iterator<Item = &'a Definition> {
        self.definitions
            .iter()
            .filter(|inner| inner.signature > outer.signature && inner.last <= outer.last)
    }
}

/// Lines of a file that are wanted; what has the lowest rank is fitted first.
struct Wanted {
    rank: u8,
    path: RepoPath,
    first: usize,
    last: usize,
}

struct Search<'a> {
    tree: &'a dyn Tree,
    evidence: &'a Evidence,
    paths: Vec<RepoPath>,
    files: Files,
    read: BTreeMap<RepoPath, Option<Rc<Source>>>,
    wanted: Vec<Wanted>,
    /// In the order in which they came to be of interest.
    visited: Vec<RepoPath>,
    /// What the failing tests and the log name.
    words: BTreeSet<String>,
    /// Where a line that the log names is not quoted by it.
    notes: BTreeMap<RepoPath, Vec<usize>>,
}

#[expect(clippy::expect_used, reason = "constant patterns, which tests compile")]
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z_$][\w$]*").expect("a constant pattern"));

#[expect(clippy::expect_used, reason = "constant patterns, which tests compile")]
static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\w@+~-][\w@+./~-]*").expect("a constant pattern"));

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    WORD.find_iter(text).map(|word| word.as_str().to_owned())
}

impl<'a> Search<'a> {
    fn new(tree: &'a dyn Tree, evidence: &'a Evidence) -> Self {
        let paths = tree.files().unwrap_or_default();
        Self {
            tree,
            evidence,
            files: Files::new(&paths),
            paths,
            read: BTreeMap::new(),
            wanted: Vec::new(),
            visited: Vec::new(),
            words: BTreeSet::new(),
            notes: BTreeMap::new(),
        }
    }

    fn source(&mut self, path: &RepoPath) -> Option<Rc<Source>> {
        if let Some(known) = self.read.get(path) {
            return known.clone();
        }
        let source = read(self.tree, path).map(|text| {
            let language = of_path(path);
            let definitions = language.map_or_else(Vec::new, |l| definitions(&text, l));
            Rc::new(Source {
                lines: text.lines().map(str::to_owned).collect(),
                chars: text.chars().count(),
                language,
                definitions,
            })
        });
        self.read.insert(path.clone(), source.clone());
        source
    }

    fn visit(&mut self, path: &RepoPath) {
        if !self.visited.contains(path) {
            self.visited.push(path.clone());
        }
    }

    fn want(&mut self, path: &RepoPath, first: usize, last: usize, rank: u8) {
        self.visit(path);
        self.wanted.push(Wanted { rank, path: path.clone(), first, last });
    }

    /// A definition with its body; of a class or module that holds others, what stands before
    /// the first of them.
    fn definition(&mut self, path: &RepoPath, source: &Source, at: &Definition, rank: u8) {
        let last = if source.is_container(at) {
            let next = source.within(at).map(|inner| inner.first).min().unwrap_or(at.last + 1);
            next.saturating_sub(1).clamp(at.signature, at.signature + AROUND)
        } else if at.lines() > WHOLE_BODY {
            at.first + WHOLE_BODY - 1
        } else {
            at.last
        };
        self.want(path, at.first, last, rank);
        self.words.extend(words(&source.text(at.signature, last)));
    }

    /// The definition around a line (1-based), or the lines around it.
    fn place(&mut self, path: &RepoPath, line: u64, rank: u8) {
        let Some(source) = self.source(path).filter(|source| !source.lines.is_empty()) else {
            return;
        };
        let end = source.lines.len() - 1;
        let line = (usize::try_from(line).unwrap_or(usize::MAX)).saturating_sub(1).min(end);
        match enclosing(&source.definitions, line) {
            Some(definition) if definition.lines() <= WHOLE_BODY => {
                self.definition(path, &source, definition, rank);
            }
            found => {
                if let Some(definition) = found {
                    self.want(path, definition.first, definition.signature, rank);
                }
                let (first, last) = (line.saturating_sub(AROUND), (line + AROUND).min(end));
                self.want(path, first, last, rank);
                self.words.extend(words(&source.text(first, last)));
            }
        }
    }

    /// The failing tests' own source.
    fn tests(&mut self) {
        let failing: Vec<String> = self.evidence.failing_tests.iter().cloned().collect();
        let mut shown = BTreeSet::new();
        for test in &failing {
            if shown.len() == MOST_TESTS {
                break;
            }
            let Some((path, definition)) = self.test(test) else { continue };
            if shown.insert((path.clone(), definition.signature))
                && let Some(source) = self.source(&path)
            {
                self.definition(&path, &source, &definition, 0);
            }
        }
    }

    /// Where the test of this name is: in a file that its name or the log names, else in one
    /// that looks like a test.
    fn test(&mut self, name: &str) -> Option<(RepoPath, Definition)> {
        let mut candidates: Vec<RepoPath> = Vec::new();
        for part in PATH.find_iter(name) {
            candidates.extend(in_tree(&self.paths, part.as_str()).cloned());
        }
        candidates.extend(places(&self.paths, self.evidence).into_iter().map(|(path, _)| path));
        let named = candidates.len();
        let likely: Vec<RepoPath> = self
            .paths
            .iter()
            .filter(|path| of_path(path).is_some() && is_test(&path.to_string()))
            .cloned()
            .collect();
        // Unit tests stand beside the code: `format::tests::it` is in a file called format.
        let parts: BTreeSet<String> = words(name).collect();
        let beside = self.paths.iter().filter(|path| {
            let path = path.to_string();
            parts.contains(stem(path.rsplit('/').next().unwrap_or_default()))
        });
        candidates.extend(beside.cloned());
        candidates.extend(likely);
        let mut bytes = 0;
        for (nth, path) in candidates.iter().enumerate() {
            if nth >= named.max(MOST_SEARCHED) || bytes > MOST_SEARCHED_BYTES {
                break;
            }
            let Some(source) = self.source(path) else { continue };
            bytes += source.chars;
            let found = source.definitions.iter().find(|d| is_named(name, &d.name));
            if let Some(definition) = found {
                return Some((path.clone(), definition.clone()));
            }
        }
        None
    }

    fn named_places(&mut self) {
        let quoted: String = self.evidence.excerpts.iter().map(|e| e.text.as_str()).collect();
        let failing_test = self.visited.clone();
        for (path, lines) in places(&self.paths, self.evidence).into_iter().take(8) {
            let Some(source) = self.source(&path) else { continue };
            // Of a test that is shown already, its other lines say nothing more.
            let rank = if failing_test.contains(&path) { 2 } else { 1 };
            for line in lines.into_iter().take(4) {
                self.place(&path, line, rank);
                let at = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
                let text = source.lines.get(at).map_or("", |line| line.trim());
                if !text.is_empty() && !quoted.contains(text) {
                    self.notes.entry(path.clone()).or_default().push(at);
                }
            }
        }
        for excerpt in &self.evidence.excerpts {
            self.words.extend(words(&excerpt.text));
        }
    }

    /// Follows imports from the tests and the named places: all of theirs, and from there those
    /// that bring in what is named.
    fn follow(&mut self) {
        let mut next: Vec<(RepoPath, u8)> =
            self.visited.iter().map(|path| (path.clone(), 0)).collect();
        let mut followed: BTreeSet<RepoPath> = BTreeSet::new();
        let mut at = 0;
        while let Some((path, depth)) = next.get(at).cloned() {
            at += 1;
            if followed.len() == MOST_FOLLOWED || !followed.insert(path.clone()) {
                continue;
            }
            let Some(source) = self.source(&path) else { continue };
            let Some(language) = source.language else { continue };
            self.named_in(&path, &source, depth);
            if depth == DEEPEST {
                continue;
            }
            let text = source.lines.join("\n");
            let mut targets: Vec<RepoPath> = Vec::new();
            for import in imported(&path, &text, language, &self.files) {
                let used = import.names.is_empty()
                    || import.names.iter().any(|name| self.words.contains(name));
                let several = import.files.len() > 6;
                for file in import.files {
                    // A whole folder: what is named in it.
                    if used && (!several || self.defines_a_word(&file)) {
                        targets.push(file);
                    }
                }
            }
            if depth == 0 {
                let about = tested_by(&path);
                targets.extend(about.and_then(|s| self.files.with_stem(&s, language, &path)));
                if language.by_name {
                    let names: Vec<String> = self.words.iter().cloned().collect();
                    let named = names.iter().filter(|word| word.starts_with(char::is_uppercase));
                    let files = &self.files;
                    targets.extend(named.filter_map(|n| files.with_stem(n, language, &path)));
                }
            }
            next.extend(targets.into_iter().map(|path| (path, depth + 1)));
        }
    }

    fn defines_a_word(&mut self, path: &RepoPath) -> bool {
        if is_test(&path.to_string()) {
            return false;
        }
        let source = self.source(path);
        source.is_some_and(|s| s.definitions.iter().any(|d| self.words.contains(&d.name)))
    }

    /// The definitions of the file that the tests, the log, or a definition already wanted name.
    fn named_in(&mut self, path: &RepoPath, source: &Rc<Source>, depth: u8) {
        self.visit(path);
        // What the body of one names may stand above it.
        for _ in 0..2 {
            let before = self.wanted.len();
            for definition in &source.definitions {
                let done = |w: &Wanted| w.path == *path && w.first == definition.first;
                if self.words.contains(&definition.name) && !self.wanted.iter().any(done) {
                    self.definition(path, source, definition, 2 + depth);
                }
            }
            if self.wanted.len() == before {
                break;
            }
        }
    }

    /// Files that the log or the command mentions, and what the command's program reads.
    fn mentioned(&mut self) {
        let command = self.evidence.command.clone().unwrap_or_default();
        let nothing_yet = self.visited.is_empty();
        let mut found: Vec<(RepoPath, u8)> = Vec::new();
        let texts = self.evidence.excerpts.iter().map(|excerpt| excerpt.text.as_str());
        let texts = texts.chain(self.evidence.notes.iter().map(String::as_str));
        for (text, rank) in texts.map(|text| (text, 3)).chain([(command.as_str(), 2)]) {
            for part in PATH.find_iter(text) {
                let part = part.as_str().trim_end_matches(['.', '/']);
                if part.len() < 3 {
                    continue;
                }
                if let Some(path) = self.mentioned_file(part) {
                    found.push((path, rank));
                } else if rank == 2 {
                    let inside = format!("{part}/");
                    let files = self.paths.iter().filter(|p| p.to_string().starts_with(&inside));
                    let files: Vec<RepoPath> = files.take(12).cloned().collect();
                    if files.len() < 12 {
                        found.extend(files.into_iter().map(|path| (path, 4)));
                    }
                }
            }
        }
        let programs = command.split_whitespace().filter_map(|word| word.rsplit('/').next());
        for program in programs {
            for (_, names) in READ_BY.iter().filter(|(name, _)| *name == program) {
                let file = names.iter().find_map(|name| {
                    RepoPath::new(*name).ok().filter(|path| self.paths.contains(path))
                });
                found.extend(file.map(|path| (path, if nothing_yet { 2 } else { 6 })));
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|(path, _)| seen.insert(path.clone()) && !self.visited.contains(path));
        for (path, rank) in found.into_iter().take(MOST_MENTIONED) {
            let Some(source) = self.source(&path).filter(|source| !source.lines.is_empty()) else {
                continue;
            };
            let last = (source.lines.len() - 1).min(2 * WHOLE_BODY);
            self.want(&path, 0, last, rank);
        }
    }

    /// The file that a word of a text means: by its path, or by a name that only it has.
    fn mentioned_file(&self, written: &str) -> Option<RepoPath> {
        let is_path = written.contains('/') || written.contains('.');
        let named = self.paths.iter().any(|path| path.to_string() == written);
        if !is_path && !named {
            return None;
        }
        in_tree(&self.paths, written).cloned()
    }

    /// In a small repository, every other text file.
    fn rest(&mut self) {
        if self.paths.len() > 30 {
            return;
        }
        let others: Vec<RepoPath> =
            self.paths.iter().filter(|path| !self.visited.contains(path)).cloned().collect();
        let others: Vec<(RepoPath, Rc<Source>)> = others
            .into_iter()
            .filter_map(|path| Some((path.clone(), self.source(&path)?)))
            .collect();
        if others.iter().map(|(_, source)| source.chars).sum::<usize>() > SMALL_REPOSITORY {
            return;
        }
        for (path, source) in others {
            if !source.lines.is_empty() {
                self.want(&path, 0, source.lines.len() - 1, 7);
            }
        }
    }

    /// Fits what is wanted into the budget, and adds signatures and small files' other lines.
    fn finish(mut self, budget: usize) -> Code {
        for path in self.visited.clone() {
            let Some(source) = self.source(&path) else { continue };
            if is_test(&path.to_string()) && source.chars > SMALL_FILE {
                continue;
            }
            for definition in source.definitions.iter().take(MOST_SIGNATURES) {
                self.want(&path, definition.signature, definition.signature, 5);
            }
        }
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.sort_by_key(|wanted| wanted.rank);
        let mut left = budget;
        let mut chosen: BTreeMap<RepoPath, BTreeSet<usize>> = BTreeMap::new();
        let mut order: Vec<RepoPath> = Vec::new();
        for Wanted { rank, path, first, last } in wanted {
            let Some(source) = self.source(&path) else { continue };
            let lines = chosen.entry(path.clone()).or_default();
            let untouched = lines.is_empty();
            // The only signature of a file that nothing names says little.
            let whole = source.chars <= SMALL_FILE && rank < 8;
            let (first, last) = if whole { (0, source.lines.len() - 1) } else { (first, last) };
            let cost: usize = (first..=last)
                .filter(|line| !lines.contains(line))
                .map(|line| source.lines[line].chars().count() + 1)
                .sum();
            let header = if untouched { path.as_bytes().len() + 8 } else { 0 };
            if cost + header > left {
                continue;
            }
            left -= cost + header;
            lines.extend(first..=last);
            if untouched {
                order.push(path);
            }
        }
        let mut list: Vec<Shown> = Vec::new();
        for path in &order {
            if let (Some(source), Some(lines)) = (self.source(path), chosen.get(path)) {
                list.push(shown(path, &source, lines, self.notes.get(path)));
            }
        }
        list.extend(self.generated());
        Code {
            shown: list,
            related: self.visited.iter().cloned().collect(),
            paths: order.into_iter().collect(),
        }
    }

    /// What the evidence has read itself, of files that are not in the tree.
    fn generated(&self) -> Vec<Shown> {
        let absent =
            self.evidence.code.iter().filter(|code| {
                RepoPath::new(&code.path).is_ok_and(|path| !self.paths.contains(&path))
            });
        absent
            .map(|code| Shown {
                title: format!("{} from line {} (not in git)", code.path, code.first_line),
                text: code.text.clone(),
            })
            .collect()
    }
}

fn shown(
    path: &RepoPath,
    source: &Source,
    lines: &BTreeSet<usize>,
    notes: Option<&Vec<usize>>,
) -> Shown {
    let total = source.lines.len();
    let mut text = String::new();
    let mut next = 0;
    for line in lines {
        match line - next {
            0 => {}
            // As long as the mark would be.
            1 => {
                text.push_str(&source.lines[next]);
                text.push('\n');
            }
            _ => text.push_str("…\n"),
        }
        text.push_str(&source.lines[*line]);
        text.push('\n');
        next = line + 1;
    }
    if next < total {
        text.push_str("…\n");
    }
    let part =
        if lines.len() == total { String::new() } else { format!(", parts of {total} lines") };
    let notes: Vec<String> = notes
        .into_iter()
        .flatten()
        .map(|at| {
            let line: String = source.lines[*at].trim().chars().take(100).collect();
            format!("; line {} is `{line}`", at + 1)
        })
        .collect();
    Shown { title: format!("{path}{part}{}", notes.concat()), text }
}

/// Whether a failing test's name is that of a definition: `a.py::test_b[1]`, `mod::tests::b`,
/// `suite > does it`, `ATest.b`, `TestB/case`.
fn is_named(test: &str, definition: &str) -> bool {
    let test = test.trim();
    let plain = test.split(['[', '(']).next().unwrap_or(test).trim();
    let ends = |text: &str| {
        text.strip_suffix(definition).is_some_and(|before| {
            before.chars().next_back().is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
        })
    };
    // A subtest is named after its test.
    let begins = plain.split(['/', ' ']).any(|part| part == definition);
    definition.len() > 2 && (ends(test) || ends(plain) || (begins && !definition.contains(' ')))
}

/// The files of the tree that the evidence names, with the lines it names in each.
fn places(files: &[RepoPath], evidence: &Evidence) -> Vec<(RepoPath, BTreeSet<u64>)> {
    let mut order: Vec<RepoPath> = Vec::new();
    let mut lines: BTreeMap<RepoPath, BTreeSet<u64>> = BTreeMap::new();
    let of_excerpts = evidence.excerpts.iter().flat_map(|excerpt| &excerpt.locations);
    let named = of_excerpts.chain(evidence.code.iter().map(|code| &code.about));
    for location in named {
        let Some(path) = in_tree(files, &location.file) else { continue };
        if !order.contains(path) {
            order.push(path.clone());
        }
        lines.entry(path.clone()).or_default().insert(location.line);
    }
    order
        .into_iter()
        .map(|path| {
            let lines = lines.remove(&path).unwrap_or_default();
            (path, lines)
        })
        .collect()
}

/// The file that a log means: of that path, else the longest path that its end matches, else the
/// only file whose end it is.
fn in_tree<'a>(files: &'a [RepoPath], written: &str) -> Option<&'a RepoPath> {
    let written = written.trim_start_matches("file://").replace('\\', "/");
    let written = written.trim_start_matches("./").trim_start_matches('/').as_bytes();
    let ends = |long: &[u8], short: &[u8]| {
        long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
    };
    if written.is_empty() {
        return None;
    }
    let within = files.iter().filter(|file| ends(written, file.as_bytes()));
    if let Some(file) = within.max_by_key(|file| file.as_bytes().len()) {
        return Some(file);
    }
    let mut around = files.iter().filter(|file| ends(file.as_bytes(), written));
    around.next().filter(|_| around.next().is_none())
}

fn read(tree: &dyn Tree, path: &RepoPath) -> Option<String> {
    let content = tree.read(path).ok()??;
    let is_file = match content.mode {
        FileMode::Regular | FileMode::Executable => true,
        FileMode::Symlink | FileMode::Submodule => false,
    };
    let readable = is_file && !content.is_binary() && content.bytes.len() <= LONGEST_FILE;
    readable.then(|| String::from_utf8_lossy(&content.bytes).into_owned())
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
