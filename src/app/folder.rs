//! Where runs leave their files.

use std::path::{Path, PathBuf};

use super::AppError;
use crate::apply::Workspace;
use crate::model::RunId;

/// What Greenloop writes into a work tree, kept out of `git status`.
const OWN_FILES: [&str; 3] =
    ["/logs/runs/", "/logs/orchestrator_*.log", "/metrics/deployments.json"];

/// `logs/runs` of the repository.
pub fn runs_folder(root: &Path) -> PathBuf {
    root.join("logs").join("runs")
}

/// The audit log of a run.
///
/// # Errors
/// [`AppError::NoSuchRun`] when there is none. `run` may be the end of an id, if it is the end
/// of only one.
pub fn audit_log(root: &Path, run: &str) -> Result<PathBuf, AppError> {
    let runs = runs_folder(root);
    let matching: Vec<PathBuf> = std::fs::read_dir(&runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(run))
        .map(|entry| entry.path().join("audit.jsonl"))
        .filter(|path| path.is_file())
        .collect();
    match matching.as_slice() {
        [path] if !run.is_empty() => Ok(path.clone()),
        _none_or_several => Err(AppError::NoSuchRun { run: run.to_owned() }),
    }
}

/// The folder of a run.
pub(super) fn of_run(workspace: &Workspace, run: RunId) -> PathBuf {
    runs_folder(workspace.root()).join(run.to_string())
}

/// Makes a run's folder and keeps it out of `git status`.
pub(super) fn prepare(workspace: &Workspace, folder: &Path) -> Result<(), AppError> {
    workspace.exclude(&OWN_FILES)?;
    std::fs::create_dir_all(folder.join("stages"))
        .map_err(|source| AppError::Folder { path: folder.to_owned(), source })
}
