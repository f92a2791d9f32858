//! The composition root: the only place that names concrete adapters and puts the parts
//! together. It decides nothing about the loop itself.

mod agents;
mod audit_key;
mod configuration;
mod delivery;
pub mod demo;
mod doctor;
mod folder;
mod heal;
mod hub;
mod hub_connection;
mod hub_reporter;
mod logging;
mod model_check;
mod proposal;
mod release;
mod run;
mod sandbox;
mod session;
mod task_agents;
mod tasks;
mod telemetry;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use doctor::{Check, Health, doctor};
pub use folder::{audit_log, runs_folder};
pub use heal::{HealRequest, heal, undo};
pub use hub::{HubRequest, HubStarted, MergePlan, create_token, revoke_token, serve_hub, tokens};
pub use proposal::Proposal;
pub use release::{ReleaseRequest, StatusReport, roll_back, status};
pub use run::{RunRequest, describe, environment_of, run};
pub use sandbox::{SandboxChoice, SandboxRequest, run_in_sandbox, sandbox_probe};
pub use tasks::{
    GraphStatus, HubAccess, agents, alerts, graph_status, graphs, import, merge_queues,
    remove_agent,
};
pub use worker::{WorkerRequest, work};

use greenloop_audit::AuditError;
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
use greenloop_ports::{SecretError, TargetError};
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
    #[error("the configuration cannot be used")]
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
    #[error("nothing was run, because it could not pass: {}", in_words(.0))]
    Preflight(Vec<Finding>),
    /// Something this version cannot do.
    #[error("{what}")]
    Unsupported { what: String, hint: String },
    /// The policy's settings.
    #[error("the policy cannot be used")]
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
    #[error("{} is a link out of the repository", .path.display())]
    LinkOutside { path: PathBuf },
    /// None was given, and there is more than one.
    #[error("no environment is given, and the configuration has {}", .names.join(", "))]
    WhichEnvironment { names: Vec<String> },
    /// Nothing to take back.
    #[error("{}", no_fix(.run.as_deref()))]
    NoFix { run: Option<String> },
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
    /// The Docker Engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the hub failed")]
    Hub(#[from] HubError),
    /// A worker of a hub.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A secret that the configuration names.
    #[error("a secret could not be read")]
    Secret(#[from] SecretError),
    /// The sandbox of gates and scripts.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The hub's store.
    #[error("the hub's store cannot be used")]
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
        Some(run) => format!("run {run} left no fix in this work tree that could be taken back"),
        None => "no run left a fix in this work tree that could be taken back".to_owned(),
    }
}

impl From<ConfigError> for AppError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}
