//! Copying what a release consists of out of the work tree.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::service::{files_folder, release_folder};
use greenloop_config::nearest::near_file;
use greenloop_model::{ReleaseId, Remedy};

/// Where builds usually put what they make.
const BUILT: [&str; 8] =
    ["", "build", "dist", "out", "bin", "target/release", "target/debug", "public"];

/// An artifact that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("artifact {}: {problem}", artifact.display())]
pub(super) struct ArtifactError {
    artifact: PathBuf,
    problem: ArtifactProblem,
    #[source]
    source: Option<std::io::Error>,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArtifactProblem {
    /// Nothing there: the gates have not built it, or it is misspelt.
    #[error("no such file or folder; did a gate build it?")]
    Missing,
    /// Absolute, or with `..`.
    #[error("it is outside the repository")]
    Outside,
    /// Two artifacts would have the same name in the release's folder.
    #[error("another artifact has the same name")]
    SameName,
    /// A device, a socket, a pipe.
    #[error("it is neither a file nor a folder")]
    Unsuitable,
    /// The disk would not.
    #[error("could not copy it")]
    Copy,
}

impl ArtifactError {
    /// What helps, where the artifact is not there: most likely it was built under another name.
    pub(super) fn remedy(&self, work_tree: &Path) -> Option<Remedy> {
        if self.problem != ArtifactProblem::Missing {
            return None;
        }
        let shown = self.artifact.to_string_lossy();
        let near = near_file(&work_tree.join(&self.artifact), &shown).or_else(|| {
            let name = self.artifact.file_name()?;
            let built = BUILT.iter().map(|folder| Path::new(folder).join(name));
            let found = built
                .filter(|path| *path != self.artifact)
                .find(|path| work_tree.join(path).exists())?;
            Some(found.to_string_lossy().into_owned())
        });
        // Greenloop's own configuration is never patched.
        let person_only = near.is_some();
        let what = match near {
            Some(near) => {
                format!("did you mean `{near}`? Correct `deploy.process.artifacts`")
            }
            None => "add a gate that builds it, or correct `deploy.process.artifacts`".to_owned(),
        };
        Some(Remedy { what, command: None, person_only })
    }

    pub(super) fn problem(&self) -> ArtifactProblem {
        self.problem
    }

    pub(super) fn into_source(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        Some(Box::new(self.source?))
    }
}

fn error(artifact: &Path, problem: ArtifactProblem) -> ArtifactError {
    ArtifactError { artifact: artifact.to_owned(), problem, source: None }
}

fn copy_error(artifact: &Path) -> impl Fn(std::io::Error) -> ArtifactError {
    let artifact = artifact.to_owned();
    move |e| ArtifactError {
        artifact: artifact.clone(),
        problem: ArtifactProblem::Copy,
        source: Some(e),
    }
}

/// What stands where in the release's folder: checked before anything is copied.
pub(super) fn check(
    work_tree: &Path,
    artifacts: &[PathBuf],
) -> Result<BTreeMap<OsString, PathBuf>, ArtifactError> {
    let mut named = BTreeMap::new();
    for artifact in artifacts {
        let inside = artifact
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let name = artifact.file_name().filter(|_| inside);
        let Some(name) = name else { return Err(error(artifact, ArtifactProblem::Outside)) };
        let path = work_tree.join(artifact);
        if !path.exists() {
            return Err(error(artifact, ArtifactProblem::Missing));
        }
        if named.insert(name.to_owned(), path).is_some() {
            return Err(error(artifact, ArtifactProblem::SameName));
        }
    }
    Ok(named)
}

/// Makes the release's folder, all or nothing. A folder that is there already is complete.
pub(super) fn copy(
    named: &BTreeMap<OsString, PathBuf>,
    target: &Path,
    release: ReleaseId,
) -> Result<(), ArtifactError> {
    let folder = release_folder(target, release);
    if files_folder(target, release).is_dir() {
        return Ok(());
    }
    let releases = target.join("releases");
    std::fs::create_dir_all(&releases).map_err(copy_error(&releases))?;
    let half = tempfile::Builder::new()
        .prefix(".half-")
        .tempdir_in(&releases)
        .map_err(copy_error(&releases))?;
    let files = half.path().join("files");
    std::fs::create_dir(&files).map_err(copy_error(&files))?;
    for (name, path) in named {
        // The artifact itself may be a link to what was built; links inside folders stay links.
        let real = path.canonicalize().map_err(copy_error(path))?;
        copy_entry(&real, &files.join(name))?;
    }
    std::fs::rename(half.path(), &folder).map_err(copy_error(&folder))?;
    Ok(())
}

fn copy_entry(from: &Path, to: &Path) -> Result<(), ArtifactError> {
    let kind = std::fs::symlink_metadata(from).map_err(copy_error(from))?.file_type();
    if kind.is_symlink() {
        let leads_to = std::fs::read_link(from).map_err(copy_error(from))?;
        std::os::unix::fs::symlink(leads_to, to).map_err(copy_error(from))
    } else if kind.is_dir() {
        std::fs::create_dir(to).map_err(copy_error(to))?;
        for entry in std::fs::read_dir(from).map_err(copy_error(from))? {
            let name = entry.map_err(copy_error(from))?.file_name();
            copy_entry(&from.join(&name), &to.join(&name))?;
        }
        Ok(())
    } else if kind.is_file() {
        // Keeps the mode, and shares the blocks where the file system can.
        std::fs::copy(from, to).map(|_| ()).map_err(copy_error(from))
    } else {
        Err(error(from, ArtifactProblem::Unsuitable))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn copies_files_and_folders_under_their_own_names() {
        let tree = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("build/static/css")).unwrap();
        std::fs::write(tree.path().join("build/server"), "x").unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(tree.path().join("build/server"), executable).unwrap();
        std::fs::write(tree.path().join("build/static/css/a.css"), "y").unwrap();
        std::os::unix::fs::symlink("css/a.css", tree.path().join("build/static/link")).unwrap();
        let named = check(tree.path(), &["build/server".into(), "./build/static".into()]).unwrap();
        let release = ReleaseId::generate();
        for _ in 0..2 {
            copy(&named, target.path(), release).unwrap();
        }
        let files = files_folder(target.path(), release);
        let mode = std::fs::metadata(files.join("server")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(std::fs::read_to_string(files.join("static/link")).unwrap(), "y");
        assert!(std::fs::symlink_metadata(files.join("static/link")).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(target.path().join("releases")).unwrap().count(), 1);
    }

    #[test]
    fn refuses_what_is_missing_outside_or_twice() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("a")).unwrap();
        std::fs::write(tree.path().join("x"), "").unwrap();
        std::fs::write(tree.path().join("a/x"), "").unwrap();
        for (artifacts, expect) in [
            (&["y"][..], ArtifactProblem::Missing),
            (&["../x"], ArtifactProblem::Outside),
            (&["/etc/passwd"], ArtifactProblem::Outside),
            (&["x", "a/x"], ArtifactProblem::SameName),
        ] {
            let artifacts: Vec<PathBuf> = artifacts.iter().map(PathBuf::from).collect();
            let problem = check(tree.path(), &artifacts).unwrap_err().problem();
            assert_eq!(problem, expect, "{artifacts:?}");
        }
    }
}
