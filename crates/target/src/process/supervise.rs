//! The supervisor's process: what it takes hold of before its first message.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::protocol::Supervision;
use super::service::TARGET_VARIABLE;
use super::state::State;
use super::supervisor::{Beginning, Message, Supervisor};
use crate::front::detach::{detach, lock, make_folder};
use crate::front::ledger::StateError;
use crate::front::{probe, socket};

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
    /// The state cannot be used.
    #[error("cannot take over what was deployed")]
    State(#[from] StateError),
    /// No HTTP client for the health checks.
    #[error("cannot make health checks")]
    Client(#[from] reqwest::Error),
}

/// What the target's services carry in their environment.
fn mark(folder: &Path) -> String {
    let digest = Sha256::digest(folder.as_os_str().as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Supervises the target in `state` until it is shut down or has nothing left to do. Detaches
/// itself from the terminal; its log goes where its standard error goes.
///
/// # Errors
///
/// [`SuperviseError::AlreadyRunning`] when another one does so already; others when the folder,
/// its state or its socket cannot be used. Nothing is touched then.
pub async fn supervise(state: &Path) -> Result<(), SuperviseError> {
    let error = |source| SuperviseError::Folder { folder: state.to_owned(), source };
    make_folder(state).map_err(error)?;
    let folder = state.canonicalize().map_err(error)?;
    let Some(lock) = lock(&folder).map_err(error)? else {
        return Err(SuperviseError::AlreadyRunning(folder));
    };
    detach();
    let state = State::load(&folder)?.unwrap_or_default();
    let mark = mark(&folder);
    let orphans = format!("{TARGET_VARIABLE}={mark}").into_bytes();
    let _none_left =
        tokio::task::spawn_blocking(move || greenloop_exec::kill_entry(&orphans)).await;

    let client = probe::client()?;
    let mut terminate = signal(SignalKind::terminate()).map_err(error)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(error)?;
    let listener = socket::listen(&folder).map_err(error)?;
    let (messages, incoming) = mpsc::unbounded_channel();
    let supervisor = Supervisor::begin(Beginning {
        folder: folder.clone(),
        mark,
        state,
        environment: std::env::vars_os().collect(),
        client,
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
