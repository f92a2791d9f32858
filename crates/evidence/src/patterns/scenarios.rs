//! Scenarios in sentences: behave, Cucumber, Robot Framework.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    // The line of a suite looks the same: what follows it counts tests.
    Rule {
        kind: "robot",
        needs: &["| fail |"],
        start: r"^(?P<name>[^\s|].*?)(?: :: .*?)? *\| FAIL \|$",
        body: Body::Until(r"^[-=]{20,}$"),
        key: r"^\S",
        hollow: r"^\d+ (?:critical )?tests?, \d+ passed, \d+ failed",
        share: 6,
        examples: &["Adds                                  | FAIL |"],
        ..Rule::TEST
    },
    Rule {
        kind: "behave",
        needs: &["assertion failed: ", "assert failed: "],
        start: r"^\s+(?:Assertion Failed|ASSERT FAILED): ",
        lead: r"^\s+(?:Given|When|Then|And|But|\*) ",
        before: 1,
        body: Body::While(r"^\s{6,}\S", 0),
        introduces: false,
        share: 6,
        examples: &["      Assertion Failed: expected 5 got -1"],
        ..Rule::TEST
    },
    Rule {
        kind: "scenario",
        needs: &["failing scenarios:", "failed scenarios:", "errored scenarios:", "failed steps:"],
        start: r"^(?:--- )?(?i:failing|failed|errored) (?i:scenarios|steps):$",
        body: Body::While(r"^\s*(?:cucumber |file:\S+)?\S*\.feature:\d+|^\s+Scenario|^\s{4,}\S", 1),
        item: r"\.feature:\d+\s+(?:# )?(?:Scenario(?: Outline)?: )?(\S.*?)$|^\s+Scenario(?: Outline)?: (.*?) +# \S+:\d+$",
        key: r"^\s+Error: ",
        introduces: false,
        score: 60,
        share: 8,
        examples: &["Failing scenarios:", "Failing Scenarios:", "--- Failed steps:"],
        ..Rule::TEST
    },
    Rule {
        kind: "cucumber",
        needs: &[") scenario: ", ") scenario outline: "],
        start: r"^\s*\d+\) Scenario(?: Outline)?: (?P<name>.*?) # \S+\.feature:\d+",
        body: Body::While(r"^\s+\S", 1),
        key: r"^\s+(?u:✖) |Error\b|^\s+[+-]\S|\S !==? \S",
        share: 12,
        examples: &["1) Scenario: two items # features/cart.feature:9"],
        ..Rule::TEST
    },
    // What RSpec's expectations say below the step of Cucumber in Ruby.
    Rule {
        kind: "cucumber",
        needs: &["expectationnotmeterror)"],
        start: r"\(RSpec::Expectations::ExpectationNotMetError\)$",
        lead: r"^\s*\S|^$",
        before: 7,
        body: Body::While(r"^\s+\S+:\d+:in ", 0),
        key: r"^\s*(?:expected|got): |^\s+expected \S",
        share: 10,
        examples: &["       (RSpec::Expectations::ExpectationNotMetError)"],
        ..Rule::TEST
    },
    Rule {
        kind: "scenario",
        needs: &["you can implement "],
        start: r"^You can implement (?:missing |the |)step",
        body: Body::While(r"^\s*\S", 1),
        score: 58,
        share: 4,
        class: Classification::Fixed(Code),
        examples: &["You can implement step definitions for undefined steps with these snippets:"],
        ..Rule::TOOL
    },
];
