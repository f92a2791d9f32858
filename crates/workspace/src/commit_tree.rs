//! The files of a commit.

use std::io;
use std::ops::ControlFlow;

use git2::{Repository, Tree as GitTree};

use super::workspace::find_commit;
use super::{Workspace, WorkspaceError};
use greenloop_model::{CommitId, FileContent, FileMode, RepoPath};
use greenloop_patch::Tree;

/// A commit's tree, read from git's objects.
pub struct CommitTree {
    repo: Repository,
    tree: git2::Oid,
}

impl Workspace {
    /// The files of `commit`.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn tree_at(&self, commit: &CommitId) -> Result<CommitTree, WorkspaceError> {
        let repo = self.repo()?;
        let tree = find_commit(&repo, commit)?.tree_id();
        Ok(CommitTree { repo, tree })
    }
}

impl CommitTree {
    fn root(&self) -> io::Result<GitTree<'_>> {
        self.repo.find_tree(self.tree).map_err(by_git)
    }

    /// The first folder on the way to `path` that is a symbolic link or a submodule rather than
    /// a folder: what lies beyond is not this tree's.
    pub fn detour(&self, path: &RepoPath) -> io::Result<Option<(RepoPath, FileMode)>> {
        let mut tree = self.root()?;
        let components: Vec<&[u8]> = path.components().collect();
        for depth in 0..components.len().saturating_sub(1) {
            let next = match tree.iter().find(|entry| entry.name_bytes() == components[depth]) {
                None => return Ok(None),
                Some(entry) => match mode(entry.filemode()) {
                    Some(kind @ (FileMode::Symlink | FileMode::Submodule)) => {
                        let parent = RepoPath::new(components[..=depth].join(&b'/'))
                            .map_err(io::Error::other)?;
                        return Ok(Some((parent, kind)));
                    }
                    Some(FileMode::Regular | FileMode::Executable) => return Ok(None),
                    None => entry.id(),
                },
            };
            tree = self.repo.find_tree(next).map_err(by_git)?;
        }
        Ok(None)
    }
}

impl Tree for CommitTree {
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>> {
        let root = self.root()?;
        let entry = match root.get_path(&path.to_os_path()) {
            Ok(entry) => entry,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(by_git(error)),
        };
        let Some(mode) = mode(entry.filemode()) else { return Ok(None) };
        let bytes = match mode {
            FileMode::Submodule => Vec::new(),
            FileMode::Regular | FileMode::Executable | FileMode::Symlink => {
                let blob = self.repo.find_blob(entry.id()).map_err(by_git)?;
                blob.content().to_vec()
            }
        };
        Ok(Some(FileContent { bytes, mode }))
    }

    fn files(&self) -> io::Result<Vec<RepoPath>> {
        let mut files = Vec::new();
        walk(&self.repo, self.tree, |path, mode, _| {
            if mode != FileMode::Submodule {
                files.push(path);
            }
            ControlFlow::Continue(())
        })
        .map_err(by_git)?;
        Ok(files)
    }
}

/// What libgit2 says, without its codes.
fn by_git(error: git2::Error) -> io::Error {
    io::Error::other(error.message().to_owned())
}

/// Visits the leaves beneath `tree` in git's order until the visitor breaks off. Own code,
/// because git2's walk gives up on folders whose names are not UTF-8.
pub(super) fn walk(
    repo: &Repository,
    tree: git2::Oid,
    mut visit: impl FnMut(RepoPath, FileMode, git2::Oid) -> ControlFlow<()>,
) -> Result<(), git2::Error> {
    let mut waiting: Vec<(Vec<u8>, Option<FileMode>, git2::Oid)> = vec![(Vec::new(), None, tree)];
    while let Some((path, leaf, id)) = waiting.pop() {
        if let Some(mode) = leaf {
            // Git holds no path that is none.
            if let Ok(path) = RepoPath::new(&path)
                && visit(path, mode, id).is_break()
            {
                return Ok(());
            }
            continue;
        }
        let tree = repo.find_tree(id)?;
        for entry in tree.iter().rev() {
            let mut child = path.clone();
            if !child.is_empty() {
                child.push(b'/');
            }
            child.extend_from_slice(entry.name_bytes());
            waiting.push((child, mode(entry.filemode()), entry.id()));
        }
    }
    Ok(())
}

/// The mode of a leaf; `None` for a folder.
pub(super) fn mode(git: i32) -> Option<FileMode> {
    match git {
        0o120_000 => Some(FileMode::Symlink),
        0o160_000 => Some(FileMode::Submodule),
        0o040_000 => None,
        bits if bits & 0o111 != 0 => Some(FileMode::Executable),
        _ => Some(FileMode::Regular),
    }
}
