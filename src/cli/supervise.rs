//! `greenloop supervise`: the process that a rollout to the process or the docker target leaves
//! behind.

use std::path::PathBuf;

use clap::Args;

use super::block_on;
use super::error::{CommandError, Exit};
use greenloop_model::EnvironmentName;
use greenloop_target::{docker, process};

/// What to supervise.
#[derive(Debug, Args)]
pub(super) struct SuperviseArgs {
    /// The target's state folder
    #[arg(long)]
    state: PathBuf,
    /// The engine whose containers it leads to, for the docker target
    #[arg(long, value_name = "ENGINE", requires = "environment")]
    docker: Option<String>,
    /// The environment, for the docker target
    #[arg(long, value_name = "NAME", requires = "docker")]
    environment: Option<EnvironmentName>,
}

pub(super) fn supervise(args: SuperviseArgs) -> Result<Exit, CommandError> {
    let SuperviseArgs { state, docker, environment } = args;
    let failed = || CommandError::infrastructure("the supervisor failed");
    match docker.zip(environment) {
        None => block_on(process::supervise(&state))?.map_err(|e| failed().because(e))?,
        Some((engine, environment)) => {
            block_on(docker::supervise(&state, environment, &engine))?
                .map_err(|e| failed().because(e))?;
        }
    }
    Ok(Exit::Ok)
}
