//! `greenloop sandbox`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::error::CommandError;
use super::{block_on, output, terminal};
use crate::app::{self, SandboxRequest};
use greenloop_exec::sandbox::Level;
use greenloop_model::Exit;

/// A level that a command can be run at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelChoice {
    /// Namespaces (bubblewrap), Landlock and seccomp
    #[value(name = "A")]
    A,
    /// Landlock and seccomp
    #[value(name = "B")]
    B,
}

/// How to run it.
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Exactly this level [default: the strongest one that the machine has]
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true)]
    level: Option<LevelChoice>,
    /// Let it use the network
    #[arg(long)]
    network: bool,
    /// Let it inherit this variable, or all that begin so when it ends in `*`
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// Let it write to this folder, too
    #[arg(long, value_name = "DIR")]
    cache: Vec<PathBuf>,
    /// MiB of memory that it and all it starts may use together
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(6..))]
    memory: Option<u64>,
    /// The configuration whose `sandbox` section holds [default: greenloop.yaml or config.yaml at the
    /// repository's root, where there is one]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The command, after `--`; without one, what this machine has is printed
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn sandbox(args: SandboxArgs) -> Result<ExitCode, CommandError> {
    let SandboxArgs { level, network, env, cache, memory, config, command } = args;
    if command.is_empty() {
        return describe();
    }
    let cache = cache.iter().map(std::path::absolute).collect::<Result<_, _>>();
    let request = SandboxRequest {
        directory: terminal::current_directory()?,
        config,
        level: level.map(|level| match level {
            LevelChoice::A => Level::A,
            LevelChoice::B => Level::B,
        }),
        network,
        env_names: env,
        cache: cache.map_err(|e| CommandError::usage("--cache is no folder").because(e))?,
        memory: memory.map(|mebibytes| mebibytes << 20),
        timeout: None,
        command,
        env: terminal::environment(),
    };
    let mut stdout = std::io::stdout();
    let mut print = move |bytes: &[u8]| {
        let _closed_pipe = stdout.write_all(bytes).and_then(|()| stdout.flush());
    };
    let (level, outcome) = block_on(async {
        app::run_in_sandbox(request, &mut print, terminal::cancel_on_signals()).await
    })??;
    let mut notes = Vec::new();
    if let Some(limit) = &outcome.exceeded {
        notes.push(format!("ended for going over a limit: {limit}"));
    }
    if outcome.leftovers > 0 {
        notes.push(format!("{} processes were left and were killed", outcome.leftovers));
    }
    for path in &outcome.put_back {
        notes.push(format!("put back: {}", path.display()));
    }
    let code = match &outcome.exit {
        Exit::Code(code) => u8::try_from(*code).unwrap_or(1),
        Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        Exit::TimedOut(_) => 124,
        Exit::NotStarted(reason) => {
            return Err(CommandError::infrastructure(format!(
                "the command could not be started at level {level}: {reason}"
            )));
        }
    };
    for note in notes {
        output::tell(&format!("greenloop: {note}\n"));
    }
    Ok(ExitCode::from(code))
}

fn describe() -> Result<ExitCode, CommandError> {
    let probe = app::sandbox_probe();
    let mut text = format!("level {} ({})\n", probe.level, probe.level.parts());
    for reason in probe.reasons() {
        text.push_str(&format!("  {reason}\n"));
    }
    if let Some(program) = &probe.bubblewrap {
        text.push_str(&format!("  bubblewrap: {}\n", program.display()));
    }
    match probe.landlock {
        0 => text.push_str("  Landlock: none\n"),
        version => text.push_str(&format!("  Landlock: version {version}\n")),
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
