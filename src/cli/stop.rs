//! `greenloop stop` and `greenloop logs`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit};
use super::{block_on, completions, output, terminal};
use crate::app::{self, LogNews, ReleaseRequest};
use greenloop_ports::Stopped;

/// What to stop.
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Stop without asking
    #[arg(short, long)]
    yes: bool,
}

/// Which log to print.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Go on printing what is written
    #[arg(short, long)]
    follow: bool,
}

fn request(
    command: &str,
    environment: Option<String>,
    config: Option<PathBuf>,
) -> Result<ReleaseRequest, CommandError> {
    let directory = terminal::current_directory()?;
    terminal::note_second_configuration(config.as_ref());
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let invocation = terminal::invocation(command, &environment, config.as_ref(), "");
    Ok(ReleaseRequest {
        directory,
        environment,
        config,
        release: None,
        revision: None,
        env: terminal::environment(),
        invocation,
    })
}

pub(super) fn stop(args: StopArgs) -> Result<Exit, CommandError> {
    let StopArgs { environment, config, yes } = args;
    let request = request("stop ", environment, config)?;
    let environment = request.environment.clone();
    let question = format!("Stop what serves in {environment}? Its users get no answer any more.");
    if !yes && terminal::confirm(&question) != Some(true) {
        return Err(CommandError::person("nothing was stopped").hint(format!(
            "`greenloop stop --environment {environment} --yes` stops it without asking"
        )));
    }
    match block_on(app::stop(&request))?.map_err(CommandError::of_environment(&environment))? {
        Stopped::Nothing => output::print(&format!("{environment}: nothing is serving\n"))?,
        Stopped::Address => output::print(&format!(
            "{environment}: nothing was serving; its address is free now\n"
        ))?,
        Stopped::Release { release, kept } => {
            output::print(&format!(
                "{environment}: stopped release {}, which is kept for a rollback\n",
                release.id
            ))?;
            for object in kept {
                output::print(&format!("  kept: {object}\n"))?;
            }
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn logs(args: LogsArgs) -> Result<Exit, CommandError> {
    let LogsArgs { environment, config, follow } = args;
    let request = request("logs ", environment, config)?;
    let environment = request.environment.clone();
    let mut print = |news: LogNews<'_>| match news {
        LogNews::Text { part: None, text } => {
            let _closed_pipe = output::print_content(text);
        }
        LogNews::Text { part: Some(part), text } => {
            let _closed_pipe = output::print_content(&format!("{part} | {}\n", text.trim_end()));
        }
        LogNews::Restarted { part } => {
            let what = part.unwrap_or("the service");
            output::tell(&format!("{what} was restarted\n"));
        }
        LogNews::Gap => output::tell("… more was written than is kept between two looks …\n"),
        LogNews::Serves(release) => {
            output::tell(&format!("release {} serves now\n", release.short()));
        }
    };
    let any = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::logs(&request, follow, &mut print, &cancel).await
    })?
    .map_err(CommandError::of_environment(&environment))?;
    if any {
        return Ok(Exit::Ok);
    }
    Err(CommandError::person(format!("{environment}: nothing is serving, so there is no log"))
        .hint("greenloop status shows the releases; logs/runs has the logs of runs"))
}
