//! The composition root: the only place that names concrete adapters and puts the parts
//! together. It decides nothing about the loop itself.

mod accept;
mod address;
mod agents;
mod audit_key;
mod bundle;
mod comment_event;
mod configuration;
mod delivery;
pub mod demo;
mod doctor;
mod folder;
mod heal;
mod hub;
mod hub_approvals;
mod hub_connection;
mod hub_flakes;
mod hub_reporter;
mod hub_witness;
mod init;
mod logging;
mod model_check;
mod overview;
mod proposal;
mod pull_request;
mod recorded_review;
mod release;
mod run;
mod run_notifier;
mod sandbox;
mod session;
mod stop;
mod task_agents;
mod tasks;
mod telemetry;
mod watch;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use accept::{AcceptRequest, Accepted, Pushed, accept};
pub use address::ConfiguredUrl;
pub use bundle::{WrittenBundle, push_credentials};
pub use comment_event::{CommentEvent, comment_event, is_webhook_pipeline};
pub use doctor::{Check, Health, doctor};
pub use folder::{audit_log, run_of, runs_folder};
pub use heal::{HealRequest, heal, undo};
pub use hub::{HubRequest, HubStarted, MergePlan, create_token, revoke_token, serve_hub, tokens};
pub use hub_connection::HUB_TOKEN;
pub use init::{InitPlan, InitProgress, InitRequest, plan_init, write_init};
pub use overview::{Overview, Standing, overview};
pub use proposal::Proposal;
pub use pull_request::{
    Applicant, PullRequestJob, PullRequestOutcome, apply_fix, check_pull_request,
};
pub use release::{ReleaseRequest, StatusReport, roll_back, status};
pub use run::{RunRequest, describe, environment_of, run};
pub use sandbox::{SandboxChoice, SandboxRequest, run_in_sandbox, sandbox_probe};
pub use stop::{LogNews, logs, stop};
pub use tasks::{
    GraphStatus, HubAccess, agents, alerts, graph_report, graph_status, graphs, import,
    merge_queues, remove_agent,
};
pub use watch::{WatchError, WatchHooks, WatchKey, WatchNews, WatchRequest, watch};
pub use worker::{WorkerRequest, work};

use greenloop_audit::AuditError;
use greenloop_bundle::BundleError;
use greenloop_config::ConfigError;
use greenloop_engine::claim::ClaimError;
use greenloop_engine::driver::DriveError;
use greenloop_engine::recover::RecoverError;
use greenloop_engine::stages::preflight::Finding;
use greenloop_exec::sandbox::SandboxError;
use greenloop_hub::server::TlsError;
use greenloop_hub::store::StoreError;
use greenloop_hub_api::client::HubError;
use greenloop_image::engine::EngineError;
use greenloop_policy::PolicyError;
use greenloop_ports::{PullRequestError, SecretError, TargetError};
use greenloop_worker::WorkerError;
use greenloop_workspace::WorkspaceError;

/// Environment variables by name.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

fn in_words(findings: &[Finding]) -> String {
    let each: Vec<String> =
        findings.iter().map(|found| format!("{}: {}", found.subject, found.fault)).collect();
    each.join("; ")
}

/// Why something could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the configuration is invalid")]
    Config(#[source] Box<ConfigError>),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The environment or the work tree is held.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// An earlier run.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// What would surely keep the run from passing; nothing was run.
    #[error("nothing was run, because it would certainly fail: {}", in_words(.0))]
    Preflight(Vec<Finding>),
    /// Something this version cannot do.
    #[error("{what}")]
    Unsupported { what: String, hint: String },
    /// The policy's settings.
    #[error("the policy is invalid")]
    Policy(#[from] PolicyError),
    /// No run of that id.
    #[error("there is no run {run}")]
    NoSuchRun { run: String },
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A folder of Greenloop's own.
    #[error("failed to use {}", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Files of Greenloop's own would be written outside the repository.
    #[error("{} is a symbolic link to outside the repository", .path.display())]
    LinkOutside { path: PathBuf },
    /// None was given, and there is more than one.
    #[error("the configuration has several environments ({}): select one", .names.join(", "))]
    WhichEnvironment { names: Vec<String> },
    /// Nothing to take back.
    #[error("{}", no_fix(.run.as_deref()))]
    NoFix { run: Option<String> },
    /// A bundle that cannot be read or written.
    #[error("the bundle {} cannot be used", .file.display())]
    Bundle {
        file: PathBuf,
        #[source]
        source: BundleError,
    },
    /// A bundle that is whole, and does not fit this checkout.
    #[error("the bundle {} is refused: {why}", .file.display())]
    BundleRefused { file: PathBuf, why: String },
    /// The branch of an accepted repair.
    #[error("the branch could not be pushed")]
    Push(#[source] PullRequestError),
    #[error("the audit log failed")]
    Audit(#[from] AuditError),
    #[error("the run has ended ({end}), but its audit log has no end")]
    NoEnd {
        end: String,
        #[source]
        source: AuditError,
    },
    #[error("the target failed")]
    Target(#[from] TargetError),
    /// Another program listens at the environment's address.
    #[error("{error}, which environment `{}` is to be served at", .at.environment)]
    AddressInUse { at: Box<ConfiguredUrl>, error: Box<TargetError> },
    /// The Docker Engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the hub failed")]
    Hub(#[from] HubError),
    /// A worker of a hub.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A secret that the configuration names.
    #[error("could not read a secret")]
    Secret(#[from] SecretError),
    /// A pull request cannot be read or changed.
    #[error(transparent)]
    PullRequest(#[from] PullRequestError),
    /// The files of a work tree cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The sandbox of gates and scripts.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The hub's store.
    #[error("could not open the hub's store")]
    Store(#[from] StoreError),
    /// The hub's certificate.
    #[error("the hub cannot serve TLS")]
    Tls(#[from] TlsError),
    /// The hub's address.
    #[error("the hub cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

fn no_fix(run: Option<&str>) -> String {
    match run {
        Some(run) => format!("run {run} has no fix in this work tree that can be removed"),
        None => "no run has a fix in this work tree that can be removed".to_owned(),
    }
}

impl From<ConfigError> for AppError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

/// As many gates at the same time as there are cores.
fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
