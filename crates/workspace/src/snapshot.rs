//! The work tree as it is, as a commit that no branch has: what a run in a changed work tree
//! starts from.
//!
//! A file that is as its checkout would write it is stored as git stores it; any other (line
//! ends that the attributes would normalise) byte for byte, so that writing the commit out gives
//! the same bytes. The index and HEAD are read, never written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{
    Index, IndexEntry, IndexEntryExtendedFlag, IndexTime, Odb, Oid, Repository, Signature, Status,
    StatusOptions,
};

use super::copy_file::copy_file;
use super::work_tree::{draft_folder, judges_modes};
use super::workspace::{changed_paths, commit_id, is_filtered, names, readable_index, subject};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RepoPath, counted};

/// A file that is larger is copied, but no part of the commit: no patch is made to one.
const LARGEST_FILE: u64 = 16 << 20;
/// An untracked folder with more files is copied, but no part of the commit.
const MOST_UNTRACKED: usize = 2_000;

const REGULAR: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

/// The work tree at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its commit; the parent is HEAD's.
    pub commit: CommitId,
    /// Paths that are in the work tree and not in the commit, because they are too large.
    pub left_out: Vec<RepoPath>,
}

/// What lies in the work tree.
pub(super) struct OnDisk {
    pub(super) tree: Oid,
    /// For an index that says the files are unchanged.
    pub(super) entries: Vec<IndexEntry>,
    pub(super) left_out: Vec<RepoPath>,
    /// Submodules, files under a filter and large files, relative to the root: tracked, and not
    /// written to the copy by the snapshot.
    pub(super) tracked_beside: Vec<PathBuf>,
    /// Ignored files and folders, and untracked ones that are left out: relative to the root.
    pub(super) untracked_beside: Vec<PathBuf>,
}

impl Workspace {
    /// That no merge, rebase or the like is under way, and no path is unmerged.
    ///
    /// # Errors
    /// When it is not so.
    pub fn ensure_settled(&self) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        self.ensure_no_operation(&repo)?;
        let index = readable_index(&repo)?;
        if !index.has_conflicts() {
            return Ok(());
        }
        let mut paths: Vec<RepoPath> = index
            .iter()
            .filter(|entry| stage(entry) > 0)
            .filter_map(|entry| RepoPath::new(&entry.path).ok())
            .collect();
        paths.dedup();
        let context = format!(
            "{} of {} {} unmerged: {}",
            counted(paths.len(), "path", "paths"),
            self.root().display(),
            if paths.len() == 1 { "is" } else { "are" },
            names(&paths, paths.len())
        );
        Err(WorkspaceError::new(WorkspaceErrorKind::Unmerged { paths }, context))
    }

    /// Whether a tracked file differs from the last commit, or there is a file that git neither
    /// tracks nor ignores.
    ///
    /// # Errors
    /// When the work tree cannot be compared.
    pub fn is_changed(&self) -> Result<bool, WorkspaceError> {
        let repo = self.repo()?;
        Ok(!changed_paths(&repo)?.is_empty()
            || !by_status(&repo, Status::WT_NEW, false)?.is_empty())
    }

    /// The work tree as a commit on top of HEAD's that no branch has.
    ///
    /// # Errors
    /// When a file cannot be read or an object cannot be written.
    pub fn snapshot(&self) -> Result<Snapshot, WorkspaceError> {
        self.snapshot_into(None, &|| false).map(|(snapshot, _)| snapshot)
    }

    /// The same; every file of it is written below `copy` too.
    pub(super) fn snapshot_into(
        &self,
        copy: Option<&Path>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(Snapshot, OnDisk), WorkspaceError> {
        let repo = self.repo()?;
        let untracked = by_status(&repo, Status::WT_NEW, true)?;
        let on_disk = self.on_disk(&repo, copy, &untracked, cancelled)?;
        let failed = || WorkspaceError::git("cannot write a commit of the work tree");
        let head = repo.head().and_then(|head| head.peel_to_commit()).map_err(failed())?;
        let changed = changed_paths(&repo)?.len();
        let message = format!(
            "The work tree on {} ({})\n\nChanged since: {}; new: {}.\n",
            commit_id(head.id())?.short(),
            subject(&head),
            counted(changed, "tracked file", "tracked files"),
            counted(untracked.len(), "untracked file", "untracked files")
        );
        let tree = repo.find_tree(on_disk.tree).map_err(failed())?;
        let by = Signature::now("Greenloop", "greenloop@localhost").map_err(failed())?;
        let commit = repo.commit(None, &by, &by, &message, &tree, &[&head]).map_err(failed())?;
        let snapshot = Snapshot { commit: commit_id(commit)?, left_out: on_disk.left_out.clone() };
        Ok((snapshot, on_disk))
    }

    fn on_disk(
        &self,
        repo: &Repository,
        copy: Option<&Path>,
        untracked: &[Vec<u8>],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<OnDisk, WorkspaceError> {
        let index = readable_index(repo)?;
        let failed = || WorkspaceError::git("cannot write the tree of the work tree");
        let mut walk = Walk {
            workspace: self,
            repo,
            objects: repo.odb().map_err(failed())?,
            index_written: index.path().and_then(|path| path.metadata().ok()),
            copy,
            judge_mode: judges_modes(repo),
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
            doubtful: Vec::new(),
            left_out: Vec::new(),
            tracked_beside: Vec::new(),
            untracked_beside: Vec::new(),
        };
        let go_on = || if cancelled() { Err(WorkspaceError::copy_cancelled()) } else { Ok(()) };
        for entry in index.iter() {
            go_on()?;
            walk.tracked(&entry)?;
        }
        let crowded = crowded(repo, untracked)?;
        for path in untracked {
            go_on()?;
            let Ok(file) = RepoPath::new(path) else { continue };
            if !crowded.iter().any(|folder| path.starts_with(folder)) {
                walk.untracked(&file)?;
            }
        }
        for folder in &crowded {
            let path = RepoPath::new(folder.strip_suffix(b"/").unwrap_or(folder));
            if let Ok(path) = path {
                walk.leave_out(&path);
            }
        }
        walk.settle_line_ends()?;
        walk.untracked_beside.extend(ignored(repo)?);
        let Walk { files, left_out, tracked_beside, untracked_beside, .. } = walk;
        let mut in_memory = Index::new().map_err(failed())?;
        let entries: Vec<IndexEntry> = files.into_values().collect();
        for entry in &entries {
            in_memory.add(entry).map_err(failed())?;
        }
        let tree = in_memory.write_tree_to(repo).map_err(failed())?;
        Ok(OnDisk { tree, entries, left_out, tracked_beside, untracked_beside })
    }
}

/// Collects the files of a work tree, and copies them on the way.
struct Walk<'a> {
    workspace: &'a Workspace,
    repo: &'a Repository,
    objects: Odb<'a>,
    /// Of the index file: when it was written.
    index_written: Option<fs::Metadata>,
    copy: Option<&'a Path>,
    judge_mode: bool,
    files: BTreeMap<Vec<u8>, IndexEntry>,
    /// Whether a folder, by its path from the root, is one all the way.
    folders: BTreeMap<PathBuf, bool>,
    /// Files whose stored form differs from their bytes: those bytes, stored.
    doubtful: Vec<(RepoPath, Oid)>,
    left_out: Vec<RepoPath>,
    tracked_beside: Vec<PathBuf>,
    untracked_beside: Vec<PathBuf>,
}

impl Walk<'_> {
    fn tracked(&mut self, entry: &IndexEntry) -> Result<(), WorkspaceError> {
        let Ok(path) = RepoPath::new(&entry.path) else { return Ok(()) };
        if entry.mode == SUBMODULE {
            self.keep(entry);
            self.tracked_beside.push(path.to_os_path());
            return Ok(());
        }
        let file = self.workspace.root().join(path.to_os_path());
        let found = match self.look(&path) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let extended = IndexEntryExtendedFlag::from_bits_truncate(entry.flags_extended);
                // Outside a sparse checkout: not deleted.
                if extended.contains(IndexEntryExtendedFlag::SKIP_WORKTREE) {
                    self.keep(entry);
                }
                return Ok(());
            }
            Err(error) => return Err(unreadable(&path)(error)),
        };
        if is_filtered(self.repo, &path) {
            // Its stored form is the filter's business: what the index says stays.
            self.keep(entry);
            self.tracked_beside.push(path.to_os_path());
            return Ok(());
        }
        if found.is_file() && found.len() > LARGEST_FILE {
            self.keep(entry);
            self.tracked_beside.push(path.to_os_path());
            let same = self.is_as_indexed(entry, &found)
                || Oid::hash_file(git2::ObjectType::Blob, &file).ok() == Some(entry.id);
            if !same {
                self.left_out.push(path);
            }
            return Ok(());
        }
        self.file(&path, &found, Some(entry))
    }

    fn untracked(&mut self, path: &RepoPath) -> Result<(), WorkspaceError> {
        let Some(found) = self.look(path).map_err(unreadable(path))? else { return Ok(()) };
        if found.len() > LARGEST_FILE || is_filtered(self.repo, path) {
            self.leave_out(path);
            return Ok(());
        }
        // What may not be read cannot be sent to a model either; the copy goes without it.
        let opened = fs::File::open(self.workspace.root().join(path.to_os_path()));
        if found.is_file()
            && opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        {
            self.untracked_beside.push(path.to_os_path());
            return Ok(());
        }
        self.file(path, &found, None)
    }

    /// The file or link at `path`; `None` for nothing, for folders, sockets and the like, and for
    /// what is only reached through a link.
    fn look(&mut self, path: &RepoPath) -> io::Result<Option<fs::Metadata>> {
        let path = path.to_os_path();
        let real = path.parent().is_none_or(|folder| self.is_folder(folder));
        if real { look(&self.workspace.root().join(path)) } else { Ok(None) }
    }

    fn is_folder(&mut self, folder: &Path) -> bool {
        if folder.as_os_str().is_empty() {
            return true;
        }
        if let Some(known) = self.folders.get(folder) {
            return *known;
        }
        let above = folder.parent().is_none_or(|above| self.is_folder(above));
        let place = self.workspace.root().join(folder);
        let real = above && place.symlink_metadata().is_ok_and(|found| found.is_dir());
        self.folders.insert(folder.to_owned(), real);
        real
    }

    fn leave_out(&mut self, path: &RepoPath) {
        self.left_out.push(path.clone());
        self.untracked_beside.push(path.to_os_path());
    }

    /// Whether the file is surely, byte for byte, the blob that the index names, without a look
    /// into it. As git judges it: nothing that the index knows of the file has changed, and the
    /// file is older than the index. One of another size than its blob went through a conversion.
    fn is_as_indexed(&self, entry: &IndexEntry, found: &fs::Metadata) -> bool {
        let Some(written) = &self.index_written else { return false };
        let same = |time: IndexTime, seconds: i64, nanoseconds: i64| {
            time.seconds() == seconds as i32 && i64::from(time.nanoseconds()) == nanoseconds
        };
        let executable = found.mode() & 0o100 != 0;
        found.is_file()
            && matches!(entry.mode, REGULAR | EXECUTABLE)
            && (!self.judge_mode || executable == (entry.mode == EXECUTABLE))
            && entry.file_size == found.len() as u32
            && entry.ino == found.ino() as u32
            && same(entry.mtime, found.mtime(), found.mtime_nsec())
            && same(entry.ctime, found.ctime(), found.ctime_nsec())
            && (found.mtime(), found.mtime_nsec()) < (written.mtime(), written.mtime_nsec())
            && self.objects.read_header(entry.id).is_ok_and(|(size, _)| size as u64 == found.len())
    }

    /// As the index has it.
    fn keep(&mut self, entry: &IndexEntry) {
        let kept = IndexEntry {
            path: entry.path.clone(),
            ctime: IndexTime::new(0, 0),
            mtime: IndexTime::new(0, 0),
            dev: 0,
            ino: 0,
            uid: 0,
            gid: 0,
            file_size: 0,
            flags: 0,
            ..*entry
        };
        self.files.insert(entry.path.clone(), kept);
    }

    fn file(
        &mut self,
        path: &RepoPath,
        found: &fs::Metadata,
        indexed: Option<&IndexEntry>,
    ) -> Result<(), WorkspaceError> {
        let file = self.workspace.root().join(path.to_os_path());
        let store = || WorkspaceError::git(format!("cannot store {path}"));
        let known = indexed.filter(|entry| entry.mode != LINK).map(|entry| entry.id);
        let unread = indexed.filter(|entry| self.is_as_indexed(entry, found));
        let (id, mode) = if let Some(entry) = unread {
            if let Some(copy) = self.copy {
                let mut source = fs::File::open(&file).map_err(unreadable(path))?;
                copy_file(&mut source, found, &prepared(copy, path)?)
                    .map_err(uncopied(path, copy))?;
            }
            (entry.id, entry.mode)
        } else if found.is_symlink() {
            let target = fs::read_link(&file).map_err(unreadable(path))?;
            if let Some(copy) = self.copy {
                let place = prepared(copy, path)?;
                std::os::unix::fs::symlink(&target, &place).map_err(uncopied(path, copy))?;
            }
            (self.repo.blob(target.as_os_str().as_bytes()).map_err(store())?, LINK)
        } else {
            let bytes = fs::read(&file).map_err(unreadable(path))?;
            if let Some(copy) = self.copy {
                write_copy(&bytes, found, &prepared(copy, path)?).map_err(uncopied(path, copy))?;
            }
            let raw = Oid::hash_object(git2::ObjectType::Blob, &bytes).map_err(store())?;
            let id = if Some(raw) == known { raw } else { self.stored(path, &bytes, raw)? };
            let executable = match indexed {
                Some(entry) if !self.judge_mode => entry.mode == EXECUTABLE,
                Some(_) | None => found.mode() & 0o100 != 0,
            };
            (id, if executable { EXECUTABLE } else { REGULAR })
        };
        // The copy is what an index beside it is compared with.
        let place = self.copy.map(|copy| copy.join(path.to_os_path()));
        let stat = place.and_then(|place| place.symlink_metadata().ok());
        self.files.insert(path.as_bytes().to_vec(), entry_of(path, id, mode, stat.as_ref()));
        Ok(())
    }

    /// The blob that git makes of the bytes; noted when it is not just them.
    fn stored(&mut self, path: &RepoPath, bytes: &[u8], raw: Oid) -> Result<Oid, WorkspaceError> {
        let failed = || WorkspaceError::git(format!("cannot store {path}"));
        let mut writer = self.repo.blob_writer(Some(&path.to_os_path())).map_err(failed())?;
        writer.write_all(bytes).map_err(WorkspaceError::io(format!("cannot store {path}")))?;
        let stored = writer.commit().map_err(failed())?;
        if stored != raw {
            self.doubtful.push((path.clone(), self.repo.blob(bytes).map_err(failed())?));
        }
        Ok(stored)
    }

    /// Where a checkout of the stored form would give other bytes than the work tree has, the
    /// bytes themselves are taken.
    fn settle_line_ends(&mut self) -> Result<(), WorkspaceError> {
        if self.doubtful.is_empty() {
            return Ok(());
        }
        let failed = || WorkspaceError::git("cannot check the line endings of the work tree");
        let mut index = Index::new().map_err(failed())?;
        for (path, _) in &self.doubtful {
            if let Some(entry) = self.files.get(path.as_bytes()) {
                index.add(entry).map_err(failed())?;
            }
        }
        let tree = index.write_tree_to(self.repo).map_err(failed())?;
        let draft = draft_folder(&self.workspace.git_dir().join("greenloop"))?;
        // A repository of its own: the index that a checkout looks at is set aside.
        let repo = self.workspace.repo()?;
        let tree = repo.find_tree(tree).map_err(failed())?;
        let mut none = Index::new().map_err(failed())?;
        repo.set_index(&mut none).map_err(failed())?;
        let mut checkout = CheckoutBuilder::new();
        checkout
            .target_dir(draft.path())
            .force()
            .recreate_missing(true)
            .update_index(false)
            .refresh(false);
        repo.checkout_tree(tree.as_object(), Some(&mut checkout)).map_err(failed())?;
        for (path, raw) in std::mem::take(&mut self.doubtful) {
            let written = fs::read(draft.path().join(path.to_os_path())).ok();
            let written =
                written.and_then(|bytes| Oid::hash_object(git2::ObjectType::Blob, &bytes).ok());
            if written != Some(raw)
                && let Some(entry) = self.files.get_mut(path.as_bytes())
            {
                entry.id = raw;
            }
        }
        Ok(())
    }
}

fn entry_of(path: &RepoPath, id: Oid, mode: u32, stat: Option<&fs::Metadata>) -> IndexEntry {
    let time = |seconds: i64, nanoseconds: i64| {
        IndexTime::new(seconds as i32, u32::try_from(nanoseconds).unwrap_or(0))
    };
    let none = IndexTime::new(0, 0);
    // The index keeps the low 32 bits of each.
    IndexEntry {
        ctime: stat.map_or(none, |stat| time(stat.ctime(), stat.ctime_nsec())),
        mtime: stat.map_or(none, |stat| time(stat.mtime(), stat.mtime_nsec())),
        dev: stat.map_or(0, |stat| stat.dev() as u32),
        ino: stat.map_or(0, |stat| stat.ino() as u32),
        mode,
        uid: stat.map_or(0, fs::Metadata::uid),
        gid: stat.map_or(0, fs::Metadata::gid),
        file_size: stat.map_or(0, |stat| stat.len() as u32),
        id,
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    }
}

fn look(file: &Path) -> io::Result<Option<fs::Metadata>> {
    match file.symlink_metadata() {
        Ok(found) if found.is_file() || found.is_symlink() => Ok(Some(found)),
        Ok(_) => Ok(None),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn unreadable(path: &RepoPath) -> impl FnOnce(io::Error) -> WorkspaceError {
    WorkspaceError::io(format!("cannot read {path}"))
}

fn uncopied(path: &RepoPath, copy: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    WorkspaceError::copy(format!("cannot copy {path} to {}", copy.display()))
}

/// The path below `copy`, its folder made.
fn prepared(copy: &Path, path: &RepoPath) -> Result<PathBuf, WorkspaceError> {
    let place = copy.join(path.to_os_path());
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(uncopied(path, copy))?;
    }
    Ok(place)
}

/// With the permissions and the time of the original: builds go by it.
fn write_copy(bytes: &[u8], found: &fs::Metadata, place: &Path) -> io::Result<()> {
    let mut file = fs::File::create(place)?;
    file.write_all(bytes)?;
    file.set_permissions(found.permissions())?;
    file.set_modified(found.modified()?)
}

fn stage(entry: &IndexEntry) -> u16 {
    (entry.flags >> 12) & 3
}

/// Untracked folders with so many files that they are dependencies rather than sources.
fn crowded(repo: &Repository, files: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, WorkspaceError> {
    let folders: Vec<Vec<u8>> = by_status(repo, Status::WT_NEW, false)?
        .into_iter()
        .filter(|path| path.ends_with(b"/"))
        .collect();
    if folders.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut crowded = BTreeSet::new();
    for folder in folders {
        // A repository in the repository is one entry, whatever is asked for.
        let own = files.contains(&folder);
        let count = files.iter().filter(|file| file.starts_with(&folder)).count();
        if own || count > MOST_UNTRACKED {
            crowded.insert(folder);
        }
    }
    Ok(crowded)
}

fn ignored(repo: &Repository) -> Result<Vec<PathBuf>, WorkspaceError> {
    let paths = by_status(repo, Status::IGNORED, false)?;
    Ok(paths
        .into_iter()
        .filter_map(|path| RepoPath::new(path.strip_suffix(b"/").unwrap_or(&path)).ok())
        .map(|path| path.to_os_path())
        .collect())
}

/// How often the work tree is listed again when a file changes meanwhile, and how long to wait.
const LISTED_AGAIN: u32 = 4;
const WHILE_SAVED: std::time::Duration = std::time::Duration::from_millis(25);

/// Paths of one status, untracked ones or ignored ones; a folder ends in `/`. Without `every`, an
/// untracked folder stands for its files.
pub(super) fn by_status(
    repo: &Repository,
    wanted: Status,
    every: bool,
) -> Result<Vec<Vec<u8>>, WorkspaceError> {
    let mut options = StatusOptions::new();
    options
        .show(git2::StatusShow::Workdir)
        .include_untracked(wanted == Status::WT_NEW)
        .recurse_untracked_dirs(wanted == Status::WT_NEW && every)
        .include_ignored(wanted == Status::IGNORED)
        .recurse_ignored_dirs(false)
        .exclude_submodules(true);
    let mut tries = 0;
    let statuses = loop {
        match repo.statuses(Some(&mut options)) {
            Ok(statuses) => break statuses,
            // A file that is being saved is shorter than its length says.
            Err(_) if tries < LISTED_AGAIN => {
                tries += 1;
                std::thread::sleep(WHILE_SAVED);
            }
            Err(error) => {
                return Err(WorkspaceError::git("cannot list the files of the work tree")(error));
            }
        }
    };
    Ok(statuses
        .iter()
        .filter(|entry| entry.status().contains(wanted))
        .map(|entry| entry.path_bytes().to_vec())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::super::work_tree::Version;
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    fn listed(repo: &TestRepo, commit: &CommitId) -> Vec<String> {
        let text = repo.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", commit.as_str()]);
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn it_holds_the_work_tree_as_it_is_and_changes_nothing() {
        let repo = TestRepo::new(&[
            (".gitignore", "ignored\n"),
            ("staged", "1\n"),
            ("both", "1\n"),
            ("unstaged", "1\n"),
            ("deleted", "1\n"),
            ("unindexed", "1\n"),
            ("moved", "1\n2\n3\n"),
            ("script", "1\n"),
            ("folder/x", "1\n"),
        ]);
        repo.write("staged", "2\n");
        repo.write("both", "2\n");
        repo.git(&["add", "staged", "both"]);
        repo.write("both", "3\n");
        repo.write("unstaged", "2\n");
        fs::remove_file(repo.root().join("deleted")).unwrap();
        repo.git(&["rm", "-q", "--cached", "unindexed"]);
        repo.git(&["mv", "moved", "elsewhere"]);
        let script = repo.root().join("script");
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        repo.write("intended", "new\n");
        repo.git(&["add", "-N", "intended"]);
        repo.write("untracked/y", "new\n");
        repo.write("ignored", "x\n");
        std::os::unix::fs::symlink("staged", repo.root().join("link")).unwrap();
        // A folder that became a link: git takes what was in it for deleted.
        fs::remove_dir_all(repo.root().join("folder")).unwrap();
        std::os::unix::fs::symlink("untracked", repo.root().join("folder")).unwrap();
        repo.write("untracked/x", "not folder/x\n");
        let state = || {
            let index = fs::read(repo.root().join(".git/index")).unwrap();
            (index, repo.git(&["status", "--porcelain"]), repo.git(&["for-each-ref"]))
        };
        let before = state();
        let workspace = repo.workspace();
        assert!(workspace.is_changed().unwrap());
        let snapshot = workspace.snapshot().unwrap();
        assert_eq!(state(), before);
        assert_eq!(
            listed(&repo, &snapshot.commit),
            [
                "100644 .gitignore",
                "100644 both",
                "100644 elsewhere",
                "120000 folder",
                "100644 intended",
                "120000 link",
                "100755 script",
                "100644 staged",
                "100644 unindexed",
                "100644 unstaged",
                "100644 untracked/x",
                "100644 untracked/y",
            ]
        );
        let show = |path: &str| repo.git(&["show", &format!("{}:{path}", snapshot.commit)]);
        assert_eq!(show("both"), "3\n");
        assert_eq!(show("intended"), "new\n");
        // The same work tree gives the same tree.
        let again = workspace.snapshot().unwrap();
        let tree = |commit| workspace.tree_id(commit).unwrap();
        assert_eq!(tree(&again.commit), tree(&snapshot.commit));
    }

    #[test]
    fn what_the_index_vouches_for_is_not_read_and_all_else_is() {
        let repo = TestRepo::new(&[("a", "1111\n")]);
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
        let set_time = |path: &str| {
            let file = fs::File::options().write(true).open(repo.root().join(path)).unwrap();
            file.set_modified(old).unwrap();
        };
        set_time("a");
        repo.git(&["update-index", "--refresh"]);
        let workspace = repo.workspace();
        let sees = || {
            let commit = workspace.snapshot().unwrap().commit;
            repo.git(&["show", &format!("{commit}:a")])
        };
        // The index is made to lie, which shows who is asked.
        let claim = |content: &[u8]| {
            let git = workspace.repo().unwrap();
            let mut index = git.index().unwrap();
            let mut entry = index.get_path(Path::new("a"), 0).unwrap();
            entry.id = git.blob(content).unwrap();
            index.add(&entry).unwrap();
            index.write().unwrap();
        };
        claim(b"0000\n");
        assert_eq!(sees(), "0000\n");
        // A blob of another size: the checkout converts, so the bytes count.
        claim(b"00000\n");
        assert_eq!(sees(), "1111\n");
        // As old as the index: it may have changed within one tick of the clock.
        claim(b"0000\n");
        set_time(".git/index");
        assert_eq!(sees(), "1111\n");
        // The size and the time are the same; the inode's own time is not.
        claim(b"0000\n");
        repo.write("a", "2222\n");
        set_time("a");
        assert_eq!(sees(), "2222\n");
    }

    #[test]
    fn line_ends_come_out_as_they_went_in() {
        for (settings, attributes) in [
            ("false", ""),
            ("input", ""),
            ("true", ""),
            ("false", "* text=auto\n"),
            ("false", "*.bat text eol=crlf\n"),
        ] {
            let repo = TestRepo::new(&[(".gitattributes", attributes), ("old.bat", "a\nb\n")]);
            repo.git(&["config", "core.autocrlf", settings]);
            let files = [
                ("old.bat", "a\r\nb\r\nc\r\n"),
                ("new.bat", "x\r\ny\r\n"),
                ("mixed.txt", "x\r\ny\n"),
            ];
            for (file, text) in files {
                repo.write(file, text);
            }
            let workspace = repo.workspace();
            let commit = workspace.snapshot().unwrap().commit;
            let paths = files.map(|(file, _)| path(file));
            let foreign = workspace.not_as(&paths, &[Version::of(&commit)]).unwrap();
            assert_eq!(foreign, [], "core.autocrlf={settings} {attributes:?}");
        }
    }

    #[test]
    fn what_is_large_or_many_is_left_out_and_said() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        repo.write("data.bin", vec![0; (LARGEST_FILE + 1) as usize]);
        for number in 0..=MOST_UNTRACKED {
            repo.write(&format!("modules/{number}"), "x");
        }
        let snapshot = repo.workspace().snapshot().unwrap();
        assert_eq!(listed(&repo, &snapshot.commit), ["100644 a"]);
        assert_eq!(snapshot.left_out, [path("data.bin"), path("modules")]);
    }

    #[test]
    fn unmerged_paths_and_operations_are_refused() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        let workspace = repo.workspace();
        workspace.ensure_settled().unwrap();
        repo.write("a", "2\n");
        workspace.ensure_settled().unwrap();
        repo.git(&["stash", "-q"]);
        repo.commit(&[("a", "3\n")]);
        repo.git_may_fail(&["stash", "pop", "-q"]);
        let error = workspace.ensure_settled().unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Unmerged { paths: vec![path("a")] });
        repo.git(&["reset", "-q", "--hard"]);
        repo.git(&["checkout", "-qb", "other", "HEAD~1"]);
        repo.commit(&[("a", "4\n")]);
        repo.git_may_fail(&["rebase", "main"]);
        let error = workspace.ensure_settled().unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::OperationInProgress { what: "a rebase" });
    }
}
