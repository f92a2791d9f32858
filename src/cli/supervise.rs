//! `greenloop supervise`: the process that a rollout to the process target leaves behind.

use std::path::PathBuf;

use clap::Args;

use super::block_on;
use super::error::{CommandError, Exit};

/// What to supervise.
#[derive(Debug, Args)]
pub(super) struct SuperviseArgs {
    /// The target's state folder
    #[arg(long)]
    state: PathBuf,
}

pub(super) fn supervise(args: SuperviseArgs) -> Result<Exit, CommandError> {
    let SuperviseArgs { state } = args;
    block_on(crate::adapters::process::supervise(&state))?
        .map_err(|error| CommandError::infrastructure("the supervisor failed").because(error))?;
    Ok(Exit::Ok)
}
