//! Patterns, as data, of what makes a check pass without making the code right: gates whose
//! failure is ignored, lints switched off, tests skipped, assertions that always hold.
//!
//! A pattern counts where a stretch of changed lines has it more often afterwards than before
//! (for one that must stay, more often before): editing a line that has `|| true` already is
//! nothing new.

use std::sync::OnceLock;

use regex::Regex;

use super::lines::{Alignment, split};
use super::syntax::{SourceFile, Syntax};

/// Which rule a pattern belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakening {
    /// A test is skipped.
    Skip,
    /// A gate's failure is ignored.
    Gate,
    /// A lint or a type check is switched off.
    Lint,
}

/// Which files a pattern is sought in.
enum Files {
    /// All but prose.
    Any,
    /// Shell, makefiles, image builds, YAML, JSON, and configuration of tools.
    Scripts,
    /// With one of these extensions.
    Ext(&'static [&'static str]),
    /// Whose name contains one of these.
    Named(&'static [&'static str]),
}

struct Pattern {
    weakening: Weakening,
    files: Files,
    regex: &'static str,
    what: &'static str,
    /// Counts when it goes away rather than when it comes.
    must_stay: bool,
}

const fn comes(
    weakening: Weakening,
    files: Files,
    regex: &'static str,
    what: &'static str,
) -> Pattern {
    Pattern { weakening, files, regex, what, must_stay: false }
}

const fn goes(
    weakening: Weakening,
    files: Files,
    regex: &'static str,
    what: &'static str,
) -> Pattern {
    Pattern { weakening, files, regex, what, must_stay: true }
}

use Files::{Any, Ext, Named, Scripts};
use Weakening::{Gate, Lint, Skip};

const JS: &[&str] = &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"];
const JVM: &[&str] = &["java", "kt", "kts", "scala", "groovy"];
const C: &[&str] = &["c", "h", "cc", "cpp", "cxx", "hpp", "hh", "m", "mm"];

#[rustfmt::skip]
const PATTERNS: &[Pattern] = &[
    // Tests that no longer run.
    comes(Skip, Ext(&["rs"]), r"#\s*!?\[\s*(cfg_attr\s*\([^\]]*,\s*)?ignore\b", "an ignored test"),
    comes(Skip, Ext(&["rs"]), r"#\s*!?\[\s*cfg\s*\(\s*(any\s*\(\s*\)|FALSE|false|not\s*\(\s*(test|all\s*\(\s*\))\s*\))\s*\)", "code that is never compiled into the tests"),
    comes(Skip, Ext(&["py"]), r"@?\b(pytest\s*\.\s*mark\s*\.\s*(skip|skipif|xfail)\b|pytest\s*\.\s*(skip|xfail|importorskip)\s*\(|unittest\s*\.\s*(skip|skipIf|skipUnless|expectedFailure)\b|self\s*\.\s*skipTest\s*\(|raise\s+(unittest\.)?SkipTest\b)", "a skipped test"),
    comes(Skip, Ext(&["py"]), r"\b(collect_ignore(_glob)?\s*=|__test__\s*=\s*False)", "tests that are not collected"),
    comes(Skip, Ext(JS), r"\b(it|test|describe|context|suite|specify)\s*\.\s*(concurrent\s*\.\s*)?(skip|todo|only|skipIf|runIf|failing|fixme|fails)\b", "a skipped or singled-out test"),
    comes(Skip, Ext(JS), r"\b(xit|xdescribe|xtest|xcontext|xspecify|fit|fdescribe|ftest)\s*[(.`]", "a skipped or singled-out test"),
    comes(Skip, Ext(JS), r"\bthis\s*\.\s*skip\s*\(", "a skipped test"),
    comes(Skip, Ext(&["go"]), r"\b[tb]\s*\.\s*(Skip|Skipf|SkipNow)\s*\(", "a skipped test"),
    comes(Skip, Ext(&["go"]), r"^//\s*(go:build\s+(ignore|never)|\+build\s+ignore)\b", "a file that is never built"),
    comes(Skip, Ext(JVM), r"@\s*(Disabled\w*|Ignore|Ignored|EnabledIf\w*|DisabledIf\w*)\b", "a disabled test"),
    comes(Skip, Ext(JVM), r"@Test\s*\([^)]*\benabled\s*=\s*false", "a disabled test"),
    comes(Skip, Ext(JVM), r"\bassum(e|ing)(True|That|False)?\s*\(\s*false\s*\)", "a skipped test"),
    comes(Skip, Ext(&["cs", "fs", "vb"]), r"(\[\s*Ignore\b|\bSkip\s*=\s*\x22|\bAssert\s*\.\s*(Ignore|Inconclusive)\s*\()", "a skipped test"),
    comes(Skip, Ext(&["rb"]), r"(^\s*(xit|xdescribe|xcontext|pending|skip)\b|,\s*(skip|pending)\s*:|:(skip|pending)\b)", "a skipped test"),
    comes(Skip, Ext(&["php"]), r"\bmarkTest(Skipped|Incomplete)\s*\(", "a skipped test"),
    comes(Skip, Ext(C), r"\b(GTEST_SKIP\s*\(|TEST(_F|_P)?\s*\(\s*\w+\s*,\s*DISABLED_|SKIP\s*\()", "a skipped test"),
    comes(Skip, Ext(&["ex", "exs"]), r"@(module)?tag\s+:?skip\b", "a skipped test"),
    comes(Skip, Ext(&["swift"]), r"\b(XCTSkip\w*|\.disabled)\s*\(", "a skipped test"),
    comes(Skip, Ext(&["bats"]), r"^\s*skip\b", "a skipped test"),
    comes(Skip, Ext(&["r"]), r"^\s*(testthat::)?skip(_\w+)?\s*\(", "a skipped test"),
    comes(Skip, Ext(&["dart"]), r"\bskip\s*:\s*(true|['\x22])", "a skipped test"),
    // Assertions that always hold.
    comes(Skip, Any, r"\bassert!\s*\(\s*true\s*[,)]|\bassert\s+(True|1)\s*(,|#|$)|\bassert(True|That)?\s*\(\s*(true|True|1)\s*[,)]|\bexpect\s*\(\s*true\s*\)\s*\.\s*(toBe\s*\(\s*true|toBeTruthy|to\.be\.true|toEqual\s*\(\s*true)|\bassert_eq!\s*\(\s*(true|1)\s*,\s*(true|1)\s*\)", "an assertion that always holds"),
    // Runners told to leave tests out.
    comes(Skip, Scripts, r"(--deselect\b|--ignore(-glob)?=\S|\s-k\s*['\x22]?not\b|--skip[ =][\w:]+|-DskipTests\b|-DskipITs\b|-Dmaven\.test\.skip\b|\s-x\s+(test|check|lint)\b|--exclude-task\s+test|\btestPathIgnorePatterns\b|\bmaven\.test\.(skip|failure\.ignore)\b|<skipTests>\s*true|--no-run\b|--test-skip\b|--testPathIgnorePatterns\b|--gtest_filter=-|\s-skip[ =])", "tests that are left out"),
    comes(Skip, Named(&["cargo.toml"]), r"^\s*(test|doctest|autotests)\s*=\s*false\b", "tests that are not built"),
    comes(Skip, Named(&["pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini", "conftest.py", "jest.config", "vitest.config", "karma.conf", ".mocharc", "playwright.config"]), r"(?i)\b(norecursedirs|testPathIgnorePatterns|collect_ignore|deselect|grepInvert|testIgnore)\b", "tests that are left out"),
    // Gates whose failure no longer counts.
    comes(Gate, Scripts, r"(\|\||;)\s*(true|:|exit\s+0|echo\b[^|;&]*|/bin/true|return\s+0)\s*(['\x22),;}&]|$|#)", "a failure that is ignored"),
    comes(Gate, Scripts, r"\bset\s+(\+e\b|\+[a-z]*e[a-z]*\b|\+o\s+(errexit|pipefail)\b)", "errors that no longer stop the script"),
    comes(Gate, Scripts, r"(^|[;&|{]|\bthen\b|\bdo\b|\x22)\s*exit\s+0\b", "an exit that reports success"),
    comes(Gate, Scripts, r"--passWithNoTests\b|--pass-with-no-tests\b|--allow-no-tests\b|--no-tests[ =](pass|warn)\b", "a test run that passes without tests"),
    comes(Gate, Scripts, r"--no-verify\b|--no-gpg-sign\b|\bHUSKY\s*=\s*0\b|\bSKIP=[\w,-]+\s", "checks that are skipped"),
    comes(Gate, Scripts, r"(?i)\b(continue-on-error|continueOnError|allow_failure|ignore_errors|ignore-errors|failOnStderr\s*:\s*false|soft_fail)\b\s*['\x22]?\s*[:=]\s*['\x22]?(true|yes|on|\$|\{)", "a step that may fail"),
    comes(Gate, Scripts, r"(?i)\bif\s*:\s*['\x22]?(\$\{\{\s*)?(false|always\(\))\b|\bwhen\s*:\s*never\b|\bcondition\s*:\s*false\b", "a step that is switched off"),
    comes(Gate, Scripts, r"\x22(test|lint|check|build|typecheck|type-check|test:[\w:-]+|lint:[\w:-]+|pretest|posttest)\x22\s*:\s*\x22\s*(true|:|exit 0|exit|echo\b[^\x22]*|node -e \x5c?['\x22]*0?['\x22]*)?\s*\x22", "a check that does nothing"),
    comes(Gate, Named(&["makefile", ".mk"]), r"^\t\s*@?-\s*@?\w", "a failure that is ignored"),
    comes(Gate, Named(&["makefile", ".mk"]), r"^\s*\.IGNORE\b", "failures that are ignored"),
    comes(Gate, Scripts, r"(?i)\bmake\s+(-\w*[ik]\w*|--ignore-errors|--keep-going)\b", "failures that are ignored"),
    comes(Gate, Scripts, r"--(exit-zero|no-fail(-fast)?-exit|no-error-on-unmatched-pattern|quiet-exit|force-exclude-failures|no-exit-code|exit-code[ =]0|allow-dirty|cap-lints)\b", "a check that cannot fail"),
    comes(Gate, Scripts, r"\btrap\s+(''|\x22\x22|:|true|'exit 0'|\x22exit 0\x22)\s+(ERR|EXIT|0)\b", "errors that are swallowed"),
    comes(Gate, Ext(&["gradle", "kts", "xml", "groovy"]), r"(?i)ignoreFailures\s*=?\s*true|<(testFailureIgnore|failOnError|failsOnError|failOnViolation|skip)>\s*(true|false)|failOnError\s*=\s*false|abortOnError\s*=?\s*false", "a failure that is ignored"),
    goes(Gate, Scripts, r"\bset\s+-[a-z]*e[a-z]*\b|\bset\s+-o\s+errexit\b|\bpipefail\b", "errors that stopped the script before"),
    goes(Gate, Scripts, r"(-D\s*warnings\b|-Werror\b|--max-warnings[ =]0|--strict\b|--error-on-warnings|--frozen-lockfile\b|--locked\b|--fail-under[ =]|--cov-fail-under[ =]|--check\b)", "an option that made the check strict"),
    // Lints and types that no longer speak.
    comes(Lint, Ext(JS), r"\b(eslint-disable|tslint:disable|jshint\s+ignore|biome-ignore|oxlint-disable|istanbul\s+ignore|c8\s+ignore|v8\s+ignore)|@ts-(ignore|nocheck|expect-error)\b|@flow-ignore|\$FlowFixMe", "a check that is switched off here"),
    comes(Lint, Ext(&["py", "pyi"]), r"#\s*(noqa\b|type:\s*ignore|pylint:\s*(disable|skip-file)|pyright:\s*(ignore|basic)|mypy:\s*ignore-errors|nosec\b|pragma:\s*no\s*cover|ruff:\s*noqa|flake8:\s*noqa)|@(typing\.)?no_type_check\b", "a check that is switched off here"),
    comes(Lint, Ext(&["rs"]), r"#\s*!?\[\s*(cfg_attr\s*\([^\]]*,\s*)?(allow|expect)\s*\(", "a lint that is switched off here"),
    comes(Lint, Ext(&["go"]), r"//\s*(nolint\b|lint:(ignore|file-ignore)|#nosec)", "a lint that is switched off here"),
    comes(Lint, Ext(JVM), r"@\s*(file\s*:\s*)?(SuppressWarnings|Suppress|SuppressFBWarnings|SuppressLint)\b|//\s*(NOSONAR|noinspection|CHECKSTYLE[: ]OFF)|scalastyle:off", "a warning that is switched off here"),
    comes(Lint, Ext(&["cs", "fs", "vb"]), r"#pragma\s+warning\s+disable|\bSuppressMessage\b|#nullable\s+disable", "a warning that is switched off here"),
    comes(Lint, Ext(C), r"//\s*NOLINT|#\s*pragma\s+(GCC|clang)\s+diagnostic\s+ignored|#\s*pragma\s+warning\s*\(\s*disable|cppcheck-suppress", "a warning that is switched off here"),
    comes(Lint, Ext(&["rb"]), r"#\s*(rubocop:(disable|todo)|:nocov:)", "a lint that is switched off here"),
    comes(Lint, Ext(&["php"]), r"@(phpstan-ignore|psalm-suppress|phan-suppress|codingStandardsIgnore)|\bphpcs:(ignore|disable)", "a check that is switched off here"),
    comes(Lint, Ext(&["sh", "bash", "zsh", "ksh", "bats"]), r"#\s*shellcheck\s+disable", "a lint that is switched off here"),
    comes(Lint, Ext(&["swift"]), r"//\s*swiftlint:disable", "a lint that is switched off here"),
    comes(Lint, Any, r"\bhadolint\s+ignore|\bprettier-ignore\b|\bstylelint-disable\b|\byamllint\s+disable", "a lint that is switched off here"),
    comes(Lint, Named(&["tsconfig", "jsconfig"]), r"\x22(strict\w*|noImplicit\w+|noUnused\w+|noUnchecked\w+|alwaysStrict|checkJs|noFallthrough\w*|exactOptional\w*)\x22\s*:\s*false", "a type check that is switched off"),
    comes(Lint, Named(&["tsconfig", "jsconfig"]), r"\x22(skipLibCheck|suppressImplicitAnyIndexErrors|suppressExcessPropertyErrors)\x22\s*:\s*true", "a type check that is switched off"),
    goes(Lint, Named(&["tsconfig", "jsconfig"]), r"\x22(strict\w*|noImplicit\w+|noUnused\w+|noUnchecked\w+|alwaysStrict|checkJs)\x22\s*:\s*true", "a type check that was switched on"),
    comes(Lint, Named(&["eslint", "biome.json", "tslint", ".oxlintrc", "stylelint", "package.json"]), r"(:\s*\[?\s*['\x22](off|disabled)['\x22])|(['\x22][@\w/-]+['\x22]\s*:\s*\[?\s*0\s*[,\]}]?\s*$)|\bignorePatterns\b|\bglobalIgnores\b", "a lint rule that is switched off"),
    comes(Lint, Named(&["cargo.toml", "clippy.toml", ".cargo/config"]), r"=\s*(\{[^}]*level\s*=\s*)?['\x22]allow['\x22]|-A\s*(clippy|warnings|dead_code|unused)", "a lint that is switched off"),
    comes(Lint, Named(&["pyproject.toml", "ruff.toml", "setup.cfg", ".flake8", "tox.ini", "mypy.ini", ".pylintrc", "pyrightconfig"]), r"(?i)\b(extend-ignore|extend_ignore|per-file-ignores|per_file_ignores|ignore_errors|ignore_missing_imports|disable_error_code|extend-exclude|disable|ignore)\b\s*=|\x22?(typeCheckingMode)\x22?\s*[:=]\s*\x22?off|^\s*strict\s*=\s*(false|False)\b|report\w+\s*[=:]\s*(false|\x22none\x22)", "a check that is switched off"),
    comes(Lint, Named(&[".golangci"]), r"\b(disable|disable-all|exclude-rules|exclude|skip-dirs|skip-files)\s*:", "a lint that is switched off"),
    comes(Lint, Named(&[".rubocop"]), r"\bEnabled\s*:\s*false|\bExclude\s*:", "a lint that is switched off"),
    comes(Lint, Named(&[".eslintignore", ".prettierignore", ".stylelintignore", ".semgrepignore", ".trivyignore", ".gitleaksignore", ".snyk"]), r"^\s*[^#\s]", "files that are no longer checked"),
    comes(Lint, Scripts, r"(^|[\s'\x22])-(A\s*(clippy::|warnings|dead_code|unused)|Wno-[\w-]+|w)(\s|['\x22]|$)", "warnings that are switched off"),
    goes(Lint, Ext(&["rs"]), r"#\s*!?\[\s*(deny|forbid|warn)\s*\(", "a lint that was enforced"),
    goes(Lint, Ext(JS), r"['\x22]use strict['\x22]|//\s*@ts-check", "a check that was switched on"),
];

/// The patterns, each compiled when a file first needs it.
#[derive(Debug)]
pub(super) struct Weakenings {
    regexes: Vec<OnceLock<Option<Regex>>>,
}

/// A pattern that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Weakened {
    pub weakening: Weakening,
    /// 0-based line of the resulting file; of the place where it was, when it went away.
    pub line: usize,
    pub what: &'static str,
    /// The line, shortened.
    pub text: String,
    /// Whether it went away.
    pub gone: bool,
}

impl Weakenings {
    pub(super) fn new() -> Self {
        Self { regexes: PATTERNS.iter().map(|_| OnceLock::new()).collect() }
    }

    /// Every weakening the change brings, by line.
    pub(super) fn find(
        &self,
        file: &SourceFile,
        before: &[u8],
        after: &[u8],
        lines: &Alignment,
    ) -> Vec<Weakened> {
        let applying: Vec<(&Pattern, &Regex)> = PATTERNS
            .iter()
            .zip(&self.regexes)
            .filter(|(pattern, _)| applies(&pattern.files, file))
            .filter_map(|(pattern, regex)| {
                // A test sees to it that every pattern compiles.
                let regex = regex.get_or_init(|| Regex::new(pattern.regex).ok());
                regex.as_ref().map(|regex| (pattern, regex))
            })
            .collect();
        let hunks = lines.hunks();
        if applying.is_empty() || hunks.is_empty() {
            return Vec::new();
        }
        let (before, after) = (split(before), split(after));
        let mut found = Vec::new();
        for hunk in hunks {
            let old = texts(&before[hunk.before.clone()]);
            let new = texts(&after[hunk.after.clone()]);
            for (pattern, regex) in &applying {
                let hits = |texts: &[String]| -> Vec<usize> {
                    (0..texts.len()).filter(|i| regex.is_match(&texts[*i])).collect()
                };
                let (was, is) = (hits(&old), hits(&new));
                let (more, fewer, texts) =
                    if pattern.must_stay { (&was, &is, &old) } else { (&is, &was, &new) };
                if more.len() <= fewer.len() {
                    continue;
                }
                for index in more {
                    // A module is strict without it.
                    if texts[*index].contains("use strict") && is_module(&after) {
                        continue;
                    }
                    let line =
                        if pattern.must_stay { hunk.after.start } else { hunk.after.start + index };
                    found.push(Weakened {
                        weakening: pattern.weakening,
                        line,
                        what: pattern.what,
                        text: texts[*index].trim().chars().take(100).collect(),
                        gone: pattern.must_stay,
                    });
                }
            }
        }
        found.sort_by_key(|weakened| weakened.line);
        found.dedup_by(|a, b| (a.line, a.what) == (b.line, b.what));
        found
    }
}

/// Whether the lines are an ECMAScript module: one that imports or exports.
fn is_module(lines: &[&[u8]]) -> bool {
    let begins = |line: &[u8], word: &[u8]| {
        line.strip_prefix(word).and_then(<[u8]>::first).is_some_and(|c| b" {*\"'".contains(c))
    };
    lines.iter().any(|line| begins(line, b"import") || begins(line, b"export"))
}

fn texts(lines: &[&[u8]]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

fn applies(files: &Files, file: &SourceFile) -> bool {
    match files {
        Any => file.syntax != Syntax::Prose,
        Scripts => match file.syntax {
            Syntax::Shell | Syntax::Make | Syntax::Docker | Syntax::Yaml | Syntax::Json => true,
            Syntax::Code => {
                file.has_extension(&["toml", "cfg", "ini", "gradle", "kts", "xml", "groovy"])
                    || file.name.contains(".config.")
                    || file.name.starts_with('.')
            }
            Syntax::Sql | Syntax::Prose => false,
        },
        Ext(extensions) => file.has_extension(extensions),
        Named(names) => {
            names.iter().any(|name| file.name.contains(name) || file.path.contains(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn found(path: &str, before: &str, after: &str) -> Vec<(Weakening, usize)> {
        let file = SourceFile::new(&RepoPath::new(path).expect("a path"), after.as_bytes());
        let lines = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        let weakenings = Weakenings::new();
        weakenings
            .find(&file, before.as_bytes(), after.as_bytes(), &lines)
            .iter()
            .map(|w| (w.weakening, w.line + 1))
            .collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in PATTERNS {
            assert!(Regex::new(pattern.regex).is_ok(), "{}", pattern.regex);
        }
    }

    #[test]
    fn weakenings_are_found() {
        for (path, before, after, expect) in [
            (
                "a.rs",
                "#[test]\nfn a() {}\n",
                "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n",
                (Skip, 2),
            ),
            ("a.rs", "mod t {}\n", "#[cfg(any())]\nmod t {}\n", (Skip, 1)),
            ("a.rs", "", "    assert!(true);\n", (Skip, 1)),
            ("t.py", "def test_a():\n", "@pytest.mark.skip\ndef test_a():\n", (Skip, 1)),
            ("t.py", "", "    @unittest.skip(\"x\")\n", (Skip, 1)),
            ("t.py", "", "    assert True\n", (Skip, 1)),
            ("a.test.js", "it('a', f)\n", "it.skip('a', f)\n", (Skip, 1)),
            ("a.test.js", "it('a', f)\n", "xit('a', f)\n", (Skip, 1)),
            ("a.test.js", "describe('a', f)\n", "describe.only('a', f)\n", (Skip, 1)),
            ("a_test.go", "", "\tt.Skip(\"x\")\n", (Skip, 1)),
            ("ATest.java", "", "  @Disabled\n", (Skip, 1)),
            ("ATest.java", "", "  @Ignore(\"x\")\n", (Skip, 1)),
            ("a_test.cc", "TEST(A, b) {\n", "TEST(A, DISABLED_b) {\n", (Skip, 1)),
            ("test-a.R", "", "  skip(\"slow\")\n", (Skip, 1)),
            ("test-a.R", "", "testthat::skip_on_ci()\n", (Skip, 1)),
            ("x.yml", "  - run: mvn test\n", "  - run: mvn test -DskipTests\n", (Skip, 1)),
            ("x.sh", "cargo test\n", "cargo test || true\n", (Gate, 1)),
            ("x.sh", "cargo test\n", "cargo test; true\n", (Gate, 1)),
            ("x.sh", "cargo test\n", "cargo test || :\n", (Gate, 1)),
            ("x.sh", "cargo test\n", "cargo test || exit 0\n", (Gate, 1)),
            ("x.sh", "cargo test\n", "cargo test || echo failed\n", (Gate, 1)),
            ("x.sh", "a\n", "set +e\na\n", (Gate, 1)),
            ("x.sh", "set -euo pipefail\na\n", "a\n", (Gate, 1)),
            ("x.sh", "a\n", "exit 0\na\n", (Gate, 1)),
            ("x.sh", "git commit -m x\n", "git commit --no-verify -m x\n", (Gate, 1)),
            (
                "package.json",
                "\"test\": \"jest\"\n",
                "\"test\": \"jest --passWithNoTests\"\n",
                (Gate, 1),
            ),
            ("package.json", "\"test\": \"jest\"\n", "\"test\": \"exit 0\"\n", (Gate, 1)),
            ("package.json", "\"test\": \"jest\"\n", "\"test\": \"true\"\n", (Gate, 1)),
            ("package.json", "\"test\": \"jest\"\n", "\"test\": \"jest || true\"\n", (Gate, 1)),
            ("ci.yml", "- run: x\n", "- run: x\n  continue-on-error: true\n", (Gate, 2)),
            ("ci.yml", "- script: x\n", "- script: x\n  continueOnError: true\n", (Gate, 2)),
            ("Makefile", "t:\n\tcargo test\n", "t:\n\t-cargo test\n", (Gate, 2)),
            ("x.sh", "cargo clippy -- -D warnings\n", "cargo clippy\n", (Gate, 1)),
            ("a.ts", "", "// @ts-ignore\n", (Lint, 1)),
            ("a.ts", "", "/* eslint-disable */\n", (Lint, 1)),
            ("a.py", "", "x = 1  # noqa\n", (Lint, 1)),
            ("a.py", "", "x = f()  # type: ignore[x]\n", (Lint, 1)),
            ("a.rs", "", "#![allow(dead_code)]\n", (Lint, 1)),
            ("a.rs", "", r#"#[allow(unused, reason = "r")]"#, (Lint, 1)),
            ("a.rs", "#![deny(warnings)]\nx\n", "x\n", (Lint, 1)),
            ("a.go", "", "x() //nolint:errcheck\n", (Lint, 1)),
            ("A.java", "", "@SuppressWarnings(\"all\")\n", (Lint, 1)),
            ("tsconfig.json", "\"strict\": true\n", "\"strict\": false\n", (Lint, 1)),
            ("a.js", "'use strict';\nx()\nimport('a')\n", "x()\nimport('a')\n", (Lint, 1)),
            (".eslintrc.json", "", "  \"no-undef\": \"off\",\n", (Lint, 1)),
            ("pyproject.toml", "", "ignore = [\"E501\"]\n", (Lint, 1)),
        ] {
            let found = found(path, before, after);
            assert!(found.contains(&expect), "{path}: {before:?} -> {after:?}: {found:?}");
        }
    }

    #[test]
    fn ordinary_changes_are_none() {
        for (path, before, after) in [
            ("x.sh", "a || true\n", "b || true\n"),
            ("x.sh", "", "if a || b; then echo x; fi\n"),
            ("x.sh", "set -e\na\n", "set -e\nb\n"),
            ("x.sh", "", "a || { echo failed; exit 1; }\n"),
            ("x.sh", "", "a || exit 1\n"),
            ("a.rs", "", "let fit = model.fit(x);\nlet only = test.only_one;\n"),
            ("a.rs", "", "fn ignore() {}\n"),
            ("a.py", "", "model.fit(x)\nskip = 1\nassert x == 1\n"),
            ("a.js", "", "let exit = benefit(1);\nlimit(3)\n"),
            ("a.go", "", "s.Skip(3)\n"),
            ("package.json", "", "\"test\": \"jest\",\n\"lint\": \"eslint .\"\n"),
            ("README.md", "", "cargo test || true\n"),
            ("a.rs", r#"#[allow(x, reason = "r")]"#, r#"#[allow(x, y, reason = "r")]"#),
            ("Makefile", "", "t:\n\t@echo x\n\tcargo test\n"),
            ("ci.yml", "", "continue-on-error: false\n"),
            ("a.js", "'use strict';\nexport default a;\n", "export default a;\n"),
        ] {
            assert_eq!(found(path, before, after), vec![], "{path}: {after:?}");
        }
    }
}
