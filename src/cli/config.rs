//! `greenloop config`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit};
use super::{completions, output, terminal};
use crate::app;
use greenloop_config::Overrides;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Validate the file and all of its environments
    Check {
        /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
        #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
        config: Option<PathBuf>,
    },
    /// Print the JSON Schema of the configuration
    Schema,
    /// Show what brings the file to the current form; comments and layout are kept
    Migrate {
        /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
        #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
        config: Option<PathBuf>,
        /// Write the file
        #[arg(long)]
        write: bool,
    },
    /// Print the resolved configuration of one environment, with all defaults
    Show {
        /// Environment of the configuration; optional if there is only one
        #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
        environment: Option<String>,
        /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
        #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
        config: Option<PathBuf>,
    },
}

pub(super) fn config(command: ConfigCommand) -> Result<Exit, CommandError> {
    let env = terminal::environment();
    let lookup = |name: &str| env(name);
    match command {
        ConfigCommand::Schema => output::print_json(&greenloop_config::schema())?,
        ConfigCommand::Check { config } => {
            let path = path(config)?;
            let loaded = greenloop_config::load(&path)?;
            let mut names = Vec::new();
            for name in loaded.environments() {
                let plan = loaded.plan(name.as_str(), &Overrides::default(), &lookup)?;
                greenloop_policy::Policy::new(&plan.policy)
                    .map_err(|e| CommandError::usage("the policy is invalid").because(e))?;
                names.push(name.to_string());
            }
            output::print(&format!(
                "{} is valid; environments: {}\n",
                shown(&path),
                names.join(", ")
            ))?;
        }
        ConfigCommand::Migrate { config, write } => migrate(&path(config)?, write)?,
        ConfigCommand::Show { environment, config } => {
            let path = path(config)?;
            let loaded = greenloop_config::load(&path)?;
            let environment = match (environment, loaded.environments().as_slice()) {
                (Some(given), _) => given,
                (None, [only]) => only.to_string(),
                (None, several) => {
                    let names = several.iter().map(ToString::to_string).collect();
                    return Err(app::AppError::WhichEnvironment { names }.into());
                }
            };
            let plan = loaded.plan(&environment, &Overrides::default(), &lookup)?;
            let yaml = greenloop_config::to_yaml(&plan)
                .map_err(|e| CommandError::infrastructure("could not print the plan").because(e))?;
            output::print_content(&yaml)?;
        }
    }
    Ok(Exit::Ok)
}

fn migrate(path: &Path, write: bool) -> Result<(), CommandError> {
    let failed = |what: &str, error| {
        CommandError::infrastructure(format!("{} cannot be {what}", path.display())).because(error)
    };
    // Through the bounded reader, whose errors say what to do.
    greenloop_config::load(path)?;
    let before = std::fs::read_to_string(path).map_err(|error| failed("read", error))?;
    let migration = greenloop_config::migrate(&before, &path.to_string_lossy())?;
    if migration.changes.is_empty() {
        return output::print(&format!("{} has the current form\n", shown(path)));
    }
    for change in &migration.changes {
        output::tell(&format!("{}: {change}\n", shown(path)));
    }
    if write {
        std::fs::write(path, &migration.text).map_err(|error| failed("written", error))?;
        return output::print(&format!("wrote {}\n", shown(path)));
    }
    let file = greenloop_init::ProposedFile {
        path: shown(path),
        before: Some(before),
        text: migration.text,
    };
    output::print_diff(&greenloop_init::preview(&[file]))?;
    output::tell("nothing was written; --write writes it\n");
    Ok(())
}

fn path(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    if let Some(path) = given {
        return Ok(path);
    }
    terminal::note_second_configuration(None);
    let here = terminal::current_directory()?;
    let root = greenloop_workspace::work_tree_root(&here).unwrap_or(here);
    Ok(greenloop_config::locate(&root).path)
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.display().to_string())
}
