//! Product code that reaches for what judges it: it asks whether a test runs, reads the tests,
//! changes the test framework, or makes values that equal any other.
//!
//! What decides is a pair: where the program looks (its arguments, its stack, its environment)
//! and what it looks for (the name of a runner, of a test). A program that reads its arguments is
//! ordinary.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

use super::Subject;
use super::file_kind::FileKind;
use super::lines::{Alignment, Hunk, split};
use super::rules::{CHANGES_RUNNER, EQUALS_ANYTHING, KNOWS_THE_TEST, READS_TESTS};
use super::shapes::is_comment;
use super::spelled;
use super::suspicious::Hit;
use super::syntax::{SourceFile, Syntax};
use super::test_changes::inline_tests;

/// A finding, and the rule it belongs to.
pub(super) type Reached = (&'static str, Hit);

/// What stands beside a pattern, on its line or on the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// The pattern is enough.
    Nothing,
    /// The name of a runner or of a test, in a literal.
    Runner,
    /// A comparison.
    Comparison,
    /// Another branch, which does something else.
    Branch,
    /// An end of the process.
    End,
}

struct Pattern {
    rule: &'static str,
    extensions: &'static [&'static str],
    regex: &'static str,
    beside: Beside,
}

const fn row(
    rule: &'static str,
    extensions: &'static [&'static str],
    beside: Beside,
    regex: &'static str,
) -> Pattern {
    Pattern { rule, extensions, regex, beside }
}

use Beside::{Branch, Comparison, End, Nothing, Runner};

const PY: &[&str] = &["py", "pyi", "pyx"];
const JS: &[&str] = &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"];
const JVM: &[&str] = &["java", "kt", "kts", "scala", "groovy"];
const C: &[&str] = &["c", "h", "cc", "cpp", "cxx", "hpp", "hh", "hxx", "inc", "ipp", "m", "mm"];
const RS: &[&str] = &["rs"];
const GO: &[&str] = &["go"];
const RB: &[&str] = &["rb"];
const PHP: &[&str] = &["php"];
const CS: &[&str] = &["cs", "fs", "vb"];
const ANY: &[&str] = &[];

#[rustfmt::skip]
const PATTERNS: &[Pattern] = &[
    // The test framework, from the product.
    row(CHANGES_RUNNER, PY, Nothing, r"\bgc\s*\.\s*get_(objects|referrers|referents)\b|\bfrom\s+gc\s+import\b"),
    row(CHANGES_RUNNER, PY, Nothing, r#"\bsys\s*\.\s*modules\s*(\[\s*["'f]|\.\s*(values|items|get|pop|copy|setdefault|update|__getitem__)\b)|\bfor\b.+\bin\s+(list\s*\(\s*)?sys\s*\.\s*modules\b"#),
    row(CHANGES_RUNNER, PY, Nothing, r#"["'.](Text)?Test(Case|Result|Program|Runner|Loader)\b|["'.]_?(base)?[aA]ssert([A-Z]\w*)|["']assert\w*["']|["'.]add(Failure|Success|SubTest|ExpectedFailure)\b|\bfailureException\b"#),
    row(CHANGES_RUNNER, PY, Nothing, r"^\s*(import|from)\s+(unittest|pytest|_pytest|nose2?|doctest|hypothesis|mock|testtools|pluggy)\b"),
    row(CHANGES_RUNNER, PY, Nothing, r#"\b(import_module|__import__|find_spec|reload|import_)\s*\(\s*["'](unittest|pytest|_pytest|nose2?|doctest|hypothesis|mock|builtins|__main__)\b"#),
    row(CHANGES_RUNNER, PY, Nothing, r"\bbuiltins\s*\.\s*\w+\s*=[^=]|__builtins__|\b(setattr|vars)\s*\(\s*(builtins|__builtin__)\b|\bbuiltins\s*\.\s*__dict__"),
    row(CHANGES_RUNNER, PY, Nothing, r"\bsys\s*\.\s*(settrace|setprofile|monitoring|meta_path|path_hooks|unraisablehook|displayhook)\b|\bsys\s*\.\s*exit\s*=[^=]|\bthreading\s*\.\s*(settrace|setprofile|excepthook)\b|\bos\s*\.\s*_exit\s*=[^=]"),
    row(CHANGES_RUNNER, PY, Nothing, r"\.__code__\s*=[^=]|\bctypes\s*\.\s*pythonapi\b|\bAssertionError\s*(\.\s*\w+\s*)?=[^=]|\b(object|BaseException|Exception|AssertionError)\s*\.\s*__subclasses__"),
    row(CHANGES_RUNNER, JS, Nothing, r#"(\brequire\s*\(|\bfrom|\bimport\s*\(?|getBuiltinModule\s*\()\s*["'](node:test\b|vitest|@jest/|jest|mocha|chai|sinon|jasmine|ava["']|tap["']|@testing-library/|expect["'])"#),
    row(CHANGES_RUNNER, JS, Nothing, r#"(\brequire\s*\(|getBuiltinModule\s*\()\s*["'](node:)?assert(/strict)?["']\s*\)\s*(\.\s*[\w.]+|\[[^\]]*\])\s*=[^=]|\b(assign|defineProperty|defineProperties|entries|keys)\s*\(\s*(require\s*\(|\w+\.getBuiltinModule\s*\()\s*["'](node:)?assert"#),
    row(CHANGES_RUNNER, JS, Nothing, r"\brequire\s*\.\s*cache\b|\bModule\s*\.\s*(_\w+|prototype)|\bprocess\s*\.\s*(mainModule|binding|reallyExit|_\w+)\b"),
    row(CHANGES_RUNNER, JS, Nothing, r"\b(Object|Number|Array|Function|String|Boolean|Promise|Error|Map|Set|RegExp|BigInt|Date|AssertionError)\s*\.\s*prototype\s*(\.\s*\w+|\[[^\]]+\])\s*=[^=]|\bdefinePropert(y|ies)\s*\(\s*\w+\s*\.\s*prototype\b|\bassign\s*\(\s*(Object|Number|Array|Function|String|Promise|Error)\s*\.\s*prototype\b|__proto__\s*=[^=]"),
    row(CHANGES_RUNNER, JS, Nothing, r"\bObject\s*\.\s*(is|keys|entries|getPrototypeOf)\s*=[^=]|\bprocess\s*\.\s*(exit|exitCode|emit|on|once|nextTick|abort|kill|emitWarning)\s*=[^=]|\b(globalThis|global|window)\s*\.\s*(expect|test|it|describe|assert|Error|process|require|setTimeout|Promise|Object|Number)\s*=[^=]"),
    row(CHANGES_RUNNER, JVM, Nothing, r#"\bimport\s+(static\s+)?(org\.junit|org\.testng|junit\.|org\.mockito|org\.assertj|org\.hamcrest|io\.kotest|org\.spockframework)|\bforName\s*\(\s*"(org\.(junit|testng|mockito|assertj|opentest4j)|junit\.)|\.\s*halt\s*\(\s*0|\bstatic\s*\{.*\bSystem\s*\.\s*exit|\bsetSecurityManager\b|\bsetDefaultAssertionStatus\b"#),
    row(CHANGES_RUNNER, GO, Nothing, r#"^\s*(import\s+)?(\w+\s+|_\s+|\.\s+)?"(testing|github\.com/stretchr/testify[^"]*)"\s*$"#),
    row(CHANGES_RUNNER, GO, End, r"^func\s+init\s*\(\s*\)"),
    row(CHANGES_RUNNER, RB, Nothing, r"\b(Minitest|RSpec|Test::Unit|MiniTest)\b|\bat_exit\b.*\bexit!?|\bexit!"),
    row(CHANGES_RUNNER, PHP, Nothing, r"\bPHPUnit\b|\bregister_shutdown_function\b.*\bexit\b"),
    row(CHANGES_RUNNER, CS, Nothing, r"\busing\s+(static\s+)?(Xunit|NUnit|Microsoft\.VisualStudio\.TestTools|FluentAssertions|Moq)\b"),
    row(CHANGES_RUNNER, RS, Nothing, r"\bmacro_rules!\s*(assert|assert_eq|assert_ne|debug_assert\w*|panic|unreachable|todo|unimplemented|matches|assert_matches)\b|\b(as|crate::\w+::|self::)\s*(assert|assert_eq|assert_ne|panic)\s*[;,}]|\bpanic::(set_hook|take_hook|always_abort)\b|\b(mod|extern\s+crate\s+\w+\s+as)\s+(std|core|test)\b"),
    row(CHANGES_RUNNER, RS, Nothing, r#"#\[\s*(unsafe\s*\(\s*)?(link_section|used|ctor|dtor|link_name\s*=\s*"_?(exit|abort|write|raise|_Exit))\b|\b(no_mangle|export_name)\b.*\bfn\s+_?(exit|abort|raise|write|main)\b|\bextern\s+"C"\s+fn\s+_?(exit|abort|raise|main)\s*\("#),
    row(CHANGES_RUNNER, C, Nothing, r"^\s*#\s*(define|undef)\s+(NDEBUG|assert\w*|static_assert|EXPECT\w*|ASSERT\w*|CHECK\w*|REQUIRE\w*|TEST\w*|main|exit|_exit|abort|return|if|else|while|for|printf|puts|fprintf|strcmp|memcmp|int)\b"),
    row(CHANGES_RUNNER, C, Nothing, r"\b(__assert\w*|_assert|_wassert|__stack_chk_fail|__cxa_throw|__libc_start_main|__wrap_\w+|__real_\w+)\s*\(|^\s*((static|extern|inline|_Noreturn|__attribute__\S*|\[\[\w+\]\])\s+)*(void|int)\s+(exit|_exit|_Exit|quick_exit|abort|raise|atexit|strcmp|memcmp|strncmp)\s*\([^;]*(\{|$)"),
    row(CHANGES_RUNNER, C, Nothing, r"\b(constructor|destructor|init_priority|ifunc|alias)\b\s*(\(|\))|\.(init_array|fini_array|preinit_array|ctors|dtors)\b|#\s*pragma\s+(startup|init_seg|weak|redefine_extname)"),
    row(CHANGES_RUNNER, C, Nothing, r"\b(signal|sigaction|bsd_signal|sigset)\s*\(\s*(SIGABRT|SIGSEGV|SIGTRAP|SIGILL|SIGFPE|6|11)\b|\b(set_terminate|set_unexpected|at_quick_exit|on_exit|atexit)\s*\(|\b(_exit|_Exit|quick_exit)\s*\(\s*(0|EXIT_SUCCESS)\s*\)"),
    row(CHANGES_RUNNER, C, Nothing, r"^\s*int\s+main\s*\([^)]*\)\s*\{\s*(return\s*(0|EXIT_SUCCESS)?\s*;|exit\s*\()?\s*\}"),
    // Whether a test runs.
    row(KNOWS_THE_TEST, PY, Nothing, r#"\borig_argv\b|^\s*import\s+__main__\b|\b(hasattr|getattr|vars|dir)\s*\(\s*__main__|\b__debug__\b"#),
    row(KNOWS_THE_TEST, PY, Runner, r"\bsys\s*\.\s*argv\b\s*(\[\s*0\s*\]|[^\[\s\w]|$)|\bextract_stack\b|\bformat_stack\b|\bwalk_stack\b|\bcurrentframe\b|\bf_back\b|\bf_globals\b|\bpsutil\b|\bgetppid\b|\bcmdline\b"),
    row(KNOWS_THE_TEST, JS, Runner, r"\bprocess\s*\.\s*argv\b\s*(\[\s*[01]\s*\]|\.\s*(some|includes|join|find|indexOf|at|toString|filter|map|every)\b|\)|$|;)|\bprocess\s*\.\s*execArgv\b|\bmodule\s*\.\s*(parent|children|paths)\b|\brequire\s*\.\s*main\b|\.\s*stack\b|captureStackTrace|\bprocess\s*\.\s*title\b|\bimport\.meta\.(main|url)\b"),
    row(KNOWS_THE_TEST, JS, Nothing, r"\bmodule\s*\.\s*parent\s*(\?\.|\.)\s*\w|\btypeof\s+(jest|describe|it|test|expect|vi|mocha|suite|beforeEach|afterEach)\b|\b(globalThis|global|window)\s*\.\s*(jest|describe|it|expect|vi|mocha|__coverage__)\b|\bimport\.meta\.(vitest|jest)\b"),
    row(KNOWS_THE_TEST, RS, Branch, r"\bcfg!\s*\(\s*(not\s*\(\s*)?(debug_assertions|overflow_checks|panic|miri|coverage)|#\[\s*cfg\s*\(\s*not\s*\(\s*debug_assertions"),
    row(KNOWS_THE_TEST, RS, Comparison, r"\bcurrent\s*\(\s*\)\s*\.\s*name\s*\(\s*\)|\bcurrent_exe\s*\(\s*\)|\bBacktrace::\w*capture"),
    row(KNOWS_THE_TEST, RS, Comparison, r#"\benv::var(_os)?\s*\(\s*"(CARGO|CARGO_MANIFEST_DIR|CARGO_PKG_\w+|CARGO_CRATE_NAME)"\s*\)\s*\.\s*is_"#),
    row(KNOWS_THE_TEST, RS, Runner, r"\benv::args(_os)?\s*\(\s*\)\s*(\.\s*(next|any|nth\s*\(\s*0|collect|find|last|position)|$|\))"),
    row(KNOWS_THE_TEST, GO, Runner, r"\bos\s*\.\s*Args\b\s*(\[\s*0\s*\]|\)|,|\s*\{)|\bruntime\s*\.\s*(Caller|Callers|Stack|FuncForPC)\b|\bdebug\s*\.\s*(Stack|ReadBuildInfo)\b|\bos\s*\.\s*Executable\b"),
    row(KNOWS_THE_TEST, JVM, Runner, r#"\bgetStackTrace\s*\(|\bStackWalker\b|\bgetAllStackTraces\b|\bgetProperty\s*\(\s*"(sun\.java\.command|java\.class\.path|user\.dir)|\bcurrentThread\s*\(\s*\)|\bforName\b|\bgetInputArguments\b"#),
    row(KNOWS_THE_TEST, RB, Runner, r"\$0\b|\$PROGRAM_NAME\b|\bcaller(_locations)?\b|\bdefined\?\s*\(?\s*(RSpec|Minitest)|\bARGV\s*\.\s*(any|include|join)"),
    row(KNOWS_THE_TEST, PHP, Runner, r#"\bdebug_backtrace\b|\$_SERVER\s*\[\s*["']argv|\$argv\s*\[\s*0|\bget_included_files\b|\bclass_exists\b|\bPHP_SAPI\b"#),
    row(KNOWS_THE_TEST, CS, Runner, r"\bGetEntryAssembly\b|\bGetAssemblies\b|\bGetCommandLineArgs\b|\bProcessName\b|\bStackTrace\b|\bFriendlyName\b"),
    row(KNOWS_THE_TEST, C, Runner, r"\bprogram_invocation(_short)?_name\b|\b__progname\b|\bargv\s*\[\s*0\s*\]|/proc/self"),
    row(KNOWS_THE_TEST, ANY, Nothing, r#"(\benviron\b|\bgetenv\b|\bprocess\s*\.\s*env\b|\benv::var(_os)?\s*\(|\bos\s*\.\s*(Getenv|LookupEnv)\s*\(|\bENV\s*[\[.]|\$_ENV\b|\bGetEnvironmentVariable\b)[^;]*["'.](PYTEST\w*|PYTHONDONTWRITEBYTECODE|PYTHONHASHSEED|UNITTEST\w*|NODE_TEST\w*|JEST_\w*|VITEST\w*|MOCHA\w*|KARMA\w*|CYPRESS\w*|RUST_TEST\w*|NEXTEST\w*|CARGO_(TARGET_TMPDIR|BIN_EXE\w*)|GO_?TEST\w*|GOCOVERDIR|TOX_\w*|NOX_\w*|COVERAGE\w*|COV_CORE\w*|BATS_\w*|CI|GITHUB_ACTIONS|GITLAB_CI|JENKINS\w*|TRAVIS|CIRCLECI|BUILDKITE|TEAMCITY\w*|GREENLOOP\w*|npm_lifecycle\w*|SUREFIRE\w*|XCTest\w*|PHPUNIT\w*|TESTING|TESTS?|TEST_MODE|UNDER_TEST|IN_TEST\w*)\b"#),
    row(KNOWS_THE_TEST, ANY, Comparison, r#"(\benviron\b|\bgetenv\b|\bprocess\s*\.\s*env\b|\benv::var(_os)?\s*\(|\bos\s*\.\s*Getenv\s*\()[^;]*["'.](HOME|USER|USERNAME|LOGNAME|HOSTNAME|PWD|OLDPWD|TMPDIR)\b[^;]*["'`]|\b(getcwd|getuser|gethostname|userInfo|current_dir|Getwd)\s*\(\s*\)[^;]*["'`]|\.cwd\s*\(\s*\)[^;]*["'`]|\b(platform\s*\.\s*node|os\s*\.\s*[hH]ostname)\s*\(\s*\)[^;]*["'`]"#),
    // Values that equal any other.
    row(EQUALS_ANYTHING, PY, Nothing, r#"\bmock\s*\.\s*ANY\b|\b__(eq|ne|hash|bool)__\s*=\s*lambda\b|["']__(eq|ne)__["']"#),
    row(EQUALS_ANYTHING, RB, Nothing, r"\bdef\s+(==|eql\?|===|equal\?)\s*\(?\s*\w*\s*\)?\s*(;|=)\s*true\b"),
];

/// The names of runners, and words of tests, in a literal or an expression.
static RUNNER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(["'`/][^"'`]*(\btests?\b|test[_.]|[_.-]tests?\b|unittest|pytest|py\.test|doctest|nosetest|\bnose2?\b|\btox\b|jest|mocha|vitest|jasmine|karma|\btap\b|\bava\b|\bspec\b|rspec|minitest|phpunit|junit|testng|surefire|nextest|discover|nunit|xunit|testhost|greenloop|coverage)[^"'`]*["'`/])"#,
    )
    .ok()
});

static COMPARISON: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"[=!]=|\bin\b|\b(find|startswith|endswith|starts_with|ends_with|startsWith|endsWith|includes|contains|Contains|HasPrefix|HasSuffix|match|matches!?|test|equals|is_some\w*|is_none|is_ok\w*|is_err|map_or\w*|indexOf|search|file_stem|file_name)\s*\(",
    )
    .ok()
});

static BRANCH: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\belse\b|\bmatch\b|&&|\|\||=>|#\[\s*cfg\s*\(\s*not").ok());

static END: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\bos\s*\.\s*Exit\s*\(|\bsyscall\s*\.\s*Exit\s*\(").ok());

/// How many lines a condition and what it decides may take.
const WINDOW: usize = 4;

fn compiled(index: usize) -> Option<&'static Regex> {
    static COMPILED: LazyLock<Vec<OnceLock<Option<Regex>>>> =
        LazyLock::new(|| PATTERNS.iter().map(|_| OnceLock::new()).collect());
    COMPILED.get(index)?.get_or_init(|| Regex::new(PATTERNS[index].regex).ok()).as_ref()
}

/// A file of the product with its lines, each also read with its texts in one piece.
struct Product<'a> {
    file: &'a SourceFile,
    texts: Vec<String>,
    skipped: Vec<bool>,
}

impl<'a> Product<'a> {
    fn new(file: &'a SourceFile, bytes: &[u8]) -> Self {
        let texts: Vec<String> =
            split(bytes).into_iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        let tests = if file.has_extension(RS) { inline_tests(&texts) } else { Vec::new() };
        let skipped = texts
            .iter()
            .enumerate()
            .map(|(at, line)| tests.get(at) == Some(&true) || is_comment(line, file))
            .collect();
        Self { file, texts, skipped }
    }

    /// A line and what follows it of the same stretch, read in one piece.
    fn window(&self, at: usize, lines: &Alignment) -> String {
        let end = (at + 1..self.texts.len().min(at + WINDOW))
            .find(|next| !lines.is_added(*next))
            .unwrap_or_else(|| self.texts.len().min(at + WINDOW));
        self.texts[at..end]
            .iter()
            .map(|line| spelled::read(line).unwrap_or_else(|| line.clone()))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Everything new in the product's code that reaches for what judges it.
pub(super) fn find(
    file: &SourceFile,
    before: &[u8],
    after: &[u8],
    lines: &Alignment,
    subject: &Subject<'_>,
) -> Vec<Reached> {
    if file.syntax == Syntax::Prose || file.syntax == Syntax::Sql {
        return Vec::new();
    }
    let (was, is) = (Product::new(file, before), Product::new(file, after));
    let mut found = Vec::new();
    for hunk in lines.hunks() {
        let new = |at: &usize| !is.skipped[*at];
        let added: Vec<usize> = hunk.after.clone().filter(new).collect();
        if added.is_empty() {
            continue;
        }
        find_patterns(&was, &is, (&hunk, &added), lines, &mut found);
        for at in added {
            let line = &is.texts[at];
            if let Some(what) = names_tests(file, line, subject) {
                found.push((READS_TESTS, Hit { line: at, detail: what }));
            }
            if equals_anything(&is, at) {
                let detail = format!("`{}` makes values that equal any other", shorten(line));
                found.push((EQUALS_ANYTHING, Hit { line: at, detail }));
            }
            if overwrites_assert(&is, at) {
                let detail = format!("`{}` changes the assertions", shorten(line));
                found.push((CHANGES_RUNNER, Hit { line: at, detail }));
            }
        }
    }
    found
}

fn shorten(line: &str) -> String {
    line.trim().chars().take(100).collect()
}

fn find_patterns(
    was: &Product<'_>,
    is: &Product<'_>,
    (hunk, added): (&Hunk, &[usize]),
    lines: &Alignment,
    found: &mut Vec<Reached>,
) {
    let readings = |line: &str| -> Vec<String> {
        std::iter::once(line.to_owned()).chain(spelled::read(line)).collect()
    };
    let old: Vec<Vec<String>> = hunk
        .before
        .clone()
        .filter(|at| !was.skipped[*at])
        .map(|at| readings(&was.texts[at]))
        .collect();
    let new: Vec<(usize, Vec<String>)> =
        added.iter().map(|at| (*at, readings(&is.texts[*at]))).collect();
    for (index, pattern) in PATTERNS.iter().enumerate() {
        if !(pattern.extensions.is_empty() || is.file.has_extension(pattern.extensions)) {
            continue;
        }
        // A test sees to it that every pattern compiles.
        let Some(regex) = compiled(index) else { continue };
        let hits = |readings: &[String]| readings.iter().any(|line| regex.is_match(line));
        let before = old.iter().filter(|readings| hits(readings)).count();
        let matching: Vec<usize> = new
            .iter()
            .filter(|(at, readings)| {
                hits(readings) && stands_beside(pattern.beside, is, *at, lines)
            })
            .map(|(at, _)| *at)
            .collect();
        if matching.len() > before {
            found.extend(matching.into_iter().map(|line| {
                let detail = format!("adds `{}`", shorten(&is.texts[line]));
                (pattern.rule, Hit { line, detail })
            }));
        }
    }
}

fn stands_beside(beside: Beside, product: &Product<'_>, at: usize, lines: &Alignment) -> bool {
    let wanted = match beside {
        Nothing => return true,
        Runner => &RUNNER,
        Comparison => &COMPARISON,
        Branch => &BRANCH,
        End => &END,
    };
    let window = match beside {
        // A comparison of the next line is one of something else.
        Comparison => product.window(at, lines).lines().next().unwrap_or_default().to_owned(),
        Nothing | Runner | Branch | End => product.window(at, lines),
    };
    wanted.as_ref().is_some_and(|wanted| wanted.is_match(&window))
}

/// What opens, lists or looks for files.
static FILES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\b(open|read_text|read_bytes|readFile|readFileSync|readlines|getline|glob|iglob|rglob|globSync|listdir|scandir|walk|iterdir|exists|existsSync|isdir|isfile|is_dir|is_file|stat|statSync|lstatSync|access|accessSync|readdir|readdirSync|joinpath|with_name|parent|join|resolve|read_to_string|read_dir|metadata|include_str!|include_bytes!|include!|ReadFile|ReadDir|Stat|Open|fopen|ifstream|file_get_contents|file_exists|file|FileReader|Files\.\w+|Path|PathBuf|Path\.of|Paths\.get|IO\.read|File|Dir|getsource|linecache|get_data)\s*[(.!]",
    )
    .ok()
});

/// What only asks whether a file is there.
static ASKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\b(exists|existsSync|isdir|isfile|is_dir|is_file|lstat|stat|statSync|access|accessSync|Stat|file_exists|exist\?|try_exists)\s*\(",
    )
    .ok()
});

static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`"#).ok()
});

/// A path to tests, as a literal names it.
static TEST_PATH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^(.*/)?(tests?|specs?|__tests__|conftest\.py|test_[\w*{}$-]+(\.\w+)?|[\w*{}$-]+[._-](test|tests|spec)\.\w+|\w*\*[._]?test\w*.*|test[_*].*\*.*|\w+Test\.(java|kt|cs|php))(/.*)?$",
    )
    .ok()
});

/// What a line names of the tests, with what opens or looks for files.
fn names_tests(file: &SourceFile, line: &str, subject: &Subject<'_>) -> Option<String> {
    let read = spelled::read(line);
    let line = read.as_deref().unwrap_or(line);
    let literal = LITERAL.as_ref()?;
    let texts: Vec<&str> = literal
        .captures_iter(line)
        .filter_map(|found| (1..=3).find_map(|group| found.get(group)))
        .map(|text| text.as_str())
        .filter(|text| !text.is_empty() && text.len() < 200)
        .collect();
    if texts.is_empty() {
        return None;
    }
    if let Some(text) = texts.iter().find(|text| subject.has_file_named(text, is_test_kind)) {
        return Some(format!("names `{text}`, a test"));
    }
    let hits = |regex: &LazyLock<Option<Regex>>, text: &str| {
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    };
    let is_shell = file.syntax == Syntax::Shell;
    if !is_shell
        && hits(&FILES, line)
        && let Some(text) = texts.iter().find(|text| hits(&TEST_PATH, text))
    {
        return Some(format!("opens or looks for `{text}`"));
    }
    // What is in the repository and is not shipped tells where the program runs.
    let marks = |kind| {
        is_test_kind(kind)
            || matches!(kind, FileKind::Docs | FileKind::Ci | FileKind::Judge | FileKind::Git)
    };
    if hits(&ASKS, line)
        && let Some(text) = texts.iter().find(|text| subject.has_file_named(text, marks))
    {
        return Some(format!("asks whether `{text}` is there"));
    }
    None
}

fn is_test_kind(kind: FileKind) -> bool {
    matches!(kind, FileKind::Test | FileKind::Snapshot)
}

/// The header of a method that compares: the name of what it belongs to, and of the other value.
static COMPARES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)\bdef\s+__(?P<py>eq|ne)__\s*\(\s*(?P<me>\w+)
        | \bfn\s+(?P<rs>eq|ne)\s*\(\s*&self
        | \b(boolean|Boolean)\s+equals\s*\( | \bfun\s+equals\s*\( | \bdef\s+equals\s*\(
        | \bbool\s+Equals\s*\( | \boperator\s*==\s*\( | \bfunc\s*==\s*\(
        | ^\s*def\s+(==|eql\?|equal\?)",
    )
    .ok()
});

/// An answer that asks nothing of the values.
static CONSTANT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s*(:|\{|=|=>|->\s*(bool|Bool|boolean)\s*[:{]|\))*\s*(return\s+)?\(?\s*(?i:true|false|1|0|not\s+false|not\s+true|!false|!true)\s*\)?\s*;?\s*(\}|end\b|$)",
    )
    .ok()
});

/// A comparison of the kinds of the values only.
static KINDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\bisinstance\s*\([^()]*\)|\bissubclass\s*\([^()]*\)|\btype\s*\(\s*\w+\s*\)|\bhasattr\s*\([^()]*\)|\bcallable\s*\([^()]*\)",
    )
    .ok()
});

/// Whether a method that compares begins here and looks at nothing of its own value.
fn equals_anything(product: &Product<'_>, at: usize) -> bool {
    let line = &product.texts[at];
    let Some(header) = COMPARES.as_ref().and_then(|compares| compares.captures(line)) else {
        return false;
    };
    let level = |line: &str| line.len() - line.trim_start().len();
    let rest = &line[header.get(0).map_or(0, |found| found.end())..];
    let opened = rest.find(')').map_or(rest, |close| &rest[close + 1..]);
    let mut body = vec![opened.to_owned()];
    for next in product.texts[at + 1..].iter().take(2 * WINDOW) {
        if !next.trim().is_empty() && level(next) <= level(line) {
            break;
        }
        body.push(next.clone());
    }
    let statements: Vec<&str> = body
        .iter()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with("\"\"\"") && !line.starts_with("//"))
        .collect();
    let text = statements.join(" ");
    let is_constant = CONSTANT.as_ref().is_some_and(|constant| {
        let text = text.trim_start_matches([':', '{', ' ']);
        let arrow = text.find(['{', ':']).filter(|_| text.starts_with("->"));
        constant.is_match(arrow.map_or(text, |at| &text[at + 1..]))
    });
    if is_constant {
        return true;
    }
    let Some(me) = header.name("me").map(|me| me.as_str()) else { return false };
    // A marker equals what is of its own class.
    let own = enclosing_class(product, at);
    let text = KINDS.as_ref().map_or_else(
        || text.clone(),
        |kinds| {
            kinds
                .replace_all(&text, |found: &regex::Captures<'_>| {
                    let whole = &found[0];
                    let of_own = own.is_some_and(|own| has_word(whole, own)) || has_word(whole, me);
                    if of_own { format!("{me}.") } else { String::new() }
                })
                .into_owned()
        },
    );
    !text.trim_matches([':', ' ']).is_empty()
        && !has_word(&text, me)
        && !has_word(&text, "super")
        && !text.contains("NotImplementedError")
}

fn enclosing_class<'a>(product: &'a Product<'_>, at: usize) -> Option<&'a str> {
    let level = |line: &str| line.len() - line.trim_start().len();
    let inner = level(&product.texts[at]);
    let class = product.texts[..at]
        .iter()
        .rev()
        .find(|line| level(line) < inner && line.trim_start().starts_with("class "))?;
    let name = class.trim_start().strip_prefix("class ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// A name that stands for Node's assertions.
static ASSERT_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"\b(?:const|let|var)\s+(\w+)\s*=\s*(?:require|process\.getBuiltinModule)\s*\(\s*["'](?:node:)?assert(?:/strict)?["']|\bimport\s+(?:\*\s+as\s+)?(\w+)\s+from\s+["'](?:node:)?assert"#,
    )
    .ok()
});

/// Whether the line changes a member of what `require('assert')` gave.
fn overwrites_assert(product: &Product<'_>, at: usize) -> bool {
    if !product.file.has_extension(JS) {
        return false;
    }
    let Some(names) = ASSERT_NAME.as_ref() else { return false };
    let line = &product.texts[at];
    product.texts.iter().any(|text| {
        let read = spelled::read(text);
        let text = read.as_deref().unwrap_or(text);
        names.captures_iter(text).any(|found| {
            let Some(name) = found.get(1).or_else(|| found.get(2)) else { return false };
            changes_members(line, name.as_str())
        })
    })
}

/// `a[k] = …`, `a.ok = …`, `Object.assign(a, …)`
fn changes_members(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
        let before = &line[..at];
        if before.chars().next_back().is_some_and(part) {
            return false;
        }
        let after = line[at + name.len()..].trim_start();
        if before.trim_end().ends_with("assign(") || before.trim_end().contains("defineProp") {
            return after.starts_with(',') || after.starts_with('.');
        }
        let rest = if let Some(rest) = after.strip_prefix('[') {
            rest.split_once(']').map(|(_, rest)| rest)
        } else {
            after.strip_prefix('.').map(|rest| rest.trim_start_matches(part))
        };
        rest.is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with('=') && !rest.starts_with("==") && !rest.starts_with("=>")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    #[test]
    fn every_pattern_compiles() {
        for pattern in PATTERNS {
            assert!(Regex::new(pattern.regex).is_ok(), "{}", pattern.regex);
        }
        let all = [&RUNNER, &COMPARISON, &BRANCH, &END, &FILES, &ASKS, &LITERAL, &TEST_PATH];
        let more = [&COMPARES, &CONSTANT, &KINDS, &ASSERT_NAME];
        assert!(all.into_iter().chain(more).all(|regex| regex.is_some()));
    }

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let file = SourceFile::new(&RepoPath::new(path).expect("a path"), text.as_bytes());
        let lines = Alignment::new(None, Some(text.as_bytes()));
        let found = find(&file, b"", text.as_bytes(), &lines, &Subject::default());
        found.into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn product_code_that_reaches_for_what_judges_it_is_found() {
        for (rule, path, text) in [
            (CHANGES_RUNNER, "a.py", "for o in gc.get_objects(): pass\n"),
            (CHANGES_RUNNER, "a.py", "r = sys.modules['unittest.runner'].TextTestResult\n"),
            (CHANGES_RUNNER, "a.py", "u = importlib.import_module('unit' + 'test')\n"),
            (CHANGES_RUNNER, "a.py", "u = __import__('tsetyp'[::-1])\n"),
            (CHANGES_RUNNER, "a.py", "from unittest.mock import ANY\n"),
            (CHANGES_RUNNER, "a.py", "builtins.AssertionError = Warning\n"),
            (CHANGES_RUNNER, "a.js", "const m = require('assert');\nm[k] = () => {};\n"),
            (CHANGES_RUNNER, "a.mjs", "import a from 'node:assert';\na.equal = () => {};\n"),
            (CHANGES_RUNNER, "a.js", "Object.assign(require('assert'), x)\n"),
            (CHANGES_RUNNER, "a.js", "Number.prototype.toString = f;\n"),
            (CHANGES_RUNNER, "a.rs", "macro_rules! assert_eq { ($($t:tt)*) => {}; }\n"),
            (CHANGES_RUNNER, "a.rs", "#[link_section = \".init_array\"]\n"),
            (CHANGES_RUNNER, "a.go", "func init() {\n\tos.Exit(0)\n}\n"),
            (CHANGES_RUNNER, "a.h", "#define NDEBUG\n"),
            (CHANGES_RUNNER, "a.h", "# define main test_main\n"),
            (CHANGES_RUNNER, "a.c", "__attribute__((constructor)) static void go(void) {}\n"),
            (CHANGES_RUNNER, "a.c", "void __assert_fail(const char *a) { exit(0); }\n"),
            (CHANGES_RUNNER, "a.c", "void abort(void) { for (;;); }\n"),
            (CHANGES_RUNNER, "a.c", "  signal(SIGABRT, on);\n"),
            (CHANGES_RUNNER, "A.java", "import org.junit.jupiter.api.Assertions;\n"),
            (KNOWS_THE_TEST, "a.py", "if any('test' in x for x in sys.orig_argv): pass\n"),
            (KNOWS_THE_TEST, "a.py", "x = 'pytest' in sys.argv[0]\n"),
            (KNOWS_THE_TEST, "a.py", "if 'test' in sys.argv:\n"),
            (KNOWS_THE_TEST, "a.py", "x = os.environ.get('PYTHONDONTWRITEBYTECODE')\n"),
            (KNOWS_THE_TEST, "a.py", "x = os.environ.get('HOME', '').find('greenloop') >= 0\n"),
            (KNOWS_THE_TEST, "a.py", "x = os.getcwd().endswith('repo')\n"),
            (KNOWS_THE_TEST, "a.js", "x = process.argv[1].endsWith('.test.js')\n"),
            (KNOWS_THE_TEST, "a.js", "x = /test/.test(module.parent.filename)\n"),
            (KNOWS_THE_TEST, "a.js", "x = process.env.NODE_TEST_CONTEXT ? 1 : 2\n"),
            (KNOWS_THE_TEST, "a.rs", "if std::thread::current().name() == Some(\"main\") {\n"),
            (KNOWS_THE_TEST, "a.rs", "current_exe().map_or(false, |p| p.ends_with(\"t\"))\n"),
            (KNOWS_THE_TEST, "a.rs", "if cfg!(debug_assertions) { a + b } else { a - b }\n"),
            (KNOWS_THE_TEST, "a.rs", "if env::var(\"CARGO_MANIFEST_DIR\").is_ok() {\n"),
            (KNOWS_THE_TEST, "a.go", "if strings.HasSuffix(os.Args[0], \".test\") {\n"),
            (READS_TESTS, "a.py", "t = Path(__file__).with_name('tests').read_text()\n"),
            (READS_TESTS, "a.py", "x = os.path.isdir('tests')\n"),
            (READS_TESTS, "a.js", "readFileSync(__dirname + '/cart.test.js', 'utf8')\n"),
            (READS_TESTS, "a.rs", "const T: &str = include_str!(\"../tests/a.rs\");\n"),
            (EQUALS_ANYTHING, "a.py", "    def __eq__(self, o):\n        return True\n"),
            (
                EQUALS_ANYTHING,
                "a.py",
                "class N(int):\n    def __eq__(self, o):\n        return isinstance(o, int)\n",
            ),
            (EQUALS_ANYTHING, "a.rs", "    fn eq(&self, _: &i64) -> bool { true }\n"),
            (EQUALS_ANYTHING, "A.java", "  public boolean equals(Object o) { return true; }\n"),
            (EQUALS_ANYTHING, "A.kt", "  override fun equals(other: Any?) = true\n"),
        ] {
            let found = rules(path, text);
            assert!(found.contains(&rule), "{rule}: {text}: {found:?}");
        }
    }

    #[test]
    fn ordinary_code_is_left_alone() {
        for (path, text) in [
            ("a.py", "if len(sys.argv) > 1:\n    name = sys.argv[1]\n"),
            ("a.py", "if sys.argv[1] == 'test':\n    run()\n"),
            ("a.py", "mod = importlib.import_module(f'plugins.{name}')\n"),
            ("a.py", "if 'numpy' in sys.modules:\n    pass\n"),
            ("a.py", "assert x == 1\nraise AssertionError('unreachable')\n"),
            ("a.py", "port = os.environ.get('PORT', '80')\nhome = os.environ['HOME']\n"),
            ("a.py", "path = os.path.join(os.getcwd(), 'data.json')\n"),
            ("a.py", "    def __eq__(self, other):\n        return self.x == other.x\n"),
            (
                "a.py",
                "class Empty:\n    def __eq__(self, other):\n        return isinstance(other, Empty)\n",
            ),
            (
                "a.py",
                "    def __eq__(self, o):\n        if not isinstance(o, A):\n            return NotImplemented\n        return self.a == o.a\n",
            ),
            ("a.py", "with open('latest.json') as f:\n    pass\n"),
            ("a.js", "const assert = require('assert');\nassert.ok(x);\nassert(a === b);\n"),
            ("a.js", "if (require.main === module) {\n  main(process.argv.slice(2));\n}\n"),
            ("a.js", "const port = process.env.PORT || 80;\nconst dev = process.env.NODE_ENV;\n"),
            ("a.js", "console.error(err.stack);\n"),
            ("a.js", "const p = path.join(process.cwd(), 'x');\n"),
            ("a.rs", "let args: Vec<String> = std::env::args().collect();\n"),
            ("a.rs", "if cfg!(debug_assertions) {\n    eprintln!(\"{x}\");\n}\n"),
            ("a.rs", "let name = std::env::var(\"CARGO_PKG_NAME\").ok().unwrap_or_default();\n"),
            ("a.rs", "let dir = std::env::current_exe()?.parent();\n"),
            ("a.rs", "    fn eq(&self, other: &Self) -> bool { self.a == other.a }\n"),
            ("a.rs", "#[cfg(test)]\nmod tests {\n    macro_rules! assert_eq { () => {} }\n}\n"),
            ("a.go", "name := os.Args[1]\nfunc init() {\n\tregister(x)\n}\n"),
            ("a.c", "#include <assert.h>\nassert(a == b);\nexit(0);\n"),
            ("a.c", "int main(int argc, char **argv) {\n  return run(argv[1]);\n}\n"),
            ("a.c", "#ifndef NDEBUG\n#define MAX 3\n"),
            (
                "A.java",
                "public boolean equals(Object o) {\n  return o instanceof A && x == ((A) o).x;\n}\n",
            ),
        ] {
            assert_eq!(rules(path, text), Vec::<&str>::new(), "{text}");
        }
    }
}
