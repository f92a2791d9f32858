//! The lines of an answer, and the edits that were read from them.

use super::edit::FileEdit;

/// Collects edits while the formats' readers go through the lines.
pub(super) struct Collector<'a> {
    pub(super) lines: &'a [&'a str],
    /// Lines that belong to an edit; the others are prose.
    pub(super) taken: Vec<bool>,
    pub(super) files: Vec<FileEdit>,
    pub(super) hunks: usize,
    diffs: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(lines: &'a [&'a str]) -> Self {
        Self { lines, taken: vec![false; lines.len()], files: Vec::new(), hunks: 0, diffs: 0 }
    }

    pub(super) fn line(&self, at: usize) -> Option<&'a str> {
        self.lines.get(at).copied()
    }

    /// Marks the lines from `from` to before `to` as parts of an edit.
    pub(super) fn take(&mut self, from: usize, to: usize) {
        for taken in self.taken.iter_mut().take(to).skip(from) {
            *taken = true;
        }
    }

    /// The number of the next hunk, from 1.
    pub(super) fn next_hunk(&mut self) -> usize {
        self.hunks += 1;
        self.hunks
    }

    /// The number of the next diff, from 1.
    pub(super) fn next_diff(&mut self) -> usize {
        self.diffs += 1;
        self.diffs
    }

    pub(super) fn push(&mut self, edit: FileEdit) {
        self.files.push(edit);
    }
}
