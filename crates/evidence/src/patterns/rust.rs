//! rustc, cargo, clippy, rustfmt, libtest, nextest.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Code, Config, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "rustc",
        needs: &["error["],
        start: r"^error\[E\d+\]: ",
        body: Body::Until(r"^\s*$|^(?:error|warning)(?:\[|: )"),
        key: r"^error\[|^\s*--> ",
        score: 92,
        of_source: true,
        examples: &["error[E0308]: mismatched types"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "cargo",
        needs: &["error: "],
        start: r"^error: (?:could not compile|aborting due to|build failed|test failed, to rerun|doctest failed|\d+ targets? failed|process didn't exit successfully|test run failed|recipe for target)",
        body: Body::While(r"^\s+`|^Caused by|^\s+process didn't", 1),
        class: Classification::Fixed(Code),
        examples: &[
            "error: could not compile `app` (bin \"app\") due to 1 previous error",
            "error: test failed, to rerun pass `--lib`",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "linker",
        needs: &["error: linker "],
        start: r"^error: linker `.*` not found",
        body: Body::While(r"^\s+[|=]", 0),
        class: Classification::Fixed(Config),
        score: 80,
        share: 4,
        examples: &["error: linker `cc` not found"],
        ..Rule::TOOL
    },
    // Of uv, whose mark is an x where the terminal has no other.
    Rule {
        kind: "uv",
        needs: &["failed to build", "failed to download", "failed to resolve", "failed to fetch"],
        start: r"^\s*(?:(?u:×)|x) Failed to \w+",
        body: Body::While(r"^\s+\S", 1),
        key: r"^\s+\S*(?:Error|error)\b|^\s+hint: |(?u:╰─▶)|`-> ",
        class: Classification::ToolText(Code),
        score: 72,
        share: 16,
        examples: &[
            "  × Failed to build `psycopg2==2.9.9`",
            "  x Failed to download `flask==3.0.0`",
        ],
        ..Rule::TOOL
    },
    // Lints turned into errors and syntax errors have no code, but an arrow.
    Rule {
        kind: "error",
        needs: &["error: "],
        start: r"^error: \S",
        unless: r"^error: (?:0 |no error|'.*' failed: )",
        body: Body::While(
            r"^\s+\S|^Caused by|^(?:note|help|hint|info): |^\s*-->|^\[end of output\]|^ *[|=]",
            1,
        ),
        key: r"^error: |^\s*--> |^\s{2}\S",
        class: Classification::ToolText(Unknown),
        proof: r"^\s*(?u:--> |┌─ |╭─\[ ?)\S+:\d+:\d+",
        score: 66,
        share: 20,
        examples: &[
            "error: unused variable: `x`",
            "error: failed to get `serde` as a dependency of package `app v0.1.0 (/app)`",
            "error: subprocess-exited-with-error",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "cargo-test",
        needs: &[" stdout ----", " stderr ----"],
        start: r"^---- (?P<name>\S.*?) std(?:out|err) ----$",
        body: Body::Until(r"^---- .* ----$|^failures:$|^test result|^successes:$"),
        key: r"panicked at|^assertion|^\s*(?:left|right): |^Error: |^error",
        examples: &["---- tests::adds stdout ----"],
        ..Rule::TEST
    },
    Rule {
        kind: "cargo-test",
        needs: &["... failed"],
        start: r"^test (?P<name>\S.*?)(?: - should panic)? \.\.\. FAILED$",
        score: 50,
        share: 1,
        examples: &["test tests::adds ... FAILED"],
        ..Rule::TEST
    },
    Rule {
        kind: "nextest",
        needs: &[
            "fail [",
            "timeout [",
            "abort [",
            "sigabrt [",
            "sigsegv [",
            "sigkill [",
            "sigbus [",
        ],
        start: r"^\s*(?:TRY \d+ )?(?:FAIL|TIMEOUT|SIG[A-Z]+|ABORT) \[\s*[\d.]+s\] (?:\(\s*\d+/\d+\) )?(?:\S+ )?(?P<name>\S+)$",
        score: 50,
        share: 1,
        introduces: false,
        examples: &["        FAIL [   0.005s] app tests::adds"],
        ..Rule::TEST
    },
    Rule {
        kind: "nextest",
        needs: &["flaky ", "try 2 pass", "try 3 pass", "try 4 pass", "try 5 pass"],
        start: r"^\s*(?:FLAKY \d+/\d+|TRY \d+ PASS) \[\s*[\d.]+s\] (?:\(\s*\d+/\d+\) )?(?:\S+ )?(?P<passed>\S+)$",
        score: 8,
        share: 1,
        examples: &[
            "   TRY 2 PASS [   0.381s] app net::tests::reconnects",
            "   FLAKY 2/2 [   0.381s] app net::tests::reconnects",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "rust-panic",
        needs: &["panicked while"],
        start: r"^thread .*panicked while (?:panicking|processing panic)",
        score: 80,
        share: 2,
        symptom: Symptom::Tests,
        examples: &["thread panicked while panicking. aborting."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "cargo-test",
        needs: &["failures:$"],
        start: r"^failures:$",
        body: Body::While(r"^    \S", 1),
        item: r"^    (\S.*)$",
        symptom: Symptom::Tests,
        score: 42,
        examples: &["failures:"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "rust-panic",
        needs: &["panicked at"],
        start: r"^\s*thread '.*' (?:\(\d+\) )?panicked at ",
        body: Body::Until(r"^\s*$|^test |^---- "),
        score: 82,
        share: 14,
        symptom: Symptom::Tests,
        class: Classification::ProgramText(Code),
        examples: &["thread 'main' panicked at src/main.rs:3:5:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "rustfmt",
        needs: &["diff in "],
        start: r"^Diff in \S+?(?::\d+:?| at line \d+:)$",
        body: Body::While(r"^[ +-]", 1),
        score: 74,
        share: 12,
        of_source: true,
        examples: &["Diff in /app/src/main.rs:12:", "Diff in /app/src/main.rs at line 12:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "cargo-deny",
        needs: &["error["],
        start: r"^error\[[a-z][\w-]*\]: ",
        body: Body::Until(r"^\s*$|^(?:error|warning|note|help)(?:\[|: )"),
        score: 88,
        share: 14,
        examples: &["error[vulnerability]: Potential segfault in the time crate"],
        ..Rule::COMPILER
    },
    // The arrow that rustc's diagnostics set the fashion for: ruff, miette, cargo-deny, biome.
    Rule {
        kind: "diagnostic",
        needs: &["--> ", "\u{256d}\u{2500}[", "\u{250c}\u{2500} "],
        start: r"^\s*(?:--> |(?u:╭─\[ ?|┌─ ))\S+?:\d+:\d+",
        lead: r"^\S",
        before: 1,
        key: r"^[A-Za-z]",
        introduces: true,
        body: Body::Until(r"^\s*$|^(?:error|warning|note|help)(?:\[|: )|^[A-Z]+\d+ "),
        score: 64,
        share: 14,
        of_source: true,
        examples: &[" --> app/main.py:1:8", "   ╭─[src/index.ts:3:9]"],
        ..Rule::COMPILER
    },
];
