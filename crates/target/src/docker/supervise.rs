//! The docker target's detached process: what it takes hold of before its first message.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::containers::Containers;
use super::labels::mark;
use super::protocol::Supervision;
use super::record::State;
use super::supervisor::{Beginning, Message, Supervisor};
use crate::front::detach::{detach, lock, make_folder};
use crate::front::ledger::StateError;
use crate::front::{probe, socket};
use greenloop_image::engine::{Engine, EngineError};
use greenloop_model::EnvironmentName;

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Another one has the target.
    #[error("another supervisor has {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// The folder cannot be used.
    #[error("cannot use the folder {}", folder.display())]
    Folder {
        /// The target's folder.
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The record cannot be used.
    #[error("cannot take over what was deployed")]
    State(#[from] StateError),
    /// The engine's address is none.
    #[error("cannot use the engine")]
    Engine(#[from] EngineError),
    /// No HTTP client for the health checks.
    #[error("cannot make health checks")]
    Client(#[from] reqwest::Error),
}

/// What the containers of the target in `folder` are known by, on this machine.
pub(super) fn mark_of(folder: &Path) -> std::io::Result<String> {
    let folder = std::path::absolute(folder)?;
    Ok(mark(rustix::system::uname().nodename().to_bytes(), &folder))
}

/// Holds the public address of the docker target in `state`, whose containers run on the engine
/// at `engine`, until it is shut down or has nothing left to do. Detaches itself from the
/// terminal; its log goes where its standard error goes.
///
/// # Errors
///
/// [`SuperviseError::AlreadyRunning`] when another one does so already; others when the folder,
/// its record or its socket cannot be used. Nothing is touched then.
pub async fn supervise(
    state: &Path,
    environment: EnvironmentName,
    engine: &str,
) -> Result<(), SuperviseError> {
    let error = |source| SuperviseError::Folder { folder: state.to_owned(), source };
    make_folder(state).map_err(error)?;
    let mark = mark_of(state).map_err(error)?;
    let folder = state.canonicalize().map_err(error)?;
    let Some(lock) = lock(&folder).map_err(error)? else {
        return Err(SuperviseError::AlreadyRunning(folder));
    };
    detach();
    let engine = Engine::at(Some(engine), &|name| std::env::var(name).ok())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let listener = socket::listen(&folder).map_err(error)?;
    let (messages, incoming) = mpsc::unbounded_channel();
    let supervisor = Supervisor::begin(Beginning {
        containers: Containers { engine, environment, mark },
        client: probe::client()?,
        state: State::load(&folder)?,
        folder,
        messages: messages.clone(),
    })
    .await?;
    let serving = tokio::spawn(socket::serve::<Supervision, Message>(listener, messages.clone()));
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
