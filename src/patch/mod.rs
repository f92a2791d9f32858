//! A patch as typed changes of a tree, and the tree it was made against.

use std::io;

use crate::model::{FileChange, FileContent, RepoPath};

/// Files as they stand somewhere.
pub trait Tree {
    /// The file at `path`; `None` when there is none.
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>>;
    /// Every file.
    fn files(&self) -> io::Result<Vec<RepoPath>>;
}

/// An answer that was understood and fits its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedPatch {
    changes: Vec<FileChange>,
}

impl ParsedPatch {
    /// From changes that are known already.
    #[cfg(test)]
    pub(crate) fn from_changes(changes: Vec<FileChange>) -> Self {
        Self { changes }
    }

    /// What happens to each path.
    pub fn changes(&self) -> &[FileChange] {
        &self.changes
    }

    /// The canonical diff.
    pub fn to_unified_diff(&self) -> Vec<u8> {
        Vec::new()
    }
}
