//! Azure: identity, AKS credentials, the key vault.
//!
//! Lives here: who Greenloop is in Azure, and the REST calls it makes as that. Must not be here:
//! what the tokens are used for elsewhere; the registry's own exchange is in
//! [`greenloop_image::registry`], which asks [`Identity`] for a token.
//!
//! Invariants: there is one token cache for all scopes, in [`Identity`]; no token, secret or key
//! appears in an error or in `Debug` output; nothing is sent in the clear but to this machine.

pub mod aks;
mod cloud;
mod credential_source;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
mod http_client;
mod identity;
pub mod key_vault;
mod managed;
mod rest;
mod secrets;

pub use error::{AzureError, AzureErrorKind};
pub use identity::Identity;
pub use secrets::KeyVault;
