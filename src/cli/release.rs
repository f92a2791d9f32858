//! `greenloop status` and `greenloop rollback`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::bell::BellArgs;
use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, completions, terminal};
use crate::app::{self, ReleaseRequest, StatusReport};

/// Which environment to look at.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Output format
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
    terminal::note_second_configuration(config.as_ref());
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
    let of_environment = CommandError::of_environment(&request.environment);
    let StatusReport { text, json, unknown } =
        block_on(app::status(&request))?.map_err(&of_environment)?;
    match output {
        StatusOutput::Text => output::print(&text)?,
        StatusOutput::Json => output::print_json(&json)?,
    }
    match unknown {
        Some(error) => Err(of_environment(error.into())),
        None => Ok(Exit::Ok),
    }
}

/// What to go back to.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Restore the N-th earlier release that `greenloop status` lists; in a cluster without such
    /// releases, revision N of the workloads as in `kubectl rollout undo` (0: the previous one)
    #[arg(long, value_name = "N", conflicts_with = "to_release")]
    to_revision: Option<u32>,
    /// Restore the release with this id
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(completions::releases))]
    to_release: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    #[command(flatten)]
    bell: BellArgs,
}

pub(super) fn rollback(args: RollbackArgs) -> Result<Exit, CommandError> {
    let RollbackArgs { environment, to_revision, to_release, config, output, bell } = args;
    let release = match to_release {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| {
            CommandError::usage(format!("--to-release: {error}"))
                .hint("`greenloop status` lists the releases and their ids")
        })?),
    };
    let flags = match (to_revision, &release) {
        (Some(revision), _) => format!(" --to-revision {revision}"),
        (None, Some(release)) => format!(" --to-release {release}"),
        (None, None) => String::new(),
    };
    let directory = terminal::current_directory()?;
    terminal::note_second_configuration(config.as_ref());
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let invocation = terminal::invocation("rollback ", &environment, config.as_ref(), &flags);
    let request = ReleaseRequest {
        directory,
        environment: environment.clone(),
        config,
        release,
        revision: to_revision,
        env: terminal::environment(),
        invocation,
    };
    let of_environment = CommandError::of_environment(&environment);
    let summary = block_on(async {
        let cancel = terminal::cancel_on_signals();
        let (reporters, _keys) = output::reporters_and_keys(output, bell, false, &cancel);
        app::roll_back(request, reporters, cancel).await
    })?
    .map_err(&of_environment)?;
    Ok(exit_of(&summary))
}
