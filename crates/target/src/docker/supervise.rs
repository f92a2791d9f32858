//! The docker target's supervisor.

use std::path::Path;

use super::containers::Containers;
use super::labels::mark;
use super::workload::DockerWorkload;
use crate::supervisor::supervise::{SuperviseError, supervise as supervise_workload};
use greenloop_image::engine::Engine;
use greenloop_model::EnvironmentName;

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
    supervise_workload(state, async |_| {
        let mark = mark_of(state)
            .map_err(|source| SuperviseError::Folder { folder: state.to_owned(), source })?;
        let engine = Engine::at(Some(engine), &|name| std::env::var(name).ok())?;
        Ok(DockerWorkload::new(Containers { engine, environment, mark }))
    })
    .await
}
