//! Docker's `config.json`, as far as it says who one is at registries.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::error::{RegistryError, RegistryErrorKind};
use super::host::is_key_of;
use super::login::Login;

/// More than this is no such file.
const LONGEST: u64 = 1 << 20;

/// What the file says.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct AuthEntry {
    auth: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    identitytoken: Option<SecretString>,
}

impl DockerConfig {
    /// Reads the file; `None` when there is none. Errors quote nothing of it.
    pub(super) async fn read(host: &str, path: &Path) -> Result<Option<Self>, RegistryError> {
        let wrong = |what: &str| {
            let message = format!("could not be logged in to: {} {what}", path.display());
            RegistryError::new(host, RegistryErrorKind::Auth, message)
        };
        match tokio::fs::metadata(path).await {
            Ok(found) if found.len() > LONGEST => return Err(wrong("is too long")),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong("could not be read").because(error)),
        }
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| wrong("could not be read").because(error))?;
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_unread| wrong("is not a valid Docker configuration"))
    }

    /// The helper that keeps the credentials of `host`, by the last part of its name.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let own = self.cred_helpers.iter().find(|(key, _)| is_key_of(key, host));
        let name = own.map(|(_, name)| name).or(self.creds_store.as_ref());
        name.map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What stands in the file itself.
    pub(super) fn login(&self, host: &str) -> Result<Option<Login>, RegistryError> {
        let exact = self.auths.get(host);
        let found = exact.or_else(|| {
            self.auths.iter().find(|(key, _)| is_key_of(key, host)).map(|(_, entry)| entry)
        });
        let Some(entry) = found else { return Ok(None) };
        let (username, password) = match entry.auth.as_ref().map(SecretString::expose_secret) {
            Some(auth) if !auth.is_empty() => pair(auth).ok_or_else(|| {
                let message = "could not be logged in to: its `auth` in Docker's configuration is \
                    not a base64-encoded `name:password`";
                RegistryError::new(host, RegistryErrorKind::Auth, message)
            })?,
            Some(_) | None => (
                entry.username.clone().unwrap_or_default(),
                entry.password.as_ref().map(SecretString::expose_secret).unwrap_or_default().into(),
            ),
        };
        let token = entry.identitytoken.clone().filter(|token| !token.expose_secret().is_empty());
        Ok(match token {
            Some(password) => Some(Login { username, password, identity_token: true }),
            None if username.is_empty() && password.is_empty() => None,
            None => Some(Login {
                username,
                password: SecretString::from(password),
                identity_token: false,
            }),
        })
    }
}

/// `name:password` in base64; Docker has written NULs at the end.
fn pair(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_all_their_forms() {
        let config: DockerConfig = serde_json::from_value(serde_json::json!({
            "auths": {
                "one.example": {"auth": STANDARD.encode("me:p:w~1")},
                "https://two.example/v1/": {"username": "you", "password": "pw"},
                "three.example": {
                    "auth": STANDARD.encode("00000000-0000-0000-0000-000000000000:"),
                    "identitytoken": "a-token"
                },
                "empty.example": {},
                "broken.example": {"auth": "?"},
                "https://index.docker.io/v1/": {"auth": STANDARD.encode("hub:pw\0\0")}
            },
            "credHelpers": {"helped.example": "own"},
            "credsStore": "all",
            "HttpHeaders": {"x": "y"}
        }))
        .unwrap();
        for (host, expect) in [
            ("one.example", Some(("me", "p:w~1", false))),
            ("two.example", Some(("you", "pw", false))),
            ("three.example", Some(("00000000-0000-0000-0000-000000000000", "a-token", true))),
            ("docker.io", Some(("hub", "pw", false))),
            ("empty.example", None),
            ("unknown.example", None),
        ] {
            let login = config.login(host).unwrap();
            let seen = login.as_ref().map(|login| {
                (login.username.as_str(), login.password.expose_secret(), login.identity_token)
            });
            assert_eq!(seen, expect, "{host}");
        }
        assert_eq!(
            config.login("broken.example").err().map(|e| e.kind),
            Some(RegistryErrorKind::Auth)
        );
        assert_eq!(config.helper("helped.example"), Some("own"));
        assert_eq!(config.helper("one.example"), Some("all"));
        assert_eq!(DockerConfig::default().helper("one.example"), None);
    }
}
