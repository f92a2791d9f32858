//! What can go wrong with a repository, and what a person does about it.

use std::error::Error;

use greenloop_model::RepoPath;

/// The kind of an error, which decides what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceErrorKind {
    /// No repository there or above.
    NotARepository,
    /// A repository without a work tree.
    Bare,
    /// A repository without a commit.
    NoCommits,
    /// The repository belongs to somebody else.
    Ownership,
    /// A repository format that libgit2 does not read.
    Unsupported,
    /// Tracked files differ from the last commit; at most 20 are named.
    Dirty {
        /// Some of them.
        paths: Vec<RepoPath>,
        /// How many there are.
        count: usize,
    },
    /// A merge, a rebase or the like is not finished.
    OperationInProgress {
        /// `a rebase`
        what: &'static str,
    },
    /// Paths that a merge, a stash or a cherry-pick left with conflicts.
    Unmerged { paths: Vec<RepoPath> },
    /// The fix and the work tree change the same lines: nothing was written.
    Conflict {
        /// The files of those lines.
        paths: Vec<RepoPath>,
    },
    /// The copy of the work tree could not be written.
    Copy,
    /// An index that stands for whole folders, which libgit2 does not read.
    SparseIndex,
    /// A person gave it up.
    Cancelled,
    /// The run's branch exists and points elsewhere.
    BranchExists,
    /// A branch with the name that is the folder of the runs' branches.
    BranchInTheWay,
    /// The run's branch is not where it was expected: nothing was changed.
    RefMoved,
    /// Another process holds the ref or the index.
    Busy,
    /// The patch was made against other files than the commit has.
    Stale,
    /// A path leads through a symbolic link, or is one.
    Symlink,
    /// A path leads into a submodule, or is one.
    Submodule,
    /// A file stands where a folder is needed, or the other way round.
    PathConflict,
    /// Two names that some file systems take for one.
    CaseCollision,
    /// The path is not one git can hold: `.git`, or outside the repository.
    InvalidPath,
    /// Files in the work tree that would be overwritten and are not what the commit says.
    InTheWay { paths: Vec<RepoPath> },
    /// A path whose content a filter makes (Git LFS).
    Filtered,
    /// The patch changes nothing.
    NothingChanges,
    /// No such commit, file or branch.
    NotFound,
    /// A search pattern that is not a regular expression.
    BadPattern,
    /// There is no room left, or no quota, where git's data lies.
    StorageFull,
    /// git's own data could not be read or written.
    Git,
    /// A file could not be read or written.
    Io,
}

/// Something the workspace could not do. Nothing is half done, unless the kind is `Io` after a
/// publish: then [`super::Workspace::write_paths`] finishes it.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct WorkspaceError {
    pub kind: WorkspaceErrorKind,
    /// What was tried, and on what.
    pub context: String,
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl WorkspaceError {
    pub(super) fn new(kind: WorkspaceErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    pub(super) fn git(context: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let context = context.into();
        move |source| {
            let kind = match source.code() {
                git2::ErrorCode::NotFound | git2::ErrorCode::Ambiguous => {
                    WorkspaceErrorKind::NotFound
                }
                git2::ErrorCode::Locked => WorkspaceErrorKind::Busy,
                git2::ErrorCode::Modified => WorkspaceErrorKind::RefMoved,
                git2::ErrorCode::Owner => WorkspaceErrorKind::Ownership,
                // The other codes say nothing that anything follows from.
                _ => WorkspaceErrorKind::Git,
            };
            Self::by_git(kind, context, &source)
        }
    }

    /// With what libgit2 says, but for its codes, which say nothing to a person. It says "no error"
    /// where it does not know.
    pub(super) fn by_git(
        kind: WorkspaceErrorKind,
        context: impl Into<String>,
        source: &git2::Error,
    ) -> Self {
        let said = Some(source.message()).filter(|said| !matches!(*said, "" | "no error"));
        Self { kind, context: context.into(), source: said.map(Into::into) }
    }

    pub(super) fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let context = context.into();
        move |source| Self { kind: WorkspaceErrorKind::Io, context, source: Some(Box::new(source)) }
    }

    pub(super) fn copy(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let failed = Self::io(context);
        move |source| Self { kind: WorkspaceErrorKind::Copy, ..failed(source) }
    }

    pub(super) fn copy_cancelled() -> Self {
        Self::new(WorkspaceErrorKind::Cancelled, "cancelled while the work tree was copied")
    }

    /// Whether the person at the keyboard can put it right, rather than whoever runs the machine.
    pub fn is_usage(&self) -> bool {
        use WorkspaceErrorKind as Kind;
        match &self.kind {
            Kind::NotARepository
            | Kind::Bare
            | Kind::NoCommits
            | Kind::Ownership
            | Kind::Unsupported
            | Kind::SparseIndex
            | Kind::Dirty { .. }
            | Kind::OperationInProgress { .. }
            | Kind::Unmerged { .. }
            | Kind::InTheWay { .. }
            | Kind::BranchInTheWay
            | Kind::NotFound
            | Kind::BadPattern
            | Kind::Symlink
            | Kind::Submodule
            | Kind::PathConflict
            | Kind::InvalidPath => true,
            Kind::Conflict { .. }
            | Kind::Copy
            | Kind::Cancelled
            | Kind::BranchExists
            | Kind::RefMoved
            | Kind::Busy
            | Kind::Stale
            | Kind::CaseCollision
            | Kind::Filtered
            | Kind::NothingChanges
            | Kind::StorageFull
            | Kind::Git
            | Kind::Io => false,
        }
    }

    /// Whether another patch may do better. Anything else is the machine's or the repository's, and
    /// whoever wrote the patch can do nothing about it.
    pub fn is_about_the_patch(&self) -> bool {
        use WorkspaceErrorKind as Kind;
        match &self.kind {
            Kind::Stale
            | Kind::Symlink
            | Kind::Submodule
            | Kind::PathConflict
            | Kind::CaseCollision
            | Kind::InvalidPath
            | Kind::InTheWay { .. }
            | Kind::Filtered
            | Kind::NothingChanges => true,
            Kind::NotARepository
            | Kind::Bare
            | Kind::NoCommits
            | Kind::Ownership
            | Kind::Unsupported
            | Kind::SparseIndex
            | Kind::Dirty { .. }
            | Kind::OperationInProgress { .. }
            | Kind::Unmerged { .. }
            | Kind::Conflict { .. }
            | Kind::Copy
            | Kind::Cancelled
            | Kind::BranchExists
            | Kind::BranchInTheWay
            | Kind::RefMoved
            | Kind::Busy
            | Kind::NotFound
            | Kind::BadPattern
            | Kind::StorageFull
            | Kind::Git
            | Kind::Io => false,
        }
    }

    /// What to do about it, for a person.
    pub fn hint(&self) -> Option<String> {
        use WorkspaceErrorKind as Kind;
        let text = match &self.kind {
            Kind::NotARepository => {
                "Run it inside a git repository, or create one: git init && git add -A && git \
                 commit -m 'Initial commit'."
            }
            Kind::Bare => "Run it in a clone with a work tree: git clone REPOSITORY FOLDER.",
            Kind::NoCommits => {
                "Create a first commit: git add -A && git commit -m 'Initial \
                commit'."
            }
            Kind::Ownership => {
                "The repository belongs to another user. If you trust it: git config --global \
                 --add safe.directory \"$(pwd)\"."
            }
            Kind::Unsupported => {
                "Greenloop supports repositories with SHA-1 objects and refs stored as files. Use \
                 a clone in that format: git clone --ref-format=files."
            }
            Kind::Dirty { .. } => {
                "Commit or stash them first (git commit -a, or git stash); untracked files may \
                 stay."
            }
            Kind::OperationInProgress { what } => {
                return Some(format!("Finish {what} or abort it; git status shows how."));
            }
            Kind::Unmerged { .. } => {
                "Resolve the conflicts and `git add` the files, or abort the operation; git \
                 status shows how."
            }
            Kind::Conflict { .. } => {
                "Nothing was written. Compare the lines with git diff, and change them by hand."
            }
            Kind::Copy => {
                "Commit or stash your changes, so that the command runs in the work tree itself; \
                 or set XDG_CACHE_HOME to a folder with more space."
            }
            Kind::SparseIndex => {
                "Run `git sparse-checkout reapply --no-sparse-index`, which writes a full index and keeps \
                 the checkout sparse."
            }
            Kind::BranchExists => {
                "It belongs to another run. Check it with git log, then delete it with git branch \
                 -D."
            }
            Kind::BranchInTheWay => "Rename that branch: git branch -m OLD NEW.",
            Kind::RefMoved => {
                "Another process moved the run's branch. Nothing was changed; check the branch \
                 with git log, and start again."
            }
            Kind::Busy => {
                "Another git process is running, or one has died: wait for it, or delete the \
                 .lock file that the message names."
            }
            Kind::Stale => {
                "The files have changed since the patch was created; request a new \
                patch."
            }
            Kind::Symlink => {
                "Patch the file that the link points to, under its own path; links are not \
                 followed."
            }
            Kind::Submodule => "Run Greenloop in the submodule's own repository.",
            Kind::PathConflict | Kind::CaseCollision | Kind::InvalidPath => {
                "Choose another name for the file."
            }
            Kind::InTheWay { .. } => {
                "Move these files away or commit them; nothing was overwritten."
            }
            Kind::Filtered => {
                "Change files under a git filter (Git LFS) by hand: their committed content is \
                 only a pointer."
            }
            Kind::StorageFull => "Free some space on that file system, and run it again.",
            Kind::BadPattern => "Use the syntax of Rust's regex crate.",
            Kind::NothingChanges | Kind::Cancelled | Kind::NotFound | Kind::Git | Kind::Io => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}
