//! Registries: the distribution API (v2) over HTTP, and who one is there.
//!
//! Lives here: manifests and tags, logging in (basic, bearer tokens, Azure's exchange), the
//! Docker configuration and its credential helpers. Must not be here: layers, which the engine
//! pushes and pulls.
//!
//! Invariants: credentials go to the registry's own host and to the token server it names, both
//! over https unless they are this machine; a redirect to another host never carries them; no
//! password or token appears in an error or in `Debug` output.

mod acr;
mod authenticator;
mod challenge;
mod client;
mod credentials;
mod docker_config;
mod engine;
mod error;
mod helper;
mod host;
mod jwt;
mod login;

pub use client::{Manifest, Registry, RegistryAction};
pub use credentials::Credentials;
pub use engine::{LoginError, Logins, logins};
pub use error::{RegistryError, RegistryErrorKind};
pub use host::is_azure;
pub use login::Login;

#[cfg(test)]
mod tests;
