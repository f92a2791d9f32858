//! The command line: arguments in, exit code out.
//!
//! One file a command. Only here do errors become hints and exit codes ([`error`]), and only
//! here are the environment, the terminal and the current directory looked at.

mod accept;
mod approve;
mod audit;
mod bell;
mod command_args;
mod completions;
mod config;
mod demo;
mod doctor;
mod error;
mod explain;
mod heal;
mod hub;
mod init;
mod keys;
mod mcp;
mod output;
mod overview;
mod patch;
mod policy;
mod policy_report;
mod pr;
mod release;
mod run;
mod sandbox;
mod sandbox_choice;
mod snippet;
mod stop;
mod stream;
mod supervise;
mod tasks;
mod terminal;
mod watch;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub use error::{CommandError, Exit};

/// A self-healing deploy loop: from a commit to a verified deployment, repairing what blocks it.
#[derive(Debug, Parser)]
#[command(
    name = "greenloop",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
`greenloop --environment ENV` is the same as `greenloop run --environment ENV`.

Exit codes:
  0    verified (or healed)
  1    stopped, a person is needed
  2    usage or configuration
  3    infrastructure: engine, registry, cluster or model unreachable
  4    the deployment failed and the last good release was restored
  5    another run holds the environment
  130  cancelled"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a configuration for this repository, with gates that were run and passed
    Init(init::InitArgs),
    /// Deploy the current commit and verify it; repair what fails
    Run(run::RunArgs),
    /// Repair one failing command in a git repository; needs no configuration
    Heal(heal::HealArgs),
    /// Run a command and heal it, again whenever files are saved
    Watch(watch::WatchArgs),
    /// Verify the repair in a bundle of another job, evaluate it again, and commit it
    Accept(accept::AcceptArgs),
    /// List what waits for a person at a hub; approve or reject it
    Approve(approve::ApproveArgs),
    /// Run the gates of a pull request and offer a fix in it
    Pr(pr::PrArgs),
    /// Run the smoke tests against the deployed release
    Verify(run::VerifyArgs),
    /// Roll back to an earlier verified release
    Rollback(release::RollbackArgs),
    /// Show what is deployed, since when, and whether it is verified
    Status(release::StatusArgs),
    /// Stop what is deployed; releases are kept for a rollback
    #[command(visible_alias = "down")]
    Stop(stop::StopArgs),
    /// Print the log of what is deployed
    Logs(stop::LogsArgs),
    /// Read, verify and replay the audit logs of runs
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Extract the relevant lines of a build log
    Explain(explain::ExplainArgs),
    /// Apply a diff or a model's answer to the work tree, all or nothing
    #[command(subcommand)]
    Patch(patch::PatchCommand),
    /// Evaluate a patch against the policy, or explain one of its rules
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Validate or print the configuration, or print its schema
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check, show, simulate and submit graphs of tasks
    #[command(subcommand)]
    Tasks(tasks::TasksCommand),
    /// Run the hub that distributes tasks to workers, and manage its tokens
    #[command(subcommand)]
    Hub(hub::HubCommand),
    /// Work on the tasks of a hub
    Worker(worker::WorkerArgs),
    /// Report what is missing on this machine, and how to get it
    Doctor(doctor::DoctorArgs),
    /// Run a command as a gate is run, or say what sandbox this machine has
    Sandbox(sandbox::SandboxArgs),
    /// Run the whole loop on a small broken service: no account, no network
    Demo(demo::DemoArgs),
    /// Serve explain_log, check_patch, policy_check, run_status and audit_show to other agents (MCP)
    Mcp(mcp::McpArgs),
    /// Print the completion script of a shell
    Completions(completions::CompletionsArgs),
    /// Write the man pages
    Man(completions::ManArgs),
    /// Keep a release of the process target running (started by a rollout)
    #[command(hide = true)]
    Supervise(supervise::SuperviseArgs),
}

/// Parses `arguments`, does what they ask for and returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(exit) = completions::answer(&arguments) {
        return exit.into();
    }
    let parsed = Cli::try_parse_from(&arguments).or_else(|error| {
        // Options before a command are those of `run`; these two, many other commands have as well.
        let behind =
            options_behind(&arguments).filter(|_| error.kind() == ErrorKind::ArgumentConflict);
        behind.and_then(|arguments| Cli::try_parse_from(arguments).ok()).ok_or(error)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _closed_pipe = error.print();
            if error.kind() == ErrorKind::ArgumentConflict {
                output::tell("put the options of a command after it: greenloop COMMAND --OPTION\n");
            }
            let heals = arguments.get(1).is_some_and(|command| command == "heal");
            if heals && error.kind() == ErrorKind::UnknownArgument {
                output::tell("a command to heal stands behind `--`: greenloop heal -- COMMAND\n");
            }
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    // A supervisor keeps the services' environment, and is looked for by a mark in its own.
    if !matches!(cli.command, Some(Command::Supervise(_))) {
        greenloop_exec::hide_credentials();
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => error.report().into(),
    }
}

/// The same command line with `--environment` and `--config` behind the command that follows them;
/// `None` where nothing else stands before a command, or other options do.
fn options_behind(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let mut command = 1;
    loop {
        let option = arguments.get(command)?.to_str()?;
        command += match option {
            "-e" | "--environment" | "-c" | "--config" => 2,
            _ if option.starts_with("--environment=") || option.starts_with("--config=") => 1,
            _ if option.starts_with("-e") || option.starts_with("-c") => 1,
            _ => break,
        };
    }
    let (before, rest) = arguments.split_at_checked(command)?;
    let (program, options) = before.split_first()?;
    let (command, rest) = rest.split_first()?;
    let is_moved = !options.is_empty() && !command.to_str()?.starts_with('-');
    let all = [program, command].into_iter().chain(options).chain(rest);
    is_moved.then(|| all.cloned().collect())
}

fn dispatch(cli: Cli) -> Result<ExitCode, CommandError> {
    let Cli { command, run } = cli;
    let Some(command) = command else {
        if run.is_empty() {
            return Ok(overview::overview()?.into());
        }
        return Ok(run::run(run)?.into());
    };
    let exit = match command {
        Command::Init(args) => init::init(args),
        Command::Run(args) => run::run(args),
        Command::Heal(args) => heal::heal(args),
        Command::Watch(args) => watch::watch(args),
        Command::Accept(args) => accept::accept(args),
        Command::Approve(args) => approve::approve(args),
        Command::Pr(args) => pr::pr(args),
        Command::Verify(args) => run::verify(args),
        Command::Rollback(args) => release::rollback(args),
        Command::Status(args) => release::status(args),
        Command::Stop(args) => stop::stop(args),
        Command::Logs(args) => stop::logs(args),
        Command::Mcp(args) => mcp::mcp(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => completions::man(args),
        Command::Audit(command) => audit::audit(command),
        Command::Explain(args) => explain::explain(args),
        Command::Patch(command) => patch::patch(command),
        Command::Policy(command) => policy::policy(command),
        Command::Config(command) => config::config(command),
        Command::Tasks(command) => tasks::tasks(command),
        Command::Hub(command) => hub::hub(command),
        Command::Worker(args) => worker::worker(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Demo(args) => demo::demo(args),
        // Exits with what the command exits with.
        Command::Sandbox(args) => return sandbox::sandbox(args),
        Command::Supervise(args) => supervise::supervise(args),
    };
    Ok(exit?.into())
}

/// The folder in `given`, or the one called `name` where programs keep what can be made again.
fn work_folder(given: Option<PathBuf>, name: &str) -> Result<PathBuf, CommandError> {
    if let Some(given) = given {
        return std::path::absolute(&given)
            .map_err(|e| CommandError::usage("--work is not a folder").because(e));
    }
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join(name))
        .ok_or_else(|| {
            CommandError::usage("neither XDG_CACHE_HOME nor HOME is set").hint(
                "set a \
            folder with --work",
            )
        })
}

/// A runtime for the commands that wait for something.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    block_on_threads(2, future)
}

/// The same with as many threads as there are processors, for those that serve others.
fn block_on_all_processors<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    block_on_threads(std::thread::available_parallelism().map_or(2, usize::from), future)
}

fn block_on_threads<T>(threads: usize, future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|e| {
            CommandError::infrastructure("failed to start the async runtime").because(e)
        })?;
    let result = runtime.block_on(future);
    // A terminal read that nobody answers must not keep the program.
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn describe(command: &mut clap::Command, page: &mut String) {
        let title = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
        for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
            describe(sub, page);
        }
    }

    #[test]
    fn environment_and_configuration_may_stand_before_the_command() {
        for (line, expect) in [
            ("greenloop -e staging run", Some("greenloop run -e staging")),
            (
                "greenloop -c c.yaml --environment=staging status --json",
                Some("greenloop status -c c.yaml --environment=staging --json"),
            ),
            ("greenloop -estaging heal -- make", Some("greenloop heal -estaging -- make")),
            ("greenloop --yes -e staging run", None),
            ("greenloop run -e staging", None),
            ("greenloop -e staging --yes", None),
            ("greenloop -e staging", None),
            ("greenloop -e", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let moved = options_behind(&words);
            let moved = moved.map(|words| words.join(" ".as_ref()).into_string().unwrap());
            assert_eq!(moved.as_deref(), expect, "{line}");
        }
        let moved = options_behind(&["greenloop", "-e", "a", "run"].map(OsString::from)).unwrap();
        let Some(Command::Run(_)) = Cli::try_parse_from(moved).unwrap().command else {
            panic!("no run")
        };
    }

    /// `GREENLOOP_UPDATE=1 cargo test --lib cli::` writes it again.
    #[test]
    fn the_reference_says_what_the_help_says() {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut page = String::from(
            "# Command line\n\nMade from the help texts; `just generate` writes it again.\n",
        );
        describe(&mut command, &mut page);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
        if std::env::var_os("GREENLOOP_UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/cli.md is out of date: just generate");
    }
}
