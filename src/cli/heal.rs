//! `greenloop heal`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::TypedValueParser as _;

use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::sandbox_choice::Weakest;
use super::{block_on, terminal};
use crate::app::{self, HealRequest};
use greenloop_model::{Invocation, runs_nothing, shell_word};

/// What to heal.
#[derive(Debug, Args)]
pub(super) struct HealArgs {
    /// Stop after this many iterations [default: what the configuration says, or 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_iterations: Option<u32>,
    /// The configuration whose agents, limits and policy hold; '' for none [default: config.yaml
    /// at the repository's root, where there is one]
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "GREENLOOP_CONFIG",
        hide_env_values = true,
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from)
    )]
    config: Option<PathBuf>,
    /// Leave the fix in the work tree (the default)
    #[arg(long, conflicts_with = "branch")]
    apply: bool,
    /// Leave the fix only as commits on the branch greenloop/<run>; the work tree stays as it is
    #[arg(long)]
    branch: bool,
    /// Stop the command when it has run for this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Let the command use the network
    #[arg(long)]
    network: bool,
    /// The weakest sandbox that will do [default: what the configuration says, or B]
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true)]
    sandbox: Option<Weakest>,
    /// Let the command write to this folder, too
    #[arg(long, value_name = "DIR")]
    cache: Vec<PathBuf>,
    /// Let the command inherit this variable, or all that begin so when it ends in `*`
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    /// Log in detail what Greenloop itself does (to logs/orchestrator_<date>.log)
    #[arg(long)]
    debug: bool,
    /// Answer yes wherever the policy wants a person; never overrides what it forbids
    #[arg(short, long)]
    yes: bool,
    /// Take the fix of a run back out of the work tree; the last run's without RUN
    #[arg(
        long,
        value_name = "RUN",
        num_args = 0..=1,
        conflicts_with_all = ["apply", "branch", "timeout", "max_iterations", "command", "yes"]
    )]
    undo: Option<Option<String>>,
    /// The command that fails, after `--`
    #[arg(required_unless_present = "undo", last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn heal(args: HealArgs) -> Result<Exit, CommandError> {
    let HealArgs {
        max_iterations,
        config,
        apply: _,
        branch,
        timeout,
        network,
        sandbox,
        cache,
        env,
        output,
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
        return Err(CommandError::usage("there is no command after `--` to heal")
            .hint("give the one that fails: greenloop heal -- cargo test")
            .hint("a variable in it may be empty here: a shell has already put in its value"));
    }
    let mut arguments = "heal".to_owned();
    if branch {
        arguments.push_str(" --branch");
    }
    if let Some(seconds) = timeout {
        arguments.push_str(&format!(" --timeout {seconds}"));
    }
    if network {
        arguments.push_str(" --network");
    }
    if let Some(level) = sandbox {
        arguments.push_str(&format!(" --sandbox {}", level.name()));
    }
    let cache = cache.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>();
    let cache = cache.map_err(|e| CommandError::usage("--cache is no folder").because(e))?;
    for folder in &cache {
        let folder = shell_word(&folder.to_string_lossy());
        arguments.push_str(&format!(" --cache {folder}"));
    }
    for name in &env {
        arguments.push_str(&format!(" --env {}", shell_word(name)));
    }
    if let Some(config) = &config {
        let config = shell_word(&config.to_string_lossy());
        arguments.push_str(&format!(" --config {config}"));
    }
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
        config,
        max_iterations,
        timeout: timeout.map(std::time::Duration::from_secs),
        network,
        sandbox: sandbox.map(Weakest::level),
        cache,
        env_names: env,
        branch,
        copies: super::work_folder(None, "greenloop/heal").ok(),
        debug,
        approval: terminal::approval(yes),
        env: terminal::environment(),
        invocation,
    };
    let summary = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::heal(request, output::reporters(output), cancel).await
    })??;
    Ok(exit_of(&summary))
}

fn take_back(run: Option<&str>) -> Result<Exit, CommandError> {
    let (run, files) = app::undo(&terminal::current_directory()?, run)?;
    let run = run.short();
    if files.is_empty() {
        let message =
            format!("nothing was taken back: no line of the fix of run {run} is in this work tree");
        return Err(CommandError::person(message)
            .hint("is it on another branch, stashed, or taken out by hand?")
            .hint("greenloop heal --undo RUN takes the fix of another run back"));
    }
    let names: Vec<String> = files.iter().map(ToString::to_string).collect();
    output::print(&format!("took the fix of run {run} back: {}\n", names.join(", ")))?;
    Ok(Exit::Ok)
}

/// `git`, such that it works on the whole repository: `git apply` passes over what lies outside
/// the folder it is called in.
fn git_at_root(directory: &Path) -> String {
    match greenloop_workspace::work_tree_root(directory) {
        Some(root) if directory.canonicalize().is_ok_and(|here| here != root) => {
            format!("git -C {}", shell_word(&root.to_string_lossy()))
        }
        Some(_) | None => "git".to_owned(),
    }
}

/// One argument is a shell line (`heal -- 'make && make test'`); several are a command whose
/// arguments are quoted, so that the shell sees just what was given.
fn shell_line(command: &[OsString]) -> Result<String, CommandError> {
    let texts = command
        .iter()
        .map(|part| {
            part.to_str().ok_or_else(|| {
                CommandError::usage(format!("the command is not UTF-8: {}", part.display()))
                    .hint("put it into a script and heal the script")
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
