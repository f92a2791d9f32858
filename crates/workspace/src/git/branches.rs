//! Deleting branches of a remote that stand where they are expected to stand.

use std::collections::HashMap;
use std::path::Path;

use super::{Git, GitError, GitErrorKind};
use greenloop_model::CommitId;

/// A branch of a remote, and where it is expected to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedBranch {
    /// Its name, without `refs/heads/`.
    pub name: String,
    /// Where it stands, unless somebody moved it.
    pub commit: CommitId,
}

/// What became of a branch that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is not there any more.
    Gone,
    /// It stands elsewhere: it was left alone.
    Moved,
    /// The remote does not let it go, for this reason.
    Refused(String),
}

/// An empty repository to push from, made when it is not there.
///
/// # Errors
/// When the folder cannot be made.
pub async fn init_bare(folder: &Path, git: &Git) -> Result<(), GitError> {
    let made = GitError::io(format!("make the folder {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(made)?;
    git.run(folder, &["init", "--quiet", "--bare", "."], GitErrorKind::Local).await?;
    Ok(())
}

/// Deletes branches of the repository at `url`, each only as long as it stands at the commit
/// that is expected: what is pushed to one meanwhile stays. `folder` is any repository of this
/// machine; nothing in it is read or written. The answers are in the order of the branches.
///
/// # Errors
/// When the remote is not heard.
pub async fn delete_branches(
    folder: &Path,
    url: &str,
    branches: &[ExpectedBranch],
    git: &Git,
) -> Result<Vec<Deletion>, GitError> {
    let refs: Vec<String> = branches.iter().map(|it| format!("refs/heads/{}", it.name)).collect();
    // A push that names a branch which is not there fails as a whole.
    let mut look = vec!["ls-remote", "--", url];
    look.extend(refs.iter().map(String::as_str));
    let said = git.run(folder, &look, GitErrorKind::Remote).await?;
    let standing: HashMap<&str, &str> = said
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(commit, name)| (name, commit))
        .collect();
    let mut ends: Vec<Option<Deletion>> = branches
        .iter()
        .zip(&refs)
        .map(|(branch, name)| match standing.get(name.as_str()) {
            None => Some(Deletion::Gone),
            Some(commit) if *commit != branch.commit.as_str() => Some(Deletion::Moved),
            Some(_) => None,
        })
        .collect();
    let due = || ends.iter().enumerate().filter(|(_, end)| end.is_none()).map(|(nth, _)| nth);
    let leases: Vec<String> = due()
        .map(|nth| format!("--force-with-lease={}:{}", refs[nth], branches[nth].commit))
        .collect();
    let specs: Vec<String> = due().map(|nth| format!(":{}", refs[nth])).collect();
    if !specs.is_empty() {
        let mut push = vec!["push", "--porcelain", "--no-verify", "--recurse-submodules=no"];
        push.extend(leases.iter().map(String::as_str));
        push.extend(["--", url]);
        push.extend(specs.iter().map(String::as_str));
        let said = git.outcome(folder, &push).await?;
        // The format for programs: a flag, `from:to` and a summary, with tabs between them.
        let told: HashMap<&str, (&str, &str)> = said
            .text
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, '\t');
                let (flag, names, summary) = (parts.next()?, parts.next()?, parts.next()?);
                Some((names.strip_prefix(':')?, (flag, summary)))
            })
            .collect();
        if told.is_empty() {
            let message = format!("git push failed ({}): {}", said.exit, said.line());
            return Err(GitError::new(GitErrorKind::Remote, message));
        }
        for (end, name) in ends.iter_mut().zip(&refs).filter(|(end, _)| end.is_none()) {
            *end = Some(match told.get(name.as_str()) {
                Some(("-", _)) => Deletion::Gone,
                Some((_, summary)) => Deletion::Refused((*summary).to_owned()),
                None => Deletion::Refused("git did not report its result".to_owned()),
            });
        }
    }
    Ok(ends.into_iter().map(|end| end.unwrap_or(Deletion::Gone)).collect())
}
