//! Checkpoints of runs' audit logs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;

/// A checkpoint of a run's audit log, with the proof that the log extends what the hub has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSubmission {
    /// The checkpoint, as in `audit.checkpoint` (<https://c2sp.org/tlog-checkpoint>).
    pub checkpoint: String,
    /// The number of records in the hub's latest checkpoint of the run; 0 where it has none.
    pub known: u64,
    /// The consistency proof from those to this checkpoint's records (RFC 6962), each hash in base64.
    pub proof: Vec<String>,
}

/// The latest checkpoint of a run's audit log that the hub has, after a proof that it extends each
/// earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptCheckpoint {
    /// The checkpoint, with the hub's signature where the hub has a key.
    pub checkpoint: String,
    /// When it was submitted.
    #[schema(value_type = String)]
    pub at: Timestamp,
}
