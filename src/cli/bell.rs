//! `--bell`: whoever looks elsewhere while a long run goes on hears of its end.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;

use greenloop_report::{Boxed, DesktopNotification};

/// A run that is shorter is waited for.
const LONG: u64 = 30;

/// When to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Off,
    After(Duration),
}

/// Whether the end of a run is heard.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct BellArgs {
    /// Ring the terminal's bell at the end of a run of SECONDS or longer [default: 30], and show a
    /// desktop notification if the terminal supports it; `off` turns it off
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        env = "GREENLOOP_BELL",
        hide_env_values = true,
        value_parser = choice
    )]
    bell: Option<Choice>,
}

fn choice(text: &str) -> Result<Choice, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(Choice::After(Duration::from_secs(LONG))),
        "off" | "false" | "no" | "" => Ok(Choice::Off),
        seconds => {
            let seconds = seconds.strip_suffix('s').unwrap_or(seconds);
            let after = seconds.parse().map(Duration::from_secs).map(Choice::After);
            after.map_err(|_| "neither a number of seconds nor `on` or `off`".to_owned())
        }
    }
}

impl BellArgs {
    /// Rings at the terminal; `None` where nobody asked for it, or there is none.
    pub(super) fn reporter(self) -> Option<Boxed> {
        let Some(Choice::After(after)) = self.bell else { return None };
        let stderr = std::io::stderr();
        if !stderr.is_terminal() {
            return None;
        }
        let form = notification(&|name| std::env::var(name).ok());
        Some(greenloop_report::bell(stderr, after, form))
    }
}

/// What the terminal knows, by the variables that it sets.
fn notification(env: &dyn Fn(&str) -> Option<String>) -> DesktopNotification {
    let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    let term = env("TERM").unwrap_or_default();
    // They pass none on, unless they are told to.
    if set("TMUX") || set("STY") || term.starts_with("screen") || term == "dumb" {
        return DesktopNotification::None;
    }
    let program = env("TERM_PROGRAM").unwrap_or_default();
    let osc9 = ["iTerm.app", "WezTerm", "ghostty"].contains(&program.as_str());
    if osc9 {
        DesktopNotification::Osc9
    } else if term.contains("kitty") {
        DesktopNotification::Osc99
    } else if set("ConEmuPID") || term.contains("ghostty") {
        DesktopNotification::Osc9
    } else if term.starts_with("foot") || term.starts_with("rxvt-unicode") || set("VTE_VERSION") {
        DesktopNotification::Osc777
    } else {
        DesktopNotification::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_in_words_or_in_seconds() {
        let after = |seconds| Ok(Choice::After(Duration::from_secs(seconds)));
        for (text, expect) in [
            ("on", after(30)),
            ("1", after(30)),
            ("True", after(30)),
            ("90", after(90)),
            ("5s", after(5)),
            ("0", after(0)),
            ("off", Ok(Choice::Off)),
            ("", Ok(Choice::Off)),
        ] {
            assert_eq!(choice(text), expect, "{text:?}");
        }
        assert!(choice("loud").is_err() && choice("-1").is_err());
    }

    #[test]
    fn each_terminal_is_asked_in_its_own_way() {
        use DesktopNotification as To;
        for (variables, expect) in [
            (&[("TERM", "xterm-256color")][..], To::None),
            (&[("TERM", "xterm-kitty")][..], To::Osc99),
            (&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")][..], To::Osc9),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")][..], To::Osc777),
            (&[("TERM", "foot")][..], To::Osc777),
            (
                &[("TERM", "tmux-256color"), ("TMUX", "/tmp/x"), ("VTE_VERSION", "7600")][..],
                To::None,
            ),
            (&[("TERM", "dumb"), ("TERM_PROGRAM", "iTerm.app")][..], To::None),
        ] {
            let env = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(notification(&env), expect, "{variables:?}");
        }
    }
}
