//! What the controllers and the clock say in the end.

use super::super::rule::{ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "stuck-pod",
        source: Source::Workload,
        reasons: &["StuckPod"],
        when: When::After(s(5)),
        class: FailureClass::Config,
        line: "{workload} makes no progress: {message}",
        about: "A StatefulSet with ordered pods waits for a broken pod of an earlier revision and \
            never replaces it; a person must delete that pod.",
        examples: &[("StuckPod", "it waits for pod db-1 of an earlier revision, which is broken")],
        ..ROW
    },
    Rule {
        id: "replica-set",
        source: Source::Workload,
        reasons: &["ReplicaSetCreateError"],
        when: When::After(s(2)),
        class: FailureClass::Config,
        line: "{workload}: its ReplicaSet cannot be created: {message}",
        about: "The API server rejects the new ReplicaSet of the Deployment's controller.",
        examples: &[(
            "ReplicaSetCreateError",
            "Failed to create new replica set \"web-6c5f9d8b7\": admission webhook denied it",
        )],
        ..ROW
    },
    Rule {
        id: "progress-deadline",
        source: Source::Workload,
        reasons: &["ProgressDeadlineExceeded"],
        when: When::Now,
        class: FailureClass::Timeout,
        line: "{workload} made no progress within its progressDeadlineSeconds: {message}",
        about: "The Deployment's own deadline has passed.",
        examples: &[(
            "ProgressDeadlineExceeded",
            "ReplicaSet \"web-6c5f9d8b7\" has timed out progressing.",
        )],
        ..ROW
    },
    Rule {
        id: "deadline",
        source: Source::Clock,
        when: When::Now,
        class: FailureClass::Timeout,
        line: "{message}",
        about: "The rollout's deadline has passed. The class is that of the last transient \
            problem, if there is one.",
        examples: &[("Deadline", "deployment/web is not ready after 5m: 1 of 3 ready")],
        ..ROW
    },
];
