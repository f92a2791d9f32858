//! A copy of the work tree as it is, as a linked work tree of the repository: commands and
//! patches work there, and the files of the person who works in the original stay theirs.
//!
//! Registered in `<git dir>/worktrees/greenloop-<run>/`, as `git worktree` does it, with HEAD at
//! a [`super::Snapshot`]. `origin` in that folder names the work tree it was made of: whoever
//! holds the claim on that one removes copies that a dead process left.
//!
//! Ignored files (dependencies, build caches, `.env`) come along: all of them where the file
//! system shares blocks, otherwise up to a limit. No file is ever shared with the original: what
//! a command writes in the copy stays there.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::copy_file::copy_file;
use super::snapshot::{OnDisk, Snapshot};
use super::workspace::oid;
use super::{Workspace, WorkspaceError};
use greenloop_model::{RunId, counted};

const ADMIN_PREFIX: &str = "greenloop-";
const ORIGIN: &str = "origin";
const COPIED_FILES: u64 = 100_000;

/// How a copy is made.
pub struct CopyOptions<'a> {
    /// The folder that it is made in.
    pub folder: &'a Path,
    /// Paths git does not track, relative to the root, that stay behind.
    pub skip: &'a dyn Fn(&Path) -> bool,
    /// Asked between files: whether to give up.
    pub cancelled: &'a dyn Fn() -> bool,
    /// Bytes of files git does not track that are copied where that costs space; an entry that
    /// would exceed them is left out.
    pub copied_bytes: u64,
}

/// A copy of a work tree.
#[derive(Debug, Clone)]
pub struct WorkTreeCopy {
    /// It, as a workspace of its own; HEAD is at the snapshot.
    pub workspace: Workspace,
    /// The work tree it was made of.
    pub original: Workspace,
    /// That work tree's state.
    pub snapshot: Snapshot,
    /// What a person should know: what is missing in it.
    pub notices: Vec<String>,
}

impl Workspace {
    /// Makes a copy for `run`. Removed by [`Workspace::remove_copy`].
    ///
    /// # Errors
    /// When a file cannot be read or written, or it was cancelled: what was made is removed.
    pub fn copy(
        &self,
        run: RunId,
        options: &CopyOptions<'_>,
    ) -> Result<WorkTreeCopy, WorkspaceError> {
        let made = self.make_copy(run, options);
        if made.is_err() {
            // The error that led here is the one that counts.
            let _ = self.remove_copy(run);
            let _not_registered_yet = remove_tree(&options.folder.join(run.to_string()));
        }
        made
    }

    fn make_copy(
        &self,
        run: RunId,
        options: &CopyOptions<'_>,
    ) -> Result<WorkTreeCopy, WorkspaceError> {
        let name = self.root().file_name().unwrap_or("work-tree".as_ref());
        let folder = options.folder.join(run.to_string());
        let failed =
            || WorkspaceError::copy(format!("cannot copy the work tree to {}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed())?;
        let folder = folder.canonicalize().map_err(failed())?;
        let root = folder.join(name);
        let admin = self.register(run, &root)?;
        fs::create_dir(&root).map_err(failed())?;

        let (snapshot, on_disk) = self.snapshot_into(Some(&root), options.cancelled)?;
        let mut notices = Vec::new();
        if !snapshot.left_out.is_empty() {
            notices.push(format!(
                "copied, but too large to be patched: {}",
                super::workspace::names(&snapshot.left_out, snapshot.left_out.len())
            ));
        }
        let carrier = Carrier { from: self.root(), to: &root, options, unreadable: Vec::new() };
        notices.extend(carrier.carry(&on_disk)?);

        // A commit id with a newline, as git writes it.
        let head = format!("{}\n", oid(&snapshot.commit)?);
        fs::write(admin.join("HEAD"), head).map_err(failed())?;
        let link = format!("gitdir: {}\n", admin.display());
        fs::write(root.join(".git"), link).map_err(failed())?;
        let workspace = Self::open(&root)?;
        let git = || WorkspaceError::git("cannot write the index of the copy");
        let mut index = workspace.repo()?.index().map_err(git())?;
        for entry in &on_disk.entries {
            index.add(entry).map_err(git())?;
        }
        index.write().map_err(git())?;
        Ok(WorkTreeCopy { workspace, original: self.clone(), snapshot, notices })
    }

    /// The folder in which git keeps what it knows of the copy. From here on it is found again.
    fn register(&self, run: RunId, root: &Path) -> Result<PathBuf, WorkspaceError> {
        let failed = || WorkspaceError::io("cannot register the copy of the work tree");
        let git_dir = self.git_dir().canonicalize().map_err(failed())?;
        let admin = git_dir.join("worktrees").join(format!("{ADMIN_PREFIX}{run}"));
        fs::create_dir_all(&admin).map_err(failed())?;
        // `git gc` takes what it finds unfinished for the rest of a work tree that is gone.
        fs::write(admin.join("locked"), format!("greenloop works in it (run {run})\n"))
            .map_err(failed())?;
        let origin = self.root().as_os_str().as_encoded_bytes();
        fs::write(admin.join(ORIGIN), origin).map_err(failed())?;
        fs::write(admin.join("commondir"), "../..\n").map_err(failed())?;
        let mut place = root.join(".git").into_os_string().into_encoded_bytes();
        place.push(b'\n');
        fs::write(admin.join("gitdir"), place).map_err(failed())?;
        Ok(admin)
    }

    /// Removes the copy of a run, and what git knows of it. Whether there was one.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn remove_copy(&self, run: RunId) -> Result<bool, WorkspaceError> {
        self.remove_admin(&self.worktrees().join(format!("{ADMIN_PREFIX}{run}")))
    }

    /// Removes all copies that were made of this work tree. Only for the holder of its claim.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn remove_copies(&self) -> Result<usize, WorkspaceError> {
        let mut removed = 0;
        for entry in fs::read_dir(self.worktrees()).into_iter().flatten().flatten() {
            let own = entry.file_name().as_encoded_bytes().starts_with(ADMIN_PREFIX.as_bytes());
            let admin = entry.path();
            let origin = fs::read(admin.join(ORIGIN)).unwrap_or_default();
            if own && origin == self.root().as_os_str().as_encoded_bytes() {
                removed += usize::from(self.remove_admin(&admin)?);
            }
        }
        Ok(removed)
    }

    fn worktrees(&self) -> PathBuf {
        self.git_dir().join("worktrees")
    }

    fn remove_admin(&self, admin: &Path) -> Result<bool, WorkspaceError> {
        use std::os::unix::ffi::OsStrExt as _;
        let failed = |path: &Path| WorkspaceError::io(format!("cannot delete {}", path.display()));
        if !admin.is_dir() {
            return Ok(false);
        }
        let place = fs::read(admin.join("gitdir")).unwrap_or_default();
        let place = Path::new(std::ffi::OsStr::from_bytes(place.trim_ascii_end()));
        // `<folder>/<run>/<name>/.git`: the run's folder goes.
        let run = admin.file_name().and_then(|name| {
            name.as_encoded_bytes().strip_prefix(ADMIN_PREFIX.as_bytes()).map(<[u8]>::to_vec)
        });
        if let Some(folder) = place.parent().and_then(Path::parent)
            && folder.file_name().map(|name| name.as_encoded_bytes().to_vec()) == run
        {
            remove_tree(folder).map_err(failed(folder))?;
            // The folder of copies, when this was the last.
            let _not_empty = folder.parent().map(fs::remove_dir);
        }
        fs::remove_dir_all(admin).map_err(failed(admin))?;
        // Gone when it was the last; git makes it again.
        let _not_empty = fs::remove_dir(self.worktrees());
        Ok(true)
    }
}

/// What an entry weighs that git does not track.
struct SizedPath {
    path: PathBuf,
    bytes: u64,
    files: u64,
}

struct Carrier<'a> {
    from: &'a Path,
    to: &'a Path,
    options: &'a CopyOptions<'a>,
    unreadable: Vec<PathBuf>,
}

impl Carrier<'_> {
    /// Copies what the snapshot did not write, and says what is missing. Of what git does not
    /// track, the lightest entries come along as far as the limits reach.
    fn carry(mut self, on_disk: &OnDisk) -> Result<Vec<String>, WorkspaceError> {
        for path in &on_disk.tracked_beside {
            self.carry_one(path)?;
        }
        let mut sized: Vec<SizedPath> =
            on_disk.untracked_beside.iter().map(|path| self.size_of(path)).collect();
        sized.sort_by_key(|entry| entry.bytes);
        let free = sized
            .iter()
            .find(|entry| entry.files > 0)
            .is_some_and(|entry| self.shares_blocks(&entry.path));
        let (mut bytes, mut files) = (0u64, 0u64);
        let mut notices = Vec::new();
        for entry in sized {
            let (more_bytes, more_files) =
                (bytes.saturating_add(entry.bytes), files.saturating_add(entry.files));
            if !free && (more_bytes > self.options.copied_bytes || more_files > COPIED_FILES) {
                notices.push(format!(
                    "{} ({} MiB, {}) is too large to be copied, so the command runs without it; \
                     if you commit or stash your changes, the command runs in the work tree itself",
                    entry.path.display(),
                    entry.bytes >> 20,
                    counted(usize::try_from(entry.files).unwrap_or(usize::MAX), "file", "files")
                ));
                continue;
            }
            (bytes, files) = (more_bytes, more_files);
            self.carry_one(&entry.path)?;
        }
        if let Some(first) = self.unreadable.first() {
            let others = match self.unreadable.len() - 1 {
                0 => String::new(),
                more => format!(" and {}", counted(more, "other path", "other paths")),
            };
            notices.push(format!(
                "{}{others} cannot be read and is not in the copy: the command runs without it",
                first.display()
            ));
        }
        Ok(notices)
    }

    fn carry_one(&mut self, path: &Path) -> Result<(), WorkspaceError> {
        self.one(path).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return WorkspaceError::copy_cancelled();
            }
            let (path, to) = (path.display(), self.to.display());
            WorkspaceError::copy(format!("cannot copy {path} to {to}"))(error)
        })
    }

    fn size_of(&self, path: &Path) -> SizedPath {
        let mut sized = SizedPath { path: path.to_owned(), bytes: 0, files: 0 };
        let mut open = vec![path.to_owned()];
        while let Some(at) = open.pop() {
            if self.stays(&at) {
                continue;
            }
            let place = self.from.join(&at);
            let Ok(found) = place.symlink_metadata() else { continue };
            if found.is_dir() {
                let children = fs::read_dir(&place).into_iter().flatten().flatten();
                open.extend(children.map(|child| at.join(child.file_name())));
            } else {
                sized.bytes = sized.bytes.saturating_add(found.len());
                sized.files += 1;
            }
        }
        sized
    }

    /// What is no part of any copy. The git data of a submodule or of a repository within is the
    /// original's.
    fn stays(&self, path: &Path) -> bool {
        (self.options.skip)(path) || path.file_name().is_some_and(|name| name == ".git")
    }

    /// Whether the file system shares blocks between the two places.
    fn shares_blocks(&self, path: &Path) -> bool {
        let mut at = self.from.join(path);
        while at.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            let Some(child) = fs::read_dir(&at).ok().and_then(|mut all| all.next()?.ok()) else {
                return false;
            };
            at = child.path();
        }
        let probe = self.to.join(".greenloop-clone");
        let cloned = clone_file(&at, &probe);
        let _ = fs::remove_file(&probe);
        cloned.is_ok()
    }

    /// `Interrupted` when cancelled.
    fn one(&mut self, path: &Path) -> io::Result<()> {
        if (self.options.cancelled)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.stays(path) {
            return Ok(());
        }
        let (from, to) = (self.from.join(path), self.to.join(path));
        let Some(found) = self.read(path, from.symlink_metadata())? else { return Ok(()) };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if found.is_symlink() {
            let Some(target) = self.read(path, fs::read_link(&from))? else { return Ok(()) };
            // A link to this very work tree leads into the copy.
            let target = match target.strip_prefix(self.from) {
                Ok(inside) => self.to.join(inside),
                Err(_) => target,
            };
            return std::os::unix::fs::symlink(target, &to);
        }
        if found.is_dir() {
            let Some(children) = self.read(path, fs::read_dir(&from))? else { return Ok(()) };
            fs::create_dir_all(&to)?;
            for child in children {
                self.one(&path.join(child?.file_name()))?;
            }
            let _as_well_as_possible =
                fs::File::open(&to).and_then(|folder| folder.set_modified(found.modified()?));
            return fs::set_permissions(&to, found.permissions());
        }
        if !found.is_file() {
            return Ok(());
        }
        let Some(mut file) = self.read(path, fs::File::open(&from))? else { return Ok(()) };
        copy_file(&mut file, &found, &to)
    }

    /// `None` for what has gone (caches come and go), and for what may not be read.
    fn read<T>(&mut self, path: &Path, outcome: io::Result<T>) -> io::Result<Option<T>> {
        match outcome {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.unreadable.push(path.to_owned());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// `to` as a file that shares its blocks with `from`; an error where the file system does not.
#[cfg(target_os = "linux")]
fn clone_file(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (fs::File::open(from)?, fs::File::create(to)?);
    Ok(rustix::fs::ioctl_ficlone(&to, &from)?)
}

/// `to` as a file that shares its blocks with `from`; an error where the file system does not.
#[cfg(target_vendor = "apple")]
fn clone_file(from: &Path, to: &Path) -> io::Result<()> {
    let from = fs::File::open(from)?;
    Ok(rustix::fs::fclonefileat(&from, rustix::fs::CWD, to, rustix::fs::CloneFlags::empty())?)
}

/// Folders that may not be written to (module caches) are made writable first.
fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut open = vec![folder.to_owned()];
            while let Some(at) = open.pop() {
                fs::set_permissions(&at, fs::Permissions::from_mode(0o700))?;
                for child in fs::read_dir(&at)?.flatten() {
                    if child.file_type()?.is_dir() {
                        open.push(child.path());
                    }
                }
            }
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::super::WorkspaceErrorKind;
    use super::super::fixtures::TestRepo;
    use super::*;

    fn options(folder: &Path) -> CopyOptions<'_> {
        CopyOptions {
            folder,
            skip: &|path| path == Path::new("logs"),
            cancelled: &|| false,
            copied_bytes: 1 << 20,
        }
    }

    #[test]
    fn the_copy_has_the_changes_and_what_is_ignored_and_goes_without_a_trace() {
        let repo = TestRepo::new(&[
            (".gitignore", "cache/\n.env\nlogs/\n"),
            ("a", "1\n"),
            ("gone", "1\n"),
        ]);
        repo.write("a", "2\n");
        repo.write("new/b", "untracked\n");
        std::fs::remove_file(repo.root().join("gone")).unwrap();
        repo.write("cache/deep/x", "built\n");
        repo.write(".env", "KEY=1\n");
        repo.write("logs/run", "own\n");
        let inside = repo.root().join("cache/deep/x");
        std::os::unix::fs::symlink(&inside, repo.root().join("cache/link")).unwrap();
        let before = (
            repo.git(&["status", "--porcelain"]),
            std::fs::read(repo.root().join(".git/index")).unwrap(),
        );
        let (workspace, run) = (repo.workspace(), RunId::generate());
        let folder = tempfile::tempdir().unwrap();
        let copy = workspace.copy(run, &options(folder.path())).unwrap();
        let root = copy.workspace.root();
        assert_eq!(root.file_name(), repo.root().file_name());
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        assert_eq!(read("a").as_deref(), Some("2\n"));
        assert_eq!(read("new/b").as_deref(), Some("untracked\n"));
        assert_eq!(read("gone"), None);
        assert_eq!(read("cache/deep/x").as_deref(), Some("built\n"));
        assert_eq!(read(".env").as_deref(), Some("KEY=1\n"));
        assert_eq!(read("logs/run"), None);
        assert_eq!(std::fs::read_link(root.join("cache/link")).unwrap(), root.join("cache/deep/x"));
        let time = |root: &Path| root.join("a").metadata().unwrap().modified().unwrap();
        assert_eq!(time(root), time(repo.root()), "builds go by the time");
        // To git it is a work tree without changes.
        let status = std::process::Command::new("git")
            .args(["status", "--porcelain"])
            .current_dir(root)
            .output()
            .unwrap();
        assert_eq!((status.status.success(), status.stdout), (true, Vec::new()));
        assert_eq!(copy.workspace.head().unwrap().commit, copy.snapshot.commit);
        // What a command does there does not reach the original.
        std::fs::write(root.join("cache/deep/x"), "other\n").unwrap();
        std::fs::write(root.join("a"), "other\n").unwrap();
        assert_eq!(repo.read("cache/deep/x").as_deref(), Some("built\n"));
        assert!(workspace.remove_copy(run).unwrap());
        assert!(!workspace.remove_copy(run).unwrap());
        assert_eq!(repo.read("a").as_deref(), Some("2\n"));
        assert!(!repo.root().join(".git/worktrees").exists());
        assert!(!folder.path().join(run.to_string()).exists());
        let after = (
            repo.git(&["status", "--porcelain"]),
            std::fs::read(repo.root().join(".git/index")).unwrap(),
        );
        assert_eq!(before, after);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_told_and_nothing_is_shared() {
        let repo = TestRepo::new(&[(".gitignore", "cache/\nsmall/\n"), ("a", "1\n")]);
        repo.write("tracked.bin", vec![b't'; 17 << 20]);
        repo.git(&["add", "tracked.bin"]);
        repo.git(&["commit", "-qm", "large"]);
        repo.write("a", "2\n");
        repo.write("data.bin", vec![b'd'; 17 << 20]);
        repo.write("cache/x", vec![b'x'; 3 << 20]);
        repo.write("small/x", "x");
        let (workspace, run) = (repo.workspace(), RunId::generate());
        // On the same file system, where links could be made.
        let folder = tempfile::tempdir_in(repo.root().parent().unwrap()).unwrap();
        let copy = workspace.copy(run, &options(folder.path())).unwrap();
        let root = copy.workspace.root();
        assert!(root.join("tracked.bin").is_file(), "git tracks it: it is never missing");
        assert!(root.join("small/x").is_file());
        let told = |path: &str| {
            copy.notices.iter().any(|n| n.starts_with(path) && n.contains("without it"))
        };
        for path in ["data.bin", "cache"] {
            // All of it is there where the file system shares blocks.
            assert_eq!(root.join(path).exists(), !told(path), "{path}: {:?}", copy.notices);
        }
        let mut open = vec![root.to_owned()];
        while let Some(at) = open.pop() {
            let found = at.symlink_metadata().unwrap();
            if found.is_dir() {
                open.extend(fs::read_dir(&at).unwrap().map(|child| child.unwrap().path()));
            } else {
                let links = std::os::unix::fs::MetadataExt::nlink(&found);
                assert_eq!(links, 1, "{}", at.display());
            }
        }
        workspace.remove_copy(run).unwrap();
        assert_eq!(repo.read("cache/x").map(|text| text.len()), Some(3 << 20));
    }

    #[test]
    fn a_copy_that_cannot_be_written_names_the_folder_and_the_way_out() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        repo.write("a", "2\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = repo.workspace().copy(RunId::generate(), &options(&file)).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Copy);
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert!(error.hint().unwrap().contains("XDG_CACHE_HOME"));
        assert!(!repo.root().join(".git/worktrees").exists());
    }

    #[test]
    fn a_collection_of_garbage_meanwhile_leaves_the_copy_alone() {
        let repo = TestRepo::new(&[("a", "1\n"), ("b", "1\n")]);
        repo.write("a", "2\n");
        let (workspace, run) = (repo.workspace(), RunId::generate());
        let folder = tempfile::tempdir().unwrap();
        let collect = || {
            repo.git(&["worktree", "prune", "--expire=now"]);
            false
        };
        let collected = CopyOptions { cancelled: &collect, ..options(folder.path()) };
        let copy = workspace.copy(run, &collected).unwrap();
        repo.git(&["gc", "-q", "--prune=now"]);
        assert_eq!(copy.workspace.head().unwrap().commit, copy.snapshot.commit);
        copy.workspace.ensure_clean().unwrap();
        assert!(workspace.remove_copy(run).unwrap());
        assert!(!repo.root().join(".git/worktrees").exists());
    }

    #[test]
    fn a_copy_that_was_cancelled_is_gone() {
        let repo = TestRepo::new(&[(".gitignore", "cache/\n"), ("a", "1\n")]);
        repo.write("a", "2\n");
        repo.write("cache/x", "x");
        let folder = tempfile::tempdir().unwrap();
        let cancelled = CopyOptions { cancelled: &|| true, ..options(folder.path()) };
        let error = repo.workspace().copy(RunId::generate(), &cancelled).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Cancelled);
        assert!(!repo.root().join(".git/worktrees").exists());
        assert_eq!(std::fs::read_dir(folder.path()).map(|all| all.count()).unwrap_or(0), 0);
    }

    #[test]
    fn copies_of_dead_runs_are_found_and_those_of_other_work_trees_kept() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        repo.write("a", "2\n");
        let other = repo.root().parent().unwrap().join("other");
        repo.git(&["worktree", "add", "-q", "-b", "other", &other.display().to_string()]);
        std::fs::write(other.join("a"), "3\n").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mine, theirs) = (repo.workspace(), Workspace::open(&other).unwrap());
        mine.copy(RunId::generate(), &options(folder.path())).unwrap();
        let kept = theirs.copy(RunId::generate(), &options(folder.path())).unwrap();
        assert_eq!(mine.remove_copies().unwrap(), 1);
        assert!(kept.workspace.root().join("a").is_file());
        assert_eq!(theirs.remove_copies().unwrap(), 1);
        assert!(!kept.workspace.root().exists());
        assert!(other.join("a").is_file());
    }
}
