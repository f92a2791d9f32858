//! What a deployer and the docker target's supervisor say to each other.

use serde::{Deserialize, Serialize};

use super::record::{ContainerRecord, ReleaseRecord};
use crate::front::control::{Answer, ControlError, Protocol};
use crate::front::ledger::{as_optional_text, as_text};
use crate::front::wire::VERSION;
use greenloop_model::{ReleaseId, RunId};

/// What a supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Request {
    /// Whether it is there.
    Ping,
    /// A candidate is about to be made on this engine. The connection is the deployer's lease on
    /// it.
    Begin { candidate: Box<ReleaseRecord>, front: String, engine: String },
    /// An earlier release is about to be started; the one before what serves for `None`.
    Prepare {
        #[serde(with = "as_optional_text")]
        release: Option<ReleaseId>,
    },
    /// What this connection has begun or prepared is healthy: it shall serve.
    Switch {
        #[serde(with = "as_text")]
        release: ReleaseId,
        container: ContainerRecord,
    },
    /// What this connection has begun or prepared is given up; a candidate has failed for this
    /// reason, or is forgotten for `None`.
    Abandon { why: Option<String> },
    /// The release passed its smoke tests.
    MarkVerified {
        #[serde(with = "as_text")]
        release: ReleaseId,
    },
    /// The release failed; the last verified one shall serve. When that does not run, it is
    /// prepared instead: the deployer starts it, and asks for the switch.
    Restore {
        #[serde(with = "as_text")]
        failed: ReleaseId,
        runs: bool,
    },
    /// The run is gone.
    CleanUp {
        #[serde(with = "as_text")]
        run: RunId,
    },
    /// Stop the service and end.
    ShutDown,
}

/// What it answers, once for each request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Reply {
    /// To `Ping`.
    Here { pid: u32 },
    /// To `Begin`: go on.
    Begun,
    /// To `Begin`: this supervisor works with another engine, and makes way for a new one.
    Elsewhere,
    /// To `Prepare` and `Restore`: start this one.
    Prepared { record: Box<ReleaseRecord> },
    /// The release serves.
    Serving {
        #[serde(with = "as_text")]
        release: ReleaseId,
    },
    /// To `Restore`: what serves now, and whether it had stopped serving.
    Restored {
        #[serde(with = "as_optional_text")]
        serving: Option<ReleaseId>,
        untouched: bool,
    },
    /// It is done.
    Done { notes: Vec<String> },
    /// It is not.
    Failed { trouble: Trouble },
}

/// Why a request could not be met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Trouble {
    /// It failed in an earlier request.
    FailedBefore { why: String },
    /// The front's address belongs to somebody else.
    AddressInUse { address: String, owner: Option<String> },
    /// Another rollout is under way.
    Busy { with: String },
    /// There is no such release.
    NoRelease { message: String },
    /// The way back is closed.
    Forbidden { message: String },
    /// The supervisor itself could not.
    Supervisor { message: String },
    /// The supervisor speaks another version.
    Version { supervisor: u32 },
}

impl std::fmt::Display for Trouble {
    /// One line for a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FailedBefore { why } => {
                write!(f, "this release cannot be rolled out again: {why}")
            }
            Self::AddressInUse { address, owner } => {
                let owner = owner.as_ref().map(|owner| format!("process {owner}"));
                let owner = owner.as_deref().unwrap_or("another program");
                write!(f, "the address {address} is in use by {owner}")
            }
            Self::Busy { with } => write!(f, "the target is busy with {with}"),
            Self::NoRelease { message }
            | Self::Forbidden { message }
            | Self::Supervisor { message } => f.write_str(message),
            Self::Version { supervisor } => write!(f, "{}", ControlError::Version(*supervisor)),
        }
    }
}

/// The docker target's protocol.
#[derive(Debug)]
pub(super) enum Supervision {}

impl Protocol for Supervision {
    type Request = Request;
    type Reply = Reply;

    fn ping() -> Request {
        Request::Ping
    }

    fn kind(reply: &Reply) -> Answer {
        match reply {
            Reply::Here { pid } => Answer::Here(*pid),
            Reply::Failed { trouble: Trouble::Version { supervisor } } => {
                Answer::OtherVersion(*supervisor)
            }
            Reply::Begun
            | Reply::Elsewhere
            | Reply::Prepared { .. }
            | Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. } => Answer::Last,
        }
    }

    fn other_version() -> Reply {
        Reply::Failed { trouble: Trouble::Version { supervisor: VERSION } }
    }
}
