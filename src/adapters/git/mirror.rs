//! A bare copy of a remote repository, kept between uses, that clones borrow objects from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Git, GitError, GitErrorKind};
use crate::model::{CommitId, Exit};

/// One fetch or push at a time.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// A mirror of one repository. Clones of the value share its turn.
#[derive(Debug, Clone)]
pub struct Mirror {
    folder: PathBuf,
    url: String,
    turn: Turn,
}

impl Mirror {
    /// The mirror of `url` below `place`, made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn open(place: &Path, url: &str, git: &Git) -> Result<Self, GitError> {
        if url.starts_with('-') {
            let message = format!("{url:?} is not the address of a repository");
            return Err(GitError::new(GitErrorKind::Local, message));
        }
        let digest = Sha256::digest(url.as_bytes());
        let name: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let folder = place.join(format!("{name}.git"));
        std::fs::create_dir_all(&folder)
            .map_err(GitError::io(format!("make the folder {}", folder.display())))?;
        // Again on one that is there: harmless, and it mends a half-made one.
        git.run(&folder, &["init", "--quiet", "--bare", "."], GitErrorKind::Local).await?;
        Ok(Self { folder, url: url.to_owned(), turn: Turn::default() })
    }

    /// The bare repository.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The remote's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a branch of the remote is, asked for there; `None` when there is none.
    ///
    /// # Errors
    /// When the remote is not heard.
    pub async fn remote_tip(&self, branch: &str, git: &Git) -> Result<Option<CommitId>, GitError> {
        let name = format!("refs/heads/{branch}");
        let arguments = ["ls-remote", "--exit-code", "--", &self.url, &name];
        let said = git.outcome(&self.folder, &arguments).await?;
        match &said.exit {
            Exit::Code(0) => {
                let tip = said.text.lines().filter_map(|line| line.split_once('\t'));
                let tip =
                    tip.filter(|(_, found)| *found == name).find_map(|(id, _)| id.parse().ok());
                Ok(tip)
            }
            // What `--exit-code` means.
            Exit::Code(2) => Ok(None),
            exit => {
                let message = format!("git ls-remote failed ({exit}): {}", said.line());
                Err(GitError::new(GitErrorKind::Remote, message))
            }
        }
    }

    /// Brings a branch of the remote, and says where it is.
    ///
    /// # Errors
    /// When the remote is not heard, or has no such branch.
    pub async fn fetch(&self, branch: &str, git: &Git) -> Result<CommitId, GitError> {
        let own = format!("refs/remotes/origin/{branch}");
        self.fetch_as(&format!("refs/heads/{branch}"), &own, git).await
    }

    /// Brings what the remote checks out by itself.
    ///
    /// # Errors
    /// When the remote is not heard, or is empty.
    pub async fn fetch_default(&self, git: &Git) -> Result<CommitId, GitError> {
        self.fetch_as("HEAD", "refs/remotes/origin/HEAD", git).await
    }

    async fn fetch_as(&self, from: &str, to: &str, git: &Git) -> Result<CommitId, GitError> {
        let _turn = self.turn.lock().await;
        fetch(&self.folder, &self.url, from, to, git).await
    }

    /// The commit that a name stands for in the mirror.
    ///
    /// # Errors
    /// When it stands for none.
    pub async fn resolve(&self, name: &str, git: &Git) -> Result<CommitId, GitError> {
        resolve(&self.folder, name, git).await
    }

    /// Pushes `commit` to a branch of the remote, if that is a step forward from where the
    /// branch is; never by force.
    ///
    /// # Errors
    /// [`GitErrorKind::Rejected`] when the branch has moved on, or is guarded.
    pub async fn push(&self, commit: &CommitId, branch: &str, git: &Git) -> Result<(), GitError> {
        let _turn = self.turn.lock().await;
        push(&self.folder, &self.url, commit, branch, git).await
    }
}

/// Brings a branch of the repository at `url` (or of a remote of that name) into the repository
/// at `folder`, as the ref `to`, and says where it is.
///
/// # Errors
/// When the remote is not heard, or has no such branch.
pub async fn fetch_branch(
    folder: &Path,
    url: &str,
    branch: &str,
    to: &str,
    git: &Git,
) -> Result<CommitId, GitError> {
    fetch(folder, url, &format!("refs/heads/{branch}"), to, git).await
}

async fn fetch(
    folder: &Path,
    url: &str,
    from: &str,
    to: &str,
    git: &Git,
) -> Result<CommitId, GitError> {
    let refspec = format!("+{from}:{to}");
    let arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, &refspec];
    git.run(folder, &arguments, GitErrorKind::Remote).await?;
    resolve(folder, to, git).await
}

async fn resolve(folder: &Path, name: &str, git: &Git) -> Result<CommitId, GitError> {
    let peeled = format!("{name}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled];
    let text = git.run(folder, &arguments, GitErrorKind::Local).await?;
    text.trim().parse().map_err(|_invalid| {
        GitError::new(GitErrorKind::Local, format!("{name} is no commit of {}", folder.display()))
    })
}

/// Pushes a commit of the repository at `folder`.
pub(super) async fn push(
    folder: &Path,
    url: &str,
    commit: &CommitId,
    branch: &str,
    git: &Git,
) -> Result<(), GitError> {
    let refspec = format!("{commit}:refs/heads/{branch}");
    let arguments = [
        "push",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--recurse-submodules=no",
        "--",
        url,
        &refspec,
    ];
    let said = git.outcome(folder, &arguments).await?;
    if said.exit == Exit::Code(0) {
        return Ok(());
    }
    // The format for programs: `!<tab>from:to<tab>[reason]`.
    let refused = said.text.lines().find(|line| line.starts_with("!\t"));
    match refused.and_then(|line| line.split('\t').nth(2)) {
        Some(reason) => {
            let message = format!("the remote does not take {branch}: {reason}");
            Err(GitError::new(GitErrorKind::Rejected, message))
        }
        None => {
            let message = format!("git push failed ({}): {}", said.exit, said.line());
            Err(GitError::new(GitErrorKind::Remote, message))
        }
    }
}
