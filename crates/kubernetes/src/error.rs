//! What goes wrong with a cluster, told apart by what follows from it.

use std::error::Error as StdError;

use kube::client::UpgradeConnectionError;
use kube::core::Status;

use super::admission_error;
use greenloop_azure::{AzureError, AzureErrorKind};
use greenloop_model::{Evidence, FailureClass};
use greenloop_ports::{TargetError, TargetErrorKind};

/// The kind of an error of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesErrorKind {
    /// No address or no credentials: a kubeconfig that is missing or says nothing usable.
    Setup,
    /// The API server does not answer, or only with errors of its own.
    Unreachable,
    /// The API server does not know who asks.
    Credentials,
    /// The account may not do this: a right is missing.
    Refused,
    /// An admission controller, such as Pod Security or a webhook, does not want the object.
    Denied,
    /// A limit on resources is reached.
    Quota,
    /// A manifest cannot be read, rendered or understood, or the API server finds it invalid.
    Manifest,
    /// A tool that renders manifests is missing or failed.
    Tool,
    /// Somebody else owns a field or has changed the object meanwhile.
    Conflict,
    /// It is not there.
    Missing,
    /// Nothing is ready to answer yet.
    NotReady,
    /// A record of a release is damaged.
    Record,
    /// Another run holds the environment.
    Held,
    /// This run held the environment, and lost it.
    Lost,
    /// Something else has to end first, or a person to act: a paused Deployment, a Job that runs, a
    /// namespace that is being deleted.
    Waiting,
    /// The run was cancelled.
    Cancelled,
}

/// A cluster that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct KubernetesError {
    /// The kind, which decides what follows.
    pub kind: KubernetesErrorKind,
    /// One line for a person: what was asked of which object.
    pub message: String,
    /// More lines: the places and the causes that the API server names.
    pub notes: Vec<String>,
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// No token for the cluster.
#[derive(Debug, thiserror::Error)]
#[error("could not get a token for the cluster")]
pub struct TokenRefused {
    /// Whether nobody has answered, so that asking again may help.
    pub(super) unanswered: bool,
    #[source]
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<AzureError> for TokenRefused {
    fn from(error: AzureError) -> Self {
        let unanswered = error.kind == AzureErrorKind::Unreachable;
        Self { unanswered, source: Box::new(error) }
    }
}

/// The environment is no longer this run's to write to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotPermitted(pub(super) KubernetesError);

impl KubernetesError {
    pub(super) fn new(kind: KubernetesErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), notes: Vec::new(), source: None }
    }

    pub(super) fn because(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn noting(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// `what` was asked, and this came back.
    pub(super) fn of(what: &str, error: kube::Error) -> Self {
        let error = match not_permitted(error) {
            Ok(lost) => return lost,
            Err(error) => error,
        };
        let kind = kind_of(&error);
        let mut message = format!("could not {what}");
        let mut notes = Vec::new();
        if let kube::Error::Api(status) = &error {
            // The status says it all, and as a source it would say it twice.
            message.push_str(": ");
            if let Some((sentence, more)) = admission_error::in_words(status) {
                message.push_str(&sentence);
                notes = more;
                notes.extend(causes(status));
                return Self::new(kind, message).noting(notes);
            }
            message.push_str(said(status));
            notes = causes(status);
            return Self::new(kind, message).noting(notes);
        }
        if is_refused_upgrade(&error) {
            message.push_str(": the API server answers 403 Forbidden to the WebSocket");
            notes.push(
                "add to the account's Role: {apiGroups: [\"\"], resources: \
                 [\"pods/portforward\"], verbs: [\"get\", \"create\"]}"
                    .to_owned(),
            );
        }
        Self { kind, message, notes, source: Some(Box::new(error)) }
    }
}

/// The lease's own words, where the lease blocked the change.
fn not_permitted(error: kube::Error) -> Result<KubernetesError, kube::Error> {
    match error {
        kube::Error::Service(source) => match source.downcast::<NotPermitted>() {
            Ok(refused) => Ok(refused.0),
            Err(source) => Err(kube::Error::Service(source)),
        },
        other => Err(other),
    }
}

/// What the API server said, without its own reason twice.
fn said(status: &Status) -> &str {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => "the API server gave no reason",
        ("", reason) => reason,
        (message, _) => message,
    }
}

/// `spec.replicas: Invalid value: -1`, one for each cause.
pub(super) fn causes(status: &Status) -> Vec<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| !cause.message.is_empty())
        .map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        })
        .collect()
}

/// The kind that an answer of the API server tells by itself. A refusal (403) may be one of the
/// authorizer's or one of an admission controller's: `Refused` until somebody has asked.
pub(super) fn kind_of(error: &kube::Error) -> KubernetesErrorKind {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => KubernetesErrorKind::Credentials,
            403 if admission_error::is_ending(status) => KubernetesErrorKind::Waiting,
            403 => KubernetesErrorKind::Refused,
            404 => KubernetesErrorKind::Missing,
            409 => KubernetesErrorKind::Conflict,
            400 | 405 | 406 | 410 | 413 | 415 | 422 => KubernetesErrorKind::Manifest,
            _ => KubernetesErrorKind::Unreachable,
        },
        kube::Error::Auth(_) => KubernetesErrorKind::Credentials,
        kube::Error::Service(source) if source.is::<TokenRefused>() => {
            KubernetesErrorKind::Credentials
        }
        error if is_refused_upgrade(error) => KubernetesErrorKind::Refused,
        kube::Error::InferConfig(_) | kube::Error::InferKubeconfig(_) => KubernetesErrorKind::Setup,
        kube::Error::Discovery(_) => KubernetesErrorKind::Missing,
        _ => KubernetesErrorKind::Unreachable,
    }
}

/// Whether a port-forward was refused: its answer has no body that says so.
fn is_refused_upgrade(error: &kube::Error) -> bool {
    matches!(
        error,
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status))
            if status.as_u16() == 403
    )
}

/// Whether the same request may well succeed a little later.
pub(super) fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        kube::Error::Service(source) => {
            !source.is::<NotPermitted>()
                && source.downcast_ref::<TokenRefused>().is_none_or(|refused| refused.unanswered)
        }
        _ => false,
    }
}

/// `error` and everything that lies underneath, one line each.
fn chain(error: &KubernetesError) -> Vec<String> {
    let mut lines = vec![error.message.clone()];
    lines.extend(error.notes.iter().cloned());
    let mut cause = error.source.as_deref().map(|error| error as &dyn StdError);
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    lines
}

impl From<KubernetesError> for TargetError {
    fn from(error: KubernetesError) -> Self {
        use KubernetesErrorKind as Kind;
        let (kind, class) = match error.kind {
            Kind::Setup | Kind::Unreachable | Kind::Record | Kind::Waiting => {
                (TargetErrorKind::Target, FailureClass::Infrastructure)
            }
            Kind::Credentials | Kind::Refused => (TargetErrorKind::Target, FailureClass::Auth),
            Kind::Denied | Kind::Manifest | Kind::Conflict | Kind::Missing => {
                (TargetErrorKind::Release, FailureClass::Config)
            }
            Kind::NotReady => (TargetErrorKind::Release, FailureClass::Unknown),
            Kind::Quota => (TargetErrorKind::Release, FailureClass::Quota),
            Kind::Tool => (TargetErrorKind::Release, FailureClass::Config),
            Kind::Held => (TargetErrorKind::Held, FailureClass::Infrastructure),
            Kind::Lost => (TargetErrorKind::Superseded, FailureClass::Infrastructure),
            Kind::Cancelled => (TargetErrorKind::Cancelled, FailureClass::Unknown),
        };
        let evidence = Evidence { notes: chain(&error), ..Evidence::default() };
        Self {
            kind,
            message: error.message,
            class,
            evidence: Box::new(evidence),
            source: error.source,
        }
    }
}
