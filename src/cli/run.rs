//! `greenloop run` and `greenloop verify`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::bell::BellArgs;
use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, completions, terminal};
use crate::app::{self, Proposal, RunRequest};

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Stop after this many iterations; overrides the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_iterations: Option<u32>,
    /// Only run the smoke tests against the deployed release; deploy and repair nothing
    #[arg(long)]
    verify_only: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Resume this run, whose process died before its end (greenloop audit list)
    #[arg(long, value_name = "RUN", add = ArgValueCandidates::new(completions::runs))]
    resume: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    #[command(flatten)]
    bell: BellArgs,
    /// Show all that is known of a failure, and write a debug log of Greenloop itself to
    /// logs/orchestrator_<date>.log
    #[arg(long)]
    debug: bool,
    /// Confirm where the policy or the environment asks for a person; cannot override what the
    /// policy forbids
    #[arg(short, long)]
    yes: bool,
}

impl RunArgs {
    /// Whether the command line was empty.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            environment,
            config: _,
            max_iterations,
            verify_only,
            dry_run,
            resume,
            output: _,
            bell: _,
            debug,
            yes,
        } = self;
        environment.is_none()
            && max_iterations.is_none()
            && resume.is_none()
            && !(*verify_only || *dry_run || *debug || *yes)
    }
}

pub(super) fn run(args: RunArgs) -> Result<Exit, CommandError> {
    let RunArgs {
        environment,
        config,
        max_iterations,
        verify_only,
        dry_run,
        resume,
        output,
        bell,
        debug,
        yes,
    } = args;
    let directory = terminal::current_directory()?;
    terminal::note_second_configuration(config.as_ref());
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let resume = match resume {
        None => None,
        Some(text) => Some(app::run_of(&directory, &text)?),
    };
    let command = if verify_only { "verify " } else { "" };
    let flags = max_iterations.map_or_else(String::new, |n| format!(" --max-iterations {n}"));
    let invocation = terminal::invocation(command, &environment, config.as_ref(), &flags);
    let of_environment = CommandError::of_environment(&environment);
    let request = RunRequest {
        directory,
        environment: environment.clone(),
        config,
        max_iterations,
        verify_only,
        resume,
        debug,
        approval: terminal::approval(yes),
        env: terminal::environment(),
        live_roles: false,
        invocation,
    };
    if dry_run {
        let text = block_on(app::describe(&request))?.map_err(&of_environment)?;
        output::print(&greenloop_report::safe_text::safe(&text))?;
        return Ok(Exit::Ok);
    }
    let (summary, proposal) = block_on(async {
        let cancel = terminal::cancel_on_signals();
        let (reporters, _keys) = output::reporters_and_keys(output, bell, debug, &cancel);
        app::run(request, reporters, cancel).await
    })?
    .map_err(&of_environment)?;
    if let Some(proposal) = proposal {
        // Beside the events, which have had their end.
        output::tell(&in_words(&proposal));
    }
    Ok(exit_of(&summary))
}

fn in_words(proposal: &Proposal) -> String {
    match proposal {
        Proposal::Opened(request) if request.reused => {
            format!(
                "pull request {} was already open and now contains the new patches\n",
                request.url
            )
        }
        Proposal::Opened(request) => format!("pull request {} is open\n", request.url),
        Proposal::Skipped(why) => format!("no pull request: {why}\n"),
        Proposal::Failed(error) => {
            format!(
                "warning: could not open a pull request: {}\n",
                greenloop_model::error_chain(error)
            )
        }
    }
}

/// What to verify.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    #[command(flatten)]
    bell: BellArgs,
}

pub(super) fn verify(args: VerifyArgs) -> Result<Exit, CommandError> {
    let VerifyArgs { environment, config, output, bell } = args;
    run(RunArgs {
        environment,
        config,
        max_iterations: None,
        verify_only: true,
        dry_run: false,
        resume: None,
        output,
        bell,
        debug: false,
        yes: false,
    })
}
