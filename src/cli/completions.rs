//! `greenloop completions` and `greenloop man`, and what is completed from the repository.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use serde_json::Value;

use super::error::{CommandError, Exit};
use super::terminal;
use crate::app::runs_folder;

/// Set by the scripts that shells load: which shell asks.
const VARIABLE: &str = "GREENLOOP_COMPLETE";
const NAME: &str = "greenloop";
/// Newest runs that are offered.
const MOST_RUNS: usize = 50;

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell to print the script for
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    Pwsh,
}

/// Where man pages are written.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Folder to write a page for each command into
    dir: PathBuf,
}

/// Answers a shell that asks for completions; `None` when none does.
pub(super) fn answer(arguments: &[OsString]) -> Option<Exit> {
    std::env::var_os(VARIABLE)?;
    let here = std::env::current_dir().ok();
    let completed = CompleteEnv::with_factory(super::Cli::command)
        .var(VARIABLE)
        .bin(NAME)
        .completer(NAME)
        .try_complete(arguments.iter().cloned(), here.as_deref());
    match completed {
        Ok(true) => Some(Exit::Ok),
        Ok(false) => None,
        Err(error) => {
            let _closed_pipe = error.print();
            Some(Exit::Usage)
        }
    }
}

pub(super) fn completions(args: CompletionsArgs) -> Result<Exit, CommandError> {
    let CompletionsArgs { shell } = args;
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Pwsh => "powershell",
    };
    let failed =
        |error| CommandError::infrastructure("the script cannot be written").because(error);
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells
        .completer(name)
        .ok_or_else(|| CommandError::usage(format!("no completions for {name}")))?;
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script).map_err(failed)?;
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}

pub(super) fn man(args: ManArgs) -> Result<Exit, CommandError> {
    let ManArgs { dir } = args;
    let write = || {
        std::fs::create_dir_all(&dir)?;
        clap_mangen::generate_to(super::Cli::command(), &dir)
    };
    write().map_err(|error| {
        CommandError::infrastructure(format!("man pages cannot be written to {}", dir.display()))
            .because(error)
    })?;
    Ok(Exit::Ok)
}

fn root() -> Option<PathBuf> {
    let here = terminal::current_directory().ok()?;
    Some(greenloop_workspace::work_tree_root(&here).unwrap_or(here))
}

fn config() -> Option<greenloop_config::Config> {
    let named = std::env::var_os("GREENLOOP_CONFIG").map(PathBuf::from);
    let path = named.or_else(|| Some(greenloop_config::locate(&root()?).path))?;
    greenloop_config::load(&path).ok()
}

/// The environments of the configuration.
pub(super) fn environments() -> Vec<CompletionCandidate> {
    let config = config();
    let names = config.iter().flat_map(greenloop_config::Config::environments);
    names.map(|name| CompletionCandidate::new(name.to_string())).collect()
}

/// The runs, the newest first, with what they were for and how they ended.
pub(super) fn runs() -> Vec<CompletionCandidate> {
    let Some(root) = root() else { return Vec::new() };
    let mut listings = greenloop_audit::list(&runs_folder(&root));
    listings.sort_by_key(|run| std::cmp::Reverse(run.run));
    let newest = listings.into_iter().take(MOST_RUNS).enumerate();
    newest
        .map(|(place, run)| {
            let title = run.title.unwrap_or_default();
            let outcome = run.outcome.unwrap_or_else(|| "no end".to_owned());
            let help = greenloop_report::safe_text::safe(&format!("{title}: {outcome}"));
            CompletionCandidate::new(run.run.to_string())
                .help(Some(help.into()))
                .display_order(Some(place))
        })
        .collect()
}

/// The releases that are remembered on this machine.
pub(super) fn releases() -> Vec<CompletionCandidate> {
    let Some(root) = root() else { return Vec::new() };
    let Ok(workspace) = greenloop_workspace::Workspace::open(&root) else { return Vec::new() };
    let targets = workspace.git_dir().join("greenloop").join("targets");
    let environments = std::fs::read_dir(targets).into_iter().flatten().flatten();
    environments.flat_map(|environment| releases_in(&environment.path())).collect()
}

fn releases_in(folder: &Path) -> Vec<CompletionCandidate> {
    let environment = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let states = [folder.join("state.json"), folder.join("docker").join("state.json")];
    let mut found = Vec::new();
    for text in states.iter().filter_map(|path| std::fs::read(path).ok()) {
        let Ok(state) = serde_json::from_slice::<Value>(&text) else { continue };
        for release in state["releases"].as_array().into_iter().flatten() {
            let Some(id) = release["id"].as_str() else { continue };
            let help = format!("{environment}, {}", release["state"].as_str().unwrap_or_default());
            found.push(CompletionCandidate::new(id).help(Some(help.into())));
        }
    }
    found
}

/// The commands of the gates: what one heals.
pub(super) fn gate_commands() -> Vec<CompletionCandidate> {
    let Some(config) = config() else { return Vec::new() };
    let Some(first) = config.environments().first().map(ToString::to_string) else {
        return Vec::new();
    };
    let plan = config.plan(&first, &Default::default(), &|_| None);
    let gates = plan.map(|plan| plan.gates).unwrap_or_default();
    let candidate = |gate: greenloop_config::plan::GatePlan| {
        CompletionCandidate::new(gate.command).help(Some(format!("the gate {}", gate.name).into()))
    };
    gates.into_iter().map(candidate).collect()
}

/// The rules of the policy.
pub(super) fn rules() -> Vec<CompletionCandidate> {
    let rules = greenloop_policy::Policy::rules().iter();
    rules
        .map(|rule| CompletionCandidate::new(&rule.id).help(Some(rule.what.clone().into())))
        .collect()
}
