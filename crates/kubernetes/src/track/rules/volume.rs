//! Volumes and sandboxes, which events tell of.

use super::super::rule::{Deferral, ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "volume-cache",
        source: Source::Setup,
        says: &["failed to sync"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the kubelet is behind: {message}",
        about: "The kubelet has not received the object yet; it retries.",
        examples: &[(
            "FailedMount",
            "MountVolume.SetUp failed for volume \"kube-api-access-8tx2v\" : failed to sync \
             configmap cache: timed out waiting for the condition",
        )],
        ..ROW
    },
    Rule {
        id: "missing-volume",
        source: Source::Setup,
        reasons: &["FailedMount"],
        says: &[
            "configmap \"",
            "secret \"",
            "persistentvolumeclaim \"",
            "references non-existent secret key",
            "references non-existent config key",
            "hostPath type check failed",
        ],
        when: When::After(s(2)),
        deferral: Deferral::Made,
        class: FailureClass::Config,
        line: "{pod} cannot start, a volume is missing: {message}",
        about: "A volume names a ConfigMap, Secret, key, claim or host path that does not exist.",
        examples: &[
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"config\" : configmap \"web-config\" not found",
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"tls\" : secret \"web-tls\" not found",
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"tls\" : references non-existent secret key: \
                 tls.crt",
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"data\" : hostPath type check failed: \
                 /srv/data is not a directory",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "volume-pending",
        source: Source::Setup,
        reasons: &["FailedMount", "FailedAttachVolume", "FailedMapVolume"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod} waits for a volume: {message}",
        about: "A disk is still attached elsewhere, or the storage is slow.",
        examples: &[
            (
                "FailedAttachVolume",
                "Multi-Attach error for volume \"pvc-0f1e\" Volume is already used by pod(s) web-1",
            ),
            (
                "FailedMount",
                "Unable to attach or mount volumes: unmounted volumes=[data], unattached \
                 volumes=[], failed to process volumes=[]: timed out waiting for the condition",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "sandbox",
        source: Source::Setup,
        reasons: &["FailedCreatePodSandBox"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the node cannot set up the pod yet: {message}",
        about: "The node's network or runtime fails; the kubelet retries.",
        examples: &[(
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup \
             network for sandbox: plugin type=\"calico\" failed (add): no more addresses",
        )],
        ..ROW
    },
];
