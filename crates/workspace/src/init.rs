//! Making a repository from a folder: what the demo begins with.

use std::path::Path;

use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature};

use super::WorkspaceError;
use super::workspace::{commit_id, find_commit};
use greenloop_model::CommitId;

/// Makes `folder` a git repository on the branch `main`, without a commit.
pub fn create_repository(folder: &Path) -> Result<(), WorkspaceError> {
    let mut options = RepositoryInitOptions::new();
    options.initial_head("main").no_reinit(true);
    Repository::init_opts(folder, &options)
        .map(drop)
        .map_err(WorkspaceError::git(format!("cannot create a repository in {}", folder.display())))
}

/// Commits everything in `folder` that is not ignored.
pub fn commit_all(folder: &Path, message: &str) -> Result<CommitId, WorkspaceError> {
    let failed = || WorkspaceError::git(format!("cannot commit in {}", folder.display()));
    let repo = Repository::open(folder).map_err(failed())?;
    let mut index = repo.index().map_err(failed())?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None).map_err(failed())?;
    index.update_all(["*"], None).map_err(failed())?;
    index.write().map_err(failed())?;
    let tree = index.write_tree().and_then(|id| repo.find_tree(id)).map_err(failed())?;
    let signature = Signature::now("Greenloop", "greenloop@localhost").map_err(failed())?;
    let parent = repo.head().ok().and_then(|head| head.peel_to_commit().ok());
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let id = repo
        .commit(Some("HEAD"), &signature, &signature, message, &tree, &parents)
        .map_err(failed())?;
    commit_id(id)
}

/// Puts branch and work tree at `commit`, whatever they hold.
pub fn check_out(folder: &Path, commit: &CommitId) -> Result<(), WorkspaceError> {
    let failed = || {
        WorkspaceError::git(format!("cannot check {} out in {}", commit.short(), folder.display()))
    };
    let repo = Repository::open(folder).map_err(failed())?;
    let commit = find_commit(&repo, commit)?;
    let mut checkout = git2::build::CheckoutBuilder::new();
    checkout.force();
    repo.reset(commit.as_object(), git2::ResetType::Hard, Some(&mut checkout)).map_err(failed())
}
