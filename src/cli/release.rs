//! `greenloop status` and `greenloop rollback`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::bell::BellArgs;
use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, completions, terminal};
use crate::app::{self, ReleaseRequest, StatusReport};
use greenloop_model::ReleaseId;

/// Characters of the end of an id that name a release, at least.
const SHORTEST: usize = 4;

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
    /// Restore the release with this id, or the last characters of it
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

/// The release of a whole id, or of the end of one that is known here, as screens show it.
fn release_of(text: &str) -> Result<ReleaseId, CommandError> {
    let known = completions::releases();
    let ids = known.iter().filter_map(|it| it.get_value().to_str());
    let mut ending = ids.filter(|id| text.len() >= SHORTEST && id.ends_with(text));
    let whole = match (ending.next(), ending.next()) {
        (Some(id), None) => id,
        _none_or_several => text,
    };
    whole.parse().map_err(|error| {
        CommandError::usage(format!("--to-release: {error}"))
            .hint("`greenloop status` lists the releases and their ids")
    })
}

pub(super) fn rollback(args: RollbackArgs) -> Result<Exit, CommandError> {
    let RollbackArgs { environment, to_revision, to_release, config, output, bell } = args;
    let release = match to_release {
        None => None,
        Some(text) => Some(release_of(&text)?),
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
