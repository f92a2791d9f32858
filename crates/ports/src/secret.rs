//! Secrets by name.

use async_trait::async_trait;
use secrecy::SecretString;

/// Why there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretErrorKind {
    /// There is none of that name.
    NotFound,
    /// Whoever asks may not have it, or is not believed.
    Refused,
    /// The place where secrets are cannot be reached.
    Unreachable,
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    pub kind: SecretErrorKind,
    /// One line for a person, with the name and what to do.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A place where secrets are kept.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The secret called `name`.
    async fn secret(&self, name: &str) -> Result<SecretString, SecretError>;
}
