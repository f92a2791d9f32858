//! A login in the form in which a Docker Engine gets there with it.
//!
//! The engine decodes `X-Registry-Auth` as URL-safe base64, and `bollard` writes it as standard
//! base64: where a `~`, `?` or `>` comes to be written as `+` or `/`, the engine takes the login
//! for none at all, without a word. Client secrets of Microsoft Entra have a `~` in them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;

use super::client::{Registry, RegistryAction};
use super::credentials::Credentials;
use super::error::{RegistryError, RegistryErrorKind};
use super::host;
use super::login::Login;
use greenloop_model::ImageRef;

/// Why nobody can say who one is at a registry.
pub type LoginError = Box<dyn std::error::Error + Send + Sync>;

/// What the engine is to be given to pull an image; `None` for nobody in particular. Asked just
/// before each pull, for tokens do not live long. [`logins`] makes one.
pub type Logins = Arc<
    dyn Fn(ImageRef) -> BoxFuture<'static, Result<Option<DockerCredentials>, LoginError>>
        + Send
        + Sync
        + 'static,
>;

impl Registry {
    /// What the engine is to be given for its next push to, or pull from, `repository`; `None`
    /// for nobody in particular. A login that would not get there as it is is exchanged for a
    /// token that does. Asked just before each try.
    ///
    /// Errors: as [`super::Credentials::login`]; [`RegistryErrorKind::Auth`] when the login
    /// cannot get there and this registry has no tokens.
    pub async fn engine_credentials(
        &self,
        repository: &str,
        right: RegistryAction,
    ) -> Result<Option<DockerCredentials>, RegistryError> {
        let host = self.host();
        let Some(login) = self.credentials().login(host).await? else { return Ok(None) };
        let given = as_given(host, &login);
        if gets_there(&given) {
            return Ok(Some(given));
        }
        let Some(header) = self.fresh_token(repository, right).await? else { return Ok(None) };
        // It was made from text, so it is text.
        let token = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let exchanged = token.map(|token| DockerCredentials {
            registrytoken: Some(token.to_owned()),
            serveraddress: Some(host.to_owned()),
            ..DockerCredentials::default()
        });
        match exchanged.filter(gets_there) {
            Some(exchanged) => Ok(Some(exchanged)),
            None => {
                let message = "has a password that cannot be passed to the engine: use one \
                    without `~`, `?`, `>` and non-ASCII characters";
                Err(RegistryError::new(host, RegistryErrorKind::Auth, message))
            }
        }
    }
}

/// Who pulls which image, for the docker target.
pub fn logins(credentials: Credentials) -> Logins {
    Arc::new(move |image: ImageRef| {
        let credentials = credentials.clone();
        Box::pin(async move {
            let (host, name) = host::of_image(image.repository());
            let registry = Registry::new(host, credentials);
            Ok(registry.engine_credentials(name, RegistryAction::Pull).await?)
        })
    })
}

fn as_given(host: &str, login: &Login) -> DockerCredentials {
    let secret = login.password.expose_secret().to_owned();
    let credentials =
        DockerCredentials { serveraddress: Some(host.to_owned()), ..DockerCredentials::default() };
    if login.identity_token {
        DockerCredentials { identitytoken: Some(secret), ..credentials }
    } else {
        let username = Some(login.username.clone());
        DockerCredentials { username, password: Some(secret), ..credentials }
    }
}

/// Whether both alphabets of base64 write it the same way.
fn gets_there(credentials: &DockerCredentials) -> bool {
    serde_json::to_vec(credentials).is_ok_and(|json| !STANDARD.encode(json).contains(['+', '/']))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn only_some_secrets_are_written_differently() {
        let reaches = |password: &str| {
            gets_there(&as_given(
                "fleet.azurecr.io",
                &Login {
                    username: "me".to_owned(),
                    password: SecretString::from(password.to_owned()),
                    identity_token: false,
                },
            ))
        };
        assert!(reaches("correct-horse_battery.staple/+=1"));
        // In one of three places in a row it is written differently.
        for c in ['~', '?', '>', '\u{7f}'] {
            let seen: Vec<bool> = ["", "a", "aa"].map(|p| reaches(&format!("{p}{c}"))).into();
            assert_eq!(seen.iter().filter(|reached| !**reached).count(), 1, "{c:?}");
        }
        assert!(!reaches("Q~~~"));
    }
}
