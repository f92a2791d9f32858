//! What a deployer and the docker target's supervisor say to each other.

use serde::{Deserialize, Serialize};

use super::record::{ContainerRecord, ReleaseRecord};
use crate::supervisor::protocol::Protocol;
use greenloop_model::ReleaseId;

/// What only a docker target's supervisor is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum DockerRequest {
    /// A candidate is about to be made on this engine. The connection is the deployer's lease on
    /// it.
    Begin { candidate: Box<ReleaseRecord>, front: String, engine: String },
    /// An earlier release is about to be started; the one before what serves for `None`.
    Prepare { release: Option<ReleaseId> },
    /// What this connection has begun or prepared is healthy: it shall serve.
    Switch { release: ReleaseId, container: ContainerRecord },
    /// What this connection has begun or prepared is given up; a candidate has failed for this
    /// reason, or is forgotten for `None`.
    Abandon { why: Option<String> },
    /// The release failed; the last verified one shall serve. When that does not run, it is
    /// prepared instead: the deployer starts it, and asks for the switch.
    Restore { failed: ReleaseId, runs: bool },
}

/// What only it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum DockerReply {
    /// To `Begin`: go on.
    Begun,
    /// To `Begin`: this supervisor works with another engine, and makes way for a new one.
    Elsewhere,
    /// To `Prepare` and `Restore`: start this one.
    Prepared { record: Box<ReleaseRecord> },
}

/// The docker target's protocol.
#[derive(Debug)]
pub(super) enum DockerProtocol {}

impl Protocol for DockerProtocol {
    type Request = DockerRequest;
    type Reply = DockerReply;
}
