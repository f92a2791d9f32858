//! The rule table: which sign of trouble is final, when, and where the failure is routed to.
//!
//! Order counts: the first row that fits a sign is the one, so the special stands before the
//! general; and of several final signs the one whose row stands first is the cause that is told.
//! The messages are those of the kubelet, the controllers, the scheduler and containerd; a test
//! checks that every example comes to its own row.

use std::time::Duration;

use super::rule::{Patience, Rule, Source, When};
use greenloop_model::FailureClass;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the fields of a row are that are not written.
const ROW: Rule = Rule {
    id: "",
    source: Source::Clock,
    reasons: &[],
    says: &[],
    also: &[],
    but_not: &[],
    when: When::Never,
    patience: Patience::None,
    class: FailureClass::Unknown,
    log_class: false,
    line: "",
    about: "",
    examples: &[],
};

/// The reasons with which a kubelet says that an image could not be had.
const PULL: &[&str] =
    &["ErrImagePull", "ImagePullBackOff", "PullImageError", "RegistryUnavailable"];

/// Reasons of a container that could not be made or started.
const START: &[&str] = &[
    "StartError",
    "ContainerCannotRun",
    "RunContainerError",
    "CreateContainerError",
    "ContainerCreateFailed",
];

/// The table.
pub(super) const RULES: &[Rule] = &[
    // The workload itself.
    Rule {
        id: "paused",
        source: Source::Workload,
        reasons: &["Paused"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{workload} is paused (spec.paused: true): nothing will be rolled out",
        about: "A paused Deployment rolls nothing out until somebody resumes it.",
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
    // Pods that cannot even be created.
    Rule {
        id: "quota",
        source: Source::Create,
        says: &["exceeded quota", "exceeded hierarchical quota"],
        when: When::After(s(2)),
        patience: Patience::Moving,
        class: FailureClass::Quota,
        line: "{workload}: no pod can be created, the namespace's quota is used up: {message}",
        about: "A ResourceQuota refuses the pod. Waits while pods of the workload are still going \
                away, for they give their share back.",
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
        patience: Patience::Made,
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
        line: "{workload}: no pod can be created, the cluster refuses it: {message}",
        about: "A limit range, an admission policy, a webhook or the API's own validation refuses \
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
        patience: Patience::Moving,
        class: FailureClass::Infrastructure,
        line: "{workload}: no pod can be created: {message}",
        about: "Pods cannot be created for a reason that none of the rows above knows.",
        examples: &[("FailedCreate", "etcdserver: request timed out")],
        ..ROW
    },
    // Pods taken away from under the workload.
    Rule {
        id: "own-storage-limit",
        source: Source::Pod,
        reasons: &["Evicted"],
        says: &["exceeds the total limit of containers", "exceeds the limit", "exceeded its local"],
        when: When::Times(2),
        class: FailureClass::Config,
        line: "{pod} was evicted, as was one before, for writing more than its own limit: {message}",
        about: "An eviction for the pod's own ephemeral-storage or emptyDir limit comes again.",
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
        line: "{pod} was taken down by the cluster: {message}",
        about: "Evictions, preemption, a node that is lost, drained or shut down: the controller \
                makes another pod.",
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
    // Scheduling.
    Rule {
        id: "missing-claim",
        source: Source::Schedule,
        reasons: &["Unschedulable"],
        says: &["persistentvolumeclaim \""],
        but_not: &["bound to non-existent"],
        when: When::After(s(2)),
        patience: Patience::Made,
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
        line: "{pod} could not be scheduled for 60 s, no node is of the kind it asks for: {message}",
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
        about: "No node has room, and none is being added.",
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
        about: "Somebody else decides when the pod may be scheduled.",
        examples: &[("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")],
        ..ROW
    },
    // Volumes and sandbox, told by events.
    Rule {
        id: "volume-cache",
        source: Source::Setup,
        says: &["failed to sync"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the kubelet is behind: {message}",
        about: "The kubelet has not heard of the object yet; it tries again.",
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
        patience: Patience::Made,
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
        line: "{pod}: the node cannot set it up yet: {message}",
        about: "The node's network or runtime is in trouble; the kubelet tries again.",
        examples: &[(
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup \
             network for sandbox: plugin type=\"calico\" failed (add): no more addresses",
        )],
        ..ROW
    },
    // Images.
    Rule {
        id: "image-name",
        source: Source::Waiting,
        reasons: &["InvalidImageName"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is no image reference: {message}",
        about: "The image's name cannot be parsed.",
        examples: &[(
            "InvalidImageName",
            "Failed to apply default image tag \"Nginx::bad\": couldn't parse image name \
             \"Nginx::bad\": invalid reference format: repository name must be lowercase",
        )],
        ..ROW
    },
    Rule {
        id: "image-never-pulled",
        source: Source::Waiting,
        reasons: &["ErrImageNeverPull"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is not on the node, and its pull policy is Never",
        about: "`imagePullPolicy: Never` without the image on the node.",
        examples: &[(
            "ErrImageNeverPull",
            "Container image \"web:1\" is not present with pull policy of Never",
        )],
        ..ROW
    },
    Rule {
        id: "image-platform",
        source: Source::Waiting,
        reasons: PULL,
        says: &["no match for platform", "no matching manifest for"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} was not built for the node's platform: {message}",
        about: "The registry has the image, but not for this kind of processor.",
        examples: &[(
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull and unpack image \
             \"registry.example/web:1\": no match for platform in manifest: not found",
        )],
        ..ROW
    },
    Rule {
        id: "pull-unauthorised",
        source: Source::Waiting,
        reasons: PULL,
        says: &[
            "unauthorized",
            "authorization failed",
            "authentication required",
            "no basic auth credentials",
            "403 forbidden",
            "access denied",
            "failed to authorize",
            "denied: ",
        ],
        but_not: &["dial tcp", "i/o timeout", "toomanyrequests", "TLS handshake timeout"],
        when: When::Now,
        class: FailureClass::Auth,
        line: "{pod}: the cluster may not pull {image}: {message}",
        about: "The registry refuses the node's credentials (or, on Docker Hub, the repository \
                does not exist). A person's matter: no patch repairs it.",
        examples: &[
            (
                "ErrImagePull",
                "failed to pull and unpack image \"registry.example/web:1\": failed to resolve \
                 reference \"registry.example/web:1\": failed to authorize: failed to fetch \
                 anonymous token: unexpected status from GET request to \
                 https://registry.example/oauth2/token: 401 Unauthorized",
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"nope/nope:1\": ErrImagePull: failed to pull and unpack \
                 image \"docker.io/nope/nope:1\": failed to resolve reference \
                 \"docker.io/nope/nope:1\": pull access denied, repository does not exist or may \
                 require authorization: server message: insufficient_scope: authorization failed",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "digest-not-found",
        source: Source::Waiting,
        reasons: PULL,
        says: &["not found", "manifest unknown", "name unknown", "does not exist"],
        also: &["@sha256:"],
        but_not: &["dial tcp", "no such host"],
        when: When::TimesOrAfter(2, s(5)),
        class: FailureClass::Config,
        line: "{pod}: {image} is not in its registry: {message}",
        about: "The registry does not know this digest. One just pushed may lag in a replicated \
                registry, hence the second attempt.",
        examples: &[(
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull and unpack image \
             \"registry.example/web@sha256:0c6\": failed to resolve reference \
             \"registry.example/web@sha256:0c6\": registry.example/web@sha256:0c6: not found",
        )],
        ..ROW
    },
    Rule {
        id: "image-not-found",
        source: Source::Waiting,
        reasons: PULL,
        says: &["not found", "manifest unknown", "name unknown", "does not exist", "404 Not Found"],
        but_not: &["dial tcp", "no such host"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is not in its registry: {message}",
        about: "The registry knows no such tag or repository.",
        examples: &[
            (
                "ErrImagePull",
                "rpc error: code = NotFound desc = failed to pull and unpack image \
                 \"registry.example/web:nope\": failed to resolve reference \
                 \"registry.example/web:nope\": registry.example/web:nope: not found",
            ),
            ("ErrImagePull", "manifest for web:nope not found: manifest unknown: manifest unknown"),
        ],
        ..ROW
    },
    Rule {
        id: "pull-limited",
        source: Source::Waiting,
        reasons: PULL,
        says: &["toomanyrequests", "429 Too Many Requests", "rate limit"],
        when: When::Never,
        class: FailureClass::Quota,
        line: "{pod}: the registry limits pulls: {message}",
        about: "The registry answers again after a while.",
        examples: &[(
            "ErrImagePull",
            "failed to copy: httpReadSeeker: failed open: unexpected status code 429 Too Many \
             Requests - Server message: toomanyrequests: You have reached your pull rate limit",
        )],
        ..ROW
    },
    Rule {
        id: "registry-away",
        source: Source::Waiting,
        reasons: PULL,
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: {image} cannot be pulled now: {message}",
        about: "The node cannot reach the registry, or the registry is in trouble; the kubelet \
                tries again.",
        examples: &[
            (
                "ErrImagePull",
                "failed to pull and unpack image \"registry.example/web:1\": failed to do request: \
                 Head \"https://registry.example/v2/web/manifests/1\": dial tcp: lookup \
                 registry.example on 10.96.0.10:53: no such host",
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"registry.example/web@sha256:0c6\": ErrImagePull: failed \
                 to do request: Head \"https://registry.example/v2/\": dial tcp 10.0.0.9:443: i/o \
                 timeout",
            ),
            ("ImagePullBackOff", "Back-off pulling image \"registry.example/web:1\""),
        ],
        ..ROW
    },
    // Containers that cannot be made.
    Rule {
        id: "config-cache",
        source: Source::Waiting,
        reasons: &["CreateContainerConfigError"],
        says: &["failed to sync"],
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: the kubelet is behind: {message}",
        about: "The kubelet has not heard of the object yet; it tries again.",
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
        patience: Patience::Made,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be made: {message}",
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
        line: "{pod}: container {container} cannot be made: {message}",
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
        about: "The node's runtime is in trouble; the kubelet tries again.",
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
        line: "{pod}: container {container} is built for another processor, or its entry point \
               is no program: {message}",
        about: "The kernel does not know how to run the entry point.",
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
        line: "{pod}: container {container} has no such command: {message}",
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
        about: "The entry point is not executable, or a mount hits the wrong kind of file.",
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
        about: "A start error that none of the rows above knows.",
        examples: &[(
            "StartError",
            "failed to create containerd task: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to apply cgroup configuration",
        )],
        ..ROW
    },
    // Crashes.
    Rule {
        id: "out-of-memory",
        source: Source::Crash,
        reasons: &["OutOfMemory"],
        when: When::Times(2),
        class: FailureClass::Config,
        line: "{pod}: container {container} was killed {count} times for using more memory than \
               its limit",
        about: "`OOMKilled` twice: the limit in the manifest is too small, or the program leaks.",
        examples: &[("OutOfMemory", "")],
        ..ROW
    },
    Rule {
        id: "crash-exec",
        source: Source::Crash,
        reasons: &["CannotRun"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot be run: {message}",
        about: "The container's log says that its program cannot be executed: exec format error, \
                missing interpreter or command, a missing shared library.",
        examples: &[("CannotRun", "exec /app/server: exec format error")],
        ..ROW
    },
    Rule {
        id: "crash-same",
        source: Source::Crash,
        reasons: &["SameCause"],
        when: When::Times(2),
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} dies each time it starts, and says the same: {message}",
        about: "Two crashes in a row whose previous logs say the same thing, of a cause that no \
                waiting changes: a variable that is not set, a module that is not there, a program \
                that cannot be executed.",
        examples: &[("SameCause", "DATABASE_URL is not set")],
        ..ROW
    },
    Rule {
        id: "crash-repeats",
        source: Source::Crash,
        reasons: &["SameWords"],
        when: When::Times(2),
        patience: Patience::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} dies each time it starts, and says the same: {message}",
        about: "Two crashes in a row whose previous logs say the same thing, which may or may not \
                be of waiting: a panic, a refused permission, a setting without a name.",
        examples: &[("SameWords", "boom")],
        ..ROW
    },
    Rule {
        id: "crash-waits",
        source: Source::Crash,
        reasons: &["Waits"],
        when: When::Times(3),
        patience: Patience::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} died waiting for something ({count} so far): {message}",
        about: "Crashes that look like waiting: a connection refused, a name or a table that is \
                not there, a lock that is held, a timeout.",
        examples: &[("Waits", "exit status 1; connect: connection refused")],
        ..ROW
    },
    Rule {
        id: "crash-loop",
        source: Source::Crash,
        reasons: &["Unclear"],
        when: When::Times(3),
        patience: Patience::Moving,
        class: FailureClass::Unknown,
        log_class: true,
        line: "{pod}: container {container} died {count} times: {message}",
        about: "Silent exits, and crashes that say something else each time.",
        examples: &[("Unclear", "exit status 1, without a word")],
        ..ROW
    },
    Rule {
        id: "job-failed",
        source: Source::Workload,
        reasons: &[
            "BackoffLimitExceeded",
            "PodFailurePolicy",
            "FailedIndexes",
            "MaxFailedIndexesExceeded",
            "SuccessPolicy",
            "JobFailed",
        ],
        when: When::Now,
        class: FailureClass::Code,
        log_class: true,
        line: "{workload} failed: {message}",
        about: "The Job's own conditions say that it failed.",
        examples: &[
            ("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
            (
                "PodFailurePolicy",
                "Container main for pod shop/migrate-x failed with exit code 42 matching FailJob \
                 rule at index 0",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "job-deadline",
        source: Source::Workload,
        reasons: &["DeadlineExceeded"],
        when: When::Now,
        class: FailureClass::Timeout,
        line: "{workload} failed: {message}",
        about: "The Job took longer than its activeDeadlineSeconds.",
        examples: &[("DeadlineExceeded", "Job was active longer than specified deadline")],
        ..ROW
    },
    // Probes.
    Rule {
        id: "liveness-loop",
        source: Source::Kill,
        reasons: &["Liveness"],
        when: When::Times(2),
        patience: Patience::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} was killed {count} times for failing its liveness \
               probe: {message}",
        about: "The kubelet kills the container for its liveness probe a second time.",
        examples: &[("Liveness", "Liveness probe failed: HTTP probe failed with statuscode: 500")],
        ..ROW
    },
    Rule {
        id: "startup-loop",
        source: Source::Kill,
        reasons: &["Startup"],
        when: When::Times(2),
        patience: Patience::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} was killed {count} times for failing its startup \
               probe: {message}",
        about: "The kubelet kills the container for its startup probe a second time.",
        examples: &[("Startup", "Startup probe failed: dial tcp 10.244.0.7:80: connect: refused")],
        ..ROW
    },
    Rule {
        id: "probe-port",
        source: Source::Probe,
        reasons: &["WrongPort"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} will never be ready: {message}",
        about: "The readiness probe's connection is refused while the same container listens on \
                another port. Greenloop looked twice, through a port-forward of its own, at the \
                ports that the container declares or, where it is alone in its pod, at usual ones.",
        examples: &[(
            "WrongPort",
            "its readiness probe asks port 9999, where nothing listens; it listens on 8080",
        )],
        ..ROW
    },
    Rule {
        id: "probe-loopback",
        source: Source::Probe,
        reasons: &["LoopbackOnly"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} will never be ready: {message}",
        about: "The readiness probe's connection is refused at the pod's address, while the port \
                is open on the pod's loopback: the program binds 127.0.0.1.",
        examples: &[(
            "LoopbackOnly",
            "it listens on port 8080 of its loopback address only; bind 0.0.0.0",
        )],
        ..ROW
    },
    Rule {
        id: "probe-command",
        source: Source::Probe,
        reasons: &["Errored"],
        says: &["executable file not found", "no such file or directory"],
        when: When::After(s(2)),
        class: FailureClass::Config,
        line: "{pod}: container {container} will never be ready, its readiness probe cannot be \
               run: {message}",
        about: "The probe's command is not in the image.",
        examples: &[(
            "Errored",
            "Readiness probe errored: rpc error: code = Unknown desc = failed to exec in \
             container: failed to start exec \"0f\": OCI runtime exec failed: exec failed: unable \
             to start container process: exec: \"curl\": executable file not found in $PATH",
        )],
        ..ROW
    },
    Rule {
        id: "probe-path",
        source: Source::Probe,
        reasons: &["Status"],
        says: &[
            "statuscode: 400",
            "statuscode: 401",
            "statuscode: 403",
            "statuscode: 404",
            "statuscode: 405",
        ],
        when: When::Window(s(10)),
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} is not ready: {message}",
        about: "The program answers the readiness probe, but knows no such path.",
        examples: &[("Status", "Readiness probe failed: HTTP probe failed with statuscode: 404")],
        ..ROW
    },
    Rule {
        id: "never-ready",
        source: Source::Probe,
        when: When::Never,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} runs and does not become ready: {message}",
        about: "Whatever else the readiness probe says. A program that is slow to start looks just \
                the same, so it has until `wait_timeout` or the Deployment's own \
                progressDeadlineSeconds.",
        examples: &[
            ("Status", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
            (
                "Refused",
                "Readiness probe failed: Get \"http://10.244.0.7:8080/health\": dial tcp \
                 10.244.0.7:8080: connect: connection refused",
            ),
        ],
        ..ROW
    },
    // What the controllers say in the end.
    Rule {
        id: "stuck-pod",
        source: Source::Workload,
        reasons: &["StuckPod"],
        when: When::After(s(5)),
        class: FailureClass::Config,
        line: "{workload} does not move on: {message}",
        about: "A StatefulSet with ordered pods waits for a broken pod of an earlier revision and \
                never replaces it; somebody has to delete that pod.",
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
        about: "The Deployment's controller is refused the new ReplicaSet.",
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
        about: "The time that the rollout was given has passed. The class is that of the last \
                transient trouble, where there is one.",
        examples: &[("Deadline", "deployment/web is not ready after 5m: 1 of 3 ready")],
        ..ROW
    },
];
