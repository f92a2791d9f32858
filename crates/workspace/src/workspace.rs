//! The repository as a whole: where it is, what state it is in, the run's branch.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Repository, RepositoryState, Status, StatusOptions};

use super::{WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RepoPath, RunId, TreeId, counted};

/// How many dirty files are named.
const DIRTY_NAMED: usize = 20;

/// A git repository with a work tree and at least one commit. Cheap to clone and to share: each
/// call opens the repository again.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    /// This work tree's own part of git's data.
    private_dir: PathBuf,
    /// What all work trees share.
    git_dir: PathBuf,
}

/// Where HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub commit: CommitId,
    pub tree: TreeId,
    /// The branch's short name; `None` when HEAD is detached.
    pub branch: Option<String>,
    /// The first line of the commit's message.
    pub subject: String,
}

impl Workspace {
    /// The repository that `path` lies in.
    ///
    /// # Errors
    /// When there is none, when it is bare, has no commit, belongs to another user, or has a
    /// format that cannot be read.
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let shown = path.display();
        let repo = Repository::discover(path).map_err(|source| {
            let cannot = format!("could not open the git repository of {shown}");
            let (kind, context) = match source.code() {
                ErrorCode::NotFound => (
                    WorkspaceErrorKind::NotARepository,
                    format!("{shown} is not inside a git repository"),
                ),
                ErrorCode::Owner => (WorkspaceErrorKind::Ownership, cannot),
                // libgit2 has no code of its own for unknown extensions and object formats.
                _ => (WorkspaceErrorKind::Unsupported, cannot),
            };
            match kind {
                // The words say it all.
                WorkspaceErrorKind::NotARepository => WorkspaceError::new(kind, context),
                kind => WorkspaceError::by_git(kind, context, &source),
            }
        })?;
        let bare = || {
            WorkspaceError::new(
                WorkspaceErrorKind::Bare,
                format!("the git repository of {shown} has no work tree"),
            )
        };
        if repo.is_bare() {
            return Err(bare());
        }
        let work_tree = repo.workdir().ok_or_else(bare)?;
        let root = work_tree
            .canonicalize()
            .map_err(WorkspaceError::io(format!("cannot find {}", work_tree.display())))?;
        let workspace = Self {
            root,
            private_dir: repo.path().to_owned(),
            git_dir: repo.commondir().to_owned(),
        };
        workspace.head()?;
        Ok(workspace)
    }

    /// The work tree's folder, links resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The git folder that all work trees share: Greenloop's state lies beneath it.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Where this work tree's part of git's data lies in the shared part: nowhere deeper for the
    /// main work tree, `worktrees/<name>` for a linked one.
    pub(super) fn own_part(&self) -> Result<PathBuf, WorkspaceError> {
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(WorkspaceError::io(format!("cannot find {}", path.display())))
        };
        let (own, shared) = (real(&self.private_dir)?, real(&self.git_dir)?);
        Ok(own.strip_prefix(&shared).map(Path::to_owned).unwrap_or(own))
    }

    pub(super) fn repo(&self) -> Result<Repository, WorkspaceError> {
        Repository::open(&self.private_dir).map_err(WorkspaceError::git(format!(
            "cannot open the git repository at {}",
            self.private_dir.display()
        )))
    }

    /// Where HEAD is.
    ///
    /// # Errors
    /// When there is no commit yet.
    pub fn head(&self) -> Result<Head, WorkspaceError> {
        let repo = self.repo()?;
        let head = match repo.head() {
            Ok(head) => head,
            Err(source) => {
                let root = self.root.display();
                return Err(match source.code() {
                    ErrorCode::UnbornBranch | ErrorCode::NotFound => WorkspaceError::new(
                        WorkspaceErrorKind::NoCommits,
                        format!("{root} has no commit yet"),
                    ),
                    // Whatever else keeps HEAD from being read.
                    _ => WorkspaceError::git(format!("could not read HEAD of {root}"))(source),
                });
            }
        };
        let detached = repo.head_detached().map_err(WorkspaceError::git("cannot read HEAD"))?;
        let commit = head.peel_to_commit().map_err(WorkspaceError::git("cannot read HEAD"))?;
        let branch =
            (!detached).then(|| String::from_utf8_lossy(head.shorthand_bytes()).into_owned());
        Ok(Head {
            commit: commit_id(commit.id())?,
            tree: tree_id(commit.tree_id())?,
            branch,
            subject: subject(&commit),
        })
    }

    /// Whether HEAD is at `commit`.
    ///
    /// # Errors
    /// When HEAD cannot be read.
    pub fn is_head(&self, commit: &CommitId) -> Result<bool, WorkspaceError> {
        Ok(self.head()?.commit == *commit)
    }

    /// Whether HEAD is at the commit that `snapshot` was made on.
    ///
    /// # Errors
    /// When HEAD or the snapshot cannot be read.
    pub fn is_on_head(&self, snapshot: &CommitId) -> Result<bool, WorkspaceError> {
        let repo = self.repo()?;
        let parent = find_commit(&repo, snapshot)?.parent_id(0);
        parent.map_or(Ok(false), |parent| self.is_head(&commit_id(parent)?))
    }

    /// What a person should know of this repository before a run: each a plain sentence with the
    /// way out.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let Ok(repo) = self.repo() else { return notices };
        if repo.head_detached().unwrap_or(false) {
            notices.push(
                "HEAD is detached: patches are still committed to the run's branch. Run git \
                 switch BRANCH if you meant to be on a branch."
                    .to_owned(),
            );
        }
        let submodules = repo.submodules().map(|list| list.len()).unwrap_or(0);
        if submodules > 0 {
            notices.push(format!(
                "The repository has {}: files of submodules are not patched. Run Greenloop inside \
                 a submodule to repair it.",
                counted(submodules, "submodule", "submodules")
            ));
        }
        if self.uses_lfs(&repo) {
            notices.push(
                "The repository uses Git LFS: files under LFS are not patched. Run git lfs pull \
                 if some are checked out only as pointers."
                    .to_owned(),
            );
        }
        if repo.is_shallow() {
            notices.push(
                "The clone is shallow: the author sees only part of the history. Run git fetch \
                 --unshallow for the rest."
                    .to_owned(),
            );
        }
        let config = repo.config().and_then(|mut config| config.snapshot());
        if let Ok(config) = config {
            if config.get_bool("core.sparseCheckout").unwrap_or(false) {
                notices.push(
                    "The checkout is sparse: commands do not see the files outside it. Run git \
                     sparse-checkout disable to check them out."
                        .to_owned(),
                );
            }
            if config.get_string("extensions.partialClone").is_ok() {
                notices.push(
                    "The clone is partial: files that were never fetched cannot be read. Run git \
                     fetch --refetch --no-filter to fetch them."
                        .to_owned(),
                );
            }
        }
        notices
    }

    fn uses_lfs(&self, repo: &Repository) -> bool {
        let mut files = vec![self.git_dir.join("info/attributes")];
        if let Ok(index) = repo.index() {
            files.extend(
                index
                    .iter()
                    .filter(|entry| entry.path.ends_with(b".gitattributes"))
                    .filter_map(|entry| RepoPath::new(&entry.path).ok())
                    .take(1_000)
                    .map(|path| self.root.join(path.to_os_path())),
            );
        }
        files.iter().any(|file| {
            std::fs::read(file)
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("filter=lfs"))
        })
    }

    /// That no merge or rebase is under way and no tracked file differs from the last commit,
    /// in the index or in the work tree. Files that git does not track may be there; files
    /// under a filter cannot be judged without running it, and are passed over.
    ///
    /// # Errors
    /// When it is not so.
    pub fn ensure_clean(&self) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        self.ensure_no_operation(&repo)?;
        readable_index(&repo)?;
        let changed = changed_paths(&repo)?;
        if changed.is_empty() {
            return Ok(());
        }
        let count = changed.len();
        let paths: Vec<RepoPath> =
            changed.into_iter().map(|(path, _)| path).take(DIRTY_NAMED).collect();
        let context = format!(
            "{} of {} {} from the last commit: {}",
            counted(count, "tracked file", "tracked files"),
            self.root.display(),
            if count == 1 { "differs" } else { "differ" },
            names(&paths, count)
        );
        Err(WorkspaceError::new(WorkspaceErrorKind::Dirty { paths, count }, context))
    }

    pub(super) fn ensure_no_operation(&self, repo: &Repository) -> Result<(), WorkspaceError> {
        match operation(repo.state()) {
            None => Ok(()),
            Some(what) => Err(WorkspaceError::new(
                WorkspaceErrorKind::OperationInProgress { what },
                format!("{what} is under way in {}", self.root.display()),
            )),
        }
    }

    /// That a run can have its branch: none may have the name of the folder they lie in.
    ///
    /// # Errors
    /// When one has.
    pub fn ensure_room_for_branch(&self, run: RunId) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let branch = run.branch();
        let Some((folder, _)) = branch.rsplit_once('/') else { return Ok(()) };
        match repo.find_branch(folder, git2::BranchType::Local) {
            Ok(_) => Err(WorkspaceError::new(
                WorkspaceErrorKind::BranchInTheWay,
                format!("the branch {branch} cannot be created while there is a branch {folder}"),
            )),
            Err(_) => Ok(()),
        }
    }

    /// Adds patterns to the repository's own exclude file, each once; the file is replaced as a
    /// whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn exclude(&self, patterns: &[&str]) -> Result<(), WorkspaceError> {
        let folder = self.git_dir.join("info");
        let file = folder.join("exclude");
        let failed = || WorkspaceError::io(format!("cannot write {}", file.display()));
        let mut content = match std::fs::read(&file) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(WorkspaceError::io(format!("cannot read {}", file.display()))(error));
            }
        };
        let length = content.len();
        for pattern in patterns {
            let there =
                content.split(|b| *b == b'\n').any(|line| line.trim_ascii() == pattern.as_bytes());
            if !there {
                if content.last().is_some_and(|last| *last != b'\n') {
                    content.push(b'\n');
                }
                content.extend_from_slice(pattern.as_bytes());
                content.push(b'\n');
            }
        }
        if content.len() == length {
            return Ok(());
        }
        std::fs::create_dir_all(&folder).map_err(failed())?;
        let mut draft = tempfile::NamedTempFile::new_in(&folder).map_err(failed())?;
        draft.write_all(&content).map_err(failed())?;
        draft.as_file().sync_all().map_err(failed())?;
        draft.persist(&file).map_err(|error| failed()(error.error))?;
        Ok(())
    }

    /// Makes the run's branch at `base`. One that is there already must be there at `base`.
    ///
    /// # Errors
    /// `BranchExists` when it points elsewhere.
    pub fn start_branch(&self, run: RunId, base: &CommitId) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let name = ref_name(run);
        let made = repo.reference(&name, oid(base)?, false, "greenloop: start");
        match made {
            Ok(_) => Ok(()),
            Err(source) => match self.tip(run)? {
                Some(tip) if tip == *base => Ok(()),
                Some(tip) => Err(WorkspaceError::by_git(
                    WorkspaceErrorKind::BranchExists,
                    format!("the branch {} exists at {}", run.branch(), tip.short()),
                    &source,
                )),
                None => Err(WorkspaceError::git(format!(
                    "cannot create the branch {}",
                    run.branch()
                ))(source)),
            },
        }
    }

    /// Where the run's branch is; `None` when there is none.
    ///
    /// # Errors
    /// When the refs cannot be read.
    pub fn tip(&self, run: RunId) -> Result<Option<CommitId>, WorkspaceError> {
        let repo = self.repo()?;
        match repo.refname_to_id(&ref_name(run)) {
            Ok(id) => commit_id(id).map(Some),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => {
                Err(WorkspaceError::git(format!("cannot read the branch {}", run.branch()))(error))
            }
        }
    }

    /// Deletes the run's branch; that there is none is no error. Its commits stay for as long as
    /// git keeps what nothing refers to.
    ///
    /// # Errors
    /// When the ref cannot be deleted.
    pub fn delete_branch(&self, run: RunId) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git(format!("cannot delete the branch {}", run.branch()));
        match repo.find_reference(&ref_name(run)) {
            Ok(mut reference) => reference.delete().map_err(failed()),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(error) => Err(failed()(error)),
        }
    }

    /// The commit's tree.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn tree_id(&self, commit: &CommitId) -> Result<TreeId, WorkspaceError> {
        let repo = self.repo()?;
        let found = find_commit(&repo, commit)?;
        tree_id(found.tree_id())
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn subject(&self, commit: &CommitId) -> Result<String, WorkspaceError> {
        Ok(subject(&find_commit(&self.repo()?, commit)?))
    }

    /// A commit's whole message.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn message(&self, commit: &CommitId) -> Result<String, WorkspaceError> {
        let repo = self.repo()?;
        let found = find_commit(&repo, commit)?;
        Ok(String::from_utf8_lossy(found.message_bytes()).into_owned())
    }

    /// When a commit was committed.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn committed_at(&self, commit: &CommitId) -> Result<jiff::Timestamp, WorkspaceError> {
        let repo = self.repo()?;
        let seconds = find_commit(&repo, commit)?.time().seconds();
        // A date that cannot be written is left out.
        Ok(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// The address of a remote, without credentials; `None` when there is no such remote.
    pub fn remote_url(&self, name: &str) -> Option<String> {
        let repo = self.repo().ok()?;
        let remote = repo.find_remote(name).ok()?;
        let address = remote.url().ok()?.to_owned();
        match url::Url::parse(&address) {
            Ok(mut url) if url.host_str().is_some() => {
                // Neither can fail for a URL with a host.
                let _bare = url.set_password(None);
                if matches!(url.scheme(), "http" | "https") {
                    let _bare = url.set_username("");
                }
                Some(url.to_string())
            }
            // A path, or git@host:path, which carries no secret.
            Ok(_) | Err(_) => Some(address),
        }
    }
}

/// The repository's index.
///
/// # Errors
/// `SparseIndex` when it cannot be read and git was told to write it so.
pub(super) fn readable_index(repo: &Repository) -> Result<git2::Index, WorkspaceError> {
    repo.index().map_err(|source| {
        let sparse = repo.config().and_then(|config| config.get_bool("index.sparse"));
        let failed = WorkspaceError::git("cannot read the index")(source);
        match sparse {
            Ok(true) => WorkspaceError { kind: WorkspaceErrorKind::SparseIndex, ..failed },
            Ok(false) | Err(_) => failed,
        }
    })
}

/// Tracked files that differ from HEAD in the index or the work tree, but for those under a
/// filter that libgit2 cannot run.
pub(super) fn changed_paths(repo: &Repository) -> Result<Vec<(RepoPath, Status)>, WorkspaceError> {
    let mut options = StatusOptions::new();
    options.include_untracked(false).include_ignored(false).exclude_submodules(true);
    let statuses = repo
        .statuses(Some(&mut options))
        .map_err(WorkspaceError::git("cannot compare the work tree with the last commit"))?;
    let index = repo.index().map_err(WorkspaceError::git("cannot read the index"))?;
    let mut changed = Vec::new();
    for entry in statuses.iter() {
        if entry.status() == Status::CURRENT {
            continue;
        }
        let Ok(path) = RepoPath::new(entry.path_bytes()) else { continue };
        // Outside a sparse checkout, where a file is meant to be absent.
        if entry.status() == Status::WT_DELETED && is_left_out(&index, &path) {
            continue;
        }
        let only_content = entry.status() == Status::WT_MODIFIED;
        if only_content && is_filtered(repo, &path) {
            continue;
        }
        changed.push((path, entry.status()));
    }
    Ok(changed)
}

/// Whether the index says that the file is not to be checked out.
fn is_left_out(index: &git2::Index, path: &RepoPath) -> bool {
    index.get_path(&path.to_os_path(), 0).is_some_and(|entry| {
        git2::IndexEntryExtendedFlag::from_bits_truncate(entry.flags_extended)
            .contains(git2::IndexEntryExtendedFlag::SKIP_WORKTREE)
    })
}

/// Whether a filter program makes the file's content (`filter=lfs`).
pub(super) fn is_filtered(repo: &Repository, path: &RepoPath) -> bool {
    let flags = git2::AttrCheckFlags::FILE_THEN_INDEX;
    let value = repo.get_attr_bytes(&path.to_os_path(), "filter", flags).unwrap_or(None);
    match git2::AttrValue::from_bytes(value) {
        git2::AttrValue::String(_) | git2::AttrValue::Bytes(_) => true,
        git2::AttrValue::True | git2::AttrValue::False | git2::AttrValue::Unspecified => false,
    }
}

/// Some paths for a message, of `count` there are.
pub(super) fn names(paths: &[RepoPath], count: usize) -> String {
    let mut text =
        paths.iter().take(DIRTY_NAMED).map(RepoPath::to_string).collect::<Vec<_>>().join(", ");
    if count > paths.len().min(DIRTY_NAMED) {
        text.push_str(", …");
    }
    text
}

fn operation(state: RepositoryState) -> Option<&'static str> {
    match state {
        RepositoryState::Clean => None,
        RepositoryState::Merge => Some("a merge"),
        RepositoryState::Revert | RepositoryState::RevertSequence => Some("a revert"),
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => Some("a cherry-pick"),
        RepositoryState::Bisect => Some("a bisection"),
        RepositoryState::Rebase
        | RepositoryState::RebaseInteractive
        | RepositoryState::RebaseMerge => Some("a rebase"),
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => {
            Some("the application of a mailbox")
        }
    }
}

pub(super) fn ref_name(run: RunId) -> String {
    format!("refs/heads/{}", run.branch())
}

pub(super) fn oid(commit: &CommitId) -> Result<Oid, WorkspaceError> {
    Oid::from_str(commit.as_str())
        .map_err(WorkspaceError::git(format!("{commit} is not an object of this repository")))
}

pub(super) fn find_commit<'repo>(
    repo: &'repo Repository,
    commit: &CommitId,
) -> Result<git2::Commit<'repo>, WorkspaceError> {
    repo.find_commit(oid(commit)?)
        .map_err(WorkspaceError::git(format!("the commit {} does not exist", commit.short())))
}

pub(super) fn commit_id(id: Oid) -> Result<CommitId, WorkspaceError> {
    id.to_string().parse().map_err(|source| WorkspaceError {
        kind: WorkspaceErrorKind::Git,
        context: "git returned an invalid commit id".to_owned(),
        source: Some(Box::new(source)),
    })
}

pub(super) fn tree_id(id: Oid) -> Result<TreeId, WorkspaceError> {
    id.to_string().parse().map_err(|source| WorkspaceError {
        kind: WorkspaceErrorKind::Git,
        context: "git returned an invalid tree id".to_owned(),
        source: Some(Box::new(source)),
    })
}

/// The first line of the message, as text.
pub(super) fn subject(commit: &git2::Commit<'_>) -> String {
    let message = String::from_utf8_lossy(commit.message_bytes());
    message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::*;

    fn kind(result: Result<impl Sized, WorkspaceError>) -> WorkspaceErrorKind {
        match result {
            Ok(_) => panic!("expected an error"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                error.kind
            }
        }
    }

    #[test]
    fn what_is_no_usable_repository_is_said() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(kind(Workspace::open(folder.path())), WorkspaceErrorKind::NotARepository);
        Repository::init_bare(folder.path().join("bare")).expect("bare");
        assert_eq!(kind(Workspace::open(&folder.path().join("bare"))), WorkspaceErrorKind::Bare);
        Repository::init(folder.path().join("new")).expect("new");
        let error = Workspace::open(&folder.path().join("new")).expect_err("no commits");
        assert_eq!(error.kind, WorkspaceErrorKind::NoCommits);
        assert!(error.hint().is_some_and(|hint| hint.contains("git commit")));
    }

    #[test]
    fn head_and_its_branch() {
        let repo = TestRepo::new(&[("a/b.txt", "1\n")]);
        let workspace = Workspace::open(&repo.root().join("a")).expect("opens from a folder in it");
        assert_eq!(workspace.root(), repo.root());
        let head = workspace.head().expect("head");
        assert_eq!(head.branch.as_deref(), Some("main"));
        assert_eq!(head.subject, "Begin");
        assert_eq!(workspace.tree_id(&head.commit).expect("tree"), head.tree);
        repo.git(&["checkout", "-q", "--detach"]);
        assert_eq!(workspace.head().expect("head").branch, None);
        assert!(workspace.notices()[0].contains("detached"));
    }

    #[test]
    fn a_dirty_tree_is_named() {
        let repo = TestRepo::new(&[("a.txt", "1\n"), ("b.txt", "1\n")]);
        let workspace = repo.workspace();
        repo.write("untracked.txt", "x");
        workspace.ensure_clean().expect("untracked files are fine");
        repo.write("a.txt", "2\n");
        let dirty = |path: &str| WorkspaceErrorKind::Dirty {
            paths: vec![RepoPath::new(path).expect("a path")],
            count: 1,
        };
        assert_eq!(kind(workspace.ensure_clean()), dirty("a.txt"));
        repo.git(&["add", "a.txt"]);
        assert_eq!(kind(workspace.ensure_clean()), dirty("a.txt"));
        repo.git(&["commit", "-qm", "x"]);
        workspace.ensure_clean().expect("clean");
        std::fs::remove_file(repo.root().join("b.txt")).expect("removed");
        assert_eq!(kind(workspace.ensure_clean()), dirty("b.txt"));
    }

    #[test]
    fn a_sparse_index_is_told_with_the_way_out() {
        let repo = TestRepo::new(&[("in/a", "1\n"), ("out/b", "1\n")]);
        let workspace = repo.workspace();
        repo.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "in"]);
        assert_eq!(kind(workspace.ensure_clean()), WorkspaceErrorKind::SparseIndex);
        let error = workspace.ensure_settled().unwrap_err();
        assert!(error.is_usage());
        let hint = error.hint().unwrap();
        let command: Vec<&str> = hint.split('`').nth(1).unwrap().split(' ').skip(1).collect();
        repo.git(&command);
        workspace.ensure_clean().unwrap();
        workspace.ensure_settled().unwrap();
    }

    #[test]
    fn a_merge_under_way_is_said() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        repo.git(&["checkout", "-qb", "other"]);
        repo.commit(&[("a.txt", "2\n")]);
        repo.git(&["checkout", "-q", "main"]);
        repo.commit(&[("a.txt", "3\n")]);
        repo.git_may_fail(&["merge", "-q", "other"]);
        assert_eq!(
            kind(repo.workspace().ensure_clean()),
            WorkspaceErrorKind::OperationInProgress { what: "a merge" }
        );
    }

    #[test]
    fn exclude_adds_each_pattern_once() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let workspace = repo.workspace();
        repo.write(".git/info/exclude", "# mine\nlogs/");
        for _ in 0..2 {
            workspace.exclude(&["logs/", "metrics/"]).expect("written");
        }
        let text = std::fs::read_to_string(repo.root().join(".git/info/exclude")).expect("text");
        assert_eq!(text, "# mine\nlogs/\nmetrics/\n");
        std::fs::remove_dir_all(repo.root().join(".git/info")).expect("removed");
        workspace.exclude(&["logs/"]).expect("written");
        repo.write("logs/x", "x");
        assert_eq!(repo.git(&["status", "--porcelain"]), "");
    }

    #[test]
    fn branches_start_once() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let workspace = repo.workspace();
        let run = RunId::generate();
        let base = workspace.head().expect("head").commit;
        assert_eq!(workspace.tip(run).expect("tip"), None);
        workspace.start_branch(run, &base).expect("made");
        workspace.start_branch(run, &base).expect("made already");
        assert_eq!(workspace.tip(run).expect("tip"), Some(base));
        repo.commit(&[("a.txt", "2\n")]);
        let other = workspace.head().expect("head").commit;
        assert_eq!(kind(workspace.start_branch(run, &other)), WorkspaceErrorKind::BranchExists);
        workspace.delete_branch(run).expect("deleted");
        workspace.delete_branch(run).expect("deleted already");
        assert_eq!(workspace.tip(run).expect("tip"), None);
    }

    #[test]
    fn linked_work_trees_share_the_git_folder() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let other = tempfile::tempdir().expect("folder");
        let path = other.path().join("linked");
        repo.git(&["worktree", "add", "-q", "-b", "linked", &path.display().to_string()]);
        let workspace = Workspace::open(&path).expect("opens");
        assert_eq!(workspace.root(), path.canonicalize().expect("path"));
        assert_eq!(
            workspace.git_dir().canonicalize().expect("path"),
            repo.root().join(".git").canonicalize().expect("path")
        );
        assert_eq!(workspace.head().expect("head").branch.as_deref(), Some("linked"));
    }

    #[test]
    fn special_repositories_are_noticed() {
        let repo = TestRepo::new(&[("sub/.gitattributes", "*.bin filter=lfs -text\n")]);
        let library = TestRepo::new(&[("lib.txt", "1\n")]);
        let notices = repo.workspace().notices();
        assert!(notices.len() == 1 && notices[0].contains("LFS"), "{notices:?}");
        let url = library.root().display().to_string();
        repo.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "lib"]);
        repo.git(&["commit", "-qm", "x"]);
        let notices = repo.workspace().notices();
        assert!(notices.iter().any(|notice| notice.contains("1 submodule")), "{notices:?}");
        repo.workspace().ensure_clean().expect("clean");
    }
}
