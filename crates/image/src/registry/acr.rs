//! Azure's registries: a Microsoft Entra token for a refresh token of the registry's own.
//!
//! `POST https://HOST/oauth2/exchange` gives the refresh token; from there it is the bearer
//! protocol of every registry, with the refresh token as identity token.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::{RegistryError, RegistryErrorKind};
use super::host;
use super::jwt;
use super::login::Login;
use greenloop_azure::{AzureError, AzureErrorKind, Identity};
use greenloop_http::retry::RETRY;
use greenloop_http::{HttpClients, Outgoing, form};

/// The user of a refresh token.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// What a token is asked for first: registries can be told to refuse tokens for the resource
/// manager, which is asked for when there is no such audience.
const AUDIENCE: &str = "https://containerregistry.azure.net/.default";
/// How long a refresh token lives that does not say.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Exchanges tokens, and holds what came of it.
pub(super) struct Exchange {
    identity: Identity,
    http: HttpClients,
    /// CachedRefreshToken across a request: who comes second waits for the first's token.
    held: Mutex<HashMap<String, CachedRefreshToken>>,
}

struct CachedRefreshToken {
    refresh: SecretString,
    /// After this a new one is made: half its life, so that a push of any length that begins
    /// with it can end with it.
    until: Instant,
}

/// Why there is no refresh token.
enum ExchangeError {
    /// Nothing says who this is in Azure.
    Nobody,
    Refused(RegistryError),
}

#[derive(Deserialize)]
struct Exchanged {
    refresh_token: SecretString,
}

impl Exchange {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, http: HttpClients::default(), held: Mutex::default() }
    }

    /// A refresh token with at least half its life left; `None` where nothing says who this is
    /// in Azure: there are registries that everybody may read.
    pub(super) async fn login(&self, host: &str) -> Result<Option<Login>, RegistryError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.get(host).filter(|held| held.until > Instant::now()) {
            return Ok(Some(login(held.refresh.clone())));
        }
        let refresh = match self.exchange(host).await {
            Ok(refresh) => refresh,
            Err(ExchangeError::Nobody) => return Ok(None),
            Err(ExchangeError::Refused(error)) => return Err(error),
        };
        let life = jwt::life(refresh.expose_secret(), SystemTime::now()).unwrap_or(LIFE);
        let until = Instant::now() + life / 2;
        held.insert(host.to_owned(), CachedRefreshToken { refresh: refresh.clone(), until });
        Ok(Some(login(refresh)))
    }

    pub(super) async fn forget(&self, host: &str) {
        self.held.lock().await.remove(host);
    }

    async fn exchange(&self, host: &str) -> Result<SecretString, ExchangeError> {
        let first = match self.exchange_for(host, AUDIENCE).await {
            // Neither the tenant nor the registry may know the audience.
            Err(ExchangeError::Refused(error)) if error.kind == RegistryErrorKind::Auth => error,
            other => return other,
        };
        let manager = self.identity.resource_manager_scope();
        self.exchange_for(host, &manager).await.map_err(|_second| ExchangeError::Refused(first))
    }

    async fn exchange_for(&self, host: &str, scope: &str) -> Result<SecretString, ExchangeError> {
        let token = match self.identity.token(scope).await {
            Ok(token) => token,
            Err(error) if error.kind == AzureErrorKind::NoCredential => {
                return Err(ExchangeError::Nobody);
            }
            Err(error) => return Err(ExchangeError::Refused(no_token(host, error))),
        };
        self.post(host, &token).await.map_err(ExchangeError::Refused)
    }

    async fn post(&self, host: &str, token: &SecretString) -> Result<SecretString, RegistryError> {
        let mut pairs = vec![("grant_type", "access_token"), ("service", host)];
        pairs.extend(self.identity.tenant().map(|tenant| ("tenant", tenant)));
        pairs.push(("access_token", token.expose_secret()));
        let form = form(&pairs);
        let url = host::base(host)?.join("oauth2/exchange").map_err(|source| {
            RegistryError::new(host, RegistryErrorKind::Refused, "has no valid host name")
                .because(source)
        })?;
        let request = Outgoing::posting(url, form);
        let answer = self.http.send(&request, RETRY).await;
        let answer = answer.map_err(|source| RegistryError::unanswered(host, source))?;
        if !answer.status.is_success() {
            let what = "to log in with this Azure identity, which needs the role AcrPush (AcrPull \
                for reading) and access through the registry's network rules";
            return Err(RegistryError::refused(host, what, &answer));
        }
        let given: Exchanged = serde_json::from_slice(&answer.body).map_err(|_unread| {
            let message = "returned no refresh token for a Microsoft Entra token";
            RegistryError::new(host, RegistryErrorKind::Protocol, message)
        })?;
        Ok(given.refresh_token)
    }
}

fn login(refresh: SecretString) -> Login {
    Login { username: NOBODY.to_owned(), password: refresh, identity_token: true }
}

fn no_token(host: &str, error: AzureError) -> RegistryError {
    let kind = match error.kind {
        AzureErrorKind::Unreachable => RegistryErrorKind::Unreachable,
        AzureErrorKind::NoCredential
        | AzureErrorKind::NotConfigured
        | AzureErrorKind::Auth
        | AzureErrorKind::Forbidden
        | AzureErrorKind::NotFound
        | AzureErrorKind::Refused
        | AzureErrorKind::Protocol => RegistryErrorKind::Auth,
    };
    RegistryError::new(host, kind, "could not be logged in to with an Azure identity")
        .because(error)
}
