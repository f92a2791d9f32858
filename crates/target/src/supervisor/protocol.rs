//! What a deployer and a supervisor say to each other, beyond what is one target's own.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::release_state::StateError;
use super::wire;
use crate::proxy::listener::BindError;
use crate::proxy::port_owner::remedy;
use crate::proxy::probe::Probe;
use greenloop_model::{Exit, FailureClass, ReleaseId, Remedy, RunId};
use greenloop_ports::TargetErrorKind;

/// The requests and replies that only one kind of target has.
pub(crate) trait Protocol: 'static {
    type Request: Serialize + DeserializeOwned + Send + Sync + 'static;
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Whether more replies to the same request follow.
    fn is_progress(_reply: &Self::Reply) -> bool {
        false
    }
}

/// What a supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Request<R> {
    /// Whether it is there.
    Ping,
    /// The release passed its smoke tests.
    MarkVerified { release: ReleaseId },
    /// The run is gone.
    CleanUp { run: RunId },
    /// Stop the service and end.
    ShutDown,
    /// What only this kind of target is asked.
    #[serde(untagged)]
    Own(R),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Reply<R> {
    /// To `Ping`.
    Here { pid: u32 },
    /// The release serves.
    Serving { release: ReleaseId },
    /// To `Restore`: what serves now, and whether it had stopped serving.
    Restored { serving: Option<ReleaseId>, untouched: bool },
    /// It is done.
    Done { notes: Vec<String> },
    /// It is not.
    Failed {
        #[serde(rename = "trouble")]
        error: RequestError,
    },
    /// What only this kind of target answers.
    #[serde(untagged)]
    Own(R),
}

impl<R> From<RequestError> for Reply<R> {
    fn from(error: RequestError) -> Self {
        Self::Failed { error }
    }
}

/// Why a request was not met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum RequestError {
    /// The release's program could not be started.
    NotStarted { reason: String },
    /// The release's process ended before it was healthy.
    Exited { exit: ExitRecord },
    /// The release's process lives, but its health check does not pass.
    Unhealthy { last: Option<Box<Probe>>, waited: Duration },
    /// Its deployer says why the release does not come to serve.
    GivenUp { why: String },
    /// It failed in an earlier request.
    FailedBefore { why: String },
    /// Another program listens at the address.
    AddressInUse { address: String, owner: Option<String> },
    /// Another rollout is under way.
    Busy { with: String },
    /// The deployer or a person cancelled it.
    Cancelled,
    /// There is no such release.
    NoRelease { message: String },
    /// `deploy.rollback: forbidden` keeps earlier releases from serving again.
    Forbidden { message: String },
    /// The supervisor itself could not.
    Supervisor { message: String },
    /// The supervisor speaks another version.
    Version { supervisor: u32 },
}

impl RequestError {
    /// The state cannot be written: a disk that is full, a folder that is gone.
    pub(crate) fn unsaved(error: &StateError) -> Self {
        Self::Supervisor { message: greenloop_model::error_chain(error) }
    }

    pub(crate) fn no_release(message: impl Into<String>) -> Self {
        Self::NoRelease { message: message.into() }
    }

    pub(crate) fn forbidden(serving: ReleaseId, by: ReleaseId) -> Self {
        let message = format!(
            "release {} keeps serving: release {} was deployed with `deploy.rollback: forbidden`, \
             so no older release may serve again; deploy a repaired release instead",
            serving.short(),
            by.short()
        );
        Self::Forbidden { message }
    }

    /// What it means for whoever asked; the class as far as the service's log tells no other.
    pub(crate) fn kind(&self) -> (TargetErrorKind, FailureClass) {
        match self {
            Self::NotStarted { .. } => (TargetErrorKind::Release, FailureClass::Config),
            Self::Exited { .. }
            | Self::Unhealthy { .. }
            | Self::GivenUp { .. }
            | Self::FailedBefore { .. } => (TargetErrorKind::Release, FailureClass::Code),
            Self::Cancelled => (TargetErrorKind::Cancelled, FailureClass::Unknown),
            Self::NoRelease { .. } => (TargetErrorKind::NoRelease, FailureClass::Unknown),
            Self::Forbidden { .. } => (TargetErrorKind::Forbidden, FailureClass::Unknown),
            Self::AddressInUse { .. } => {
                (TargetErrorKind::AddressInUse, FailureClass::Infrastructure)
            }
            Self::Busy { .. } | Self::Supervisor { .. } | Self::Version { .. } => {
                (TargetErrorKind::Target, FailureClass::Infrastructure)
            }
        }
    }

    /// What a person can do, where that does not depend on the release.
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::AddressInUse { address, owner } => Some(remedy(address, owner.as_deref())),
            Self::NotStarted { .. }
            | Self::Exited { .. }
            | Self::Unhealthy { .. }
            | Self::GivenUp { .. }
            | Self::FailedBefore { .. }
            | Self::Busy { .. }
            | Self::Cancelled
            | Self::NoRelease { .. }
            | Self::Forbidden { .. }
            | Self::Supervisor { .. }
            | Self::Version { .. } => None,
        }
    }

    /// How the release's process ended, or that it never began.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self {
            Self::Exited { exit } => Some((*exit).into()),
            Self::NotStarted { reason } => Some(Exit::NotStarted(reason.clone())),
            Self::Unhealthy { .. }
            | Self::GivenUp { .. }
            | Self::FailedBefore { .. }
            | Self::AddressInUse { .. }
            | Self::Busy { .. }
            | Self::Cancelled
            | Self::NoRelease { .. }
            | Self::Forbidden { .. }
            | Self::Supervisor { .. }
            | Self::Version { .. } => None,
        }
    }
}

impl fmt::Display for RequestError {
    /// One line for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { reason } => {
                write!(f, "the new release could not be started: {reason}")
            }
            Self::Exited { exit } => {
                let exit = Exit::from(*exit);
                write!(f, "the new release exited before it became healthy: {exit}")
            }
            Self::Unhealthy { last, waited } => {
                let last = last.as_ref().map_or("there was no answer", |probe| &probe.complaint);
                let waited = waited.as_secs_f64();
                write!(f, "the new release did not become healthy within {waited}s: {last}")
            }
            Self::FailedBefore { why } => {
                write!(f, "this release cannot be deployed again: {why}")
            }
            Self::AddressInUse { address, owner: Some(owner) } => {
                write!(f, "the address {address} is in use by process {owner}")
            }
            Self::AddressInUse { address, owner: None } => {
                write!(f, "the address {address} is in use by another program")
            }
            Self::Busy { with } => write!(f, "the target is busy: {with}"),
            Self::Cancelled => f.write_str("cancelled; nothing was switched"),
            Self::GivenUp { why: message }
            | Self::NoRelease { message }
            | Self::Forbidden { message }
            | Self::Supervisor { message } => f.write_str(message),
            Self::Version { supervisor } => f.write_str(&wire::version_mismatch(*supervisor)),
        }
    }
}

impl From<BindError> for RequestError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::InUse { address, owner } => Self::AddressInUse { address, owner },
            BindError::Refused { .. } => Self::Supervisor { message: error.to_string() },
        }
    }
}

/// The reply to a side that speaks another version.
pub(crate) fn other_version<R>() -> Reply<R> {
    RequestError::Version { supervisor: wire::VERSION }.into()
}

/// [`Exit`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExitRecord {
    Code(i32),
    Signal(i32),
}

impl From<ExitRecord> for Exit {
    fn from(record: ExitRecord) -> Self {
        match record {
            ExitRecord::Code(code) => Self::Code(code),
            ExitRecord::Signal(signal) => Self::Signal(signal),
        }
    }
}
