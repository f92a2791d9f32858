//! What a patch does to tests that are there: a line that demanded something and is gone, and a
//! line that comes into an existing test, or beside it, and can keep it from failing.
//!
//! New tests, and new assertions in old ones, are left alone; so are tests that move, are renamed
//! to another name that runs, or are split, as long as every line of theirs stays.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;

use super::file_kind::FileKind;
use super::lines::{Alignment, Hunk, split};
use super::syntax::SourceFile;
use super::test_headers::{self, begins_test, has_body, is_renamed};
use greenloop_model::{FileChange, RepoPath};

/// A change that can make a test pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestChange {
    pub path: RepoPath,
    /// 0-based line of the resulting file, where there is one.
    pub line: Option<usize>,
    pub detail: String,
}

/// One changed file with what is known of it.
pub(super) struct Candidate<'a> {
    pub change: &'a FileChange,
    pub kind: FileKind,
    pub lines: &'a Alignment,
}

fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

fn hits(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// The line any definition begins on.
static DEFINITION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?x)^\s*(
            (async\s+)?def\s | class\s | (export\s+)?(default\s+)?(async\s+)?function\b
          | (pub(\([^)]*\))?\s+)?(const\s+)?(async\s+)?(unsafe\s+)?fn\s | (pub\s+)?(mod|impl|struct|enum|trait|macro_rules!)\b
          | func\s | (public|private|protected|internal|static|final|override|abstract|void)\b[^=;]*\(
          | (const|let|var)\s+\w+\s*=\s*(async\s*)?(function\b|\([^)]*\)\s*=>|\w+\s*=>)
          | module\s | interface\s | type\s+\w+\s+(struct|interface) | fun\s | suspend\s+fun\s
        )",
    )
});

/// A mark that belongs to the definition below it.
static MARK: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"^\s*(@[A-Za-z_]|#!?\[|\[[A-Z]\w*(\(|\]))"));

/// Marks that only make a function a test, or give it data.
static TEST_MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^\s*(@(Test|ParameterizedTest|pytest\.mark\.parametrize|pytest\.fixture|Override|DisplayName|\w*Source|RepeatedTest|test\b)|#\[(\w+::)*(test|rstest|case|test_case)|\[(Fact|Theory|Test|TestCase|InlineData|TestMethod|DataRow)\b)",
    )
});

/// What brings names in.
static IMPORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r#"^\s*(import\b|from\s+\S+\s+import\b|(pub\s+)?use\s|using\s|#\s*include\b|require\b|require_relative\b|(const|let|var)\s+[^=]+=\s*(await\s+)?(require|import)\s*\(|extern\s+crate|mod\s+\w+;|"[\w./-]+"$|package\s)"#,
    )
});

/// Words that, on a line that comes into an existing test, can keep it from failing.
static EVASION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?x)\b(
            return|break|continue|goto|raise|throw|pass|yield\s+break|if|unless|else|elif|try|except|catch|finally|rescue
          | ensure|switch|match|when|recover|defer|suppress|raises|assertRaises\w*|should_panic|exit|_exit|abort|quit
          | Exit|os\.Exit|skip\w*|Skip\w*|SKIP\w*|xfail|todo|pending|only|fixme|failing|disabled|Disabled|Ignore\w*|ignore
          | mock\w*|Mock\w*|monkeypatch|spyOn|stub\w*|patch|setattr|delattr|defineProperty|prototype|globals|locals|__builtins__|sys\.modules
          | setTimeout|setImmediate|setInterval|nextTick|timeout|Timeout|retry|retries|flaky|rerun\w*|eval|exec|or\s+True|\|\|\s*true
          | cfg|cfg_attr|allow_failure|expectedFailure|assume\w*|Assume\w*|t\.Skip|XCTSkip\w*|precondition
        )\b|\|\|",
    )
});

/// What catches a failed assertion, or makes it unreachable.
static SWALLOWS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\b(AssertionError|BaseException|suppress|should_panic|except\s*:|except\s+Exception|catch\b|rescue\b|recover\s*\(|setTimeout|setImmediate|_exit|pytest\.exit|skip\w*\s*\(|Skip\w*\s*\(|xfail|or\s+True|if\s+False|if\s*\(\s*false|monkeypatch\.setattr|__builtins__|sys\.modules|expectedFailure)\b|\|\|\s*true",
    )
});

/// How much a line demands: an assertion, or a row of values that one is made for. One that
/// always holds demands nothing, one that holds for most values little.
fn demands(line: &str) -> usize {
    static WEAK: LazyLock<Option<Regex>> = LazyLock::new(|| {
        regex(
            r"toBeDefined|toBeTruthy|toBeFalsy|not\.toThrow\(\)|assertTrue\(\s*True|assert\s+True|assert!\(\s*true|is\s+not\s+None|assertIsNotNone|NotNil\(|expect\.anything|mock\.ANY|or\s+True|\|\|\s*true|assert\s+\w+\s*$|raises\((Base)?Exception\)|toBeInstanceOf\(Object\)|>=\s*0\b|isinstance\(",
        )
    });
    static ROW: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r#"^\s*[\[({].*[\])}],?\s*$"#));
    let plain = normal(line);
    if says_nothing(&plain) {
        return 0;
    }
    let same_sides = plain.split_once("==").is_some_and(|(left, right)| {
        left.trim().rsplit(' ').next().unwrap_or_default() == right.trim().trim_end_matches(';')
    });
    if hits(&ASSERTION, line) {
        return if same_sides {
            0
        } else if hits(&WEAK, line) {
            1
        } else {
            3
        };
    }
    usize::from(hits(&ROW, line))
}

/// Statements at the top of a test file, or in a new part of it, that reach every test.
static REACHES_ALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"(?x)\b(
            pytestmark|collect_ignore\w*|pytest_plugins|pytest_\w+|load_tests|setUpModule|tearDownModule|TestMain|__test__|__all__\s*=\s*\[\s*\]
          | os\._exit|sys\.exit|process\.exit|pytest\.exit|pytest\.skip|os\.Exit|System\.exit|std::process::exit|exit\s*\(
          | sys\.modules|__builtins__|builtins\.|globals\(\)|sys\.settrace|sys\.excepthook|atexit|threading\.excepthook
          | jest\.(mock|setTimeout|retryTimes|unmock)|vi\.(mock|setConfig)|retries\s*\(|describe\.skip|test\.skip|xdescribe
          | process\.on\s*\(|uncaughtException|unhandledRejection|recover\s*\(\s*\)|set_hook|catch_unwind
          | expect\.extend|chai\.use|Object\.prototype|Function\.prototype|assert\.\w+\s*=[^=]|expect\s*=[^=]
          | autouse\s*=\s*True|unittest\.TestCase\.\w+\s*=|runner\.\w+\s*=
        )",
    )
});

/// Statements that put something else in the place of what a name meant before, or take it away:
/// members of classes and modules, macros.
static REPLACES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^(del\s+\w|[A-Za-z_]\w*\.\w+(\.\w+)*\s*=[^=]|setattr\s*\(|delattr\s*\()|^\s*(#\s*undef\b|#\s*define\s+(NDEBUG|assert\w*|EXPECT\w*|ASSERT\w*|CHECK\w*|REQUIRE\w*|TEST\w*)\b|macro_rules!\s*(assert|debug_assert|panic)\w*)|^\s*t\s*=\s*(&testing\.|new\(testing\.)|\bXCTExpectFailure\b|\bskip_all\b|\blocal\s+\$(?i:todo)\b",
    )
});

/// What puts the lines after it out of the run, with what ends it.
const REGIONS: &[(&str, Option<&str>)] = &[
    ("\"\"\"", Some("\"\"\"")),
    ("'''", Some("'''")),
    ("/*", Some("*/")),
    ("=begin", Some("=end")),
    ("=pod", Some("=cut")),
    ("#if", Some("#endif")),
    ("__END__", None),
    ("__DATA__", None),
];

/// Functions that frameworks run around every test.
static AROUND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^\s*((async\s+)?def\s+(setUp\w*|tearDown\w*|setup_\w+|teardown_\w+|run)\s*\(|(beforeEach|afterEach|beforeAll|afterAll|before|after)\s*\(|@(Before|After)\w*|func\s+TestMain)",
    )
});

/// What Go runs before any test of the package.
static GO_INIT: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"^func\s+init\s*\(\s*\)"));

/// Comments that a build or a runner obeys.
static DIRECTIVE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^\s*(//\s*(go:build|\+build)|/\*\*?\s*@jest|//\s*@(jest|vitest)|#\s*(pytest|doctest):|(/\*)?\*\s*@(doesNotPerformAssertions|requires|group)\b|@(Skip|TestOn)\()",
    )
});

/// What makes a line an assertion.
static ASSERTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\b(assert\w*|expect\w*|should|must|EXPECT_\w+|ASSERT_\w+|CHECK\w*|REQUIRE\w*|require\.\w+|t\.(Error|Errorf|Fatal|Fatalf|Fail|FailNow|is|deepEqual|equal|same|ok)|XCTAssert\w*|verify)\b",
    )
});

/// The words of a line that can keep a test from failing.
fn evasions(line: &str) -> BTreeSet<String> {
    let plain = without_strings(line);
    [&EVASION, &SWALLOWS]
        .into_iter()
        .filter_map(|words| words.as_ref())
        .flat_map(|words| words.find_iter(&plain))
        .map(|word| word.as_str().to_owned())
        .collect()
}

/// Everything the patch does to tests that are there.
///
/// Beside a change of `product` code, an assertion may become one that demands as much, and code
/// around it may change; what takes a test out of the run is still found.
pub(super) fn find(candidates: &[Candidate<'_>], product: bool) -> Vec<TestChange> {
    let files: Vec<TestFile> = candidates.iter().filter_map(TestFile::new).collect();
    // What comes in anywhere may be what went away elsewhere.
    let mut added: HashMap<String, usize> = HashMap::new();
    for file in &files {
        for index in file.added() {
            *added.entry(normal(&file.after[index])).or_default() += 1;
        }
    }
    let mut found = Vec::new();
    for file in &files {
        file.judge_removed(product, &mut added, &mut found);
        if file.existed {
            file.judge_added(product, &mut found);
        } else {
            file.judge_new(&mut found);
        }
    }
    found
}

struct TestFile {
    path: RepoPath,
    existed: bool,
    before: Vec<String>,
    after: Vec<String>,
    /// Which lines are tests'.
    tests_before: Vec<bool>,
    tests_after: Vec<bool>,
    hunks: Vec<Hunk>,
    is_new: Vec<bool>,
}

impl TestFile {
    fn new(candidate: &Candidate<'_>) -> Option<Self> {
        let change = candidate.change;
        let text = |content: &Option<greenloop_model::FileContent>| -> Option<Vec<String>> {
            match content {
                None => Some(Vec::new()),
                Some(content) if content.is_binary() => None,
                Some(content) => Some(
                    split(&content.bytes)
                        .into_iter()
                        .map(|line| String::from_utf8_lossy(line).into_owned())
                        .collect(),
                ),
            }
        };
        let (before, after) = (text(&change.before)?, text(&change.after)?);
        let (tests_before, tests_after) = match candidate.kind {
            FileKind::Test => (vec![true; before.len()], vec![true; after.len()]),
            FileKind::Product if change.path.to_string_lossy().ends_with(".rs") => {
                (inline_tests(&before), inline_tests(&after))
            }
            _ => return None,
        };
        if !tests_before.contains(&true) && !tests_after.contains(&true) {
            return None;
        }
        let is_new = (0..after.len()).map(|index| candidate.lines.is_added(index)).collect();
        Some(Self {
            path: change.path.clone(),
            existed: change.before.is_some(),
            before,
            after,
            tests_before,
            tests_after,
            hunks: candidate.lines.hunks(),
            is_new,
        })
    }

    fn tests_of<'f>(
        &'f self,
        lines: &'f [String],
        marked: &'f [bool],
    ) -> impl Iterator<Item = &'f String> {
        lines.iter().zip(marked).filter(|(_, test)| **test).map(|(line, _)| line)
    }

    /// Lines of tests that are new.
    fn added(&self) -> impl Iterator<Item = usize> {
        (0..self.after.len()).filter(|i| self.tests_after[*i] && self.is_new[*i])
    }

    fn report(&self, line: Option<usize>, what: &str, text: &str) -> TestChange {
        let text: String = text.trim().chars().take(100).collect();
        TestChange { path: self.path.clone(), line, detail: format!("{what}: `{text}`") }
    }

    fn judge_removed(
        &self,
        product: bool,
        added: &mut HashMap<String, usize>,
        found: &mut Vec<TestChange>,
    ) {
        let strength = |lines: &mut dyn Iterator<Item = &String>| -> usize {
            lines.map(|line| demands(line)).sum()
        };
        let was = strength(&mut self.tests_of(&self.before, &self.tests_before));
        let is = strength(&mut self.tests_of(&self.after, &self.tests_after));
        if product && is >= was && !self.after.is_empty() {
            return;
        }
        for hunk in &self.hunks {
            let new: Vec<&String> = self.after[hunk.after.clone()].iter().collect();
            let mut substituted: Option<BTreeSet<String>> = None;
            let indices = hunk.before.clone().filter(|index| self.tests_before[*index]);
            let removed: Vec<&String> = indices.clone().map(|index| &self.before[index]).collect();
            let kept: Vec<&String> = new.iter().filter(|line| !is_remark(line)).copied().collect();
            if !removed.is_empty()
                && (same_but_layout(&removed, &new) || same_but_layout(&removed, &kept))
            {
                continue;
            }
            let mut headers: Vec<&String> = hunk
                .after
                .clone()
                .filter(|index| begins_test(&self.after, *index))
                .map(|index| &self.after[index])
                .collect();
            for index in indices {
                let line = &self.before[index];
                let plain = normal(line);
                if says_nothing(&plain) && !hits(&DIRECTIVE, line) {
                    continue;
                }
                if let Some(count) = added.get_mut(&plain).filter(|count| **count > 0) {
                    *count -= 1;
                    continue;
                }
                if hits(&IMPORT, line) && self.still_imports(line) {
                    continue;
                }
                if begins_test(&self.before, index)
                    && let Some(at) = headers.iter().position(|new| is_renamed(line, new))
                {
                    headers.swap_remove(at);
                    continue;
                }
                let kept =
                    substituted.get_or_insert_with(|| substitutions(&self.after, &hunk.after));
                if kept.contains(&plain) {
                    continue;
                }
                found.push(self.report(
                    Some(hunk.after.start),
                    "a line of a test is gone or changed",
                    line,
                ));
            }
        }
    }

    /// Whether every name that an import brought in is imported by another line, or used no more.
    fn still_imports(&self, line: &str) -> bool {
        let words = |text: &str| -> BTreeSet<String> {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| word.len() > 1)
                .map(str::to_owned)
                .collect()
        };
        let imported: BTreeSet<String> = self
            .after
            .iter()
            .filter(|line| {
                hits(&IMPORT, line)
                    || line.trim_start().starts_with(|c: char| c.is_alphabetic())
                        && line.trim_end().ends_with(',')
            })
            .flat_map(|line| words(line))
            .collect();
        let used: BTreeSet<String> = self
            .after
            .iter()
            .filter(|line| !hits(&IMPORT, line))
            .flat_map(|line| words(line))
            .collect();
        words(line).iter().all(|word| {
            [
                "import", "from", "use", "using", "include", "require", "const", "let", "var",
                "as", "super", "crate", "self",
            ]
            .contains(&word.as_str())
                || imported.contains(word)
                || !used.contains(word)
        })
    }

    /// The lines that tests begin on before the change, by the tests' names.
    fn headers_before(&self) -> HashMap<&str, &str> {
        (0..self.before.len())
            .filter(|index| self.tests_before[*index] && begins_test(&self.before, *index))
            .filter_map(|index| {
                Some((test_headers::name(&self.before[index])?, self.before[index].as_str()))
            })
            .collect()
    }

    fn judge_added(&self, product: bool, found: &mut Vec<TestChange>) {
        let headers = self.headers_before();
        let was = |line: &str| test_headers::name(line).and_then(|name| headers.get(name).copied());
        for index in self.added() {
            let line = &self.after[index];
            let plain = normal(line);
            if self.hides_old_lines(index) {
                found.push(self.report(
                    Some(index),
                    "existing lines of tests are put where they do not run",
                    line,
                ));
                continue;
            }
            if hits(&DIRECTIVE, line) {
                found.push(self.report(
                    Some(index),
                    "a directive that leaves tests out comes in",
                    line,
                ));
                continue;
            }
            if says_nothing(&plain) {
                continue;
            }
            if hits(&MARK, line) {
                let below = (index + 1..self.after.len()).find(|i| {
                    !hits(&MARK, &self.after[*i]) && !says_nothing(&normal(&self.after[*i]))
                });
                // A function within a test is its own affair.
                let of_test = |below: usize| {
                    let text = &self.after[below];
                    begins_test(&self.after, below) || !text.trim_start().starts_with("def ")
                };
                // A test whose first line changes as well is still the same one.
                let existed = |below: usize| {
                    !self.is_new[below]
                        || begins_test(&self.after, below) && was(&self.after[below]).is_some()
                };
                if below.is_some_and(|below| existed(below) && of_test(below))
                    && !hits(&TEST_MARK, line)
                    // A test is compiled for tests in any case.
                    && line.trim() != "#[cfg(test)]"
                {
                    found.push(self.report(
                        Some(index),
                        "a mark comes onto an existing test",
                        line,
                    ));
                }
                continue;
            }
            if hits(&REACHES_ALL, line) && !self.is_within_new_definition(index) {
                found.push(self.report(
                    Some(index),
                    "a line comes in that reaches every test",
                    line,
                ));
                continue;
            }
            if hits(&AROUND, line) && !self.is_within_new_definition(index) {
                found.push(self.report(
                    Some(index),
                    "code comes in that runs around every test",
                    line,
                ));
                continue;
            }
            let exports = line.starts_with("module.exports") || line.starts_with("exports.");
            if hits(&REPLACES, line) && !exports && !self.is_within_new_definition(index) {
                found.push(self.report(
                    Some(index),
                    "a line comes in that replaces or removes what tests are or use",
                    line,
                ));
                continue;
            }
            let opens_test = begins_test(&self.after, index);
            if let Some(name) = defined_name(line)
                && !opens_test
                && self.was_used(&name)
            {
                found.push(self.report(
                    Some(index),
                    "a name that existing tests use is defined again",
                    line,
                ));
                continue;
            }
            if opens_test {
                if has_body(line)
                    && let Some(old) = was(line)
                    && !evasions(line).is_subset(&evasions(old))
                {
                    found.push(self.report(
                        Some(index),
                        "an existing test gets what can keep it from failing",
                        line,
                    ));
                }
                continue;
            }
            let swallows = hits(&SWALLOWS, line);
            if product && !swallows && !self.ends_before_old_lines(index) {
                continue;
            }
            if self.encloses_old_lines(index) && !self.is_within_new_definition(index) {
                found.push(self.report(
                    Some(index),
                    "an existing line of a test is put inside something new",
                    line,
                ));
                continue;
            }
            let in_old_test = self.enclosing(index).is_some_and(|header| !self.is_new[header]);
            if in_old_test && (swallows || hits(&EVASION, &without_strings(line))) {
                found.push(self.report(
                    Some(index),
                    "a line comes into an existing test that can keep it from failing",
                    line,
                ));
            }
        }
    }

    /// A new test file: only what reaches beyond it.
    fn judge_new(&self, found: &mut Vec<TestChange>) {
        for index in self.added() {
            let line = &self.after[index];
            let exits = (hits(&REACHES_ALL, line) || hits(&GO_INIT, line))
                && (hits(&GO_INIT, line)
                    || line.contains("TestMain")
                    || line.contains("exit")
                    || line.contains("_exit")
                    || line.contains("sys.modules")
                    || line.contains("builtins")
                    || line.contains("pytest_"))
                && self.enclosing(index).is_none();
            if exits {
                found.push(self.report(Some(index), "a line that ends the run comes in", line));
            }
        }
    }

    /// The line of the definition that a line stands in.
    fn enclosing(&self, index: usize) -> Option<usize> {
        let mut limit = indent(&self.after[index]);
        for at in (0..index).rev() {
            let line = &self.after[at];
            if says_nothing(&normal(line)) || indent(line) >= limit {
                continue;
            }
            limit = indent(line);
            if begins_test(&self.after, at) || hits(&DEFINITION, line) {
                return Some(at);
            }
            if limit == 0 {
                return None;
            }
        }
        None
    }

    /// Whether some definition around the line is new.
    fn is_within_new_definition(&self, index: usize) -> bool {
        let mut at = index;
        while let Some(header) = self.enclosing(at) {
            if self.is_new[header] {
                return true;
            }
            at = header;
        }
        false
    }

    /// Whether a line ends its block, and lines that were there before come after it.
    fn ends_before_old_lines(&self, index: usize) -> bool {
        let line = self.after[index].trim();
        let ends = line == "pass"
            || ["return", "exit", "sys.exit", "os._exit", "process.exit", "os.Exit", "break"]
                .iter()
                .any(|word| line.starts_with(word));
        let next = (index + 1..self.after.len()).find(|i| !self.after[*i].trim().is_empty());
        ends && next.is_some_and(|next| {
            indent(&self.after[next]) >= indent(&self.after[index])
                && !says_nothing(&normal(&self.after[next]))
        })
    }

    /// Whether the line opens a string, a comment or a part that is left out, with lines in it
    /// that were there before.
    fn hides_old_lines(&self, index: usize) -> bool {
        let line = self.after[index].trim();
        let end = REGIONS.iter().find_map(|(opens, closes)| {
            let opened = match *closes {
                // The same mark opens and closes: which one it is decides the number above.
                Some(closes) if closes == *opens => {
                    let count = |line: &String| line.matches(opens).count();
                    line.matches(opens).count() % 2 == 1
                        && self.after[..index].iter().map(count).sum::<usize>() % 2 == 0
                }
                Some(closes) if *opens == "/*" => line.starts_with(opens) && !line.contains(closes),
                Some(_) => line.starts_with(opens),
                None => line == *opens,
            };
            opened.then_some(*closes)
        });
        let Some(end) = end else { return false };
        let last = match end {
            None => Some(self.after.len()),
            Some(end) => (index + 1..self.after.len()).find(|at| self.after[*at].contains(end)),
        };
        let old = |at: usize| !self.is_new[at] && !says_nothing(&normal(&self.after[at]));
        last.is_some_and(|last| (index + 1..last).any(old))
    }

    /// Whether a line that opens a block has lines in it that were there before.
    fn encloses_old_lines(&self, index: usize) -> bool {
        let line = self.after[index].trim_end();
        let opens = line.ends_with('{')
            || line.ends_with(':')
            || line.ends_with("=>")
            || line.ends_with('(')
            || line.ends_with(" do")
            || line.ends_with('[');
        if !opens {
            return false;
        }
        let level = indent(line);
        let mut old = (index + 1..self.after.len())
            .take_while(|i| {
                let line = &self.after[*i];
                line.trim().is_empty() || indent(line) > level
            })
            .filter(|i| !says_nothing(&normal(&self.after[*i])));
        // Lines that were moved in with another indentation are new ones to a diff.
        let was: BTreeSet<String> = self
            .hunks
            .iter()
            .flat_map(|hunk| self.before[hunk.before.clone()].iter().map(|line| normal(line)))
            .collect();
        old.any(|i| {
            !self.is_new[i]
                || (was.contains(&normal(&self.after[i])) && hits(&ASSERTION, &self.after[i]))
        })
    }

    /// Whether lines that stay use the name.
    fn was_used(&self, name: &str) -> bool {
        let word = |line: &str| {
            line.match_indices(name).any(|(at, _)| {
                let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                edge(line[..at].chars().next_back()) && edge(line[at + name.len()..].chars().next())
            })
        };
        self.after
            .iter()
            .zip(&self.is_new)
            .any(|(line, new)| !new && !hits(&IMPORT, line) && word(line))
            && !self.before.iter().any(|line| defined_name(line).as_deref() == Some(name))
    }
}

/// The name that a line at the top of a file defines.
fn defined_name(line: &str) -> Option<String> {
    static DEFINED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        regex(
            r"^(?:export\s+)?(?:(?:async\s+)?def|function|async\s+function|class|fn|func|const|let|var|pub\s+fn|static)\s+(\w+)|^(\w+)\s*=[^=>]",
        )
    });
    let captures = DEFINED.as_ref()?.captures(line)?;
    captures.get(1).or_else(|| captures.get(2)).map(|name| name.as_str().to_owned())
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

/// A line without what layout decides.
fn normal(line: &str) -> String {
    let joined = line.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.trim_end_matches([',', ';']).to_owned()
}

fn is_remark(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with("# ") || line.starts_with("//")
}

/// Blank, a comment, or punctuation.
fn says_nothing(plain: &str) -> bool {
    let comment = ["//", "# ", "/*", "* ", "*/", "-- ", "\"\"\"", "'''"]
        .iter()
        .any(|start| plain.starts_with(start))
        || plain == "#"
        || plain == "*";
    comment || !plain.chars().any(|c| c.is_alphanumeric() || c == '_')
}

/// The same text but for line breaks, white space and trailing commas.
fn same_but_layout(old: &[&String], new: &[&String]) -> bool {
    let text = |lines: &[&String]| -> String {
        let mut text: String =
            lines.iter().flat_map(|line| line.chars()).filter(|c| !c.is_whitespace()).collect();
        for close in [")", "]", "}"] {
            text = text.replace(&format!(",{close}"), close);
        }
        text.replace('\'', "\"")
    };
    // Indentation means something in some languages: only lines that keep their first one.
    let first = |lines: &[&String]| lines.iter().find(|l| !l.trim().is_empty()).map(|l| indent(l));
    text(old) == text(new) && first(old) == first(new)
}

fn without_strings(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut escaped = false;
    for c in line.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => out.push(c),
        }
    }
    // A quote that is never closed is an apostrophe or a lifetime.
    if quote.is_some() { line.to_owned() } else { out }
}

/// The lines of a Rust file that are its tests: modules and items under `#[cfg(test)]`, and
/// functions under `#[test]`.
pub(super) fn inline_tests(lines: &[String]) -> Vec<bool> {
    let mut marked = vec![false; lines.len()];
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index].trim_start();
        let begins = line.starts_with("#[")
            && (line.contains("cfg") && line.contains("test")
                || line.contains("test]")
                || line.contains("test("));
        if !begins {
            index += 1;
            continue;
        }
        let (mut depth, mut opened) = (0i64, false);
        while index < lines.len() {
            marked[index] = true;
            let text = without_strings(&lines[index]);
            for c in text.chars() {
                match c {
                    '{' => {
                        depth += 1;
                        opened = true;
                    }
                    '}' => depth -= 1,
                    _ => {}
                }
            }
            let ends = (opened && depth <= 0) || (!opened && text.trim_end().ends_with(';'));
            index += 1;
            if ends {
                break;
            }
        }
    }
    marked
}

/// Assertions that a parametrized test makes, written out: each row of values put in the place
/// of the names.
fn substitutions(after: &[String], range: &std::ops::Range<usize>) -> BTreeSet<String> {
    static ROWS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        regex(
            r#"parametrize\(\s*["']([\w, ]+)["']\s*,\s*\[(.*)\]\s*\)|^\s*for\s+([\w, ]+)\s+in\s+[\[(](.*)[\])]\s*:|\.each\(\s*\[(.*)\]\s*\)\s*\([^,]*,\s*(?:async\s*)?\(?([\w, ]+)\)?\s*=>"#,
        )
    });
    let mut found = BTreeSet::new();
    let Some(rows) = ROWS.as_ref() else { return found };
    for (offset, line) in after[range.clone()].iter().enumerate() {
        let Some(captures) = rows.captures(line) else { continue };
        let group = |index| captures.get(index).map(|group| group.as_str());
        let (Some(names), Some(values)) =
            (group(1).or(group(3)).or(group(6)), group(2).or(group(4)).or(group(5)))
        else {
            continue;
        };
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
        for row in top_level(values) {
            let row = row.trim();
            let cells: Vec<String> = if names.len() == 1 {
                vec![row.to_owned()]
            } else {
                top_level(row.trim_matches(['(', ')', '[', ']']))
            };
            if cells.len() != names.len() {
                continue;
            }
            for body in &after[range.start + offset..range.end] {
                if !hits(&ASSERTION, body) {
                    continue;
                }
                let mut text = normal(body);
                for (name, cell) in names.iter().zip(&cells) {
                    text = replace_word(&text, name, cell.trim());
                }
                found.insert(text);
            }
            // A test header is replaced by the parametrized one.
        }
    }
    found
}

fn top_level(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    if !part.trim().is_empty() {
        parts.push(part);
    }
    parts
}

fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let whole =
            edge(rest[..at].chars().next_back()) && edge(rest[at + word.len()..].chars().next());
        out.push_str(&rest[..at]);
        out.push_str(if whole { by } else { word });
        rest = &rest[at + word.len()..];
    }
    out.push_str(rest);
    out
}

/// Whether a Go file of this name is built for one system or processor only.
fn is_constrained(stem: &str) -> bool {
    stem.rsplit_once('_').is_some_and(|(_, last)| {
        [
            "aix",
            "android",
            "darwin",
            "dragonfly",
            "freebsd",
            "illumos",
            "ios",
            "js",
            "linux",
            "netbsd",
            "openbsd",
            "plan9",
            "solaris",
            "wasip1",
            "windows",
            "unix",
            "386",
            "amd64",
            "arm",
            "arm64",
            "loong64",
            "mips",
            "mips64",
            "mips64le",
            "mipsle",
            "ppc64",
            "ppc64le",
            "riscv64",
            "s390x",
            "wasm",
        ]
        .contains(&last)
    })
}

/// Whether the file's tests run where it lies: by the names that the language's runners look for.
pub(super) fn is_collected(path: &RepoPath) -> bool {
    let file = SourceFile::new(path, b"");
    let name = file.name.as_str();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match file.extension.as_str() {
        "py" => stem.starts_with("test") || stem.ends_with("_test") || stem.ends_with("_tests"),
        "go" => {
            let left_out =
                |part: &str| part.starts_with(['_', '.']) || matches!(part, "vendor" | "testdata");
            stem.strip_suffix("_test").is_some_and(|stem| !is_constrained(stem))
                && !file.path.split('/').any(left_out)
        }
        "exs" => stem.ends_with("_test"),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => {
            name.contains(".test.")
                || name.contains(".spec.")
                || name.contains("-test.")
                || name.contains("_test.")
                || file
                    .path
                    .split('/')
                    .any(|p| p == "__tests__" || p == "test" || p == "tests" || p == "spec")
        }
        "java" | "kt" | "scala" | "groovy" => {
            let named = ["test", "tests", "testcase", "spec", "it", "suite"]
                .iter()
                .any(|end| stem.ends_with(end))
                || stem.starts_with("test");
            named && !format!("/{}", file.path).contains("/src/main/")
        }
        "rb" => stem.ends_with("_test") || stem.ends_with("_spec") || stem.starts_with("test_"),
        "php" => stem.ends_with("test"),
        "rs" => {
            let parts: Vec<&str> = file.path.split('/').collect();
            match parts.iter().rposition(|part| *part == "tests") {
                Some(at) => parts.len() == at + 2 || name == "main.rs",
                None => true,
            }
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, before: &str, after: &str) -> Vec<String> {
        let change = FileChange {
            path: RepoPath::new(path).expect("a path"),
            moved_from: None,
            before: Some(greenloop_model::FileContent::regular(before)),
            after: Some(greenloop_model::FileContent::regular(after)),
        };
        let kind = super::super::file_kind::file_kind(
            &change.path,
            after.as_bytes(),
            &super::super::GateFiles::default(),
        );
        let lines = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        let candidates = [Candidate { change: &change, kind, lines: &lines }];
        find(&candidates, false).into_iter().map(|change| change.detail).collect()
    }

    const PY: &str = "import pytest\nfrom calc import add\n\n\ndef test_add():\n    x = add(2, 3)\n    assert x == 5\n\n\ndef test_zero():\n    assert add(0, 1) == 1\n    assert add(1, 0) == 1\n";

    #[test]
    fn tests_that_demand_less_are_found() {
        for (from, to) in [
            ("assert x == 5", "assert x == -1"),
            ("assert x == 5", "assert x"),
            ("    assert x == 5\n", ""),
            ("    assert x == 5", "    if x:\n        assert x == 5"),
            ("    assert x == 5", "    return\n    assert x == 5"),
            ("    assert x == 5", "    with pytest.raises(AssertionError):\n        assert x == 5"),
            ("    x = add(2, 3)", "    x = 5"),
            ("from calc import add", "def add(a, b):\n    return a + b"),
            ("from calc import add", "from fake import add\nadd = lambda a, b: 5"),
            ("def test_add", "@pytest.mark.slow\ndef test_add"),
            ("def test_add", "def _test_add"),
            ("def test_add", "def check_add"),
            ("import pytest\n", "import pytest\npytestmark = pytest.mark.slow\n"),
            ("import pytest\n", "import pytest\npytest.exit('x', returncode=0)\n"),
            ("def test_zero", "def load_tests(*a):\n    pass\n\n\ndef test_zero"),
        ] {
            let after = PY.replacen(from, to, 1);
            assert!(!found("tests/test_a.py", PY, &after).is_empty(), "{from} -> {to}");
        }
    }

    #[test]
    fn tests_that_demand_as_much_are_left_alone() {
        for (from, to) in [
            ("def test_add", "def test_sum"),
            ("    assert x == 5", "    assert x == 5\n    assert add(3, 3) == 6"),
            (
                "    x = add(2, 3)\n    assert x == 5",
                "    # 2 and 3\n    x = add(\n        2, 3\n    )\n    assert x == 5",
            ),
            (
                "def test_zero",
                "def test_new():\n    if True:\n        assert add(1, 1) == 2\n\n\ndef test_zero",
            ),
            (
                "    assert add(1, 0) == 1\n",
                "\n\ndef test_zero_right():\n    assert add(1, 0) == 1\n",
            ),
            ("import pytest\n", "import pytest\nimport os\n"),
            (
                "    assert add(0, 1) == 1\n    assert add(1, 0) == 1\n",
                "    for a, b in [(0, 1), (1, 0)]:\n        assert add(a, b) == 1\n",
            ),
        ] {
            let after = PY.replacen(from, to, 1);
            assert_eq!(
                found("tests/test_a.py", PY, &after),
                Vec::<String>::new(),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn tests_on_one_line_are_judged_like_others() {
        for (path, before, after, expect) in [
            (
                "a.test.js",
                "test('a', () => expect(f(1)).toBe(3));\n",
                "test('a', () => expect(f(1)).toBe(-1));\n",
                true,
            ),
            (
                "a.test.js",
                "test('a', () => expect(f(1)).toBe(3));\n",
                "test('a', () => {});\n",
                true,
            ),
            (
                "a.test.js",
                "test('a', () => expect(f(1)).toBe(3));\n",
                "test('b', () => expect(f(1)).toBe(3));\n",
                false,
            ),
            (
                "a.test.js",
                "it('a', () => { expect(f(1)).toBe(3) });\n",
                "it('a', () => { return; expect(f(1)).toBe(3) });\n",
                true,
            ),
            ("test_a.py", "def test_a(): assert f() == 3\n", "def test_a(): return\n", true),
            (
                "test_a.py",
                "def test_a(): assert f() == 3\n",
                "def test_b(): assert f() == 3\n",
                false,
            ),
            (
                "a_test.go",
                "func TestA(t *testing.T) { if f() != 3 { t.Fatal() } }\n",
                "func TestA(t *testing.T) { return; if f() != 3 { t.Fatal() } }\n",
                true,
            ),
            (
                "a_spec.rb",
                "it(\"adds\") { expect(f).to eq(3) }\n",
                "it(\"adds\") { expect(f).to eq(4) }\n",
                true,
            ),
            (
                "a_spec.rb",
                "it(\"adds\") { expect(f).to eq(3) }\n",
                "it(\"sums\") { expect(f).to eq(3) }\n",
                false,
            ),
        ] {
            assert_eq!(!found(path, before, after).is_empty(), expect, "{before} -> {after}");
        }
    }

    #[test]
    fn a_test_that_its_mark_names_can_be_renamed_and_split() {
        let rust = "#[test]\nfn a() {\n    assert_eq!(f(1), 2);\n    assert_eq!(f(2), 4);\n}\n";
        let java =
            "class ATest {\n    @Test\n    void a() {\n        assertEquals(2, f(1));\n    }\n}\n";
        for (path, before, from, to, expect) in [
            ("tests/a.rs", rust, "fn a()", "fn doubles()", false),
            (
                "tests/a.rs",
                rust,
                "    assert_eq!(f(2)",
                "}\n\n#[test]\nfn b() {\n    assert_eq!(f(2)",
                false,
            ),
            ("tests/a.rs", rust, "#[test]\nfn a()", "fn a()", true),
            ("tests/a.rs", rust, "    assert_eq!(f(2)", "}\n\nfn b() {\n    assert_eq!(f(2)", true),
            ("src/test/java/ATest.java", java, "void a()", "void doubles()", false),
            ("src/test/java/ATest.java", java, "void a()", "void a(int x)", true),
        ] {
            let after = before.replacen(from, to, 1);
            assert_eq!(!found(path, before, &after).is_empty(), expect, "{from} -> {to}");
        }
    }

    #[test]
    fn tests_that_no_longer_run_are_found() {
        let class = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(), 3)\n";
        for (path, before, from, to, expect) in [
            (
                "tests/ATest.php",
                "class ATest {\n    public function testA() {\n        $this->assertSame(3, f());\n    }\n}\n",
                "    public",
                "    /** @group slow */\n    public",
                true,
            ),
            ("test_a.py", class, "    def", "    async def", true),
            (
                "test_a.py",
                class,
                "    def test_a(self",
                "    @mock.patch('a.f')\n    def test_a(self, m",
                true,
            ),
            ("test_a.py", class, "f(), 3)\n", "f(), 3)\n\n\ndel T.test_a\n", true),
            ("test_a.py", class, "f(), 3)\n", "f(), 3)\n\n\nT.test_a = lambda self: None\n", true),
            ("test_a.py", class, "unittest\n\n", "unittest\nimport a\na.f = lambda: 3\n\n", true),
            (
                "test_a.py",
                class,
                "    def test_a(self):\n        self.assertEqual(f(), 3)\n",
                "    \"\"\"\n    def test_a(self):\n        self.assertEqual(f(), 3)\n    \"\"\"\n",
                true,
            ),
            ("test_a.py", class, "    def", "    \"\"\"\n    Sums.\n    \"\"\"\n\n    def", false),
            (
                "a_test.cc",
                "TEST(A, b) {\n  EXPECT_EQ(f(), 3);\n}\n",
                "TEST(A, b) {\n  EXPECT_EQ(f(), 3);\n}\n",
                "#if 0\nTEST(A, b) {\n  EXPECT_EQ(f(), 3);\n}\n#endif\n",
                true,
            ),
            (
                "a_test.cc",
                "TEST(A, b) {\n  EXPECT_EQ(f(), 3);\n}\n",
                "TEST",
                "#undef EXPECT_EQ\nTEST",
                true,
            ),
            (
                "a_test.cc",
                "TEST(A, b) {\n  EXPECT_EQ(f(), 3);\n}\n",
                "TEST",
                "#include <vector>\nTEST",
                false,
            ),
            ("a_spec.rb", "it \"a\" do\n  expect(f).to eq(3)\nend\n", "it", "__END__\nit", true),
            (
                "a_spec.rb",
                "it \"a\" do\n  expect(f).to eq(3)\nend\n",
                "it \"a\" do\n  expect(f).to eq(3)\nend\n",
                "=begin\nit \"a\" do\n  expect(f).to eq(3)\nend\n=end\n",
                true,
            ),
            (
                "tests/a.rs",
                "#[test]\nfn a() {\n    assert_eq!(f(), 3);\n}\n",
                "#[test]",
                "macro_rules! assert_eq { ($($t:tt)*) => {} }\n#[test]",
                true,
            ),
        ] {
            let after = before.replacen(from, to, 1);
            assert_eq!(!found(path, before, &after).is_empty(), expect, "{path}: {from} -> {to}");
        }
    }

    #[test]
    fn tests_within_rust_sources_count() {
        let before = "pub fn f() -> i32 { 1 }\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn one() {\n        assert_eq!(super::f(), 2);\n    }\n}\n";
        for (from, to, expect) in [
            ("{ 1 }", "{ 2 }", false),
            ("(), 2)", "(), 1)", true),
            ("#[cfg(test)]", "#[cfg(all(test, windows))]", true),
            ("    #[test]\n", "    #[test]\n    #[should_panic]\n", true),
            (
                "    #[test]\n",
                "    #[test]\n    fn two() {\n        assert!(true == true);\n    }\n\n    #[test]\n",
                false,
            ),
        ] {
            let after = before.replacen(from, to, 1);
            assert_eq!(!found("src/a.rs", before, &after).is_empty(), expect, "{from} -> {to}");
        }
    }

    #[test]
    fn runners_look_at_names() {
        for (path, collected) in [
            ("tests/test_a.py", true),
            ("tests/a_old.py", false),
            ("pkg/_a_test.go", false),
            ("tests/a.rs", true),
            ("tests/old/a.rs", false),
            ("src/a.test.ts", true),
            ("src/a.old.ts", false),
            ("_old/a_test.go", false),
            ("vendor/a_test.go", false),
            ("a_windows_test.go", false),
            ("a_linux_arm64_test.go", false),
            ("windows_paths_test.go", true),
            ("src/main/java/x/ATest.java", false),
            ("src/test/java/x/ATest.java", true),
            ("tests/support/mod.rs", false),
            ("tests/suite/main.rs", true),
            ("test/a_test.exs", true),
            ("test/a_tests.exs", false),
        ] {
            assert_eq!(is_collected(&RepoPath::new(path).expect("a path")), collected, "{path}");
        }
    }
}
