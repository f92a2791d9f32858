//! `greenloop` without a command.

use super::error::{CommandError, Exit};
use super::{block_on, output, terminal};
use crate::app::{self, Overview};

const OUTSIDE: &str = "\
This folder is in no git repository. In the repository of a service:

  greenloop init              find out what it is, and write a configuration
  greenloop heal -- COMMAND   repair one failing command

Anywhere:

  greenloop demo              the whole loop on a small broken service
  greenloop --help            all commands
";

const NOT_CONFIGURED: &str = "\
This repository has no configuration of Greenloop yet.

  greenloop init              find out what it is, and write a configuration
  greenloop heal -- COMMAND   repair one failing command; needs no configuration
  greenloop demo              the whole loop on a small broken service
  greenloop --help            all commands
";

pub(super) fn overview() -> Result<Exit, CommandError> {
    let here = terminal::current_directory()?;
    let env = terminal::environment();
    terminal::note_second_configuration(None);
    match block_on(app::overview(&here, &env))?? {
        Overview::NoRepository => output::print(OUTSIDE)?,
        Overview::NotConfigured => output::print(NOT_CONFIGURED)?,
        Overview::Configured(standing) => {
            output::print(&greenloop_report::safe_text::safe(&standing.text()))?;
        }
    }
    Ok(Exit::Ok)
}
