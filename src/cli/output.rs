//! Which reporters a command gets, and plain printing.

use std::io::{IsTerminal, Write as _};

use clap::ValueEnum;

use super::error::CommandError;
use crate::report::{self, Boxed, Output};

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

impl OutputChoice {
    fn resolve(self, terminal: bool) -> Output {
        match self {
            Self::Auto if std::env::var_os("TF_BUILD").is_some() => Output::Azure,
            Self::Auto if terminal => Output::Human,
            Self::Auto | Self::Plain => Output::Plain,
            Self::Human => Output::Human,
            Self::Json => Output::Json,
            Self::Azure => Output::Azure,
        }
    }
}

/// The reporters for the chosen output. With JSON, stdout carries only events and the text for
/// people goes to stderr.
pub(super) fn reporters(choice: OutputChoice) -> Vec<Boxed> {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    match choice.resolve(terminal) {
        Output::Plain => vec![report::plain(stdout)],
        Output::Human => {
            vec![report::human(stdout, terminal && colour_is_wanted(), terminal)]
        }
        Output::Json => {
            // Results only: the output of gates stands in the records.
            vec![report::json(stdout), report::human(std::io::stderr(), false, false)]
        }
        Output::Azure => vec![report::azure(stdout)],
    }
}

fn colour_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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

/// Tells a person something beside what stdout carries. A reader that went away is not an error.
pub(super) fn tell(text: &str) {
    let safe = crate::report::safe_text::safe(text);
    let _closed_pipe = anstream::stderr().write_all(safe.as_bytes());
}

/// Prints a JSON value on stdout, indented, with a final newline.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), CommandError> {
    print(&format!("{value:#}\n"))
}
