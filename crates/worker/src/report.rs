//! What is reported of work that failed.

use super::self_check::{Fault, ModelCheck};
use greenloop_evidence::Redactor;
use greenloop_hub_api::types::{AttemptFailure, NewEvidence};
use greenloop_model::task::EvidenceKind;
use greenloop_model::{FailureClass, Fingerprint, ModelUsage, error_chain};
use greenloop_workspace::git::{GitError, GitErrorKind, system_class};

/// Bytes of a piece of evidence; the hub takes no more than 256 KiB.
const LONGEST: usize = 128 << 10;

/// Work that failed.
pub(super) struct AttemptError {
    pub(super) class: FailureClass,
    pub(super) message: String,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Whether another attempt makes sense.
    pub(super) retry: bool,
    pub(super) evidence: Vec<NewEvidence>,
    /// Whether it says nothing of the task: the attempt does not count.
    pub(super) uncounted: bool,
    /// What this machine is at fault for, where that is sure.
    pub(super) fault: Option<Fault>,
    /// Whether the task's repository was not heard.
    pub(super) remote: bool,
    /// Whether nothing is claimed in that repository until it answers.
    pub(super) unreachable: bool,
    /// The model that the task could not ask: the self-check asks it as well.
    pub(super) model: Option<ModelCheck>,
    /// Why this worker claims nothing more.
    pub(super) quarantine: Option<String>,
}

impl std::fmt::Debug for AttemptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttemptError")
            .field("class", &self.class)
            .field("message", &self.message)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl AttemptError {
    pub(super) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            fingerprint: None,
            retry: true,
            evidence: Vec::new(),
            uncounted: false,
            fault: None,
            remote: false,
            unreachable: false,
            model: None,
            quarantine: None,
        }
    }

    /// Of this machine.
    pub(super) fn of(fault: Fault) -> Self {
        let message = fault.reason.clone();
        Self { fault: Some(fault.clone()), ..Self::new(fault.class, message) }
    }

    /// As it goes to the hub, without secrets.
    pub(super) fn failure(&self, redactor: &Redactor) -> AttemptFailure {
        AttemptFailure {
            class: self.class.name().to_owned(),
            message: redactor.redact(&self.message).into_owned(),
            fingerprint: self.fingerprint.as_ref().map(ToString::to_string),
            retry: self.retry,
            uncounted: self.uncounted,
            quarantine: self.quarantine.as_ref().map(|why| redactor.redact(why).into_owned()),
            unreachable: self.unreachable,
        }
    }
}

impl From<GitError> for AttemptError {
    fn from(error: GitError) -> Self {
        let (class, message) = (error.class(), error_chain(&error));
        if error.kind == GitErrorKind::Remote && system_class(&message).is_none() {
            return Self { remote: true, ..Self::new(class, message) };
        }
        if error.is_of_the_machine() {
            return Self::of(Fault::new(class, message));
        }
        Self::new(class, message)
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
        kind,
        title: title.lines().next().unwrap_or_default().chars().take(300).collect(),
        body: body[from..].to_owned(),
        url: None,
    }
}

/// What models used, for the report on the graph; `None` when no model was asked.
pub(super) fn usage_evidence(usage: &[ModelUsage], redactor: &Redactor) -> Option<NewEvidence> {
    if usage.is_empty() {
        return None;
    }
    let body = serde_json::to_string(usage).ok()?;
    let requests: u64 = usage.iter().map(|it| u64::from(it.usage.requests)).sum();
    let tokens: u64 = usage.iter().map(|it| it.usage.tokens()).sum();
    let cost: f64 = usage.iter().map(|it| it.usage.cost_usd).sum();
    let mut title = format!("model usage: {tokens} tokens, requests: {requests}");
    if cost > 0.0 {
        title.push_str(&format!(", ${cost:.2}"));
    }
    Some(evidence(EvidenceKind::Usage, &title, &body, redactor))
}
