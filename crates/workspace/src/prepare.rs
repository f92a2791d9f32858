//! From a cleared patch to a commit, and from a commit to the run's branch.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Signature, Tree as GitTree};

use super::commit_tree::mode;
use super::work_tree::Version;
use super::workspace::{commit_id, find_commit, is_filtered, names, oid, ref_name, tree_id};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, FileChange, FileContent, FileMode, RepoPath, RunId, TreeId};
use greenloop_policy::ClearedPatch;

/// Bytes that git needs beside the files: trees, a commit.
const BESIDE_FILES: usize = 16 << 10;

/// A commit that nothing refers to yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPatch {
    commit: CommitId,
    tree: TreeId,
    parent: CommitId,
    files: Vec<RepoPath>,
}

impl PreparedPatch {
    /// The new commit.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    pub fn tree(&self) -> &TreeId {
        &self.tree
    }

    /// The commit it follows.
    pub fn parent(&self) -> &CommitId {
        &self.parent
    }

    /// The paths it changes, sorted; those it deletes or moves from included.
    pub fn files(&self) -> &[RepoPath] {
        &self.files
    }
}

/// A commit that the run's branch points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPatch {
    prepared: PreparedPatch,
}

impl AppliedPatch {
    pub fn commit(&self) -> &CommitId {
        &self.prepared.commit
    }

    pub fn tree(&self) -> &TreeId {
        &self.prepared.tree
    }

    /// The commit it follows.
    pub fn parent(&self) -> &CommitId {
        &self.prepared.parent
    }

    /// The paths it changed.
    pub fn files(&self) -> &[RepoPath] {
        &self.prepared.files
    }
}

impl Workspace {
    /// The tree that the changes would make of `parent`: for comparing it with trees that were
    /// tried before, ahead of any review.
    ///
    /// # Errors
    /// Those of [`Workspace::prepare`] that need no look at the work tree.
    pub fn preview(
        &self,
        parent: &CommitId,
        changes: &[FileChange],
    ) -> Result<TreeId, WorkspaceError> {
        let repo = self.durable_repo()?;
        let parent_tree = find_commit(&repo, parent)?
            .tree()
            .map_err(WorkspaceError::git(format!("cannot read the tree of {}", parent.short())))?;
        tree_id(self.stored(changes, resulting_tree(&repo, &parent_tree, changes))?)
    }

    /// Files that the changes would write and that the work tree has otherwise than `parent`:
    /// untracked ones above all. Asked ahead of any review.
    ///
    /// # Errors
    /// When a path leads through a link, or the work tree cannot be compared.
    pub fn in_the_way(
        &self,
        parent: &CommitId,
        changes: &[FileChange],
    ) -> Result<Vec<RepoPath>, WorkspaceError> {
        self.not_as(&touched(changes), &[Version::of(parent)])
    }

    /// That git's data, the state of runs and the work tree can be written to: as much as a small
    /// patch takes. So can the folders of `more` that exist: each may belong to somebody else.
    ///
    /// # Errors
    /// What the operating system answers: a full disk, a mount that is read-only, no permission.
    pub fn check_writable(&self, more: &[PathBuf]) -> Result<(), WorkspaceError> {
        let refused = |folder: &Path, source: io::Error| WorkspaceError {
            kind: kind_of(&source),
            context: format!("cannot write to {}", folder.display()),
            source: Some(Box::new(source)),
        };
        let own = ["objects", "refs/heads", "greenloop", "greenloop/claims"];
        let own = own.map(|folder| self.git_dir().join(folder));
        let root = self.root().to_owned();
        let folders = own.iter().chain([&root]).chain(more);
        for folder in folders.filter(|folder| folder.is_dir()) {
            try_to_write(folder, BESIDE_FILES).map_err(|source| refused(folder, source))?;
        }
        Ok(())
    }

    /// Makes blobs, trees and a commit on top of `parent`. No ref and no file of the work tree
    /// is touched; until [`Workspace::publish`] nothing refers to what was made.
    ///
    /// # Errors
    /// When the patch does not fit `parent`, leads through a link or into a submodule, collides
    /// with another name, changes nothing, or when work-tree files that it would overwrite are
    /// not what `parent` says they are.
    pub fn prepare(
        &self,
        run: RunId,
        parent: &CommitId,
        patch: &ClearedPatch,
        message: &str,
    ) -> Result<PreparedPatch, WorkspaceError> {
        let repo = self.durable_repo()?;
        let parent_commit = find_commit(&repo, parent)?;
        let parent_tree = parent_commit
            .tree()
            .map_err(WorkspaceError::git(format!("cannot read the tree of {}", parent.short())))?;
        let files = touched(patch.changes());
        let tree =
            self.stored(patch.changes(), resulting_tree(&repo, &parent_tree, patch.changes()))?;
        if tree == parent_tree.id() {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::NothingChanges,
                "the patch changes nothing",
            ));
        }
        let in_the_way = self.not_as(&files, &[Version::of(parent)])?;
        if !in_the_way.is_empty() {
            let context = format!(
                "the work tree's {} would be overwritten",
                names(&in_the_way, in_the_way.len())
            );
            let kind = WorkspaceErrorKind::InTheWay { paths: in_the_way };
            return Err(WorkspaceError::new(kind, context));
        }

        let tree = repo
            .find_tree(tree)
            .map_err(WorkspaceError::git("cannot read the tree that was just written"))?;
        let signature = signature(&repo)?;
        let commit = repo
            .commit(None, &signature, &signature, message, &tree, &[&parent_commit])
            .map_err(WorkspaceError::git(format!("cannot write a commit for run {run}")));
        let commit = self.stored(&[], commit)?;
        Ok(PreparedPatch {
            commit: commit_id(commit)?,
            tree: tree_id(tree.id())?,
            parent: parent.clone(),
            files,
        })
    }

    /// `outcome`, with what the operating system answers where libgit2 says "no error": the failed
    /// write is tried again, with as many bytes, and without libgit2.
    fn stored<T>(
        &self,
        changes: &[FileChange],
        outcome: Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        outcome.map_err(|error| {
            let failed_to_write =
                matches!(error.kind, WorkspaceErrorKind::Git | WorkspaceErrorKind::Io);
            let after = changes.iter().filter_map(|change| change.after.as_ref());
            let bytes = after.map(|file| file.bytes.len()).sum::<usize>() + BESIDE_FILES;
            // Linked work trees share it.
            let objects = self.git_dir().join("objects");
            match failed_to_write.then(|| try_to_write(&objects, bytes)) {
                Some(Err(source)) => {
                    let context = format!("{} in {}", error.context, objects.display());
                    let kind = kind_of(&source);
                    WorkspaceError { kind, context, source: Some(Box::new(source)) }
                }
                Some(Ok(())) | None => error,
            }
        })
    }

    /// Moves the run's branch from the patch's parent to its commit, in one step, and then makes
    /// the work tree's files follow. A branch that is at the commit already is left there.
    ///
    /// # Errors
    /// `RefMoved` when the branch is elsewhere: nothing was changed. Any other error after the
    /// move leaves the commit published, and [`Workspace::write_paths`] finishes the job.
    pub fn publish(
        &self,
        run: RunId,
        prepared: &PreparedPatch,
    ) -> Result<AppliedPatch, WorkspaceError> {
        self.move_branch(run, prepared)?;
        self.write_paths(&prepared.files, &prepared.commit)?;
        Ok(AppliedPatch { prepared: prepared.clone() })
    }

    /// The compare-and-swap alone.
    pub(super) fn move_branch(
        &self,
        run: RunId,
        prepared: &PreparedPatch,
    ) -> Result<(), WorkspaceError> {
        let repo = self.durable_repo()?;
        let (from, to) = (oid(&prepared.parent)?, oid(&prepared.commit)?);
        let moved = repo.reference_matching(&ref_name(run), to, true, from, "greenloop: patch");
        match moved {
            Ok(_) => Ok(()),
            Err(source) => {
                if self.tip(run)?.as_ref() == Some(&prepared.commit) {
                    return Ok(());
                }
                let kind = match source.code() {
                    git2::ErrorCode::Locked => WorkspaceErrorKind::Busy,
                    // Gone or elsewhere: in either case not where it was expected.
                    _ => WorkspaceErrorKind::RefMoved,
                };
                let context =
                    format!("the branch {} is not at {}", run.branch(), prepared.parent.short());
                Err(WorkspaceError::by_git(kind, context, &source))
            }
        }
    }
}

fn kind_of(source: &io::Error) -> WorkspaceErrorKind {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            WorkspaceErrorKind::StorageFull
        }
        _ => WorkspaceErrorKind::Io,
    }
}

/// Writes so many bytes to a file in `folder` that is gone afterwards.
fn try_to_write(folder: &Path, bytes: usize) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    // Not zeros, of which some file systems store nothing.
    io::copy(&mut io::repeat(b'x').take(bytes as u64), &mut file)?;
    file.sync_data()
}

/// The tree that the changes make of `parent_tree`.
pub(super) fn resulting_tree(
    repo: &Repository,
    parent_tree: &GitTree<'_>,
    changes: &[FileChange],
) -> Result<Oid, WorkspaceError> {
    for change in changes {
        check_fits(repo, parent_tree, change)?;
    }
    for path in touched(changes) {
        if is_filtered(repo, &path) {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::Filtered,
                format!("{path} is under a git filter"),
            ));
        }
    }
    let mut edits = Folder::default();
    for change in changes {
        if let Some(from) = change.moved_from.as_ref().filter(|from| **from != change.path) {
            edits.add(from, None)?;
        }
    }
    for change in changes {
        let leaf = match &change.after {
            None => None,
            Some(after) => Some((write_blob(repo, &change.path, after)?, git_mode(change)?)),
        };
        edits.add(&change.path, leaf)?;
    }
    match edits.build(repo, Some(parent_tree), &[])? {
        Some(tree) => Ok(tree),
        None => repo
            .treebuilder(None)
            .and_then(|builder| builder.write())
            .map_err(WorkspaceError::git("cannot write an empty tree")),
    }
}

/// All paths the changes touch, sorted.
fn touched(changes: &[FileChange]) -> Vec<RepoPath> {
    let mut files: Vec<RepoPath> = changes
        .iter()
        .flat_map(|change| [Some(&change.path), change.moved_from.as_ref()])
        .flatten()
        .cloned()
        .collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// That the tree has what the change says was there before.
fn check_fits(
    repo: &Repository,
    tree: &GitTree<'_>,
    change: &FileChange,
) -> Result<(), WorkspaceError> {
    let path = change.moved_from.as_ref().unwrap_or(&change.path);
    let stale =
        |what: &str| WorkspaceError::new(WorkspaceErrorKind::Stale, format!("{path} {what}"));
    let there = leaf(repo, tree, path)?;
    match (&change.before, there) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(stale("already exists")),
        (Some(_), None) => Err(stale("does not exist")),
        (Some(before), Some(there)) if *before == there => {
            if matches!(before.mode, FileMode::Symlink) {
                return Err(link_error(path, FileMode::Symlink));
            }
            Ok(())
        }
        (Some(_), Some(_)) => Err(stale("has changed since the patch was created")),
    }
}

fn leaf(
    repo: &Repository,
    tree: &GitTree<'_>,
    path: &RepoPath,
) -> Result<Option<FileContent>, WorkspaceError> {
    let failed = || WorkspaceError::git(format!("cannot read {path}"));
    let entry = match tree.get_path(&path.to_os_path()) {
        Ok(entry) => entry,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
    };
    match mode(entry.filemode()) {
        None => Ok(None),
        Some(FileMode::Submodule) => Err(link_error(path, FileMode::Submodule)),
        Some(mode @ (FileMode::Regular | FileMode::Executable | FileMode::Symlink)) => {
            let blob = repo.find_blob(entry.id()).map_err(failed())?;
            Ok(Some(FileContent { bytes: blob.content().to_vec(), mode }))
        }
    }
}

fn link_error(path: &RepoPath, mode: FileMode) -> WorkspaceError {
    match mode {
        FileMode::Submodule => WorkspaceError::new(
            WorkspaceErrorKind::Submodule,
            format!("{path} belongs to a submodule"),
        ),
        FileMode::Regular | FileMode::Executable | FileMode::Symlink => {
            WorkspaceError::new(WorkspaceErrorKind::Symlink, format!("{path} is a symbolic link"))
        }
    }
}

/// The blob, line ends as the repository's attributes want them stored.
fn write_blob(
    repo: &Repository,
    path: &RepoPath,
    content: &FileContent,
) -> Result<Oid, WorkspaceError> {
    let context = format!("cannot store {path}");
    let mut writer =
        repo.blob_writer(Some(&path.to_os_path())).map_err(WorkspaceError::git(context.clone()))?;
    writer.write_all(&content.bytes).map_err(WorkspaceError::io(context.clone()))?;
    writer.commit().map_err(WorkspaceError::git(context))
}

/// Only files: links and submodules are never written.
fn git_mode(change: &FileChange) -> Result<i32, WorkspaceError> {
    match change.after.as_ref().map(|after| after.mode) {
        None | Some(FileMode::Regular) => Ok(0o100_644),
        Some(FileMode::Executable) => Ok(0o100_755),
        Some(mode @ (FileMode::Symlink | FileMode::Submodule)) => {
            Err(link_error(&change.path, mode))
        }
    }
}

/// Whoever the repository's configuration says, or Greenloop itself.
pub(super) fn signature(repo: &Repository) -> Result<Signature<'static>, WorkspaceError> {
    repo.signature()
        .or_else(|_| Signature::now("Greenloop", "greenloop@localhost"))
        .map_err(WorkspaceError::git("cannot create a signature"))
}

/// What happens in one folder of the tree.
#[derive(Default)]
struct Folder {
    entries: BTreeMap<Vec<u8>, Edit>,
}

#[derive(Default)]
struct Edit {
    /// What the name itself becomes: `Some(None)` when it is deleted.
    leaf: Option<Option<(Oid, i32)>>,
    /// What happens beneath it.
    beneath: Folder,
}

impl Folder {
    fn add(&mut self, path: &RepoPath, leaf: Option<(Oid, i32)>) -> Result<(), WorkspaceError> {
        let mut folder = self;
        for parent in path.components().take(path.components().count() - 1) {
            folder = &mut folder.entries.entry(parent.to_vec()).or_default().beneath;
        }
        let edit = folder.entries.entry(path.file_name().to_vec()).or_default();
        match (&edit.leaf, &leaf) {
            // Deleted, and made again by another change of the same patch.
            (None, _) | (Some(None), _) => edit.leaf = Some(leaf),
            (Some(Some(_)), None) => {}
            (Some(Some(_)), Some(_)) => {
                return Err(WorkspaceError::new(
                    WorkspaceErrorKind::PathConflict,
                    format!("the patch writes {path} twice"),
                ));
            }
        }
        Ok(())
    }

    /// The tree after the edits; `None` when nothing is left in it.
    fn build(
        &self,
        repo: &Repository,
        base: Option<&GitTree<'_>>,
        prefix: &[u8],
    ) -> Result<Option<Oid>, WorkspaceError> {
        let failed = || {
            WorkspaceError::git(format!(
                "cannot write the folder {:?}",
                String::from_utf8_lossy(prefix)
            ))
        };
        let mut builder = repo.treebuilder(base).map_err(failed())?;
        for (name, edit) in &self.entries {
            let mut path = prefix.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let shown = String::from_utf8_lossy(&path).into_owned();
            let there = base.and_then(|base| {
                base.iter()
                    .find(|entry| entry.name_bytes() == name.as_slice())
                    .map(|entry| (entry.id(), entry.filemode()))
            });
            let deleted = matches!(edit.leaf, Some(None));
            let below = match there {
                Some((id, bits)) => match mode(bits) {
                    None => Some(repo.find_tree(id).map_err(failed())?),
                    Some(kind) if !edit.beneath.entries.is_empty() && !deleted => {
                        return Err(match kind {
                            FileMode::Symlink | FileMode::Submodule => {
                                let path = RepoPath::new(&path).map_err(|error| {
                                    WorkspaceError::new(
                                        WorkspaceErrorKind::InvalidPath,
                                        format!("git cannot store the path {shown:?}: {error}"),
                                    )
                                })?;
                                link_error(&path, kind)
                            }
                            FileMode::Regular | FileMode::Executable => WorkspaceError::new(
                                WorkspaceErrorKind::PathConflict,
                                format!("{shown} is a file, not a folder"),
                            ),
                        });
                    }
                    Some(_) => None,
                },
                None => None,
            };
            let folder_left = if edit.beneath.entries.is_empty() {
                below.as_ref().map(GitTree::id)
            } else {
                edit.beneath.build(repo, below.as_ref(), &path)?
            };
            let entry = match (&edit.leaf, folder_left) {
                (Some(Some(_)), Some(_)) => {
                    return Err(WorkspaceError::new(
                        WorkspaceErrorKind::PathConflict,
                        format!("{shown} is a folder, not a file"),
                    ));
                }
                (Some(Some(leaf)), None) => Some(*leaf),
                (Some(None) | None, Some(folder)) => Some((folder, 0o040_000)),
                (Some(None) | None, None) => None,
            };
            match entry {
                Some((id, bits)) => {
                    builder.insert(name.as_slice(), id, bits).map_err(invalid(&shown))?;
                }
                None if there.is_some() => builder.remove(name.as_slice()).map_err(failed())?,
                None => {}
            }
            if there.is_none() && entry.is_some() {
                self.check_case(base, name, &shown)?;
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        builder.write().map(Some).map_err(failed())
    }

    /// That a new name differs from its neighbours by more than case.
    fn check_case(
        &self,
        base: Option<&GitTree<'_>>,
        name: &[u8],
        shown: &str,
    ) -> Result<(), WorkspaceError> {
        let folded = fold(name);
        let goes = |other: &[u8]| {
            self.entries.get(other).is_some_and(|edit| {
                matches!(edit.leaf, Some(None)) && edit.beneath.entries.is_empty()
            })
        };
        let old = base.into_iter().flat_map(|base| {
            base.iter().map(|entry| entry.name_bytes().to_vec()).collect::<Vec<_>>()
        });
        let new = self
            .entries
            .iter()
            .filter(|(_, edit)| matches!(edit.leaf, Some(Some(_))))
            .map(|(name, _)| name.clone());
        for other in old.chain(new) {
            if other != name && fold(&other) == folded && !goes(&other) {
                return Err(WorkspaceError::new(
                    WorkspaceErrorKind::CaseCollision,
                    format!(
                        "{shown} and {:?} differ only in case",
                        String::from_utf8_lossy(&other)
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn fold(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

fn invalid(shown: &str) -> impl FnOnce(git2::Error) -> WorkspaceError {
    let context = format!("git cannot store the path {shown:?}");
    move |source| WorkspaceError::by_git(WorkspaceErrorKind::InvalidPath, context, &source)
}

#[cfg(all(test, target_os = "linux"))]
#[path = "../../../tests/fixtures/failing_sync.rs"]
mod failing_sync;

#[cfg(test)]
mod tests {
    use super::super::fixtures::{TestRepo, cleared, executable};
    use super::*;

    struct Begun {
        repo: TestRepo,
        workspace: Workspace,
        run: RunId,
        base: CommitId,
    }

    fn begin(files: &[(&str, &str)]) -> Begun {
        let repo = TestRepo::new(files);
        begin_in(repo)
    }

    fn begin_in(repo: TestRepo) -> Begun {
        let workspace = repo.workspace();
        let run = RunId::generate();
        let base = workspace.head().expect("head").commit;
        workspace.start_branch(run, &base).expect("branch");
        Begun { repo, workspace, run, base }
    }

    impl Begun {
        fn prepare(&self, changes: Vec<FileChange>) -> Result<PreparedPatch, WorkspaceError> {
            self.workspace.prepare(self.run, &self.base, &cleared(changes), "Heal it\n\nWhy.\n")
        }

        fn apply(&self, changes: Vec<FileChange>) -> AppliedPatch {
            let prepared = self.prepare(changes).expect("prepared");
            self.workspace.publish(self.run, &prepared).expect("published")
        }

        fn refused(&self, changes: Vec<FileChange>) -> WorkspaceErrorKind {
            let error = self.prepare(changes).expect_err("refused");
            // Nothing has happened.
            assert_eq!(self.workspace.tip(self.run).expect("tip"), Some(self.base.clone()));
            error.kind
        }
    }

    #[test]
    fn a_patch_becomes_a_commit_and_then_files() {
        let begun = begin(&[("a.txt", "1\n"), ("d/e/gone.txt", "x\n"), ("d/stay.txt", "y\n")]);
        let repo = &begun.repo;
        let changes = vec![
            repo.change("a.txt", Some("2\n")),
            repo.change("d/e/gone.txt", None),
            repo.change("new/deep/file.txt", Some("n\n")),
            FileChange { after: Some(executable("#!/bin/sh\n")), ..repo.change("run.sh", None) },
        ];
        let prepared = begun.prepare(changes).expect("prepared");
        assert_eq!(repo.read("a.txt").as_deref(), Some("1\n"));
        assert_eq!(begun.workspace.tip(begun.run).expect("tip"), Some(begun.base.clone()));

        let applied = begun.workspace.publish(begun.run, &prepared).expect("published");
        assert_eq!(begun.workspace.tip(begun.run).expect("tip").as_ref(), Some(applied.commit()));
        assert_eq!(repo.read("a.txt").as_deref(), Some("2\n"));
        assert_eq!(repo.read("new/deep/file.txt").as_deref(), Some("n\n"));
        assert!(!repo.root().join("d/e").exists());
        assert_eq!(repo.read("d/stay.txt").as_deref(), Some("y\n"));
        let listed = repo.git(&["ls-tree", "-r", applied.commit().as_str()]);
        assert!(listed.contains("100755 blob") && listed.contains("run.sh"), "{listed}");
        assert!(!listed.contains("gone.txt"), "{listed}");
        // What git sees in the work tree is the commit, to the byte and the mode.
        assert_eq!(repo.differences(applied.commit()), "");
        // HEAD and the index stayed where they were.
        assert_eq!(begun.workspace.head().expect("head").commit, begun.base);
        assert_eq!(repo.git(&["diff", "--cached", "--stat"]), "");
        assert_eq!(
            repo.git(&["log", "-1", "--format=%an|%s|%b", applied.commit().as_str()]).trim(),
            "Test|Heal it|Why."
        );
        repo.git(&["fsck", "--strict"]);
        // Once more is the same.
        begun.workspace.publish(begun.run, &prepared).expect("published already");
    }

    #[test]
    fn renames_and_kinds_of_entries_change_places() {
        let begun = begin(&[("old.txt", "1\n"), ("dir/a", "a\n"), ("file", "f\n")]);
        let repo = &begun.repo;
        let mut moved = repo.change("old.txt", Some("1\n2\n"));
        moved.moved_from = Some(moved.path.clone());
        moved.path = RepoPath::new("sub/new.txt").expect("a path");
        begun.apply(vec![
            moved,
            repo.change("dir/a", None),
            repo.change("dir", Some("now a file\n")),
            repo.change("file", None),
            repo.change("file/inner", Some("now a folder\n")),
        ]);
        assert_eq!(repo.read("old.txt"), None);
        assert_eq!(repo.read("sub/new.txt").as_deref(), Some("1\n2\n"));
        assert_eq!(repo.read("dir").as_deref(), Some("now a file\n"));
        assert_eq!(repo.read("file/inner").as_deref(), Some("now a folder\n"));
    }

    #[test]
    fn case_only_renames_are_possible() {
        let begun = begin(&[("Readme.md", "1\n")]);
        let mut moved = begun.repo.change("Readme.md", Some("1\n"));
        moved.moved_from = Some(moved.path.clone());
        moved.path = RepoPath::new("README.md").expect("a path");
        begun.apply(vec![moved]);
        assert_eq!(begun.repo.read("README.md").as_deref(), Some("1\n"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_never_followed() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let outside = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink(outside.path(), repo.root().join("link")).expect("link");
        std::os::unix::fs::symlink("a.txt", repo.root().join("alias")).expect("link");
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-qm", "x"]);
        // Not tracked at all, and still blocks the patch.
        std::os::unix::fs::symlink(outside.path(), repo.root().join("loose")).expect("link");
        let begun = begin_in(repo);
        let repo = &begun.repo;
        let through = repo.change("link/escaped.txt", Some("x\n"));
        assert_eq!(begun.refused(vec![through]), WorkspaceErrorKind::Symlink);
        let through = repo.change("loose/escaped.txt", Some("x\n"));
        assert_eq!(begun.refused(vec![through]), WorkspaceErrorKind::Symlink);
        let onto = repo.change("alias", Some("x\n"));
        assert_eq!(begun.refused(vec![onto]), WorkspaceErrorKind::Symlink);
        let mut made = repo.change("new", Some("/etc"));
        made.after = Some(FileContent { bytes: b"/etc".to_vec(), mode: FileMode::Symlink });
        assert_eq!(begun.refused(vec![made]), WorkspaceErrorKind::Symlink);
        assert_eq!(std::fs::read_dir(outside.path()).expect("folder").count(), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let begun = begin(&[("a.txt", "1\n"), ("dir/b.txt", "1\n")]);
        let repo = &begun.repo;
        let stale = FileChange {
            before: Some(FileContent::regular("0\n")),
            ..repo.change("a.txt", Some("2\n"))
        };
        assert_eq!(begun.refused(vec![stale]), WorkspaceErrorKind::Stale);
        let there = FileChange { before: None, ..repo.change("a.txt", Some("2\n")) };
        assert_eq!(begun.refused(vec![there]), WorkspaceErrorKind::Stale);
        let same = repo.change("a.txt", Some("1\n"));
        assert_eq!(begun.refused(vec![same]), WorkspaceErrorKind::NothingChanges);
        let below = repo.change("a.txt/x", Some("1\n"));
        assert_eq!(begun.refused(vec![below]), WorkspaceErrorKind::PathConflict);
        let above = repo.change("dir", Some("1\n"));
        assert_eq!(begun.refused(vec![above]), WorkspaceErrorKind::PathConflict);
        let case = repo.change("A.TXT", Some("1\n"));
        assert_eq!(begun.refused(vec![case]), WorkspaceErrorKind::CaseCollision);
        let case = repo.change("DIR/c.txt", Some("1\n"));
        assert_eq!(begun.refused(vec![case]), WorkspaceErrorKind::CaseCollision);
        let both = vec![repo.change("x", Some("1\n")), repo.change("X", Some("1\n"))];
        assert_eq!(begun.refused(both), WorkspaceErrorKind::CaseCollision);
        for git in [".git/hooks/x", "dir/.git/config", ".GIT/x"] {
            let inside = repo.change(git, Some("1\n"));
            let kind = begun.refused(vec![FileChange { before: None, ..inside }]);
            assert_eq!(kind, WorkspaceErrorKind::InvalidPath, "{git}");
        }
    }

    #[test]
    fn what_git_cannot_store_is_not_the_patch_s_fault() {
        let begun = begin(&[("a.txt", "1\n")]);
        let objects = begun.repo.root().join(".git/objects");
        let folder_of = |text: &str| {
            let blob = Oid::hash_object(git2::ObjectType::Blob, text.as_bytes()).expect("an id");
            objects.join(&blob.to_string()[..2])
        };
        // One that no object there shares by chance.
        let mut texts = (2..).map(|n| format!("{n}\n"));
        let text = texts.find(|text| !folder_of(text).exists()).expect("a text");
        let (changes, folder) = (vec![begun.repo.change("a.txt", Some(&text))], folder_of(&text));
        std::fs::write(&folder, "a file where git needs a folder").expect("written");
        let error = begun.workspace.preview(&begun.base, &changes).expect_err("not stored");
        assert!(!error.is_about_the_patch(), "{error:?}");
        std::fs::remove_file(&folder).expect("removed");
        begun.workspace.preview(&begun.base, &changes).expect("stored");
        begun.repo.write("a.txt", "mine\n");
        let in_the_way = begun.workspace.in_the_way(&begun.base, &changes).expect("compared");
        assert_eq!(in_the_way, [RepoPath::new("a.txt").expect("path")]);
    }

    /// A tmpfs of 256 KiB in place of a folder, with what the folder held.
    struct SmallDisk(std::path::PathBuf);

    impl SmallDisk {
        /// `None` where mounting is not allowed.
        fn beneath(folder: &Path) -> Option<Self> {
            let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
                let done = std::process::Command::new(program).args(arguments).output().ok()?;
                done.status.success().then_some(())
            };
            let before = folder.with_extension("before");
            std::fs::rename(folder, &before).expect("moved");
            std::fs::create_dir(folder).expect("made");
            let options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"].map(AsRef::as_ref);
            let mounted = run("mount", &[&options[..], &[folder.as_os_str()]].concat());
            let disk = mounted.map(|()| Self(folder.to_owned()))?;
            let all = before.join(".");
            run("cp", &["-r".as_ref(), all.as_os_str(), folder.as_os_str()]).expect("copied");
            Some(disk)
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _still_mounted = std::process::Command::new("umount").arg(&self.0).output();
        }
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let begun = begin(&[("a.txt", "1\n")]);
        let objects = begun.repo.root().join(".git/objects");
        let Some(_disk) = SmallDisk::beneath(&objects) else {
            eprintln!("SKIPPED: a tmpfs cannot be mounted here, so no disk was filled");
            return;
        };
        begun.workspace.check_writable(&[]).expect("room");
        let filler = std::fs::File::create(objects.join("filler")).expect("created");
        let _full = io::copy(&mut io::repeat(b'x'), &mut &filler);
        let error = begun.workspace.check_writable(&[]).expect_err("full");
        assert_eq!(error.kind, WorkspaceErrorKind::StorageFull, "{error:?}");
        let change = begun.repo.change("a.txt", Some("2\n"));
        let error = begun.workspace.preview(&begun.base, &[change]).expect_err("full");
        assert_eq!(error.kind, WorkspaceErrorKind::StorageFull, "{error:?}");
        assert!(!error.is_about_the_patch());
        let told = greenloop_model::error_chain(&error);
        assert!(told.contains("No space left") && !told.contains("no error"), "{told}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_counts_that_is_not_on_the_disk() {
        use super::failing_sync::with_failing_sync;
        let begun = begin(&[("a.txt", "1\n")]);
        let (workspace, repo) = (&begun.workspace, &begun.repo);
        std::fs::create_dir_all(repo.root().join(".git/greenloop/claims")).expect("a run's state");
        let change = |text: &str| vec![repo.change("a.txt", Some(text))];

        let error = with_failing_sync(|| begun.prepare(change("lost\n"))).expect_err("an object");
        assert!(!error.is_about_the_patch(), "{error:?}");
        let prepared = begun.prepare(change("2\n")).expect("prepared");
        with_failing_sync(|| workspace.publish(begun.run, &prepared)).expect_err("the ref");
        assert_eq!(workspace.tip(begun.run).expect("tip").as_ref(), Some(&begun.base));
        assert_eq!(repo.read("a.txt").as_deref(), Some("1\n"));
        // The branch moves; of the files, the next process writes what is missing.
        workspace.move_branch(begun.run, &prepared).expect("moved");
        let written = || workspace.write_paths(prepared.files(), prepared.commit());
        with_failing_sync(written).expect_err("a file");
        assert_eq!(repo.read("a.txt").as_deref(), Some("1\n"));
        written().expect("written");
        assert_eq!(repo.read("a.txt").as_deref(), Some("2\n"));
        // The user's own configuration is as it was.
        let config = std::fs::read_to_string(repo.root().join(".git/config")).expect("read");
        assert!(!config.to_lowercase().contains("fsync"), "{config}");
    }

    #[test]
    fn files_in_the_way_are_kept() {
        let begun = begin(&[("a.txt", "1\n"), ("b.txt", "1\n")]);
        let repo = &begun.repo;
        repo.write("new.txt", "mine\n");
        repo.write("a.txt", "mine\n");
        let changes = vec![
            repo.change("new.txt", Some("x\n")),
            repo.change("a.txt", Some("2\n")),
            repo.change("b.txt", Some("2\n")),
        ];
        let paths = ["a.txt", "new.txt"].map(|p| RepoPath::new(p).expect("a path")).to_vec();
        assert_eq!(begun.refused(changes), WorkspaceErrorKind::InTheWay { paths });
        assert_eq!(repo.read("new.txt").as_deref(), Some("mine\n"));
    }

    #[test]
    fn a_lost_race_changes_nothing() {
        let begun = begin(&[("a.txt", "1\n")]);
        let first = begun.prepare(vec![begun.repo.change("a.txt", Some("2\n"))]).expect("first");
        let second = begun.prepare(vec![begun.repo.change("a.txt", Some("3\n"))]).expect("second");
        begun.workspace.publish(begun.run, &first).expect("published");
        let error = begun.workspace.publish(begun.run, &second).expect_err("lost");
        assert_eq!(error.kind, WorkspaceErrorKind::RefMoved);
        assert_eq!(begun.workspace.tip(begun.run).expect("tip").as_ref(), Some(first.commit()));
        assert_eq!(begun.repo.read("a.txt").as_deref(), Some("2\n"));
        begun.workspace.delete_branch(begun.run).expect("deleted");
        let error = begun.workspace.publish(begun.run, &second).expect_err("gone");
        assert_eq!(error.kind, WorkspaceErrorKind::RefMoved);
    }

    #[test]
    fn killed_between_the_swap_and_the_files() {
        let begun = begin(&[("a.txt", "1\n"), ("b.txt", "1\n")]);
        let changes =
            vec![begun.repo.change("a.txt", Some("2\n")), begun.repo.change("b.txt", None)];
        let prepared = begun.prepare(changes).expect("prepared");
        begun.workspace.move_branch(begun.run, &prepared).expect("moved");
        // Here it dies; the next process finds the branch ahead of the files.
        assert_eq!(begun.repo.read("a.txt").as_deref(), Some("1\n"));
        assert!(begun.workspace.ours(&begun.base, prepared.commit()).expect("judged"));
        begun.workspace.write_paths(prepared.files(), prepared.commit()).expect("written");
        assert_eq!(begun.repo.read("a.txt").as_deref(), Some("2\n"));
        assert_eq!(begun.repo.read("b.txt"), None);
        assert_eq!(begun.repo.differences(prepared.commit()), "");
    }

    #[test]
    fn line_ends_follow_the_attributes() {
        let begun = begin(&[(".gitattributes", "*.txt eol=crlf\n"), ("a.txt", "1\n2\n")]);
        let repo = &begun.repo;
        repo.git(&["checkout", "-q", "."]);
        repo.write("a.txt", "1\r\n2\r\n");
        repo.git(&["add", "-A"]);
        begun.workspace.ensure_clean().expect("clean");
        let changes =
            vec![repo.change("a.txt", Some("1\n3\n")), repo.change("b.txt", Some("x\r\ny\n"))];
        let applied = begun.apply(changes);
        assert_eq!(repo.read("a.txt").as_deref(), Some("1\r\n3\r\n"));
        assert_eq!(repo.read("b.txt").as_deref(), Some("x\r\ny\r\n"));
        assert_eq!(repo.git(&["show", &format!("{}:b.txt", applied.commit())]), "x\ny\n");
        assert_eq!(repo.differences(applied.commit()), "");
    }

    #[cfg(unix)]
    #[test]
    fn paths_need_not_be_text() {
        let begun = begin(&[("a.txt", "1\n")]);
        let path = RepoPath::new(b"d\xff/n\xfe.txt").expect("a path");
        let change = FileChange {
            path: path.clone(),
            moved_from: None,
            before: None,
            after: Some(FileContent::regular("x\n")),
        };
        let applied = begun.apply(vec![change]);
        let written = std::fs::read(begun.repo.root().join(path.to_os_path())).expect("file");
        assert_eq!(written, b"x\n");
        let tree = begun.workspace.tree_at(applied.commit()).expect("tree");
        let files = greenloop_patch::Tree::files(&tree).expect("files");
        assert!(files.contains(&path), "{files:?}");
    }

    #[cfg(unix)]
    #[test]
    fn executables_stay_executable() {
        use std::os::unix::fs::PermissionsExt as _;
        let repo = TestRepo::new(&[("run.sh", "#!/bin/sh\n")]);
        repo.git(&["update-index", "--chmod=+x", "run.sh"]);
        repo.git(&["commit", "-qm", "x"]);
        repo.git(&["checkout", "-q", "--", "."]);
        let begun = begin_in(repo);
        let mut change = begun.repo.change("run.sh", None);
        assert_eq!(change.before.as_ref().map(|b| b.mode), Some(FileMode::Executable));
        change.after = Some(executable("#!/bin/sh\ntrue\n"));
        begun.apply(vec![change]);
        let bits = std::fs::metadata(begun.repo.root().join("run.sh")).expect("file").permissions();
        assert_eq!(bits.mode() & 0o111, 0o111);
    }

    #[test]
    fn filtered_files_and_submodules_are_refused() {
        let repo = TestRepo::new(&[(".gitattributes", "*.bin filter=lfs\n")]);
        let library = TestRepo::new(&[("lib.txt", "1\n")]);
        let url = library.root().display().to_string();
        repo.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "lib"]);
        repo.git(&["commit", "-qm", "x"]);
        let begun = begin_in(repo);
        let filtered = begun.repo.change("a.bin", Some("x"));
        assert_eq!(begun.refused(vec![filtered]), WorkspaceErrorKind::Filtered);
        let inside = begun.repo.change("lib/new.txt", Some("x"));
        assert_eq!(begun.refused(vec![inside]), WorkspaceErrorKind::Submodule);
    }

    #[test]
    fn linked_work_trees_are_patched_alone() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("linked");
        repo.git(&["worktree", "add", "-q", "-b", "linked", &path.display().to_string()]);
        let workspace = Workspace::open(&path).expect("opens");
        let run = RunId::generate();
        let base = workspace.head().expect("head").commit;
        workspace.start_branch(run, &base).expect("branch");
        let patch = cleared(vec![repo.change("a.txt", Some("2\n"))]);
        let prepared = workspace.prepare(run, &base, &patch, "x").expect("prepared");
        workspace.publish(run, &prepared).expect("published");
        assert_eq!(std::fs::read(path.join("a.txt")).expect("file"), b"2\n");
        assert_eq!(repo.read("a.txt").as_deref(), Some("1\n"));
        assert!(repo.git(&["branch", "--list", "greenloop/*"]).contains(&run.to_string()));
    }

    #[test]
    fn without_a_configured_name_greenloop_signs() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        repo.git(&["config", "--unset", "user.name"]);
        repo.git(&["config", "--unset", "user.email"]);
        let begun = begin_in(repo);
        let applied = begun.apply(vec![begun.repo.change("a.txt", Some("2\n"))]);
        let name = begun.repo.git(&["log", "-1", "--format=%an <%ae>", applied.commit().as_str()]);
        // A machine-wide configuration may name somebody.
        assert!(!name.trim().is_empty());
    }
}
