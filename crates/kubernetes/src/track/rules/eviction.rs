//! Pods taken away from under the workload.

use super::super::rule::{ROW, Rule, Source, When};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "own-storage-limit",
        source: Source::Pod,
        reasons: &["Evicted"],
        says: &["exceeds the total limit of containers", "exceeds the limit", "exceeded its local"],
        when: When::Times(2),
        class: FailureClass::Config,
        line: "{pod} was evicted, like an earlier one, for exceeding its own storage limit: \
            {message}",
        about: "A second eviction for the pod's own ephemeral-storage or emptyDir limit.",
        examples: &[
            (
                "Evicted",
                "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
            ),
            ("Evicted", "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". "),
        ],
        ..ROW
    },
    Rule {
        id: "disruption",
        source: Source::Pod,
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod} was stopped by the cluster: {message}",
        about: "Evictions, preemption, a node that is lost, drained or shut down: the controller \
            creates another pod.",
        examples: &[
            ("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi"),
            ("Preempting", "Preempted in order to admit critical pod"),
            ("NodeLost", "Node node-2 which was running pod web-1 is unresponsive"),
            ("Terminated", "Pod was terminated in response to imminent node shutdown."),
            ("NodeShutdown", "Pod was rejected as the node is shutting down."),
            ("DisruptionTarget", "Taint manager: deleting due to NoExecute taint"),
            ("OutOfcpu", "Node didn't have enough resource: cpu"),
            ("UnexpectedAdmissionError", "Allocate failed due to requested devices unavailable"),
        ],
        ..ROW
    },
];
