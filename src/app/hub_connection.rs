//! Connecting to a hub with the token from the environment.

use secrecy::{ExposeSecret as _, SecretString};

use super::{AppError, Environment};
use greenloop_config::plan::TasksPlan;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::HubClient;

/// The variable with the hub's token, of the scope `work`, where the configuration names no other.
pub const HUB_TOKEN: &str = "GREENLOOP_HUB_TOKEN";

/// The variable with the hub's address, where the configuration has no tasks.
const HUB: &str = "GREENLOOP_HUB_URL";

/// The hub that a run reports to and asks people at, and the variable with the token for it;
/// `None` where either is not known.
pub(super) fn hub_of(tasks: Option<&TasksPlan>, env: &Environment) -> Option<(String, String)> {
    let (hub, token_env) = match tasks {
        Some(tasks) => (tasks.hub.clone(), tasks.token_env.clone()),
        None => (env(HUB).filter(|hub| !hub.is_empty())?, HUB_TOKEN.to_owned()),
    };
    env(&token_env).filter(|token| !token.trim().is_empty())?;
    Some((hub, token_env))
}

/// A client of the hub at `hub` with the token in the variable `token_env`, and a redactor that
/// knows the token.
pub(super) fn connect(
    hub: &str,
    token_env: &str,
    env: &Environment,
) -> Result<(HubClient, Redactor), AppError> {
    let token = env(token_env).map(|token| token.trim().to_owned()).filter(|t| !t.is_empty());
    let token = token.map(SecretString::from);
    let known = token.iter().map(|token| token.expose_secret().to_owned());
    let redactor = Redactor::from_env().with(known).guard_exits();
    Ok((HubClient::new(hub, token)?, redactor))
}
