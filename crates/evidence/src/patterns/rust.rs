//! rustc, cargo, clippy, rustfmt, libtest, nextest.

use super::super::rule::{Body, Rule, Symptom, Verdict};
use greenloop_model::FailureClass::{Code, Unknown};

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
        verdict: Verdict::Is(Code),
        examples: &[
            "error: could not compile `app` (bin \"app\") due to 1 previous error",
            "error: test failed, to rerun pass `--lib`",
        ],
        ..Rule::SUMMARY
    },
    // Lints turned into errors and syntax errors have no code, but an arrow.
    Rule {
        kind: "error",
        needs: &["error: "],
        start: r"^error: \S",
        unless: r"^error: (?:0 |no error)",
        body: Body::While(
            r"^\s+\S|^Caused by|^(?:note|help|hint|info): |^\s*-->|^\[end of output\]|^ *[|=]",
            1,
        ),
        key: r"^error: |^\s*--> |^\s{2}\S",
        verdict: Verdict::Says(Unknown),
        proof: r"^\s*--> \S+:\d+:\d+",
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
        needs: &["fail [", "timeout [", "sigabrt [", "sigsegv ["],
        start: r"^\s*(?:TRY \d+ )?(?:FAIL|TIMEOUT|SIG[A-Z]+|ABORT) \[\s*[\d.]+s\] (?:\(\s*\d+/\d+\) )?(?P<name>\S.*)$",
        score: 50,
        share: 1,
        examples: &["        FAIL [   0.005s] app tests::adds"],
        ..Rule::TEST
    },
    Rule {
        kind: "cargo-test",
        needs: &["failures:"],
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
        verdict: Verdict::Own(Code),
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
    // The arrow that rustc's diagnostics set the fashion for: ruff, miette, cargo-deny, biome.
    Rule {
        kind: "diagnostic",
        needs: &["--> ", "\u{256d}\u{2500}[", "\u{250c}\u{2500} "],
        start: r"^\s*(?:--> |(?u:╭─\[ ?|┌─ ))\S+?:\d+:\d+",
        lead: r"^\S",
        before: 1,
        body: Body::Until(r"^\s*$|^(?:error|warning|note|help)(?:\[|: )|^[A-Z]+\d+ "),
        score: 64,
        share: 14,
        of_source: true,
        examples: &[" --> app/main.py:1:8", "   ╭─[src/index.ts:3:9]"],
        ..Rule::COMPILER
    },
];
