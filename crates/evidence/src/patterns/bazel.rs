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
    // What the command printed follows, and says why.
    Rule {
        kind: "bazel",
        needs: &["failed: ("],
        start: r"^ERROR: /\S+:\d+:\d+: .* failed: \((?:Exit \d+|Segmentation fault|Aborted|Killed|Illegal instruction|Timeout)",
        score: 20,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &[
            "ERROR: /src/data/BUILD:12:8: Executing genrule //data:segments failed: (Exit 3): bash failed: error executing Genrule command",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "bazel",
        needs: &["error: "],
        start: r"^ERROR: (?:Analysis of target|Skipping |[Ee]rror loading|Evaluation of|[Nn]o such (?:package|target)|Error computing)",
        score: 62,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: Analysis of target '//cart:total' failed; build aborted: Analysis failed",
            "ERROR: Skipping '//cart:totl': no such target '//cart:totl'",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "bazel",
        needs: &["error: /"],
        start: r"^ERROR: /\S+:\d+:\d+: ",
        score: 76,
        share: 1,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: /src/cart/BUILD:4:11: no such target '//money:rounding': target 'rounding' not declared in package 'money'",
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
