//! Objects and refs that are on the disk before they count.
//!
//! libgit2 syncs them only where `core.fsyncObjectFiles` is on, which it is not by default: after a
//! loss of power a branch may then name a commit whose file is empty. The setting is not written
//! into the user's configuration, but into a file of Greenloop's that is read beside it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use git2::{ConfigLevel, Repository};

use super::{Workspace, WorkspaceError};

/// Below Greenloop's state.
const FILE: &str = "libgit2.gitconfig";
const CONTENT: &[u8] = b"[core]\n\tfsyncObjectFiles = true\n";

impl Workspace {
    /// The repository, for what a run must still find after a loss of power.
    pub(super) fn durable_repo(&self) -> Result<Repository, WorkspaceError> {
        let repo = self.repo()?;
        // Where Greenloop has no state, there is no run either.
        let state = self.git_dir().join("greenloop");
        if state.is_dir() {
            let failed = || format!("cannot write {} to {}", FILE, state.display());
            let file = settings(&state).map_err(WorkspaceError::io(failed()))?;
            // Not a copy: the repository's own.
            let added =
                repo.config().and_then(|mut config| config.add_file(&file, ConfigLevel::App, true));
            added.map_err(WorkspaceError::git(failed()))?;
        }
        Ok(repo)
    }
}

/// The file, made where it is missing.
fn settings(state: &Path) -> io::Result<PathBuf> {
    let path = state.join(FILE);
    if std::fs::read(&path).is_ok_and(|content| content == CONTENT) {
        return Ok(path);
    }
    let mut file = tempfile::NamedTempFile::new_in(state)?;
    file.write_all(CONTENT)?;
    file.persist(&path)?;
    Ok(path)
}
