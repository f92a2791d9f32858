//! A gate's command for just the tests that failed: one row of [`RUNNERS`] for each test runner.
//!
//! Only a plain invocation of a runner is narrowed: words without anything that a shell would
//! expand, and options that the row knows. Whatever else is run as it stands.

use std::collections::BTreeSet;

use greenloop_evidence::{Outcome, TestRun};

/// Tests that a command is narrowed to; more take as long as the whole gate.
const MOST_TESTS: usize = 50;

/// A gate's command for the tests that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// For `sh -c`.
    pub command: String,
    /// Whether all other tests of the gate ran before: some runners stop at the first failure.
    pub rest_ran: bool,
    /// The tests, as the run named them.
    tests: BTreeSet<String>,
    leaf: bool,
}

/// What the narrowed command shows of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// All of them ran and passed.
    Passed,
    /// One of them failed again.
    Failed,
    /// Not all of them can be recognised in what it printed.
    Unknown,
}

impl Narrowed {
    /// What `run`, of a command that ended with 0 or not, shows of the tests.
    pub(crate) fn shown(&self, run: &TestRun, success: bool) -> Shown {
        let keys =
            |outcome| -> BTreeSet<&str> { run.named(outcome).map(|n| self.key(n)).collect() };
        let (passed, failed) = (keys(Outcome::Passed), keys(Outcome::Failed));
        let wanted = || self.tests.iter().map(|test| self.key(test));
        if wanted().any(|test| failed.contains(test)) {
            return if success { Shown::Unknown } else { Shown::Failed };
        }
        let all = wanted().all(|test| passed.contains(test));
        if all && success { Shown::Passed } else { Shown::Unknown }
    }

    /// Those of the tests that passed.
    pub(crate) fn passed_in<'a>(&'a self, run: &'a TestRun) -> impl Iterator<Item = &'a str> {
        let keys =
            |outcome| -> BTreeSet<&str> { run.named(outcome).map(|n| self.key(n)).collect() };
        let (passed, failed) = (keys(Outcome::Passed), keys(Outcome::Failed));
        self.tests.iter().map(String::as_str).filter(move |test| {
            let key = self.key(test);
            passed.contains(key) && !failed.contains(key)
        })
    }

    /// The part of a name that both runs print: reporters that name the groups of a test differ.
    fn key<'n>(&self, name: &'n str) -> &'n str {
        if self.leaf { leaf(name) } else { name }
    }
}

/// What follows the groups in `cart > adds` and `cart › adds`.
fn leaf(name: &str) -> &str {
    let name = name.rsplit(" > ").next().unwrap_or(name);
    name.rsplit(" \u{203a} ").next().unwrap_or(name).trim()
}

/// How the tests to run are passed to a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Select {
    /// The names in place of the paths: `pytest tests/test_a.py::test_b`.
    InPlaceOfPaths,
    /// `cargo test … -- --exact NAME…`
    CargoTest,
    /// `cargo nextest run … -E 'binary_id(=B) & test(=T)'`
    Nextest,
    /// `go test … -run '^(A|B)$' PACKAGE…`
    Go,
    /// This option with an expression that the ends of the names match, after the invocation.
    NameEnds(&'static str),
    /// This option with an expression of whole names.
    Names(&'static str),
    /// `dotnet test --filter 'FullyQualifiedName=A|FullyQualifiedName=B'`
    Dotnet,
}

/// A test runner.
struct Runner {
    /// How it is started.
    invocations: &'static [&'static [&'static str]],
    /// Options without a value that change nothing about which tests run.
    flags: &'static [&'static str],
    /// Options whose value is the next word, or follows a `=`.
    values: &'static [&'static str],
    /// Options that end the run early.
    stops: &'static [&'static str],
    /// Without this one the run ends early.
    goes_on: Option<&'static str>,
    /// Words that are not paths.
    refused: &'static [&'static str],
    /// Added, so that tests that pass are named.
    names_passed: &'static [&'static str],
    select: Select,
}

/// In front of a runner, to find it.
const LAUNCHERS: &[&[&str]] = &[
    &["npx"],
    &["bunx"],
    &["pnpm", "exec"],
    &["yarn", "exec"],
    &["uv", "run"],
    &["poetry", "run"],
    &["pipenv", "run"],
    &["pdm", "run"],
    &["hatch", "run"],
];

const CARGO_VALUES: &[&str] = &[
    "-p",
    "--package",
    "--exclude",
    "-F",
    "--features",
    "--test",
    "--bin",
    "--example",
    "--profile",
    "--cargo-profile",
    "-P",
    "-j",
    "--jobs",
    "--target",
    "--target-dir",
    "--manifest-path",
    "--color",
    "--test-threads",
    "--build-jobs",
    "--retries",
];
const CARGO_FLAGS: &[&str] = &[
    "--workspace",
    "--all",
    "--lib",
    "--bins",
    "--tests",
    "--examples",
    "--all-targets",
    "--all-features",
    "--no-default-features",
    "--release",
    "-r",
    "--locked",
    "--offline",
    "--frozen",
    "-q",
    "--quiet",
    "-v",
    "--verbose",
    "--no-fail-fast",
];

#[rustfmt::skip]
const RUNNERS: &[Runner] = &[
    Runner {
        invocations: &[&["pytest"], &["py.test"], &["python", "-m", "pytest"], &["python3", "-m", "pytest"]],
        flags: &["-q", "-qq", "-v", "-vv", "-s", "-l", "--verbose", "--quiet", "--showlocals", "--no-header",
            "--strict-markers", "--strict-config", "--disable-warnings", "-ra", "-rA", "-rf", "-rs", "--strict"],
        values: &["-k", "-m", "-n", "--numprocesses", "--dist", "-c", "-p", "-o", "-W", "--tb", "--color",
            "--rootdir", "--confcutdir", "--basetemp", "--durations", "--timeout", "--import-mode", "--log-level"],
        stops: &["-x", "--exitfirst", "--maxfail"],
        goes_on: None,
        refused: &[],
        names_passed: &["-rA"],
        select: Select::InPlaceOfPaths,
    },
    Runner {
        invocations: &[&["python", "-m", "unittest"], &["python3", "-m", "unittest"]],
        flags: &["-v", "-q", "-b", "--verbose", "--quiet", "--buffer", "--locals"],
        values: &[],
        stops: &["-f", "--failfast"],
        goes_on: None,
        refused: &["discover"],
        names_passed: &["-v"],
        select: Select::InPlaceOfPaths,
    },
    Runner {
        invocations: &[&["cargo", "nextest", "run"], &["cargo", "nextest", "r"]],
        flags: CARGO_FLAGS,
        values: CARGO_VALUES,
        stops: &["--fail-fast", "--max-fail"],
        goes_on: Some("--no-fail-fast"),
        refused: &[],
        names_passed: &[],
        select: Select::Nextest,
    },
    Runner {
        invocations: &[&["cargo", "test"], &["cargo", "t"]],
        flags: CARGO_FLAGS,
        values: CARGO_VALUES,
        stops: &[],
        goes_on: Some("--no-fail-fast"),
        refused: &[],
        names_passed: &[],
        select: Select::CargoTest,
    },
    Runner {
        invocations: &[&["go", "test"]],
        flags: &["-v", "-race", "-short", "-cover", "-json", "-trimpath", "-a", "-msan", "-asan"],
        values: &["-count", "-timeout", "-tags", "-p", "-parallel", "-cpu", "-mod", "-shuffle", "-covermode"],
        stops: &["-failfast"],
        goes_on: None,
        refused: &[],
        names_passed: &["-v", "-count=1"],
        select: Select::Go,
    },
    Runner {
        invocations: &[&["jest"]],
        flags: &["--ci", "--runInBand", "-i", "--verbose", "--silent", "--no-coverage", "--forceExit", "--no-cache", "--colors"],
        values: &["--config", "-c", "--maxWorkers", "-w", "--testTimeout", "--rootDir", "--env"],
        stops: &["--bail", "-b"],
        goes_on: None,
        refused: &[],
        names_passed: &["--verbose"],
        select: Select::NameEnds("-t"),
    },
    Runner {
        invocations: &[&["vitest", "run"]],
        flags: &["--silent", "--no-color", "--globals", "--no-coverage", "--no-file-parallelism"],
        values: &["--config", "-c", "--root", "-r", "--environment", "--pool", "--project", "--testTimeout"],
        stops: &["--bail"],
        goes_on: None,
        refused: &[],
        names_passed: &["--reporter=verbose"],
        select: Select::NameEnds("-t"),
    },
    Runner {
        invocations: &[&["mocha"]],
        flags: &["--recursive", "--exit", "--colors", "--no-colors", "--check-leaks", "--parallel", "-p"],
        values: &["--config", "-r", "--require", "--timeout", "-t", "--extension", "--ui", "-u", "--jobs", "-j"],
        stops: &["--bail", "-b"],
        goes_on: None,
        refused: &[],
        names_passed: &[],
        select: Select::NameEnds("--grep"),
    },
    Runner {
        invocations: &[&["node", "--test"]],
        flags: &["--enable-source-maps", "--no-warnings", "--experimental-strip-types"],
        values: &["--import", "--require", "-r", "--loader", "--test-concurrency", "--test-timeout", "--test-reporter"],
        stops: &[],
        goes_on: None,
        refused: &[],
        names_passed: &[],
        select: Select::NameEnds("--test-name-pattern"),
    },
    Runner {
        invocations: &[&["ctest"]],
        flags: &["--output-on-failure", "-V", "-VV", "--verbose", "--no-compress-output", "--progress"],
        values: &["--test-dir", "-C", "--build-config", "-j", "--parallel", "--timeout", "-LE", "-L", "-E"],
        stops: &["--stop-on-failure"],
        goes_on: None,
        refused: &[],
        names_passed: &[],
        select: Select::Names("-R"),
    },
    Runner {
        invocations: &[&["dotnet", "test"]],
        flags: &["--no-build", "--no-restore", "--nologo"],
        values: &["-c", "--configuration", "-f", "--framework", "-r", "--runtime", "-v", "--verbosity", "--arch", "--os"],
        stops: &[],
        goes_on: None,
        refused: &[],
        names_passed: &["--logger", "console;verbosity=normal"],
        select: Select::Dotnet,
    },
];

/// A command that was taken apart.
struct Invocation<'c> {
    /// Up to the runner's own name.
    head: Vec<&'c str>,
    options: Vec<&'c str>,
    paths: Vec<&'c str>,
    /// What follows `--`.
    tail: Vec<&'c str>,
    stops: bool,
}

/// `command` for the tests that failed in `run`, where its runner is known, takes names, and all
/// that failed is known by name.
pub(crate) fn narrowed(command: &str, run: &TestRun) -> Option<Narrowed> {
    let tests: BTreeSet<String> = run.named(Outcome::Failed).map(str::to_owned).collect();
    let by_number = run.counts().failed;
    // One that passed under the same name is not told from it.
    let twice = run.named(Outcome::Passed).any(|name| tests.contains(name));
    if tests.is_empty()
        || tests.len() as u64 != by_number
        || tests.len() > MOST_TESTS
        || run.is_broken_off()
        || twice
    {
        return None;
    }
    let words = plain_words(command)?;
    let (runner, head) = RUNNERS.iter().find_map(|runner| Some((runner, head(&words, runner)?)))?;
    let invocation = take_apart(&words, head, runner)?;
    let command = select(runner, &invocation, &tests)?;
    let leaf = matches!(runner.select, Select::NameEnds(_));
    Some(Narrowed { command, rest_ran: !invocation.stops, tests, leaf })
}

/// Whether `command` is a plain call of the same test runner as `gate` with options that are known and
/// paths inside of the repository: the same gate, for other tests.
pub(crate) fn is_selection(gate: &str, command: &str) -> bool {
    let taken = |command: &str| {
        let words = plain_words(command)?;
        let (runner, at) =
            RUNNERS.iter().find_map(|runner| Some((runner, head(&words, runner)?)))?;
        take_apart(&words, at, runner)?;
        let outside = |word: &&str| {
            let value = word.split_once('=').map_or(*word, |(_, value)| value);
            value.starts_with('/') || value.split('/').any(|part| part == "..")
        };
        let start: Vec<String> = words.get(..at)?.iter().map(|word| (*word).to_owned()).collect();
        (!words.get(at..)?.iter().any(outside)).then_some(start)
    };
    taken(command).is_some_and(|start| taken(gate) == Some(start))
}

/// The words of a command that a shell passes on as they stand.
fn plain_words(command: &str) -> Option<Vec<&str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t_./:=,@%+-".contains(c);
    command.chars().all(plain).then(|| command.split_ascii_whitespace().collect())
}

/// How many words start the runner.
fn head(words: &[&str], runner: &Runner) -> Option<usize> {
    let variables = words.iter().take_while(|word| is_assignment(word)).count();
    let rest = words.get(variables..)?;
    let launcher = LAUNCHERS.iter().find(|launcher| rest.starts_with(launcher));
    let launcher = launcher.map_or(0, |launcher| launcher.len());
    let rest = rest.get(launcher..)?;
    let invocation = runner.invocations.iter().find(|invocation| rest.starts_with(invocation))?;
    Some(variables + launcher + invocation.len())
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn take_apart<'c>(words: &[&'c str], head: usize, runner: &Runner) -> Option<Invocation<'c>> {
    let (head, rest) = words.split_at_checked(head)?;
    let mut parts = Invocation {
        head: head.to_vec(),
        options: Vec::new(),
        paths: Vec::new(),
        tail: Vec::new(),
        stops: runner.goes_on.is_some_and(|option| !rest.contains(&option)),
    };
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        if *word == "--" {
            parts.tail = rest.copied().collect();
            break;
        }
        if !word.starts_with('-') {
            if runner.refused.contains(word) {
                return None;
            }
            parts.paths.push(word);
            continue;
        }
        let name = word.split_once('=').map_or(*word, |(name, _)| name);
        let joined = name.len() < word.len();
        if runner.stops.contains(&name) {
            parts.stops = true;
            // A number may follow: `--maxfail 1`.
            if !joined && name.starts_with("--max") {
                rest.next()?;
            }
        } else if runner.values.contains(&name) {
            parts.options.push(word);
            if !joined {
                parts.options.push(rest.next()?);
            }
        } else if runner.flags.contains(word) {
            parts.options.push(word);
        } else {
            return None;
        }
    }
    Some(parts)
}

fn select(runner: &Runner, parts: &Invocation<'_>, tests: &BTreeSet<String>) -> Option<String> {
    let Invocation { head, options, paths, tail, stops: _ } = parts;
    let more = runner.names_passed;
    let mut words: Vec<String> = Vec::new();
    let mut add = |list: &[&str]| words.extend(list.iter().map(|word| quoted(word)));
    add(head);
    match runner.select {
        Select::InPlaceOfPaths if tail.is_empty() => {
            // `unittest` takes modules, classes and methods, and not what it ran from a script.
            if tests.iter().any(|test| test.starts_with('-') || test.starts_with("__main__")) {
                return None;
            }
            add(options);
            add(more);
            tests.iter().for_each(|test| add(&[test]));
        }
        Select::CargoTest => {
            const KNOWN: &[&str] =
                &["--nocapture", "--no-capture", "--include-ignored", "--ignored", "--show-output"];
            let threads = |word: &&str| word.starts_with("--test-threads=");
            if !tail.iter().all(|word| KNOWN.contains(word) || threads(word)) {
                return None;
            }
            add(options);
            add(&["--"]);
            add(tail);
            add(&["--exact"]);
            tests.iter().for_each(|test| add(&[test]));
        }
        Select::Nextest if tail.is_empty() => {
            let one = |test: &String| {
                let (binary, name) = test.split_once(' ')?;
                let plain = |text: &str| !text.contains(['(', ')', ',', '\\']);
                (plain(binary) && plain(name))
                    .then(|| format!("(binary_id(={binary}) & test(={name}))"))
            };
            let filter: Option<Vec<String>> = tests.iter().map(one).collect();
            add(options);
            add(&["-E", &filter?.join(" + ")]);
        }
        Select::Go if tail.is_empty() => {
            let mut names = BTreeSet::new();
            let mut packages = BTreeSet::new();
            for test in tests.iter().filter(|test| !test.starts_with("package ")) {
                let (package, name) = test.split_once(": ")?;
                packages.insert(package);
                names.insert(regex::escape(name.split('/').next()?));
            }
            if names.is_empty() {
                return None;
            }
            let names: Vec<String> = names.into_iter().collect();
            add(options);
            add(more);
            add(&["-run", &format!("^({})$", names.join("|"))]);
            packages.iter().for_each(|package| add(&[package]));
        }
        Select::NameEnds(option) if tail.is_empty() => {
            let names: BTreeSet<String> = tests.iter().map(|t| regex::escape(leaf(t))).collect();
            let names: Vec<String> = names.into_iter().collect();
            let pattern = format!("({})$", names.join("|"));
            if option.starts_with("--") {
                add(&[&format!("{option}={pattern}")]);
            } else {
                add(&[option, &pattern]);
            }
            add(options);
            add(more);
            add(paths);
        }
        Select::Names(option) if tail.is_empty() && paths.is_empty() => {
            let names: Vec<String> = tests.iter().map(|test| regex::escape(test)).collect();
            add(options);
            add(&[option, &format!("^({})$", names.join("|"))]);
        }
        Select::Dotnet if tail.is_empty() => {
            // A set of parameters in a name has signs of the filter's own.
            if tests.iter().any(|test| test.contains(['(', ')', '&', '|', '=', '!', '~', '"'])) {
                return None;
            }
            let names: Vec<String> =
                tests.iter().map(|test| format!("FullyQualifiedName={test}")).collect();
            add(paths);
            add(options);
            add(more);
            add(&["--filter", &names.join("|")]);
        }
        Select::InPlaceOfPaths
        | Select::Nextest
        | Select::Go
        | Select::NameEnds(_)
        | Select::Names(_)
        | Select::Dotnet => return None,
    }
    Some(words.join(" "))
}

/// A word as a shell passes it on.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_evidence::TestReader;

    fn run_of(console: &str) -> TestRun {
        let mut reader = TestReader::new();
        reader.push(console.as_bytes());
        reader.finish()
    }

    const PYTEST: &str = "FAILED tests/test_a.py::test_b[x y] - assert 1 == 2\n\
        ========================= 1 failed, 2 passed in 0.03s =========================\n";
    const CARGO: &str = "test tests::adds ... ok\ntest tests::it's ... FAILED\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
    const NEXTEST: &str = "        PASS [   0.010s] engine tree::t0\n        \
        FAIL [   0.012s] engine::it pool::rejects\n     Summary [   0.020s] 2 tests run: 1 passed, \
        1 failed, 0 skipped\n";
    const GO: &str = "--- FAIL: TestAdd (0.00s)\n    --- FAIL: TestAdd/neg (0.00s)\n\
        FAIL\nFAIL\texample.org/cart\t0.01s\nok  \texample.org/pay\t0.01s\n";
    const JEST: &str = "  cart\n    \u{2713} adds (2 ms)\n    \u{2715} gives 5 $ (1 ms)\n\n\
        Tests:       1 failed, 1 passed, 2 total\n";
    const UNITTEST: &str = "FAIL: test_add (tests.test_a.T.test_add)\n\
        Ran 2 tests in 0.001s\n\nFAILED (failures=1)\n";
    const CTEST: &str = "1/2 Test #1: cart.a .......   Passed    0.01 sec\n\
        2/2 Test #2: pay .....***Failed    0.01 sec\n\
        50% tests passed, 1 tests failed out of 2\n";

    #[test]
    fn a_plain_invocation_runs_only_what_failed() {
        for (command, console, expect) in [
            ("pytest", PYTEST, "pytest -rA 'tests/test_a.py::test_b[x y]'"),
            (
                "PYTHONPATH=. uv run pytest -q -k cart --tb=short tests",
                PYTEST,
                "PYTHONPATH=. uv run pytest -q -k cart --tb=short -rA 'tests/test_a.py::test_b[x y]'",
            ),
            ("python3 -m unittest", UNITTEST, "python3 -m unittest -v tests.test_a.T.test_add"),
            (
                "cargo test --workspace --no-fail-fast adds -- --nocapture",
                CARGO,
                r"cargo test --workspace --no-fail-fast -- --nocapture --exact 'tests::it'\''s'",
            ),
            (
                "cargo nextest run --no-fail-fast -p engine",
                NEXTEST,
                "cargo nextest run --no-fail-fast -p engine \
                 -E '(binary_id(=engine::it) & test(=pool::rejects))'",
            ),
            (
                "go test -race ./...",
                GO,
                "go test -race -v -count=1 -run '^(TestAdd)$' example.org/cart",
            ),
            ("npx jest --ci src", JEST, r"npx jest -t '(gives 5 \$)$' --ci --verbose src"),
            ("node --test", JEST, r"node --test '--test-name-pattern=(gives 5 \$)$'"),
            ("ctest --test-dir build", CTEST, "ctest --test-dir build -R '^(pay)$'"),
        ] {
            let narrowed = narrowed(command, &run_of(console));
            let narrowed = narrowed.unwrap_or_else(|| panic!("{command} is not narrowed"));
            assert_eq!(narrowed.command, expect);
            assert!(narrowed.rest_ran, "{command}");
        }
    }

    #[test]
    fn what_is_not_plain_runs_as_it_stands() {
        for (command, console) in [
            ("pytest && ruff check", PYTEST),
            ("pytest $ARGS", PYTEST),
            ("pytest --lf", PYTEST),
            ("pytest --deselect tests/x.py", PYTEST),
            ("tox -e py", PYTEST),
            ("make test", CARGO),
            ("python3 -m unittest discover -s tests", UNITTEST),
            ("cargo nextest run -E 'test(x)'", NEXTEST),
            ("cargo test -- --skip slow", CARGO),
            ("go test ./... -args -x", GO),
            ("npx jest -t adds", JEST),
            // Nothing failed, or not all that failed is named.
            ("cargo test", "test result: ok. 1 passed; 0 failed; 0 ignored\n"),
            ("pytest", "================ 2 failed in 0.03s ================\n"),
        ] {
            assert_eq!(narrowed(command, &run_of(console)), None, "{command}");
        }
    }

    #[test]
    fn a_run_that_stopped_early_leaves_the_rest_to_be_run() {
        for (command, console) in [
            ("pytest -x", PYTEST),
            ("pytest --maxfail 1 tests", PYTEST),
            ("cargo test", CARGO),
            ("cargo nextest run", NEXTEST),
            ("npx jest --bail", JEST),
        ] {
            let narrowed = narrowed(command, &run_of(console)).expect(command);
            assert!(!narrowed.rest_ran, "{command}");
            assert!(!narrowed.command.contains("maxfail"), "{}", narrowed.command);
        }
    }

    #[test]
    fn only_what_the_runner_names_counts() {
        let narrow = narrowed("cargo test --no-fail-fast", &run_of(CARGO)).unwrap();
        let ok = "test tests::it's ... ok\n\
            test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out\n";
        let nothing =
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out\n";
        assert_eq!(narrow.shown(&run_of(ok), true), Shown::Passed);
        assert_eq!(narrow.shown(&run_of(ok), false), Shown::Unknown);
        assert_eq!(narrow.shown(&run_of(CARGO), false), Shown::Failed);
        assert_eq!(narrow.shown(&run_of(nothing), true), Shown::Unknown);
        assert_eq!(narrow.passed_in(&run_of(ok)).collect::<Vec<_>>(), ["tests::it's"]);
        // A reporter that names the groups is understood, too.
        let jest = narrowed("npx jest", &run_of(JEST)).unwrap();
        let verbose = "    \u{2713} cart > gives 5 $ (1 ms)\n\nTests:       1 passed, 1 total\n";
        assert_eq!(jest.shown(&run_of(verbose), true), Shown::Passed);
    }
}
