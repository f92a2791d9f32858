//! What holds for every tool: prefixes, noise, dull lines, and the words of last resort.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::Unknown;

/// What CI systems put before a line. Several may stack.
pub(crate) const PREFIXES: &[&str] = &[
    // A byte order mark.
    r"\xEF\xBB\xBF",
    // GitHub, Azure Pipelines, GitLab (with its stream marker), Jenkins' timestamper, journals.
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)(?: \d\d[OE]\+?)? ?",
    r"\[\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\](?: |$)",
    r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d(?:[.,]\d+)?(?: +(?:\| )?|$)",
    r"\[\d\d:\d\d:\d\d(?:[.,]\d+)?\] ",
    // BuildKit's plain progress: step number, then seconds.
    r"#\d+ (?:\d+\.\d+ )?",
    r"\d+\.\d{3} ",
    // docker compose: the service's name. Digits alone are a compiler's line number.
    r"[A-Za-z_][\w.-]* +\| ",
    // turborepo, nx, wireit: package and task.
    r"@?[\w./-]+:(?:build|test|lint|check|typecheck|type-check|dev|compile|e2e)[\w:-]*:(?: |$)",
    // Nix: what a builder printed, at the end and as it comes.
    r"\s{7}> ",
    r"[a-z][\w.+-]*\w> ",
    // pnpm -r.
    r"[\w@./-]+ (?:build|test|lint|check|typecheck)(?:\$|:) ",
];

/// What stands before it where there are tabs, of `gh run view --log`: job, step, then the runner's
/// timestamp.
pub(crate) const TABBED_PREFIX: &str =
    r"[^\t]+\t[^\t]+\t(?:\xEF\xBB\xBF)?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z ?";

/// What Robot Framework puts after the name of a test and a bar: that is no label of a service.
pub(crate) const RESULT_COLUMNS: &[&str] = &["FAIL |", "PASS |", "SKIP |"];

/// How the steps of pipelines begin.
pub(crate) const STEPS: &[&str] = &[
    "##[group]Run ",
    "##[section]Starting",
    "PLAY [",
    "travis_fold:start",
    "STEP ",
    "Running phase: ",
];

/// Progress and chatter that says nothing about a failure.
pub(crate) const NOISE: &str = r"^\s*(?:\[INFO\] )?(?:Progress \(\d+\)|Download(?:ing|ed)\b|Uploading\b|Compiling \S+ v\d|Fresh |Updating |Checking \S+ v\d|Blocking waiting|Resolving |Get:\d+ |Hit:\d+ |Fetched |Receiving objects|Resolving deltas|remote: (?:Counting|Compressing|Enumerating|Total)|Unpacking |Setting up |Preparing to |Selecting previously|Collecting |Using cached|Requirement already|Installing collected|Pulling |Waiting$|Verifying Checksum|Download complete|Pull complete|Extracting |Pulling fs layer|[a-f0-9]{12}: |[|/\\-]$|\d{1,3}(?:\.\d+)? ?%|\[[=#>.\s-]{6,}\]|#{8,}|added \d+ packages|travis_(?:fold|time):|##\[(?:group|endgroup|section|command|debug)\]|\[command\]|g?make(?:\[\d+\])?: (?:Entering|Leaving) directory|> \S+@\d\S* \S|# Subtest|(?:Step|STEP) \d+/\d+ ?: |Trying to pull |Getting image source|Copying (?:blob|config) |Writing manifest|Storing signatures|--> (?:Using cache|[0-9a-f]{10,}$)|Use --(?:sandbox_debug|verbose_failures)|INFO: (?:Invocation|Analyzed|Found \d|Elapsed|\d+ process|Build |Streaming|From |Repository|Running|-{8})|\[[\d,]+ / [\d,]+\] |Scanning for projects|-{20}|Initializing environment|Installing environment|Once installed this env|This may take a few|[\w .'/-]+\.{3,}(?:Passed|\(no files to check\)Skipped|Skipped)$|(?:output )?cleanup: |source root is |lerna (?:notice|info|WARN|verb|timing) |INFO\[\d{4}\] |building '/nix/|unpacking source |no configure script|build flags: |---> (?:Running in|Using cache|[0-9a-f]{12}$)|\.{3} \(\d+ more|Build request sent|shell: /\S+|env:$|(?:Container|Network|Volume|Image) \S+ +(?:Creat|Start|Wait|Health|Runn|Recreat|Stopp|Remov|Pull|Built)\w*$)|^\s+\d+%|^\[\s*\d+%\] Building |^\s*$|\d+(?:\.\d+)? ?[kMG]i?B(?:/s|\s*/\s*\d)";

/// Stack frames of runtimes and frameworks, and other lines that are the same whatever failed.
pub(crate) const DULL: &str = r"^\s*at (?:[\w.]+@[\w.]+/|java\.base/|app//)?(?:java\.|javax\.|jdk\.|sun\.|com\.sun\.|org\.junit|junit\.|org\.testng|org\.gradle|org\.apache\.maven|org\.codehaus|hudson\.|jenkins\.|kotlin\.|scala\.|groovy\.|org\.springframework|node:|internal/|Module\._|Object\.<anonymous> \(internal|process\.processTicks|System\.|Xunit\.|NUnit\.|Microsoft\.)|^\s.*node_modules[/\\]|node:internal|^\s*File \x22.*(?:site-packages|dist-packages|/lib/python3)|/rustc/[0-9a-f]{8,}|/library/(?:std|core|alloc|test)/|^\s*at .*\((?:Native Method|Unknown Source)\)|^\s*\.\.\. \d+ more|^note: run with `RUST_BACKTRACE|^stack backtrace:$|^\s*\d+: (?:core|std|alloc|test|__rustc|<alloc|<core)(?:::|\b)|^note: Some details are omitted|^\s+(?:testing\.|runtime\.|created by testing)|^\s+/usr/(?:local/)?(?:go|lib/go)|^\[ERROR\]\s*$|Re-run Maven|To see the full stack|For more information|^\[ERROR\] \[Help|^\s*$|^\[ERROR\] -> |^\[ERROR\] (?:urls\[|realm =|strategy =|import:|Number of foreign|-{10,})|After correcting|^\s+\^+\s*$|mvn <|^npm (?:ERR!|error)(?:\s*|.*A complete log of this run.*| (?:Usage:|Options:|aliases: .*|Clean install a project|npm \w+|\[-.*|[{}]|Run \x22npm help.*|(?:errno|syscall|  (?:errno|code|syscall|path)) ?:?.*))$|^(?u:[─-╿═ ])+$|^- (?:duration|exit code): |^ERROR: (?:Re-run SonarScanner.*)?$|^(?:=|-|~){20,}$";

/// Lines that must start nothing.
#[cfg(test)]
pub(crate) const HARMLESS: &[&str] = &[
    "ok  \texample.com/app/error_test.go\t0.01s",
    "test errors::fails_when_empty ... ok",
    "0 errors, 0 warnings",
    "[INFO] BUILD SUCCESS",
    "[INFO] no errors, no warnings",
    "Tests run: 63, Failures: 0, Errors: 0, Skipped: 0",
    "Number of errors in tests: 0",
    "gcc -Wall -Werror -c main.c -o main.o",
    "   Compiling thiserror v2.0.1",
    "   Compiling failure v0.1.8",
    "Downloading https://example.com/error-prone.jar",
    "--- PASS: TestError (0.00s)",
    "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
    "✓ fails when the input is empty (3 ms)",
    "PASS src/error.test.js",
    "added 12 packages, and found 0 vulnerabilities",
    "+ set -o errexit",
    "creating build/lib/errors.py",
    "    ✔ rejects an invalid token",
    "tests/test_errors.py::test_fails PASSED",
    "  adding: src/exception.rs",
    "  continue-on-error: true",
    "Error reporting enabled",
    "[ RUN      ] Cart.FailsWhenEmpty",
    "[       OK ] Cart.FailsWhenEmpty (0 ms)",
    "AppTest > failsWhenEmpty() PASSED",
    "INFO: retrying after connection refused",
    "npm warn deprecated inflight@1.0.6: This module is not supported",
    "warning: unused variable: `error`",
    "Step 3/10 : RUN make || (cat error.log && exit 1)",
    "make[1]: Leaving directory '/src/error'",
    "Test Case '-[AppTests.CartTests testErrorIsShown]' passed (0.002 seconds).",
    "//web:error_test          (cached) PASSED in 0.3s",
];

/// What no general row starts on.
const NOT_AN_ERROR: &str = r"(?i)\b(?:0|no|zero|without|any|ignor(?:e|ing)) (?:\w+ )?(?:errors?|failures?|failed|fails?|problems|exceptions?)\b|(?:errors?|failures?|failed)\b[^\w\n]{0,3}(?:in \w+: ?)?0\b|-W(?:no-)?error|\.\.\. ok\b|--- PASS|--- SKIP|^\s*(?:ok|PASS|PASSED|SUCCESS)\b|\bPASSED\b|(?u:[✓✔√])|^\s*(?:\[?\s*(?:INFO|DEBUG|TRACE|NOTICE|WARN|WARNING)\b|\[\w+\] (?:INFO|DEBUG|WARN)|npm (?:warn|info|notice)|warn(?:ing)?\b)|^\s*(?:Compiling|Download\w*|Adding|Install\w*|Building|Checking|Running|Setting|Unpacking|Selecting|Get:|Hit:|creating|inflating|copying|adding|extracting|Fresh|Collecting|Progress|Using|Requirement|Finished|Preparing|Removing|Copying|Fetched|Processing|Generating|Linking|Updating|Loading|Testing|Starting|#|//|\+ |\$ |> ?git|\[command\]|\[ RUN|\[ +OK|@)|continue[-_]on[-_]error|fail[-_]?fast|if-no-files-found|errexit|pipefail|\berror(?:s|_)?[-_.]\w+\.\w+\b|[-/_.]errors?[-/_.]|\w/errors?\b|error[-_ ]?(?:reporting|handler|handling|prone|level|page|boundary|log)|ignored|expected (?:error|exception|failure)|\bskipp|retry|--\w*fail|^test \S+|failed: 0|^\s*(?:at|from) |^\s*\d+ (?:passing|passed)|^\s*[-*] \[|[{;]\s*$";

/// The words of last resort.
pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "general",
        needs: &[
            "^error",
            "^fatal",
            "^critical",
            "^panic",
            "^failure",
            "^abort",
            "^exception",
            "^severe",
        ],
        start: r"^\W{0,4}(?i:error|fatal|fatal error|critical|panic|abort(?:ed)?|severe|exception|failure)\b ?(?:\(\w+\) ?)?[:!\]] ?\S|^(?:[\w./-]+): (?i:fatal|error|cannot|can't|failed|unable)\b|^(?:E\b|\s*(?:ERROR|FATAL|SEVERE)\b)[\s/]+\S|\blevel=\x22?(?:error|fatal)\b|\x22level\x22: ?\x22(?i:error|fatal)\x22|(?i)\b(?:error|fatal|exception): ",
        unless: NOT_AN_ERROR,
        lead: r"^",
        before: 8,
        body: Body::While(r"^\s+at |^\s{2,}\S|^Caused by|^\t", 0),
        class: Classification::ToolText(Unknown),
        score: 34,
        share: 5,
        symptom: Symptom::Location,
        examples: &[
            "ERROR: no tag class, spoon has failed",
            "foo: error while loading shared libraries",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "general",
        needs: &[
            "^error",
            "^fail",
            "^fatal",
            "exception",
            "^panic",
            "^abort",
            "cannot ",
            "could not",
            "unable to",
            "not found",
            "no such file",
            "denied",
            "went wrong",
            "unsuccessful",
        ],
        start: r"(?i)\b(?:errors?|fail(?:ed|ure|ures|s|ing)?|fatal|\w*exception|panicked|aborted|aborting|unable to|could not|not found|no such file|denied|went wrong|unsuccessful)\b|^\S*:? ?cannot ",
        unless: NOT_AN_ERROR,
        lead: r"^",
        before: 2,
        body: Body::While(r"^\s+at |^\s{4,}\S", 0),
        class: Classification::ToolText(Unknown),
        score: 22,
        share: 3,
        symptom: Symptom::Location,
        examples: &["Something went wrong in executing: git archive", "2 tests failed"],
        ..Rule::TOOL
    },
];
