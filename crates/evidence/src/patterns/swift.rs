//! Xcode, SwiftPM, XCTest, Swift Testing.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Config, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "xctest",
        needs: &[".swift:", ": error: -["],
        start: r"^\S.*\.(?:swift|mm?):\d+: error: (?:-\[(?:\w+\.)?(?P<owner>\w+) (?P<test>\w+)\]|(?P<name>\w+\.\w+)) : ",
        score: 88,
        share: 2,
        introduces: false,
        examples: &[
            "/app/Tests/CartTests.swift:31: error: -[AppTests.CartTests testTotal] : XCTAssertEqual failed: (\"3\") is not equal to (\"2\")",
            "/app/Tests/CartTests.swift:17: error: CartTests.testTotal : XCTAssertTrue failed - ",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "xctest",
        needs: &["test case '"],
        start: r"^Test Case '(?:-\[(?:\w+\.)?(?P<owner>\w+) (?P<test>\w+)\]|(?P<name>\w+\.\w+))' failed",
        score: 50,
        share: 1,
        examples: &["Test Case '-[AppTests.CartTests testTotal]' failed (0.014 seconds)."],
        ..Rule::TEST
    },
    Rule {
        kind: "xctest",
        needs: &["failing tests:"],
        start: r"^Failing tests:$",
        body: Body::While(r"^\s+\S", 0),
        item: r"^\s+(?:-\[(?:\w+\.)?)?(\w+[.]\w+)(?:\(\))?$",
        symptom: Symptom::Tests,
        score: 42,
        examples: &["Failing tests:"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "swift-testing",
        needs: &[" recorded an issue"],
        start: r#"^\S+ Test "?(?P<name>\S.*?)"? recorded an issue (?:with .* )?at \S+:\d+:\d+: "#,
        body: Body::While(r"^(?u:↳) ", 0),
        score: 88,
        share: 3,
        introduces: false,
        examples: &[
            "✘ Test addsUp() recorded an issue at CartTests.swift:12:5: Expectation failed: (total → 20) == 30",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "swift-testing",
        needs: &[" failed after "],
        start: r#"^\S+ Test "?(?P<name>\S.*?)"? failed after [\d.]+ seconds"#,
        unless: r"^\S+ Test run with ",
        score: 50,
        share: 1,
        examples: &["✘ Test addsUp() failed after 0.001 seconds with 1 issue."],
        ..Rule::TEST
    },
    Rule {
        kind: "codesign",
        needs: &["signing", "provisioning profile", "no profiles for"],
        start: r"error: .*(?:Signing for|[Cc]ode ?[Ss]ign|[Pp]rovisioning profile|No profiles? for|No signing certificate)",
        score: 80,
        share: 2,
        class: Classification::Fixed(Config),
        examples: &[
            "/app/App.xcodeproj: error: Signing for \"App\" requires a development team. Select a development team in the Signing & Capabilities editor.",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "swift",
        needs: &["exited with unexpected signal", "fatalerror"],
        start: r"^error: (?:Exited with unexpected signal code|fatalError$)",
        class: Classification::Fixed(Unknown),
        share: 1,
        score: 8,
        examples: &["error: Exited with unexpected signal code 1", "error: fatalError"],
        ..Rule::SUMMARY
    },
];
