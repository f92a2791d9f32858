//! What can go wrong with Azure.

use greenloop_model::FailureClass;

/// The kind of an error, which decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AzureErrorKind {
    /// Nothing says who this is.
    NoCredential,
    /// A setting makes no sense.
    NotConfigured,
    /// The identity is not believed.
    Auth,
    /// The identity is known and may not do this.
    Forbidden,
    /// Presence is no such thing.
    NotFound,
    /// No answer, or 5xx and 429 after all retries.
    Unreachable,
    /// The request is not taken for another reason.
    Refused,
    /// The answer is not in the protocol's form.
    Protocol,
}

/// Something that Azure did not do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AzureError {
    pub kind: AzureErrorKind,
    /// One line for a person, with the way out where there is one.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AzureError {
    pub(super) fn new(kind: AzureErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// For tests in which it must not matter.
    #[cfg(any(test, feature = "testing"))]
    pub fn for_test() -> Self {
        Self::new(AzureErrorKind::NotConfigured, "no identity in this test")
    }

    pub(super) fn because(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What kind of failure a run has that meets it.
    pub const fn class(&self) -> FailureClass {
        match self.kind {
            AzureErrorKind::NoCredential
            | AzureErrorKind::NotConfigured
            | AzureErrorKind::Auth
            | AzureErrorKind::Forbidden => FailureClass::Auth,
            AzureErrorKind::NotFound => FailureClass::Config,
            AzureErrorKind::Unreachable | AzureErrorKind::Refused | AzureErrorKind::Protocol => {
                FailureClass::Infrastructure
            }
        }
    }
}
