//! Who Greenloop is in Azure.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex as Lock, OnceLock, PoisonError};
use std::time::Duration;

use azure_core::credentials::AccessToken;
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;
use secrecy::SecretString;
use tokio::sync::Mutex;
use url::Url;

use super::cloud::{Cloud, base};
use super::credential_source::{CredentialSource, Presence, Settings};
use super::error::{AzureError, AzureErrorKind};
use super::http_client;
use super::managed;
use greenloop_config::plan::AzurePlan;
use greenloop_http::HttpClients;
use greenloop_http::retry::{ExponentialBuilder, RETRY};

/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// A token that cannot be renewed is still given out when it lives this long.
const LAST: Duration = Duration::from_secs(30);
/// How long one source may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// What the metadata service's address is replaced by, as in Microsoft's own libraries.
const METADATA_HOST_VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// Where tokens come from: the sources the environment offers, tried in order; the first that works
/// is kept. Cheap to clone; all clones share one token cache.
///
/// The order: client secret, Azure Pipelines service connection, workload identity, managed
/// identity, developer tools. A source that was configured is what was meant: when it fails, the
/// ones behind it are not tried, so that nothing is done as somebody else.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    cloud: Cloud,
    tenant: Option<String>,
    sources: Vec<CredentialSource>,
    metadata: Option<Url>,
    /// The source that worked.
    chosen: OnceLock<usize>,
    metadata_answers: tokio::sync::OnceCell<bool>,
    http: Arc<HttpClients>,
    retry: ExponentialBuilder,
    tokens: Lock<HashMap<String, CachedToken>>,
}

/// The token of one scope. Held across the request for it: who comes second waits for the
/// first's token.
type CachedToken = Arc<Mutex<Option<AccessToken>>>;

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("sources", &self.sources())
            .field("worked", &self.worked())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the settings; nothing is sent yet. What the plan leaves out comes from `env`.
    ///
    /// Errors: [`AzureErrorKind::NotConfigured`] for addresses that make no sense or would send
    /// secrets in the clear.
    pub fn new(plan: &AzurePlan, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, AzureError> {
        let cloud = Cloud::new(plan, env)?;
        let metadata = env(METADATA_HOST_VARIABLE).filter(|host| !host.trim().is_empty());
        let metadata = match metadata {
            Some(host) => Some(base(&host, "the metadata service")?),
            None => None,
        };
        let http = Arc::new(HttpClients::default());
        let settings = Settings::new(plan, env);
        let tenant = settings.tenant().map(str::to_owned);
        let sources =
            settings.sources(&http_client::options(http.clone(), &cloud, metadata.as_ref()));
        Ok(Self {
            inner: Arc::new(Inner {
                cloud,
                tenant,
                sources,
                metadata,
                chosen: OnceLock::new(),
                metadata_answers: tokio::sync::OnceCell::new(),
                http,
                retry: RETRY,
                tokens: Lock::default(),
            }),
        })
    }

    /// With one source only, for tests of what the token is used for.
    #[cfg(any(test, feature = "testing"))]
    pub fn with_credential(credential: Arc<dyn azure_core::credentials::TokenCredential>) -> Self {
        Self::with_sources([("a test", Presence::Perhaps, credential)])
    }

    #[cfg(any(test, feature = "testing"))]
    #[expect(clippy::unwrap_used, reason = "of tests: an identity without settings can be made")]
    fn with_sources(
        sources: impl IntoIterator<
            Item = (&'static str, Presence, Arc<dyn azure_core::credentials::TokenCredential>),
        >,
    ) -> Self {
        let mut identity = Self::new(&AzurePlan::default(), &|_| None).unwrap();
        let inner = Arc::get_mut(&mut identity.inner).unwrap();
        inner.sources = sources
            .into_iter()
            .map(|(name, presence, credential)| {
                let make = Box::new(move || Ok(Arc::clone(&credential)));
                CredentialSource { name, presence, make }
            })
            .collect();
        identity
    }

    /// A token for `scope` that is good for some minutes more.
    ///
    /// Errors: [`AzureErrorKind::NoCredential`] when no source can be used,
    /// [`AzureErrorKind::Auth`] when none is given, [`AzureErrorKind::Unreachable`] when nobody
    /// answers.
    pub async fn token(&self, scope: &str) -> Result<SecretString, AzureError> {
        let slot = self.cached(scope);
        let mut held = slot.lock().await;
        let now = OffsetDateTime::now_utc();
        if let Some(token) = held.as_ref().filter(|token| token.expires_on > now + MARGIN) {
            return Ok(SecretString::from(token.token.secret().to_owned()));
        }
        let fresh = match self.ask(scope).await {
            Ok(fresh) => fresh,
            // The old one still serves for a while.
            Err(error) => match held.as_ref() {
                Some(token) if token.expires_on > now + LAST => token.clone(),
                Some(_) | None => return Err(error),
            },
        };
        let secret = SecretString::from(fresh.token.secret().to_owned());
        *held = Some(fresh);
        Ok(secret)
    }

    /// Forgets the token for `scope`: a server would not take it.
    pub async fn forget(&self, scope: &str) {
        *self.cached(scope).lock().await = None;
    }

    /// What is tried, in order.
    pub fn sources(&self) -> Vec<&'static str> {
        self.inner.sources.iter().map(|source| source.name).collect()
    }

    /// What worked, when a token was given.
    pub fn worked(&self) -> Option<&'static str> {
        self.inner.sources.get(*self.inner.chosen.get()?).map(|source| source.name)
    }

    /// The tenant, when the settings say which.
    pub fn tenant(&self) -> Option<&str> {
        self.inner.tenant.as_deref()
    }

    /// What a token for the resource manager is asked for.
    pub fn resource_manager_scope(&self) -> String {
        self.inner.cloud.resource_manager_scope()
    }

    pub(super) fn resource_manager(&self) -> &Url {
        &self.inner.cloud.resource_manager
    }

    pub(super) fn http(&self) -> &HttpClients {
        &self.inner.http
    }

    pub(super) fn retry(&self) -> ExponentialBuilder {
        self.inner.retry
    }

    fn cached(&self, scope: &str) -> CachedToken {
        let mut tokens = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.entry(scope.to_owned()).or_default().clone()
    }

    async fn ask(&self, scope: &str) -> Result<AccessToken, AzureError> {
        let sources = &self.inner.sources;
        let known = self.inner.chosen.get().copied();
        let mut order: Vec<usize> = known.into_iter().collect();
        order.extend((0..sources.len()).filter(|index| Some(*index) != known));
        let mut tried = Vec::new();
        let mut last = None;
        for index in order {
            let Some(source) = sources.get(index) else { continue };
            if source.presence == Presence::Probed && !self.metadata_answers().await {
                tried.push(format!("{} (this machine has none)", source.name));
                continue;
            }
            tried.push(source.name.to_owned());
            match attempt(source, scope).await {
                Ok(token) => {
                    let _kept = self.inner.chosen.set(index);
                    return Ok(token);
                }
                Err(error) => last = Some(error),
            }
            match source.presence {
                Presence::Configured => break,
                Presence::Probed | Presence::Perhaps => {}
            }
        }
        Err(refused(&tried, last))
    }

    /// Asked once: a machine does not move into Azure.
    async fn metadata_answers(&self) -> bool {
        let inner = &self.inner;
        let probe = || managed::is_there(&inner.http, inner.metadata.as_ref());
        *inner.metadata_answers.get_or_init(probe).await
    }
}

/// Why one source gave no token.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("its settings are not usable")]
    Setup(#[source] azure_core::Error),
    #[error("it returned no token")]
    Refused(#[source] azure_core::Error),
    #[error("it did not answer within {} s", TOKEN_TIMEOUT.as_secs())]
    Late,
}

async fn attempt(source: &CredentialSource, scope: &str) -> Result<AccessToken, TokenError> {
    let credential = (source.make)().map_err(TokenError::Setup)?;
    match tokio::time::timeout(TOKEN_TIMEOUT, credential.get_token(&[scope], None)).await {
        Ok(token) => token.map_err(TokenError::Refused),
        Err(_elapsed) => Err(TokenError::Late),
    }
}

fn refused(tried: &[String], last: Option<TokenError>) -> AzureError {
    let Some(last) = last else {
        let message = format!(
            "no Azure identity found: run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
             AZURE_CLIENT_SECRET (tried {})",
            tried.join(", ")
        );
        return AzureError::new(AzureErrorKind::NoCredential, message);
    };
    let kind = match &last {
        TokenError::Setup(_) => AzureErrorKind::NotConfigured,
        TokenError::Refused(error) if is_unreachable(error) => AzureErrorKind::Unreachable,
        TokenError::Refused(_) => AzureErrorKind::Auth,
        TokenError::Late => AzureErrorKind::Unreachable,
    };
    let message = format!("could not get a Microsoft Entra token from {}", tried.join(", "));
    AzureError::new(kind, message).because(last)
}

/// Whether no one answered, or only to say that they cannot now.
fn is_unreachable(error: &azure_core::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind) {
            Some(ErrorKind::Connection | ErrorKind::Io) => return true,
            Some(ErrorKind::HttpResponse { status, .. }) => {
                let status = u16::from(*status);
                return status >= 500 || status == 429;
            }
            Some(_) | None => cause = error.source(),
        }
    }
    false
}

#[cfg(test)]
mod tests;
