//! `greenloop worker`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::error::{CommandError, Exit};
use super::sandbox_choice::SandboxChoiceArgs;
use super::{block_on, terminal};
use crate::app::{self, WorkerRequest};

/// How to work.
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// Address of the hub
    #[arg(long, value_name = "URL", env = "GREENLOOP_HUB_URL", hide_env_values = true)]
    hub: String,
    /// Name, unique among the hub's workers (letters, digits, `-`, `_`, `.`)
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Role of this worker; tasks without a role run on any worker
    #[arg(long = "role", value_name = "ROLE", num_args = 1..)]
    roles: Vec<String>,
    /// Label of this machine, which tasks may require
    #[arg(long = "label", value_name = "LABEL", num_args = 1..)]
    labels: Vec<String>,
    /// Number of tasks run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Name of the environment variable that holds the hub's token
    #[arg(long, value_name = "NAME", default_value = "GREENLOOP_HUB_TOKEN")]
    token_env: String,
    /// Folder for mirrors, clones and logs [default: greenloop-worker in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Time without a heartbeat after which the hub gives the task to another worker
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lease: u64,
    /// Interval between heartbeats; at most a third of the lease
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    heartbeat: u64,
    /// Time that running tasks have after SIGTERM; a second SIGTERM ends them at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    grace: u64,
    /// Delay after a failed self-check; doubles each time, up to five minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    recheck: u64,
    /// Delete mirrors of repositories unused for this many days; 0 keeps them
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u64).range(0..=3_650))]
    keep_mirrors: u64,
    /// Maximum total size of mirrors; the least recently used are deleted first
    #[arg(long, value_name = "GIB", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    mirror_space: u64,
    #[command(flatten)]
    sandbox: SandboxChoiceArgs,
    /// Write debug messages to the log
    #[arg(long)]
    debug: bool,
}

pub(super) fn worker(args: WorkerArgs) -> Result<Exit, CommandError> {
    let WorkerArgs {
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
        mirror_space,
        sandbox,
        debug,
    } = args;
    let work = super::work_folder(work, "greenloop-worker")?;
    let request = WorkerRequest {
        hub,
        name,
        roles,
        labels,
        slots: usize::try_from(slots).unwrap_or(1),
        token_env,
        work,
        lease: Duration::from_secs(lease),
        heartbeat: Duration::from_secs(heartbeat),
        grace: Duration::from_secs(grace),
        recheck: Duration::from_secs(recheck),
        keep_mirrors: (keep_mirrors > 0).then(|| Duration::from_secs(keep_mirrors * 24 * 3600)),
        most_mirrors: mirror_space << 30,
        sandbox: sandbox.choice(),
        debug,
        env: terminal::environment(),
    };
    block_on(async { app::work(request, terminal::stop_on_signals()).await })??;
    Ok(Exit::Ok)
}
