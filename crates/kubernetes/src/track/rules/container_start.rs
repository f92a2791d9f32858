//! Containers that cannot be made or started.

use super::super::rule::{Deferral, ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

/// Reasons of a container that could not be made or started.
const START: &[&str] = &[
    "StartError",
    "ContainerCannotRun",
    "RunContainerError",
    "CreateContainerError",
    "ContainerCreateFailed",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "config-cache",
        source: Source::Waiting,
        reasons: &["CreateContainerConfigError"],
        says: &["failed to sync"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the kubelet is behind: {message}",
        about: "The kubelet has not received the object yet; it retries.",
        examples: &[(
            "CreateContainerConfigError",
            "failed to sync configmap cache: timed out waiting for the condition",
        )],
        ..ROW
    },
    Rule {
        id: "missing-config",
        source: Source::Waiting,
        reasons: &["CreateContainerConfigError"],
        says: &["not found", "couldn't find key"],
        when: When::After(s(2)),
        deferral: Deferral::Made,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be created: {message}",
        about: "The container's environment names a ConfigMap, Secret or key that does not exist.",
        examples: &[
            ("CreateContainerConfigError", "secret \"web-secrets\" not found"),
            ("CreateContainerConfigError", "configmap \"web-config\" not found"),
            (
                "CreateContainerConfigError",
                "couldn't find key DATABASE_URL in Secret shop/web-secrets",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "container-config",
        source: Source::Waiting,
        reasons: &["CreateContainerConfigError"],
        when: When::After(s(2)),
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be created: {message}",
        about: "The container's settings contradict the image or each other.",
        examples: &[(
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root (pod: \"web-1_shop(0f)\", \
             container: web)",
        )],
        ..ROW
    },
    Rule {
        id: "start-trouble",
        source: Source::Start,
        reasons: START,
        says: &[
            "context deadline exceeded",
            "no space left on device",
            "is reserved for",
            "resource temporarily unavailable",
            "cannot allocate memory",
            "context canceled",
            "transport is closing",
            "connection refused",
        ],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the node cannot start container {container} yet: {message}",
        about: "The node's runtime fails; the kubelet retries.",
        examples: &[
            ("CreateContainerError", "context deadline exceeded"),
            (
                "CreateContainerError",
                "failed to reserve container name \"web_web-1_shop_0\": name is reserved for \"0f\"",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "exec-format",
        source: Source::Start,
        reasons: START,
        says: &["exec format error"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} is built for another architecture, or its entry point \
            is not a program: {message}",
        about: "The kernel cannot execute the entry point.",
        examples: &[(
            "StartError",
            "failed to create containerd task: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to start container process: error during \
             container init: exec /app/server: exec format error",
        )],
        ..ROW
    },
    Rule {
        id: "missing-command",
        source: Source::Start,
        reasons: START,
        says: &[
            "executable file not found",
            "no such file or directory",
            "no command specified",
            "is a directory: unknown",
        ],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: the command of container {container} does not exist: {message}",
        about: "The command is not in the image.",
        examples: &[
            (
                "StartError",
                "failed to create containerd task: failed to create shim task: OCI runtime create \
                 failed: runc create failed: unable to start container process: error during \
                 container init: exec: \"serve\": executable file not found in $PATH",
            ),
            (
                "RunContainerError",
                "failed to create containerd task: failed to create shim task: OCI runtime create \
                 failed: runc create failed: unable to start container process: exec: \"/app\": \
                 stat /app: no such file or directory: unknown",
            ),
            (
                "CreateContainerError",
                "failed to generate container \"0f\" spec: failed to generate spec: no command \
                 specified",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "start-refused",
        source: Source::Start,
        reasons: START,
        says: &["permission denied", "not a directory", "operation not permitted"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be started: {message}",
        about: "The entry point is not executable, or a mount targets the wrong kind of file.",
        examples: &[(
            "StartError",
            "failed to create containerd task: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to start container process: error during \
             container init: exec: \"/app/run.sh\": permission denied",
        )],
        ..ROW
    },
    Rule {
        id: "start-error",
        source: Source::Start,
        reasons: START,
        when: When::TimesOrAfter(2, s(20)),
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be started: {message}",
        about: "Another start error.",
        examples: &[(
            "StartError",
            "failed to create containerd task: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to apply cgroup configuration",
        )],
        ..ROW
    },
];
