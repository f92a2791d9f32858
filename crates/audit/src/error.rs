//! What can be wrong with an audit log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::artifact::Change;
use greenloop_model::RunId;

/// A record that breaks the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} (line {line}): {what}")]
pub struct Fault {
    /// 1-based line of the file.
    pub line: u64,
    /// The sequence number the record of this line should have.
    pub seq: u64,
    pub what: FaultKind,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The file cannot be read any further.
    Unreadable(io::ErrorKind),
    /// It is a pipe, a device or a folder.
    NotAFile,
    /// The file has no whole record.
    Empty,
    /// Longer than [`super::MAX_LINE`].
    TooLong,
    /// The line is not `{"h":"…","body":{…}}`.
    Layout,
    /// The body is not the JSON of a record.
    Body(String),
    /// The body names another previous hash: a record was removed, moved or inserted here.
    Chain,
    /// The hash does not match the bytes: the record was changed.
    Hash,
    /// The body has another sequence number.
    Sequence { found: u64 },
    /// The body belongs to another run.
    Run,
    /// It stands after the run's last record.
    AfterEnd,
    /// What the last record says of the log or of the run's files cannot be read.
    Seal,
    /// The last record says another number of records, or another hash, than those before it.
    Sealed,
    /// A file of the run is not as the last record says.
    Artifact { path: String, change: Change },
    /// The run's files cannot be read.
    Files(io::ErrorKind),
    /// The run is not the one that the folder is named after.
    Folder { run: RunId },
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => write!(f, "could not read the file: {kind}"),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::Empty => f.write_str("it contains no complete record"),
            Self::TooLong => f.write_str("the line is longer than the maximum length of a record"),
            Self::Layout => f.write_str("the line is not an audit record"),
            Self::Body(reason) => write!(f, "the body is not a record: {reason}"),
            Self::Chain => f.write_str(
                "it does not follow the previous record: records were removed, moved or inserted",
            ),
            Self::Hash => f.write_str("its hash does not match: the record was changed"),
            Self::Sequence { found } => write!(f, "its sequence number is {found}"),
            Self::Run => f.write_str("it belongs to another run"),
            Self::AfterEnd => f.write_str("it follows the record that ends the run"),
            Self::Seal => f.write_str("it does not say what the run left, as the last record does"),
            Self::Sealed => f.write_str(
                "it ends another log: its number of records, or the hash before it, is not this one's",
            ),
            Self::Artifact { path, change } => match change {
                Change::Missing => write!(f, "{path} is missing: it was removed after the run"),
                Change::Edited => write!(f, "{path} was changed after the run"),
                Change::Added => write!(f, "{path} was added after the run"),
            },
            Self::Files(kind) => write!(f, "the run's files cannot be read: {kind}"),
            Self::Folder { run } => write!(f, "it belongs to run {run}, and the folder's name does not"),
        }
    }
}

/// An audit log that could not be written or read.
#[derive(Debug)]
pub struct AuditError {
    /// The log.
    pub path: PathBuf,
    /// What went wrong.
    pub kind: AuditErrorKind,
}

impl AuditError {
    pub(super) fn new(path: &Path, kind: impl Into<AuditErrorKind>) -> Self {
        Self { path: path.to_owned(), kind: kind.into() }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.kind)
    }
}

impl std::error::Error for AuditError {
    /// The kind is part of the message; what lies under it is the cause.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// What went wrong with an audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditErrorKind {
    /// The operating system refused.
    #[error("failed to {doing}")]
    Io {
        /// What was tried; fits "failed to …".
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The chain is broken.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There is no whole record: the run died before its first append and has done nothing.
    #[error("the log contains no complete record")]
    Empty,
    /// An append failed before; nothing but the closing record is taken any more.
    #[error("an earlier record could not be written, so recording has stopped")]
    Poisoned,
    /// The record is longer than [`super::MAX_LINE`].
    #[error("a record of {bytes} bytes is too long")]
    TooLong { bytes: usize },
    /// The data could not be turned into JSON.
    #[error("failed to encode a record")]
    Encode(#[from] serde_json::Error),
}
