//! The key vault as a place where secrets are kept.

use async_trait::async_trait;
use secrecy::SecretString;

use super::error::AzureErrorKind;
use super::identity::Identity;
use super::key_vault;
use greenloop_ports::{SecretError, SecretErrorKind, SecretSource};

/// The secrets of one key vault.
#[derive(Debug, Clone)]
pub struct KeyVault {
    identity: Identity,
    vault: String,
}

impl KeyVault {
    /// `vault` is `https://NAME.vault.azure.net`.
    pub fn new(identity: Identity, vault: &str) -> Self {
        Self { identity, vault: vault.to_owned() }
    }
}

#[async_trait]
impl SecretSource for KeyVault {
    async fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        key_vault::secret(&self.identity, &self.vault, name).await.map_err(|error| SecretError {
            kind: match error.kind {
                AzureErrorKind::NotFound => SecretErrorKind::NotFound,
                AzureErrorKind::Unreachable => SecretErrorKind::Unreachable,
                AzureErrorKind::NoCredential
                | AzureErrorKind::NotConfigured
                | AzureErrorKind::Auth
                | AzureErrorKind::Forbidden
                | AzureErrorKind::Refused
                | AzureErrorKind::Protocol => SecretErrorKind::Refused,
            },
            message: error.message,
            source: error.source,
        })
    }
}
