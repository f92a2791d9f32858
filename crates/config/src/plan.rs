//! What the configuration means: validated, defaults filled. Each stage takes its own part.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use greenloop_model::{
    Decision, EnvironmentName, Limits, Network, NotificationForm, NotificationKind, RepoPath,
    TargetKind,
};

/// One configured run of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    pub environment: EnvironmentPlan,
    /// In configured order.
    pub gates: Vec<GatePlan>,
    /// What commands may see and do.
    pub sandbox: SandboxPlan,
    /// Where the release runs, and how it is started.
    pub deploy: DeployPlan,
    /// How it is verified.
    pub verification: VerificationPlan,
    /// The Codex role.
    pub author: RolePlan,
    /// The Jules role.
    pub reviewer: RolePlan,
    /// What ends a run that does not end by itself.
    pub limits: Limits,
    /// How long it waits for a person at the hub.
    pub approval_timeout: Duration,
    /// The policy's settings.
    pub policy: PolicyPlan,
    /// The program's own log.
    pub logging: LoggingPlan,
    /// Where `metrics/deployments.json` goes, when it is wanted.
    pub metrics: Option<PathBuf>,
    /// Image build settings, for the image stage.
    pub build: Option<BuildPlan>,
    /// Azure.
    pub azure: AzurePlan,
    /// Pull requests, when they are wanted.
    pub pull_request: Option<PullRequestPlan>,
    /// OpenTelemetry, when it is wanted.
    pub telemetry: Option<TelemetryPlan>,
    /// The graph of tasks, where this environment has one done.
    pub tasks: Option<TasksPlan>,
    /// Who is notified of how a run ends.
    pub notifications: Vec<NotificationPlan>,
}

/// `environments.NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPlan {
    pub name: EnvironmentName,
    /// The Kubernetes namespace.
    pub namespace: Option<String>,
    /// Base URL without a trailing slash: what smoke tests call, and for the process target
    /// the address that the front listener binds.
    pub url: String,
    /// `/health`
    pub health_endpoint: String,
    /// Whether a person must approve each patch, and the deployment.
    pub require_approval: bool,
}

/// `quality_gates[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePlan {
    /// Unique.
    pub name: String,
    /// Run by `sh -c`.
    pub command: String,
    /// Required (fails the stage) or advisory (warns).
    pub required: bool,
    /// Killed after this.
    pub timeout: Option<Duration>,
    /// Added to the inherited environment.
    pub env: BTreeMap<String, String>,
    /// What it may do beyond what all commands may.
    pub access: AccessPlan,
    /// Relative to the repository's root; `None` for the root.
    pub working_directory: Option<RepoPath>,
    /// Names of gates that must pass first; acyclic.
    pub needs: Vec<String>,
    /// Patterns of the report files that its test runner writes, relative to where it runs.
    pub reports: Vec<String>,
    /// Patterns of tracked files that it may change, relative to the repository's root.
    pub writes: Vec<String>,
}

impl GatePlan {
    /// A required gate with the defaults of every other setting.
    pub fn new(name: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            command: command.into(),
            required: true,
            timeout: None,
            env: BTreeMap::new(),
            access: AccessPlan::default(),
            working_directory: None,
            needs: Vec::new(),
            reports: Vec::new(),
            writes: Vec::new(),
        }
    }
}

/// What a gate may do beyond what all commands may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessPlan {
    /// What it may reach.
    pub network: Network,
    /// What runs before it and fetches what it needs.
    pub fetch: Option<FetchPlan>,
    /// Names of variables that it inherits; one may end in `*`.
    pub env: Vec<String>,
    /// Folders that it may write to; absolute.
    pub cache: Vec<PathBuf>,
    /// Bytes of memory, all its processes together.
    pub memory: Option<u64>,
}

/// Containers for commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPlan {
    pub image: String,
    /// The engine's address; `DOCKER_HOST` or the local socket for `None`.
    pub docker_host: Option<String>,
}

/// What fetches a gate's dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPlan {
    /// Run by `sh -c`; the usual commands for the lock files that there are for `None`.
    pub command: Option<String>,
    /// What it may reach.
    pub network: Network,
}

/// `sandbox`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxPlan {
    /// The weakest that will do.
    pub level: SandboxLevel,
    /// What commands may reach of which nothing else is said.
    pub network: Network,
    /// Containers for level C.
    pub container: Option<ContainerPlan>,
    /// Names of variables that commands inherit; one may end in `*`.
    pub env: Vec<String>,
    /// Folders that they may read; absolute.
    pub read: Vec<PathBuf>,
    /// Folders that they may write to; absolute.
    pub cache: Vec<PathBuf>,
    /// Bytes of memory of one command; what the machine allows for `None`.
    pub memory: Option<u64>,
    /// Processes of one command; what suits the machine for `None`.
    pub processes: Option<u32>,
}

/// `sandbox.level`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxLevel {
    /// Namespaces, Landlock and seccomp.
    A,
    /// Landlock and seccomp.
    #[default]
    B,
    /// A container of an engine, and what is stronger.
    C,
    /// Whatever there is.
    D,
    /// None.
    Off,
}

/// `build`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    /// `fleetproductionacr.azurecr.io`
    pub registry: String,
    /// Repository within the registry.
    pub image_name: String,
    /// Relative to the repository's root.
    pub dockerfile_path: PathBuf,
    /// Relative to the repository's root.
    pub context_path: PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage of the Dockerfile to build; the last one for `None`.
    pub target: Option<String>,
    /// Added to the labels that Greenloop sets.
    pub labels: BTreeMap<String, String>,
    /// `linux/amd64`; the engine's own for `None`.
    pub platform: Option<String>,
    /// Tags beside the commit and the pipeline's build id.
    pub tags: Vec<String>,
    /// What builds.
    pub builder: Builder,
    /// Address of the engine; `DOCKER_HOST`, then the local socket for `None`.
    pub docker_host: Option<String>,
}

impl BuildPlan {
    /// The registry's host and the repository within it: `registry` may name a folder too.
    pub fn place(&self) -> (&str, String) {
        match self.registry.split_once('/') {
            Some((host, folder)) => (host, format!("{folder}/{}", self.image_name)),
            None => (&self.registry, self.image_name.clone()),
        }
    }

    /// The image's repository with the registry's host, without a tag.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.image_name)
    }
}

/// `build.builder`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit where the engine has it, the classic builder otherwise.
    Auto,
    /// BuildKit.
    Buildkit,
    /// The classic builder.
    Classic,
}

/// `deploy`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployPlan {
    /// Which target.
    pub target: TargetKind,
    /// Manifests for the Kubernetes target.
    pub manifest_path: Option<PathBuf>,
    /// How long a rollout may take.
    pub wait_timeout: Duration,
    /// Whether a release may be rolled back.
    pub rollback: Rollback,
    /// Settings of the process target.
    pub process: Option<ProcessPlan>,
    /// Settings of the docker target.
    pub docker: Option<DockerPlan>,
    /// Settings of the Kubernetes target.
    pub kubernetes: Option<KubernetesPlan>,
}

/// `deploy.rollback`: it stands in the configuration of the commit that is released, so it is a
/// property of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollback {
    /// When it fails, the last verified release is restored.
    Allowed,
    /// It must stay, say after a migration that cannot be undone; a failure waits for a person.
    Forbidden,
}

/// `deploy.docker`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerPlan {
    /// Address of the engine; `DOCKER_HOST`, then the local socket for `None`.
    pub docker_host: Option<String>,
    /// The port the service listens on inside the container; passed as `PORT`.
    pub container_port: u16,
    /// Replaces the image's own command, when it is not empty.
    pub command: Vec<String>,
    /// Added to the image's environment.
    pub env: BTreeMap<String, String>,
    /// `name:/path` or `/host/path:/path[:ro]`.
    pub volumes: Vec<String>,
    /// A network of the engine; its default bridge for `None`.
    pub network: Option<String>,
    /// Bytes of memory a container may use.
    pub memory: Option<u64>,
    /// How long the old container may take to finish its requests after the switch.
    pub drain_timeout: Duration,
    /// How many releases are kept for a rollback, the serving one included; at least 2.
    pub keep_releases: u32,
}

/// `deploy.kubernetes`, with the manifests of `deploy.manifest_path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesPlan {
    /// Where the objects come from.
    pub manifests: Manifests,
    /// Where objects without a namespace of their own go.
    pub namespace: String,
    /// A kubeconfig; `KUBECONFIG`, `~/.kube/config`, then the pod's own account for `None`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; its current one for `None`.
    pub context: Option<String>,
    /// Where the cluster's address and credentials come from instead.
    pub aks: Option<AksPlan>,
    /// Values for `{{ vars.NAME }}` in manifests.
    pub variables: BTreeMap<String, String>,
    /// The service smoke tests reach through a port-forward; the environment's URL for `None`.
    pub service: Option<ServicePlan>,
    /// How long restart counts must stay still after the rollout; computed from the pods'
    /// probes for `None`.
    pub soak: Option<Duration>,
    /// How long to wait for another run's lease; zero leaves at once.
    pub lease_wait: Duration,
    /// How many releases are remembered.
    pub history: u32,
    /// Whether objects that a verified release no longer names are removed.
    pub prune: bool,
}

/// Where a release's objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifests {
    /// A file, a folder or a glob, relative to the repository's root.
    Files(PathBuf),
    /// A folder for `kustomize build` (or `kubectl kustomize`).
    Kustomize(PathBuf),
    /// A chart for `helm template`.
    Helm {
        /// The chart's folder.
        chart: PathBuf,
        /// The release's name.
        release: String,
        /// Value files, in order.
        values: Vec<PathBuf>,
    },
}

/// `deploy.kubernetes.aks`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AksPlan {
    /// The subscription's id.
    pub subscription: String,
    /// The resource group.
    pub resource_group: String,
    /// The cluster's name.
    pub cluster: String,
}

/// `deploy.kubernetes.service`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// The service's name.
    pub name: String,
    /// One of its ports; the first for `None`.
    pub port: Option<u16>,
}

/// `azure`; what is left out comes from the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzurePlan {
    /// The tenant; `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// The application or managed identity; `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// The pipeline's service connection; `AZURE_SERVICE_CONNECTION_ID`.
    pub service_connection_id: Option<String>,
    /// `https://NAME.vault.azure.net`
    pub key_vault: Option<String>,
    /// `https://login.microsoftonline.com`
    pub authority_host: Option<String>,
    /// `https://management.azure.com`
    pub resource_manager: Option<String>,
}

/// `pull_request`: what becomes of the branch with the patches of a run that ended verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestPlan {
    /// Who keeps the repository; told from the remote's address for `None`.
    pub provider: Option<PullRequestProvider>,
    /// The branch to merge into; the one the run started from for `None`.
    pub target_branch: Option<String>,
    /// The git remote.
    pub remote: String,
    /// Name of the environment variable that holds the token; the provider's usual one for
    /// `None`.
    pub token_env: Option<String>,
    /// Base URL of the API; the provider's own for `None`.
    pub api_url: Option<String>,
    /// Whether it is opened as a draft.
    pub draft: bool,
    /// When `greenloop pr` commits a fix to the pull request's branch.
    pub apply: ApplyPolicy,
}

impl Default for PullRequestPlan {
    /// The remote `origin`, and everything else as its address says.
    fn default() -> Self {
        Self {
            provider: None,
            target_branch: None,
            remote: "origin".to_owned(),
            token_env: None,
            api_url: None,
            draft: false,
            apply: ApplyPolicy::OnRequest,
        }
    }
}

/// `pull_request.provider`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequestProvider {
    /// Azure Repos.
    AzureDevops,
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
}

/// `pull_request.apply`: when a fix for the gates of a pull request is committed to its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyPolicy {
    /// A person asks for it.
    OnRequest,
    /// As soon as there is one.
    Always,
}

/// `tasks`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksPlan {
    /// The graph, relative to the repository's root.
    pub file: PathBuf,
    /// Base URL of the hub, without a trailing slash.
    pub hub: String,
    /// Name of the environment variable that holds the hub's token; the variable may be unset
    /// for a hub that asks for none.
    pub token_env: String,
    /// How long the whole graph may take.
    pub timeout: Duration,
}

/// `notifications[]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationPlan {
    /// Unique.
    pub name: String,
    /// The form that the receiver understands.
    pub form: NotificationForm,
    /// Name of the environment variable that holds its address.
    pub url_env: String,
    /// Name of the environment variable that holds the secret that signs deliveries.
    pub secret_env: Option<String>,
    /// What it is notified of; empty: everything.
    pub events: Vec<NotificationKind>,
}

/// `telemetry`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryPlan {
    /// Base URL of an OTLP/HTTP receiver; traces go to `/v1/traces`, metrics to `/v1/metrics`.
    pub otlp_endpoint: String,
    /// Name of the environment variable with `key=value,key=value` headers;
    /// `OTEL_EXPORTER_OTLP_HEADERS` for `None`.
    pub headers_env: Option<String>,
    /// `service.name`
    pub service_name: String,
}

/// `deploy.process`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Program and arguments, run inside the release's folder. Greenloop chooses a free
    /// loopback port and passes it as `PORT`; `{{ port }}` in an argument is replaced by it.
    pub command: Vec<String>,
    /// Files and folders, relative to the repository's root, that are copied into the release's
    /// folder under their own names.
    pub artifacts: Vec<PathBuf>,
    /// Added to the service's environment.
    pub env: BTreeMap<String, String>,
    /// How long the old process may take to finish its requests after the switch.
    pub drain_timeout: Duration,
    /// How many releases are kept for a rollback, the serving one included; at least 2.
    pub keep_releases: u32,
}

/// `verification`
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationPlan {
    /// The health check.
    pub health: HealthPlan,
    /// A script to run against the release.
    pub script: Option<ScriptPlan>,
    /// Requests to make, in order.
    pub flows: Vec<FlowPlan>,
}

/// `verification.health_check`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPlan {
    /// Path, the template already expanded: `/health`.
    pub endpoint: String,
    /// For each request.
    pub timeout: Duration,
    /// Further tries after the first.
    pub retries: u32,
    /// Pause before the first retry; doubles with each.
    pub backoff: Duration,
}

/// `verification.smoke_tests`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPlan {
    /// Relative to the repository's root.
    pub script: PathBuf,
    /// Killed after this.
    pub timeout: Duration,
    /// Patterns of the tracked files that it may change, relative to the repository's root.
    pub writes: Vec<String>,
}

/// `verification.user_flows[]`
#[derive(Debug, Clone, PartialEq)]
pub struct FlowPlan {
    pub name: String,
    /// In order; the first failure ends the flow.
    pub steps: Vec<FlowStep>,
}

/// One request of a flow: `"GET /path"`, or the long form with expectations.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowStep {
    /// Upper case: `GET`.
    pub method: String,
    /// Path and query: `/api/v1/vehicles?x=1`.
    pub path: String,
    /// Sent with the request.
    pub headers: BTreeMap<String, String>,
    /// Sent with the request; JSON when it was written as a mapping or a list.
    pub body: Option<StepBody>,
    /// What must come back.
    pub expect: Expectation,
    /// For the request.
    pub timeout: Duration,
}

/// What a step sends.
#[derive(Debug, Clone, PartialEq)]
pub enum StepBody {
    /// As it is.
    Text(String),
    /// With `content-type: application/json`.
    Json(serde_json::Value),
}

/// What must come back; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expectation {
    /// Exact statuses; empty means any below 400 (redirects are not followed).
    pub status: Vec<u16>,
    /// Text the body must contain.
    pub body_contains: Option<String>,
    /// A JSON value the body must contain: objects may have more keys, lists must be equal.
    pub json: Option<serde_json::Value>,
    /// Headers that must have these values.
    pub headers: BTreeMap<String, String>,
}

/// Where a role's answers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI or a compatible server.
    OpenAi {
        /// Base URL with the version part: `https://api.openai.com/v1`.
        base_url: String,
        /// Name of the environment variable that holds the key; the variable may be unset for
        /// servers that need none (a base URL other than OpenAI's own).
        api_key_env: String,
    },
    /// Azure OpenAI.
    Azure {
        /// `https://NAME.openai.azure.com`
        endpoint: String,
        /// The deployment's name.
        deployment: String,
        /// `2024-10-21`
        api_version: String,
        /// Name of the environment variable that holds the key; a Microsoft Entra token is
        /// used when it is `None` or unset.
        api_key_env: Option<String>,
    },
    /// Recorded answers from this file or folder, relative to the repository's root.
    Replay { path: PathBuf },
}

/// `agents.codex`, `agents.jules`
#[derive(Debug, Clone, PartialEq)]
pub struct RolePlan {
    /// Where answers come from.
    pub provider: Provider,
    /// The model's name.
    pub model: String,
    /// `None` leaves it to the server.
    pub temperature: Option<f32>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// What the configuration says; the answer format is always added to it.
    pub system_prompt: Option<String>,
    /// For one request, retries not included.
    pub timeout: Duration,
    /// How often a request is retried on 429, 5xx and lost connections.
    pub max_retries: u32,
    /// US dollars per million tokens sent.
    pub input_price: f64,
    /// US dollars per million tokens sent that the provider had in its cache.
    pub cached_input_price: f64,
    /// US dollars per million tokens received.
    pub output_price: f64,
    /// Tool calls the author may make for one proposal; 0 for one shot.
    pub tool_steps: u32,
    /// For the author: whether it may run the gates' commands in a throwaway copy.
    pub explores: bool,
    /// For the author: the user's own program, in place of a model.
    pub agent: Option<AgentPlan>,
    /// For the author: who is asked next, each after an attempt that came to nothing. The same
    /// but for the model and its prices.
    pub next: Vec<RolePlan>,
}

/// An agent of the user's own
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPlan {
    /// The program and its arguments, as they stand; at least the program.
    pub command: Vec<String>,
    /// Names of variables that it inherits although they hold secrets.
    pub pass_env: Vec<String>,
    /// What it may reach.
    pub network: Network,
    /// What it may read although it is hidden.
    pub read: Vec<PathBuf>,
    /// Where it may write besides its clone.
    pub cache: Vec<PathBuf>,
}

/// `safety`, the policy's part
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlan {
    /// Gitignore-style patterns of files that no patch may delete, move away or empty.
    pub never_delete: Vec<String>,
    /// Words that want a person's confirmation when a patch adds them.
    pub require_confirmation: Vec<String>,
    /// Files a patch may change.
    pub max_files: usize,
    /// Lines a patch may add and remove.
    pub max_changed_lines: usize,
    /// The size of a file after the patch, in bytes.
    pub max_file_bytes: usize,
    /// The configuration's own path, when it lies inside the repository.
    pub config_path: Option<RepoPath>,
    /// Whether a person must confirm every patch (`require_approval`).
    pub confirm_every_patch: bool,
    /// Rules of the configuration, beside the built-in ones.
    pub rules: Vec<PolicyRule>,
}

/// A rule of the configuration for patches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRule {
    pub id: String,
    /// [`Decision::NeedsHuman`] or [`Decision::Forbid`].
    pub decision: Decision,
    pub reason: String,
    pub way_out: Option<String>,
    /// Patterns of paths; every path when empty.
    pub paths: Vec<String>,
    /// Names of kinds of files, and where each stands; every kind when empty.
    pub kinds: Vec<(String, RulePosition)>,
    /// Every change when empty.
    pub changes: Vec<RuleChange>,
    /// A regular expression for added lines.
    pub adds: Option<String>,
    /// A regular expression for lines that go away.
    pub removes: Option<String>,
    pub examples: Vec<RuleExample>,
    pub position: RulePosition,
}

/// What a patch does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleChange {
    New,
    Edited,
    Moved,
    Deleted,
}

/// A change of one file that a rule matches, or leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExample {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub matches: bool,
    pub position: RulePosition,
}

/// Line and column of a part of a rule in the configuration, both from 1; 0 for a rule that comes
/// from no file. Not shown by `Debug`: a digest of the rules does not depend on their position.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RulePosition {
    pub line: usize,
    pub column: usize,
}

impl fmt::Debug for RulePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RulePosition")
    }
}

impl fmt::Display for RulePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// `logging`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingPlan {
    /// `info`
    pub level: String,
    /// With `{date}` standing for `YYYYMMDD`.
    pub file: String,
    /// Pieces of a line, in order, from the `%(asctime)s`-style format.
    pub format: Vec<LogPiece>,
}

/// A piece of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// As it is.
    Text(String),
    /// `%(asctime)s`
    Time,
    /// `%(name)s`: the module that speaks.
    Name,
    /// `%(levelname)s`
    Level,
    /// `%(message)s`
    Message,
}
