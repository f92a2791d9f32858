//! What can be wrong with a build context.

use std::io;
use std::path::{Path, PathBuf};

/// A build context that cannot be read or sent, and the path that is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct ContextError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ContextErrorKind,
    /// What the system said.
    #[source]
    pub source: Option<io::Error>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextErrorKind {
    /// There is no such file or folder.
    #[error("not found")]
    NotFound,
    /// The context is something else than a folder.
    #[error("not a folder")]
    NotAFolder,
    /// The Dockerfile or the ignore file is something else than a file.
    #[error("not a file")]
    NotAFile,
    /// It may not be read, or reading it fails.
    #[error("could not be read")]
    Unreadable,
    /// A Dockerfile or an ignore file of this many bytes at most is read.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// It changed each time it was read; an image of it would be of no known state.
    #[error("changed each time it was read")]
    Changed,
    /// A line of the ignore file that Docker refuses too.
    #[error("line {line}: `{pattern}` is not a valid pattern: {reason}")]
    Pattern {
        /// 1-based.
        line: usize,
        /// The pattern as it was read.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ContextError {
    pub(super) fn new(path: &Path, kind: ContextErrorKind) -> Self {
        Self { path: path.to_owned(), kind, source: None }
    }

    /// A failed system call.
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::NotFound {
            ContextErrorKind::NotFound
        } else {
            ContextErrorKind::Unreadable
        };
        Self { path: path.to_owned(), kind, source: Some(error) }
    }
}
