//! The process target's supervisor.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::service::TARGET_VARIABLE;
use super::workload::Processes;
use crate::supervisor::supervise::{SuperviseError, supervise as supervise_workload};

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
    supervise_workload(state, async |folder| {
        let mark = mark(folder);
        let orphans = format!("{TARGET_VARIABLE}={mark}").into_bytes();
        let _none_left =
            tokio::task::spawn_blocking(move || greenloop_exec::kill_entry(&orphans)).await;
        Ok(Processes::new(mark, std::env::vars_os().collect()))
    })
    .await
}
