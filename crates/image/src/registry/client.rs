//! One registry.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use super::authenticator::{AuthContext, Authenticator};
use super::credentials::Credentials;
use super::error::{RegistryError, RegistryErrorKind};
use super::host;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, RETRY, backoff};
use greenloop_http::{HttpClients, Incoming, Outgoing};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Redirects that are followed in a row.
const MAX_REDIRECTS: usize = 5;
/// Between two looks for a manifest that is not there yet.
const LAG: ExponentialBuilder = backoff(Duration::from_millis(250), Duration::from_secs(5));

/// A manifest in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `sha256:…`
    pub digest: String,
    /// `application/vnd.oci.image.manifest.v1+json`
    pub media_type: String,
    /// Bytes of the manifest itself.
    pub size: u64,
}

/// A registry, by its host.
///
/// 5xx, 429 and lost connections are tried again with back-off before they are errors.
pub struct Registry {
    host: String,
    credentials: Credentials,
    http: HttpClients,
    authenticator: Authenticator,
    retry: ExponentialBuilder,
    lag: ExponentialBuilder,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("host", &self.host).finish_non_exhaustive()
    }
}

/// What is done to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryAction {
    /// It is read.
    Pull,
    /// It is written, which needs reading too.
    Push,
}

impl RegistryAction {
    fn scope(self, repository: &str) -> String {
        match self {
            Self::Pull => format!("repository:{repository}:pull"),
            Self::Push => format!("repository:{repository}:pull,push"),
        }
    }
}

impl Registry {
    /// `host` as in names of images: `fleet.azurecr.io`, `127.0.0.1:5000`, `docker.io`. This
    /// machine is spoken to over plain http, as Docker does. Nothing is sent yet.
    pub fn new(host: &str, credentials: Credentials) -> Self {
        Self {
            host: host.to_owned(),
            credentials,
            http: HttpClients::default(),
            authenticator: Authenticator::default(),
            retry: RETRY,
            lag: LAG,
        }
    }

    /// Nothing is tried again: for questions that can do without an answer.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.retry = self.retry.with_max_times(0);
        self
    }

    /// With pauses that a test can wait for.
    #[cfg(test)]
    pub(super) fn with_short_delays(mut self) -> Self {
        self.lag = backoff(Duration::from_millis(2), Duration::from_millis(10));
        self.retry = self.lag.with_max_times(4);
        self
    }

    /// The manifest that a tag or a digest names, of whatever type; `None` when there is none.
    pub async fn head(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<Manifest>, RegistryError> {
        let name = host::repository(&self.host, repository);
        let what = format!("to read {name}:{reference}");
        let request = self.manifest(Method::HEAD, &name, reference)?;
        let answer = self.ask(&name, RegistryAction::Pull, request).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(RegistryError::refused(&self.host, &what, &answer)),
        }
        let media_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let size = answer.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let digest = answer
            .header(DIGEST)
            .map(str::to_owned)
            .or_else(|| reference.starts_with("sha256:").then(|| reference.to_owned()));
        if let (Some(digest), Some(size)) = (digest, size) {
            return Ok(Some(Manifest { digest, media_type, size }));
        }
        // A registry that does not say what it has is asked for the thing itself.
        let answer = self.get(&name, reference, &what).await?;
        Ok(Some(Manifest {
            digest: digest_of(&answer.body),
            media_type: answer.header(CONTENT_TYPE).unwrap_or_default().to_owned(),
            size: answer.body.len() as u64,
        }))
    }

    /// Waits up to `limit` until the registry has the digest: one that is kept in several
    /// regions may not have it at once everywhere.
    ///
    /// Errors: [`RegistryErrorKind::NotFound`] when it does not come.
    pub async fn appears(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
    ) -> Result<Manifest, RegistryError> {
        let until = Instant::now() + limit;
        let mut delays = self.lag.build();
        loop {
            if let Some(manifest) = self.head(repository, digest).await? {
                return Ok(manifest);
            }
            let delay = delays.next().filter(|delay| Instant::now() + *delay <= until);
            let Some(delay) = delay else {
                let message = format!(
                    "still does not have {repository}@{digest} after {} s",
                    limit.as_secs()
                );
                return Err(RegistryError::new(&self.host, RegistryErrorKind::NotFound, message));
            };
            tokio::time::sleep(delay).await;
        }
    }

    /// Puts `tag` on the manifest with this digest, without moving any layer.
    pub async fn tag(
        &self,
        repository: &str,
        digest: &str,
        tag: &str,
    ) -> Result<(), RegistryError> {
        let name = host::repository(&self.host, repository);
        let found = self.get(&name, digest, &format!("to read {name}@{digest}")).await?;
        if digest_of(&found.body) != digest {
            let message = format!("returned another manifest for {name}@{digest}");
            return Err(RegistryError::new(&self.host, RegistryErrorKind::Protocol, message));
        }
        let mut request = self.manifest(Method::PUT, &name, tag)?;
        request.headers.remove(ACCEPT);
        if let Some(kind) = found.headers.get(CONTENT_TYPE) {
            request.headers.insert(CONTENT_TYPE, kind.clone());
        }
        request.body = Bytes::from(found.body);
        let answer = self.ask(&name, RegistryAction::Push, request).await?;
        if !answer.status.is_success() {
            let what = format!("to tag {name}@{digest} as {tag}");
            return Err(RegistryError::refused(&self.host, &what, &answer));
        }
        match answer.header(DIGEST) {
            Some(other) if other != digest => {
                let message = format!("applied the tag {tag} to another manifest than {digest}");
                Err(RegistryError::new(&self.host, RegistryErrorKind::Protocol, message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether an image can be pushed: begins to upload a layer, and takes that back.
    pub async fn can_push(&self, repository: &str) -> Result<(), RegistryError> {
        let name = host::repository(&self.host, repository);
        let url = self.url(&format!("v2/{name}/blobs/uploads/"))?;
        let mut request = Outgoing::new(Method::POST, url.clone());
        request.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = self.ask(&name, RegistryAction::Push, request).await?;
        if answer.status != StatusCode::ACCEPTED {
            let what = format!("to push to {name}");
            return Err(RegistryError::refused(&self.host, &what, &answer));
        }
        if let Some(begun) = answer.header(LOCATION).and_then(|at| url.join(at).ok()) {
            // An upload that is not cancelled runs out by itself; the answer was had before.
            let _left =
                self.ask(&name, RegistryAction::Push, Outgoing::new(Method::DELETE, begun)).await;
        }
        Ok(())
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What the registry lets one in with, made now; `None` when it lets everybody in.
    pub(super) async fn fresh_token(
        &self,
        repository: &str,
        right: RegistryAction,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let name = host::repository(&self.host, repository);
        let scope = right.scope(&name);
        self.authenticator.forget(&scope).await;
        // A request that wants this right is answered with the challenge.
        match right {
            RegistryAction::Pull => drop(self.head(repository, "latest").await?),
            RegistryAction::Push => self.can_push(repository).await?,
        }
        Ok(self.authenticator.held(&scope).await.map(|token| token.header))
    }

    async fn get(
        &self,
        name: &str,
        reference: &str,
        what: &str,
    ) -> Result<Incoming, RegistryError> {
        let request = self.manifest(Method::GET, name, reference)?;
        let answer = self.ask(name, RegistryAction::Pull, request).await?;
        if answer.status != StatusCode::OK {
            return Err(RegistryError::refused(&self.host, what, &answer));
        }
        Ok(answer)
    }

    fn manifest(
        &self,
        method: Method,
        name: &str,
        reference: &str,
    ) -> Result<Outgoing, RegistryError> {
        let url = self.url(&format!("v2/{name}/manifests/{reference}"))?;
        let mut request = Outgoing::new(method, url);
        request.headers.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        Ok(request)
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let base = host::base(&self.host)?;
        let wrong = || {
            let message = "does not allow a repository or tag with this name";
            RegistryError::new(&self.host, RegistryErrorKind::Refused, message)
        };
        let url = base.join(path).map_err(|source| wrong().because(source))?;
        // `..`, `?` and their like in a name would lead to other places.
        if url.path() == format!("/{path}") && url.query().is_none() && url.fragment().is_none() {
            Ok(url)
        } else {
            Err(wrong())
        }
    }

    /// Sends a request, logging in when it is asked to.
    async fn ask(
        &self,
        name: &str,
        right: RegistryAction,
        request: Outgoing,
    ) -> Result<Incoming, RegistryError> {
        let base = host::base(&self.host)?;
        let auth = AuthContext {
            host: &self.host,
            base: &base,
            credentials: &self.credentials,
            http: &self.http,
            retry: self.retry,
        };
        let scope = right.scope(name);
        let shown = self.authenticator.held(&scope).await;
        let header = shown.as_ref().map(|token| &token.header);
        let answer = self.follow(&base, request.clone(), header).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.authenticator.token(&auth, &scope, &answer, shown.as_ref()).await?;
        self.follow(&base, request, Some(&token.header)).await
    }

    /// Sends a request and follows where it leads. The token is shown to the registry only.
    async fn follow(
        &self,
        base: &Url,
        mut request: Outgoing,
        token: Option<&HeaderValue>,
    ) -> Result<Incoming, RegistryError> {
        for _step in 0..=MAX_REDIRECTS {
            request.headers.remove(AUTHORIZATION);
            if let Some(token) = token.filter(|_| request.url.origin() == base.origin()) {
                request.headers.insert(AUTHORIZATION, token.clone());
            }
            let answer = self.http.send(&request, self.retry).await;
            let answer = answer.map_err(|source| RegistryError::unanswered(&self.host, source))?;
            let reads = matches!(request.method, Method::GET | Method::HEAD);
            let leads = match answer.status.as_u16() {
                307 | 308 => true,
                301..=303 => reads,
                _ => false,
            };
            let to = answer.header(LOCATION).filter(|_| leads);
            let Some(to) = to.and_then(|to| request.url.join(to).ok()) else { return Ok(answer) };
            if base.scheme() == "https" && to.scheme() != "https" {
                let message = "redirects to an address without https";
                return Err(RegistryError::new(&self.host, RegistryErrorKind::Protocol, message));
            }
            request.url = to;
        }
        let message = "redirects too often";
        Err(RegistryError::new(&self.host, RegistryErrorKind::Protocol, message))
    }
}

fn digest_of(body: &[u8]) -> String {
    let hex: String = Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}
