//! Connecting to a hub with the token from the environment.

use secrecy::{ExposeSecret as _, SecretString};

use super::{AppError, Environment};
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::HubClient;

/// The variable with the hub's token, of the scope `work`, where the configuration names no other.
pub(super) const HUB_TOKEN: &str = "GREENLOOP_HUB_TOKEN";

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
    let redactor = Redactor::from_env().with(known);
    Ok((HubClient::new(hub, token)?, redactor))
}
