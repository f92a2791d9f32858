//! What an answer says, before it is fitted to a tree.

use greenloop_model::FileMode;

use super::lines::is_blank;
use super::written_path::WrittenPath;

/// What becomes of one line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LineOp {
    /// It is there and stays.
    Keep,
    /// It is there and goes.
    Remove,
    /// It comes.
    Add,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HunkLine {
    pub(super) op: LineOp,
    /// Without the ending.
    pub(super) text: Vec<u8>,
    /// Whether the answer ends it with a carriage return.
    pub(super) cr: bool,
    /// Whether a space stood before it that a diff puts before kept lines. Such a space may
    /// really belong to the line, or there may be one too many.
    pub(super) after_space: bool,
}

impl HunkLine {
    /// Splits a carriage return off the end.
    pub(super) fn new(op: LineOp, text: &[u8]) -> Self {
        let (text, cr) = match text.strip_suffix(b"\r") {
            Some(text) => (text, true),
            None => (text, false),
        };
        Self { op, text: text.to_vec(), cr, after_space: false }
    }

    pub(super) const fn is_old(&self) -> bool {
        matches!(self.op, LineOp::Keep | LineOp::Remove)
    }

    pub(super) const fn is_new(&self) -> bool {
        matches!(self.op, LineOp::Keep | LineOp::Add)
    }
}

/// The four numbers of an `@@` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) old_start: usize,
    pub(super) old_count: usize,
    pub(super) new_start: usize,
    pub(super) new_count: usize,
}

/// One place of one file, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    /// 1-based, over the whole answer.
    pub(super) number: usize,
    /// How the answer heads it: its `@@` line, or the kind of block.
    pub(super) label: String,
    /// 1-based line of the answer.
    pub(super) answer_line: usize,
    pub(super) lines: Vec<HunkLine>,
    /// How many blank lines at its end may be of the answer's layout, and not of the hunk.
    pub(super) layout: usize,
    /// The lines of a block with further `=======` lines, divided at each of them in turn.
    pub(super) divisions: Vec<Vec<HunkLine>>,
    pub(super) numbers: Option<Numbers>,
    /// Lines said to stand above the place: the text after `@@`.
    pub(super) headings: Vec<Vec<u8>>,
    /// Which diff it belongs to, when its hunks stand in the order of the file.
    pub(super) ordered_in: Option<usize>,
    /// Whether the place is said to be the end of the file.
    pub(super) at_end: bool,
    /// Whether the old, the new side is said to end without a newline.
    pub(super) old_lacks_newline: bool,
    pub(super) new_lacks_newline: bool,
}

impl Hunk {
    pub(super) fn old_lines(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.is_old())
    }

    pub(super) fn new_lines(&self) -> impl Iterator<Item = &HunkLine> {
        self.lines.iter().filter(|line| line.is_new())
    }

    /// Whether it has no line to find its place by: none that is there, or only blank ones.
    pub(super) fn is_placeless(&self) -> bool {
        self.old_lines().all(|line| is_blank(&line.text))
    }

    pub(super) fn count(&self, op: LineOp) -> usize {
        self.lines.iter().filter(|line| line.op == op).count()
    }

    /// Whether the counts of its `@@` line are true of its lines.
    pub(super) fn counts_hold(&self) -> bool {
        self.numbers.is_some_and(|numbers| {
            numbers.old_count == self.old_lines().count()
                && numbers.new_count == self.new_lines().count()
        })
    }
}

/// What a new file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewContent {
    /// Each line without its ending.
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) lacks_newline: bool,
}

impl NewContent {
    pub(super) fn bytes(&self, newline: &[u8]) -> Vec<u8> {
        let mut bytes = self.lines.join(newline);
        if !self.lines.is_empty() && !self.lacks_newline {
            bytes.extend_from_slice(newline);
        }
        bytes
    }
}

/// What becomes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Hunks on a file that is there; it may move or change its mode as well, or be copied, and
    /// stay what it was where it was (`keeps_source`).
    Update {
        hunks: Vec<Hunk>,
        move_to: Option<WrittenPath>,
        mode: Option<FileMode>,
        keeps_source: bool,
    },
    /// A file that must not be there yet.
    Create { content: NewContent, mode: FileMode },
    /// All of a file: a new one or a tiny one. `said_new` when the answer means a new one, as
    /// an empty SEARCH does; `sure` when the fence itself names the file, rather than a line
    /// above it.
    Whole { content: NewContent, said_new: bool, sure: bool },
    /// The file goes. The hunk, when there is one, says what it holds.
    Delete { content: Option<Hunk>, unconditional: bool },
}

/// One file of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEdit {
    pub(super) path: WrittenPath,
    pub(super) action: Action,
    /// 1-based line of the answer.
    pub(super) answer_line: usize,
}
