//! A work tree of its own, with refs and settings of its own: what happens in it reaches
//! neither the mirror nor another clone.

use std::path::{Path, PathBuf};

use super::mirror::push;
use super::{Git, GitError, GitErrorKind, Mirror};
use greenloop_model::{CommitId, Exit};

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    pub email: String,
}

/// A clone that borrows the objects of a mirror.
#[derive(Debug)]
pub struct TaskClone {
    folder: PathBuf,
    url: String,
    base: CommitId,
}

impl TaskClone {
    /// Makes the clone in `folder`, which is not there yet, with `branch` checked out at `base`,
    /// a commit of the mirror.
    ///
    /// # Errors
    /// When the folder cannot be made, or a filter of the repository fails.
    pub async fn make(
        mirror: &Mirror,
        folder: &Path,
        branch: &str,
        base: &CommitId,
        author: &Author,
        git: &Git,
    ) -> Result<Self, GitError> {
        let made = GitError::io(format!("make the folder {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(made)?;
        let local = GitErrorKind::Local;
        git.run(folder, &["init", "--quiet", "-b", branch, "."], local).await?;
        let objects = mirror.folder().canonicalize().map(|path| path.join("objects"));
        let objects = objects.map_err(GitError::io("find the mirror".to_owned()))?;
        let alternates = folder.join(".git/objects/info/alternates");
        std::fs::write(&alternates, format!("{}\n", objects.display()))
            .map_err(GitError::io(format!("write {}", alternates.display())))?;
        for (key, value) in [
            ("user.name", author.name.as_str()),
            ("user.email", author.email.as_str()),
            ("remote.origin.url", mirror.url()),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ] {
            git.run(folder, &["config", key, value], local).await?;
        }
        git.run(folder, &["reset", "--quiet", "--hard", base.as_str()], local).await?;
        Ok(Self { folder: folder.to_owned(), url: mirror.url().to_owned(), base: base.clone() })
    }

    /// Its work tree.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it began.
    pub fn base(&self) -> &CommitId {
        &self.base
    }

    /// Commits whatever differs, new files included, on top of what was committed there
    /// meanwhile. `None` when nothing has changed since the clone was made.
    ///
    /// # Errors
    /// When the history was rewritten from below the base, or git fails.
    pub async fn commit(&self, message: &str, git: &Git) -> Result<Option<CommitId>, GitError> {
        let local = GitErrorKind::Local;
        git.run(&self.folder, &["add", "--all", "--", "."], local).await?;
        let staged = ["diff", "--cached", "--quiet", "--no-ext-diff"];
        match git.outcome(&self.folder, &staged).await?.exit {
            Exit::Code(0) => {}
            Exit::Code(1) => {
                let commit =
                    ["commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-m", message];
                git.run(&self.folder, &commit, local).await?;
            }
            exit => {
                let message = format!("git diff failed ({exit})");
                return Err(GitError::new(local, message));
            }
        }
        let head = git.run(&self.folder, &["rev-parse", "--verify", "HEAD"], local).await?;
        let head: CommitId = head.trim().parse().map_err(|_invalid| {
            GitError::new(local, "HEAD of the clone is not a commit".to_owned())
        })?;
        if head == self.base {
            return Ok(None);
        }
        let forward = ["merge-base", "--is-ancestor", self.base.as_str(), head.as_str()];
        match git.outcome(&self.folder, &forward).await?.exit {
            Exit::Code(0) => Ok(Some(head)),
            _ => Err(GitError::new(
                local,
                "the history was rewritten: the result does not descend from the commit that it \
                 started from",
            )),
        }
    }

    /// Pushes a commit of the clone to a branch of the repository it was made from, never by
    /// force.
    ///
    /// # Errors
    /// [`GitErrorKind::Rejected`] when the branch is there with other work.
    pub async fn push(&self, commit: &CommitId, branch: &str, git: &Git) -> Result<(), GitError> {
        push(&self.folder, &self.url, commit, branch, None, git).await
    }
}

/// Deletes the folder of a clone, read-only folders in it included (build caches make such).
///
/// # Errors
/// When something in it cannot be deleted.
pub fn remove_folder(folder: &Path) -> Result<(), GitError> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
        return Ok(());
    }
    for entry in ignore::WalkBuilder::new(folder).standard_filters(false).build().flatten() {
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            let _tried =
                std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o700));
        }
    }
    std::fs::remove_dir_all(folder)
        .map_err(GitError::io(format!("delete the folder {}", folder.display())))
}
