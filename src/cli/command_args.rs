//! What a command that needs no configuration is given: the one of `heal`, `accept` and `watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser as _;

use super::error::CommandError;
use super::sandbox_choice::Weakest;
use greenloop_model::shell_word;

/// The configuration, the bounds and the sandbox of the command.
#[derive(Debug, Args)]
pub(super) struct CommandArgs {
    /// Configuration file to take agents, limits, sandbox and policy from; '' for none [default:
    /// greenloop.yaml or config.yaml at the repository's root, if there is one]
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "GREENLOOP_CONFIG",
        hide_env_values = true,
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(super) config: Option<PathBuf>,
    /// Stop the command after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Let the command use the network
    #[arg(long)]
    pub(super) network: bool,
    /// The weakest sandbox that will do [default: what the configuration says, or B]
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true)]
    pub(super) sandbox: Option<Weakest>,
    /// Let the command write to this folder, too
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Vec<PathBuf>,
    /// Let the command inherit this variable, or all that begin so when it ends in `*`
    #[arg(long = "env", value_name = "NAME")]
    pub(super) env: Vec<String>,
}

impl CommandArgs {
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }

    /// The same with absolute folders.
    pub(super) fn absolute(mut self) -> Result<Self, CommandError> {
        let cache = self.cache.iter().map(std::path::absolute).collect::<Result<_, _>>();
        self.cache = cache.map_err(|e| CommandError::usage("--cache is no folder").because(e))?;
        Ok(self)
    }

    /// The flags that were given, to give them again: ` --timeout 60 --network`.
    pub(super) fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(seconds) = self.timeout {
            flags.push_str(&format!(" --timeout {seconds}"));
        }
        if self.network {
            flags.push_str(" --network");
        }
        if let Some(level) = self.sandbox {
            flags.push_str(&format!(" --sandbox {}", level.name()));
        }
        for folder in &self.cache {
            flags.push_str(&format!(" --cache {}", shell_word(&folder.to_string_lossy())));
        }
        for name in &self.env {
            flags.push_str(&format!(" --env {}", shell_word(name)));
        }
        if let Some(config) = &self.config {
            flags.push_str(&format!(" --config {}", shell_word(&config.to_string_lossy())));
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: CommandArgs,
    }

    #[test]
    fn what_was_given_is_given_again() {
        let given = "x --config= --timeout 60 --network --sandbox A --cache /c --env A --env B_*";
        let line = Line::try_parse_from(given.split(' ')).unwrap();
        let command = line.command.absolute().unwrap();
        assert_eq!(command.timeout(), Some(Duration::from_secs(60)));
        let again = command.flags();
        assert_eq!(
            again,
            " --timeout 60 --network --sandbox A --cache /c --env A --env 'B_*' --config ''"
        );
        assert!(Line::try_parse_from(["x"]).unwrap().command.flags().is_empty());
    }
}
