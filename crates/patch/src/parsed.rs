//! An answer fitted to a tree.

use greenloop_model::FileChange;

use super::canonical;

/// What an answer means: the changes between two trees. Made only by [`super::resolve`], when
/// every edit of the answer has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedPatch {
    changes: Vec<FileChange>,
    leniencies: Vec<String>,
}

impl ParsedPatch {
    /// The one constructor; sorts by path.
    pub(super) fn new(mut changes: Vec<FileChange>, leniencies: Vec<String>) -> Self {
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Self { changes, leniencies }
    }

    /// From changes that are known already, each to a path of its own.
    pub fn from_changes(changes: Vec<FileChange>) -> Self {
        Self::new(changes, Vec::new())
    }

    /// The changes, by path; each path at most once. Each changes something.
    pub fn changes(&self) -> &[FileChange] {
        &self.changes
    }

    /// What had to be forgiven: plain statements, in the answer's order.
    pub fn leniencies(&self) -> &[String] {
        &self.leniencies
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The canonical diff as `git apply` takes it: computed from the two trees, three lines of
    /// context, the same for the same trees. Bytes, because files and paths are.
    pub fn to_unified_diff(&self) -> Vec<u8> {
        canonical::unified_diff(&self.changes)
    }
}
