//! Which reporters a command gets, and plain printing.

use std::io::Write as _;

use clap::ValueEnum;

use super::error::CommandError;
use super::stream::StreamInfo;
use greenloop_report::{Boxed, Output, Screen, safe_text};

/// How a run is reported.
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
    fn resolve(self, stream: StreamInfo) -> Output {
        match self {
            Self::Auto if stream.pipeline => Output::Azure,
            Self::Auto if stream.terminal || stream.forced => Output::Human,
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
    let stream = StreamInfo::of(&stdout);
    match choice.resolve(stream) {
        Output::Plain => vec![greenloop_report::plain(stdout)],
        Output::Human => {
            vec![greenloop_report::human(stdout, stream.color, stream.screen())]
        }
        Output::Json => {
            // Results only: the output of gates stands in the records.
            vec![
                greenloop_report::json(stdout),
                greenloop_report::human(std::io::stderr(), false, Screen::None),
            ]
        }
        Output::Azure => vec![greenloop_report::azure(stdout)],
    }
}

/// Columns that text on stdout is wrapped at.
pub(super) fn width() -> usize {
    StreamInfo::of(&std::io::stdout()).width().unwrap_or_else(greenloop_report::columns)
}

/// Prints `text` on stdout, with every command for a build agent in it broken. A reader that went
/// away is not an error.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    write(&safe_text::harmless(text))
}

fn write(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CommandError::infrastructure("failed to write to stdout").because(error)),
    }
}

/// Prints rows on stdout, on a terminal wrapped at its width.
pub(super) fn print_rows(text: &str) -> Result<(), CommandError> {
    match StreamInfo::of(&std::io::stdout()).width() {
        Some(width) => print(&greenloop_report::rows(text, width)),
        None => print(text),
    }
}

/// A command that is to be copied, indented, on a terminal broken at its width.
pub(super) fn command_lines(command: &str) -> String {
    let width = StreamInfo::of(&std::io::stdout()).width();
    greenloop_report::command_lines(command, width.unwrap_or(usize::MAX))
}

/// Tells a person something beside what stdout carries. A reader that went away is not an error.
pub(super) fn tell(text: &str) {
    let safe = safe_text::safe(text);
    let _closed_pipe = anstream::stderr().write_all(safe.as_bytes());
}

/// Prints a JSON value on stdout, indented, with a final newline.
pub(super) fn print_json(value: &serde_json::Value) -> Result<(), CommandError> {
    print_json_text(&format!("{value:#}\n"))
}

/// Prints JSON on stdout as it is, but for what a build agent or a terminal would obey: that stands
/// in it as escapes.
pub(super) fn print_json_text(json: &str) -> Result<(), CommandError> {
    write(&safe_text::json(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_and_movement_go_by_the_terminal_and_the_variables() {
        for (terminal, variables, color, screen, output) in [
            (true, &[][..], true, Screen::Terminal, Output::Human),
            (true, &[("TERM", "xterm")][..], true, Screen::Terminal, Output::Human),
            (true, &[("TERM", "dumb")][..], false, Screen::Dumb, Output::Human),
            (
                true,
                &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")][..],
                true,
                Screen::Dumb,
                Output::Human,
            ),
            (true, &[("NO_COLOR", "1")][..], false, Screen::Terminal, Output::Human),
            (true, &[("NO_COLOR", "")][..], true, Screen::Terminal, Output::Human),
            (true, &[("CLICOLOR", "0")][..], false, Screen::Terminal, Output::Human),
            (
                true,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")][..],
                false,
                Screen::Terminal,
                Output::Human,
            ),
            (false, &[][..], false, Screen::None, Output::Plain),
            (false, &[("COLUMNS", "40")][..], false, Screen::Columns(40), Output::Plain),
            (false, &[("CLICOLOR_FORCE", "1")][..], true, Screen::None, Output::Human),
            (false, &[("CLICOLOR_FORCE", "0")][..], false, Screen::None, Output::Plain),
            (
                false,
                &[("TF_BUILD", "True"), ("CLICOLOR_FORCE", "1")][..],
                true,
                Screen::None,
                Output::Azure,
            ),
        ] {
            let env = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let stream = StreamInfo::new(terminal, &env);
            assert_eq!(stream.color, color, "{terminal} {variables:?}");
            assert_eq!(stream.screen(), screen, "{terminal} {variables:?}");
            assert_eq!(OutputChoice::Auto.resolve(stream), output, "{terminal} {variables:?}");
        }
    }
}
