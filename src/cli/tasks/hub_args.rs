//! The hub that a command asks.

use clap::Args;

use crate::app::HubAccess;
use crate::cli::terminal;

/// Which hub.
#[derive(Debug, Args)]
pub(in crate::cli) struct HubArgs {
    /// Address of the hub
    #[arg(long, value_name = "URL", env = "GREENLOOP_HUB_URL", hide_env_values = true)]
    hub: String,
    /// Name of the environment variable that holds the hub's token
    #[arg(long, value_name = "NAME", default_value = "GREENLOOP_HUB_TOKEN")]
    token_env: String,
}

impl HubArgs {
    pub(in crate::cli) fn access(self) -> HubAccess {
        let Self { hub, token_env } = self;
        HubAccess { hub, token_env, env: terminal::environment() }
    }
}
