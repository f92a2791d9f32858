//! What a supervisor's process takes hold of before its first message.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::detach::{detach, lock, make_folder};
use super::release_state::{StateError, TargetState};
use super::socket;
use super::workload::Workload;
use super::{Message, Parts, Supervisor};
use crate::proxy::probe;
use greenloop_image::engine::EngineError;

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Another one has the target.
    #[error("another supervisor uses {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// The folder cannot be used.
    #[error("could not use the folder {}", folder.display())]
    Folder {
        /// The target's folder.
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The state cannot be used.
    #[error("could not take over the deployed release")]
    State(#[from] StateError),
    /// The engine's address is none.
    #[error("could not connect to the engine")]
    Engine(#[from] EngineError),
    /// No HTTP client for the health checks.
    #[error("could not run health checks")]
    Client(#[from] reqwest::Error),
}

/// Supervises the target in `state` until it is shut down or has nothing left to do. Detaches
/// itself from the terminal; its log goes where its standard error goes. `workload` is asked once
/// the target is locked.
///
/// # Errors
///
/// [`SuperviseError::AlreadyRunning`] when another one does so already; others when the folder,
/// its state or its socket cannot be used. Nothing is touched then.
pub(crate) async fn supervise<W: Workload>(
    state: &Path,
    workload: impl AsyncFnOnce(&Path) -> Result<W, SuperviseError>,
) -> Result<(), SuperviseError> {
    let error = |source| SuperviseError::Folder { folder: state.to_owned(), source };
    make_folder(state).map_err(error)?;
    let folder = state.canonicalize().map_err(error)?;
    let Some(lock) = lock(&folder).map_err(error)? else {
        return Err(SuperviseError::AlreadyRunning(folder));
    };
    detach();
    let state = TargetState::load(&folder)?;
    let workload = workload(&folder).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let listener = socket::listen(&folder).map_err(error)?;
    let (messages, incoming) = mpsc::unbounded_channel();
    let client = probe::client()?;
    let parts = Parts { folder, workload, state, client, messages: messages.clone() };
    let supervisor = Supervisor::begin(parts).await?;
    let serving =
        tokio::spawn(socket::serve::<W::Protocol, Message<W>>(listener, messages.clone()));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _supervisor_has_ended = messages.send(Message::Terminated);
    });
    supervisor.run(incoming).await;
    serving.abort();
    drop(lock);
    Ok(())
}
