//! What a patch does to tests that are there: a line that demanded something and is gone, and a
//! line that comes into an existing test, or beside it, and can keep it from failing.
//!
//! New tests, and new assertions in old ones, are left alone; so are tests that move, are renamed
//! to another name that runs, or are split, as long as every line of theirs stays.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::file_kind::FileKind;
use super::hidden_lines;
use super::lines::{Alignment, Hunk, split};
use super::syntax::SourceFile;
use super::test_headers::{self, begins_test, has_body, is_renamed};
use greenloop_model::{FileChange, RepoPath};

/// How many tests of one stretch of lines may have other names.
const MAX_RENAMED: usize = 200;
/// How much of a definition's first line is compared.
const MAX_HEAD: usize = 200;
/// How many assertions that a parametrized test makes are written out.
const MAX_SUBSTITUTED: usize = 10_000;

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
    // Not `[Type]::Method`, an expression of PowerShell.
    LazyLock::new(|| regex(r"^\s*(@[A-Za-z_]|#!?\[|\[[A-Z]\w*(\(|\]([^:]|$)))"));

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
    if hits(&ASSERTION, &without_strings(line)) {
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
          | expect\.extend|chai\.use|Object\.prototype|Function\.prototype|assert\.\w+\s*=[^=]
          | autouse\s*=\s*True|unittest\.TestCase\.\w+\s*=|runner\.\w+\s*=
        )|(^|[;{(,.])\s*(let\s+|const\s+|var\s+)?expect\s*=[^=]",
    )
});

/// What puts something else in the place of an assertion, or of what reports its failure.
static REPLACES_ASSERTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r#"[\w)\]]\.(assert\w*|expect|failureException|should)\s*=[^=>]|^\s*failureException\s*=|\b(setattr|object|patch\w*|defineProperty|spyOn|stub\w*|alias_method|define_method|undef_method|remove_method)\b[^#]*["':](assert\w*|expect|fail|failureException|addFailure|addError|should|toBe|toEqual)\b"#,
    )
});

/// A definition of an assertion, wherever it stands.
static DEFINES_ASSERTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^\s*(?:(?:public|private|protected|internal|static|final|override|open|async|export|default|func|fun|fn|def|function|const|let|var|local|sub|void|inline|auto)\s+)+(?:self\.)?((?:assert|refute|expect|should|check|verify)(?:_\w+|[A-Z]\w*)?|fail)\s*(?:\(|=[^=])",
    )
});

/// A definition that takes the place of an earlier one of its name: its indentation and name.
static REDEFINES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^(\s*)(?:export\s+)?(?:async\s+)?(?:def|class|function)\s+(?:self\.)?(\w+)|^()([\w:.-]+|\[)\s*\(\)\s*\{",
    )
});

/// A definition of one name in several parts.
static PARTIAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(r"^\s*@(\w+\.(setter|getter|deleter|register)\b|(typing\.)?overload\b)")
});

/// `name = value`, with the indentation.
static ASSIGNS: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"^(\s*)(\w+)\s*(?::[^=]*)?=[^=>]"));

/// Statements that put something else in the place of what a name meant before, or take it away:
/// members of classes and modules, macros.
static REPLACES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"^(del\s+\w|[A-Za-z_]\w*\.\w+(\.\w+)*\s*=[^=]|setattr\s*\(|delattr\s*\()|^\s*(#\s*undef\b|#\s*define\s+(NDEBUG|assert\w*|EXPECT\w*|ASSERT\w*|CHECK\w*|REQUIRE\w*|TEST\w*)\b|macro_rules!\s*(assert|debug_assert|panic)\w*)|^\s*t\s*=\s*(&testing\.|new\(testing\.)|\bXCTExpectFailure\b|\bskip_all\b|\blocal\s+\$(?i:todo)\b",
    )
});

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

/// What fails by itself, and catches of errors that no failed assertion is.
static SAFE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\b(throw\s+new|raise)\s+AssertionError\b|\bcatch\s*\(\s*(final\s+)?[A-Z]\w*Exception\s+\w+\s*\)",
    )
});
/// Errors that a failed assertion is, by their names.
static ASSERTION_ERROR: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r"(?i)catch\b.*(assert|xunit|fail|expect|test|mock|verif|runtime)"));

/// A line of such a file without strings, and without what keeps no test from failing.
fn plain(line: &str, typed: bool) -> String {
    let plain = without_strings(line);
    match SAFE.as_ref() {
        Some(safe) if typed && !hits(&ASSERTION_ERROR, &plain) => {
            safe.replace_all(&plain, "").into_owned()
        }
        _ => plain,
    }
}

/// The words of a line that can keep a test from failing.
fn evasions(plain: &str) -> Vec<String> {
    [&EVASION, &SWALLOWS]
        .into_iter()
        .filter_map(|words| words.as_ref())
        .flat_map(|words| words.find_iter(plain))
        .map(|word| word.as_str().to_owned())
        .collect()
}

/// Words of removed lines that may stand in others, beside a change of product code: a return of
/// another value, a catch of another error, a mark with another text.
struct Budget<'a> {
    words: HashMap<String, usize>,
    lines: Vec<&'a str>,
}

impl<'a> Budget<'a> {
    fn of(removed: &'a [String], typed: bool) -> Self {
        let mut words = HashMap::new();
        for word in removed.iter().flat_map(|line| evasions(&plain(line, typed))) {
            *words.entry(word).or_default() += 1;
        }
        Self { words, lines: removed.iter().map(|line| line.trim()).take(MAX_RENAMED).collect() }
    }

    /// Whether the line took the place of one that could keep the test from failing as well.
    fn covers(&mut self, line: &str, typed: bool) -> bool {
        let plain = plain(line, typed);
        // What catches everything, or ends without a value, is no other form of what was there.
        let bare = plain.trim().trim_end_matches(';');
        let broad = hits(&BROAD, &plain)
            || hits(&ASSERTION_ERROR, &plain)
            || ["return", "pass", "break", "continue"].contains(&bare);
        let words = evasions(&plain);
        let there = |word: &String| self.words.get(word).is_some_and(|count| *count > 0);
        if broad || words.is_empty() || !words.iter().all(there) {
            return false;
        }
        for word in words {
            if let Some(count) = self.words.get_mut(&word) {
                *count = count.saturating_sub(1);
            }
        }
        true
    }

    /// Whether a mark differs from one that is gone in its texts only, and has as many.
    fn has_mark(&self, line: &str) -> bool {
        let quotes = |line: &str| line.matches("\"\"").count() + line.matches("''").count();
        let plain = without_strings(line);
        plain != line
            && quotes(line) == 0
            && self.lines.iter().any(|old| without_strings(old) == plain.trim())
    }
}

static BROAD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\bcatch\s*(\{|\(\s*(final\s+)?(\w+\s*\|\s*)*(\.\.\.|\w+\s*\)|(Throwable|Error|Exception)\b))|\bexcept\s*:|\brescue\s*($|=>|Exception|StandardError)|\bif\s*\(?\s*(0|1|true|false|True|False)\b",
    )
});

/// Everything the patch does to tests that are there.
///
/// Beside a change of `product` code, an assertion may become one that demands as much, and code
/// around it may change; what takes a test out of the run is still found.
///
/// Lines that are gone from a file that `is_repaired` (it did not parse, or follows a name of the
/// product) are left alone.
pub(super) fn find(
    candidates: &[Candidate<'_>],
    product: bool,
    is_repaired: &dyn Fn(&FileChange) -> bool,
) -> Vec<TestChange> {
    let files: Vec<TestFile> = candidates.iter().filter_map(TestFile::new).collect();
    // What comes in anywhere may be what went away elsewhere.
    let mut added: HashMap<String, usize> = HashMap::new();
    for file in &files {
        // What does not run is not there.
        for index in file.added().filter(|index| !file.layout.hidden[*index]) {
            *added.entry(normal(&file.after[index])).or_default() += 1;
        }
    }
    let mut found = Vec::new();
    for file in &files {
        let change = candidates.iter().find(|candidate| candidate.change.path == file.path);
        if !change.is_some_and(|candidate| is_repaired(candidate.change)) {
            file.judge_removed(product, &mut added, &mut found);
        }
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
    layout: Layout,
    /// Whether only errors of a kind are caught that is named.
    typed: bool,
}

/// What is read of a whole file once.
#[derive(Default)]
struct Layout {
    /// The line of the definition that each line stands in.
    enclosing: Vec<Option<usize>>,
    /// Whether some definition around each line is new.
    within_new: Vec<bool>,
    /// The next line that is neither a mark nor without a word.
    below: Vec<Option<usize>>,
    /// Lines that stand in a string, in a comment, or in a part that is left out, before and after.
    hidden_before: Vec<bool>,
    hidden: Vec<bool>,
    /// The kept lines that ran before and are hidden now.
    newly_hidden: Vec<bool>,
    /// Words of kept lines that bring nothing in.
    used: HashSet<String>,
    /// Names that the file defined before.
    defined: HashSet<String>,
    /// Definitions of kept lines, by indentation, name, and what they stand in.
    kept: HashSet<(String, String, Option<String>)>,
    /// The lines that changed, as they were before.
    changed: HashSet<String>,
}

impl Layout {
    fn new(
        path: &RepoPath,
        (before, after): (&[String], &[String]),
        lines: &Alignment,
        hunks: &[Hunk],
    ) -> Self {
        let extension = SourceFile::new(path, b"").extension;
        let hidden_before = hidden_lines::find(before, &extension);
        let hidden = hidden_lines::find(after, &extension);
        let newly_hidden = (0..after.len())
            .map(|at| hidden[at] && lines.origin(at).is_some_and(|was| !hidden_before[was]))
            .collect();
        let mut layout = Self { hidden_before, hidden, newly_hidden, ..Self::default() };
        // The lines that may enclose the next one, each indented further than the one before it.
        let mut open: Vec<(usize, usize, Option<usize>)> = Vec::new();
        for (at, line) in after.iter().enumerate() {
            let level = indent(line);
            let says = !says_nothing(&normal(line));
            let above = open.partition_point(|(_, other, _)| *other < level).checked_sub(1);
            let around = above.and_then(|above| open[above].2);
            layout.enclosing.push(around);
            let within = around.is_some_and(|at| lines.is_added(at) || layout.within_new[at]);
            layout.within_new.push(within);
            if says {
                open.truncate(above.map_or(0, |above| above + 1));
                let header = begins_test(after, at) || hits(&DEFINITION, line);
                open.push((at, level, if header { Some(at) } else { around }));
            }
        }
        layout.below = vec![None; after.len()];
        let mut next = None;
        for at in (0..after.len()).rev() {
            layout.below[at] = next;
            if !hits(&MARK, &after[at]) && !says_nothing(&normal(&after[at])) {
                next = Some(at);
            }
        }
        let word = |c: char| !c.is_alphanumeric() && c != '_';
        for (at, line) in after.iter().enumerate().filter(|(at, _)| !lines.is_added(*at)) {
            if !hits(&IMPORT, line) {
                layout.used.extend(line.split(word).filter(|it| !it.is_empty()).map(str::to_owned));
            }
            if let Some((level, name)) = definition(line) {
                let around = layout.enclosing[at].map(|at| head(&after[at]));
                layout.kept.insert((level, name, around));
            }
        }
        let assertion =
            |line: &String| Some(DEFINES_ASSERTION.as_ref()?.captures(line)?[1].to_owned());
        layout.defined = before
            .iter()
            .flat_map(|line| [defined_name(line), assertion(line)])
            .flatten()
            .collect();
        layout.changed = hunks
            .iter()
            .flat_map(|hunk| before[hunk.before.clone()].iter().map(|line| normal(line)))
            .collect();
        layout
    }
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
        let hunks = candidate.lines.hunks();
        let layout = Layout::new(&change.path, (&before, &after), candidate.lines, &hunks);
        Some(Self {
            path: change.path.clone(),
            existed: change.before.is_some(),
            before,
            after,
            tests_before,
            tests_after,
            hunks,
            is_new,
            layout,
            typed: SourceFile::new(&change.path, b"").has_extension(&["java", "kt", "cs", "scala"]),
        })
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
        let mut imports: Option<(HashSet<String>, HashSet<String>)> = None;
        let strength = |lines: &[String], tests: &[bool], hidden: &[bool]| -> usize {
            let runs = lines.iter().zip(tests.iter().zip(hidden));
            runs.filter(|(_, (test, hidden))| **test && !**hidden).map(|(it, _)| demands(it)).sum()
        };
        let was = strength(&self.before, &self.tests_before, &self.layout.hidden_before);
        let is = strength(&self.after, &self.tests_after, &self.layout.hidden);
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
                .take(MAX_RENAMED)
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
                if hits(&IMPORT, line)
                    && self.still_imports(line, imports.get_or_insert_with(|| self.imports()))
                {
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

    /// The names that the file imports, and those that it uses.
    fn imports(&self) -> (HashSet<String>, HashSet<String>) {
        let (mut imported, mut used) = (HashSet::new(), HashSet::new());
        for line in &self.after {
            let import = hits(&IMPORT, line);
            let listed = line.trim_start().starts_with(char::is_alphabetic)
                && line.trim_end().ends_with(',');
            if import || listed {
                imported.extend(names(line).map(str::to_owned));
            }
            if !import {
                used.extend(names(line).map(str::to_owned));
            }
        }
        (imported, used)
    }

    /// Whether every name that an import brought in is imported by another line, or used no more.
    fn still_imports(
        &self,
        line: &str,
        (imported, used): &(HashSet<String>, HashSet<String>),
    ) -> bool {
        names(line).all(|word| {
            [
                "import", "from", "use", "using", "include", "require", "const", "let", "var",
                "as", "super", "crate", "self",
            ]
            .contains(&word)
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
        for index in 0..self.after.len() {
            // The first one of several.
            let hidden = |at: usize| self.layout.newly_hidden[at] && self.tests_after[at];
            if hidden(index)
                && !says_nothing(&normal(&self.after[index]))
                && (index == 0
                    || !hidden(index - 1)
                    || says_nothing(&normal(&self.after[index - 1])))
            {
                found.push(self.report(
                    Some(index),
                    "existing lines of tests are put where they do not run",
                    &self.after[index],
                ));
            }
        }
        let mut hunks = self.hunks.iter().peekable();
        let mut budget = Budget::of(&[], self.typed);
        let mut first = usize::MAX;
        for index in self.added() {
            while hunks.next_if(|hunk| hunk.after.end <= index).is_some() {}
            if let Some(hunk) = hunks.peek().filter(|hunk| product && hunk.after.start != first) {
                first = hunk.after.start;
                budget = Budget::of(&self.before[hunk.before.clone()], self.typed);
            }
            let line = &self.after[index];
            let plain = normal(line);
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
                let below = self.layout.below[index];
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
                    && !budget.has_mark(line)
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
            if let Some(what) = self.replaces(index) {
                found.push(self.report(Some(index), what, line));
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
                    && {
                        let known = evasions(&without_strings(old));
                        !evasions(&without_strings(line)).iter().all(|word| known.contains(word))
                    }
                {
                    found.push(self.report(
                        Some(index),
                        "an existing test gets what can keep it from failing",
                        line,
                    ));
                }
                continue;
            }
            let code = self::plain(line, self.typed);
            let swallows = hits(&SWALLOWS, &code);
            if budget.covers(line, self.typed) {
                continue;
            }
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
            if in_old_test && (swallows || hits(&EVASION, &code)) {
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
            if hits(&REPLACES_ASSERTION, line) {
                found.push(self.report(
                    Some(index),
                    "a line comes in that replaces an assertion",
                    line,
                ));
                continue;
            }
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
        self.layout.enclosing[index]
    }

    /// Whether some definition around the line is new.
    fn is_within_new_definition(&self, index: usize) -> bool {
        self.layout.within_new[index]
    }

    /// Whether a line puts something else in the place of a test, or of what tests assert with.
    fn replaces(&self, index: usize) -> Option<&'static str> {
        let line = &self.after[index];
        if hits(&REPLACES_ASSERTION, line) {
            return Some("a line comes in that replaces an assertion");
        }
        let assertion = DEFINES_ASSERTION.as_ref()?.captures(line);
        let overrides = assertion.is_some_and(|found| {
            self.layout.used.contains(&found[1]) && !self.layout.defined.contains(&found[1])
        });
        if overrides {
            return Some("an assertion that existing tests use is defined again");
        }
        let parts = index.checked_sub(1).is_some_and(|above| hits(&PARTIAL, &self.after[above]));
        let around = self.layout.enclosing[index].map(|at| head(&self.after[at]));
        let named = definition(line).or_else(|| {
            let found = ASSIGNS.as_ref()?.captures(line)?;
            Some((found[1].to_owned(), found[2].to_owned()))
        });
        // In a block that is not known, the two may be apart.
        let again = named.is_some_and(|(level, name)| {
            (level.is_empty() || around.is_some())
                && self.layout.kept.contains(&(level, name, around))
        });
        (again && !parts && !self.layout.within_new[index])
            .then_some("what existing lines define is defined again")
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
        old.any(|i| {
            !self.is_new[i]
                || (self.layout.changed.contains(&normal(&self.after[i]))
                    && hits(&ASSERTION, &self.after[i]))
        })
    }

    /// Whether lines that stay use the name, and nothing defined it before.
    fn was_used(&self, name: &str) -> bool {
        self.layout.used.contains(name) && !self.layout.defined.contains(name)
    }
}

/// As much of a definition's first line as tells it from others.
fn head(line: &str) -> String {
    line.trim().chars().take(MAX_HEAD).collect()
}

/// The words of a line that can be names.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() > 1)
}

/// The indentation and the name of a definition that one of the same name would replace.
fn definition(line: &str) -> Option<(String, String)> {
    let found = REDEFINES.as_ref()?.captures(line)?;
    let group = |one, other| found.get(one).or(found.get(other)).map(|it| it.as_str().to_owned());
    Some((group(1, 3)?, group(2, 4)?))
}

/// The name that a line at the top of a file defines.
fn defined_name(line: &str) -> Option<String> {
    static DEFINED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        regex(
            r"^(?:export\s+)?(?:(?:async\s+)?def|function|async\s+function|class|fn|func|const|let|var|pub\s+fn|static|alias|local(?:\s+function)?)\s+(\w+)|^(\w+)\s*=[^=>]|^(\w+)\s*\(\)\s*\{|^([\w.]+)\s*<-",
        )
    });
    let captures = DEFINED.as_ref()?.captures(line)?;
    let name = captures.iter().skip(1).flatten().next()?;
    Some(name.as_str().to_owned())
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
                if found.len() > MAX_SUBSTITUTED {
                    return found;
                }
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
        found_beside(path, Some(before), after, false)
    }

    fn found_beside(path: &str, before: Option<&str>, after: &str, product: bool) -> Vec<String> {
        let change = FileChange {
            path: RepoPath::new(path).expect("a path"),
            moved_from: None,
            before: before.map(greenloop_model::FileContent::regular),
            after: Some(greenloop_model::FileContent::regular(after)),
        };
        let kind = super::super::file_kind::file_kind(
            &change.path,
            after.as_bytes(),
            &super::super::GateFiles::default(),
        );
        let lines = Alignment::new(before.map(str::as_bytes), Some(after.as_bytes()));
        let candidates = [Candidate { change: &change, kind, lines: &lines }];
        find(&candidates, product, &|_| false).into_iter().map(|change| change.detail).collect()
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
    fn what_tests_assert_with_is_not_replaced() {
        let class = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(), 3)\n";
        let function = "def test_a():\n    assert f() == 3\n";
        let script = "check() {\n  [ \"$1\" = \"$2\" ] || exit 1\n}\ncheck \"$(f)\" 3\n";
        let r = "test_that(\"a\", {\n  expect_equal(f(), 3)\n})\n";
        let js = "it('a', () => {\n  expect(f()).toBe(3);\n});\n";
        for (path, before, from, to, expect) in [
            (
                "test_a.py",
                class,
                "    def test_a",
                "    def assertEqual(self, *a):\n        pass\n\n    def test_a",
                true,
            ),
            (
                "test_a.py",
                class,
                "    def test_a",
                "    failureException = OSError\n\n    def test_a",
                true,
            ),
            (
                "test_a.py",
                class,
                "        self",
                "        self.assertEqual = print\n        self",
                true,
            ),
            (
                "test_a.py",
                class,
                "f(), 3)\n",
                "f(), 3)\n\n\ndef test_b(monkeypatch):\n    monkeypatch.setattr(unittest.TestCase, 'assertEqual', print)\n",
                true,
            ),
            (
                "test_a.py",
                class,
                "    def test_a",
                "    def assertSmall(self, x):\n        self.assertLess(x, 9)\n\n    def test_a",
                false,
            ),
            // The later one counts.
            (
                "test_a.py",
                class,
                "f(), 3)\n",
                "f(), 3)\n\n\nclass T(unittest.TestCase):\n    pass\n",
                true,
            ),
            (
                "test_a.py",
                class,
                "f(), 3)\n",
                "f(), 3)\n\n    def test_a(self):\n        pass\n",
                true,
            ),
            ("test_a.py", class, "f(), 3)\n", "f(), 3)\n\n    test_a = None\n", true),
            ("test_a.py", class, "f(), 3)\n", "f(), 3)\n\n\nT = None\n", true),
            (
                "test_a.py",
                class,
                "f(), 3)\n",
                "f(), 3)\n\n\nclass U(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(g(), 3)\n",
                false,
            ),
            ("test_a.py", function, "== 3\n", "== 3\n\n\ndef test_a():\n    pass\n", true),
            ("test_a.py", function, "def", "def test_a():\n    pass\n\n\ndef", true),
            ("test_a.py", function, "def test_a", "def test_b", false),
            (
                "spec_a.rb",
                "should 'a' do\n  def each; end\n  x.should.equal 3\nend\n",
                "should 'a'",
                "should 'b' do\n  def each; end\n  y.should.equal 3\nend\nshould 'a'",
                false,
            ),
            ("tests/a.sh", script, "check \"$(f", "check() { :; }\ncheck \"$(f", true),
            ("tests/a.sh", "check \"$(f)\" 3\n", "check", "check(){ :; }\ncheck", true),
            ("tests/a.sh", script, "check \"$(f", "other() { :; }\ncheck \"$(f", false),
            ("tests/testthat/test-a.R", r, "  expect", "  skip(\"slow\")\n  expect", true),
            (
                "tests/testthat/test-a.R",
                r,
                "test_that",
                "expect_equal <- function(...) TRUE\ntest_that",
                true,
            ),
            ("tests/testthat/test-a.R", r, "3)\n", "3)\n  expect_equal(f(1), 4)\n", false),
            ("a.test.js", js, "it(", "const text = `\nit(", true),
            (
                "a.test.js",
                js,
                "  expect(f()).toBe(3);\n",
                "  const text = `\n  expect(f()).toBe(3);\n  `;\n",
                true,
            ),
            (
                "a.test.js",
                js,
                "  expect(f()).toBe(3);\n",
                "  log(\"expect(f()).toBe(3);\");\n",
                true,
            ),
            (
                "a.test.js",
                js,
                "  expect",
                "  const expect = () => ({ toBe() {} });\n  expect",
                true,
            ),
            ("a.test.js", js, "  expect", "  const text = `\n  a\n  `;\n  expect", false),
        ] {
            let after = before.replacen(from, to, 1);
            assert_ne!(after, before, "{from}");
            let details = found(path, before, &after);
            assert_eq!(!details.is_empty(), expect, "{path}: {from} -> {to}: {details:?}");
        }
    }

    #[test]
    fn lines_beside_a_change_of_the_product_take_the_place_of_their_like() {
        let java = "class ATest {\n  @Test\n  public void testA() {\n    try {\n      f();\n      fail();\n    } catch (AException e) {\n      assertEquals(3, g());\n    }\n  }\n}\n";
        let rust = "#[test]\n#[should_panic = \"old\"]\nfn a() {\n    assert_eq!(f(), 3);\n}\n";
        let python = "def test_a():\n    def server(request):\n        return Response(200)\n    x = f(server)\n    assert x == 3\n";
        let plain =
            "class ATest {\n  @Test\n  public void testA() {\n    assertEquals(3, f());\n  }\n}\n";
        for (path, before, from, to, expect) in [
            ("ATest.java", java, "AException", "BException", false),
            ("ATest.java", java, "AException e", "Throwable e", true),
            ("ATest.java", java, "AException e", "Exception e", true),
            ("ATest.java", java, "AException e", "AssertFailedException e", true),
            (
                "ATest.java",
                plain,
                "    assert",
                "    if (g()) {\n      throw new AssertionError(\"no\");\n    }\n    assert",
                false,
            ),
            ("ATest.java", plain, "    assert", "    String expect = g();\n    assert", false),
            ("ATest.java", plain, "    assert", "    return;\n    assert", true),
            ("tests/a.rs", rust, "\"old\"", "\"new\"", false),
            ("tests/a.rs", rust, "\"old\"", "\"\"", true),
            ("tests/a.rs", rust, " = \"old\"", "", true),
            (
                "tests/a.rs",
                rust,
                "#[should_panic = \"old\"]\n",
                "#[should_panic = \"old\"]\n#[ignore = \"new\"]\n",
                true,
            ),
            (
                "test_a.py",
                python,
                "return Response(200)",
                "return Response(\n            201\n        )",
                false,
            ),
            ("test_a.py", python, "    x = f(server)\n", "    return f(server)\n", true),
            (
                "a.test.js",
                "let f;\nit('a', () => {\n  expect(f()).toBe(3);\n});\n",
                "  expect(f",
                "  expect = () => g;\n  expect(f",
                true,
            ),
        ] {
            let after = before.replacen(from, to, 1);
            assert_ne!(after, before, "{from}");
            let details = found_beside(path, Some(before), &after, true);
            assert_eq!(!details.is_empty(), expect, "{path}: {from} -> {to}: {details:?}");
        }
        let script = "[Console]::WriteLine(1)\n";
        let found = found_beside("tests/a.ps1", Some("x\n"), &format!("{script}x\n"), true);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn assertions_that_no_longer_run_demand_nothing() {
        let before = "it('a', () => {\n  expect(f()).toBe(3);\n});\n";
        let after = "it('a', () => {\n  const text = `\n  expect(f()).toBe(3);\n  `;\n});\n";
        let details = found_beside("a.test.js", Some(before), after, true);
        assert!(!details.is_empty());
        let new = "import unittest\nunittest.TestCase.assertEqual = print\n";
        assert!(!found_beside("test_new.py", None, new, true).is_empty());
    }

    #[test]
    fn large_files_are_judged_in_linear_time() {
        let lines = |line: &dyn Fn(usize) -> String| -> String { (0..5_000).map(line).collect() };
        for (path, text) in [
            ("test_a.py", lines(&|at| format!("def f{at}(): pass\n"))),
            ("test_a.py", lines(&|at| format!("    x{at} = f()\n"))),
            ("test_a.py", lines(&|_| "@a\n".to_owned())),
            ("test_a.py", lines(&|at| format!("import a{at}\n"))),
            ("test_a.py", lines(&|_| "\"\"\"\n".to_owned())),
            ("a.test.js", lines(&|at| format!("it('{at}', () => {{\n"))),
            ("ATest.java", lines(&|_| "[A] f(\n".to_owned())),
            ("a.test.js", "\\\"'/ ".repeat(50_000)),
            ("a.test.js", " ".repeat(200_000) + "x\n"),
        ] {
            for (before, after) in [("x\n", text.as_str()), (text.as_str(), "x\n")] {
                let _findings = found(path, before, after);
            }
            let other =
                text.replace('f', "g").replace("it(", "test(").replace("import a", "import b");
            let _findings = found(path, &text, &other);
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
