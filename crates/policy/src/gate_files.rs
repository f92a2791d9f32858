//! The files that a gate runs, found by following its command: the scripts it names, the targets
//! of a Makefile, the scripts of a `package.json`, and what those name in turn.

use std::collections::{BTreeSet, VecDeque};

use super::file_kind::is_named_test;
use super::shell::{Command, SHELLS, commands};
use greenloop_model::RepoPath;
use greenloop_patch::Tree;

/// How many files are followed.
const MAX_FILES: usize = 200;
/// The largest file that is followed.
const MAX_BYTES: usize = 256 * 1024;

/// Files at the root that CI services read; what they run is a gate as well.
const ENTRY_FILES: &[&str] = &[
    ".gitlab-ci.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
    "bitbucket-pipelines.yml",
    ".circleci/config.yml",
];

/// What gates run in a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateFiles {
    files: BTreeSet<RepoPath>,
    /// What those only read in (`. lib.sh`): often the product itself.
    sourced: BTreeSet<RepoPath>,
    /// Those of `files` that nothing but tests runs: what the tests judge.
    tested: BTreeSet<RepoPath>,
    /// Targets of a Makefile, and scripts of a `package.json`, that are run.
    targets: BTreeSet<String>,
    /// Whether a gate runs what the build file calls its default.
    default_target: bool,
}

impl GateFiles {
    /// Follows the commands of the gates, and those of the pipelines in the tree. A file that
    /// cannot be read is left out: it is then judged by its name alone.
    pub fn trace<'a>(tree: &dyn Tree, gates: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        // Each with whether it is a test's.
        let mut texts: VecDeque<(String, bool)> =
            gates.into_iter().map(|gate| (gate.to_owned(), false)).collect();
        let read = |path: &RepoPath| -> Option<String> {
            let file = tree.read(path).ok().flatten()?;
            (file.bytes.len() <= MAX_BYTES && !file.is_binary())
                .then(|| String::from_utf8_lossy(&file.bytes).into_owned())
        };
        let mut entries: Vec<RepoPath> =
            ENTRY_FILES.iter().filter_map(|path| RepoPath::new(path).ok()).collect();
        for file in tree.files().unwrap_or_default() {
            let path = file.to_string_lossy();
            let hook = [".husky/", ".githooks/"].iter().any(|folder| path.starts_with(folder));
            if path.starts_with(".github/workflows/") || hook {
                entries.push(file);
            }
        }
        texts.extend(entries.iter().filter_map(&read).map(|text| (text, false)));
        let mut followed = 0;
        while let Some((text, by_test)) = texts.pop_front() {
            if followed == MAX_FILES {
                break;
            }
            followed += 1;
            for (path, sourced) in paths_in(&text) {
                let known =
                    found.files.contains(&path) || (sourced && found.sourced.contains(&path));
                // What something else than a test runs as well is a gate's.
                if known && (by_test || !found.tested.remove(&path)) {
                    continue;
                }
                if let Some(text) = read(&path) {
                    let is_test = is_named_test(&path);
                    if by_test && !sourced && !is_test {
                        found.tested.insert(path.clone());
                    }
                    let by_test = by_test || is_test;
                    let known = if sourced { &mut found.sourced } else { &mut found.files };
                    known.insert(path);
                    texts.push_back((text, by_test));
                }
            }
            for target in targets_in(&text) {
                match target {
                    Target::Default => found.default_target = true,
                    Target::Named(name) => {
                        if found.targets.insert(name.clone()) {
                            texts.extend(
                                bodies(&read, &name).into_iter().map(|text| (text, by_test)),
                            );
                        }
                    }
                }
            }
        }
        found
    }

    /// Whether a gate runs the file at `path`.
    pub fn runs(&self, path: &RepoPath) -> bool {
        self.files.contains(path)
    }

    /// Whether nothing but tests runs the file: it is what they judge.
    pub(super) fn is_run_by_tests_only(&self, path: &RepoPath) -> bool {
        self.tested.contains(path)
    }

    /// Whether a script that a gate runs reads the file in.
    pub fn sources(&self, path: &RepoPath) -> bool {
        self.sourced.contains(path)
    }

    /// Whether a gate runs the target, or the script, of that name.
    pub fn runs_target(&self, name: &str) -> bool {
        self.targets.contains(name)
    }

    /// Whether a gate runs a build file without naming a target.
    pub fn runs_default_target(&self) -> bool {
        self.default_target
    }
}

/// Programs that read, change or check the files they are given, and never run them. Those that
/// copy or print a file are not among them: what they put out may be run.
const HANDLERS: &[&str] = &[
    "[",
    "[[",
    "actionlint",
    "black",
    "chmod",
    "chown",
    "cmp",
    "diff",
    "dos2unix",
    "egrep",
    "eslint",
    "fgrep",
    "flake8",
    "gofmt",
    "grep",
    "isort",
    "ls",
    "mypy",
    "prettier",
    "pylint",
    "rg",
    "rm",
    "rubocop",
    "ruff",
    "rustfmt",
    "shellcheck",
    "shfmt",
    "stat",
    "test",
    "touch",
    "wc",
    "yamllint",
];
/// Flags with which an interpreter checks a file's syntax and does not run it.
const SYNTAX_CHECKS: &[(&[&str], &[&str])] = &[
    (SHELLS, &["-n"]),
    (&["node"], &["-c", "--check"]),
    (&["php"], &["-l", "--syntax-check"]),
    (&["ruby", "perl"], &["-c"]),
    (&["python", "python3"], &["py_compile"]),
];

/// Whether the command handles the files that it names, but does not run them.
fn only_handles(command: &Command) -> bool {
    let program = command.program();
    let has = |flags: &[&str]| command.words.iter().any(|word| flags.contains(&word.as_str()));
    let in_place = |word: &String| word.starts_with("-i") || word.starts_with("--in-place");
    if command.is_piped() {
        return false;
    }
    HANDLERS.contains(&program)
        || (program == "sed" && command.words.iter().any(in_place))
        || SYNTAX_CHECKS.iter().any(|(programs, flags)| programs.contains(&program) && has(flags))
}

/// Words of `text` that can be files that it runs, and whether each is only read in by a shell.
fn paths_in(text: &str) -> BTreeSet<(RepoPath, bool)> {
    let (handling, others): (Vec<Command>, Vec<Command>) =
        commands(text).into_iter().partition(only_handles);
    let named = |commands: &[Command]| -> BTreeSet<(RepoPath, bool)> {
        commands.iter().flat_map(|command| words_as_paths(&command.words.join(" "))).collect()
    };
    let (handled, run) = (named(&handling), named(&others));
    let mut found = words_as_paths(text);
    found.retain(|path| run.contains(path) || !handled.contains(path));
    found
}

/// Words that can be files of the repository, and whether each is only read in by a shell.
fn words_as_paths(text: &str) -> BTreeSet<(RepoPath, bool)> {
    let mut found = BTreeSet::new();
    let mut previous = "";
    let separators = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '('
                    | ')'
                    | ';'
                    | '&'
                    | '|'
                    | ','
                    | '='
                    | '<'
                    | '>'
                    | '['
                    | ']'
                    | '{'
                    | '}'
            )
    };
    for written in text.split(separators).filter(|word| !word.is_empty()) {
        let sourced = matches!(std::mem::replace(&mut previous, written), "." | "source");
        let word = ["./", "$PWD/", "${PWD}/", "$ROOT/", "$(pwd)/", "$GITHUB_WORKSPACE/"]
            .iter()
            .find_map(|prefix| written.strip_prefix(prefix))
            .unwrap_or(written);
        // A bare word is a command; only one that looks like a file is taken for one.
        let is_path = word.contains('/') || word.contains('.');
        if is_path
            && !word.is_empty()
            && !word.starts_with(['-', '$'])
            && let Ok(path) = RepoPath::new(word.trim_end_matches([':', '.']))
        {
            found.insert((path, sourced));
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Target {
    Default,
    Named(String),
}

/// Targets and package scripts that the commands in `text` run.
fn targets_in(text: &str) -> Vec<Target> {
    let mut found = Vec::new();
    // Pipelines hold commands behind keys: read each line as a command as well.
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            let line = line.trim().trim_start_matches(['@', '+']).trim_start();
            let line = line.strip_prefix("- ").unwrap_or(line);
            let value = line.split_once(": ").filter(|(key, _)| !key.contains(' '));
            value.map_or(line, |(_, value)| value.trim_matches(['"', '\'', '|', '>']))
        })
        .collect();
    for command in commands(&lines.join("\n")) {
        let words = &command.words[1..];
        let named = |skip: &[&str]| -> Vec<Target> {
            words
                .iter()
                .filter(|w| !w.starts_with('-') && !w.contains('=') && !skip.contains(&w.as_str()))
                .map(|w| Target::Named(w.clone()))
                .collect()
        };
        match command.program() {
            "make" | "gmake" | "just" | "task" | "rake" => {
                let targets = named(&[]);
                if targets.is_empty() {
                    found.push(Target::Default);
                }
                found.extend(targets);
            }
            "npm" | "yarn" | "pnpm" | "bun" => {
                let targets = named(&["run", "run-script", "exec"]);
                for target in targets.into_iter().take(1) {
                    if let Target::Named(name) = target {
                        let name = if name == "t" { "test".to_owned() } else { name };
                        found.push(Target::Named(format!("pre{name}")));
                        found.push(Target::Named(format!("post{name}")));
                        found.push(Target::Named(name));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// What runs under that name: a script of the root's `package.json`, a target of its Makefile
/// with the targets it depends on, as text that is followed in turn.
fn bodies(read: &dyn Fn(&RepoPath) -> Option<String>, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let file = |name: &str| RepoPath::new(name).ok().and_then(|path| read(&path));
    if let Some(text) = file("package.json")
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(script) = json["scripts"][name].as_str()
    {
        found.push(script.to_owned());
    }
    for makefile in ["Makefile", "makefile", "GNUmakefile"] {
        let Some(text) = file(makefile) else { continue };
        for rule in make_rules(&text) {
            if rule.targets.iter().any(|target| target == name) {
                let mut body: String =
                    rule.needs.iter().map(|need| format!("make {need}\n")).collect();
                body.push_str(&rule.recipe.join("\n"));
                found.push(body);
            }
        }
    }
    found
}

/// A rule of a Makefile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MakeRule {
    pub targets: Vec<String>,
    pub needs: Vec<String>,
    pub recipe: Vec<String>,
    /// 0-based, of the line with the targets, and of the last line of the recipe.
    pub first_line: usize,
    pub last_line: usize,
}

/// The rules of a Makefile, in order.
pub(super) fn make_rules(text: &str) -> Vec<MakeRule> {
    let mut rules: Vec<MakeRule> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(recipe) = line.strip_prefix('\t') {
            if let Some(rule) = rules.last_mut().filter(|_| open) {
                rule.recipe.push(recipe.trim_start_matches(['@', '-', '+', ' ']).to_owned());
                rule.last_line = number;
            }
            continue;
        }
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        open = false;
        let Some((targets, needs)) = line.split_once(':') else { continue };
        if needs.starts_with('=') || needs.starts_with(":=") || targets.contains('=') {
            continue;
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        open = true;
        rules.push(MakeRule {
            targets: words(targets),
            needs: words(needs.trim_start_matches(':').split('#').next().unwrap_or_default()),
            recipe: Vec::new(),
            first_line: number,
            last_line: number,
        });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::FileContent;
    use greenloop_patch::MemoryTree;

    fn tree(files: &[(&str, &str)]) -> MemoryTree {
        files
            .iter()
            .map(|(path, text)| (RepoPath::new(path).expect("a path"), FileContent::regular(*text)))
            .collect()
    }

    #[test]
    fn commands_are_followed_through_files_targets_and_scripts() {
        let tree = tree(&[
            ("scripts/check.sh", "#!/bin/sh\n. scripts/lib.sh\nmake unit\nnpm run lint\n"),
            ("scripts/lib.sh", "x() { :; }\n"),
            ("scripts/unrelated.sh", "echo\n"),
            ("tools/unit.py", "x = 1\n"),
            ("tools/needed.sh", "echo\n"),
            ("tools/lint.js", "1\n"),
            ("ci.d/release.sh", "echo\n"),
            (
                "Makefile",
                "unit: needed\n\tpython3 tools/unit.py\nneeded:\n\t./tools/needed.sh\nclean:\n\trm -rf out\n",
            ),
            ("package.json", r#"{"scripts": {"lint": "node tools/lint.js"}}"#),
            (
                ".github/workflows/x.yml",
                "jobs:\n  a:\n    steps:\n      - run: ./ci.d/release.sh\n",
            ),
        ]);
        let gates = GateFiles::trace(&tree, ["./scripts/check.sh --all"]);
        for (path, runs) in [
            ("scripts/check.sh", true),
            ("tools/unit.py", true),
            ("tools/needed.sh", true),
            ("tools/lint.js", true),
            ("ci.d/release.sh", true),
            ("scripts/unrelated.sh", false),
        ] {
            assert_eq!(gates.runs(&RepoPath::new(path).expect("a path")), runs, "{path}");
        }
        let library = RepoPath::new("scripts/lib.sh").expect("a path");
        assert!(gates.sources(&library) && !gates.runs(&library));
        assert!(gates.runs_target("needed") && gates.runs_target("lint"));
        assert!(!gates.runs_target("clean") && !gates.runs_default_target());
    }

    #[test]
    fn a_file_that_is_only_handled_is_not_run() {
        let tree = tree(&[("add.sh", "echo\n"), ("b.sh", "echo\n"), ("test.sh", ". ./add.sh\n")]);
        let add = RepoPath::new("add.sh").expect("a path");
        for (gate, runs) in [
            ("sed -i 's/a;b/c/' add.sh; sh test.sh", false),
            ("test -x add.sh && shellcheck add.sh", false),
            ("bash -n ./add.sh", false),
            ("chmod +x add.sh && ./add.sh", true),
            ("grep -q x add.sh && bash add.sh 2 3", true),
            ("sed s/a/b/ add.sh | sh", true),
            ("cp add.sh /tmp/x.sh && sh /tmp/x.sh", true),
            ("find . -name add.sh -exec chmod +x {} + ; ./add.sh", true),
            ("timeout 5 sh ./add.sh", true),
            ("steps:\n  - run: |\n      chmod +x add.sh\n      ./add.sh\n", true),
        ] {
            assert_eq!(GateFiles::trace(&tree, [gate]).runs(&add), runs, "{gate}");
        }
    }

    #[test]
    fn a_cycle_ends() {
        let tree = tree(&[
            ("a.sh", "./b.sh\nmake a\n"),
            ("b.sh", "./a.sh\n"),
            ("Makefile", "a: b\nb: a\n"),
        ]);
        let gates = GateFiles::trace(&tree, ["sh a.sh"]);
        assert!(gates.runs(&RepoPath::new("b.sh").expect("a path")));
    }
}
