//! `greenloop heal`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::bell::BellArgs;
use super::command_args::CommandArgs;
use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::sandbox_choice::Weakest;
use super::{block_on, completions, terminal};
use crate::app::{self, HealRequest, WrittenBundle};
use greenloop_model::{Invocation, runs_nothing, shell_word};

/// What to heal.
#[derive(Debug, Args)]
pub(super) struct HealArgs {
    /// Stop after this many iterations [default: from the configuration, otherwise 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_iterations: Option<u32>,
    /// Leave the fix in the work tree (the default)
    #[arg(long, conflicts_with = "branch")]
    apply: bool,
    /// Leave the fix only on the branch greenloop/<run>; do not change the work tree
    #[arg(long)]
    branch: bool,
    /// Write the fix into this file, signed with the key of GREENLOOP_AUDIT_KEY(_FILE), for another
    /// job to accept (greenloop accept); do not change the work tree
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "branch"])]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    own: CommandArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    #[command(flatten)]
    bell: BellArgs,
    /// Show all that is known of a failure, and write a debug log of Greenloop itself to
    /// logs/orchestrator_<date>.log
    #[arg(long)]
    debug: bool,
    /// Confirm where the policy asks for a person; cannot override what the policy forbids
    #[arg(short, long)]
    yes: bool,
    /// Remove the fix of a run from the work tree; without RUN, that of the last run
    #[arg(
        long,
        value_name = "RUN",
        num_args = 0..=1,
        add = ArgValueCandidates::new(completions::runs),
        conflicts_with_all = ["apply", "branch", "bundle", "timeout", "max_iterations", "command", "yes"]
    )]
    undo: Option<Option<String>>,
    /// The command that fails, after `--`
    #[arg(
        required_unless_present = "undo",
        last = true,
        value_name = "COMMAND",
        add = ArgValueCandidates::new(completions::gate_commands)
    )]
    command: Vec<OsString>,
}

pub(super) fn heal(args: HealArgs) -> Result<Exit, CommandError> {
    let HealArgs {
        max_iterations,
        apply: _,
        branch,
        bundle,
        own,
        output,
        bell,
        debug,
        yes,
        undo,
        command,
    } = args;
    if let Some(run) = undo {
        return take_back(run.as_deref());
    }
    let command_line = shell_line(&command)?;
    if runs_nothing(&command_line) {
        return Err(CommandError::usage("no command after `--`")
            .hint("add the failing command: greenloop heal -- cargo test")
            .hint("a variable in it may be empty: the shell has already expanded it"));
    }
    let mut arguments = "heal".to_owned();
    if branch {
        arguments.push_str(" --branch");
    }
    if let Some(file) = &bundle {
        arguments.push_str(&format!(" --bundle {}", shell_word(&file.to_string_lossy())));
    }
    let own = own.absolute()?;
    arguments.push_str(&own.flags());
    terminal::note_second_configuration(own.config.as_ref());
    let directory = terminal::current_directory()?;
    let invocation = Invocation {
        program: terminal::program(),
        git: git_at_root(&directory),
        arguments,
        tail: match command.as_slice() {
            [_] => format!(" -- {}", shell_word(&command_line)),
            _ => format!(" -- {command_line}"),
        },
        options: String::new(),
    };
    let request = HealRequest {
        directory,
        command: command_line,
        timeout: own.timeout(),
        config: own.config,
        max_iterations,
        max_tokens: None,
        max_cost_usd: None,
        network: own.network,
        sandbox: own.sandbox.map(Weakest::level),
        cache: own.cache,
        env_names: own.env,
        branch,
        bundle: bundle.clone(),
        copies: super::work_folder(None, "greenloop/heal").ok(),
        debug,
        approval: terminal::approval(yes),
        env: terminal::environment(),
        invocation,
    };
    let (summary, written) = block_on(async {
        let cancel = terminal::cancel_on_signals();
        let (reporters, _keys) = output::reporters_and_keys(output, bell, debug, &cancel);
        app::heal(request, reporters, cancel).await
    })??;
    if let Some(bundle) = &bundle {
        for name in app::push_credentials(&terminal::environment()) {
            output::tell(&format!(
                "warning: this job holds {name}, with which it could push: a job that makes a \
                 bundle needs no such credential\n"
            ));
        }
        output::tell(&about_bundle(bundle, written.as_ref()));
    }
    Ok(exit_of(&summary))
}

fn about_bundle(file: &Path, written: Option<&WrittenBundle>) -> String {
    let Some(WrittenBundle { file, sha256, key }) = written else {
        return format!("there is no patch to hand on: {} was not written\n", file.display());
    };
    let name = shell_word(&file.to_string_lossy());
    format!(
        "the bundle {} is written (sha256 {sha256})\n  accept it in another job: greenloop accept \
         {name} --key '{key}'\n",
        file.display()
    )
}

fn take_back(run: Option<&str>) -> Result<Exit, CommandError> {
    let (run, files) = app::undo(&terminal::current_directory()?, run)?;
    let run = run.short();
    if files.is_empty() {
        let message =
            format!("nothing was removed: no line of the fix of run {run} is in this work tree");
        return Err(CommandError::person(message)
            .hint("it may be on another branch, stashed, or removed by hand")
            .hint("`greenloop heal --undo RUN` removes the fix of another run"));
    }
    let names: Vec<String> = files.iter().map(ToString::to_string).collect();
    output::print(&format!("removed the fix of run {run}: {}\n", names.join(", ")))?;
    Ok(Exit::Ok)
}

/// `git`, such that it works on the whole repository: `git apply` passes over what lies outside
/// the folder it is called in.
pub(super) fn git_at_root(directory: &Path) -> String {
    match greenloop_workspace::work_tree_root(directory) {
        Some(root) if directory.canonicalize().is_ok_and(|here| here != root) => {
            format!("git -C {}", shell_word(&root.to_string_lossy()))
        }
        Some(_) | None => "git".to_owned(),
    }
}

/// One argument is a shell line (`heal -- 'make && make test'`); several are a command whose
/// arguments are quoted, so that the shell sees just what was given.
pub(super) fn shell_line(command: &[OsString]) -> Result<String, CommandError> {
    let texts = command
        .iter()
        .map(|part| {
            part.to_str().ok_or_else(|| {
                CommandError::usage(format!("the command is not valid UTF-8: {}", part.display()))
                    .hint("write it to a script and heal the script")
            })
        })
        .collect::<Result<Vec<&str>, _>>()?;
    Ok(match texts.as_slice() {
        [line] => (*line).to_owned(),
        words => words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_words_reach_the_shell_as_they_are() {
        for (words, expect) in [
            (vec!["cargo", "test"], "cargo test"),
            (vec!["make && make test"], "make && make test"),
            (vec!["sh", "-c", "exit 3"], "sh -c 'exit 3'"),
            (vec!["echo", "it's", ""], r"echo 'it'\''s' ''"),
        ] {
            let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
            assert_eq!(shell_line(&words).unwrap(), expect);
        }
    }
}
