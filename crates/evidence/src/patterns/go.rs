//! The go tool, its tests, vet and linters.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "go",
        needs: &[".go:"],
        start: r"^(?:vet: )?[^\s:]*\.go:\d+(?::\d+)?: \S",
        unless: r"\.go:\d+(?::\d+)?: (?i:info|debug|warn|trace|\d{4}[-/]\d\d)|\[debug\]|^\S+\.go:\d+: \[GIN",
        lead: r"^# \S",
        before: 1,
        body: Body::While(r"^\t\S", 0),
        key: r"\.go:\d+",
        score: 88,
        share: 6,
        of_source: true,
        examples: &[
            "./main.go:12:5: undefined: foo",
            "cmd/app/main.go:8:2: no required module provides package example.com/x; to add it:",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "go-test",
        needs: &["--- fail: "],
        start: r"^\s*--- FAIL: (?P<name>\S+)(?: \([\d.]+s\))?",
        lead: r"^\s+\S|^=== ",
        before: 8,
        body: Body::While(r"^\s+\S", 0),
        item: r"^\s+--- FAIL: (\S+)",
        key: r"\.go:\d+: |Error Trace:|Error:|(?i:expected|actual|got|want)\b",
        examples: &["--- FAIL: TestAdd (0.00s)", "    --- FAIL: TestAdd/negative (0.00s)"],
        ..Rule::TEST
    },
    Rule {
        kind: "go-panic",
        needs: &["panic: ", "fatal error: "],
        start: r"^(?:panic: |fatal error: (?:all goroutines|concurrent|runtime|stack|unexpected signal|out of memory))",
        body: Body::While(
            r"^goroutine |^\s+\S|^\S+\(.*\)$|^created by |^\[signal|^panic\(|^exit status|^testing\.",
            1,
        ),
        key: r"^\t\S+\.go:\d+|^panic: ",
        score: 84,
        share: 16,
        class: Classification::ProgramText(Code),
        examples: &["panic: runtime error: index out of range [5] with length 3"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "data-race",
        needs: &["warning: data race"],
        start: r"^WARNING: DATA RACE",
        body: Body::Until(r"^={10,}"),
        key: r"^\s+\S+\.go:\d+",
        score: 83,
        share: 18,
        examples: &["WARNING: DATA RACE"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "go-modules",
        needs: &["go: "],
        start: r"^go: \S+@\S+: \S|^go: \S.*(?i:not found|unknown revision|cannot|missing|module lookup|reading|invalid|error|requires|mismatch|updates to go\.mod|no required module|go\.mod file not found|i/o timeout)",
        unless: r"^go: (?:downloading|finding|extracting|added|upgraded)",
        body: Body::While(r"^\t\S|^go: ", 0),
        score: 73,
        share: 6,
        class: Classification::ToolText(Code),
        examples: &["go: example.com/x@v1.2.3: invalid version: unknown revision v1.2.3"],
        ..Rule::TOOL
    },
    Rule {
        kind: "go",
        needs: &["missing go.sum entry", "verifying module", "checksum mismatch"],
        start: r"missing go\.sum entry|^verifying \S+: checksum mismatch",
        score: 73,
        share: 4,
        class: Classification::Fixed(Code),
        examples: &["verifying example.com/x@v1.0.0: checksum mismatch"],
        ..Rule::TOOL
    },
    Rule {
        kind: "go-test",
        needs: &["fail\t"],
        start: r"^FAIL\t\S+",
        class: Classification::Fixed(Code),
        examples: &["FAIL\texample.com/app\t0.012s", "FAIL\texample.com/app [build failed]"],
        ..Rule::SUMMARY
    },
];
