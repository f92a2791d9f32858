//! A repository for somebody else to work in: a commit's files in a temporary folder, with its
//! history and nothing else of the original: no remotes, no configuration, no hooks, no credentials.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{DiffOptions, Repository};

use super::folder::read_work_tree;
use super::workspace::find_commit;
use super::{Workspace, WorkspaceError, WorkspaceErrorKind, check_out, create_repository};
use greenloop_model::{CommitId, FileChange, RepoPath};
use greenloop_patch::Tree as _;

/// Files that may differ.
const MOST_FILES: usize = 1_000;
/// Bytes of one of them.
const MOST_BYTES: u64 = 8 << 20;

/// A throwaway clone; deleted when it is dropped.
#[derive(Debug)]
pub struct ThrowawayClone {
    folder: tempfile::TempDir,
    root: PathBuf,
    original: Workspace,
    commit: CommitId,
}

impl Workspace {
    /// A clone of `commit` in a temporary folder. Objects are read from this repository and written
    /// to the clone.
    ///
    /// # Errors
    /// When a file cannot be written, or the commit not be read.
    pub fn throwaway_clone(&self, commit: &CommitId) -> Result<ThrowawayClone, WorkspaceError> {
        let io = |context: &str| WorkspaceError::io(context.to_owned());
        let folder = tempfile::Builder::new()
            .prefix("greenloop-agent-")
            .tempdir()
            .map_err(io("cannot make a temporary folder"))?;
        // Links resolved: programs name their files by it.
        let root = folder.path().canonicalize().map_err(io("cannot find the temporary folder"))?;
        let root = root.join(self.root().file_name().unwrap_or("repository".as_ref()));
        fs::create_dir(&root).map_err(io("cannot make a folder for a clone"))?;
        create_repository(&root)?;
        let git = root.join(".git");
        let objects = self.git_dir().join("objects");
        let alternates = [objects.as_os_str().as_encoded_bytes(), b"\n"].concat();
        fs::create_dir_all(git.join("objects/info"))
            .and_then(|()| fs::write(git.join("objects/info/alternates"), alternates))
            .map_err(io("cannot share objects with a clone"))?;
        match fs::copy(self.git_dir().join("shallow"), git.join("shallow")) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io("cannot copy where the history ends")(error)),
        }
        let failed = || WorkspaceError::git(format!("cannot clone commit {}", commit.short()));
        let repo = Repository::open(&root).map_err(failed())?;
        let id = find_commit(&repo, commit)?.id();
        repo.reference("refs/heads/main", id, true, "greenloop: clone").map_err(failed())?;
        check_out(&root, commit)?;
        Ok(ThrowawayClone { folder, root, original: self.clone(), commit: commit.clone() })
    }
}

impl ThrowawayClone {
    /// Where its files lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder beside it that is deleted with it.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// What its files are in place of the commit's; what git ignores is left out. The clone's own
    /// git folder is not looked at: whoever worked there may have written anything to it.
    ///
    /// # Errors
    /// When a file cannot be read, or more or larger files differ than a patch may have.
    pub fn changes(&self) -> Result<Vec<FileChange>, WorkspaceError> {
        let failed = || WorkspaceError::git("cannot read what became of the clone");
        let too_large = |what: String| WorkspaceError::new(WorkspaceErrorKind::InvalidPath, what);
        let repo = self.original.repo()?;
        repo.set_workdir(&self.root, false).map_err(failed())?;
        let commit = find_commit(&repo, &self.commit)?;
        let tree = commit.tree().map_err(failed())?;
        let mut options = DiffOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_typechange(true)
            .ignore_submodules(true);
        let diff = repo.diff_tree_to_workdir(Some(&tree), Some(&mut options)).map_err(failed())?;
        let base = self.original.tree_at(&self.commit)?;
        let mut changes = Vec::new();
        for delta in diff.deltas() {
            let path = delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes());
            // A folder is a repository of its own.
            let Some(path) = path.filter(|path| !path.ends_with(b"/")) else { continue };
            let path = RepoPath::new(path).map_err(|error| too_large(error.to_string()))?;
            let read = |error: io::Error| WorkspaceError::io(format!("cannot read {path}"))(error);
            let size = self.root.join(path.to_os_path()).symlink_metadata();
            if size.is_ok_and(|found| found.is_file() && found.len() > MOST_BYTES) {
                return Err(too_large(format!("{path} is larger than {MOST_BYTES} bytes")));
            }
            let before = base.read(&path).map_err(read)?;
            let after = read_work_tree(&self.root, &path).map_err(read)?;
            if before != after {
                changes.push(FileChange { path, moved_from: None, before, after });
            }
            if changes.len() > MOST_FILES {
                return Err(too_large(format!("more than {MOST_FILES} files differ")));
            }
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes.dedup_by(|a, b| a.path == b.path);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestRepo;

    #[test]
    fn a_clone_has_the_history_and_nothing_to_reach_the_original_by() {
        let repo = TestRepo::new(&[("a.txt", "one\n"), (".gitignore", "/out\n")]);
        repo.commit(&[("a.txt", "two\n")]);
        repo.git(&["remote", "add", "origin", "https://me:hunter2@example.org/x.git"]);
        repo.git(&["config", "http.extraHeader", "Authorization: Basic hunter2"]);
        let workspace = repo.workspace();
        let head = workspace.head().unwrap().commit;
        let clone = workspace.throwaway_clone(&head).unwrap();
        let git = |arguments: &[&str]| {
            let output = std::process::Command::new("git")
                .current_dir(clone.root())
                .args(arguments)
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(git(&["log", "--oneline"]).lines().count(), 2);
        assert_eq!(git(&["status", "--porcelain"]), "");
        assert_eq!(git(&["remote"]), "");
        assert!(!git(&["config", "--local", "--list"]).contains("hunter2"));
        assert_eq!(clone.changes().unwrap(), []);

        // Written, committed, removed or ignored: what differs from the commit is what counts.
        fs::write(clone.root().join("a.txt"), "three\n").unwrap();
        git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "mine"]);
        fs::create_dir(clone.root().join("lib")).unwrap();
        fs::write(clone.root().join("lib/new"), "new\n").unwrap();
        fs::write(clone.root().join("out"), "built\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", clone.root().join("link")).unwrap();
        fs::remove_file(clone.root().join(".gitignore")).unwrap();
        fs::write(clone.root().join(".gitignore"), "/out\n/x\n").unwrap();
        fs::remove_dir_all(clone.root().join(".git")).unwrap();
        let changes = clone.changes().unwrap();
        let told: Vec<(String, Option<greenloop_model::FileMode>)> = changes
            .iter()
            .map(|change| (change.path.to_string(), change.after.as_ref().map(|file| file.mode)))
            .collect();
        use greenloop_model::FileMode::{Regular, Symlink};
        assert_eq!(
            told,
            [
                (".gitignore".to_owned(), Some(Regular)),
                ("a.txt".to_owned(), Some(Regular)),
                ("lib/new".to_owned(), Some(Regular)),
                ("link".to_owned(), Some(Symlink)),
            ]
        );
        assert_eq!(repo.read("a.txt").unwrap(), "two\n");
        let folder = clone.beside().to_owned();
        drop(clone);
        assert!(!folder.exists());
    }
}
