//! A worker of a hub.

use std::path::PathBuf;
use std::time::Duration;

use super::agents::configured_key_variables;
use super::hub_connection::connect;
use super::sandbox::SandboxChoice;
use super::task_agents::agent_loop;
use super::{AppError, Environment, logging, model_check};
use greenloop_worker::{SandboxOptions, Stop, Worker, WorkerOptions};

/// What is to be worked on, and how.
pub struct WorkerRequest {
    /// Where the hub is.
    pub hub: String,
    pub name: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
    /// Tasks at the same time.
    pub slots: usize,
    /// The variable that holds the hub's token.
    pub token_env: String,
    /// Where its folders go.
    pub work: PathBuf,
    /// How long a lease lasts without a heartbeat.
    pub lease: Duration,
    /// From heartbeat to heartbeat.
    pub heartbeat: Duration,
    /// How long running tasks may go on once it drains.
    pub grace: Duration,
    /// From a self-check that failed to the next one, at first.
    pub recheck: Duration,
    /// How long mirrors are kept that nobody uses; `None` for ever.
    pub keep_mirrors: Option<Duration>,
    /// Bytes of all mirrors.
    pub most_mirrors: u64,
    /// The sandbox of commands.
    pub sandbox: SandboxChoice,
    /// Log in detail.
    pub debug: bool,
    /// Environment variables.
    pub env: Environment,
}

/// Works until `stop` says otherwise.
///
/// # Errors
/// When it cannot begin, or the hub refuses its token.
pub async fn work(request: WorkerRequest, stop: Stop) -> Result<(), AppError> {
    let WorkerRequest {
        hub,
        name,
        roles,
        labels,
        slots,
        token_env,
        work,
        lease,
        heartbeat,
        grace,
        recheck,
        keep_mirrors,
        most_mirrors,
        sandbox,
        debug,
        env,
    } = request;
    logging::to_stderr(debug);
    let (client, redactor) = connect(&hub, &token_env, &env)?;
    let agents = agent_loop(&env, &redactor);
    let mut env_remove = configured_key_variables(&env);
    env_remove.push(token_env);
    let (settings, network, launcher) = sandbox.settings(&env)?;
    let sandbox = SandboxOptions { settings, network, launcher };
    let options = WorkerOptions {
        name,
        roles,
        labels,
        slots,
        work,
        lease,
        heartbeat,
        grace,
        recheck,
        keep_mirrors,
        most_mirrors,
        env_remove,
        sandbox: Some(sandbox),
    };
    let model = model_check::of_environment(&env);
    let worker = Worker { options, client, redactor, agents: Some(agents), model };
    Ok(worker.run(stop).await?)
}
