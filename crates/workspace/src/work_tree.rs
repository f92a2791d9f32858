//! The files on disk: made equal to a commit's, and compared with one.
//!
//! Files come from git's own checkout into a folder beside git's data, so that line ends and
//! `$Id$` are as any checkout makes them, and are then renamed into place one by one.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use git2::Repository;
use git2::build::CheckoutBuilder;
use tempfile::TempDir;

use super::workspace::{changed_paths, commit_id, find_commit, is_filtered, names};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RepoPath};

/// Drafts this old were left by a process that died.
const STALE_DRAFT: Duration = Duration::from_secs(3_600);
/// Commits of one run: its iterations are far fewer.
const LONGEST_CHAIN: usize = 1_000;
const DRAFT_PREFIX: &str = "checkout-";

/// Files as a commit has them.
pub(super) struct Version<'a> {
    commit: &'a CommitId,
}

impl<'a> Version<'a> {
    pub(super) fn of(commit: &'a CommitId) -> Self {
        Self { commit }
    }
}

impl Workspace {
    /// Makes exactly these paths of the work tree equal to `from`: writes what the commit has,
    /// deletes what it has not, and the folders that are empty then. May be repeated; killed in
    /// between, every file is either as it was or as it will be.
    ///
    /// # Errors
    /// When a path leads through a symbolic link, a folder with files of its own stands in the
    /// way, or a file cannot be written.
    pub fn write_paths(&self, paths: &[RepoPath], from: &CommitId) -> Result<(), WorkspaceError> {
        for path in paths {
            self.check_parents(path)?;
        }
        let draft = self.draft(from, paths)?;
        let (come, go): (Vec<_>, Vec<_>) = paths.iter().partition(|path| {
            let file = draft.path().join(path.to_os_path());
            file.symlink_metadata().is_ok_and(|found| !found.is_dir())
        });
        let judge_mode = judges_modes(&self.repo()?);
        for path in go {
            self.delete(path)?;
        }
        for path in come {
            self.place(&draft.path().join(path.to_os_path()), path, judge_mode)?;
        }
        Ok(())
    }

    /// Makes these paths equal to `from`, as [`Workspace::write_paths`] does, and keeps what their
    /// files held as blobs, which are returned with their ids: nothing is lost.
    ///
    /// # Errors
    /// Those of [`Workspace::write_paths`], and when git's data cannot be written.
    pub fn restore_files(
        &self,
        paths: &[RepoPath],
        from: &CommitId,
    ) -> Result<Vec<(RepoPath, String)>, WorkspaceError> {
        let repo = self.repo()?;
        let mut kept = Vec::new();
        for path in paths {
            self.check_parents(path)?;
            let file = self.root().join(path.to_os_path());
            if file.symlink_metadata().is_ok_and(|found| found.is_file()) {
                let id = repo
                    .blob_path(&file)
                    .map_err(WorkspaceError::git(format!("cannot save the content of {path}")))?;
                kept.push((path.clone(), id.to_string()));
            }
        }
        self.write_paths(paths, from)?;
        Ok(kept)
    }

    /// Whether a file has the content of the blob `id`.
    pub fn holds(&self, path: &RepoPath, id: &str) -> bool {
        let file = self.root().join(path.to_os_path());
        let found = git2::Oid::hash_file(git2::ObjectType::Blob, file);
        found.is_ok_and(|found| found.to_string() == id)
    }

    /// Writes every path that the commits between the two change back from `to`, and says which
    /// they are.
    ///
    /// # Errors
    /// `InTheWay` when one of them is as none of those commits has it: nothing was written.
    pub fn restore(&self, from: &CommitId, to: &CommitId) -> Result<Vec<RepoPath>, WorkspaceError> {
        let (paths, chain) = self.span(from, to)?;
        let versions: Vec<Version<'_>> = chain.iter().map(Version::of).collect();
        let foreign = self.not_as(&paths, &versions)?;
        if !foreign.is_empty() {
            let context = format!(
                "{} has changed since, and would be overwritten",
                names(&foreign, foreign.len())
            );
            let kind = WorkspaceErrorKind::InTheWay { paths: foreign };
            return Err(WorkspaceError::new(kind, context));
        }
        self.write_paths(&paths, to)?;
        Ok(paths)
    }

    /// Whether every difference of the work tree from HEAD is explained by `base..tip`: a path
    /// that differs is one of theirs, and is as one of those commits has it. A process that
    /// died between moving the branch and writing the files leaves them as the commit before
    /// the tip has them, so the two ends are not enough. The index must not differ.
    ///
    /// # Errors
    /// When the work tree cannot be compared.
    pub fn ours(&self, base: &CommitId, tip: &CommitId) -> Result<bool, WorkspaceError> {
        let repo = self.repo()?;
        let (paths, chain) = self.span(base, tip)?;
        for (path, status) in changed_paths(&repo)? {
            let staged = status.is_index_new()
                || status.is_index_modified()
                || status.is_index_deleted()
                || status.is_index_renamed()
                || status.is_index_typechange()
                || status.is_conflicted();
            if staged || paths.binary_search(&path).is_err() {
                return Ok(false);
            }
        }
        let versions: Vec<Version<'_>> = chain.iter().map(Version::of).collect();
        Ok(self.not_as(&paths, &versions)?.is_empty())
    }

    /// The commits from one to the other along first parents, whichever is the older, and every
    /// path that one of them changes, sorted. Two commits of which neither is the other's
    /// ancestor stand for themselves.
    fn span(
        &self,
        a: &CommitId,
        b: &CommitId,
    ) -> Result<(Vec<RepoPath>, Vec<CommitId>), WorkspaceError> {
        let chain = match self.ancestry(a, b)? {
            Some(chain) => chain,
            None => self.ancestry(b, a)?.unwrap_or_else(|| vec![a.clone(), b.clone()]),
        };
        let mut paths = Vec::new();
        for pair in chain.windows(2) {
            paths.extend(self.differing(&pair[0], &pair[1])?);
        }
        paths.sort_unstable();
        paths.dedup();
        Ok((paths, chain))
    }

    /// From `young` back to `old` along first parents; `None` when `old` does not come.
    fn ancestry(
        &self,
        young: &CommitId,
        old: &CommitId,
    ) -> Result<Option<Vec<CommitId>>, WorkspaceError> {
        let repo = self.repo()?;
        let mut chain = vec![young.clone()];
        let mut at = find_commit(&repo, young)?;
        while chain.last() != Some(old) {
            if chain.len() > LONGEST_CHAIN {
                return Ok(None);
            }
            let Ok(parent) = at.parent(0) else { return Ok(None) };
            chain.push(commit_id(parent.id())?);
            at = parent;
        }
        Ok(Some(chain))
    }

    /// The paths that differ between two commits, sorted.
    pub(super) fn differing(
        &self,
        a: &CommitId,
        b: &CommitId,
    ) -> Result<Vec<RepoPath>, WorkspaceError> {
        let repo = self.repo()?;
        let failed =
            || WorkspaceError::git(format!("cannot compare {} with {}", a.short(), b.short()));
        let (old, new) = (
            find_commit(&repo, a)?.tree().map_err(failed())?,
            find_commit(&repo, b)?.tree().map_err(failed())?,
        );
        let mut options = git2::DiffOptions::new();
        options.ignore_submodules(true);
        let diff =
            repo.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options)).map_err(failed())?;
        let mut paths: Vec<RepoPath> = diff
            .deltas()
            .flat_map(|delta| {
                [delta.old_file().path_bytes(), delta.new_file().path_bytes()]
                    .map(|path| path.and_then(|path| RepoPath::new(path).ok()))
            })
            .flatten()
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    /// Those of `paths` whose file in the work tree is as none of the versions has it.
    pub(super) fn not_as(
        &self,
        paths: &[RepoPath],
        versions: &[Version<'_>],
    ) -> Result<Vec<RepoPath>, WorkspaceError> {
        let repo = self.repo()?;
        let judge_mode = judges_modes(&repo);
        let drafts = versions
            .iter()
            .map(|version| self.draft(version.commit, paths))
            .collect::<Result<Vec<_>, _>>()?;
        let mut foreign = Vec::new();
        for path in paths {
            self.check_parents(path)?;
            let here = self.root().join(path.to_os_path());
            let known = drafts.iter().any(|draft| {
                same_file(&here, &draft.path().join(path.to_os_path()), judge_mode).unwrap_or(false)
            });
            // What a filter makes of a file is not known here.
            if !known && !is_filtered(&repo, path) {
                foreign.push(path.clone());
            }
        }
        Ok(foreign)
    }

    /// The commit's version of `paths`, as a checkout would write them, in a new folder.
    fn draft(&self, commit: &CommitId, paths: &[RepoPath]) -> Result<TempDir, WorkspaceError> {
        let draft = draft_folder(&self.git_dir().join("greenloop"))?;
        let repo = self.repo()?;
        // A checkout compares with HEAD when there is an index on disk, and leaves out files in
        // whose place HEAD has a folder. Without one it writes whatever is asked for.
        let mut index =
            git2::Index::new().map_err(WorkspaceError::git("cannot create an index"))?;
        repo.set_index(&mut index).map_err(WorkspaceError::git("cannot save an index"))?;
        let found = find_commit(&repo, commit)?;
        let failed = || WorkspaceError::git(format!("cannot check out {}", commit.short()));
        let tree = found.tree().map_err(failed())?;
        let there: Vec<&RepoPath> = paths
            .iter()
            .filter(|path| {
                tree.get_path(&path.to_os_path())
                    .is_ok_and(|entry| entry.kind() == Some(git2::ObjectType::Blob))
            })
            .collect();
        // No path at all would mean every path.
        if there.is_empty() {
            return Ok(draft);
        }
        let mut checkout = CheckoutBuilder::new();
        checkout
            .target_dir(draft.path())
            .force()
            .recreate_missing(true)
            .update_index(false)
            .refresh(false)
            .disable_pathspec_match(true);
        for path in &there {
            checkout.path(path.as_bytes());
        }
        repo.checkout_tree(tree.as_object(), Some(&mut checkout)).map_err(failed())?;
        // A file that is missing here would be taken for one to delete.
        for path in there {
            if draft.path().join(path.to_os_path()).symlink_metadata().is_err() {
                let context = format!("the checkout of {} is missing {path}", commit.short());
                return Err(WorkspaceError::new(WorkspaceErrorKind::Git, context));
            }
        }
        Ok(draft)
    }

    /// That no folder on the way is a link, or anything else that is not a folder. One that is not
    /// there is fine, and so is a file: the commit may make a folder of it.
    fn check_parents(&self, path: &RepoPath) -> Result<(), WorkspaceError> {
        let mut folder = self.root().to_owned();
        let path = path.to_os_path();
        for component in path.parent().into_iter().flat_map(Path::components) {
            folder.push(component);
            match folder.symlink_metadata() {
                Ok(found) if found.is_dir() => {}
                Ok(found) if found.is_symlink() => {
                    return Err(WorkspaceError::new(
                        WorkspaceErrorKind::Symlink,
                        format!("{} is a symbolic link", folder.display()),
                    ));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
                Err(error) => {
                    let context = format!("cannot inspect {}", folder.display());
                    return Err(WorkspaceError::io(context)(error));
                }
            }
        }
        Ok(())
    }

    fn delete(&self, path: &RepoPath) -> Result<(), WorkspaceError> {
        let file = self.root().join(path.to_os_path());
        let failed = || WorkspaceError::io(format!("cannot delete {}", file.display()));
        match file.symlink_metadata() {
            // A folder of the same name, made since: not what is to be deleted.
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => fs::remove_file(&file).map_err(failed())?,
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(failed()(error)),
        }
        let mut folder = file.parent();
        while let Some(parent) = folder.filter(|parent| *parent != self.root()) {
            // Stops at the first that is not empty.
            if fs::remove_dir(parent).is_err() && parent.exists() {
                break;
            }
            folder = parent.parent();
        }
        sync_folder(folder.unwrap_or_else(|| self.root()));
        Ok(())
    }

    fn place(&self, draft: &Path, path: &RepoPath, judge_mode: bool) -> Result<(), WorkspaceError> {
        let file = self.root().join(path.to_os_path());
        let failed = || WorkspaceError::io(format!("cannot write {}", file.display()));
        let folder = file.parent().unwrap_or_else(|| self.root());
        // Once more, now that it counts: `create_dir_all` would follow a link.
        self.check_parents(path)?;
        fs::create_dir_all(folder).map_err(failed())?;
        let there = file.symlink_metadata().ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            fs::remove_dir(&file).map_err(failed())?;
        }
        if let Some(new) = draft.symlink_metadata().ok().filter(fs::Metadata::is_file) {
            let written = fs::File::open(draft).map_err(failed())?;
            if let Some(old) = there.filter(fs::Metadata::is_file) {
                let mode = kept_mode(&old, judge_mode.then(|| is_executable(&new)));
                written.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed())?;
            }
            written.sync_all().map_err(failed())?;
        }
        match fs::rename(draft, &file) {
            Ok(()) => {}
            // A linked work tree may lie on another file system than git's folder.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy_over(draft, folder, &file).map_err(failed())?;
            }
            Err(error) => return Err(failed()(error)),
        }
        forget_compiled(&file);
        sync_folder(folder);
        Ok(())
    }
}

/// Deletes what Python has compiled of a module: it takes a file for unchanged that has the same
/// length and was written within the same second.
fn forget_compiled(file: &Path) {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem()) else { return };
    if file.extension().is_none_or(|extension| extension != "py") {
        return;
    }
    let start = [stem.as_bytes(), b"."].concat();
    let Ok(compiled) = fs::read_dir(folder.join("__pycache__")) else { return };
    for entry in compiled.flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(&start) && name.as_bytes().ends_with(b".pyc") {
            let _as_well_as_possible = fs::remove_file(entry.path());
        }
    }
}

/// Whether git takes the executable bit of a file seriously.
pub(super) fn judges_modes(repo: &Repository) -> bool {
    repo.config().and_then(|config| config.get_bool("core.fileMode")).unwrap_or(true)
}

fn is_executable(found: &fs::Metadata) -> bool {
    found.permissions().mode() & 0o100 != 0
}

/// The permissions of a file whose content is replaced. A commit knows one of them: whether the
/// file is executable (`None` when git does not judge it). The others are its owner's business.
fn kept_mode(old: &fs::Metadata, executable: Option<bool>) -> u32 {
    let mode = old.permissions().mode() & 0o7777;
    match executable {
        Some(true) if !is_executable(old) => mode | 0o100 | (mode & 0o444) >> 2,
        Some(false) if is_executable(old) => mode & !0o111,
        Some(_) | None => mode,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Copies into the target's folder first, so that the last step is a rename there too.
fn copy_over(draft: &Path, folder: &Path, file: &Path) -> io::Result<()> {
    let found = draft.symlink_metadata()?;
    if found.is_symlink() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a link cannot be moved to another file system",
        ));
    }
    let near = tempfile::NamedTempFile::new_in(folder)?;
    fs::copy(draft, near.path())?;
    near.as_file().sync_all()?;
    near.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// A folder that cannot be synced (some file systems) is no reason to fail: the files are there.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// A new folder for a checkout, removed when dropped.
pub(super) fn draft_folder(folder: &Path) -> Result<TempDir, WorkspaceError> {
    let failed = || WorkspaceError::io(format!("cannot create a folder in {}", folder.display()));
    fs::create_dir_all(folder).map_err(failed())?;
    remove_stale_drafts(folder);
    tempfile::Builder::new().prefix(DRAFT_PREFIX).tempdir_in(folder).map_err(failed())
}

fn remove_stale_drafts(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let draft = entry.file_name().to_string_lossy().starts_with(DRAFT_PREFIX);
        let old = entry
            .metadata()
            .and_then(|found| found.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .is_some_and(|age| age > STALE_DRAFT);
        if draft && old {
            // Somebody else may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether two paths hold the same: both nothing, or links with one target, or files with the
/// same bytes (and the same executable bit).
fn same_file(a: &Path, b: &Path, judge_mode: bool) -> io::Result<bool> {
    // A folder is not a file: it does not conflict with the absence of one.
    let look = |path: &Path| match path.symlink_metadata() {
        Ok(found) => Ok((!found.is_dir()).then_some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    };
    let (left, right) = match (look(a)?, look(b)?) {
        (Some(left), Some(right)) => (left, right),
        (None, None) => return Ok(true),
        (Some(_), None) | (None, Some(_)) => return Ok(false),
    };
    if left.is_symlink() || right.is_symlink() {
        return Ok(left.is_symlink()
            && right.is_symlink()
            && fs::read_link(a)? == fs::read_link(b)?);
    }
    if !left.is_file() || !right.is_file() || left.len() != right.len() {
        return Ok(false);
    }
    if judge_mode && is_executable(&left) != is_executable(&right) {
        return Ok(false);
    }
    Ok(fs::read(a)? == fs::read(b)?)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).expect("a path")
    }

    /// Two commits, with the work tree at the first.
    fn two(
        first: &[(&str, &str)],
        second: &[(&str, &str)],
    ) -> (TestRepo, Workspace, CommitId, CommitId) {
        let repo = TestRepo::new(first);
        let workspace = repo.workspace();
        let base = workspace.head().expect("head").commit;
        repo.commit(second);
        let tip = workspace.head().expect("head").commit;
        repo.git(&["reset", "-q", "--hard", base.as_str()]);
        (repo, workspace, base, tip)
    }

    #[test]
    fn what_python_compiled_of_a_written_module_is_gone() {
        let (repo, workspace, _base, tip) =
            two(&[("lib/a.py", "x = 1\n"), ("lib/ab.py", "y = 1\n")], &[("lib/a.py", "x = 2\n")]);
        for name in ["a.cpython-312.pyc", "a.cpython-312.opt-1.pyc", "ab.cpython-312.pyc"] {
            repo.write(&format!("lib/__pycache__/{name}"), "compiled");
        }
        workspace.write_paths(&[path("lib/a.py")], &tip).expect("written");
        let left: Vec<_> = fs::read_dir(repo.root().join("lib/__pycache__"))
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, ["ab.cpython-312.pyc"]);
    }

    #[test]
    fn paths_are_written_and_others_left_alone() {
        let (repo, workspace, base, tip) =
            two(&[("a", "1\n"), ("b", "1\n")], &[("a", "2\n"), ("b", "2\n"), ("c/d", "2\n")]);
        workspace.write_paths(&[path("a"), path("c/d")], &tip).expect("written");
        assert_eq!(repo.read("a").as_deref(), Some("2\n"));
        assert_eq!(repo.read("b").as_deref(), Some("1\n"));
        assert_eq!(repo.read("c/d").as_deref(), Some("2\n"));
        workspace.write_paths(&[path("a"), path("c/d")], &base).expect("written back");
        assert_eq!(repo.read("a").as_deref(), Some("1\n"));
        assert!(!repo.root().join("c").exists());
        workspace.ensure_clean().expect("clean");
        // No draft is left behind.
        let left = fs::read_dir(repo.root().join(".git/greenloop")).expect("folder").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_file_keeps_its_permissions_but_for_the_executable_bit_of_the_commit() {
        let (repo, workspace, base, tip) = two(
            &[("key", "1\n"), ("tool", "1\n"), ("new", "1\n")],
            &[("key", "2\n"), ("tool", "2\n")],
        );
        let mode = |path: &str| repo.root().join(path).metadata().unwrap().permissions().mode();
        let set = |path: &str, mode: u32| {
            fs::set_permissions(repo.root().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        set("key", 0o600);
        set("tool", 0o750);
        repo.git(&["update-index", "--chmod=+x", "tool"]);
        repo.git(&["commit", "-qm", "tool is executable"]);
        let executable = workspace.head().unwrap().commit;
        let paths = [path("key"), path("tool")];
        workspace.write_paths(&paths, &executable).unwrap();
        assert_eq!((mode("key") & 0o7777, mode("tool") & 0o7777), (0o600, 0o750));
        workspace.write_paths(&paths, &tip).unwrap();
        assert_eq!(repo.read("key").as_deref(), Some("2\n"));
        assert_eq!((mode("key") & 0o7777, mode("tool") & 0o7777), (0o600, 0o640));
        set("tool", 0o604);
        workspace.write_paths(&paths, &executable).unwrap();
        assert_eq!(mode("tool") & 0o7777, 0o705);
        // Where git does not judge modes, neither does a fix.
        repo.git(&["config", "core.fileMode", "false"]);
        workspace.write_paths(&paths, &base).unwrap();
        assert_eq!((mode("key") & 0o7777, mode("tool") & 0o7777), (0o600, 0o705));
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let (repo, workspace, _, tip) = two(&[("a", "1\n")], &[("d/x", "2\n")]);
        let outside = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink(outside.path(), repo.root().join("d")).expect("link");
        let error = workspace.write_paths(&[path("d/x")], &tip).expect_err("refused");
        assert_eq!(error.kind, WorkspaceErrorKind::Symlink);
        assert_eq!(fs::read_dir(outside.path()).expect("folder").count(), 0);
    }

    #[test]
    fn restore_keeps_what_somebody_else_wrote() {
        let (repo, workspace, base, tip) =
            two(&[("a", "1\n"), ("b", "1\n")], &[("a", "2\n"), ("n", "2\n")]);
        workspace.write_paths(&[path("a"), path("n")], &tip).expect("written");
        repo.write("a", "mine\n");
        let error = workspace.restore(&tip, &base).expect_err("refused");
        assert_eq!(error.kind, WorkspaceErrorKind::InTheWay { paths: vec![path("a")] });
        assert_eq!(repo.read("n").as_deref(), Some("2\n"));
        repo.write("a", "2\n");
        assert_eq!(workspace.restore(&tip, &base).expect("restored"), [path("a"), path("n")]);
        assert_eq!(repo.read("a").as_deref(), Some("1\n"));
        assert_eq!(repo.read("n"), None);
        workspace.restore(&tip, &base).expect("restored already");
    }

    #[test]
    fn differences_are_told_apart() {
        let (repo, workspace, base, tip) =
            two(&[("a", "1\n"), ("b", "1\n")], &[("a", "2\n"), ("n", "2\n")]);
        let ours = || workspace.ours(&base, &tip).expect("judged");
        assert!(ours(), "clean");
        workspace.write_paths(&[path("a")], &tip).expect("written");
        assert!(ours(), "half written");
        workspace.write_paths(&[path("n")], &tip).expect("written");
        assert!(ours(), "written");
        repo.write("b", "mine\n");
        assert!(!ours(), "another file");
        repo.git(&["checkout", "-q", "b"]);
        repo.write("a", "mine\n");
        assert!(!ours(), "another content");
        repo.write("a", "2\n");
        assert!(ours(), "back");
        repo.git(&["add", "a"]);
        assert!(!ours(), "staged");
    }

    /// Several commits in a row, with the work tree at the first.
    fn chain(versions: &[&[(&str, &str)]]) -> (TestRepo, Workspace, Vec<CommitId>) {
        let repo = TestRepo::new(versions[0]);
        let workspace = repo.workspace();
        let mut commits = vec![workspace.head().expect("head").commit];
        for files in &versions[1..] {
            repo.commit(files);
            commits.push(workspace.head().expect("head").commit);
        }
        repo.git(&["reset", "-q", "--hard", commits[0].as_str()]);
        (repo, workspace, commits)
    }

    #[test]
    fn a_work_tree_left_between_two_patches_is_ours_and_goes_both_ways() {
        // Died after the branch moved for the second patch, before its files were written.
        let (repo, workspace, commits) = chain(&[
            &[("a", "1\n"), ("b", "1\n")],
            &[("a", "2\n")],
            &[("a", "3\n"), ("b", "3\n"), ("n", "3\n")],
        ]);
        let [base, middle, tip] = commits.as_slice() else { panic!("{commits:?}") };
        let left = || workspace.write_paths(&[path("a")], middle).expect("written");
        left();
        assert!(workspace.ours(base, tip).expect("judged"));
        workspace.restore(base, tip).expect("on to the tip");
        assert_eq!(repo.differences(tip), "");
        workspace.restore(tip, base).expect("back");
        left();
        workspace.restore(tip, base).expect("back to the base");
        workspace.ensure_clean().expect("clean");
        // What none of the commits has is somebody else's.
        left();
        repo.write("b", "2\n");
        assert!(!workspace.ours(base, tip).expect("judged"));
        workspace.restore(tip, base).expect_err("refused");
        assert_eq!(repo.read("a").as_deref(), Some("2\n"));
        assert_eq!(repo.read("b").as_deref(), Some("2\n"));
    }

    #[test]
    fn what_is_put_back_is_kept_as_a_blob() {
        let repo = TestRepo::new(&[("a", "1\n"), ("gone", "1\n")]);
        let workspace = repo.workspace();
        let head = workspace.head().expect("head").commit;
        repo.write("a", "theirs\n");
        std::fs::remove_file(repo.root().join("gone")).expect("removed");
        let kept = workspace.restore_files(&[path("a"), path("gone")], &head).expect("put back");
        assert_eq!(repo.read("a").as_deref(), Some("1\n"));
        assert_eq!(repo.read("gone").as_deref(), Some("1\n"));
        let [(name, blob)] = kept.as_slice() else { panic!("{kept:?}") };
        assert_eq!(name, &path("a"));
        assert!(!workspace.holds(name, blob));
        repo.write("a", "theirs\n");
        assert!(workspace.holds(name, blob));
        assert_eq!(repo.git(&["cat-file", "blob", blob]), "theirs\n");
    }

    #[test]
    fn a_file_that_came_back_to_what_it_was_is_put_right_too() {
        // `a` is the same in both ends: only the commit between them explains it.
        let (repo, workspace, commits) =
            chain(&[&[("a", "A\n"), ("c", "1\n")], &[("a", "B\n")], &[("a", "A\n"), ("c", "2\n")]]);
        let [base, middle, tip] = commits.as_slice() else { panic!("{commits:?}") };
        for (to, c) in [(base, "1\n"), (tip, "2\n")] {
            workspace.write_paths(&[path("a")], middle).expect("written");
            assert!(workspace.ours(base, tip).expect("judged"));
            let from = if to == base { tip } else { base };
            workspace.restore(from, to).expect("restored");
            assert_eq!(repo.read("a").as_deref(), Some("A\n"));
            assert_eq!(repo.read("c").as_deref(), Some(c));
            assert_eq!(repo.differences(to), "");
        }
    }
}
