//! A file given as a whole.

use super::edit::{Action, FileEdit, NewContent};
use super::written_path::WrittenPath;

/// The most lines and bytes of an existing file that may be replaced as a whole.
const MOST_LINES: usize = 60;
const MOST_BYTES: usize = 4 * 1024;

/// Whether an existing file is small enough to be replaced as a whole.
pub(super) fn is_tiny(bytes: &[u8]) -> bool {
    bytes.len() <= MOST_BYTES && memchr::memchr_iter(b'\n', bytes).count() <= MOST_LINES
}

/// A fence that seems to hold a whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WholeFile {
    pub(super) path: WrittenPath,
    pub(super) content: NewContent,
    /// Whether the fence itself names the file, rather than a line above it.
    pub(super) sure: bool,
    pub(super) answer_line: usize,
}

impl WholeFile {
    pub(super) fn into_edit(self) -> FileEdit {
        let action = Action::Whole { content: self.content, said_new: false, sure: self.sure };
        FileEdit { path: self.path, action, answer_line: self.answer_line }
    }
}
