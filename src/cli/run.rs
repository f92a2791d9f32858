//! `greenloop run` and `greenloop verify`.

use std::path::PathBuf;

use clap::Args;

use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, terminal};
use crate::app::{self, Proposal, RunRequest};

/// What to run.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The environment, as config.yaml names it; may be left out when there is only one
    #[arg(short, long, value_name = "ENV")]
    environment: Option<String>,
    /// The configuration file [default: config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Stop after this many iterations, whatever the configuration says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_iterations: Option<u32>,
    /// Only run the smoke tests against what is deployed; heal and deploy nothing
    #[arg(long)]
    verify_only: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Resume this run, whose process died before its end (greenloop audit list)
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    /// Log in detail what Greenloop itself does (to logs/orchestrator_<date>.log)
    #[arg(long)]
    debug: bool,
    /// Answer yes wherever the policy or the environment wants a person; never overrides what
    /// the policy forbids
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
        debug,
        yes,
    } = args;
    let directory = terminal::current_directory()?;
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let resume = match resume {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| {
            CommandError::usage(format!("--resume: {error}"))
                .hint("greenloop audit list shows the runs")
        })?),
    };
    let command = if verify_only { "verify " } else { "" };
    let flags = max_iterations.map_or_else(String::new, |n| format!(" --max-iterations {n}"));
    let invocation = terminal::invocation(command, &environment, config.as_ref(), &flags);
    let request = RunRequest {
        directory,
        environment,
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
        let text = block_on(app::describe(&request))??;
        output::print_rows(&greenloop_report::safe_text::safe(&text))?;
        return Ok(Exit::Ok);
    }
    let (summary, proposal) = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::run(request, output::reporters(output), cancel).await
    })??;
    if let Some(proposal) = proposal {
        // Beside the events, which have had their end.
        output::tell(&in_words(&proposal));
    }
    Ok(exit_of(&summary))
}

fn in_words(proposal: &Proposal) -> String {
    match proposal {
        Proposal::Opened(request) if request.reused => {
            format!("pull request {} was open already and has the new patches\n", request.url)
        }
        Proposal::Opened(request) => format!("pull request {} is open\n", request.url),
        Proposal::Skipped(why) => format!("no pull request: {why}\n"),
        Proposal::Failed(error) => {
            format!(
                "warning: no pull request could be opened: {}\n",
                greenloop_model::error_chain(error)
            )
        }
    }
}

/// What to verify.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The environment, as config.yaml names it; may be left out when there is only one
    #[arg(short, long, value_name = "ENV")]
    environment: Option<String>,
    /// The configuration file [default: config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
}

pub(super) fn verify(args: VerifyArgs) -> Result<Exit, CommandError> {
    let VerifyArgs { environment, config, output } = args;
    run(RunArgs {
        environment,
        config,
        max_iterations: None,
        verify_only: true,
        dry_run: false,
        resume: None,
        output,
        debug: false,
        yes: false,
    })
}
