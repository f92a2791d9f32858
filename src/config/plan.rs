//! What the configuration means: validated, defaults filled. Each stage takes its own part.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{EnvironmentName, Limits, RepoPath, TargetKind};

/// One configured run of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// The environment.
    pub environment: EnvironmentPlan,
    /// In configured order.
    pub gates: Vec<GatePlan>,
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
    /// The policy's settings.
    pub policy: PolicyPlan,
    /// The program's own log.
    pub logging: LoggingPlan,
    /// Where `metrics/deployments.json` goes, when it is wanted.
    pub metrics: Option<PathBuf>,
    /// Image build settings, for the image stage.
    pub build: Option<BuildPlan>,
}

/// `environments.NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentPlan {
    /// Its name.
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
    /// Relative to the repository's root; `None` for the root.
    pub working_directory: Option<RepoPath>,
    /// Names of gates that must pass first; acyclic.
    pub needs: Vec<String>,
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
    /// Settings of the process target.
    pub process: Option<ProcessPlan>,
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
}

/// `verification.user_flows[]`
#[derive(Debug, Clone, PartialEq)]
pub struct FlowPlan {
    /// Its name.
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
    /// US dollars per million tokens received.
    pub output_price: f64,
    /// Tool calls the author may make for one proposal; 0 for one shot.
    pub tool_steps: u32,
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
