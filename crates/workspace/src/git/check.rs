//! Whether git works here, and whether a repository can be reached.

use std::path::Path;

use super::{Git, GitError, GitErrorKind, remove_folder};
use greenloop_model::Exit;

/// Makes an empty repository below `folder` and deletes it: git is there, starts, and can write.
///
/// # Errors
/// When it is not, or cannot.
pub async fn works(folder: &Path, git: &Git) -> Result<(), GitError> {
    let made = folder.join(format!(".check-{}.git", uuid::Uuid::new_v4().simple()));
    let name = made.display().to_string();
    let arguments = ["init", "--quiet", "--bare", "--", &name];
    let done = git.run(folder, &arguments, GitErrorKind::Local).await;
    let removed = remove_folder(&made);
    done?;
    removed
}

/// Asks the repository at `url` for its branches: the name resolves, the network is there, the
/// credentials are taken. An empty repository answers as well.
///
/// # Errors
/// [`GitErrorKind::Remote`] with what was said instead.
pub async fn reachable(folder: &Path, url: &str, git: &Git) -> Result<(), GitError> {
    let said = git.outcome(folder, &["ls-remote", "--heads", "--", url, "HEAD"]).await?;
    match &said.exit {
        Exit::Code(0) => Ok(()),
        exit => {
            let message = format!("git ls-remote {url} failed ({exit}): {}", said.line());
            Err(GitError::new(GitErrorKind::Remote, git.clean(&message)))
        }
    }
}
