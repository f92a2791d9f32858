//! What is told of work that failed.

use crate::adapters::git::{GitError, GitErrorKind};
use crate::adapters::hub_client::wire::{AttemptFailure, NewEvidence};
use crate::evidence::Redactor;
use crate::model::task::EvidenceKind;
use crate::model::{FailureClass, Fingerprint, chain};

/// Bytes of a piece of evidence; the hub takes no more than 256 KiB.
const LONGEST: usize = 128 << 10;

/// Work that failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) class: FailureClass,
    pub(super) message: String,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Whether another attempt makes sense.
    pub(super) retry: bool,
    pub(super) evidence: Vec<NewEvidence>,
}

impl Trouble {
    pub(super) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            fingerprint: None,
            retry: true,
            evidence: Vec::new(),
        }
    }

    /// As it goes to the hub, without secrets.
    pub(super) fn failure(&self, redactor: &Redactor) -> AttemptFailure {
        AttemptFailure {
            class: self.class.name().to_owned(),
            message: redactor.redact(&self.message).into_owned(),
            fingerprint: self.fingerprint.as_ref().map(ToString::to_string),
            retry: self.retry,
        }
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        let class = match error.kind {
            GitErrorKind::NoGit => FailureClass::Config,
            GitErrorKind::Rejected => FailureClass::Code,
            GitErrorKind::Remote | GitErrorKind::Local | GitErrorKind::Cancelled => {
                FailureClass::Infrastructure
            }
        };
        Self::new(class, chain(&error))
    }
}

/// A piece of evidence, bounded from its end, without secrets.
pub(super) fn evidence(
    kind: EvidenceKind,
    title: &str,
    body: &str,
    redactor: &Redactor,
) -> NewEvidence {
    let body = redactor.redact(body);
    let from = body.len().saturating_sub(LONGEST);
    let from = (from..=body.len()).find(|at| body.is_char_boundary(*at)).unwrap_or(body.len());
    let title = redactor.redact(title);
    NewEvidence {
        kind: kind.name().to_owned(),
        title: title.lines().next().unwrap_or_default().chars().take(300).collect(),
        body: body[from..].to_owned(),
        url: None,
    }
}
