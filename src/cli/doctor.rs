//! `greenloop doctor`.

use std::path::PathBuf;

use clap::Args;

use super::error::{CommandError, Exit};
use super::{block_on, output, terminal};
use crate::app::{self, Health};
use greenloop_report::Mark;

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Look at what this environment needs, too; the only one of a configuration when it is left
    /// out
    #[arg(short, long, value_name = "ENV")]
    environment: Option<String>,
    /// The configuration file [default: config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

pub(super) fn doctor(args: DoctorArgs) -> Result<Exit, CommandError> {
    let DoctorArgs { environment, config } = args;
    let here = terminal::current_directory()?;
    let env = terminal::environment();
    let checks = block_on(app::doctor(&here, environment.as_deref(), config.as_ref(), &env))?;
    let width = output::width();
    let mut text = String::new();
    let mut worst = Exit::Ok;
    for check in &checks {
        let mark = match check.health {
            Health::Ok => (Mark::Good, "ok"),
            Health::Warning => (Mark::Warn, "look"),
            Health::Missing => (Mark::Bad, "missing"),
        };
        if check.health == Health::Missing {
            worst = Exit::NeedsPerson;
        }
        let remedy = check.remedy.as_deref();
        text.push_str(&greenloop_report::check_row(mark, &check.what, &check.found, remedy, width));
    }
    output::print(&text)?;
    Ok(worst)
}
