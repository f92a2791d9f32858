//! Every rule, as a person reads about it: `greenloop policy explain RULE`.

use greenloop_model::{Decision, FileMode};

/// A rule with its reasons. The examples are checked by a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleDoc {
    /// `never_delete`
    pub id: &'static str,
    /// What a match means.
    pub decision: Decision,
    /// What it matches.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
    /// How to get past it.
    pub way_out: &'static str,
    /// What it matches and what it leaves alone, by the configuration in `config.yaml`.
    pub examples: &'static [Example],
}

/// One file's change that a rule matches, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// Where.
    pub path: &'static str,
    /// Before; `None` for a new file.
    pub before: Option<&'static str>,
    /// Afterwards; `None` for a deleted file.
    pub after: Option<&'static str>,
    /// The kind of entry afterwards.
    pub mode: FileMode,
    /// Whether the rule matches.
    pub matches: bool,
}

const fn hit(
    path: &'static str,
    before: Option<&'static str>,
    after: Option<&'static str>,
) -> Example {
    Example { path, before, after, mode: FileMode::Regular, matches: true }
}

const fn miss(
    path: &'static str,
    before: Option<&'static str>,
    after: Option<&'static str>,
) -> Example {
    Example { path, before, after, mode: FileMode::Regular, matches: false }
}

const fn with_mode(mode: FileMode, mut example: Example) -> Example {
    example.mode = mode;
    example
}

pub(super) const NEVER_DELETE: &str = "never_delete";
pub(super) const REQUIRE_CONFIRMATION: &str = "require_confirmation";
pub(super) const DESTRUCTIVE_COMMAND: &str = "destructive_command";
pub(super) const OUTSIDE_REPOSITORY: &str = "outside_repository";
pub(super) const GIT_INTERNALS: &str = "git_internals";
pub(super) const GIT_BEHAVIOUR: &str = "git_behaviour";
pub(super) const SYMLINK: &str = "symlink";
pub(super) const SUBMODULE: &str = "submodule";
pub(super) const FILE_MODE: &str = "file_mode";
pub(super) const OWN_CONFIG: &str = "own_config";
pub(super) const OWN_RECORDS: &str = "own_records";
pub(super) const CI_FILES: &str = "ci_files";
pub(super) const MAX_FILES: &str = "max_files";
pub(super) const MAX_CHANGED_LINES: &str = "max_changed_lines";
pub(super) const MAX_FILE_BYTES: &str = "max_file_bytes";
pub(super) const BINARY_FILE: &str = "binary_file";
pub(super) const REMOVED_TEST: &str = "removed_test";
pub(super) const SKIPPED_TEST: &str = "skipped_test";
pub(super) const WEAKENED_GATE: &str = "weakened_gate";
pub(super) const DISABLED_LINT: &str = "disabled_lint";
pub(super) const SECRET: &str = "secret";
pub(super) const REQUIRE_APPROVAL: &str = "require_approval";

const CONFIRM: &str =
    "Answer yes when asked, run with --yes, or make the change yourself and commit it.";
const BY_HAND: &str = "Nothing overrides this rule: make the change yourself and commit it.";

/// All rules, the strictest first.
pub(super) const RULES: &[RuleDoc] = &[
    RuleDoc {
        id: NEVER_DELETE,
        decision: Decision::Forbid,
        what: "A file under safety.never_delete is deleted, moved away, emptied, gutted (all but \
               a tenth gone, or only comments left), or replaced by a binary file or a link. \
               Patterns are gitignore's: *.sql at any depth, migrations/ the folder at any \
               depth, k8s/secrets.yaml from the root; case does not matter.",
        why: "These files hold what cannot be made again: migrations, schemas, secrets.",
        way_out: "Make the change yourself and commit it, or take the pattern out of \
                  safety.never_delete.",
        examples: &[
            hit("migrations/1.sql", Some("CREATE TABLE a (b INT);"), None),
            hit("db/a.sql", Some("CREATE TABLE a (b INT);"), Some("-- nothing\n")),
            miss("db/a.sql", Some("CREATE TABLE a (b INT);"), Some("CREATE TABLE a (c INT);")),
            miss("src/a.rs", Some("fn a() {}"), None),
        ],
    },
    RuleDoc {
        id: OUTSIDE_REPOSITORY,
        decision: Decision::Forbid,
        what: "A path that is absolute or climbs out of the repository. Such a path is refused \
               before the policy sees it, and a path through a symlink is refused when the \
               patch is prepared.",
        why: "A patch changes the repository and nothing else on the machine.",
        way_out: "Nothing overrides this rule.",
        examples: &[],
    },
    RuleDoc {
        id: GIT_INTERNALS,
        decision: Decision::Forbid,
        what: "Anything under .git, by every spelling a file system takes for it: .GIT, '.git ', \
               git~1, .git::$INDEX_ALLOCATION.",
        why: "Files in there run commands and decide what every other git command does.",
        way_out: "Nothing overrides this rule.",
        examples: &[
            hit(".git/hooks/pre-commit", None, Some("#!/bin/sh\n")),
            hit("a/.GIT/config", None, Some("[core]\n")),
            miss(".gitignore", Some("a\n"), Some("a\nb\n")),
        ],
    },
    RuleDoc {
        id: SYMLINK,
        decision: Decision::Forbid,
        what: "A new or changed symbolic link.",
        why: "What is written through a link lands somewhere else than the patch shows.",
        way_out: BY_HAND,
        examples: &[
            with_mode(FileMode::Symlink, hit("a", None, Some("/etc"))),
            miss("a", None, Some("/etc")),
        ],
    },
    RuleDoc {
        id: SUBMODULE,
        decision: Decision::Forbid,
        what: "A submodule's commit, or .gitmodules.",
        why: "It brings in code that neither the reviewer nor the policy has seen.",
        way_out: BY_HAND,
        examples: &[
            hit(".gitmodules", None, Some("[submodule \"a\"]\n")),
            with_mode(FileMode::Submodule, hit("vendor/a", None, Some(""))),
            miss("vendor/a.c", None, Some("int a;\n")),
        ],
    },
    RuleDoc {
        id: OWN_CONFIG,
        decision: Decision::Forbid,
        what: "Greenloop's own configuration: the file the run was started with, config.yaml and \
               greenloop.yaml at the root whether they are there yet or not, and everything \
               under .greenloop/. A config.yaml that another program reads may be changed, as \
               long as Greenloop would not read it as its own.",
        why: "A patch must not change the rules it is judged by.",
        way_out: BY_HAND,
        examples: &[
            hit("config.yaml", Some("safety: {}\n"), Some("\n")),
            hit(".greenloop/policy", None, Some("x\n")),
            miss("app/config.yaml", Some("a: 1\n"), Some("a: 2\n")),
        ],
    },
    RuleDoc {
        id: OWN_RECORDS,
        decision: Decision::Forbid,
        what: "Greenloop's records: logs/runs/, logs/orchestrator_*, and \
               metrics/deployments.json.",
        why: "They say what happened; a patch that writes them forges a run.",
        way_out: "Nothing overrides this rule: keep files of your own beside these folders.",
        examples: &[
            hit("logs/runs/0190/audit.jsonl", None, Some("{}\n")),
            hit("metrics/deployments.json", Some("[]\n"), Some("[{}]\n")),
            miss("logs/app.log", None, Some("x\n")),
        ],
    },
    RuleDoc {
        id: SECRET,
        decision: Decision::Forbid,
        what: "A credential by its shape: a private key, a cloud access key, a service's token. \
               Placeholders that say so are left alone.",
        why: "What is committed stays in the history and in every clone.",
        way_out: "Read it from the environment instead; a value for a test needs 'example' in it.",
        examples: &[miss("a.py", None, Some("key = 'AKIAIOSFODNN7EXAMPLE'\n"))],
    },
    RuleDoc {
        id: MAX_FILES,
        decision: Decision::Forbid,
        what: "More files than safety.max_files.",
        why: "A fix that touches this much is a rewrite, and nobody reviews it well.",
        way_out: "Raise safety.max_files, or make the change yourself.",
        examples: &[],
    },
    RuleDoc {
        id: MAX_CHANGED_LINES,
        decision: Decision::Forbid,
        what: "More lines added and removed than safety.max_changed_lines.",
        why: "A fix that touches this much is a rewrite, and nobody reviews it well.",
        way_out: "Raise safety.max_changed_lines, or make the change yourself.",
        examples: &[],
    },
    RuleDoc {
        id: MAX_FILE_BYTES,
        decision: Decision::Forbid,
        what: "A file that is larger than safety.max_file_bytes afterwards.",
        why: "Files of that size are generated or data, and are not read line by line.",
        way_out: "Raise safety.max_file_bytes, or make the change yourself.",
        examples: &[],
    },
    RuleDoc {
        id: REQUIRE_CONFIRMATION,
        decision: Decision::NeedsHuman,
        what: "Lines that are new hold a phrase of safety.require_confirmation. Case, white \
               space, line ends, comments, escapes, string joins and the order of options do \
               not hide it. A single SQL verb such as DROP counts as configured, in odd case, \
               or before what SQL puts after it; drop(x) and dropdown are other words.",
        why: "These are the words before the accidents that cannot be undone.",
        way_out: CONFIRM,
        examples: &[
            hit("a.py", None, Some("db.execute('DR' + 'OP TABLE users')\n")),
            hit("a.py", None, Some("db.execute('delete/**/from users')\n")),
            hit("a.sh", None, Some("rm -r -f \"$x\"\n")),
            hit("a.js", None, Some("spawn('rm', ['-rf', dir])\n")),
            miss("a.rs", None, Some("drop(guard);\nlet dropdown = raindrop();\n")),
            miss("a.sql", Some("DROP TABLE a;\nx\n"), Some("DROP TABLE a;\ny\n")),
        ],
    },
    RuleDoc {
        id: DESTRUCTIVE_COMMAND,
        decision: Decision::NeedsHuman,
        what: "A command on a new line of a script, pipeline, image build or program that \
               destroys what cannot be brought back: rm -rf outside temporary folders, git push \
               --force, git reset --hard, mkfs, terraform destroy and the like. Text that only \
               names such a command is left alone.",
        why: "It runs on somebody's machine, with somebody's rights.",
        way_out: CONFIRM,
        examples: &[
            hit("deploy.sh", None, Some("git push --force origin main\n")),
            hit("Makefile", Some("clean:\n"), Some("clean:\n\tgit clean -fdx\n")),
            hit("a.py", None, Some("subprocess.run([\"git\", \"reset\", \"--hard\"])\n")),
            miss("a.sh", None, Some("echo 'git reset --hard'\n")),
            miss("a.sh", None, Some("git push origin main\n")),
        ],
    },
    RuleDoc {
        id: CI_FILES,
        decision: Decision::NeedsHuman,
        what: "A file that a continuous integration service runs: .github/, .gitlab-ci.yml, \
               azure-pipelines*.yml, pipelines/, Jenkinsfile, .circleci/, .ci/ and others, and \
               CODEOWNERS.",
        why: "It runs with the pipeline's rights and decides which checks there are.",
        way_out: CONFIRM,
        examples: &[
            hit(".github/workflows/ci.yml", Some("a: 1\n"), Some("a: 2\n")),
            miss("src/ci.rs", Some("a"), Some("b")),
        ],
    },
    RuleDoc {
        id: GIT_BEHAVIOUR,
        decision: Decision::NeedsHuman,
        what: ".gitattributes, and hooks that a repository carries: .githooks/, .husky/, \
               .pre-commit-config.yaml, lefthook.yml.",
        why: "They run commands, or change files, at the next git command of a person.",
        way_out: CONFIRM,
        examples: &[
            hit(".gitattributes", None, Some("* filter=x\n")),
            miss(".gitignore", None, Some("target\n")),
        ],
    },
    RuleDoc {
        id: FILE_MODE,
        decision: Decision::NeedsHuman,
        what: "A file becomes executable or stops being so; a new executable file that does not \
               begin with #!.",
        why: "It decides what can be run, and a diff hardly shows it.",
        way_out: CONFIRM,
        examples: &[
            with_mode(FileMode::Executable, hit("a", Some("x\n"), Some("x\n"))),
            with_mode(FileMode::Executable, hit("a", None, Some("x\n"))),
            with_mode(FileMode::Executable, miss("a", None, Some("#!/bin/sh\nx\n"))),
        ],
    },
    RuleDoc {
        id: BINARY_FILE,
        decision: Decision::NeedsHuman,
        what: "A file that is binary afterwards and is new or changed.",
        why: "Neither the reviewer nor the other rules can read it.",
        way_out: CONFIRM,
        examples: &[
            hit("a.bin", None, Some("a\0b")),
            miss("a.bin", Some("a\0b"), None),
            miss("a.txt", None, Some("text\n")),
        ],
    },
    RuleDoc {
        id: REMOVED_TEST,
        decision: Decision::NeedsHuman,
        what: "A test file is deleted, emptied or moved to where no runner looks; a test is \
               gone, by name and over the whole patch; a file with tests has fewer assertions.",
        why: "The quickest way to green is to remove what is red.",
        way_out: CONFIRM,
        examples: &[
            hit("tests/a.rs", Some("#[test]\nfn a() {}\n"), None),
            hit("src/a.rs", Some("#[test]\nfn a() {}\n"), Some("fn a() {}\n")),
            hit("test_a.py", Some("def test_a():\n  assert f()\n"), Some("def test_a():\n  f()\n")),
            miss("src/a.rs", Some("fn a() {}\n"), None),
        ],
    },
    RuleDoc {
        id: SKIPPED_TEST,
        decision: Decision::NeedsHuman,
        what: "A test is skipped, ignored, disabled, singled out (.only), left out by the \
               runner's options, or given an assertion that always holds.",
        why: "A test that does not run does not fail.",
        way_out: CONFIRM,
        examples: &[
            hit("a.rs", Some("#[test]\nfn a() {}\n"), Some("#[test]\n#[ignore]\nfn a() {}\n")),
            hit("a.test.ts", Some("it('a', f)\n"), Some("it.skip('a', f)\n")),
            miss("a.ts", None, Some("stream.skip(3)\n")),
        ],
    },
    RuleDoc {
        id: WEAKENED_GATE,
        decision: Decision::NeedsHuman,
        what: "A check that can no longer fail: || true, --passWithNoTests, --no-verify, set +e, \
               continue-on-error, a test script that only exits 0, a strict option that is gone.",
        why: "A gate that cannot fail is no gate.",
        way_out: CONFIRM,
        examples: &[
            hit("ci.sh", Some("cargo test\n"), Some("cargo test || true\n")),
            hit("package.json", Some("\"test\": \"jest\"\n"), Some("\"test\": \"true\"\n")),
            miss("ci.sh", Some("cargo test\n"), Some("cargo test || exit 1\n")),
        ],
    },
    RuleDoc {
        id: DISABLED_LINT,
        decision: Decision::NeedsHuman,
        what: "A lint or type check is switched off, in the code (eslint-disable, @ts-ignore, \
               noqa, type: ignore, #[allow], nolint, @SuppressWarnings) or in the tool's \
               configuration.",
        why: "It hides the finding instead of repairing it.",
        way_out: CONFIRM,
        examples: &[
            hit("a.rs", None, Some("#![allow(dead_code)]\n")),
            hit("a.ts", None, Some("// @ts-nocheck\n")),
            hit("tsconfig.json", Some("\"strict\": true\n"), Some("\"strict\": false\n")),
            miss("a.rs", None, Some("fn allow() {}\n")),
        ],
    },
    RuleDoc {
        id: REQUIRE_APPROVAL,
        decision: Decision::NeedsHuman,
        what: "Every patch, when the environment says require_approval.",
        why: "The environment's owners want to see each change.",
        way_out: CONFIRM,
        examples: &[],
    },
];
