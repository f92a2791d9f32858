//! Which reporters a command gets, and plain printing.

use std::io::{IsTerminal, Write as _};
use std::path::Path;

use clap::ValueEnum;

use super::error::CommandError;
use crate::report::{self, Reporter};

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputChoice {
    /// azure in an Azure DevOps pipeline, human on a terminal, plain elsewhere
    Auto,
    /// Colour, live progress, a summary
    Human,
    /// The same text without colour and movement
    Plain,
    /// One JSON object a line on stdout
    Json,
    /// Azure DevOps logging commands
    Azure,
}

/// The reporters for the chosen output. With JSON, stdout carries only events and the text for
/// people goes to stderr.
pub(super) fn reporters(choice: OutputChoice, folder: &Path) -> Vec<Box<dyn Reporter + Send>> {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let choice = match choice {
        OutputChoice::Auto if std::env::var_os("TF_BUILD").is_some() => OutputChoice::Azure,
        OutputChoice::Auto if terminal => OutputChoice::Human,
        OutputChoice::Auto => OutputChoice::Plain,
        chosen => chosen,
    };
    match choice {
        OutputChoice::Auto | OutputChoice::Plain => vec![report::plain(Box::new(stdout))],
        OutputChoice::Human => {
            let color = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            vec![report::human(Box::new(stdout), color, terminal)]
        }
        OutputChoice::Json => vec![
            report::json(Box::new(stdout)),
            report::plain(Box::new(std::io::stderr())),
        ],
        OutputChoice::Azure => vec![report::azure(Box::new(stdout), folder)],
    }
}

/// Prints `text` on stdout. A reader that went away is not an error.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CommandError::infrastructure("failed to write to stdout").because(error)),
    }
}

/// Prints a JSON value on stdout, indented, with a final newline.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), CommandError> {
    print(&format!("{value:#}\n"))
}
