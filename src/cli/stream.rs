//! What standard output and standard error are connected to, and what the environment asks of them.

use std::io::IsTerminal;

use greenloop_report::{Output, Paint, Screen};

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
    /// Links can be opened.
    links: bool,
    /// The output for the pipeline that runs this.
    pub(super) pipeline: Option<Output>,
    /// Columns, where there is no terminal that could be asked.
    columns: Option<usize>,
}

impl StreamInfo {
    /// `NO_COLOR` (<https://no-color.org>) before `CLICOLOR_FORCE`, `FORCE_COLOR`
    /// (<https://force-color.org>) and `CLICOLOR` (<https://bixense.com/clicolors>).
    pub(super) fn new(terminal: bool, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        let dumb = env("TERM").is_some_and(|term| term == "dumb");
        let wanted = |name: &str| env(name).is_some_and(|value| !value.is_empty() && value != "0");
        let forced = !set("NO_COLOR") && (wanted("CLICOLOR_FORCE") || wanted("FORCE_COLOR"));
        let zero = |name: &str| env(name).is_some_and(|value| value == "0");
        let off = set("NO_COLOR") || zero("CLICOLOR") || zero("FORCE_COLOR") || dumb;
        Self {
            terminal,
            moves: terminal && !dumb,
            color: forced || (terminal && !off),
            forced,
            links: links(terminal && !dumb && !set("NO_COLOR"), env),
            pipeline: pipeline(env),
            columns: env("COLUMNS").and_then(|columns| columns.parse().ok()),
        }
    }

    pub(super) fn of(stream: &impl IsTerminal) -> Self {
        Self::new(stream.is_terminal(), &|name| std::env::var(name).ok())
    }

    /// What may be written besides text.
    pub(super) fn paint(self) -> Paint {
        Paint { color: self.color, links: self.links }
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

/// Whether a terminal opens links (OSC 8). A stream that is none, or takes no styles (`plain` is
/// false), gets them only where `FORCE_HYPERLINK` says so, as in the `supports-hyperlinks`
/// packages. Terminals that do not know the sequence ignore it, but a few old ones print it: only
/// those that are known to open links get it.
fn links(plain: bool, env: &dyn Fn(&str) -> Option<String>) -> bool {
    if let Some(forced) = env("FORCE_HYPERLINK").filter(|value| !value.is_empty()) {
        return forced != "0" && forced != "false";
    }
    let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    if !plain || set("CI") || set("TF_BUILD") || set("TEAMCITY_VERSION") {
        return false;
    }
    let number = |name: &str| env(name).and_then(|value| value.parse::<u32>().ok()).unwrap_or(0);
    let program = env("TERM_PROGRAM").unwrap_or_default();
    let term = env("TERM").unwrap_or_default();
    // tmux passes them on since 3.4, and hides which terminal it runs in.
    let tmux = || {
        let version = env("TERM_PROGRAM_VERSION").unwrap_or_default();
        let mut parts = version.split('.');
        let mut part = || -> u32 {
            let digits = parts.next().unwrap_or_default();
            digits.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
        };
        (part(), part()) >= (3, 4)
    };
    match program.as_str() {
        "tmux" => return tmux(),
        "iTerm.app" | "WezTerm" | "vscode" | "ghostty" | "Hyper" | "terminology" | "rio"
        | "WarpTerminal" | "Tabby" => return true,
        _ => {}
    }
    set("DOMTERM")
        || set("WT_SESSION")
        || set("KONSOLE_VERSION")
        || number("VTE_VERSION") >= 5000
        || ["xterm-kitty", "alacritty", "foot", "contour"].iter().any(|it| term.starts_with(it))
}

/// The output for the pipeline that runs this, by the variables that each system sets.
fn pipeline(env: &dyn Fn(&str) -> Option<String>) -> Option<Output> {
    let is = |name: &str| env(name).is_some_and(|value| value == "true");
    if env("TF_BUILD").is_some() {
        Some(Output::Azure)
    } else if is("GITHUB_ACTIONS") {
        Some(Output::Github)
    } else if is("GITLAB_CI") {
        Some(Output::Gitlab)
    } else {
        None
    }
}

/// Whether standard error takes colours.
pub(super) fn colour_on_stderr() -> bool {
    StreamInfo::of(&std::io::stderr()).color
}

/// Whether standard error takes links.
pub(super) fn links_on_stderr() -> bool {
    StreamInfo::of(&std::io::stderr()).links
}

/// Columns that text on stderr is wrapped at; `None` when nobody watches it, and a line stays one.
pub(super) fn width_of_stderr() -> Option<usize> {
    StreamInfo::of(&std::io::stderr()).width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_go_to_terminals_that_open_them() {
        const KITTY: (&str, &str) = ("TERM", "xterm-kitty");
        const VTE: (&str, &str) = ("VTE_VERSION", "7600");
        for (terminal, variables, expect) in [
            (true, &[][..], false),
            (true, &[("TERM", "xterm-256color")][..], false),
            (true, &[KITTY][..], true),
            (true, &[VTE][..], true),
            (true, &[("VTE_VERSION", "4999")][..], false),
            (true, &[("TERM_PROGRAM", "vscode")][..], true),
            (true, &[("TERM_PROGRAM", "Apple_Terminal")][..], false),
            (true, &[("TERM_PROGRAM", "tmux"), ("TERM_PROGRAM_VERSION", "3.4")][..], true),
            (true, &[("TERM_PROGRAM", "tmux"), ("TERM_PROGRAM_VERSION", "3.3a"), VTE][..], false),
            (true, &[("WT_SESSION", "1")][..], true),
            (true, &[KITTY, ("NO_COLOR", "1")][..], false),
            (true, &[KITTY, ("NO_COLOR", "")][..], true),
            (true, &[VTE, ("TERM", "dumb")][..], false),
            (true, &[VTE, ("CI", "true")][..], false),
            (true, &[VTE, ("TF_BUILD", "True")][..], false),
            (false, &[KITTY][..], false),
            (false, &[KITTY, ("CLICOLOR_FORCE", "1")][..], false),
            (false, &[("FORCE_HYPERLINK", "1")][..], true),
            (true, &[KITTY, ("FORCE_HYPERLINK", "0")][..], false),
            (true, &[("CI", "true"), ("FORCE_HYPERLINK", "1")][..], true),
        ] {
            let env = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(StreamInfo::new(terminal, &env).links, expect, "{terminal} {variables:?}");
        }
    }
}
