//! What the file says, key for key. The JSON Schema is derived from these types, and
//! [`shape`](super::shape) holds every file to that schema before it is read into them, so the
//! doc comments here are what an editor shows and the ranges are what an error names.
//!
//! Nothing here fills a default or judges a value; [`resolve`](super::resolve) does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of Greenloop. Secrets never stand in this file: they come from the
/// environment, by the name that a key such as `api_key_env` gives, or from the key vault, where
/// a value is `keyvault:NAME`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Greenloop configuration")]
pub(super) struct RawConfig {
    /// The version of the file's form: 1, also when it is left out. A greenloop that is older than
    /// the form refuses the file.
    #[schemars(range(min = 1, max = 1))]
    #[expect(dead_code, reason = "checked before the file is read into this type")]
    pub(super) version: Option<u32>,
    /// The environments, by name: what `--environment` chooses from.
    pub(super) environments: BTreeMap<String, RawEnvironment>,
    /// The container image; needed where the image stage runs.
    pub(super) build: Option<RawBuild>,
    /// Commands that must pass before anything is deployed. Independent gates run at the same
    /// time.
    pub(super) quality_gates: Option<Vec<RawGate>>,
    /// Where and how a release is started. An environment's own `deploy` is merged over it, key
    /// by key.
    pub(super) deploy: Option<RawDeploy>,
    /// What gates, smoke test scripts and workers' commands may see and do on this machine.
    pub(super) sandbox: Option<RawSandbox>,
    /// How a release is verified once it runs.
    pub(super) verification: Option<RawVerification>,
    /// The two models. When it is left out, `OPENAI_BASE_URL`, `OPENAI_API_KEY` and
    /// `GREENLOOP_MODEL` are enough.
    pub(super) agents: Option<RawAgents>,
    /// What ends a run that does not end by itself, and what a patch may do.
    pub(super) safety: Option<RawSafety>,
    /// The program's own log.
    pub(super) logging: Option<RawLogging>,
    /// The history of deployments; kept when this is left out.
    pub(super) metrics: Option<RawMetrics>,
    /// Azure: what is left out comes from the environment.
    pub(super) azure: Option<RawAzure>,
    /// Opens a pull request with the patches of a run that ended verified.
    pub(super) pull_request: Option<RawPullRequest>,
    /// OpenTelemetry traces and metrics; off when it is left out and
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` is not set.
    pub(super) telemetry: Option<RawTelemetry>,
    /// A graph of tasks that a hub's workers do before the image is built; off when it is left
    /// out.
    pub(super) tasks: Option<RawTasks>,
    /// Who is notified of how runs end. A receiver that does not answer never fails a run.
    pub(super) notifications: Option<Vec<RawNotification>>,
}

/// One environment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnvironment {
    /// The Kubernetes namespace.
    pub(super) namespace: Option<String>,
    /// Base URL: what smoke tests call. For the process target, the address that Greenloop's
    /// front listener binds.
    pub(super) url: String,
    /// Path of the health check, `/health` when it is left out. Templates in `verification`
    /// reach it as `{{ env.health_endpoint }}`.
    pub(super) health_endpoint: Option<String>,
    /// Whether a person must approve each patch and the deployment. False when it is left out.
    pub(super) require_approval: Option<bool>,
    /// What differs from the top-level `deploy` in this environment.
    pub(super) deploy: Option<RawDeploy>,
}

/// The container image.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBuild {
    /// Host of the registry, without a scheme: `fleetproductionacr.azurecr.io`.
    pub(super) registry: String,
    /// Repository within the registry: `fleet-frontend`.
    pub(super) image_name: String,
    /// Relative to the repository's root; `Dockerfile` when it is left out.
    pub(super) dockerfile_path: Option<String>,
    /// Relative to the repository's root; the root itself when it is left out.
    pub(super) context_path: Option<String>,
    /// Build arguments. `keyvault:NAME` takes the value from the key vault.
    pub(super) args: Option<BTreeMap<String, String>>,
    /// The stage of the Dockerfile to build; the last one when it is left out.
    pub(super) target: Option<String>,
    /// Labels, added to the OCI annotations that Greenloop sets.
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// `linux/amd64`; the engine's own when it is left out.
    pub(super) platform: Option<String>,
    /// Tags beside the commit's and the pipeline's build id.
    pub(super) tags: Option<Vec<String>>,
    /// What builds; `auto` when it is left out.
    pub(super) builder: Option<RawBuilder>,
    /// Address of the Docker Engine, `unix:///run/docker.sock` or `tcp://HOST:PORT`.
    /// `DOCKER_HOST`, then the local socket when it is left out.
    pub(super) docker_host: Option<String>,
}

/// What builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawBuilder {
    /// BuildKit where the engine has it, the classic builder otherwise.
    Auto,
    /// BuildKit.
    Buildkit,
    /// The classic builder.
    Classic,
}

/// One quality gate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGate {
    /// Unique among the gates.
    pub(super) name: String,
    /// Run by `sh -c`. Not a template: `{{ … }}` reaches the shell as it is.
    pub(super) command: String,
    /// Whether its failure stops the deployment (true, the default) or only warns.
    pub(super) required: Option<bool>,
    /// The gate's whole process group is killed after this. No limit when it is left out.
    pub(super) timeout: Option<RawDuration>,
    /// Environment variables: values by name, or a list of names of variables that the gate
    /// inherits beside those that builds are known to need. A name without a value is inherited,
    /// too, and one that ends in `*` stands for all that begin so.
    pub(super) env: Option<RawGateEnv>,
    /// What it may reach: `true`, `false`, a list of hosts (`[crates.io, "*.npmjs.org"]`), or `fetch`:
    /// first the dependencies are fetched by the usual command for the lock files that lie there,
    /// with the network, then the gate runs without. `sandbox.network`, then false when it is left
    /// out.
    pub(super) network: Option<RawNetwork>,
    /// Fetches the gate's dependencies before it, with what `network` says (all, when it is left
    /// out); the gate itself then runs without network. Run by `sh -c`.
    pub(super) fetch: Option<String>,
    /// Memory that the gate and all it starts may use together: `4Gi`, `512m`. `sandbox.memory`
    /// when it is left out.
    pub(super) memory: Option<RawSize>,
    /// Folders outside the repository that it may write to, such as `~/.cache/go-build`.
    pub(super) cache: Option<Vec<String>>,
    /// Relative to the repository's root; the root itself when it is left out.
    pub(super) working_directory: Option<String>,
    /// Names of gates that must pass first.
    pub(super) needs: Option<Vec<String>>,
    /// Report files that the gate's test runner writes, relative to where it runs, as glob
    /// patterns: `target/surefire-reports/*.xml`. JUnit, surefire, xUnit.net, NUnit and TRX, TAP,
    /// and the JSON of jest, mocha and `go test`. Which tests ran is read from those that are
    /// newer than the gate's start; without them, from what the command prints.
    pub(super) reports: Option<Vec<String>>,
    /// Tracked files that the gate may change, relative to the repository's root, as glob
    /// patterns. A gate that changes others stops the run: what is deployed would not be the
    /// commit that was tested.
    pub(super) writes: Option<Vec<String>>,
}

/// Environment variables of a gate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawGateEnv {
    /// Values by name; a name without a value is inherited.
    Values(BTreeMap<String, Option<String>>),
    /// Names of variables that are inherited.
    Names(Vec<String>),
}

/// What gates, smoke test scripts and workers' commands may see and do on this machine. They write
/// to the work tree and to temporary folders of their own, read what builds need, and nothing else.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSandbox {
    /// The weakest sandbox that will do; B when it is left out. The run uses the strongest one that
    /// the machine has, and stops when that is weaker.
    pub(super) level: Option<RawSandboxLevel>,
    /// What gates may reach that do not say so themselves: `true`, `false` or a list of hosts. False
    /// when it is left out.
    pub(super) network: Option<RawNetwork>,
    /// Names of variables that commands inherit beside those that builds are known to need. A name
    /// that ends in `*` stands for all that begin so.
    pub(super) env: Option<Vec<String>>,
    /// Folders that commands may read although they lie in what is hidden: `~/shared-library`.
    pub(super) read: Option<Vec<String>>,
    /// Folders outside the repository that commands may write to.
    pub(super) cache: Option<Vec<String>>,
    /// Memory that a command and all it starts may use together: `8Gi`. Nine tenths of
    /// what is available when the run begins when it is left out.
    pub(super) memory: Option<RawSize>,
    /// Where a machine has neither A nor B and `level` allows C: a container of this image, which has
    /// what the commands need.
    pub(super) container: Option<RawSandboxContainer>,
    /// Processes that a command may have at the same time; 192, and 16 for each core, when it is
    /// left out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) processes: Option<u32>,
}

/// Containers for commands.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSandboxContainer {
    /// An image that the engine has: `rust:1.95`.
    pub(super) image: String,
    /// Address of the Docker Engine, which must be this machine's: `DOCKER_HOST`, then the local
    /// socket when it is left out.
    pub(super) docker_host: Option<String>,
}

/// What a command may reach.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawNetwork {
    /// Everything or nothing.
    All(bool),
    /// Hosts, by HTTP and HTTPS: `crates.io`, `*.npmjs.org`, `nexus.example.org:8443`.
    Hosts(Vec<String>),
    /// Of a gate: the network for its dependencies, and none for itself.
    Word(RawNetworkWord),
}

/// A word for what a gate may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawNetworkWord {
    /// Dependencies first, then nothing.
    Fetch,
}

/// How strong a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum RawSandboxLevel {
    /// bubblewrap (namespaces), Landlock and seccomp.
    A,
    /// Landlock and seccomp.
    B,
    /// A container, where `sandbox.container` has an image.
    C,
    /// Whatever the machine has, and none where it has none.
    D,
    /// None, whatever the machine has.
    #[serde(rename = "off")]
    Off,
}

/// A length of time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawDuration {
    /// Seconds: `30` or `0.5`.
    Seconds(f64),
    /// With units: `500ms`, `30s`, `5m`, `1h30m`.
    Text(String),
}

/// Where and how a release is started.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeploy {
    /// Which target.
    pub(super) method: Option<RawMethod>,
    /// The file or folder of Kubernetes manifests, relative to the repository's root. May use
    /// `{{ env.… }}`.
    pub(super) manifest_path: Option<String>,
    /// How long a rollout may take: 60 seconds for a process, 300 elsewhere, when it is left
    /// out.
    pub(super) wait_timeout: Option<RawDuration>,
    /// Whether a release may be rolled back; `allowed` when it is left out. It stands in the
    /// configuration of the commit that is released: forbid it for a commit whose migration
    /// cannot be undone.
    pub(super) rollback: Option<RawRollback>,
    /// Settings of the process target.
    pub(super) process: Option<RawProcess>,
    /// Settings of the docker target.
    pub(super) docker: Option<RawDocker>,
    /// Settings of the kubernetes target.
    pub(super) kubernetes: Option<RawKubernetes>,
}

/// Whether a release may be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawRollback {
    /// When it fails, the last verified release is restored.
    Allowed,
    /// It stays; a failure waits for a person.
    Forbidden,
}

/// Settings of the docker target.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDocker {
    /// Address of the Docker Engine the release runs on. `DOCKER_HOST`, then the local socket
    /// when it is left out.
    pub(super) docker_host: Option<String>,
    /// The port the service listens on inside the container, passed to it as `PORT`; 8080 when
    /// it is left out.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) container_port: Option<u16>,
    /// Replaces the image's own command.
    pub(super) command: Option<RawCommand>,
    /// Environment variables of the container. `keyvault:NAME` takes the value from the key
    /// vault.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// `name:/path` or `/host/path:/path:ro`.
    pub(super) volumes: Option<Vec<String>>,
    /// A network of the engine; its default bridge when it is left out.
    pub(super) network: Option<String>,
    /// Memory a container may use, in bytes or with a unit: `512m`, `2g`.
    pub(super) memory: Option<RawSize>,
    /// How long the old container may take to finish its requests after the switch; 5 seconds
    /// when it is left out.
    pub(super) drain_timeout: Option<RawDuration>,
    /// How many releases are kept for a rollback, the serving one included; 3 when it is left
    /// out.
    #[schemars(range(min = 2, max = 100))]
    pub(super) keep_releases: Option<u32>,
}

/// A number of bytes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawSize {
    /// Bytes.
    Bytes(u64),
    /// With a unit of 1024: `512k`, `512m`, `2g`, `4Gi`.
    Text(String),
}

/// Settings of the kubernetes target.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKubernetes {
    /// A folder for `kustomize build` (or `kubectl kustomize`), instead of `manifest_path`.
    pub(super) kustomize: Option<String>,
    /// A chart for `helm template`, instead of `manifest_path`.
    pub(super) helm: Option<RawHelm>,
    /// A kubeconfig. `KUBECONFIG`, `~/.kube/config`, then the pod's own account when it is left
    /// out.
    pub(super) kubeconfig: Option<String>,
    /// A context of the kubeconfig; its current one when it is left out.
    pub(super) context: Option<String>,
    /// An AKS cluster: its address and credentials come from Azure, no kubeconfig is needed.
    pub(super) aks: Option<RawAks>,
    /// Values for `{{ vars.NAME }}` in manifests.
    pub(super) variables: Option<BTreeMap<String, String>>,
    /// The service that smoke tests reach through a port-forward, `NAME` or `NAME:PORT`, where
    /// no ingress leads to it. The environment's `url` when it is left out.
    pub(super) service: Option<String>,
    /// How long restart counts must stay still after a rollout. The longest of
    /// `minReadySeconds`, two readiness periods and 10 seconds when it is left out.
    pub(super) soak: Option<RawDuration>,
    /// How long to wait for another run that holds the environment's lease; not at all when it
    /// is left out.
    pub(super) lease_wait: Option<RawDuration>,
    /// How many releases are remembered in the cluster; 10 when it is left out.
    #[schemars(range(min = 2, max = 100))]
    pub(super) history: Option<u32>,
    /// Whether objects that Greenloop made and that a verified release no longer names are removed.
    /// What may hold data never is. They stay when it is left out.
    pub(super) prune: Option<bool>,
}

/// A Helm chart.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHelm {
    /// The chart's folder, relative to the repository's root.
    pub(super) chart: String,
    /// The release's name.
    pub(super) release: String,
    /// Value files, in order, relative to the repository's root.
    pub(super) values: Option<Vec<String>>,
}

/// An AKS cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAks {
    /// The subscription's id.
    pub(super) subscription: String,
    /// The resource group.
    pub(super) resource_group: String,
    /// The cluster's name.
    pub(super) cluster: String,
}

/// Azure. No secret stands here: the client secret, the federated token and the pipeline's token
/// come from the environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAzure {
    /// The tenant; `AZURE_TENANT_ID` when it is left out.
    pub(super) tenant_id: Option<String>,
    /// The application or the managed identity; `AZURE_CLIENT_ID` when it is left out.
    pub(super) client_id: Option<String>,
    /// The pipeline's service connection; `AZURE_SERVICE_CONNECTION_ID` when it is left out.
    pub(super) service_connection_id: Option<String>,
    /// The vault that `keyvault:NAME` refers to: `https://NAME.vault.azure.net`.
    pub(super) key_vault: Option<String>,
    /// `https://login.microsoftonline.com` when it and `AZURE_AUTHORITY_HOST` are left out.
    pub(super) authority_host: Option<String>,
    /// `https://management.azure.com` when it is left out.
    pub(super) resource_manager: Option<String>,
}

/// Opens a pull request with the patches of a run that ended verified. One stays open for one
/// failure; a run on a branch of Greenloop's own opens none.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPullRequest {
    /// Who keeps the repository; told from the remote's address when it is left out.
    pub(super) provider: Option<RawPullRequestProvider>,
    /// The branch to merge into; the one the run started from when it is left out.
    pub(super) target_branch: Option<String>,
    /// The git remote; `origin` when it is left out.
    pub(super) remote: Option<String>,
    /// Name of the environment variable that holds the token; `SYSTEM_ACCESSTOKEN` for Azure
    /// Repos, `GITHUB_TOKEN` for GitHub and `GITLAB_TOKEN` for GitLab when it is left out.
    pub(super) token_env: Option<String>,
    /// Base URL of the API, for servers of your own.
    pub(super) api_url: Option<String>,
    /// Open it as a draft. False when it is left out.
    pub(super) draft: Option<bool>,
    /// When `greenloop pr` commits a fix for the gates of an open pull request to its branch;
    /// `on_request` when it is left out.
    pub(super) apply: Option<RawApplyPolicy>,
}

/// Who keeps the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawPullRequestProvider {
    /// Azure Repos.
    AzureDevops,
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
}

/// When a fix for the gates of a pull request is committed to its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawApplyPolicy {
    /// When a person asks for it with `/greenloop apply`, or starts `greenloop pr --apply`.
    OnRequest,
    /// As soon as there is one. Never for a pull request from a fork.
    Always,
}

/// OpenTelemetry over OTLP/HTTP.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    /// Base URL of the receiver, such as a collector's `http://localhost:4318`;
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` when it is left out.
    pub(super) otlp_endpoint: Option<String>,
    /// Name of the environment variable that holds headers, `key=value,key=value`;
    /// `OTEL_EXPORTER_OTLP_HEADERS` when it is left out.
    pub(super) headers_env: Option<String>,
    /// `service.name`; `greenloop` when it is left out.
    pub(super) service_name: Option<String>,
}

/// A graph of tasks, done by a hub's workers between the gates and the image.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTasks {
    /// The graph, relative to the repository's root; `tasks.yaml` when it is left out.
    pub(super) file: Option<String>,
    /// Base URL of the hub: `https://hub.example.org`; `GREENLOOP_HUB_URL` when it is left out.
    pub(super) hub: Option<String>,
    /// Name of the environment variable that holds the hub's token; `GREENLOOP_HUB_TOKEN` when
    /// it is left out.
    pub(super) token_env: Option<String>,
    /// How long the whole graph may take; 8 hours when it is left out.
    pub(super) timeout: Option<RawDuration>,
    /// The environments that have the graph done; all of them when it is left out.
    pub(super) environments: Option<Vec<String>>,
}

/// A file of its own with `notifications`, as a hub reads it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotifications {
    /// Who is notified.
    pub(super) notifications: Vec<RawNotification>,
}

/// A receiver of notifications.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotification {
    /// What messages call it; unique.
    pub(super) name: String,
    /// The form that it understands; `generic` when it is left out.
    pub(super) form: Option<RawNotificationForm>,
    /// Name of the environment variable that holds its address. The address is a secret.
    pub(super) url_env: String,
    /// Name of the environment variable that holds the secret that signs each delivery
    /// (HMAC-SHA256, Standard Webhooks); unsigned when it is left out.
    pub(super) secret_env: Option<String>,
    /// What it is notified of; everything when it is left out.
    pub(super) events: Option<Vec<RawNotificationKind>>,
}

/// The form of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawNotificationForm {
    /// A JSON object, for programs.
    Generic,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams: an Adaptive Card.
    Teams,
}

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawNotificationKind {
    /// A run ended verified, without a patch.
    RunVerified,
    /// A run ended verified, with at least one patch.
    RunHealed,
    /// A run stopped and needs a person.
    RunStopped,
    /// A deployment failed and the last good release was restored.
    RunRolledBack,
    /// A person has to decide.
    ApprovalWanted,
    /// A person decided, or the request expired.
    ApprovalDecided,
    /// All tasks of a graph are done.
    GraphDone,
    /// Tasks of a graph failed, and nothing else of it can run.
    GraphFailed,
    /// A task's branch conflicts, and a person has to resolve it.
    Conflict,
    /// A worker sends no heartbeats any more.
    WorkerLost,
    /// A target branch fails its own gates, or was moved back.
    MainBroken,
}

/// The target a release runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMethod {
    /// A supervised local process.
    Process,
    /// A container on a Docker Engine.
    Docker,
    /// Workloads in a Kubernetes cluster.
    Kubernetes,
    /// The same as `kubernetes`.
    Kubectl,
}

/// Settings of the process target.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProcess {
    /// Program and arguments, run inside the release's folder; a text is split as a shell would
    /// split it. Greenloop picks a free loopback port, passes it as `PORT`, and puts it in the
    /// place of `{{ port }}`.
    pub(super) command: Option<RawCommand>,
    /// Files and folders, relative to the repository's root, copied into the release's folder
    /// under their own names.
    pub(super) artifacts: Option<Vec<String>>,
    /// Environment variables, added to the inherited ones.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// How long the old process may take to finish its requests after the switch; 5 seconds
    /// when it is left out.
    pub(super) drain_timeout: Option<RawDuration>,
    /// How many releases are kept for a rollback, the serving one included; 3 when it is left
    /// out.
    #[schemars(range(min = 2, max = 100))]
    pub(super) keep_releases: Option<u32>,
}

/// A program with its arguments.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawCommand {
    /// Split at white space, quotes kept together: `node server.js --name "a b"`.
    Line(String),
    /// One item an argument: `[node, server.js]`.
    List(Vec<String>),
}

/// How a release is verified.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVerification {
    /// The first thing that must answer.
    pub(super) health_check: Option<RawHealthCheck>,
    /// A script that is run against the release, with `GREENLOOP_URL` set.
    pub(super) smoke_tests: Option<RawSmokeTests>,
    /// Requests to make, in order.
    pub(super) user_flows: Option<Vec<RawFlow>>,
}

/// The health check.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHealthCheck {
    /// Path; `{{ env.health_endpoint }}` when it is left out.
    pub(super) endpoint: Option<String>,
    /// For each request; 10 seconds when it is left out.
    pub(super) timeout: Option<RawDuration>,
    /// Further tries after the first; 3 when it is left out.
    #[schemars(range(min = 0, max = 100))]
    pub(super) retries: Option<u32>,
    /// Pause before the first retry, doubling with each; 1 second when it is left out.
    pub(super) backoff: Option<RawDuration>,
}

/// A script that is run against the release.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSmokeTests {
    /// Relative to the repository's root.
    pub(super) script: String,
    /// Killed after this; 60 seconds when it is left out.
    pub(super) timeout: Option<RawDuration>,
    /// Tracked files that the script may change, relative to the repository's root, as glob
    /// patterns. A script that changes others stops the run, and the release is taken back.
    pub(super) writes: Option<Vec<String>>,
}

/// What a user would do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFlow {
    /// Unique among the flows.
    pub(super) name: String,
    /// In order; the first failure ends the flow.
    #[schemars(length(min = 1))]
    pub(super) steps: Vec<RawStep>,
}

/// One request of a flow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawStep {
    /// Method and path: `GET /login`. Any status below 400 passes.
    Short(String),
    /// With a body, headers and expectations.
    Long(Box<RawLongStep>),
}

/// One request with what it sends and what must come back.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLongStep {
    /// Method and path: `POST /api/v1/vehicles`.
    pub(super) request: String,
    /// A text is sent as it is; a mapping or a list is sent as JSON.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "serde_json::Value")]
    pub(super) body: Option<serde_json::Value>,
    /// Sent with the request.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// What must come back; all that is given must hold.
    pub(super) expect: Option<RawExpect>,
    /// For the request; 10 seconds when it is left out.
    pub(super) timeout: Option<RawDuration>,
}

/// What must come back.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    /// One status or several; any below 400 when it is left out.
    pub(super) status: Option<RawStatus>,
    /// Text that the body must contain.
    pub(super) body_contains: Option<String>,
    /// A JSON value that the body must contain: objects may have more keys, lists must be equal.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "serde_json::Value")]
    pub(super) json: Option<serde_json::Value>,
    /// Headers that must have these values.
    pub(super) headers: Option<BTreeMap<String, String>>,
}

/// A `null` that was written is a JSON null, not a key that was left out.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// Statuses that pass.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawStatus {
    /// Exactly this.
    One(#[schemars(range(min = 100, max = 599))] u16),
    /// Any of these.
    Any(#[schemars(inner(range(min = 100, max = 599)))] Vec<u16>),
}

/// The two models.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgents {
    /// The author: drafts patches.
    pub(super) codex: Option<RawAgent>,
    /// The reviewer: may veto them. What it leaves out about the connection and the model it
    /// takes from `codex`.
    pub(super) jules: Option<RawAgent>,
}

/// One model and how it is asked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgent {
    /// Where answers come from; `openai` when it is left out.
    pub(super) provider: Option<RawProvider>,
    /// The model's name. When it is left out: `GREENLOOP_MODEL` (for jules first
    /// `GREENLOOP_REVIEWER_MODEL`), then a default.
    pub(super) model: Option<String>,
    /// For codex, in place of `model`: models in the order in which they are asked, the next one
    /// after a patch that was refused, rejected, or did not help; the last one from then on.
    #[schemars(length(min = 1, max = 8))]
    pub(super) models: Option<Vec<String>>,
    /// For codex: `answer` (the default) looks at files and answers; `agent` may also run the gates'
    /// commands in a throwaway copy of the work tree, with edits that it tries.
    pub(super) mode: Option<RawAuthorMode>,
    /// For codex, in place of a model: a program and its arguments, `[codex, exec]`. It runs in the
    /// sandbox, in a throwaway clone, with the brief on its standard input; what it changes there is
    /// the proposal. What it spends is not counted.
    #[schemars(length(min = 1))]
    pub(super) command: Option<Vec<String>>,
    /// Names of variables that this program inherits although they hold secrets, such as the key of
    /// its own model: `[OPENAI_API_KEY]`. It inherits no others of that kind.
    pub(super) pass_env: Option<Vec<String>>,
    /// What this program may reach: `true`, `false` or a list of hosts, such as those of its own
    /// model: `[api.openai.com]`. False when it is left out.
    pub(super) network: Option<RawNetwork>,
    /// Folders and files that this program may read although they lie in what is hidden:
    /// `[~/.codex]`.
    pub(super) read: Option<Vec<String>>,
    /// Folders outside its clone that this program may write to.
    pub(super) cache: Option<Vec<String>>,
    /// Base URL of an OpenAI-compatible server, with the version part:
    /// `http://localhost:11434/v1`. When it is left out: `OPENAI_BASE_URL`, then OpenAI's own.
    pub(super) base_url: Option<String>,
    /// Name of the environment variable that holds the key: `OPENAI_API_KEY`
    /// (`AZURE_OPENAI_API_KEY` for azure) when it is left out.
    pub(super) api_key_env: Option<String>,
    /// For azure: `https://NAME.openai.azure.com`.
    pub(super) endpoint: Option<String>,
    /// For azure: the deployment's name; the model's name when it is left out.
    pub(super) deployment: Option<String>,
    /// For azure: `2024-10-21` when it is left out.
    pub(super) api_version: Option<String>,
    /// For replay: the file or folder of recorded answers, relative to the repository's root.
    pub(super) transcript: Option<String>,
    /// How freely the model answers, from 0 to 2; the server decides when it is left out.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub(super) temperature: Option<f32>,
    /// The longest answer, in tokens; the server decides when it is left out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_tokens: Option<u32>,
    /// The role in the system prompt. The answer format is always added.
    pub(super) system_prompt: Option<String>,
    /// For one request, retries not included; 120 seconds when it is left out.
    pub(super) timeout: Option<RawDuration>,
    /// How often a request is retried on 429, 5xx and lost connections; 3 when it is left out.
    #[schemars(range(min = 0, max = 20))]
    pub(super) max_retries: Option<u32>,
    /// US dollars per million tokens sent; the list price of a well-known model when it is left
    /// out, else 0.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub(super) input_price: Option<f64>,
    /// US dollars per million tokens sent that the provider had in its cache; the list price of a
    /// well-known model when it is left out, else the same as `input_price`.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub(super) cached_input_price: Option<f64>,
    /// US dollars per million tokens received; the list price of a well-known model when it is
    /// left out, else 0.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub(super) output_price: Option<f64>,
    /// For codex: how many read-only tool calls it may make for one proposal; 12 when it is left
    /// out, 0 for one shot.
    #[schemars(range(min = 0, max = 200))]
    pub(super) tool_steps: Option<u32>,
}

/// How the author works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAuthorMode {
    /// Looks at files and commits, and answers.
    Answer,
    /// May also run the gates' commands in a throwaway copy.
    Agent,
}

/// Where a model's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawProvider {
    /// OpenAI, or any server that speaks its chat-completions protocol.
    Openai,
    /// Azure OpenAI.
    Azure,
    /// Recorded answers; no network.
    Replay,
}

/// What ends a run, and what a patch may do.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSafety {
    /// Passes over the stages; 5 when it is left out.
    #[schemars(range(min = 1, max = 100))]
    pub(super) max_iterations: Option<u32>,
    /// The run stops when the same failure has appeared this many times; 2 when it is left out.
    #[schemars(range(min = 1, max = 100))]
    pub(super) no_progress_threshold: Option<u32>,
    /// Tokens sent and received, over both models; 1 000 000 when it is left out.
    #[schemars(range(min = 1))]
    pub(super) max_tokens: Option<u64>,
    /// US dollars, by `input_price` and `output_price`. No limit when it is left out.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(super) max_cost_usd: Option<f64>,
    /// Wall-clock time of the run. No limit when it is left out.
    pub(super) max_duration: Option<RawDuration>,
    /// How long a run waits for a person at the hub; 1 h when it is left out. This time does not
    /// count in `max_duration`.
    pub(super) approval_timeout: Option<RawDuration>,
    /// Gitignore-style patterns of files that no patch may delete, move away or empty. When it
    /// is left out: `*.sql`, `migrations/`.
    pub(super) never_delete: Option<Vec<String>>,
    /// Words that want a person's confirmation when a patch adds them. When it is left out:
    /// statements that destroy tables, folders and namespaces.
    pub(super) require_confirmation: Option<Vec<String>>,
    /// How many files a patch may change; 20 when it is left out.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) max_files: Option<u32>,
    /// How many lines a patch may add and remove; 500 when it is left out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_changed_lines: Option<u32>,
    /// The size in bytes that a file may have after a patch; 1 MiB when it is left out.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub(super) max_file_bytes: Option<u32>,
    /// Rules of your own for patches, beside the built-in ones (`greenloop policy explain`). The
    /// strictest decision counts, so that a rule can forbid more, and never allow more.
    pub(super) rules: Option<Vec<RawRule>>,
}

/// A rule for patches. It matches a change of a file that fits all of `paths`, `kinds` and
/// `change`, and adds or takes away what `adds` or `removes` finds; what is left out fits
/// everything.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    /// Its name: small letters, digits, `_` and `-`.
    pub(super) id: String,
    /// What a match means.
    pub(super) decision: RawRuleDecision,
    /// Why, for whom it stops.
    pub(super) reason: String,
    /// What to do about a match, for people.
    pub(super) way_out: Option<String>,
    /// Patterns: `name` is a file at any depth, `/name` one at the root, `folder/` all files below
    /// such a folder, `a/*.x` the end of a path.
    pub(super) paths: Option<Vec<String>>,
    /// What the file is for: `product`, `test`, `judge`, `manifest`, `lockfile`, `build`, `image`,
    /// `deploy`, `ci`, `migration` and others.
    pub(super) kinds: Option<Vec<String>>,
    /// What happens to the file.
    pub(super) change: Option<Vec<RawRuleChange>>,
    /// A regular expression for a line that the patch adds.
    pub(super) adds: Option<String>,
    /// A regular expression for a line that the patch takes away.
    pub(super) removes: Option<String>,
    /// Changes that the rule matches, or leaves alone; checked when the configuration is loaded.
    pub(super) examples: Option<Vec<RawRuleExample>>,
}

/// What a match of a rule means.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawRuleDecision {
    /// A person must confirm the patch.
    NeedsHuman,
    /// The patch is rejected.
    Forbid,
}

/// What a patch does to a file.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawRuleChange {
    New,
    Edited,
    Moved,
    Deleted,
}

/// A change of one file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRuleExample {
    /// Relative to the repository's root.
    pub(super) path: String,
    /// The file before; a new one when it is left out.
    pub(super) before: Option<String>,
    /// The file afterwards; a deleted one when it is left out.
    pub(super) after: Option<String>,
    /// Whether the rule matches; true when it is left out.
    pub(super) matches: Option<bool>,
}

/// The program's own log.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogging {
    /// `ERROR`, `WARNING`, `INFO`, `DEBUG` or `TRACE`, in any case; `INFO` when it is left out.
    pub(super) level: Option<String>,
    /// Relative to the repository's root; `{date}` stands for `YYYYMMDD`.
    /// `logs/orchestrator_{date}.log` when it is left out.
    pub(super) file: Option<String>,
    /// A line, with `%(asctime)s`, `%(name)s`, `%(levelname)s` and `%(message)s`.
    pub(super) format: Option<String>,
}

/// The history of deployments.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    /// True when it is left out.
    pub(super) enabled: Option<bool>,
    /// Relative to the repository's root; `metrics/deployments.json` when it is left out.
    pub(super) path: Option<String>,
}
