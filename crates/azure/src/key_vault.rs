//! Secrets in a key vault.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::cloud::base;
use super::error::{AzureError, AzureErrorKind};
use super::identity::Identity;
use super::rest::{self, Answer};
use greenloop_config::is_vault_name;

const API_VERSION: &str = "7.4";

/// Where vaults are, in each cloud; it is also what their tokens are for.
const SUFFIXES: [&str; 3] = ["vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net"];

#[derive(Deserialize)]
struct Bundle {
    value: SecretString,
}

/// The current version of the secret called `name` in `vault` (`https://NAME.vault.azure.net`).
///
/// Errors: [`AzureErrorKind::NotFound`] and [`AzureErrorKind::Forbidden`] say what to do.
pub async fn secret(
    identity: &Identity,
    vault: &str,
    name: &str,
) -> Result<SecretString, AzureError> {
    let vault = base(vault, "the key vault")?;
    let mut url = vault.clone();
    if !is_vault_name(name) || !push(&mut url, &["secrets", name]) {
        let message = "a secret's name consists of at most 127 letters, digits and hyphens";
        return Err(AzureError::new(AzureErrorKind::NotConfigured, message));
    }
    url.query_pairs_mut().append_pair("api-version", API_VERSION);
    let host = vault.host_str().unwrap_or_default();
    let what = format!("the key vault {host}");
    match rest::call::<Bundle>(identity, Method::GET, url, &scope(host), &what).await? {
        Answer::Given(bundle) => Ok(bundle.value),
        Answer::Refused(refusal) => {
            let said = refusal.in_words();
            let (kind, message) = match refusal.status.as_u16() {
                404 => (
                    AzureErrorKind::NotFound,
                    format!(
                        "{what} has no secret {name}{said}: create it with `az keyvault secret \
                         set`, or correct the name"
                    ),
                ),
                403 => (
                    AzureErrorKind::Forbidden,
                    format!(
                        "{what} denies this identity access to the secret {name}{said}: assign \
                         the role Key Vault Secrets User (or an access policy with Get), allow \
                         this network in the vault's firewall, and check that the secret is \
                         enabled"
                    ),
                ),
                401 => (
                    AzureErrorKind::Auth,
                    format!(
                        "{what} rejected the token of this identity{said}: check that the vault \
                         belongs to the identity's tenant"
                    ),
                ),
                _ => (
                    AzureErrorKind::Refused,
                    format!("{what} did not return the secret {name}{said}"),
                ),
            };
            Err(AzureError::new(kind, message))
        }
    }
}

/// What a token for a vault at `host` is asked for.
fn scope(host: &str) -> String {
    let own = SUFFIXES
        .iter()
        .find(|suffix| host.strip_suffix(*suffix).is_some_and(|name| name.ends_with('.')));
    format!("https://{}/.default", own.unwrap_or(&SUFFIXES[0]))
}

/// Adds segments to a URL's path.
pub(super) fn push(url: &mut Url, segments: &[&str]) -> bool {
    url.path_segments_mut()
        .map(|mut path| {
            path.pop_if_empty().extend(segments);
        })
        .is_ok()
}

#[cfg(test)]
mod tests;
