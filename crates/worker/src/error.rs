//! Why a worker ends.

use super::workdir::WorkdirError;
use greenloop_hub_api::client::HubError;

/// A worker that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its folders.
    #[error(transparent)]
    Workdir(#[from] WorkdirError),
    /// The hub refuses the worker's token or its protocol.
    #[error("the hub rejected this worker")]
    Hub(#[source] HubError),
    /// No thread for its heartbeats.
    #[error("failed to start the thread for heartbeats")]
    Thread(#[source] std::io::Error),
}
