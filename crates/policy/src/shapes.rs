//! Harmless shapes of a change: what lets a file be changed without a person that otherwise
//! wants one. Each is a pure predicate over the whole change of one file.
//!
//! Some need nothing else; those named after a failure hold only where the failure that is being
//! repaired is about that very file.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::Subject;
use super::destructive::destroys;
use super::gate_files::make_rules;
use super::lines::{Alignment, Hunk, split};
use super::meaning::{self, cluster, dockerfile, packages};
use super::objects;
use super::shell::{Command, commands};
use super::subject::names;
use super::syntax::{SourceFile, Syntax};
use greenloop_model::{FileChange, FileMode};

/// A harmless shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    /// The file was not there.
    NewFile,
    /// Queries that read, and no folder of migrations.
    ReadOnlyQuery,
    /// The patch changes product code as well.
    BesideProduct,
    /// Blank lines, comments, and the layout of data that means the same.
    Formatting,
    /// Text about the package: its version, description, authors.
    Metadata,
    /// Dockerfile: packages of the distribution, installed beside the others.
    DistributionPackage,
    /// Makefile: a target that no check runs.
    UncheckedTarget,
    /// A shell script: lines that tidy up come in, and none goes.
    Housekeeping,
    /// An ignore file: paths that are no source.
    IgnoredOutput,
    /// The failure names the file: a path in it that is not there becomes one that is.
    ExistingPath,
    /// The failure names the file: a version becomes one that the lockfile has.
    LockedVersion,
    /// The failure names the file, and the key: its value changes. A key that says what is run, by
    /// whom or whether at all is none.
    NamedKey,
    /// The failure names the file, and says of a key that there is none such: it is spelt otherwise,
    /// with the same value.
    MisspeltKey,
    /// The failure names the file, and it does not parse: it does now, with the same words.
    Syntax,
    /// The failure names a package that is missing: a manifest gets it, or another version of it,
    /// from the registry, and the lockfile of the patch or of the tree, or a checksum, pins it.
    PinnedDependency,
    /// The failure is about a probe: its path becomes one that the product has, or its port one
    /// that the container has.
    NamedProbe,
    /// The failure names the lockfile, or a package that comes in: nothing comes from elsewhere,
    /// without a checksum, or with a script.
    LockFollowsManifest,
}

/// What a shape looks at.
pub(super) struct Changed<'a> {
    pub change: &'a FileChange,
    pub file: &'a SourceFile,
    pub lines: &'a Alignment,
    /// All changes of the patch.
    pub patch: &'a [FileChange],
    pub before: String,
    pub after: String,
}

impl<'a> Changed<'a> {
    /// `None` for a file that is new, deleted, moved, binary or has another mode: no shape is
    /// that.
    pub(super) fn new(
        change: &'a FileChange,
        file: &'a SourceFile,
        lines: &'a Alignment,
        patch: &'a [FileChange],
    ) -> Option<Self> {
        let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
        let moved = change.moved_from.as_ref().is_some_and(|from| *from != change.path);
        let plain = |mode| matches!(mode, FileMode::Regular | FileMode::Executable);
        if moved || before.mode != after.mode || !plain(after.mode) {
            return None;
        }
        if before.is_binary() || after.is_binary() {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (before, after) = (text(&before.bytes), text(&after.bytes));
        Some(Self { change, file, lines, patch, before, after })
    }

    /// The stretches that changed, with their lines before and after.
    fn hunks(&self) -> Vec<(Vec<String>, Vec<String>, Hunk)> {
        let (before, after) = (split(self.before.as_bytes()), split(self.after.as_bytes()));
        let texts = |lines: &[&[u8]]| -> Vec<String> {
            lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
        };
        self.lines
            .hunks()
            .into_iter()
            .map(|hunk| {
                let old = texts(&before[hunk.before.clone()]);
                let new = texts(&after[hunk.after.clone()]);
                (old, new, hunk)
            })
            .collect()
    }
}

impl Shape {
    /// Whether the change is of this shape, wholly.
    pub(super) fn covers(self, changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
        // What another action of a template puts in can be anything, also within a comment.
        let template = changed.file.syntax == Syntax::Yaml || changed.file.is_template();
        if template && cluster::actions(&changed.before).ne(cluster::actions(&changed.after)) {
            return false;
        }
        match self {
            // Facts of the patch rather than of the text.
            Self::NewFile | Self::BesideProduct | Self::ReadOnlyQuery => false,
            Self::Formatting => is_formatting(changed),
            Self::Metadata => is_metadata(changed),
            Self::DistributionPackage => adds_packages(changed),
            Self::UncheckedTarget => changes_unchecked_targets(changed, subject),
            Self::Housekeeping => tidies_up(changed),
            Self::IgnoredOutput => ignores_output(changed, subject),
            Self::ExistingPath => names_existing_paths(changed, subject),
            Self::LockedVersion => {
                subject.failure_names(&changed.change.path)
                    && takes_locked_versions(changed, subject)
            }
            Self::NamedKey => {
                subject.failure_names(&changed.change.path) && changes_named_keys(changed, subject)
            }
            Self::MisspeltKey => {
                subject.failure_names(&changed.change.path)
                    && changes_lines(changed, &|old, new| renames_misspelt_key(old, new, subject))
            }
            Self::Syntax => subject.failure_names(&changed.change.path) && repairs_syntax(changed),
            Self::PinnedDependency => pins_missing_dependency(changed, subject),
            Self::NamedProbe => repairs_probe(changed, subject),
            Self::LockFollowsManifest => follows_manifest(changed, subject),
        }
    }
}

/// Extensions of files whose comments begin with `#`.
const HASH_EXTENSIONS: &[&str] = &[
    "py",
    "rb",
    "toml",
    "cfg",
    "ini",
    "cmake",
    "tf",
    "txt",
    "npmrc",
    "yarnrc",
    "conf",
    "properties",
    "lock",
    "in",
    "gemspec",
];

pub(super) fn is_comment(line: &str, file: &SourceFile) -> bool {
    let line = line.trim();
    if line.is_empty() {
        return true;
    }
    match file.syntax {
        Syntax::Json => line.starts_with("//") && file.extension != "json",
        Syntax::Sql => line.starts_with("--"),
        Syntax::Shell | Syntax::Make | Syntax::Docker | Syntax::Yaml => {
            line.starts_with('#') && !line.starts_with("#!") && !says_something(line)
        }
        Syntax::Code | Syntax::Prose => {
            let hash = file.has_extension(HASH_EXTENSIONS)
                || matches!(file.name.as_str(), "gemfile" | "pipfile" | "rakefile" | "podfile");
            (line.starts_with("//") || hash && line.starts_with('#')) && !says_something(line)
        }
    }
}

/// Comments that a tool obeys.
fn says_something(line: &str) -> bool {
    [
        "#!",
        "syntax=",
        "escape=",
        "check=",
        "noqa",
        "type:",
        "pylint",
        "shellcheck",
        "hadolint",
        "nosec",
        "pragma",
        "yamllint",
        "go:",
        "+build",
        "eslint",
        "@ts-",
        "renovate",
        "coding",
    ]
    .iter()
    .any(|word| line.contains(word))
}

fn is_formatting(changed: &Changed<'_>) -> bool {
    let same_data = match changed.file.syntax {
        Syntax::Json => objects::json(&changed.before)
            .zip(objects::json(&changed.after))
            .is_some_and(|(old, new)| old == new),
        Syntax::Yaml => objects::yaml(&changed.before)
            .zip(objects::yaml(&changed.after))
            .is_some_and(|(old, new)| old == new),
        Syntax::Docker => dockerfile::instructions(&changed.before)
            .zip(dockerfile::instructions(&changed.after))
            .is_some_and(|(old, new)| {
                old == new && directives(&changed.before) == directives(&changed.after)
            }),
        Syntax::Code if changed.file.extension == "py" => {
            let code = |text: &str| python_code(text, changed.file);
            code(&changed.before).zip(code(&changed.after)).is_some_and(|(old, new)| old == new)
        }
        Syntax::Code if is_toml(changed.file) => meaning::toml(&changed.before)
            .zip(meaning::toml(&changed.after))
            .is_some_and(|(old, new)| old == new),
        Syntax::Shell | Syntax::Make | Syntax::Sql | Syntax::Prose | Syntax::Code => false,
    };
    same_data
        || changed
            .hunks()
            .iter()
            .all(|(old, new, _)| old.iter().chain(new).all(|line| is_comment(line, changed.file)))
}

/// The lines of a Python module but its comments and the text at its beginning, which runs nothing;
/// `None` when there is no such text, or the module may run it.
fn python_code(text: &str, file: &SourceFile) -> Option<Vec<String>> {
    let start = text
        .lines()
        .take_while(|line| line.trim().is_empty() || line.starts_with('#'))
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let head = text.get(start..)?;
    let quote = ["\"\"\"", "'''"].into_iter().find(|quote| head.starts_with(quote))?;
    let length = head.get(quote.len()..)?.find(quote)?;
    let code = &head[quote.len() + length + quote.len()..];
    let runs = code.contains("__doc__") && (code.contains("exec") || code.contains("eval"));
    // An earlier line may declare the file's encoding.
    let above = text[..start].lines();
    let lines = code.lines().filter(|line| !is_comment(line, file));
    let lines = above.chain(lines).map(str::to_owned);
    (!runs && !head[..quote.len() + length].contains('\\')).then(|| lines.collect())
}

/// The comments of a Dockerfile that decide how it is read.
fn directives(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#') && line.contains('=')).collect()
}

fn is_toml(file: &SourceFile) -> bool {
    file.extension == "toml"
        || matches!(file.name.as_str(), "cargo.lock" | "poetry.lock" | "uv.lock" | "pipfile")
}

/// Keys of a manifest that say what the package is, not what it needs or runs.
const METADATA: &[&str] = &[
    "version",
    "description",
    "keywords",
    "author",
    "authors",
    "maintainers",
    "contributors",
    "license",
    "licenses",
    "homepage",
    "repository",
    "bugs",
    "funding",
    "readme",
    "urls",
    "classifiers",
    "title",
    "summary",
    "documentation",
    "categories",
    "icon",
    "displayname",
    "publisher",
    "sideeffects",
    "private",
    "typings",
    "types",
    "url",
];

/// Reads a document.
type Read = fn(&str) -> Option<Value>;

fn is_metadata(changed: &Changed<'_>) -> bool {
    let is_json = matches!(changed.file.name.as_str(), "package.json" | "composer.json");
    let (read, sections): (Read, &[&[&str]]) = if is_json {
        (objects::json, &[&[]])
    } else if changed.file.extension == "toml" {
        let sections: &[&[&str]] =
            &[&["package"], &["project"], &["tool", "poetry"], &["workspace", "package"]];
        (meaning::toml, sections)
    } else {
        return false;
    };
    let (Some(old), Some(new)) = (read(&changed.before), read(&changed.after)) else {
        return false;
    };
    let keys: BTreeSet<String> = objects::differences(&old, &new)
        .into_iter()
        .map(|difference| {
            let path: Vec<&str> = difference.path.iter().map(String::as_str).collect();
            let below = sections.iter().find_map(|section| path.strip_prefix(*section));
            below.and_then(|rest| rest.first()).copied().unwrap_or_default().to_owned()
        })
        .collect();
    !keys.is_empty() && keys.iter().all(|key| METADATA.contains(&key.to_lowercase().as_str()))
}

/// Package managers of distributions, and what of theirs installs by name.
const PACKAGE_MANAGERS: &[(&str, &[&str])] = &[
    ("apt-get", &["update", "install", "clean", "autoremove"]),
    ("apt", &["update", "install", "clean", "autoremove"]),
    ("apk", &["add", "update"]),
    ("dnf", &["install", "clean"]),
    ("microdnf", &["install", "clean"]),
    ("yum", &["install", "clean"]),
    ("zypper", &["install", "clean", "refresh"]),
];

/// Whether a command installs packages by name from the image's own sources, or removes what the
/// installation leaves.
fn installs_packages(command: &Command) -> bool {
    let words = &command.words[1..];
    if command.program() == "rm" {
        return destroys(command, None).is_none();
    }
    let Some((_, verbs)) = PACKAGE_MANAGERS.iter().find(|(name, _)| *name == command.program())
    else {
        return false;
    };
    let mut plain = words.iter().filter(|word| !word.starts_with('-'));
    let harmless_options = words.iter().filter(|word| word.starts_with('-')).all(|word| {
        [
            "-y",
            "-q",
            "-qq",
            "-yqq",
            "-qy",
            "-yq",
            "--yes",
            "--assume-yes",
            "--no-install-recommends",
            "--no-cache",
            "--quiet",
            "--update",
            "-U",
            "--nodocs",
            "--virtual",
        ]
        .contains(&word.as_str())
    });
    harmless_options
        && plain.next().is_some_and(|verb| verbs.contains(&verb.as_str()))
        && plain
            .all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "+-._=:~*".contains(c)))
}

fn adds_packages(changed: &Changed<'_>) -> bool {
    if changed.file.syntax != Syntax::Docker {
        return false;
    }
    let read = dockerfile::instructions;
    let (Some(old), Some(new)) = (read(&changed.before), read(&changed.after)) else {
        return false;
    };
    let mut old_rest = old.iter().peekable();
    for instruction in &new {
        if old_rest.peek() == Some(&instruction) {
            old_rest.next();
            continue;
        }
        if instruction.0 != "RUN" {
            return false;
        }
        let now = commands(&instruction.1);
        let kept: Vec<Command> = match old_rest.peek() {
            // The instruction that was there, with more in it.
            Some((name, text)) if name == "RUN" && !new.contains(&(name.clone(), text.clone())) => {
                old_rest.next();
                commands(text)
            }
            Some(_) | None => Vec::new(),
        };
        let words = |list: &[Command]| -> Vec<Vec<String>> {
            list.iter().map(|command| command.words.clone()).collect()
        };
        let (now_words, kept_words) = (words(&now), words(&kept));
        let new_are_packages = now
            .iter()
            .filter(|command| !kept_words.contains(&command.words))
            .all(installs_packages);
        let old_are_there = kept
            .iter()
            .all(|command| now_words.contains(&command.words) || installs_packages(command));
        let piped = instruction.1.contains('|') || instruction.1.contains('>');
        if now.is_empty() || !new_are_packages || !old_are_there || piped {
            return false;
        }
    }
    old_rest.next().is_none()
}

/// Targets that people run for themselves.
const UNCHECKED_TARGETS: &[&str] = &[
    "clean",
    "distclean",
    "mostlyclean",
    "maintainer-clean",
    "mrproper",
    "clobber",
    "help",
    "docs",
    "doc",
    "html",
    "run",
    "serve",
    "dev",
    "watch",
    "tags",
    "shell",
    "fmt",
    "format",
    "up",
    "down",
    "logs",
];

fn changes_unchecked_targets(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    if changed.file.syntax != Syntax::Make {
        return false;
    }
    let within = |text: &str, range: std::ops::Range<usize>| {
        let rules = make_rules(text);
        let lines: Vec<&str> = text.lines().collect();
        range.into_iter().all(|number| {
            lines.get(number).is_none_or(|line| line.trim().is_empty())
                || rules.iter().any(|rule| {
                    (rule.first_line..=rule.last_line).contains(&number)
                        && rule.targets.iter().all(|target| {
                            UNCHECKED_TARGETS.contains(&target.as_str())
                                && !subject.gates.runs_target(target)
                        })
                })
        })
    };
    changed
        .lines
        .hunks()
        .into_iter()
        .all(|hunk| within(&changed.before, hunk.before) && within(&changed.after, hunk.after))
}

/// Programs that a script may call to tidy up or to look around; their failure says nothing of
/// the product.
const HOUSEKEEPING: &[&str] = &[
    "rm", "rmdir", "unlink", "kill", "pkill", "grep", "egrep", "fgrep", "mkdir", "echo", "printf",
    "cd", "pwd", "ls", "cat", "wc", "sleep", "wait", "touch", "test", "[", "true", "dirname",
    "basename", "date", "head", "tail", "sort", "uniq", "tr", "cut", "sed", "awk", "find",
    "command", "umount", "id", "uname", "nproc", "stty", "tput",
];

/// Variables that decide what later commands do.
const STEERING: &[&str] = &[
    "PATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTEST_ADDOPTS",
    "MAKEFLAGS",
    "RUSTFLAGS",
    "GOFLAGS",
    "CFLAGS",
    "HOME",
    "SHELLOPTS",
    "PERL5OPT",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "MAVEN_OPTS",
    "GIT_DIR",
    "CI",
];

fn tidies_up(changed: &Changed<'_>) -> bool {
    if changed.file.syntax != Syntax::Shell {
        return false;
    }
    changed.hunks().iter().all(|(old, new, _)| {
        old.iter().all(|line| is_comment(line, changed.file))
            && new.iter().all(|line| is_comment(line, changed.file) || is_housekeeping(line))
    })
}

pub(super) fn is_housekeeping(line: &str) -> bool {
    let found = commands(line);
    let steering = line.split(['=', ' ', ';']).any(|word| STEERING.contains(&word));
    // What a reader of words alone cannot see through, or what ends the script.
    let opaque = [
        "()", "`", "<<", "&>", "alias ", "exit", "return", "exec", "eval", "trap", "set ",
        "source", "false", "!",
    ]
    .iter()
    .any(|word| line.contains(word))
        || line.trim_end().ends_with('&') && !line.trim_end().ends_with("&&")
        || line.trim_end().ends_with(['\\', '{', '|'])
        || line.trim_start().starts_with("if ");
    let in_place = line.contains("-i") && (line.contains("sed") || line.contains("perl"));
    let network = line.contains("/dev/tcp") || line.contains("/dev/udp");
    !found.is_empty()
        && !steering
        && !opaque
        && !in_place
        && !network
        && found.iter().all(|command| {
            (HOUSEKEEPING.contains(&command.program()) && destroys(command, None).is_none())
                && !command.words.iter().any(|w| w == "-exec" || w == "-delete" || w == "-execdir")
        })
}

/// Extensions of files that are written by people.
const SOURCES: &[&str] = &[
    "py", "js", "ts", "jsx", "tsx", "go", "rs", "java", "kt", "c", "cc", "cpp", "h", "hpp", "rb",
    "php", "cs", "swift", "scala", "sh", "sql", "yaml", "yml", "toml", "json", "md", "tf", "snap",
];

fn ignores_output(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    if changed.file.name != ".gitignore" {
        return false;
    }
    changed.hunks().iter().all(|(old, new, _)| {
        old.iter().all(|line| is_comment_of_ignore(line))
            && new.iter().all(|line| {
                is_comment_of_ignore(line) || (!hides_source(line) && !subject.tracks(line.trim()))
            })
    })
}

fn is_comment_of_ignore(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

fn hides_source(pattern: &str) -> bool {
    let pattern = pattern.trim().to_lowercase();
    let extension = pattern.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(
        pattern.as_str(),
        "*" | "**" | "/*" | "*.*" | "src" | "src/" | "tests" | "tests/" | "test" | "test/"
    ) || SOURCES.contains(&extension)
        || pattern.starts_with('!')
}

/// Words of a line that can be paths.
fn words(line: &str) -> Vec<&str> {
    line.split(|c: char| c.is_whitespace() || "\"'`,=:()[]{}".contains(c))
        .filter(|word| !word.is_empty())
        .collect()
}

/// One word of each changed line is another one, and the tree has a file or folder of that name.
fn names_existing_paths(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let hunks = changed.hunks();
    let named = subject.failure_names(&changed.change.path);
    let is_named = |path: &str| {
        named || path.contains('/') && subject.failure.is_some_and(|text| names(text, path))
    };
    !hunks.is_empty()
        && hunks.iter().all(|(old, new, _)| {
            old.len() == new.len()
                && old.iter().zip(new).all(|(old, new)| {
                    let (old, new) = (words(old), words(new));
                    let differing: Vec<(&str, &str)> = old
                        .iter()
                        .zip(&new)
                        .filter(|(a, b)| a != b)
                        .map(|(a, b)| (*a, *b))
                        .collect();
                    old.len() == new.len()
                        && !differing.is_empty()
                        && differing.iter().all(|(was, is)| {
                            !subject.has_path(was)
                                && subject.has_path(is)
                                && !is.starts_with('-')
                                && is_named(was)
                        })
                })
        })
}

/// Every changed line differs in a version only, and the lockfile beside it has that version.
fn takes_locked_versions(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let lock = subject.lockfile_beside(&changed.change.path, changed.patch);
    if packages::is_read(changed.file) {
        return lock.is_some_and(|(file, text)| {
            let lock = (&file, text.as_str());
            packages::takes_locked_versions(changed.file, &changed.before, &changed.after, lock)
                == Some(true)
        });
    }
    let lock = lock.map(|(_, text)| text);
    let hunks = changed.hunks();
    !hunks.is_empty()
        && hunks.iter().all(|(old, new, _)| {
            old.len() == new.len()
                && old.iter().zip(new).all(|(old, new)| {
                    let ((name, _), (new_name, version)) =
                        (name_and_version(old), name_and_version(new));
                    let same_name = !name.is_empty() && name == new_name;
                    same_name
                        && !version.is_empty()
                        && lock.as_ref().is_some_and(|lock| lock_has(lock, &name, &version))
                })
        })
}

/// The failure names every package that the manifest gets, and each is pinned.
fn pins_missing_dependency(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let Some(failure) = subject.failure else { return false };
    let lock = subject.lockfile_beside(&changed.change.path, changed.patch);
    let lock = lock.as_ref().map(|(file, text)| (file, text.as_str()));
    packages::adds_pinned_dependencies(changed.file, &changed.before, &changed.after, lock)
        .is_some_and(|names| {
            names.iter().all(|name| {
                packages::names_package(failure, name) && !resembles_known(name, &changed.before)
            })
        })
}

/// Whether a manifest has a name that differs by one letter, or by two that changed places.
fn resembles_known(name: &str, manifest: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "-_.@/".contains(c);
    manifest.split(|c: char| !part(c)).any(|known| is_one_edit_away(known, name))
}

/// The longest name of a package.
const MAX_NAME: usize = 214;

/// `requests` and `reqeusts`, `lodash` and `lodahs`, `express` and `expres`
fn is_one_edit_away(one: &str, other: &str) -> bool {
    let (mut a, mut b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let sizes = 4..=MAX_NAME;
    let comparable = sizes.contains(&a.len()) && sizes.contains(&b.len());
    if a == b || !comparable || a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    while !a.is_empty() && a.first() == b.first() {
        a.remove(0);
        b.remove(0);
    }
    while !a.is_empty() && a.last() == b.last() {
        a.pop();
        b.pop();
    }
    let swapped = a.len() == 2 && b.len() == 2 && a[0] == b[1] && a[1] == b[0];
    (a.len() <= 1 && b.len() <= 1) || swapped
}

/// What a lockfile may do for a failure: pin more, from where it pins already.
fn follows_manifest(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let (file, before, after) = (changed.file, &changed.before, &changed.after);
    let path = &changed.change.path;
    match packages::keeps_sources(file, before, after) {
        None => subject.failure_names(path) && objects::lockfile_adds_no_source(before, after),
        Some(false) => false,
        Some(true) => {
            subject.failure_names(path)
                || subject.failure.is_some_and(|failure| {
                    packages::pins_only_what_is_needed(file, before, after, &|name| {
                        packages::names_package(failure, name)
                    })
                })
        }
    }
}

/// A lockfile of Go that was not there holds what the failure asks for, and no more.
pub(super) fn begins_lockfile(
    change: &FileChange,
    file: &SourceFile,
    subject: &Subject<'_>,
) -> bool {
    let (None, Some(after), Some(failure)) = (&change.before, &change.after, subject.failure)
    else {
        return false;
    };
    let text = String::from_utf8_lossy(&after.bytes);
    file.name == "go.sum"
        && after.mode == FileMode::Regular
        && failure.contains("go.sum")
        && packages::keeps_sources(file, "", &text) == Some(true)
        && packages::pins_only_what_is_needed(file, "", &text, &|name| {
            packages::names_package(failure, name)
        })
}

/// Functions of queries that change nothing.
const READING: &[&str] = &[
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "coalesce",
    "lower",
    "upper",
    "now",
    "length",
    "trim",
    "substring",
    "substr",
    "round",
    "floor",
    "ceil",
    "abs",
    "cast",
    "concat",
    "date",
    "extract",
    "date_trunc",
    "nullif",
    "greatest",
    "least",
    "row_number",
    "rank",
    "over",
    "in",
    "exists",
    "any",
    "all",
    "values",
    "json_agg",
    "array_agg",
    "string_agg",
    "to_char",
    "filter",
    "as",
    "and",
    "or",
    "not",
    "on",
    "where",
    "from",
    "select",
    "by",
    "using",
    "when",
    "then",
    "with",
    "join",
    "materialized",
    "union",
];

/// Words with which a query changes something, locks it, or writes a file.
const WRITING: &[&str] = &[
    "insert",
    "update",
    "delete",
    "drop",
    "truncate",
    "alter",
    "create",
    "grant",
    "revoke",
    "into",
    "merge",
    "replace",
    "call",
    "exec",
    "execute",
    "do",
    "copy",
    "lock",
    "vacuum",
    "set",
    "begin",
    "commit",
    "rename",
    "attach",
    "pragma",
    "load",
    "outfile",
    "dumpfile",
    "analyze",
    "refresh",
    "reindex",
    "cluster",
    "listen",
    "notify",
    "prepare",
    "deallocate",
    "declare",
];

/// Whether a SQL file contains only queries, before and after, and is outside folders of migrations.
pub(super) fn only_reads(change: &FileChange) -> bool {
    let path = change.path.to_string_lossy().to_lowercase();
    let migrates =
        ["migrat", "alembic", "flyway", "liquibase", "schema", "seed", "changelog", "ddl"]
            .iter()
            .any(|word| path.contains(word));
    let numbered = change.path.file_name().first().is_some_and(u8::is_ascii_digit)
        || path.rsplit('/').next().is_some_and(|name| name.starts_with('v') && name.contains("__"));
    let moved = change.moved_from.as_ref().is_some_and(|from| *from != change.path);
    let texts = [&change.before, &change.after].into_iter().flatten();
    path.ends_with(".sql")
        && !migrates
        && !numbered
        && !moved
        && change.after.is_some()
        && texts.into_iter().all(|file| {
            file.mode == FileMode::Regular
                && !file.is_binary()
                && is_query(&String::from_utf8_lossy(&file.bytes))
        })
}

fn is_query(text: &str) -> bool {
    // What a comment or a text holds may be read otherwise by another system.
    if text.contains(['\\', '@', '!']) || text.contains("/*") || text.contains("$$") {
        return false;
    }
    let code: String = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
        .to_lowercase();
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let reads = code.split(';').filter(|statement| !statement.trim().is_empty()).all(|statement| {
        let first = statement.trim().split(|c: char| !part(c)).next().unwrap_or_default();
        matches!(first, "select" | "with")
    });
    let writes = code.split(|c: char| !part(c)).any(|word| WRITING.contains(&word));
    let calls = code.match_indices('(').all(|(at, _)| {
        let before = code[..at].trim_end();
        let word = before.rsplit(|c: char| !part(c)).next().unwrap_or_default();
        word.is_empty() || READING.contains(&word)
    });
    !code.trim().is_empty() && reads && !writes && calls
}

/// Only paths and ports of probes change, to ones that the product and its container have.
fn repairs_probe(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let Some(failure) = subject.failure else { return false };
    let about = subject.failure_names(&changed.change.path)
        || failure.to_lowercase().contains("probe failed");
    let Some(differences) = cluster::changed_values(changed.file, &changed.before, &changed.after)
    else {
        return false;
    };
    about
        && !differences.is_empty()
        && differences.iter().all(|difference| {
            let path: Vec<String> = difference.path.iter().map(|key| key.to_lowercase()).collect();
            let probe = path.iter().any(|key| key.ends_with("probe"));
            let (Some(was), Some(is)) = (&difference.before, &difference.after) else {
                return false;
            };
            let key = path.last().map_or("", String::as_str);
            let fits = match (key, was, is) {
                ("path", Value::String(_), Value::String(is)) => {
                    is.len() > 1 && is.starts_with('/') && subject.product_says(is)
                }
                ("port", was, is) if was.is_number() || was.is_string() => {
                    let name = is.as_str().map_or_else(|| is.to_string(), str::to_owned);
                    cluster::has_container_port(changed.file, &changed.after, &name)
                }
                _ => false,
            };
            probe && fits
        })
}

/// `"left-pad": "^1.3.0"` as `left-pad` and `1.3.0`.
fn name_and_version(line: &str) -> (String, String) {
    let at = line
        .char_indices()
        .find(|(i, c)| {
            c.is_ascii_digit()
                && line[..*i].chars().next_back().is_some_and(|before| {
                    !before.is_alphanumeric() && before != '-' && before != '_'
                })
        })
        .map_or(line.len(), |(i, _)| i);
    let name: String =
        line[..at].chars().filter(|c| c.is_alphanumeric() || "-_./@".contains(*c)).collect();
    let version: String =
        line[at..].chars().take_while(|c| c.is_alphanumeric() || ".-+".contains(*c)).collect();
    let rest = line[at..].strip_prefix(version.as_str()).unwrap_or_default();
    let plain = rest.chars().all(|c| "\"', \t}]".contains(c));
    if plain { (name.to_lowercase(), version) } else { (String::new(), String::new()) }
}

fn lock_has(lock: &str, name: &str, version: &str) -> bool {
    let lines: Vec<&str> = lock.lines().collect();
    lines.iter().enumerate().any(|(number, line)| {
        line.to_lowercase().contains(name)
            && lines[number..lines.len().min(number + 4)].iter().any(|line| {
                words(line).iter().any(|word| word.trim_start_matches(['v', '=']) == version)
            })
    })
}

/// Keys whose value says what is run, where, with which rights, or whether at all.
const STEERING_KEYS: &[&str] = &[
    "run",
    "script",
    "before_script",
    "after_script",
    "command",
    "cmd",
    "args",
    "entrypoint",
    "shell",
    "exec",
    "steps",
    "test",
    "install",
    "uses",
    "image",
    "container",
    "services",
    "if",
    "when",
    "only",
    "except",
    "rules",
    "on",
    "branches",
    "permissions",
    "secrets",
    "environment",
    "runs-on",
    "pool",
    "tags",
    "needs",
    "allow_failure",
    "continue-on-error",
    "continueonerror",
    "condition",
    "enabled",
    "include",
    "extends",
    "template",
    "trigger",
    "pr",
    "schedules",
    "token",
];

/// Whether each changed line took the place of another one in this way.
fn changes_lines(changed: &Changed<'_>, fits: &dyn Fn(&str, &str) -> bool) -> bool {
    let hunks = changed.hunks();
    !hunks.is_empty()
        && hunks.iter().all(|(old, new, _)| {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| fits(old, new))
        })
}

/// The key and the value of a line.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once([':', '='])?;
    let key = key.trim().trim_start_matches("- ").trim_matches(['"', '\'', ' ']);
    let plain = key.len() >= 3 && key.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    plain.then_some((key, value))
}

/// Whether a text has the key as a word of its own.
fn names_key(text: &str, key: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
    text.match_indices(key).any(|(at, _)| {
        edge(text[..at].chars().next_back()) && edge(text[at + key.len()..].chars().next())
    })
}

/// What tools say of a key that they do not know.
const UNKNOWN: &[&str] = &[
    "unknown",
    "unrecognized",
    "unrecognised",
    "unexpected",
    "invalid",
    "not allowed",
    "unsupported",
    "did you mean",
    "additional propert",
    "no such",
    "not a valid",
    "undefined",
    "unused",
];

/// Another spelling of a key that the failure says is none, with the same value.
fn renames_misspelt_key(old: &str, new: &str, subject: &Subject<'_>) -> bool {
    let (Some(failure), Some((was, old)), Some((is, new))) =
        (subject.failure, key_and_value(old), key_and_value(new))
    else {
        return false;
    };
    was != is
        && old == new
        && failure.lines().any(|line| {
            let lower = line.to_lowercase();
            names_key(line, was) && UNKNOWN.iter().any(|word| lower.contains(word))
        })
}

/// The values of keys change that the failure names, or misspelt keys are spelt otherwise.
fn changes_named_keys(changed: &Changed<'_>, subject: &Subject<'_>) -> bool {
    let Some(failure) = subject.failure else { return false };
    let named = |key: &str| {
        !STEERING_KEYS.contains(&key.to_lowercase().as_str()) && names_key(failure, key)
    };
    let by_line = changes_lines(changed, &|old, new| {
        let same = key_and_value(old)
            .zip(key_and_value(new))
            .is_some_and(|((was, _), (is, _))| was == is && named(is));
        same || renames_misspelt_key(old, new, subject)
    });
    if !matches!(changed.file.syntax, Syntax::Json | Syntax::Yaml) {
        return by_line;
    }
    // What is data has to be readable as such, so that the other rules see what changes.
    let readable = |text: &str| cluster::is_readable(changed.file, text);
    if !(readable(&changed.before) && readable(&changed.after)) {
        return false;
    }
    let values = cluster::changed_values(changed.file, &changed.before, &changed.after);
    by_line
        || values.is_some_and(|values| {
            !values.is_empty()
                && values.iter().all(|value| {
                    let scalar = |value: &Option<Value>| {
                        value.as_ref().is_some_and(|it| !it.is_object() && !it.is_array())
                    };
                    let steered = value
                        .path
                        .iter()
                        .any(|key| STEERING_KEYS.contains(&key.to_lowercase().as_str()));
                    scalar(&value.before)
                        && scalar(&value.after)
                        && !steered
                        && value.path.last().is_some_and(|key| key.len() >= 3 && named(key))
                })
        })
}

/// What could not be parsed can be, and no word of it is another.
fn repairs_syntax(changed: &Changed<'_>) -> bool {
    // A comment that becomes a line of data is another word.
    let letters = |text: &str| -> String {
        text.lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(str::chars)
            .filter(|c| c.is_alphanumeric())
            .collect()
    };
    if letters(&changed.before) != letters(&changed.after) {
        return false;
    }
    match changed.file.syntax {
        Syntax::Json => {
            objects::json(&changed.before).is_none() && objects::json(&changed.after).is_some()
        }
        Syntax::Yaml => {
            objects::yaml(&changed.before).is_none() && objects::yaml(&changed.after).is_some()
        }
        // `missing separator`: a recipe that began with blanks.
        Syntax::Make => changed.hunks().iter().all(|(old, new, _)| {
            old.len() == new.len()
                && old
                    .iter()
                    .zip(new)
                    .all(|(old, new)| old.trim() == new.trim() && new.starts_with('\t'))
        }),
        Syntax::Shell | Syntax::Docker | Syntax::Sql | Syntax::Prose | Syntax::Code => false,
    }
}
