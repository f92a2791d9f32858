//! `greenloop config`.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::error::{CommandError, Exit};
use super::{output, terminal};
use crate::app;
use greenloop_config::Overrides;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Validate the file and every environment in it
    Check {
        /// The file [default: config.yaml at the repository's root]
        #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
        config: Option<PathBuf>,
    },
    /// Print its JSON Schema
    Schema,
    /// Print what it means for one environment, as a configuration with every default filled in
    Show {
        /// The environment; may be left out when there is only one
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        /// The file [default: config.yaml at the repository's root]
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
                    .map_err(|e| CommandError::usage("the policy cannot be used").because(e))?;
                names.push(name.to_string());
            }
            output::print(&format!(
                "{} is valid; environments: {}\n",
                shown(&path),
                names.join(", ")
            ))?;
        }
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
            let yaml = greenloop_config::to_yaml(&plan).map_err(|e| {
                CommandError::infrastructure("the plan cannot be printed").because(e)
            })?;
            output::print(&yaml)?;
        }
    }
    Ok(Exit::Ok)
}

fn path(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    if let Some(path) = given {
        return Ok(path);
    }
    let here = terminal::current_directory()?;
    Ok(greenloop_workspace::work_tree_root(&here)
        .unwrap_or(here)
        .join(greenloop_config::DEFAULT_NAME))
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.display().to_string())
}
