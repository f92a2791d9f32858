//! `greenloop doctor`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit};
use super::{block_on, completions, output, terminal};
use crate::app::{self, Health};
use greenloop_report::Mark;

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Also check what this environment needs [default: the only environment of the configuration]
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

pub(super) fn doctor(args: DoctorArgs) -> Result<Exit, CommandError> {
    let DoctorArgs { environment, config } = args;
    let here = terminal::current_directory()?;
    let env = terminal::environment();
    let checks = block_on(app::doctor(&here, environment.as_deref(), config.as_ref(), &env))?;
    let (width, paint) = (output::width(), output::paint());
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
        let row =
            greenloop_report::check_row(mark, &check.what, &check.found, remedy, width, paint);
        text.push_str(&row);
    }
    output::print_content(&text)?;
    Ok(worst)
}
