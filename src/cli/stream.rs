//! What standard output and standard error are connected to, and what the environment asks of them.

use std::io::IsTerminal;

use greenloop_report::Screen;

/// What is known of a stream before anything is written to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamInfo {
    /// It is a terminal.
    pub(super) terminal: bool,
    /// The terminal can move its cursor.
    moves: bool,
    /// Colour is wanted.
    pub(super) color: bool,
    /// Colour is wanted even where there is no terminal.
    pub(super) forced: bool,
    /// An Azure DevOps pipeline runs this.
    pub(super) pipeline: bool,
    /// Columns, where there is no terminal that could be asked.
    columns: Option<usize>,
}

impl StreamInfo {
    /// `NO_COLOR` (<https://no-color.org>) before `CLICOLOR_FORCE` and `CLICOLOR`
    /// (<https://bixense.com/clicolors>), as `anstream` has it.
    pub(super) fn new(terminal: bool, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        let dumb = env("TERM").is_some_and(|term| term == "dumb");
        let forced = !set("NO_COLOR")
            && env("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let off = set("NO_COLOR") || env("CLICOLOR").is_some_and(|value| value == "0") || dumb;
        Self {
            terminal,
            moves: terminal && !dumb,
            color: forced || (terminal && !off),
            forced,
            pipeline: env("TF_BUILD").is_some(),
            columns: env("COLUMNS").and_then(|columns| columns.parse().ok()),
        }
    }

    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        Self::new(stream.is_terminal(), &|name| std::env::var(name).ok())
    }

    /// Columns, where there is a screen.
    pub(super) fn width(self) -> Option<usize> {
        match self.columns {
            _ if self.terminal => Some(greenloop_report::columns()),
            columns => columns.map(|columns| columns.clamp(20, 500)),
        }
    }

    pub(super) fn screen(self) -> Screen {
        match self.columns {
            _ if self.moves => Screen::Terminal,
            _ if self.terminal => Screen::Dumb,
            Some(columns) => Screen::Columns(columns.clamp(20, 500)),
            None => Screen::None,
        }
    }
}

/// Whether standard error takes colours.
pub(super) fn colour_on_stderr() -> bool {
    StreamInfo::of(&std::io::stderr()).color
}

/// Columns that text on stderr is wrapped at; `None` when nobody watches it, and a line stays one.
pub(super) fn width_of_stderr() -> Option<usize> {
    StreamInfo::of(&std::io::stderr()).width()
}
