//! The workload itself: nothing will be rolled out.

use super::super::rule::{ROW, Rule, Source, When};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "paused",
        source: Source::Workload,
        reasons: &["Paused"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{workload} is paused (spec.paused: true): nothing is rolled out",
        about: "A paused Deployment rolls out nothing until it is resumed.",
        examples: &[("Paused", "")],
        ..ROW
    },
    Rule {
        id: "suspended",
        source: Source::Workload,
        reasons: &["Suspended"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{workload} is suspended (spec.suspend: true): it will not run",
        about: "A suspended Job starts no pod.",
        examples: &[("Suspended", "")],
        ..ROW
    },
];
