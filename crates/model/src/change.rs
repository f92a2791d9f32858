//! One file's change between two trees.

use super::RepoPath;

/// What kind of object a tree entry is; the four that git knows for leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// `100644`
    Regular,
    /// `100755`
    Executable,
    /// `120000`
    Symlink,
    /// `160000`: a commit of another repository.
    Submodule,
}

/// A file as it stands in one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The blob's bytes; the link's target for a symlink, empty for a submodule.
    pub bytes: Vec<u8>,
    /// The entry's mode.
    pub mode: FileMode,
}

impl FileContent {
    /// A regular, non-executable file.
    pub fn regular(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), mode: FileMode::Regular }
    }

    /// Whether git would call this binary: a NUL within the first 8,000 bytes.
    pub fn is_binary(&self) -> bool {
        self.bytes.iter().take(8_000).any(|b| *b == 0)
    }
}

/// What happens to one path. `before` and `after` are never both absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Where the file is afterwards, or was, when it is deleted.
    pub path: RepoPath,
    /// Where it was before, when it moves.
    pub moved_from: Option<RepoPath>,
    /// The file before (at `moved_from` when it moves); `None` when it is new.
    pub before: Option<FileContent>,
    /// The file afterwards; `None` when it is deleted.
    pub after: Option<FileContent>,
}
