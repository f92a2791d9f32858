//! Pods that no node takes.

use super::super::rule::{Deferral, ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "missing-claim",
        source: Source::Schedule,
        reasons: &["Unschedulable"],
        says: &["persistentvolumeclaim \""],
        but_not: &["bound to non-existent"],
        when: When::After(s(2)),
        deferral: Deferral::Made,
        class: FailureClass::Config,
        line: "{pod} cannot start, a volume is missing: {message}",
        about: "The pod names a PersistentVolumeClaim that does not exist.",
        examples: &[(
            "Unschedulable",
            "0/3 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/3 \
             nodes are available: 3 Preemption is not helpful for scheduling.",
        )],
        ..ROW
    },
    Rule {
        id: "scale-up",
        source: Source::Schedule,
        reasons: &["ScaleUp"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod} waits for a node that is being added: {message}",
        about: "The cluster autoscaler (`TriggeredScaleUp`) or Karpenter (`Nominated`) is adding a \
                node.",
        examples: &[
            ("ScaleUp", "pod triggered scale-up: [{agentpool-vmss 1->2 (max: 5)}]"),
            ("ScaleUp", "Pod should schedule on: nodeclaim/default-tn8fg"),
        ],
        ..ROW
    },
    Rule {
        id: "no-such-node",
        source: Source::Schedule,
        reasons: &["Unschedulable"],
        says: &["didn't match Pod's node affinity/selector", "untolerated taint"],
        but_not: &["Insufficient", "node.kubernetes.io/"],
        when: When::After(s(60)),
        class: FailureClass::Config,
        line: "{pod} could not be scheduled for 60 s, no node matches: {message}",
        about: "The pod's selector, affinity or tolerations fit no node.",
        examples: &[(
            "Unschedulable",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        )],
        ..ROW
    },
    Rule {
        id: "unschedulable",
        source: Source::Schedule,
        reasons: &["Unschedulable"],
        when: When::After(s(60)),
        class: FailureClass::Infrastructure,
        line: "{pod} could not be scheduled for 60 s: {message}",
        about: "No node has capacity, and none is being added.",
        examples: &[
            (
                "Unschedulable",
                "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: \
                 3 No preemption victims found for incoming pod.",
            ),
            (
                "Unschedulable",
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            ),
            (
                "Unschedulable",
                "0/1 nodes are available: 1 node(s) had untolerated taint \
                 {node.kubernetes.io/not-ready: }.",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "scheduling-gated",
        source: Source::Schedule,
        reasons: &["SchedulingGated"],
        when: When::Never,
        class: FailureClass::Config,
        line: "{pod} waits for its scheduling gates to be removed",
        about: "Another controller decides when the pod may be scheduled.",
        examples: &[("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")],
        ..ROW
    },
];
