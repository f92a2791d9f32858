//! Trees to judge a patch by: the difference of two commits file by file, and a commit that no
//! branch has.

use std::collections::BTreeMap;

use greenloop_model::{CommitId, FileChange, FileContent, RepoPath};
use greenloop_patch::Tree as _;

use super::prepare::{resulting_tree, signature};
use super::snapshot::by_status;
use super::work_tree::Version;
use super::workspace::{changed_paths, commit_id, find_commit};
use super::{Workspace, WorkspaceError, read_work_tree};

impl Workspace {
    /// What `to` changes of `from`, by path; a file that moved is gone in one place and new in
    /// another. Submodules are left out.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub fn changes(
        &self,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<Vec<FileChange>, WorkspaceError> {
        let (old, new) = (self.tree_at(from)?, self.tree_at(to)?);
        let failed = |path: &RepoPath, error: &std::io::Error| {
            WorkspaceError::git(format!("cannot read {path} of a commit"))(git2::Error::from_str(
                &error.to_string(),
            ))
        };
        let mut paths = self.differing(from, to)?;
        paths.sort_unstable();
        paths.dedup();
        paths
            .into_iter()
            .map(|path| {
                let before = old.read(&path).map_err(|error| failed(&path, &error))?;
                let after = new.read(&path).map_err(|error| failed(&path, &error))?;
                Ok(FileChange { path, moved_from: None, before, after })
            })
            .collect()
    }

    /// Tracked files of the work tree whose content is not what `commit` has, which stands on HEAD.
    ///
    /// # Errors
    /// When the work tree cannot be compared.
    pub fn strayed(&self, commit: &CommitId) -> Result<Vec<RepoPath>, WorkspaceError> {
        let repo = self.repo()?;
        let mut paths: Vec<RepoPath> =
            changed_paths(&repo)?.into_iter().map(|(path, _)| path).collect();
        paths.extend(self.differing(&self.head()?.commit, commit)?);
        paths.sort_unstable();
        paths.dedup();
        if paths.is_empty() {
            return Ok(paths);
        }
        let tree = self.tree_at(commit)?;
        let same = |path: &RepoPath| {
            let bytes = |file: std::io::Result<Option<FileContent>>| file.ok()?.map(|it| it.bytes);
            let before = bytes(tree.read(path));
            before.is_some() && before == bytes(read_work_tree(self.root(), path))
        };
        let mut strayed = self.not_as(&paths, &[Version::of(commit)])?;
        strayed.retain(|path| !same(path));
        Ok(strayed)
    }

    /// Files of the work tree that git does not track, ignored ones too; not what lies in ignored
    /// folders.
    ///
    /// # Errors
    /// When the work tree cannot be listed.
    pub fn untracked_files(&self) -> Result<Vec<RepoPath>, WorkspaceError> {
        let repo = self.repo()?;
        let mut untracked = by_status(&repo, git2::Status::WT_NEW, true)?;
        untracked.extend(by_status(&repo, git2::Status::IGNORED, false)?);
        Ok(untracked.into_iter().filter_map(|path| RepoPath::new(path).ok()).collect())
    }

    /// The content of these files in the work tree, as a digest; `None` for one that is not
    /// there. Equal before and after a command: it has changed none of them.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digests(
        &self,
        paths: Vec<RepoPath>,
    ) -> Result<BTreeMap<RepoPath, Option<String>>, WorkspaceError> {
        let digest = |path: RepoPath| {
            let file = read_work_tree(self.root(), &path).map_err(|error| {
                let message = format!("cannot read {path}");
                WorkspaceError::git(message)(git2::Error::from_str(&error.to_string()))
            })?;
            let digest = file.map(|FileContent { bytes, .. }| {
                git2::Oid::hash_object(git2::ObjectType::Blob, &bytes)
                    .map(|id| id.to_string())
                    .map_err(WorkspaceError::git(format!("cannot digest {path}")))
            });
            Ok((path, digest.transpose()?))
        };
        paths.into_iter().map(digest).collect()
    }

    /// The unified diff of these files from `commit` to the work tree; cut at 1 MiB.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn stray_diff(
        &self,
        commit: &CommitId,
        paths: &[RepoPath],
    ) -> Result<String, WorkspaceError> {
        let tree = self.tree_at(commit)?;
        let failed = |path: &RepoPath, error: &std::io::Error| {
            WorkspaceError::git(format!("cannot read {path}"))(git2::Error::from_str(
                &error.to_string(),
            ))
        };
        let mut changes = Vec::new();
        for path in paths {
            let before = tree.read(path).map_err(|error| failed(path, &error))?;
            let after = read_work_tree(self.root(), path).map_err(|error| failed(path, &error))?;
            if before.is_some() || after.is_some() {
                let path = path.clone();
                changes.push(FileChange { path, moved_from: None, before, after });
            }
        }
        let now = self.detached_commit(commit, &changes, "The work tree as it is")?;
        self.diff(commit, &now)
    }

    /// A commit of `parent` with these changes. No ref, no file and no index is touched: nothing
    /// refers to it, and git forgets it in time.
    ///
    /// # Errors
    /// Those of [`Workspace::prepare`] that need no look at the work tree.
    pub fn detached_commit(
        &self,
        parent: &CommitId,
        changes: &[FileChange],
        message: &str,
    ) -> Result<CommitId, WorkspaceError> {
        let repo = self.repo()?;
        let parent_commit = find_commit(&repo, parent)?;
        let failed = || WorkspaceError::git(format!("cannot write a commit on {}", parent.short()));
        let parent_tree = parent_commit.tree().map_err(failed())?;
        let tree = resulting_tree(&repo, &parent_tree, changes)?;
        let tree = repo.find_tree(tree).map_err(failed())?;
        let signature = signature(&repo)?;
        let commit = repo
            .commit(None, &signature, &signature, message, &tree, &[&parent_commit])
            .map_err(failed())?;
        commit_id(commit)
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::TestRepo;
    use greenloop_model::{FileChange, FileContent, RepoPath};

    #[test]
    fn a_detached_commit_is_on_no_branch_and_its_files_can_be_written() {
        let repo = TestRepo::new(&[("a.txt", "a\n"), ("tests/t.txt", "t\n")]);
        let workspace = repo.workspace();
        let base = workspace.head().unwrap().commit;
        let path = RepoPath::new("tests/t.txt").unwrap();
        let change = FileChange {
            path: path.clone(),
            moved_from: None,
            before: Some(FileContent::regular("t\n")),
            after: Some(FileContent::regular("other\n")),
        };
        let commit =
            workspace.detached_commit(&base, std::slice::from_ref(&change), "judged").unwrap();
        assert_eq!(workspace.changes(&base, &commit).unwrap(), [change]);
        assert!(workspace.is_head(&base).unwrap());
        workspace.write_paths(std::slice::from_ref(&path), &commit).unwrap();
        let file = workspace.root().join("tests/t.txt");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "other\n");
        workspace.write_paths(&[path], &base).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "t\n");
    }

    #[test]
    fn what_strayed_from_a_commit_is_found_and_shown() {
        let repo = TestRepo::new(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
        let workspace = repo.workspace();
        let base = workspace.head().unwrap().commit;
        let patched = repo.change("a.txt", Some("patched\n"));
        let path = patched.path.clone();
        let tip = workspace.detached_commit(&base, &[patched], "patched").unwrap();
        workspace.write_paths(&[path], &tip).unwrap();
        assert_eq!(workspace.strayed(&tip).unwrap(), []);
        // Back to what HEAD has, and another file changed: neither is as the tip has it.
        repo.write("a.txt", "a\n");
        repo.write("b.txt", "changed\n");
        repo.write("new.txt", "untracked\n");
        let strayed = workspace.strayed(&tip).unwrap();
        let names: Vec<String> = strayed.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a.txt", "b.txt"]);
        let diff = workspace.stray_diff(&tip, &strayed).unwrap();
        assert!(diff.contains("-patched\n+a\n") && diff.contains("-b\n+changed\n"), "{diff}");
    }
}
