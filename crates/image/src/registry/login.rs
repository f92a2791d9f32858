//! Who one is at a registry.

use secrecy::SecretString;

/// Name and password, or a token in the password's place.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account.
    pub username: String,
    /// Its password, or the identity token.
    pub password: SecretString,
    /// Whether the password is an identity token: what a registry's token server gives access
    /// tokens for.
    pub identity_token: bool,
}
