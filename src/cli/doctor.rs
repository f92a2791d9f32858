//! `greenloop doctor`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::error::{CommandError, Exit};
use super::{block_on, output, terminal};
use crate::app::{self, Health};

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Look at what this environment needs, too
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
    let mut text = String::new();
    let mut worst = Exit::Ok;
    for check in &checks {
        let (mark, color) = match check.health {
            Health::Ok => ("ok", AnsiColor::Green),
            Health::Warning => ("look", AnsiColor::Yellow),
            Health::Missing => ("missing", AnsiColor::Red),
        };
        if check.health == Health::Missing {
            worst = Exit::NeedsPerson;
        }
        let style = Style::new().fg_color(Some(color.into()));
        let found = crate::report::safe_text::safe(&check.found);
        let _infallible = writeln!(text, "{style}{mark:<8}{style:#} {:<14} {found}", check.what);
        if let Some(remedy) = &check.remedy {
            let _infallible = writeln!(text, "{:<24}{remedy}", "");
        }
    }
    output::print(&text)?;
    Ok(worst)
}
