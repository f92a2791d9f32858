//! What a patch may do: rules over the files before and after, never over a diff's text.
//!
//! Lives here: the rules as data, their evaluation, and the one way to a [`ClearedPatch`].
//! Must not be here: the file system, git, any network: [`Policy::evaluate`] is a pure function
//! of the changes.
//!
//! Invariants:
//! - Decisions are ordered and the strictest wins; every match is reported.
//! - A rule that looks for text looks at lines that are new in the resulting file.
//! - Work is linear in the size of the changes (alignment adds a logarithm). Files above the
//!   configured size are forbidden and not read.

mod canon;
mod clearance;
mod cloud_rights;
mod commands;
mod destructive;
mod file_kind;
mod gate_files;
mod harmless;
mod hidden_lines;
mod hidden_text;
mod lines;
mod meaning;
mod objects;
mod own_rules;
mod pages;
mod protected;
mod protected_path;
mod rules;
mod secrets;
mod shadows;
mod shapes;
mod shell;
mod special_case;
mod spelled;
mod subject;
mod suspicious;
mod syntax;
mod test_changes;
mod test_headers;
mod test_reach;
mod test_repairs;
mod tests_lost;
mod weakening;
mod words;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use greenloop_config::plan::{PolicyPlan, RulePosition};
use greenloop_model::{Decision, Evaluation, FileChange, FileMode, RepoPath, RuleMatch, counted};

pub use clearance::{CONFIRMATION_LASTS, ClearedPatch, Confirmation, NotCleared, Scope, clear};
pub use file_kind::{FileKind, file_kind};
pub use gate_files::GateFiles;
pub use rules::{Example, RuleDoc};
pub use subject::{Subject, failure_text};

use lines::Alignment;
use own_rules::OwnRule;
use protected_path::ProtectedPath;
use shapes::{Changed, Shape};
use syntax::{SourceFile, Syntax};
use weakening::Weakening;

/// How many files the facts name.
const FACTS_FILES: usize = 60;
/// How many matches of one rule are reported for one file.
const MATCHES_PER_FILE: usize = 50;

/// Whether every patch would match as this one did: another one needs a person as well.
pub fn is_about_every_patch(evaluation: &Evaluation) -> bool {
    evaluation.matches().iter().any(|found| found.rule == rules::REQUIRE_APPROVAL)
}

/// A configuration the policy cannot be made from.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A pattern of `never_delete` that is none.
    #[error("{pattern:?} is not a valid pattern for safety.never_delete")]
    Pattern {
        /// The pattern as configured.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<ignore::Error>,
    },
    /// A phrase of `require_confirmation` without a word.
    #[error("an empty phrase in safety.require_confirmation")]
    EmptyWord,
    /// A rule of `safety.rules` that cannot be used, or that its examples contradict.
    #[error("safety.rules, {position}: rule `{rule}`: {problem}")]
    Rule {
        /// Where it stands in the configuration.
        position: RulePosition,
        rule: String,
        problem: String,
    },
    /// The phrases or built-in patterns cannot be compiled.
    #[error("the policy's patterns cannot be compiled")]
    Words {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The rules, ready to judge.
#[derive(Debug)]
pub struct Policy {
    plan: PolicyPlan,
    protected: protected::Protected,
    words: words::Words,
    weakenings: weakening::Weakenings,
    tests: tests_lost::TestPatterns,
    own: Vec<OwnRule>,
}

/// What the policy says of changes.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The decision, with every rule that matched.
    pub evaluation: Evaluation,
    /// Short neutral facts for the reviewer: what changes where, and which rules matched.
    pub facts: String,
}

impl Policy {
    /// Compiles the configured patterns.
    ///
    /// # Errors
    /// When a pattern or phrase of `plan` is none.
    pub fn new(plan: &PolicyPlan) -> Result<Self, PolicyError> {
        Ok(Self {
            protected: protected::Protected::new(&plan.never_delete)?,
            words: words::Words::new(&plan.require_confirmation)?,
            weakenings: weakening::Weakenings::new(),
            tests: tests_lost::TestPatterns::new(),
            own: own_rules::compile(&plan.rules)?,
            plan: plan.clone(),
        })
    }

    /// Every rule, the strictest first.
    pub fn rules() -> &'static [RuleDoc] {
        rules::table()
    }

    /// The rule with this id.
    pub fn explain(rule: &str) -> Option<&'static RuleDoc> {
        rules::table().iter().find(|doc| doc.id == rule)
    }

    /// The rule with this id, also one of the configuration.
    pub fn rule(&self, id: &str) -> Option<&RuleDoc> {
        self.own.iter().map(|rule| &rule.doc).find(|doc| doc.id == id).or_else(|| Self::explain(id))
    }

    /// The rules of the configuration.
    pub fn own_rules(&self) -> impl Iterator<Item = &RuleDoc> {
        self.own.iter().map(|rule| &rule.doc)
    }

    /// A digest of all that decides: the rules and their configuration. Sixty-four hex digits.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(rules::TABLE);
        digest.update(file_kind::TABLE);
        digest.update(format!("{:?}", self.plan));
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Judges the changes by themselves: no tree to look into, no failure that they repair.
    pub fn evaluate(&self, changes: &[FileChange]) -> Evaluation {
        self.evaluate_for(changes, &Subject::default())
    }

    /// Judges the changes as a repair of what `subject` says, in its tree.
    pub fn evaluate_for(&self, changes: &[FileChange], subject: &Subject<'_>) -> Evaluation {
        self.judge(changes, subject).evaluation
    }

    /// The same, with facts for the reviewer.
    pub fn judge(&self, changes: &[FileChange], subject: &Subject<'_>) -> Judgement {
        let mut found = Findings::default();
        if self.plan.confirm_every_patch {
            found.patch(
                rules::REQUIRE_APPROVAL,
                "this environment requires confirmation of every \
                patch",
            );
        }
        if changes.len() > self.plan.max_files {
            let detail = format!(
                "{}; the maximum is {}",
                counted(changes.len(), "file", "files"),
                self.plan.max_files
            );
            found.patch(rules::MAX_FILES, detail);
        }
        let judged: Vec<Judged<'_>> =
            changes.iter().map(|change| Judged::new(change, &subject.gates)).collect();
        let changed: usize = judged.iter().map(|j| j.lines.added() + j.lines.removed()).sum();
        if changed > self.plan.max_changed_lines {
            let detail = format!(
                "{changed} lines added and removed; the maximum is {}",
                self.plan.max_changed_lines
            );
            found.patch(rules::MAX_CHANGED_LINES, detail);
        }
        let product = judged.iter().any(Judged::changes_product);
        for judged in &judged {
            self.judge_paths(judged.change, &mut found);
            self.judge_entry(judged.change, &mut found);
            judge_kind(judged, changes, subject, product, &mut found);
            self.judge_text(judged, subject, &mut found);
            self.judge_own(judged, &mut found);
        }
        self.judge_tests(&judged, product, subject, &mut found);
        let evaluation = Evaluation::new(found.matches);
        let facts = facts(&judged, &evaluation);
        Judgement { evaluation, facts }
    }

    fn judge_own(&self, judged: &Judged<'_>, found: &mut Findings) {
        for rule in &self.own {
            for hit in rule.matches(judged).into_iter().take(MATCHES_PER_FILE) {
                let path = Some(judged.change.path.clone());
                found.decided(&rule.doc.id, rule.doc.decision, path, hit.line, hit.detail);
            }
        }
    }

    /// What happens to tests that are there.
    fn judge_tests(
        &self,
        judged: &[Judged<'_>],
        product: bool,
        subject: &Subject<'_>,
        found: &mut Findings,
    ) {
        let readable: Vec<test_changes::Candidate<'_>> = judged
            .iter()
            .filter(|judged| self.is_readable(judged.change))
            .map(|judged| test_changes::Candidate {
                change: judged.change,
                kind: judged.kind,
                lines: &judged.lines,
            })
            .collect();
        let changed = test_changes::find(&readable, product, &|change| {
            test_repairs::is_repair(change, subject)
        });
        let changes: Vec<&FileChange> = judged.iter().map(|judged| judged.change).collect();
        for lost in self.tests.find(&changes, self.plan.max_file_bytes) {
            // A test whose lines are all still there was renamed, or split.
            if lost.whole || changed.iter().any(|change| change.path == lost.path) {
                found.line(rules::REMOVED_TEST, &lost.path, lost.line, lost.detail);
            }
        }
        for change in changed.into_iter().take(MATCHES_PER_FILE) {
            found.line(rules::CHANGED_TEST, &change.path, change.line, change.detail);
        }
    }

    fn is_readable(&self, change: &FileChange) -> bool {
        [&change.before, &change.after]
            .into_iter()
            .flatten()
            .all(|file| file.bytes.len() <= self.plan.max_file_bytes && !file.is_binary())
    }

    fn judge_paths(&self, change: &FileChange, found: &mut Findings) {
        if let Some(detail) = self.protected.broken(change) {
            found.line(rules::NEVER_DELETE, &change.path, None, detail);
        }
        let mut paths = vec![&change.path];
        paths.extend(change.moved_from.as_ref().filter(|from| **from != change.path));
        for path in paths {
            let Some(place) = protected_path::protected_path(path, self.plan.config_path.as_ref())
            else {
                continue;
            };
            let (rule, detail) = match place {
                ProtectedPath::GitInternals => (rules::GIT_INTERNALS, "is inside git's own folder"),
                ProtectedPath::Submodules => (rules::SUBMODULE, "configures git's submodules"),
                ProtectedPath::OwnConfig => (rules::OWN_CONFIG, "is Greenloop's own configuration"),
                ProtectedPath::DefaultConfig => {
                    if is_another_programs(change) {
                        continue;
                    }
                    let what = "is where Greenloop looks for its configuration";
                    (rules::OWN_CONFIG, what)
                }
                ProtectedPath::OwnRecords => {
                    (rules::OWN_RECORDS, "contains Greenloop's records of its runs")
                }
            };
            found.line(rule, path, None, format!("{path} {detail}"));
        }
    }

    fn judge_entry(&self, change: &FileChange, found: &mut Findings) {
        let path = &change.path;
        let old = change.before.as_ref().map(|file| file.mode);
        let touches =
            |mode| old == Some(mode) || change.after.as_ref().is_some_and(|f| f.mode == mode);
        if touches(FileMode::Symlink) {
            found.line(rules::SYMLINK, path, None, format!("{path} is a symbolic link"));
        }
        if touches(FileMode::Submodule) {
            found.line(rules::SUBMODULE, path, None, format!("{path} is a submodule"));
        }
        let Some(after) = &change.after else { return };
        if after.bytes.len() > self.plan.max_file_bytes {
            let detail = format!(
                "{path} has {} bytes; the maximum is {}",
                after.bytes.len(),
                self.plan.max_file_bytes
            );
            found.line(rules::MAX_FILE_BYTES, path, None, detail);
        }
        match (old, after.mode) {
            (Some(FileMode::Regular), FileMode::Executable) => {
                found.line(rules::FILE_MODE, path, None, format!("{path} becomes executable"));
            }
            (Some(FileMode::Executable), FileMode::Regular) => {
                let detail = format!("{path} is no longer executable");
                found.line(rules::FILE_MODE, path, None, detail);
            }
            (None, FileMode::Executable) if !after.bytes.starts_with(b"#!") => {
                let detail = format!("{path} is a new executable that is not a script");
                found.line(rules::FILE_MODE, path, None, detail);
            }
            (
                None
                | Some(
                    FileMode::Regular
                    | FileMode::Executable
                    | FileMode::Symlink
                    | FileMode::Submodule,
                ),
                FileMode::Regular | FileMode::Executable | FileMode::Symlink | FileMode::Submodule,
            ) => {}
        }
        let same = change.before.as_ref().is_some_and(|before| before.bytes == after.bytes);
        if after.is_binary() && !same {
            found.line(rules::BINARY_FILE, path, None, format!("{path} is a binary file"));
        }
    }

    fn judge_text(&self, judged: &Judged<'_>, subject: &Subject<'_>, found: &mut Findings) {
        let Judged { change, lines, kind, .. } = judged;
        let Some(after) = &change.after else { return };
        if after.is_binary() || after.bytes.len() > self.plan.max_file_bytes {
            return;
        }
        let path = &change.path;
        let before = change.before.as_ref().map_or(&[][..], |file| &file.bytes);
        let file = SourceFile::new(path, &after.bytes);
        let looks_at = |rule: &&RuleDoc| judged.kinds().any(|kind| rule.looks_at(&file, kind));
        for rule in rules::table().iter().filter(looks_at) {
            for hit in rule.matches(before, &after.bytes, lines).into_iter().take(MATCHES_PER_FILE)
            {
                let verb = if hit.gone { "takes away" } else { "adds" };
                let detail = format!("{verb} `{}`", hit.text);
                found.line(&rule.id, path, Some(hit.line), detail);
            }
        }
        let prose = matches!(kind, FileKind::Docs);
        for hidden in
            hidden_text::find(&file, &after.bytes, lines, prose).into_iter().take(MATCHES_PER_FILE)
        {
            found.line(rules::HIDDEN_TEXT, path, Some(hidden.line), hidden.what.to_owned());
        }
        if matches!(kind, FileKind::Product) {
            for hit in suspicious::unreachable(&file, &after.bytes, lines) {
                found.line(rules::UNREACHABLE_CODE, path, Some(hit.line), hit.detail);
            }
            for hit in suspicious::test_answers(before, &after.bytes, lines, subject) {
                found.line(rules::TEST_ANSWER, path, Some(hit.line), hit.detail);
            }
            let reached = test_reach::find(&file, before, &after.bytes, lines, subject);
            for (rule, hit) in reached.into_iter().take(MATCHES_PER_FILE) {
                found.line(rule, path, Some(hit.line), hit.detail);
            }
        }
        let kinds: Vec<FileKind> = judged.kinds().collect();
        let (was, is) = (String::from_utf8_lossy(before), String::from_utf8_lossy(&after.bytes));
        let meant = meaning::compare(&file, &kinds, &was, &is);
        for finding in meant.into_iter().take(MATCHES_PER_FILE) {
            found.line(finding.rule, path, finding.line, finding.detail);
        }
        for (rule, hit) in hidden_and_granted(&file, *kind, before, &after.bytes, lines) {
            found.line(rule, path, Some(hit.line), hit.detail);
        }
        for secret in secrets::find(*kind, before, &after.bytes, lines) {
            found.line(
                rules::SECRET,
                path,
                Some(secret.line),
                format!("looks like {}", secret.what),
            );
        }
        let words = self.words.find(&after.bytes, lines, file.syntax == Syntax::Sql);
        let text = String::from_utf8_lossy(&after.bytes);
        let harmless = |word: &words::MatchedWord| {
            harmless::is_harmless(&file, &text, word.line, self.words.text(word))
        };
        for word in words.iter().filter(|word| !harmless(word)).take(MATCHES_PER_FILE) {
            let detail = format!("adds {:?}", self.words.text(word));
            found.line(rules::REQUIRE_CONFIRMATION, path, Some(word.line), detail);
        }
        let commands = commands::find(&file, &text, lines);
        for command in commands.into_iter().take(MATCHES_PER_FILE) {
            let detail = format!("`{}` {}", command.command, command.what);
            found.line(rules::DESTRUCTIVE_COMMAND, path, Some(command.line), detail);
        }
        let weakened = self.weakenings.find(&file, before, &after.bytes, lines);
        // What a linter thinks of a test decides nothing about the product.
        let counts = |weakening| weakening != Weakening::Lint || *kind != FileKind::Test;
        let tidies = |line: usize| text.lines().nth(line).is_some_and(shapes::is_housekeeping);
        let weakened = weakened.into_iter().filter(|weakened| {
            counts(weakened.weakening)
                && !(weakened.weakening == Weakening::Gate
                    && !weakened.gone
                    && file.syntax == Syntax::Shell
                    && tidies(weakened.line))
        });
        for weakened in weakened.take(MATCHES_PER_FILE) {
            let rule = match weakened.weakening {
                Weakening::Skip => rules::SKIPPED_TEST,
                Weakening::Gate => rules::WEAKENED_GATE,
                Weakening::Lint => rules::DISABLED_LINT,
            };
            let verb = if weakened.gone { "takes away" } else { "adds" };
            let detail = format!("{verb} {}: `{}`", weakened.what, weakened.text);
            found.line(rule, path, Some(weakened.line), detail);
        }
    }
}

/// Words that are hidden in the parts of a text, scripts of a page, rights in a cloud.
fn hidden_and_granted(
    file: &SourceFile,
    kind: FileKind,
    before: &[u8],
    after: &[u8],
    lines: &Alignment,
) -> Vec<(&'static str, suspicious::Hit)> {
    let mut found = Vec::new();
    if file.syntax != Syntax::Prose && kind != FileKind::Docs {
        for (line, text) in lines::split(after).into_iter().enumerate() {
            if !lines.is_added(line) {
                continue;
            }
            if let Some(word) = spelled::hidden_word(&String::from_utf8_lossy(text)) {
                let detail = format!("puts `{word}` together out of parts");
                found.push((rules::HIDDEN_PROGRAM, suspicious::Hit { line, detail }));
            }
        }
    }
    let pages = pages::find(file, before, after, lines);
    found.extend(pages.into_iter().map(|hit| (rules::PAGE_SCRIPT, hit)));
    let (was, is) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let first = lines.hunks().first().map_or(0, |hunk| hunk.after.start);
    found.extend(
        cloud_rights::find(file, &was, &is)
            .into_iter()
            .map(|detail| (rules::CLOUD_RIGHTS, suspicious::Hit { line: first, detail })),
    );
    found.truncate(MATCHES_PER_FILE);
    found
}

/// A change with what is found out about it once.
struct Judged<'a> {
    change: &'a FileChange,
    file: SourceFile,
    kind: FileKind,
    /// What the file was before it moved here.
    moved_from: Option<FileKind>,
    /// What product code becomes by its new content: a script, an object of a cluster.
    becomes: Option<FileKind>,
    lines: Alignment,
}

impl<'a> Judged<'a> {
    fn new(change: &'a FileChange, gates: &GateFiles) -> Self {
        // What a file is for is what it was for: a change does not take it out of its kind.
        let content = change.before.as_ref().or(change.after.as_ref());
        let bytes = content.map_or(&[][..], |file| &file.bytes);
        let moved_from = change
            .moved_from
            .as_ref()
            .filter(|from| **from != change.path)
            .map(|from| file_kind(from, bytes, gates));
        let kind = file_kind(&change.path, bytes, gates);
        let becomes = change
            .after
            .as_ref()
            .filter(|_| kind == FileKind::Product)
            .map(|after| file_kind(&change.path, &after.bytes, gates))
            .filter(|becomes| *becomes != kind);
        let file = SourceFile::new(&change.path, bytes);
        Self { change, file, kind, moved_from, becomes, lines: align(change) }
    }
}

impl Judged<'_> {
    /// All kinds that it is, was or becomes.
    fn kinds(&self) -> impl Iterator<Item = FileKind> {
        [Some(self.kind), self.moved_from, self.becomes].into_iter().flatten()
    }

    /// Whether it changes what the product does: more than comments of its code.
    fn changes_product(&self) -> bool {
        let Some(after) = self.change.after.as_ref().filter(|_| self.kind == FileKind::Product)
        else {
            return false;
        };
        let texts = |bytes: &[u8]| -> Vec<String> {
            lines::split(bytes)
                .into_iter()
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect()
        };
        let before = texts(self.change.before.as_ref().map_or(&[][..], |file| &file.bytes));
        let after = texts(&after.bytes);
        // Tests within the file are no product.
        let tests = |lines: &[String]| {
            if self.file.has_extension(&["rs"]) {
                test_changes::inline_tests(lines)
            } else {
                vec![false; lines.len()]
            }
        };
        let (tests_before, tests_after) = (tests(&before), tests(&after));
        let says = |lines: &[String], tests: &[bool], mut range: std::ops::Range<usize>| {
            range.any(|i| !tests[i] && !shapes::is_comment(&lines[i], &self.file))
        };
        self.lines.hunks().into_iter().any(|hunk| {
            says(&before, &tests_before, hunk.before) || says(&after, &tests_after, hunk.after)
        })
    }
}

/// Short neutral facts for the reviewer: what changes where, and which rules matched.
fn facts(judged: &[Judged<'_>], evaluation: &Evaluation) -> String {
    let mut facts = String::new();
    let added: usize = judged.iter().map(|judged| judged.lines.added()).sum();
    let removed: usize = judged.iter().map(|judged| judged.lines.removed()).sum();
    // Writing to a String cannot fail.
    let _ = writeln!(
        facts,
        "{}, {} added, {removed} removed.",
        counted(judged.len(), "file", "files"),
        counted(added, "line", "lines")
    );
    for Judged { change, lines, .. } in judged.iter().take(FACTS_FILES) {
        let what = match (&change.before, &change.after, &change.moved_from) {
            (None, _, _) => "new".to_owned(),
            (Some(_), None, _) => "deleted".to_owned(),
            (Some(_), Some(_), Some(from)) if *from != change.path => {
                format!("moved from {from}")
            }
            (Some(_), Some(_), _) => "changed".to_owned(),
        };
        let (added, removed) = (lines.added(), lines.removed());
        let _ = writeln!(facts, "- {}: {what}, +{added} -{removed}", change.path);
    }
    if judged.len() > FACTS_FILES {
        let _ = writeln!(facts, "- and {} more", judged.len() - FACTS_FILES);
    }
    if evaluation.matches().is_empty() {
        facts.push_str("No rule of the policy matched.\n");
    } else {
        let _ = writeln!(facts, "The policy says: {}.", evaluation.decision().name());
        for found in evaluation.matches().iter().take(FACTS_FILES) {
            let place = match (&found.path, found.line) {
                (Some(path), Some(line)) => format!(" at {path}:{line}"),
                (Some(path), None) => format!(" at {path}"),
                (None, _) => String::new(),
            };
            let _ = writeln!(
                facts,
                "- {} ({}){place}: {}",
                found.rule,
                found.decision.name(),
                found.detail
            );
        }
    }
    facts
}

/// Rules about all files of a kind.
fn judge_kind(
    judged: &Judged<'_>,
    patch: &[FileChange],
    subject: &Subject<'_>,
    product: bool,
    found: &mut Findings,
) {
    let Judged { change, file, moved_from, lines, .. } = judged;
    let changed = Changed::new(change, file, lines, patch);
    for rule in rules::table() {
        let Some(shapes) = &rule.unless else { continue };
        let Some(kind) = judged.kinds().find(|kind| rule.kinds.contains(kind)) else {
            continue;
        };
        let harmless = shapes.iter().any(|shape| match (&changed, shape) {
            (_, Shape::NewFile) => change.before.is_none(),
            (_, Shape::ReadOnlyQuery) => shapes::only_reads(change),
            (None, Shape::LockFollowsManifest) => shapes::begins_lockfile(change, file, subject),
            (_, Shape::BesideProduct) => product && changed.is_some(),
            (Some(changed), shape) => shape.covers(changed, subject),
            (None, _) => false,
        });
        if !harmless {
            let what = match (&change.before, &change.after) {
                (None, _) => "is new",
                (_, None) => "is deleted",
                (Some(_), Some(_)) => "is changed",
            };
            let detail = format!("{} {what}: {}", change.path, kind.reason());
            found.line(&rule.id, &change.path, None, detail);
        }
    }
    if let Some(what) = shadows::find(change, subject) {
        found.line(rules::SHADOWS_GATE, &change.path, None, what);
    }
    let name = change.path.to_string_lossy();
    if change.before.is_none() || moved_from.is_some() {
        if let Some(what) = hidden_text::hides_in_name(&name) {
            found.line(rules::HIDDEN_TEXT, &change.path, None, format!("its name has {what}"));
        }
        if let Some(other) = subject.collides(&change.path) {
            let detail = format!("some systems take its name for that of {other}");
            found.line(rules::HIDDEN_TEXT, &change.path, None, detail);
        }
    }
}

/// Lines of binary files are not counted.
fn align(change: &FileChange) -> Alignment {
    let text = |file: &Option<greenloop_model::FileContent>| {
        file.as_ref().filter(|file| !file.is_binary()).map(|file| file.bytes.clone())
    };
    let (before, after) = (text(&change.before), text(&change.after));
    Alignment::new(before.as_deref(), after.as_deref())
}

#[derive(Default)]
struct Findings {
    matches: Vec<RuleMatch>,
}

impl Findings {
    /// A match of the patch as a whole.
    fn patch(&mut self, rule: &str, detail: impl Into<String>) {
        self.push(rule, None, None, detail.into());
    }

    /// A match in a file; `line` is 0-based.
    fn line(&mut self, rule: &str, path: &RepoPath, line: Option<usize>, detail: String) {
        self.push(rule, Some(path.clone()), line, detail);
    }

    fn push(&mut self, rule: &str, path: Option<RepoPath>, line: Option<usize>, detail: String) {
        // An unknown rule is as strict as can be; the tests see to it that there is none.
        let decision = Policy::explain(rule).map_or(Decision::Forbid, |doc| doc.decision);
        self.decided(rule, decision, path, line, detail);
    }

    fn decided(
        &mut self,
        rule: &str,
        decision: Decision,
        path: Option<RepoPath>,
        line: Option<usize>,
        detail: String,
    ) {
        let line = line.and_then(|line| u64::try_from(line).ok()).map(|line| line + 1);
        let found = RuleMatch { rule: rule.to_owned(), decision, path, line, detail };
        if !self.matches.contains(&found) {
            self.matches.push(found);
        }
    }
}

/// Whether a file at the name of Greenloop's configuration was another program's before the
/// change and is so afterwards. One that the change puts there is nobody's yet.
fn is_another_programs(change: &FileChange) -> bool {
    let own = |file: &greenloop_model::FileContent| {
        greenloop_config::is_meant_for_greenloop(&String::from_utf8_lossy(&file.bytes))
    };
    let moved = change.moved_from.as_ref().is_some_and(|from| *from != change.path);
    !moved
        && change.before.as_ref().is_some_and(|before| !own(before))
        && !change.after.as_ref().is_some_and(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::FileContent;

    fn plan() -> PolicyPlan {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        PolicyPlan {
            never_delete: texts(&["*.sql", "migrations/", "k8s/secrets.yaml"]),
            require_confirmation: texts(&[
                "DROP",
                "DELETE FROM",
                "rm -rf",
                "kubectl delete namespace",
            ]),
            max_files: 3,
            max_changed_lines: 40,
            max_file_bytes: 2_000,
            config_path: Some(RepoPath::new("config.yaml").expect("a path")),
            confirm_every_patch: false,
            rules: Vec::new(),
        }
    }

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        FileChange {
            path: RepoPath::new(path).expect("a path"),
            moved_from: None,
            before: before.map(FileContent::regular),
            after: after.map(FileContent::regular),
        }
    }

    fn rules_of(changes: &[FileChange]) -> Vec<String> {
        let policy = Policy::new(&plan()).expect("a valid plan");
        policy.evaluate(changes).matches().iter().map(|m| m.rule.clone()).collect()
    }

    #[test]
    fn every_rule_holds_its_examples() {
        let policy = Policy::new(&plan()).expect("a valid plan");
        for doc in Policy::rules() {
            for example in &doc.examples {
                let change = example.change().expect("a change");
                let files = example
                    .beside
                    .iter()
                    .chain(example.before.iter().map(|before| (&example.path, before)));
                let tree: greenloop_patch::MemoryTree = files
                    .map(|(path, text)| {
                        let path = RepoPath::new(path).expect("a path");
                        (path, FileContent::regular(text.as_bytes()))
                    })
                    .collect();
                let subject = Subject::of_tree(&tree, []);
                let subject = match &example.failure {
                    Some(failure) => subject.repairing(failure),
                    None => subject,
                };
                let evaluation = policy.evaluate_for(&[change], &subject);
                let matched: Vec<_> = evaluation.matches().iter().map(|m| &m.rule).collect();
                assert_eq!(
                    matched.iter().any(|rule| **rule == doc.id),
                    example.matches,
                    "{}: {example:?}: {matched:?}",
                    doc.id
                );
            }
        }
    }

    #[test]
    fn ids_are_unique_and_explained() {
        for (index, doc) in Policy::rules().iter().enumerate() {
            assert_eq!(Policy::explain(&doc.id).map(|found| &found.id), Some(&doc.id));
            assert!(Policy::rules()[..index].iter().all(|other| other.id != doc.id));
            assert_ne!(doc.decision, Decision::Allow);
        }
        assert!(Policy::explain("no_such_rule").is_none());
    }

    #[test]
    fn an_ordinary_fix_is_allowed() {
        for changes in [
            vec![change(
                "src/main.rs",
                Some("fn main() {\n    let x: u32 = \"1\";\n    drop(x);\n}\n"),
                Some("fn main() {\n    let x: u32 = 1;\n    drop(x);\n    drop(guard);\n}\n"),
            )],
            vec![change(
                "app.py",
                Some("def add(a, b):\n    return a - b\n"),
                Some("def add(a, b):\n    # the list is not deleted from here\n    return a + b\n"),
            )],
            vec![
                change("src/lib.ts", Some("export const a = 1\n"), Some("export const a = 2\n")),
                change("src/new.ts", None, Some("export const dropdown = 'drop it'\n")),
                change("lib.test.ts", None, Some("it('adds', () => expect(a).toBe(2))\n")),
            ],
            vec![change("config/app.yaml", Some("port: 80\n"), Some("port: 8080\n"))],
            vec![change("src/old.rs", Some("fn old() {}\n"), None)],
        ] {
            let policy = Policy::new(&plan()).expect("a valid plan");
            let evaluation = policy.evaluate(&changes);
            assert_eq!(evaluation.decision(), Decision::Allow, "{:?}", evaluation.matches());
        }
    }

    #[test]
    fn a_configuration_that_greenloop_would_read_is_forbidden() {
        const OWN: &str = "environments: { local: { url: 'http://127.0.0.1:8087' } }\n\
                           deploy: { method: process, process: { command: ./x } }\n";
        let plan = PolicyPlan { config_path: None, ..plan() };
        let policy = Policy::new(&plan).expect("a valid plan");
        let rules = |change: FileChange| -> Vec<String> {
            policy.evaluate(&[change]).matches().iter().map(|m| m.rule.clone()).collect()
        };
        let foreign = "database: { port: 5432 }\n";
        for (before, after) in [
            (None, Some(OWN)),
            (None, Some("agents: {}\n")),
            (Some(foreign), Some(OWN)),
            (Some(OWN), Some(foreign)),
            (Some(OWN), None),
        ] {
            assert_eq!(rules(change("config.yaml", before, after)), ["own_config"], "{after:?}");
        }
        let moved = FileChange {
            moved_from: Some(RepoPath::new("app.yaml").expect("a path")),
            ..change("config.yaml", Some(foreign), Some(foreign))
        };
        assert_eq!(rules(moved), ["own_config"]);
        // Another program's file is code like any other.
        let repaired = "database: { port: 5433 }\n";
        assert!(rules(change("config.yaml", Some(foreign), Some(repaired))).is_empty());
    }

    #[test]
    fn caps_forbid() {
        let four: Vec<_> = ["a", "b", "c", "d"].map(|p| change(p, None, Some("x\n"))).into();
        assert_eq!(rules_of(&four), ["max_files"]);
        let long = "x\n".repeat(41);
        assert_eq!(rules_of(&[change("a", None, Some(&long))]), ["max_changed_lines"]);
        assert_eq!(rules_of(&[change("a", Some(&long), None)]), ["max_changed_lines"]);
        let wide = "x".repeat(2_001);
        assert_eq!(rules_of(&[change("a", None, Some(&wide))]), ["max_file_bytes"]);
        assert_eq!(rules_of(&four[..3]), Vec::<String>::new());
    }

    #[test]
    fn all_matches_are_reported_and_the_strictest_wins() {
        let policy = Policy::new(&plan()).expect("a valid plan");
        let changes = [
            change(".github/x.sh", None, Some("a\nrm -rf /srv\nDROP TABLE x;\n")),
            change("migrations/1.sql", Some("CREATE TABLE x;"), None),
        ];
        let Judgement { evaluation, facts } = policy.judge(&changes, &Subject::default());
        let found: Vec<_> =
            evaluation.matches().iter().map(|m| (m.rule.as_str(), m.line)).collect();
        for expect in [
            ("ci_files", None),
            ("require_confirmation", Some(2)),
            ("require_confirmation", Some(3)),
            ("destructive_command", Some(2)),
            ("never_delete", None),
        ] {
            assert!(found.contains(&expect), "{expect:?} in {found:?}");
        }
        assert_eq!(evaluation.decision(), Decision::Forbid);
        assert!(facts.contains("2 files, 3 lines added, 1 removed."), "{facts}");
        assert!(facts.contains("never_delete (forbid) at migrations/1.sql"), "{facts}");
    }

    #[test]
    fn approval_is_asked_for_every_patch_when_configured() {
        let policy = Policy::new(&PolicyPlan { confirm_every_patch: true, ..plan() });
        let evaluation = policy.expect("valid").evaluate(&[change("a", None, Some("x\n"))]);
        assert_eq!(evaluation.decision(), Decision::NeedsHuman);
    }

    #[test]
    fn moving_out_of_a_guarded_place_counts() {
        let mut moved = change("kept/ci.yml", Some("a: 1\n"), Some("a: 1\n"));
        moved.moved_from = Some(RepoPath::new(".github/ci.yml").expect("a path"));
        assert_eq!(rules_of(&[moved]), ["ci_files"]);
    }

    #[test]
    fn bad_configuration_is_an_error() {
        let bad = PolicyPlan { require_confirmation: vec!["  ".to_owned()], ..plan() };
        assert!(matches!(Policy::new(&bad), Err(PolicyError::EmptyWord)));
        let bad = PolicyPlan { never_delete: vec!["a/[".to_owned()], ..plan() };
        assert!(matches!(Policy::new(&bad), Err(PolicyError::Pattern { .. })));
    }

    #[test]
    fn the_right_fixes_of_the_public_corpus_are_allowed() {
        let root = std::env::var_os("GREENLOOP_CORPORA").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
            Into::into,
        );
        let policy =
            Policy::new(&PolicyPlan { max_changed_lines: 400, max_file_bytes: 1 << 20, ..plan() })
                .expect("a valid plan");
        let (mut cases, mut stopped) = (0, Vec::new());
        for (file, extension) in [("python", "py"), ("rust", "rs"), ("js", "js")] {
            let path = root.join("repair").join(file).with_extension("jsonl");
            let Ok(text) = std::fs::read_to_string(&path) else {
                println!("skipped: no corpus at {} (set GREENLOOP_CORPORA)", path.display());
                continue;
            };
            for line in text.lines() {
                let case: serde_json::Value = serde_json::from_str(line).expect("a case");
                let get = |key: &str| case[key].as_str().unwrap_or_default();
                let with = |body: &str| format!("{}{body}\n{}", get("declaration"), get("test"));
                let before = with(get("buggy_solution"));
                let after = with(get("canonical_solution"));
                let path = format!("src/case.{extension}");
                let evaluation = policy.evaluate(&[change(&path, Some(&before), Some(&after))]);
                cases += 1;
                if evaluation.decision() != Decision::Allow {
                    stopped.push((get("task_id").to_owned(), evaluation.matches().to_vec()));
                }
            }
        }
        println!("{} of {cases} right fixes stopped", stopped.len());
        assert!(stopped.is_empty(), "{stopped:#?}");
    }

    #[test]
    fn a_large_change_is_judged() {
        let policy = Policy::new(&PolicyPlan {
            max_changed_lines: 200_000,
            max_file_bytes: 8 << 20,
            ..plan()
        })
        .expect("a valid plan");
        let line = "    let value = compute(\"some text\", 'c', other.field); // a remark\n";
        let decisions = [20, 40_000].map(|lines| {
            let before = line.repeat(lines);
            let after = line.replace("value", "result").repeat(lines);
            policy.evaluate(&[change("src/a.rs", Some(&before), Some(&after))]).decision()
        });
        assert_eq!(decisions[0], decisions[1]);
    }
}
