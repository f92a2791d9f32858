//! Dart and Flutter.

use super::super::rule::{Body, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "dart-test",
        needs: &[" [e]"],
        start: r"^\d\d+:\d\d \+\d+(?: ~\d+)?(?: -\d+)?: (?:\S+\.dart: )?(?P<name>\S.*) \[E\]$",
        body: Body::While(r"^\s+\S", 1),
        key: r"^\s+(?:Expected|Actual|Which|\w*(?:Exception|Error)\b.*):? |\.dart \d+:\d+ +main",
        share: 10,
        examples: &["00:01 +1 -1: Cart totals add up [E]"],
        ..Rule::TEST
    },
    Rule {
        kind: "flutter-test",
        needs: &["exception caught by"],
        start: r"EXCEPTION CAUGHT BY ",
        body: Body::Until(r"^(?u:═{20,})$"),
        key: r"^\s*(?:Expected|Actual|Which): |_test\.dart|Error\b|The test description was",
        score: 84,
        share: 12,
        examples: &["══╡ EXCEPTION CAUGHT BY FLUTTER TEST FRAMEWORK ╞══════════"],
        ..Rule::TEST
    },
    Rule {
        kind: "dart",
        needs: &[".dart:"],
        start: r"^\S+\.dart:\d+:\d+: Error: ",
        of_source: true,
        body: Body::While(r"^\s+\S|^ - |^Try ", 0),
        share: 8,
        examples: &[
            "lib/cart.dart:12:18: Error: The getter 'pric' isn't defined for the class 'Item'.",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "dart-analyze",
        needs: &["error \u{2022} ", "error - "],
        start: r"^\s*error (?u:•|-) .*\.dart:\d+:\d+",
        of_source: true,
        score: 80,
        share: 2,
        examples: &["  error • Undefined name 'totl' • lib/cart.dart:12:10 • undefined_identifier"],
        ..Rule::COMPILER
    },
];
