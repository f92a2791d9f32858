//! Checkpoints of runs' audit logs.

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{CheckpointSubmission, KeptCheckpoint};

impl HubClient {
    /// The latest checkpoint that the hub has of a run.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound) where it has none.
    pub async fn checkpoint(&self, run: &str) -> Result<KeptCheckpoint, HubError> {
        self.ask(&Call::get(format!("checkpoints/{run}"))).await
    }

    /// Has the hub keep a checkpoint, and sign it where it has a key.
    ///
    /// # Errors
    /// [`Conflict`](super::HubErrorKind::Conflict) where the log does not extend what the hub has.
    pub async fn keep_checkpoint(
        &self,
        submission: &CheckpointSubmission,
    ) -> Result<KeptCheckpoint, HubError> {
        self.ask(&Call::post("checkpoints", submission)?).await
    }
}
