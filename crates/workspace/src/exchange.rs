//! What two repositories with the same commit hand each other: an exact patch, and a commit that
//! becomes HEAD's.

use git2::{Delta, Diff, DiffFormat, DiffOptions, ErrorCode, IndexEntry, IndexTime};

use super::workspace::{find_commit, oid, tree_id};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, FileChange, RepoPath, TreeId};

impl Workspace {
    /// The patch that leads from one commit's tree to another's, as `git diff --binary --full-index`
    /// prints it, with so many lines around each change.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub fn exact_patch(
        &self,
        from: &CommitId,
        to: &CommitId,
        context_lines: u32,
    ) -> Result<Vec<u8>, WorkspaceError> {
        let repo = self.repo()?;
        let failed =
            || WorkspaceError::git(format!("cannot compare {} with {}", from.short(), to.short()));
        let old = find_commit(&repo, from)?.tree().map_err(failed())?;
        let new = find_commit(&repo, to)?.tree().map_err(failed())?;
        let mut options = DiffOptions::new();
        options.show_binary(true).id_abbrev(40).context_lines(context_lines);
        let diff =
            repo.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options)).map_err(failed())?;
        let mut bytes = Vec::new();
        diff.print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                bytes.push(line.origin() as u8);
            }
            bytes.extend_from_slice(line.content());
            true
        })
        .map_err(failed())?;
        Ok(bytes)
    }

    /// What such a patch makes of the tree of `base`, file by file, and the tree that results. No
    /// ref, no index and no file is touched.
    ///
    /// # Errors
    /// `Stale` when it does not fit, `InvalidPath` for a path that git cannot hold, `Submodule` when
    /// it changes one.
    pub fn read_patch(
        &self,
        base: &CommitId,
        patch: &[u8],
    ) -> Result<(TreeId, Vec<FileChange>), WorkspaceError> {
        let repo = self.repo()?;
        let stale = |source: git2::Error| {
            WorkspaceError::by_git(
                WorkspaceErrorKind::Stale,
                format!("the patch does not fit commit {}", base.short()),
                &source,
            )
        };
        let diff = Diff::from_buffer(patch).map_err(stale)?;
        for delta in diff.deltas() {
            for file in [delta.old_file(), delta.new_file()] {
                let absent = file.path_bytes().is_none() || delta.status() == Delta::Unmodified;
                let path = file.path_bytes().unwrap_or_default();
                if !absent && RepoPath::new(path).is_err() {
                    let path = String::from_utf8_lossy(path);
                    return Err(WorkspaceError::new(
                        WorkspaceErrorKind::InvalidPath,
                        format!("the patch changes {path:?}, which is not a path in a repository"),
                    ));
                }
            }
        }
        let old = find_commit(&repo, base)?.tree().map_err(stale)?;
        let mut index = repo.apply_to_tree(&old, &diff, None).map_err(stale)?;
        let tree = index.write_tree_to(&repo).map_err(stale)?;
        let new = repo.find_tree(tree).map_err(stale)?;
        let signature = super::prepare::signature(&repo)?;
        let parent = find_commit(&repo, base)?;
        let message = "What a patch makes of it";
        let commit =
            repo.commit(None, &signature, &signature, message, &new, &[&parent]).map_err(stale)?;
        let changes = self.changes(base, &super::workspace::commit_id(commit)?)?;
        let tree = tree_id(tree)?;
        // A submodule's commit is no file.
        if super::prepare::resulting_tree(&repo, &old, &changes)?.to_string() != tree.to_string() {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::Submodule,
                "the patch changes what is not a file".to_owned(),
            ));
        }
        Ok((tree, changes))
    }

    /// Lets HEAD, and the branch that it stands for, go from `base` to `tip`, which has `base` among
    /// its first parents: the files first, then the ref in one compare-and-swap, then the index.
    ///
    /// # Errors
    /// `RefMoved` when HEAD is elsewhere, `InTheWay` when files were changed: nothing was written.
    pub fn advance_head(&self, base: &CommitId, tip: &CommitId) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let moved = |source: Option<git2::Error>| {
            let message = format!("HEAD is no longer at {}", base.short());
            match source {
                Some(source) => {
                    WorkspaceError::by_git(WorkspaceErrorKind::RefMoved, message, &source)
                }
                None => WorkspaceError::new(WorkspaceErrorKind::RefMoved, message),
            }
        };
        if !self.is_head(base)? {
            return Err(moved(None));
        }
        let (old, new) = (oid(base)?, oid(tip)?);
        let head = repo.find_reference("HEAD").map_err(WorkspaceError::git("cannot read HEAD"))?;
        let name = match head.symbolic_target_bytes() {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => "HEAD".to_owned(),
        };
        let paths = self.restore(base, tip)?;
        let log = "greenloop: accept a repair";
        if let Err(source) = repo.reference_matching(&name, new, true, old, log) {
            // The files as they were, before anybody builds them.
            self.restore(tip, base)?;
            return Err(moved(Some(source)));
        }
        self.refresh_index(&paths, tip)
    }

    /// Takes these paths into the index as `commit` has them.
    fn refresh_index(&self, paths: &[RepoPath], commit: &CommitId) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git("cannot update git's index");
        let tree = find_commit(&repo, commit)?.tree().map_err(failed())?;
        let mut index = repo.index().map_err(failed())?;
        for path in paths {
            let os_path = path.to_os_path();
            match tree.get_path(&os_path) {
                Ok(entry) => {
                    let none = IndexTime::new(0, 0);
                    let mode = u32::try_from(entry.filemode()).unwrap_or(0o100_644);
                    let entry = IndexEntry {
                        ctime: none,
                        mtime: none,
                        dev: 0,
                        ino: 0,
                        mode,
                        uid: 0,
                        gid: 0,
                        // Git looks at the file itself.
                        file_size: 0,
                        id: entry.id(),
                        flags: 0,
                        flags_extended: 0,
                        path: path.as_bytes().to_vec(),
                    };
                    index.add(&entry).map_err(failed())?;
                }
                Err(error) if error.code() == ErrorCode::NotFound => {
                    index.remove_path(&os_path).map_err(failed())?;
                }
                Err(error) => return Err(failed()(error)),
            }
        }
        index.write().map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use crate::WorkspaceErrorKind;
    use crate::fixtures::TestRepo;
    use greenloop_model::{FileChange, FileContent, RepoPath};

    const FILES: [(&str, &str); 4] = [
        ("a.txt", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"),
        ("gone.txt", "gone\n"),
        ("no-end", "x"),
        ("dir/deep.txt", "deep\n"),
    ];

    fn change(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> FileChange {
        let content = |bytes: Option<&[u8]>| {
            bytes.map(|it| FileContent { bytes: it.to_vec(), ..FileContent::regular("") })
        };
        FileChange {
            path: RepoPath::new(path).unwrap(),
            moved_from: None,
            before: content(before),
            after: content(after),
        }
    }

    fn changes() -> Vec<FileChange> {
        let binary: Vec<u8> = (0..=255).collect();
        vec![
            change(
                "a.txt",
                Some(FILES[0].1.as_bytes()),
                Some(b"zero\none\ntwo\nthree\nfour\nFIVE\nsix\neight\n"),
            ),
            change("binary", None, Some(&binary)),
            change("dir/deep.txt", Some(b"deep\n"), None),
            change("gone.txt", Some(b"gone\n"), None),
            change("new/file.txt", None, Some(b"new\n")),
            change("no-end", Some(b"x"), Some(b"y")),
        ]
    }

    #[test]
    fn a_patch_makes_the_same_tree_in_another_clone() {
        let repo = TestRepo::new(&FILES);
        let workspace = repo.workspace();
        let base = workspace.head().unwrap().commit;
        let changes = changes();
        let tip = workspace.detached_commit(&base, &changes, "fix").unwrap();
        let tree = workspace.tree_id(&tip).unwrap();
        // Without context libgit2 applies no hunk that only inserts, and says so.
        let bare = workspace.exact_patch(&base, &tip, 0).unwrap();
        match workspace.read_patch(&base, &bare) {
            Ok((made, _)) => assert_eq!(made, tree),
            Err(error) => assert_eq!(error.kind, WorkspaceErrorKind::Stale, "{error:?}"),
        }
        let patch = workspace.exact_patch(&base, &tip, 3).unwrap();
        let (made, read) = workspace.read_patch(&base, &patch).unwrap();
        assert_eq!(made, tree);
        assert_eq!(read, changes);
        let text = String::from_utf8_lossy(&patch).into_owned();
        for (from, to, kind) in [
            ("-five", "-fife", WorkspaceErrorKind::Stale),
            ("b/new/file.txt", "b/../file.txt", WorkspaceErrorKind::InvalidPath),
            ("b/new/file.txt", "b/.git/hooks/x", WorkspaceErrorKind::InvalidPath),
        ] {
            assert!(text.contains(from), "{text}");
            let other = text.replace(from, to);
            let error = workspace.read_patch(&base, other.as_bytes()).unwrap_err();
            assert!(
                error.kind == kind || error.kind == WorkspaceErrorKind::Stale,
                "{to}: {error:?}"
            );
        }
        assert!(workspace.read_patch(&base, b"no patch at all").is_err());
    }

    #[test]
    fn head_goes_to_a_commit_and_git_finds_nothing_changed() {
        for detached in [false, true] {
            let repo = TestRepo::new(&FILES);
            if detached {
                repo.git(&["checkout", "--quiet", "--detach"]);
            }
            let workspace = repo.workspace();
            let base = workspace.head().unwrap().commit;
            let tip = workspace.detached_commit(&base, &changes(), "fix").unwrap();
            workspace.advance_head(&base, &tip).unwrap();
            assert!(workspace.is_head(&tip).unwrap());
            assert_eq!(repo.git(&["status", "--porcelain"]), "");
            assert_eq!(repo.read("no-end").unwrap(), "y");
            assert_eq!(repo.read("gone.txt"), None);
            assert_eq!(workspace.head().unwrap().branch.is_none(), detached);
            let again = workspace.advance_head(&base, &tip).unwrap_err();
            assert_eq!(again.kind, WorkspaceErrorKind::RefMoved);
        }
    }

    #[test]
    fn a_file_that_somebody_changed_keeps_head_where_it_is() {
        let repo = TestRepo::new(&FILES);
        let workspace = repo.workspace();
        let base = workspace.head().unwrap().commit;
        let tip = workspace.detached_commit(&base, &changes(), "fix").unwrap();
        repo.write("a.txt", "somebody's\n");
        let error = workspace.advance_head(&base, &tip).unwrap_err();
        assert!(matches!(error.kind, WorkspaceErrorKind::InTheWay { .. }), "{error:?}");
        assert!(workspace.is_head(&base).unwrap());
        assert_eq!(repo.read("no-end").unwrap(), "x");
    }
}
