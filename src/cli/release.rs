//! `greenloop status` and `greenloop rollback`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, terminal};
use crate::app::{self, ReleaseRequest, StatusReport};

/// Which environment to look at.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The environment, as config.yaml names it; may be left out when there is only one
    #[arg(short, long, value_name = "ENV")]
    environment: Option<String>,
    /// The configuration file [default: config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = StatusOutput::Text)]
    output: StatusOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusOutput {
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Text,
    Json,
}

pub(super) fn status(args: StatusArgs) -> Result<Exit, CommandError> {
    let StatusArgs { environment, config, output } = args;
    let directory = terminal::current_directory()?;
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let invocation = terminal::invocation("status ", &environment, config.as_ref(), "");
    let request = ReleaseRequest {
        directory,
        environment,
        config,
        release: None,
        revision: None,
        env: terminal::environment(),
        invocation,
    };
    let StatusReport { text, json, unknown } = block_on(app::status(&request))??;
    match output {
        StatusOutput::Text => output::print_rows(&text)?,
        StatusOutput::Json => output::print_json(&json)?,
    }
    match unknown {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Ok),
    }
}

/// What to go back to.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The environment, as config.yaml names it; may be left out when there is only one
    #[arg(short, long, value_name = "ENV")]
    environment: Option<String>,
    /// The N-th earlier release that `greenloop status` lists; in a cluster where it lists none,
    /// the workloads' own revision N (0: the one before), as `kubectl rollout undo` has it
    #[arg(long, value_name = "N", conflicts_with = "to_release")]
    to_revision: Option<u32>,
    /// The release of this id
    #[arg(long, value_name = "ID")]
    to_release: Option<String>,
    /// The configuration file [default: config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
}

pub(super) fn rollback(args: RollbackArgs) -> Result<Exit, CommandError> {
    let RollbackArgs { environment, to_revision, to_release, config, output } = args;
    let release = match to_release {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| {
            CommandError::usage(format!("--to-release: {error}"))
                .hint("greenloop status lists the releases with their ids")
        })?),
    };
    let flags = match (to_revision, &release) {
        (Some(revision), _) => format!(" --to-revision {revision}"),
        (None, Some(release)) => format!(" --to-release {release}"),
        (None, None) => String::new(),
    };
    let directory = terminal::current_directory()?;
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let invocation = terminal::invocation("rollback ", &environment, config.as_ref(), &flags);
    let request = ReleaseRequest {
        directory,
        environment,
        config,
        release,
        revision: to_revision,
        env: terminal::environment(),
        invocation,
    };
    let summary = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::roll_back(request, output::reporters(output), cancel).await
    })??;
    Ok(exit_of(&summary))
}
