//! A file with its hunks in their places.

use std::collections::{BTreeMap, HashSet};

use super::edit::{Hunk, LineOp};
use super::fuzzy_match::LineEdit;
use super::line_index::LineIndex;
use super::lines::Ending;

/// A hunk that has its place.
#[derive(Debug)]
pub(super) struct Placed<'h> {
    pub(super) hunk: &'h Hunk,
    pub(super) steps: Vec<LineEdit>,
    /// The texts of its added lines, as they come into the file.
    pub(super) added: Vec<Vec<u8>>,
}

/// Two hunks (by their numbers) that want the same lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) first: usize,
    pub(super) second: usize,
    /// The line of the file, from zero.
    pub(super) line: usize,
}

#[derive(Debug, Default)]
struct Insertion<'p> {
    lines: Vec<(&'p [u8], Ending)>,
    /// What the hunk says of the file's end: it lacks a newline before, afterwards.
    old_lacks: bool,
    new_lacks: bool,
}

/// The file's bytes with all hunks applied.
pub(super) fn splice(file: &LineIndex<'_>, placed: &[Placed<'_>]) -> Result<Vec<u8>, Overlap> {
    check_overlaps(file, placed)?;
    let mut removed = vec![false; file.len()];
    let mut insertions: BTreeMap<usize, Insertion<'_>> = BTreeMap::new();
    for hunk in placed {
        let ending = local_ending(file, hunk);
        let literal = changes_endings(file, hunk);
        let mut added = hunk.added.iter();
        for (line, step) in hunk.hunk.lines.iter().zip(&hunk.steps) {
            match step {
                LineEdit::Keep(_) => {}
                LineEdit::Remove(at) => {
                    if let Some(removed) = removed.get_mut(*at) {
                        *removed = true;
                    }
                }
                LineEdit::Insert(at) => {
                    let Some(text) = added.next() else { continue };
                    let ending = match (literal, line.cr) {
                        (false, _) => ending,
                        (true, true) => Ending::CrLf,
                        (true, false) => Ending::Lf,
                    };
                    let insertion = insertions.entry(*at).or_default();
                    insertion.lines.push((text, ending));
                    insertion.old_lacks = hunk.hunk.old_lacks_newline;
                    insertion.new_lacks = hunk.hunk.new_lacks_newline;
                }
            }
        }
    }
    let end = placed
        .iter()
        .find(|hunk| hunk.steps.contains(&LineEdit::Remove(file.len().wrapping_sub(1))))
        .map(|hunk| (hunk.hunk.old_lacks_newline, hunk.hunk.new_lacks_newline));
    Ok(assemble(file, &removed, &insertions, end))
}

/// The file's bytes; `end` is what the hunk that removes the last line says of the newlines
/// at the old and the new end.
fn assemble(
    file: &LineIndex<'_>,
    removed: &[bool],
    insertions: &BTreeMap<usize, Insertion<'_>>,
    end: Option<(bool, bool)>,
) -> Vec<u8> {
    let file_lacks = file.file.lacks_final_newline();
    let mut lines: Vec<(&[u8], Ending)> = Vec::with_capacity(file.len());
    // What is said of the file's end, unless its last line stays.
    let mut said = None;
    for at in 0..=file.len() {
        if let Some(insertion) = insertions.get(&at) {
            lines.extend(insertion.lines.iter().copied());
            said = Some((insertion.old_lacks, insertion.new_lacks));
        }
        let stays = removed.get(at) == Some(&false);
        if let Some(line) = file.file.lines.get(at).filter(|_| stays) {
            lines.push((line.text, line.ending));
            said = end;
        }
    }
    let lacks = match said {
        Some((old_lacks, new_lacks)) if file_lacks => Some(new_lacks || !old_lacks),
        Some((old_lacks, new_lacks)) => Some(new_lacks && !old_lacks),
        None => None,
    };
    let prevailing = file.file.prevailing();
    let count = lines.len();
    let mut bytes = file.file.bom.to_vec();
    for (number, (text, ending)) in lines.into_iter().enumerate() {
        bytes.extend_from_slice(text);
        let ending = match (number + 1 == count, lacks) {
            (true, Some(true)) => Ending::Missing,
            (true, Some(false)) | (false, _) if ending == Ending::Missing => prevailing,
            (true, Some(false) | None) | (false, _) => ending,
        };
        bytes.extend_from_slice(ending.bytes());
    }
    bytes
}

/// The ending that the lines around an edit have; where they differ, the file's.
fn local_ending(file: &LineIndex<'_>, hunk: &Placed<'_>) -> Ending {
    let mut endings = hunk
        .steps
        .iter()
        .filter_map(|step| match step {
            LineEdit::Keep(Some(at)) | LineEdit::Remove(at) => file.file.lines.get(*at),
            LineEdit::Keep(None) | LineEdit::Insert(_) => None,
        })
        .map(|line| line.ending)
        .filter(|ending| *ending != Ending::Missing);
    let first = endings.next();
    match first {
        Some(first) if endings.all(|ending| ending == first) => first,
        Some(_) | None => file.file.prevailing(),
    }
}

/// Whether the hunk is about line endings: a line goes and comes with another ending, and what
/// it says of the old lines' endings is true.
fn changes_endings(file: &LineIndex<'_>, hunk: &Placed<'_>) -> bool {
    let gone: HashSet<(&[u8], bool)> = hunk
        .hunk
        .lines
        .iter()
        .filter(|line| line.op == LineOp::Remove)
        .map(|line| (line.text.as_slice(), line.cr))
        .collect();
    let about_endings = hunk
        .hunk
        .lines
        .iter()
        .any(|line| line.op == LineOp::Add && gone.contains(&(line.text.as_slice(), !line.cr)));
    about_endings
        && hunk.hunk.lines.iter().zip(&hunk.steps).all(|(line, step)| match step {
            LineEdit::Keep(Some(at)) | LineEdit::Remove(at) => {
                file.file.lines.get(*at).is_some_and(|there| match there.ending {
                    Ending::CrLf => line.cr,
                    Ending::Lf => !line.cr,
                    Ending::Missing => true,
                })
            }
            LineEdit::Keep(None) | LineEdit::Insert(_) => true,
        })
}

/// No line goes twice, none goes that another hunk keeps, and no two hunks add lines at the
/// same place: their order would be anyone's guess.
fn check_overlaps(file: &LineIndex<'_>, placed: &[Placed<'_>]) -> Result<(), Overlap> {
    const NONE: usize = usize::MAX;
    let mut removers = vec![NONE; file.len()];
    let mut inserters: BTreeMap<usize, usize> = BTreeMap::new();
    let clash = |a: usize, b: usize, line: usize| {
        let (a, b) = (placed[a].hunk.number, placed[b].hunk.number);
        Err(Overlap { first: a.min(b), second: a.max(b), line })
    };
    for (this, hunk) in placed.iter().enumerate() {
        for step in &hunk.steps {
            match step {
                LineEdit::Keep(_) => {}
                LineEdit::Remove(at) => match removers.get_mut(*at) {
                    Some(remover) if *remover == NONE => *remover = this,
                    Some(other) => return clash(*other, this, *at),
                    None => {}
                },
                LineEdit::Insert(at) => {
                    let other = *inserters.entry(*at).or_insert(this);
                    if other != this {
                        return clash(other, this, *at);
                    }
                }
            }
        }
    }
    for (this, hunk) in placed.iter().enumerate() {
        for step in &hunk.steps {
            let (before, at) = match step {
                LineEdit::Keep(Some(at)) => (*at, *at),
                LineEdit::Insert(at) if *at > 0 => (*at - 1, *at),
                LineEdit::Keep(None) | LineEdit::Remove(_) | LineEdit::Insert(_) => continue,
            };
            let remover = removers.get(at).copied().unwrap_or(NONE);
            let same = removers.get(before).copied() == Some(remover);
            if remover != NONE && remover != this && same {
                return clash(remover, this, at);
            }
        }
    }
    Ok(())
}
