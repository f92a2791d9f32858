//! New files that take the place of what a gate runs: a target of make, which is then up to date,
//! or a module that an interpreter finds before the installed one.

use super::Subject;
use super::gate_files::make_rules;
use greenloop_model::{FileChange, RepoPath};

/// Modules of Python that run, or decide, tests and checks.
const MODULES: &[&str] = &[
    "pytest",
    "_pytest",
    "pluggy",
    "unittest",
    "doctest",
    "nose",
    "nose2",
    "xdist",
    "coverage",
    "pytest_cov",
    "hypothesis",
    "tox",
    "nox",
    "mypy",
    "ruff",
    "flake8",
    "pylint",
    "isort",
    "pyflakes",
    "bandit",
    "behave",
    "trial",
    "twisted",
    "robot",
    "pip",
    "setuptools",
    "builtins",
    "importlib",
    "runpy",
    "assertpy",
    "django",
    "numpy",
];

/// Folders other than the root that interpreters search first.
const SEARCHED: &[&str] = &["src", "tests", "test", "lib"];

/// What the file at a change's new path takes the place of.
pub(super) fn find(change: &FileChange, subject: &Subject<'_>) -> Option<String> {
    let moved = change.moved_from.as_ref().is_some_and(|from| *from != change.path);
    if change.after.is_none() || (change.before.is_some() && !moved) {
        return None;
    }
    let path = change.path.to_string_lossy();
    let parts: Vec<&str> = path.split('/').collect();
    make_target(&parts, subject).or_else(|| module(&parts, subject))
}

/// A file or a folder at the root that a target is called like.
fn make_target(parts: &[&str], subject: &Subject<'_>) -> Option<String> {
    let name = *parts.first()?;
    if subject.has_path(name) {
        return None;
    }
    for makefile in ["Makefile", "makefile", "GNUmakefile"] {
        let Some(text) = RepoPath::new(makefile).ok().and_then(|path| subject.text_of(&path))
        else {
            continue;
        };
        let rules = make_rules(&text);
        let has = |words: &[String]| words.iter().any(|word| word == name);
        let phony = rules
            .iter()
            .any(|rule| has(&rule.needs) && rule.targets.iter().any(|target| target == ".PHONY"));
        let defined = rules.iter().any(|rule| has(&rule.targets));
        let first = rules.iter().find(|rule| !rule.targets.iter().any(|it| it.starts_with('.')));
        let run = subject.gates.runs_target(name)
            || subject.gates.runs_default_target() && first.is_some_and(|rule| has(&rule.targets));
        if defined && run && !phony {
            return Some(format!(
                "make takes `{name}` for up to date, and does not run its recipe"
            ));
        }
    }
    None
}

/// `pytest.py`, `src/coverage/__init__.py`
fn module(parts: &[&str], subject: &Subject<'_>) -> Option<String> {
    let inner = match parts {
        [folder, rest @ ..] if SEARCHED.contains(folder) => rest,
        all => all,
    };
    let name = match inner {
        [file] => file.strip_suffix(".py")?,
        [package, _, ..] => package,
        [] => return None,
    };
    let python = parts.last().is_some_and(|file| file.ends_with(".py"));
    let folder = parts[..parts.len() - inner.len() + 1].join("/");
    let known = inner.len() > 1 && subject.has_path(&folder);
    (python && !known && MODULES.contains(&name))
        .then(|| format!("Python finds it before the installed module `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::FileContent;
    use greenloop_patch::MemoryTree;

    #[test]
    fn what_a_gate_runs_is_not_shadowed() {
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let makefile = ".PHONY: lint\nall: check\ncheck:\n\tpytest\nlint:\n\truff\nother:\n\tx\n";
        let tree: MemoryTree = [("Makefile", makefile), ("hypothesis/a.py", "x = 1\n")]
            .into_iter()
            .map(|(name, text)| (path(name), FileContent::regular(text)))
            .collect();
        let subject = Subject::of_tree(&tree, ["make check", "make lint"]);
        for (name, expect) in [
            ("check", true),
            ("check/x.txt", true),
            ("lint", false),
            ("other", false),
            ("pytest.py", true),
            ("tests/pytest/__init__.py", true),
            ("src/coverage.py", true),
            ("src/app/coverage.py", false),
            ("hypothesis/b.py", false),
            ("pytest.md", false),
        ] {
            let change = FileChange {
                path: path(name),
                moved_from: None,
                before: None,
                after: Some(FileContent::regular("x\n")),
            };
            assert_eq!(find(&change, &subject).is_some(), expect, "{name}");
            let edited = FileChange { before: Some(FileContent::regular("y\n")), ..change };
            assert_eq!(find(&edited, &subject), None, "{name}");
        }
    }
}
