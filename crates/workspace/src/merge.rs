//! Merging two commits in a bare repository, without a work tree.
//!
//! Invariant: the target is the merge's first parent, so that the first parents of a branch that
//! only grows by merges are just the commits that were its tips.

use std::path::{Path, PathBuf};

use git2::{MergeOptions, Oid, Repository, Signature};

use super::WorkspaceError;
use super::workspace::{commit_id, find_commit, oid};
use greenloop_model::CommitId;

/// Conflicting files that are named.
const TOLD: usize = 200;

/// A bare repository to merge in.
#[derive(Debug, Clone)]
pub struct MergePlace {
    folder: PathBuf,
}

/// What a merge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// A commit with both; nothing refers to it yet.
    Commit(CommitId),
    /// The target has the branch already.
    Nothing,
    /// Both changed the same things.
    Conflict(Vec<Conflict>),
}

/// A file that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its path, as text.
    pub path: String,
    /// What each did, in words.
    pub what: &'static str,
}

impl MergePlace {
    /// The bare repository in `folder`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Self, WorkspaceError> {
        let place = Self { folder: folder.to_owned() };
        place.repo()?;
        Ok(place)
    }

    fn repo(&self) -> Result<Repository, WorkspaceError> {
        Repository::open_bare(&self.folder).map_err(WorkspaceError::git(format!(
            "cannot open the git repository at {}",
            self.folder.display()
        )))
    }

    /// Merges `branch` into `target`, by `author` (name and address). Always a commit of its own,
    /// even where the target could just move forward: the branch's commits were not tested.
    ///
    /// # Errors
    /// When one of them is not there, or git fails.
    pub fn merge(
        &self,
        target: &CommitId,
        branch: &CommitId,
        message: &str,
        (name, email): (&str, &str),
    ) -> Result<Merged, WorkspaceError> {
        let failed = || {
            WorkspaceError::git(format!("cannot merge {} into {}", branch.short(), target.short()))
        };
        let repo = self.repo()?;
        let (ours, theirs) = (find_commit(&repo, target)?, find_commit(&repo, branch)?);
        let has = ours.id() == theirs.id()
            || repo.graph_descendant_of(ours.id(), theirs.id()).map_err(failed())?;
        if has {
            return Ok(Merged::Nothing);
        }
        let mut options = MergeOptions::new();
        options.find_renames(true);
        let mut index = repo.merge_commits(&ours, &theirs, Some(&options)).map_err(failed())?;
        if index.has_conflicts() {
            let conflicts = index.conflicts().map_err(failed())?;
            let mut told = Vec::new();
            for conflict in conflicts.take(TOLD) {
                told.push(in_words(&conflict.map_err(failed())?));
            }
            return Ok(Merged::Conflict(told));
        }
        let tree = index.write_tree_to(&repo).and_then(|id| repo.find_tree(id)).map_err(failed())?;
        let by = Signature::now(name, email).map_err(failed())?;
        let id = repo.commit(None, &by, &by, message, &tree, &[&ours, &theirs]).map_err(failed())?;
        commit_id(id).map(Merged::Commit)
    }

    /// Makes `name` (`refs/…`) refer to `commit`, whatever it referred to.
    ///
    /// # Errors
    /// When there is no such commit, or the ref cannot be written.
    pub fn set_ref(&self, name: &str, commit: &CommitId) -> Result<(), WorkspaceError> {
        let failed = WorkspaceError::git(format!("cannot write {name}"));
        let id: Oid = oid(commit)?;
        self.repo()?.reference(name, id, true, "greenloop: merge").map(drop).map_err(failed)
    }

    /// Deletes a ref; that there is none is no error.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn delete_ref(&self, name: &str) -> Result<(), WorkspaceError> {
        let failed = || WorkspaceError::git(format!("cannot delete {name}"));
        let repo = self.repo()?;
        match repo.find_reference(name) {
            Ok(mut reference) => reference.delete().map_err(failed()),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(failed()(error)),
        }
    }

    /// Whether `commit` is `tip` or one of those that led to it; one that is not there is not.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn leads_to(&self, commit: &CommitId, tip: &CommitId) -> Result<bool, WorkspaceError> {
        let failed = || WorkspaceError::git(format!("cannot read the history of {}", tip.short()));
        if !self.has(commit)? {
            return Ok(false);
        }
        let (repo, commit, tip) = (self.repo()?, oid(commit)?, oid(tip)?);
        Ok(commit == tip || repo.graph_descendant_of(tip, commit).map_err(failed())?)
    }

    /// Whether there is such a commit.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn has(&self, commit: &CommitId) -> Result<bool, WorkspaceError> {
        let (repo, id) = (self.repo()?, oid(commit)?);
        match repo.find_commit(id) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(false),
            Err(error) => {
                Err(WorkspaceError::git(format!("cannot read {}", commit.short()))(error))
            }
        }
    }
}

fn in_words(conflict: &git2::IndexConflict) -> Conflict {
    let what = match (&conflict.ancestor, &conflict.our, &conflict.their) {
        (_, Some(_), Some(_)) if conflict.ancestor.is_none() => {
            "added on both sides, with \
            different content"
        }
        (_, Some(_), Some(_)) => "the same lines were changed on both sides",
        (_, Some(_), None) => "changed in the target, deleted or moved in the branch",
        (_, None, Some(_)) => "changed in the branch, deleted or moved in the target",
        (_, None, None) => "moved on both sides, to different paths",
    };
    let entry = [&conflict.our, &conflict.their, &conflict.ancestor].into_iter().flatten().next();
    let path = entry.map_or_else(String::new, |e| String::from_utf8_lossy(&e.path).into_owned());
    Conflict { path, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestRepo;

    /// A commit on top of `base` with these files.
    fn commit(repo: &TestRepo, base: &CommitId, files: &[(&str, &str)]) -> CommitId {
        repo.git(&["checkout", "-q", "--detach", base.as_str()]);
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-q", "-m", "work"]);
        repo.workspace().head().unwrap().commit
    }

    #[test]
    fn merges_stand_on_the_target_and_conflicts_are_named() {
        let repo = TestRepo::new(&[("a", "1\n2\n3\n"), ("b", "1\n")]);
        let base = repo.workspace().head().unwrap().commit;
        let one = commit(&repo, &base, &[("a", "one\n2\n3\n")]);
        let two = commit(&repo, &base, &[("c", "new\n")]);
        let clash = commit(&repo, &base, &[("a", "uno\n2\n3\n"), ("c", "other\n")]);
        let place = MergePlace::open(&repo.root().join(".git")).unwrap();
        let by = ("hub", "hub@greenloop.invalid");
        // Even where the target could just move forward.
        let Merged::Commit(first) = place.merge(&base, &one, "merge one", by).unwrap() else {
            panic!("no commit");
        };
        let Merged::Commit(second) = place.merge(&first, &two, "merge two", by).unwrap() else {
            panic!("no commit");
        };
        let workspace = repo.workspace();
        assert!(workspace.contains(&second, &one).unwrap());
        let parents = repo.git(&["log", "-1", "--format=%P", second.as_str()]);
        assert_eq!(parents.trim(), format!("{first} {two}"));
        assert_eq!(place.merge(&second, &one, "again", by).unwrap(), Merged::Nothing);
        let Merged::Conflict(conflicts) = place.merge(&second, &clash, "no", by).unwrap() else {
            panic!("no conflict");
        };
        let told: Vec<(&str, &str)> = conflicts.iter().map(|c| (c.path.as_str(), c.what)).collect();
        assert_eq!(
            told,
            [
                ("a", "the same lines were changed on both sides"),
                (
                    "c",
                    "added on both sides, with different \
                content"
                ),
            ]
        );
        place.set_ref("refs/greenloop/staging/1", &second).unwrap();
        assert!(place.has(&second).unwrap());
        for (commit, expect) in [(&first, true), (&second, true), (&clash, false)] {
            assert_eq!(place.leads_to(commit, &second).unwrap(), expect);
        }
        for _again in 0..2 {
            place.delete_ref("refs/greenloop/staging/1").unwrap();
        }
    }
}
