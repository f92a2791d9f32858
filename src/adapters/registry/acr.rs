//! Azure's registries: a Microsoft Entra token for a refresh token of the registry's own.
//!
//! `POST https://HOST/oauth2/exchange` gives the refresh token; from there it is the bearer
//! protocol of every registry, with the refresh token as identity token.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::credentials::Login;
use super::error::{RegistryError, RegistryErrorKind};
use super::host;
use super::jwt;
use crate::adapters::azure::{AzureError, AzureErrorKind, Identity};
use crate::adapters::outbound::{Outbound, Outgoing, Patience};

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
    outbound: Outbound,
    /// Held across a request: who comes second waits for the first's token.
    held: Mutex<HashMap<String, Held>>,
}

struct Held {
    refresh: SecretString,
    /// After this a new one is made: half its life, so that a push of any length that begins
    /// with it can end with it.
    until: Instant,
}

#[derive(Deserialize)]
struct Exchanged {
    refresh_token: SecretString,
}

impl Exchange {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, outbound: Outbound::default(), held: Mutex::default() }
    }

    /// A refresh token with at least half its life left.
    pub(super) async fn login(&self, host: &str) -> Result<Login, RegistryError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.get(host).filter(|held| held.until > Instant::now()) {
            return Ok(login(held.refresh.clone()));
        }
        let refresh = self.exchange(host).await?;
        let life = jwt::life(refresh.expose_secret(), SystemTime::now()).unwrap_or(LIFE);
        let until = Instant::now() + life / 2;
        held.insert(host.to_owned(), Held { refresh: refresh.clone(), until });
        Ok(login(refresh))
    }

    pub(super) async fn forget(&self, host: &str) {
        self.held.lock().await.remove(host);
    }

    async fn exchange(&self, host: &str) -> Result<SecretString, RegistryError> {
        let manager = self.identity.resource_manager_scope();
        match self.exchange_for(host, AUDIENCE).await {
            // Neither the tenant nor the registry may know the audience.
            Err(error) if error.kind == RegistryErrorKind::Auth => {
                self.exchange_for(host, &manager).await.map_err(|_second| error)
            }
            other => other,
        }
    }

    async fn exchange_for(&self, host: &str, scope: &str) -> Result<SecretString, RegistryError> {
        let token = self.identity.token(scope).await.map_err(|error| no_token(host, error))?;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "access_token").append_pair("service", host);
        if let Some(tenant) = self.identity.tenant() {
            form.append_pair("tenant", tenant);
        }
        form.append_pair("access_token", token.expose_secret());
        let url = host::base(host)?.join("oauth2/exchange").map_err(|source| {
            RegistryError::new(host, RegistryErrorKind::Refused, "has no valid name")
                .because(source)
        })?;
        let mut request = Outgoing::new(Method::POST, url);
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, form_type);
        request.body = form.finish().into();
        let answer = self.outbound.send(&request, Patience::default()).await;
        let answer = answer.map_err(|source| RegistryError::unanswered(host, source))?;
        if !answer.status.is_success() {
            let what = "to let this Azure identity in, which needs the role AcrPush, or AcrPull \
                        to only read, and a way through the registry's network rules";
            return Err(RegistryError::refused(host, what, &answer));
        }
        let given: Exchanged = serde_json::from_slice(&answer.body).map_err(|_unread| {
            let message = "gives no refresh token for a Microsoft Entra token";
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
        AzureErrorKind::NotConfigured
        | AzureErrorKind::Auth
        | AzureErrorKind::Forbidden
        | AzureErrorKind::NotFound
        | AzureErrorKind::Refused
        | AzureErrorKind::Protocol => RegistryErrorKind::Auth,
    };
    RegistryError::new(host, kind, "cannot be logged in to with an Azure identity").because(error)
}
