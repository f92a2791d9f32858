//! A registry over plain HTTP without credentials, in the shape of [`crate::adapters::registry`],
//! whose place it takes until that is there.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use secrecy::SecretString;

use crate::model::FailureClass;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

#[derive(Debug, Clone, Default)]
pub struct Credentials;

#[derive(Debug)]
pub(super) struct Login {
    pub username: String,
    pub password: SecretString,
    pub identity_token: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub digest: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the registry {host} {what}")]
pub(super) struct RegistryError {
    host: String,
    what: String,
    class: FailureClass,
    #[source]
    source: Option<reqwest::Error>,
}

impl RegistryError {
    pub(super) fn class(&self) -> FailureClass {
        self.class
    }

    pub(super) fn is_transient(&self) -> bool {
        self.class == FailureClass::Infrastructure
    }
}

impl Credentials {
    pub(super) async fn login(&self, _host: &str) -> Result<Option<Login>, RegistryError> {
        Ok(None)
    }
}

pub(super) struct Registry {
    host: String,
    client: reqwest::Client,
}

impl Registry {
    pub(super) fn new(host: &str, _credentials: Credentials) -> Self {
        Self { host: host.to_owned(), client: reqwest::Client::new() }
    }

    fn url(&self, repository: &str, reference: &str) -> String {
        format!("http://{}/v2/{repository}/manifests/{reference}", self.host)
    }

    fn lost(&self, error: reqwest::Error) -> RegistryError {
        RegistryError {
            host: self.host.clone(),
            what: "cannot be reached".to_owned(),
            class: FailureClass::Infrastructure,
            source: Some(error),
        }
    }

    fn checked(&self, answer: reqwest::Response) -> Result<reqwest::Response, RegistryError> {
        let status = answer.status();
        let class = match status.as_u16() {
            200..=299 => return Ok(answer),
            401 | 403 => FailureClass::Auth,
            429 => FailureClass::Quota,
            500.. => FailureClass::Infrastructure,
            _ => FailureClass::Config,
        };
        let what = format!("answered with HTTP status {status}");
        Err(RegistryError { host: self.host.clone(), what, class, source: None })
    }

    pub(super) async fn head(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<Manifest>, RegistryError> {
        let request = self.client.head(self.url(repository, reference)).header(ACCEPT, MANIFESTS);
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.checked(answer)?;
        let digest = answer.headers().get("docker-content-digest");
        Ok(digest.and_then(|d| d.to_str().ok()).map(|d| Manifest { digest: d.to_owned() }))
    }

    pub(super) async fn appears(
        &self,
        repository: &str,
        digest: &str,
        _patience: Duration,
    ) -> Result<Manifest, RegistryError> {
        self.head(repository, digest).await?.ok_or_else(|| RegistryError {
            host: self.host.clone(),
            what: format!("does not have {digest}"),
            class: FailureClass::Infrastructure,
            source: None,
        })
    }

    pub(super) async fn tag(
        &self,
        repository: &str,
        digest: &str,
        tag: &str,
    ) -> Result<(), RegistryError> {
        let request = self.client.get(self.url(repository, digest)).header(ACCEPT, MANIFESTS);
        let manifest = request.send().await.map_err(|error| self.lost(error))?;
        let manifest = self.checked(manifest)?;
        let kind = manifest.headers().get(CONTENT_TYPE).cloned();
        let bytes = manifest.bytes().await.map_err(|error| self.lost(error))?;
        let mut request = self.client.put(self.url(repository, tag)).body(bytes);
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        self.checked(request.send().await.map_err(|error| self.lost(error))?).map(|_| ())
    }
}
