//! What can go wrong with a registry.

use serde::Deserialize;

use greenloop_http::{HttpError, Incoming, words};
use greenloop_model::FailureClass;

/// The kind of an error, which decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// Nobody is logged in, or who is may not do this.
    Auth,
    /// It does not have what was asked for.
    NotFound,
    /// No answer, after all retries.
    Unreachable,
    /// It does not take the request for another reason.
    Refused,
    /// 429, still, after all retries.
    Limited,
    /// 5xx, still, after all retries.
    Server,
    /// Its answer is not in the protocol's form.
    Protocol,
}

/// Something that a registry did not do.
#[derive(Debug, thiserror::Error)]
#[error("the registry {host} {message}")]
pub struct RegistryError {
    /// The registry's host.
    pub host: String,
    pub kind: RegistryErrorKind,
    /// What it does or does not do, for a person.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl RegistryError {
    pub(super) fn new(host: &str, kind: RegistryErrorKind, message: impl Into<String>) -> Self {
        Self { host: host.to_owned(), kind, message: message.into(), source: None }
    }

    pub(super) fn because(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Nobody answered.
    pub(super) fn unanswered(host: &str, source: HttpError) -> Self {
        Self::new(host, RegistryErrorKind::Unreachable, "is unreachable").because(source)
    }

    /// The answer is a refusal of `what`: `to push to team/fleet`.
    pub(super) fn refused(host: &str, what: &str, answer: &Incoming) -> Self {
        let status = answer.status.as_u16();
        let said = said(&answer.body);
        let (kind, does) = match status {
            401 | 403 => (RegistryErrorKind::Auth, "denied the request"),
            404 => (RegistryErrorKind::NotFound, "found nothing for the request"),
            429 => (RegistryErrorKind::Limited, "rate-limited the request"),
            500.. => (RegistryErrorKind::Server, "failed to answer the request"),
            ..=399 => (RegistryErrorKind::Protocol, "gave an unexpected answer to the request"),
            _ => (RegistryErrorKind::Refused, "rejected the request"),
        };
        Self::new(host, kind, format!("{does} {what} (HTTP {status}{said})"))
    }

    /// What kind of failure a run has that meets it.
    pub const fn class(&self) -> FailureClass {
        match self.kind {
            RegistryErrorKind::Auth => FailureClass::Auth,
            RegistryErrorKind::Limited => FailureClass::Quota,
            RegistryErrorKind::NotFound | RegistryErrorKind::Refused => FailureClass::Config,
            RegistryErrorKind::Unreachable
            | RegistryErrorKind::Server
            | RegistryErrorKind::Protocol => FailureClass::Infrastructure,
        }
    }

    /// Whether it may well be otherwise in a minute.
    pub const fn is_transient(&self) -> bool {
        match self.kind {
            RegistryErrorKind::Unreachable
            | RegistryErrorKind::Limited
            | RegistryErrorKind::Server => true,
            RegistryErrorKind::Auth
            | RegistryErrorKind::NotFound
            | RegistryErrorKind::Refused
            | RegistryErrorKind::Protocol => false,
        }
    }
}

/// `{"errors": [{"code": "DENIED", "message": "…"}]}`, and what token servers say.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Authenticator>,
    error: Option<String>,
    error_description: Option<String>,
    details: Option<String>,
}

#[derive(Deserialize)]
struct Authenticator {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a refusal says of itself, to be put behind its status.
fn said(body: &[u8]) -> String {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let mut parts: Vec<String> = body
        .errors
        .into_iter()
        .flat_map(|entry| [entry.code, entry.message])
        .chain([body.error, body.error_description, body.details].into_iter().flatten())
        .map(|part| words(&part))
        .filter(|part| !part.is_empty())
        .collect();
    parts.truncate(4);
    match parts.is_empty() {
        true => String::new(),
        false => format!(", {}", parts.join(": ")),
    }
}
