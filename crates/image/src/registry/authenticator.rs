//! Getting in: what stands in the `Authorization` header, by the registry's own challenge.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::challenge::{Challenge, strongest};
use super::credentials::Credentials;
use super::error::{RegistryError, RegistryErrorKind};
use super::host::is_azure;
use super::jwt;
use super::login::Login;
use greenloop_http::retry::ExponentialBuilder;
use greenloop_http::{HttpClients, Incoming, Outgoing, form, is_loopback, is_private};

/// How long a token lives that does not say (the protocol's default).
const LIFE: Duration = Duration::from_secs(60);
/// A token is renewed this long before it runs out.
const MARGIN: Duration = Duration::from_secs(15);
/// What the token server learns about the program.
const CLIENT: &str = "greenloop";

/// A header that was let in with, or is about to be tried.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) header: HeaderValue,
    /// After this it is not shown any more.
    until: Option<Instant>,
}

/// The tokens, by the scope they are for.
#[derive(Default)]
pub(super) struct Authenticator {
    /// Held across the requests for a token: who comes second waits for the first's.
    tokens: Mutex<HashMap<String, CachedToken>>,
}

/// Whom the tokens are for, and how they are asked for.
pub(super) struct AuthContext<'a> {
    pub(super) host: &'a str,
    pub(super) base: &'a Url,
    pub(super) credentials: &'a Credentials,
    pub(super) http: &'a HttpClients,
    pub(super) retry: ExponentialBuilder,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<u64>,
}

impl Authenticator {
    /// What was let in with before, when it is still good.
    pub(super) async fn held(&self, scope: &str) -> Option<CachedToken> {
        let tokens = self.tokens.lock().await;
        let alive = |token: &&CachedToken| token.until.is_none_or(|until| until > Instant::now());
        tokens.get(scope).filter(alive).cloned()
    }

    /// Forgets what was let in with.
    pub(super) async fn forget(&self, scope: &str) {
        self.tokens.lock().await.remove(scope);
    }

    /// A token by the challenge in `refused`, which is the answer to a request that showed
    /// `shown`.
    pub(super) async fn token(
        &self,
        auth: &AuthContext<'_>,
        scope: &str,
        refused: &Incoming,
        shown: Option<&CachedToken>,
    ) -> Result<CachedToken, RegistryError> {
        let mut tokens = self.tokens.lock().await;
        if let Some(other) = tokens.get(scope)
            && shown.is_none_or(|shown| shown.header != other.header)
            && other.until.is_none_or(|until| until > Instant::now())
        {
            return Ok(other.clone());
        }
        tokens.remove(scope);
        let headers = refused.headers.get_all(WWW_AUTHENTICATE);
        let challenge = strongest(headers.iter().filter_map(|value| value.to_str().ok()));
        let token = match challenge {
            Some(Challenge::Basic) => auth.basic().await?,
            Some(Challenge::Bearer { realm, service, scope: asked }) => {
                let scope = asked.as_deref().unwrap_or(scope);
                match auth.bearer(&realm, service.as_deref(), scope).await {
                    // What was exchanged before may have been revoked.
                    Err(error) if error.kind == RegistryErrorKind::Auth => {
                        auth.credentials.forget(auth.host).await;
                        auth.bearer(&realm, service.as_deref(), scope).await?
                    }
                    other => other?,
                }
            }
            None => {
                let message = "requires a login, but does not state the method";
                return Err(RegistryError::new(auth.host, RegistryErrorKind::Auth, message));
            }
        };
        tokens.insert(scope.to_owned(), token.clone());
        Ok(token)
    }
}

impl AuthContext<'_> {
    async fn basic(&self) -> Result<CachedToken, RegistryError> {
        let Some(login) = self.credentials.login(self.host).await? else {
            return Err(self.nobody());
        };
        Ok(CachedToken { header: self.basic_header(&login)?, until: None })
    }

    fn nobody(&self) -> RegistryError {
        let host = self.host;
        let azure = if is_azure(host, None) { "`az login`, " } else { "" };
        let message = format!(
            "requires a login, but no credentials are configured: run {azure}`docker login \
             {host}`, or set GREENLOOP_REGISTRY_USERNAME and GREENLOOP_REGISTRY_PASSWORD"
        );
        RegistryError::new(host, RegistryErrorKind::Auth, message)
    }

    fn basic_header(&self, login: &Login) -> Result<HeaderValue, RegistryError> {
        let pair = format!("{}:{}", login.username, login.password.expose_secret());
        self.header(format!("Basic {}", STANDARD.encode(pair)))
    }

    fn header(&self, value: String) -> Result<HeaderValue, RegistryError> {
        let mut value = HeaderValue::try_from(value).map_err(|_unfit| {
            let message = "returned a token with characters that a header cannot contain";
            RegistryError::new(self.host, RegistryErrorKind::Protocol, message)
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A token by the protocol of the distribution project: a GET with name and password, or a
    /// POST with the identity token.
    async fn bearer(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<CachedToken, RegistryError> {
        let realm = self.realm(realm)?;
        let login = self.credentials.login(self.host).await?;
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        pairs.extend(service.map(|service| ("service", service)));
        pairs.push(("scope", scope));
        let request = match &login {
            Some(login) if login.identity_token => {
                pairs.push(("grant_type", "refresh_token"));
                pairs.push(("client_id", CLIENT));
                pairs.push(("refresh_token", login.password.expose_secret()));
                Outgoing::posting(realm, form(&pairs))
            }
            Some(login) => {
                pairs.push(("account", &login.username));
                let url = with_query(realm, &form(&pairs));
                let mut request = Outgoing::new(Method::GET, url);
                request.headers.insert(AUTHORIZATION, self.basic_header(login)?);
                request
            }
            None => Outgoing::new(Method::GET, with_query(realm, &form(&pairs))),
        };
        let answer = self.http.send(&request, self.retry).await;
        let answer = answer.map_err(|source| {
            let message = "refers to a token server that is unreachable";
            RegistryError::new(self.host, RegistryErrorKind::Unreachable, message).because(source)
        })?;
        if !answer.status.is_success() {
            let refused = matches!(answer.status.as_u16(), 400 | 401 | 403);
            if refused && login.is_none() {
                return Err(self.nobody());
            }
            let mut error = RegistryError::refused(self.host, "for a token", &answer);
            if refused {
                error.kind = RegistryErrorKind::Auth;
            }
            return Err(error);
        }
        let given: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_unread| {
            let message = "refers to a token server that returned no token";
            RegistryError::new(self.host, RegistryErrorKind::Protocol, message)
        })?;
        let Some(token) = given.token.or(given.access_token) else {
            let message = "refers to a token server that returned no token";
            return Err(RegistryError::new(self.host, RegistryErrorKind::Protocol, message));
        };
        let said = given.expires_in.map(Duration::from_secs);
        let life = said.or_else(|| jwt::life(token.expose_secret(), SystemTime::now()));
        let life = life.unwrap_or(LIFE);
        Ok(CachedToken {
            header: self.header(format!("Bearer {}", token.expose_secret()))?,
            until: Some(Instant::now() + life.saturating_sub(MARGIN)),
        })
    }

    /// The token server's address, when it may be sent the credentials: as private as the
    /// registry itself.
    fn realm(&self, realm: &str) -> Result<Url, RegistryError> {
        let wrong = |why: &str| {
            let message = format!("refers to a token server at an address {why}");
            RegistryError::new(self.host, RegistryErrorKind::Protocol, message)
        };
        let url = Url::parse(realm).map_err(|source| wrong("that is not a URL").because(source))?;
        if !is_private(&url) || (is_loopback(&url) && !is_loopback(self.base)) {
            return Err(wrong("that credentials must not be sent to"));
        }
        Ok(url)
    }
}

fn with_query(mut url: Url, query: &str) -> Url {
    let whole = match url.query() {
        Some(own) if !own.is_empty() => format!("{own}&{query}"),
        Some(_) | None => query.to_owned(),
    };
    url.set_query(Some(&whole));
    url
}
