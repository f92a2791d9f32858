//! A diff as lines for a reader.

use super::diff::{self, Change};
use super::format;
use super::line::{Line, Tone};

/// Whether unchanged lines are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Shown,
    Hidden,
}

/// A diff, at most `most` lines of it.
pub(super) fn diff_lines(
    diff: &str,
    indent: usize,
    most: usize,
    context: Context,
    width: usize,
) -> Vec<Line> {
    let files = diff::parse(diff);
    let mut lines = Vec::new();
    let (mut shown, mut hidden) = (0, 0);
    for file in &files {
        if shown < most {
            lines.push(
                Line::indent(indent)
                    .strong(file.title())
                    .push(Tone::Added, format!("  +{}", file.added))
                    .push(Tone::Removed, format!(" −{}", file.removed)),
            );
        }
        for (n, hunk) in file.hunks.iter().enumerate() {
            if n > 0 && shown < most {
                lines.push(Line::indent(indent).dim("   ┊"));
            }
            for line in &hunk.lines {
                if context == Context::Hidden && line.change == Change::Context {
                    continue;
                }
                if shown == most {
                    hidden += 1;
                    continue;
                }
                shown += 1;
                lines.extend(diff_line(line, indent, width));
            }
        }
    }
    if hidden > 0 {
        let hidden = format::counted(hidden, "more line", "more lines");
        lines.push(Line::indent(indent).dim(format!("   … {hidden}")));
    }
    lines
}

/// A line of a diff: cut to the width when it did not change, else whole, on as many lines as
/// it takes.
fn diff_line(line: &diff::DiffLine, indent: usize, width: usize) -> Vec<Line> {
    let (sign, whole, part) = match line.change {
        Change::Context => (" ", Tone::Dim, Tone::Dim),
        Change::Removed => ("-", Tone::Removed, Tone::RemovedPart),
        Change::Added => ("+", Tone::Added, Tone::AddedPart),
    };
    let mut out =
        Line::indent(indent).dim(format!("{:>4} ", line.number)).push(whole, format!("{sign} "));
    for (differs, text) in line.pieces() {
        out = out.push(if differs { part } else { whole }, text);
    }
    if line.unterminated {
        out = out.dim(" (no newline at the end)");
    }
    /// Columns of the number and the sign.
    const MARGIN: usize = 7;
    match line.change {
        Change::Context => vec![out.fit(width)],
        Change::Removed | Change::Added => out.folded(width, indent + MARGIN),
    }
}
