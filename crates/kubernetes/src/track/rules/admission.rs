//! Pods that cannot be created.

use super::super::rule::{Deferral, ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "quota",
        source: Source::Create,
        says: &["exceeded quota", "exceeded hierarchical quota"],
        when: When::After(s(2)),
        deferral: Deferral::Moving,
        class: FailureClass::Quota,
        line: "{workload}: no pod can be created, the namespace's quota is used up: {message}",
        about: "A ResourceQuota rejects the pod. Waits while pods of the workload are still \
            terminating, because they release their share.",
        examples: &[(
            "FailedCreate",
            "pods \"web-6c5f9d8b7-\" is forbidden: exceeded quota: compute, requested: \
             limits.memory=1Gi, used: limits.memory=1Gi, limited: limits.memory=1Gi",
        )],
        ..ROW
    },
    Rule {
        id: "webhook-away",
        source: Source::Create,
        says: &["failed calling webhook", "failed to call webhook"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{workload}: an admission webhook does not answer: {message}",
        about: "The webhook is down, not the release; the controller tries again.",
        examples: &[(
            "FailedCreate",
            "Internal error occurred: failed calling webhook \"validate.policy.example\": failed \
             to call webhook: Post \"https://policy.svc:443/validate?timeout=10s\": dial tcp \
             10.96.3.4:443: connect: connection refused",
        )],
        ..ROW
    },
    Rule {
        id: "pod-security",
        source: Source::Create,
        says: &["violates PodSecurity"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{workload}: no pod can be created, the namespace's pod security forbids it: \
               {message}",
        about: "Pod Security admission refuses the pod template.",
        examples: &[(
            "FailedCreate",
            "pods \"web-6c5f9d8b7-x2x5z\" is forbidden: violates PodSecurity \"restricted:latest\": \
             allowPrivilegeEscalation != false (container \"web\" must set \
             securityContext.allowPrivilegeEscalation=false)",
        )],
        ..ROW
    },
    Rule {
        id: "service-account",
        source: Source::Create,
        says: &["error looking up service account"],
        when: When::After(s(3)),
        deferral: Deferral::Made,
        class: FailureClass::Config,
        line: "{workload}: no pod can be created, its service account is missing: {message}",
        about: "The pod names a ServiceAccount that does not exist.",
        examples: &[(
            "FailedCreate",
            "pods \"web-6c5f9d8b7-\" is forbidden: error looking up service account shop/web: \
             serviceaccount \"web\" not found",
        )],
        ..ROW
    },
    Rule {
        id: "admission",
        source: Source::Create,
        says: &[
            "denied the request",
            "is forbidden",
            "is invalid",
            "must specify",
            "ValidatingAdmissionPolicy",
            "Invalid value",
        ],
        when: When::Now,
        class: FailureClass::Config,
        line: "{workload}: no pod can be created, the cluster rejects it: {message}",
        about: "A limit range, an admission policy, a webhook or the API's own validation rejects \
            the pod.",
        examples: &[
            (
                "FailedCreate",
                "admission webhook \"validate.kyverno.svc-fail\" denied the request: policy \
                 Deployment/shop/web for resource violation: require-labels",
            ),
            (
                "FailedCreate",
                "pods \"web-6c5f9d8b7-\" is forbidden: maximum memory usage per Container is 1Gi, \
                 but limit is 2Gi",
            ),
            (
                "FailedCreate",
                "pods \"web-6c5f9d8b7-\" is forbidden: failed quota: compute: must specify \
                 limits.cpu for: web",
            ),
            ("FailedCreate", "Pod \"web-6c5f9d8b7-jk2lm\" is invalid: spec.containers[0].ports"),
        ],
        ..ROW
    },
    Rule {
        id: "creation",
        source: Source::Create,
        when: When::After(s(20)),
        deferral: Deferral::Moving,
        class: FailureClass::Infrastructure,
        line: "{workload}: no pod can be created: {message}",
        about: "Pods cannot be created for another reason.",
        examples: &[("FailedCreate", "etcdserver: request timed out")],
        ..ROW
    },
];
