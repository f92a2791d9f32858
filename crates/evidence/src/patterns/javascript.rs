//! Node, TypeScript, linters, test runners, bundlers and package managers.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Code, Config, Unknown};

pub(super) const RULES: &[Rule] = &[
    // A memory setting can repair it, so the author may be asked: hence `config`.
    Rule {
        kind: "out-of-memory",
        needs: &["heap out of memory", "heap limit", "allocation failed"],
        start: r"(?i)(?:FATAL ERROR: .*(?:heap|allocation)|JavaScript heap out of memory)",
        class: Classification::Fixed(Config),
        score: 94,
        share: 4,
        examples: &[
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "tsc",
        needs: &["error ts"],
        start: r"^(?:\S.*?[(:]\d+[,:]\d+\)?(?::| -) )?error (?:TS\d+|ts\(\d+\)): ",
        body: Body::While(r"^\s+\S|^\d+\s", 1),
        key: r"error TS\d+",
        share: 10,
        of_source: true,
        examples: &[
            "src/app.ts(12,5): error TS2322: Type 'string' is not assignable to type 'number'.",
            "src/app.ts:12:5 - error TS2304: Cannot find name 'x'.",
            "src/pages/index.astro:3:7 - error ts(2304): Cannot find name 'x'.",
            "error TS18003: No inputs were found in config file '/app/tsconfig.json'.",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "eslint",
        needs: &["\u{2716} ", " error "],
        start: r"^\s+\d+:\d+\s+(?:error|(?u:✖))\s+\S",
        header: r"^(?:/|[A-Za-z]:\\|\.{0,2}/?[\w@.-]+[/\\])?\S*\.\w+$",
        body: Body::While(r"^\s+\d+:\d+\s+(?:error|warning|(?u:[✖⚠]))\s", 0),
        key: r"^\s+\d+:\d+\s+(?:error|(?u:✖))\s",
        score: 78,
        of_source: true,
        examples: &["  12:5  error  'x' is not defined  no-undef"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "eslint",
        needs: &["problem"],
        start: r"^(?u:✖) \d+ problems? \([1-9]",
        share: 1,
        examples: &["✖ 3 problems (2 errors, 1 warning)"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "jest",
        needs: &["\u{25cf} "],
        start: r"^\s*(?u:●) (?:Test suite failed to run|Cannot log after tests are done|(?P<name>\S.*))$",
        unless: r"(?u:●) (?:Console|.* wrapped into a )",
        body: Body::Until(
            r"^\s*(?u:●) |^(?:Test Suites|Tests|PASS|FAIL|Snapshots|Summary of all)\b",
        ),
        key: r"Error\b|^\s*(?:Expected|Received)\b|^\s*expect\(|^\s*> ?\d+ \|",
        examples: &["  ● cart › adds up", "  ● Test suite failed to run"],
        ..Rule::TEST
    },
    Rule {
        kind: "vitest",
        needs: &["fail "],
        start: r"^\s*FAIL\s+(?:\|\S+\| )?(?P<name>\S+\.\w+ > \S.*)$",
        body: Body::Until(r"^\s*(?u:⎯){3,}|^\s*FAIL\s|^\s*Test Files\s"),
        key: r"^\w*Error\b|(?u:❯) \S+:\d+|^\s*\d+\|\s.*\b(?:expect|assert)\w*[.(]",
        examples: &[" FAIL  src/cart.test.ts > cart > adds up"],
        ..Rule::TEST
    },
    Rule {
        kind: "vitest",
        needs: &["fail "],
        start: r"^\s*FAIL\s+\S+\.\w+ \[ \S+ \]$",
        body: Body::Until(r"^\s*(?u:⎯){3,}|^\s*FAIL\s|^\s*Test Files\s"),
        key: r"^\w*Error\b|(?u:❯) \S+:\d+",
        examples: &[" FAIL  src/cart.test.ts [ src/cart.test.ts ]"],
        ..Rule::TEST
    },
    Rule {
        kind: "jest",
        needs: &["fail "],
        start: r"^\s*FAIL\s+\S+\.[cm]?[jt]sx?(?: \([\d.]+ m?s\))?$",
        score: 48,
        share: 1,
        symptom: Symptom::None,
        examples: &["FAIL src/cart.test.js", "FAIL src/cart.test.js (5.2 s)"],
        ..Rule::TEST
    },
    Rule {
        kind: "playwright",
        needs: &["] \u{203a} "],
        start: r"^\s+\d+\) \[[\w -]+\] (?u:›) (?P<name>.+?)(?u:[\s─]*)$",
        body: Body::Until(r"^\s+\d+\) \[|^\s+\d+ (?:failed|passed|flaky)"),
        key: r"Error:|^\s+(?:Expected|Received)|^\s*> ?\d+ \|",
        examples: &["  1) [chromium] › tests/home.spec.ts:5:3 › shows the title "],
        ..Rule::TEST
    },
    Rule {
        kind: "mocha",
        needs: &[" failing"],
        start: r"^\s+\d+ failing$",
        body: Body::While(r"^\s+\S|^[-+].|^\.\.\.|^\S.* !==? \S", 3),
        owner: r"^\s{2,6}\d+\) (\S.*[^:])$",
        item: r"^\s{2,6}\d+\) (\S.*):$|^\s{5,}(?P<owned>\S.*):$",
        key: r"Error\b|^\s*[+-]\s*\S|^\S.* !==? \S|^\s+at .*:\d+",
        share: 30,
        examples: &["  2 failing"],
        ..Rule::TEST
    },
    Rule {
        kind: "node-test",
        needs: &["\u{2716} "],
        start: r"^\s*(?u:✖) (?P<name>\S.*?) \([\d.]+ms\)",
        body: Body::While(r"^\s{2,}\S", 1),
        key: r"Error\b|^\s+(?:expected|actual|code|location)",
        score: 80,
        share: 16,
        examples: &["✖ adds up (1.234ms)"],
        ..Rule::TEST
    },
    Rule {
        kind: "tap",
        needs: &["not ok "],
        start: r"^\s*not ok \d+ ?(?:- )?(?P<name>\S.*?)(?: # time=.*)?$",
        unless: r"(?i)# (?:skip|todo)",
        // Where both go to one place, the diagnostics may come before the result.
        lead: r"^\s*# ",
        before: 12,
        body: Body::While(r"^\s+\S|^#", 0),
        key: r"^\s+(?:error|expected|actual|location|failureType|operator):|Error\b|^\s*# .*failed(?: with status \d+)?$|^\s*# +(?:got|expected|actual)\s*:",
        score: 80,
        share: 16,
        examples: &["not ok 3 - adds up", "not ok 1 the script prints its version"],
        ..Rule::TEST
    },
    Rule {
        kind: "bun-test",
        needs: &["(fail) ", "\u{2717} "],
        start: r"^\(fail\) (?P<name>\S.*?)(?: \[[\d.]+m?s\])?$|^(?u:✗) (?P<test>\S.*?) \[[\d.]+m?s\]$",
        lead: r"^\s|^\d+ \||^error|^$|^Expected|^Received",
        before: 12,
        key: r"^error: |^Expected: |^Received: ",
        score: 80,
        examples: &["(fail) cart > adds up [1.23ms]", "✗ cart > adds up [0.71ms]"],
        ..Rule::TEST
    },
    Rule {
        kind: "deno-test",
        needs: &[" => ./"],
        start: r"^(?P<name>\S.*?) => \./\S+:\d+:\d+$",
        body: Body::Until(
            r"^\s*(?:FAILURES|ERRORS)\s*$|^\S.* => \./|^FAILED \||^error: Test failed",
        ),
        key: r"^error: |^\s*[-+] {3}\S|^\s+at file:",
        share: 16,
        examples: &["totals add up => ./cart_test.ts:9:6"],
        ..Rule::TEST
    },
    Rule {
        kind: "deno-test",
        needs: &["... failed ("],
        start: r"^(?P<name>\S.*?) \.\.\. FAILED \(\d+m?s\)$",
        score: 50,
        share: 1,
        examples: &["totals add up ... FAILED (2ms)"],
        ..Rule::TEST
    },
    Rule {
        kind: "deno",
        needs: &[" [error]: "],
        start: r"^TS\d+ \[ERROR\]: ",
        of_source: true,
        body: Body::While(r"^\s+\S", 0),
        key: r"^\s+at file:",
        share: 6,
        examples: &["TS2339 [ERROR]: Property 'totl' does not exist on type 'Cart'."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "vitest",
        needs: &["\u{d7} "],
        start: r"^\s*(?u:×) (?P<name>\S+\.\w+ > \S.*?)(?: \d+m?s)?$",
        score: 48,
        share: 1,
        examples: &["   × src/cart.test.ts > cart > adds up 5ms"],
        ..Rule::TEST
    },
    Rule {
        kind: "bundler",
        needs: &[
            "error in ",
            "failed to compile",
            "\u{2718} [error]",
            "x [error]",
            "module not found",
            "error during build",
            "could not resolve",
            "rollup failed",
            "^[!] ",
        ],
        start: r#"^(?:ERROR in \S|Failed to compile\.?$|(?u:✘|X) \[ERROR\] |Module not found: |\s*error during build:|\[!\] (?:\([^)]*\) )?\w*Error: |\[vite\]: Rollup failed|.*: Module not found: Error)"#,
        body: Body::While(
            r"^\s+\S|^\S+Error: |^(?:\./|/)\S+|^Module not found|^(?:Type )?[Ee]rror: |^\d* *[|>]|^\[(?:vite|plugin|commonjs)\b|^\S+ \(\d+:\d+\)|^\S+:\d+:\d+: |^file: |^\d+: |^https://rollupjs|^Expected |^`build\.rollup|^(?:This is most likely|If you do want)",
            1,
        ),
        key: r"^Module not found|^\S*Error: |^Type error: |^\./\S+:\d+|Can't resolve|Could not resolve|failed to resolve|is not exported by|^\S+:\d+:\d+: ERROR: ",
        introduces: true,
        share: 14,
        of_source: true,
        examples: &[
            "ERROR in ./src/index.js 3:0-24",
            "Failed to compile.",
            "✘ [ERROR] Could not resolve \"./missing\"",
            "error during build:",
            "[!] RollupError: \"foo\" is not exported by \"src/util.js\", imported by \"src/main.js\".",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "parcel",
        needs: &["build failed."],
        start: r"^(?u:🚨) Build failed\.$",
        body: Body::While(r"^@[\w-]+/\S+: |^\s+\S", 1),
        key: r"^@[\w-]+/\S+: ",
        introduces: true,
        share: 8,
        of_source: true,
        examples: &["\u{1f6a8} Build failed."],
        ..Rule::COMPILER
    },
    // Where it is, then what; a warning, unless it says otherwise.
    Rule {
        kind: "svelte-check",
        needs: &[".svelte:"],
        start: r"^\S+\.svelte:\d+:\d+$",
        body: Body::Until(r"^\s*$|^={4,}$|^svelte-check found"),
        key: r"^Error: ",
        introduces: true,
        proof: r"^Error: ",
        hollow: r"^(?:Warn|Hint): ",
        score: 70,
        share: 6,
        of_source: true,
        examples: &["/app/src/B.svelte:7:3"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "svelte-check",
        needs: &[" (ts)$", " (js)$", " (css)$", " (svelte)$"],
        start: r"^Error: .* \((?:ts|js|css|svelte)\)$",
        lead: r"^\S+\.\w+:\d+:\d+$",
        before: 1,
        body: Body::While(r"^\s+\S", 0),
        share: 5,
        of_source: true,
        examples: &["Error: Cannot find name 'foo'. (ts)"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "prettier",
        needs: &["[warn] ", "[error] ", "code style issues"],
        start: r"^\[warn\] \S+\.\w+$|^\[error\] \S+: SyntaxError",
        body: Body::While(r"^\[warn\]|^\[error\]", 0),
        score: 72,
        share: 12,
        of_source: true,
        examples: &["[warn] src/app.ts"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "exception",
        needs: &["error: ", "error [", "exception: "],
        start: r"^(?:Uncaught |\[?Unhandled ?Rejection\]?:? |Unhandled exception\. |\* )?[A-Z][\w$]*(?:Error|Exception)(?: \[[A-Z_]+\])?: \S",
        lead: r"^\s*\^|^$|^\S+:\d+$|^\s+\S|^node:internal",
        before: 6,
        body: Body::While(
            r"^\s+at |^\s{2,}\S|^\}|^Caused by|^Require stack:|^- /|^\s*\.\.\. \d+ more|^\tat ",
            1,
        ),
        key: r"^Caused by|^\s+at (?:[^(]*\()?(?:file://)?(?:/|\./)?[\w.-]+/(?:[^n]|n[^o])\S*:\d+",
        score: 70,
        share: 16,
        class: Classification::ProgramText(Code),
        examples: &[
            "TypeError: Cannot read properties of undefined (reading 'id')",
            "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
            "ModuleNotFoundError: No module named 'flask'",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "exception",
        needs: &["error: "],
        start: r"^(?:Uncaught )?Error: (?:Cannot find module|listen |connect |\S.*)$",
        unless: r"^Error: (?:Process completed|Maven|Command failed|No such container|Unable to|Failed to (?:download|install)|UPGRADE|INSTALLATION|.*(?:x509: |\btls: |dial tcp|certificate )|accumulating|failed (?:pre|post)-|Could not find or load|template|failed to parse|execution error|parse error)|linted, \d+ chart",
        lead: r"^\s*\^|^$|^\S+:\d+$|^\s+\S|^node:internal|^\s*throw ",
        before: 6,
        // The sentences below Terraform's errors without a frame, too.
        body: Body::While(
            r"^\s+at |^\s{2,}\S|^\}|^Caused by|^Require stack:|^- /|^[A-Z][^:]*\.$",
            1,
        ),
        key: r"^[A-Z][^:]*\.$",
        score: 64,
        share: 14,
        class: Classification::ProgramText(Unknown),
        proof: r"^\s+at .*:\d+:\d+|^Require stack|^\s+on \S+ line \d+",
        examples: &["Error: Cannot find module './missing'"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "assertion",
        needs: &["assertion failed"],
        start: r"^\s*Assertion failed(?::|$)",
        body: Body::While(r"^\s+at ", 0),
        score: 72,
        share: 8,
        examples: &["Assertion failed: totals differ", "Assertion failed"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "node",
        needs: &["unhandledpromiserejection", "uncaughtexception", "triggeruncaught"],
        start: r"UnhandledPromiseRejection|uncaughtException|triggerUncaught",
        body: Body::While(r"^\s+at |^\s{2,}\S", 0),
        score: 68,
        share: 8,
        class: Classification::ProgramText(Code),
        examples: &["(node:12) UnhandledPromiseRejectionWarning: Error: no"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "npm",
        needs: &["npm err", "npm error"],
        start: r"^npm (?:ERR!|error)(?: |$)",
        unless: r"ERR! +/\S+_logs/|code ELIFECYCLE|Exit status|errno \d|Lifecycle script|Failed at the|not a problem with npm|code \d+$|: `.*`$|Test failed|command (?:failed|sh)|workspace |location |path /|signal ",
        body: Body::While(r"^npm (?:ERR!|error)", 0),
        key: r"ERESOLVE unable|Missing script|Not Found|notarget|network |reason|Cannot|Could not|^npm (?:ERR!|error) \d{3} |can only install packages when|^npm (?:ERR!|error) (?:Missing|Invalid): |permission denied|operation not permitted|rejected by",
        introduces: true,
        score: 62,
        share: 8,
        class: Classification::ToolText(Unknown),
        examples: &["npm ERR! code ERESOLVE", "npm error Missing script: \"build\""],
        ..Rule::TOOL
    },
    Rule {
        kind: "npm",
        needs: &["npm err", "npm error"],
        start: r"^npm (?:ERR!|error) \S",
        body: Body::While(r"^npm (?:ERR!|error)", 0),
        examples: &[
            "npm ERR! code ELIFECYCLE",
            "npm error Lifecycle script `test` failed with error:",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "yarn",
        needs: &["error "],
        start: r"^error Command failed(?: with exit code \d+)?\.",
        examples: &["error Command failed."],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "yarn",
        needs: &["error ", "\u{27a4} yn"],
        start: r#"^error (?:[A-Z"]|\S+@)|^(?u:➤) YN\d+:.*(?:(?i:error|failed|couldn't|can't|mismatch|not found|forbidden)|requested)"#,
        body: Body::While(r"^\s+\S|^info |^(?u:➤) YN\d+: (?u:│).*(?i:error|failed)", 0),
        score: 62,
        share: 6,
        examples: &[
            "error Couldn't find package \"left-pad@99\" on the \"npm\" registry.",
            "error An unexpected error occurred: \"https://registry.yarnpkg.com/x: ETIMEDOUT\".",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "pnpm",
        needs: &["err_pnpm_"],
        start: r"ERR_PNPM_\w+",
        unless: r"ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL",
        body: Body::While(r"^\s*\S", 1),
        score: 62,
        share: 8,
        examples: &[" ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \"frozen-lockfile\""],
        ..Rule::TOOL
    },
    Rule {
        kind: "pnpm",
        needs: &["elifecycle", "err_pnpm_recursive"],
        start: r"ELIFECYCLE|ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL",
        examples: &[" ELIFECYCLE  Command failed."],
        ..Rule::SUMMARY
    },
];
