//! `greenloop accept`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::command_args::CommandArgs;
use super::error::{CommandError, Exit, exit_of};
use super::heal::{git_at_root, shell_line};
use super::output::{self, OutputChoice};
use super::sandbox_choice::Weakest;
use super::{block_on, terminal};
use crate::app::{self, AcceptRequest, Accepted, Proposal, Pushed};
use greenloop_audit::VerifyingKey;
use greenloop_model::{Invocation, StopReason, error_chain, shell_word};

/// What to accept.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// The bundle that `greenloop heal --bundle` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The key that must have signed it, as greenloop audit keygen printed it
    #[arg(long, value_name = "KEY", env = "GREENLOOP_BUNDLE_KEY", hide_env_values = true)]
    key: VerifyingKey,
    /// Do not run the command again: trust what the bundle says of its tests
    #[arg(long)]
    no_rerun: bool,
    /// Commit on the branch greenloop/<run> only; HEAD stays where it is
    #[arg(long)]
    branch: bool,
    /// Push the branch greenloop/<run>, and open a pull request where the configuration has
    /// `pull_request`
    #[arg(long)]
    push: bool,
    #[command(flatten)]
    own: CommandArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    /// Write a debug log of Greenloop itself to logs/orchestrator_<date>.log
    #[arg(long)]
    debug: bool,
    /// Confirm where the policy asks for a person; cannot override what the policy forbids
    #[arg(short, long)]
    yes: bool,
    /// The command that the bundle must be a repair of, after `--` [default: whichever it says]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn accept(args: AcceptArgs) -> Result<Exit, CommandError> {
    let AcceptArgs { file, key, no_rerun, branch, push, own, output, debug, yes, command } = args;
    let command = match command.as_slice() {
        [] => None,
        words => Some(shell_line(words)?),
    };
    let own = own.absolute()?;
    let directory = terminal::current_directory()?;
    let name = shell_word(&file.to_string_lossy());
    let mut arguments = format!("accept {name} --key {key}{}", own.flags());
    for (flag, given) in [(" --no-rerun", no_rerun), (" --branch", branch), (" --push", push)] {
        if given {
            arguments.push_str(flag);
        }
    }
    let invocation = Invocation {
        program: terminal::program(),
        git: git_at_root(&directory),
        arguments,
        tail: command.as_ref().map_or_else(String::new, |line| format!(" -- {}", shell_word(line))),
        options: String::new(),
    };
    if no_rerun {
        output::tell(
            "warning: NOTHING IS RUN AGAIN (--no-rerun): that the command fails without the patch \
             and passes with it is the bundle's word alone\n",
        );
    }
    let request = AcceptRequest {
        directory,
        file,
        key,
        command,
        rerun: !no_rerun,
        branch,
        push,
        timeout: own.timeout(),
        config: own.config,
        network: own.network,
        sandbox: own.sandbox.map(Weakest::level),
        cache: own.cache,
        env_names: own.env,
        debug,
        approval: terminal::approval(yes),
        env: terminal::environment(),
        invocation,
    };
    let accepted = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::accept(request, output::reporters(output), cancel).await
    })??;
    output::tell(&in_words(&accepted, branch));
    Ok(exit(&accepted))
}

fn exit(accepted: &Accepted) -> Exit {
    match (&accepted.commit, &accepted.pushed) {
        (Some(_), Some(Pushed::Proposed(Proposal::Failed(_)))) => Exit::Infrastructure,
        (Some(_), _) => Exit::Ok,
        // It passes as it is: there was nothing to accept, which is not what was asked for.
        (None, _) if accepted.summary.stop == StopReason::Verified => Exit::NeedsPerson,
        (None, _) => exit_of(&accepted.summary),
    }
}

fn in_words(accepted: &Accepted, branch_only: bool) -> String {
    let Accepted { summary, commit, branch, origin, other_policy, pushed } = accepted;
    let origin = origin.short();
    let Some(commit) = commit else {
        return match summary.stop {
            StopReason::Verified => format!(
                "the bundle of run {origin} is refused: the command passes here without its patch; \
                 nothing was committed\n"
            ),
            _ => format!("the bundle of run {origin} is not accepted; nothing was committed\n"),
        };
    };
    let place = if branch_only {
        format!("on the branch {branch}")
    } else {
        format!("on HEAD and the branch {branch}")
    };
    let mut text =
        format!("the repair of run {origin} is accepted: commit {} {place}\n", commit.short());
    if *other_policy {
        text.push_str(
            "note: the rules here are not those of the job that made it; these here decided\n",
        );
    }
    match pushed {
        None => {}
        Some(Pushed::Branch) => text.push_str(&format!("the branch {branch} is pushed\n")),
        Some(Pushed::Proposed(Proposal::Opened(request))) => {
            text.push_str(&format!("pull request {} has it\n", request.url));
        }
        Some(Pushed::Proposed(Proposal::Skipped(why))) => {
            text.push_str(&format!("no pull request: {why}\n"));
        }
        Some(Pushed::Proposed(Proposal::Failed(error))) => {
            let why = error_chain(error);
            text.push_str(&format!("warning: no pull request could be opened: {why}\n"));
        }
    }
    text
}
