//! Which reporters a command gets, and plain printing.

use std::io::Write as _;

use clap::ValueEnum;

use super::bell::BellArgs;
use super::error::CommandError;
use super::keys::Keys;
use super::stream::StreamInfo;
use greenloop_report::{Boxed, GithubFiles, LiveView, Output, Paint, Screen, safe_text};
use tokio_util::sync::CancellationToken;

/// How a run is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputChoice {
    /// azure, github or gitlab in a pipeline of these, human on a terminal, plain elsewhere
    Auto,
    /// Colour, live progress, a summary
    Human,
    /// The same text without colour or animation
    Plain,
    /// One JSON object per line on stdout
    Json,
    /// Azure DevOps logging commands
    Azure,
    /// GitHub Actions: groups, annotations, the step's summary and outputs
    Github,
    /// GitLab CI: sections, and a code quality report in the run's folder
    Gitlab,
}

impl OutputChoice {
    fn resolve(self, stream: StreamInfo) -> Output {
        match self {
            Self::Auto => match stream.pipeline {
                Some(output) => output,
                None if stream.terminal || stream.forced => Output::Human,
                None => Output::Plain,
            },
            Self::Plain => Output::Plain,
            Self::Human => Output::Human,
            Self::Json => Output::Json,
            Self::Azure => Output::Azure,
            Self::Github => Output::Github,
            Self::Gitlab => Output::Gitlab,
        }
    }
}

/// The reporters for the chosen output. With JSON, stdout carries only events and the text for
/// people goes to stderr.
pub(super) fn reporters(choice: OutputChoice) -> Vec<Boxed> {
    reporters_and_view(choice, false).0
}

/// The same for a command that reads keys while it goes on, until the keys are dropped.
pub(super) fn reporters_and_keys(
    choice: OutputChoice,
    bell: BellArgs,
    debug: bool,
    cancel: &CancellationToken,
) -> (Vec<Boxed>, Option<Keys>) {
    let (mut reporters, view) = reporters_and_view(choice, debug);
    reporters.extend(bell.reporter());
    let keys = view.and_then(|view| Keys::read(view, cancel.clone()));
    (reporters, keys)
}

fn reporters_and_view(choice: OutputChoice, debug: bool) -> (Vec<Boxed>, Option<LiveView>) {
    let stdout = std::io::stdout();
    let stream = StreamInfo::of(&stdout);
    let reporters = match choice.resolve(stream) {
        Output::Plain => vec![greenloop_report::plain(stdout)],
        Output::Human => {
            let (human, view) =
                greenloop_report::human_with_view(stdout, stream.paint(), stream.screen(), debug);
            return (vec![human], view);
        }
        Output::Json => {
            // Results only: the output of gates stands in the records.
            vec![
                greenloop_report::json(stdout),
                greenloop_report::human(std::io::stderr(), false, Screen::None),
            ]
        }
        Output::Azure => vec![greenloop_report::azure(stdout)],
        Output::Github => {
            let file = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty());
            let files = GithubFiles {
                summary: file("GITHUB_STEP_SUMMARY").map(Into::into),
                output: file("GITHUB_OUTPUT").map(Into::into),
            };
            vec![greenloop_report::github(stdout, files)]
        }
        Output::Gitlab => vec![greenloop_report::gitlab(stdout)],
    };
    (reporters, None)
}

/// Columns that text on stdout is wrapped at.
pub(super) fn width() -> usize {
    StreamInfo::of(&std::io::stdout()).width().unwrap_or_else(greenloop_report::columns)
}

/// What stdout takes besides text.
pub(super) fn paint() -> Paint {
    StreamInfo::of(&std::io::stdout()).paint()
}

/// Prints text for a person on stdout, on a terminal wrapped at its width, with every command for
/// a build agent in it broken. A reader that went away is not an error.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let stdout = std::io::stdout();
    let stream = StreamInfo::of(&stdout);
    match stream.width() {
        Some(width) => {
            let rows = greenloop_report::rows(text, width, stream.paint());
            write_all(stdout.lock(), safe_text::harmless(&rows).as_bytes())
        }
        None => print_content(&greenloop_report::unwrapped(text)),
    }
}

/// Prints a unified diff: on a screen as runs show it, elsewhere as it is, to be applied.
pub(super) fn print_diff(diff: &str) -> Result<(), CommandError> {
    let stream = StreamInfo::of(&std::io::stdout());
    match stream.width() {
        Some(width) => print_content(&greenloop_report::diff(diff, width, stream.paint())),
        None if stream.color => print_content(&greenloop_report::diff(
            diff,
            greenloop_report::columns(),
            stream.paint(),
        )),
        None => print_content(diff),
    }
}

/// Prints what is read by a program or copied as it is: files, logs, tokens. Its lines are left
/// whole.
pub(super) fn print_content(text: &str) -> Result<(), CommandError> {
    write(&safe_text::harmless(text))
}

fn write(text: &str) -> Result<(), CommandError> {
    let stdout = std::io::stdout();
    let choice = color_choice(StreamInfo::of(&stdout));
    write_all(anstream::AutoStream::new(stdout.lock(), choice), text.as_bytes())
}

fn write_all(mut out: impl std::io::Write, bytes: &[u8]) -> Result<(), CommandError> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CommandError::infrastructure("failed to write to stdout").because(error)),
    }
}

/// The one rule for all that is printed: what the variables ask of the stream.
fn color_choice(stream: StreamInfo) -> anstream::ColorChoice {
    if stream.color { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never }
}

/// A command that is to be copied, indented, on a line of its own.
pub(super) fn command_line(command: &str) -> String {
    format!("    {}\n", greenloop_report::unbroken(command))
}

/// Tells a person something beside what stdout carries. A reader that went away is not an error.
pub(super) fn tell(text: &str) {
    let stderr = std::io::stderr();
    let stream = StreamInfo::of(&stderr);
    match stream.width() {
        Some(width) => {
            let rows = greenloop_report::rows(text, width, stream.paint());
            let _closed_pipe = stderr.lock().write_all(safe_text::harmless(&rows).as_bytes());
        }
        None => tell_content(&greenloop_report::unwrapped(&safe_text::safe(text))),
    }
}

/// The same for text that has its lines already, and may be coloured.
pub(super) fn tell_content(text: &str) {
    let stderr = std::io::stderr();
    let choice = color_choice(StreamInfo::of(&stderr));
    let _closed_pipe = anstream::AutoStream::new(stderr.lock(), choice).write_all(text.as_bytes());
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
            (false, &[("GITHUB_ACTIONS", "true")][..], false, Screen::None, Output::Github),
            (false, &[("GITLAB_CI", "true")][..], false, Screen::None, Output::Gitlab),
            (false, &[("FORCE_COLOR", "1")][..], true, Screen::None, Output::Human),
            (true, &[("FORCE_COLOR", "0")][..], false, Screen::Terminal, Output::Human),
            (
                false,
                &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")][..],
                false,
                Screen::None,
                Output::Plain,
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
