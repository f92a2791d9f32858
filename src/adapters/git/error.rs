//! What can go wrong with git.

/// The kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitErrorKind {
    /// There is no git on this machine.
    NoGit,
    /// The remote answered, and does not take the push: the branch has moved, or is guarded.
    Rejected,
    /// The remote was not heard: network, credentials or address. May pass.
    Remote,
    /// Something in a folder of our own.
    Local,
    /// It was cancelled.
    Cancelled,
}

/// A command of git's that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct GitError {
    /// The kind.
    pub kind: GitErrorKind,
    /// One line for a person, without secrets.
    pub message: String,
    /// What lies underneath.
    #[source]
    pub source: Option<std::io::Error>,
}

impl GitError {
    pub(super) fn new(kind: GitErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn io(what: String) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self {
            kind: GitErrorKind::Local,
            message: format!("cannot {what}"),
            source: Some(source),
        }
    }
}
