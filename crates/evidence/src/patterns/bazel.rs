//! Bazel.

use super::super::rule::{Classification, Rule};
use greenloop_model::FailureClass::{Code, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "bazel",
        needs: &["flaky, failed in"],
        start: r"^(?P<passed>//\S+)\s+FLAKY, failed in",
        score: 8,
        share: 1,
        examples: &["//web:hello_test           FLAKY, failed in 1 out of 2 in 0.5s"],
        ..Rule::TEST
    },
    Rule {
        kind: "bazel",
        needs: &["fail: //", "timeout: //", "no status: //"],
        start: r"^(?:FAIL|TIMEOUT|NO STATUS): (?P<name>//\S+) \(",
        score: 66,
        share: 1,
        introduces: false,
        examples: &[
            "FAIL: //cart:total_test (see /home/ci/.cache/testlogs/cart/total_test/test.log)",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "bazel",
        needs: &["failed in", "timeout in", "no status", "failed to build", "remote failure"],
        start: r"^(?P<name>//\S+)\s+(?:FAILED|TIMEOUT|NO STATUS|REMOTE FAILURE)\b",
        score: 50,
        share: 1,
        introduces: false,
        examples: &[
            "//cart:total_test                     FAILED in 0.1s",
            "//search:index_test                   TIMEOUT in 300.1s",
            "//search:load_test                    FAILED in 3 out of 3 in 1.1s",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "bazel",
        needs: &["error: /"],
        start: r"^ERROR: /\S+:\d+:\d+: ",
        score: 76,
        share: 1,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: /src/cart/BUILD:7:11: Compiling src/cart/total.cc failed: (Exit 1): gcc failed: error executing CppCompile command",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "bazel",
        needs: &["failed to build", "build did not complete"],
        start: r"^Target //\S+ failed to build|^(?:ERROR|FAILED): Build did NOT complete successfully",
        share: 1,
        score: 8,
        class: Classification::Fixed(Unknown),
        examples: &[
            "Target //cart:total failed to build",
            "ERROR: Build did NOT complete successfully",
        ],
        ..Rule::SUMMARY
    },
];
