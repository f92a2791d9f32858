//! Edits fitted to a tree.

use std::collections::{BTreeMap, HashSet};
use std::io;

use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

use super::answer::Edits;
use super::edit::{Action, FileEdit, Hunk, NewContent};
use super::elision::leaves_out;
use super::fit::{Report, elided, fit};
use super::line_index::Form;
use super::lines::{Ending, Lines};
use super::link;
use super::locate::{Located, Locator, ResolveOptions};
use super::parsed::ParsedPatch;
use super::refusal::{Finding, Refusal, RefusalKind};
use super::tree::Tree;
use super::whole_file::is_tiny;
use super::written_path::WrittenPath;

/// What is to become of one path of the tree.
struct Target<'e> {
    path: RepoPath,
    before: Option<FileContent>,
    move_to: Option<RepoPath>,
    /// Whether the file stays where it was as well: a copy.
    keeps_source: bool,
    change: FileChangeKind<'e>,
}

enum FileChangeKind<'e> {
    Hunks(Vec<&'e Hunk>, Option<FileMode>),
    Content(FileContent),
    Delete,
}

/// Fits the edits to the tree: all of them, or none.
///
/// All are fitted to the tree as it stands. Where that cannot be because they build on one another
/// (a file is deleted and created again, two change places), each is fitted to what those before it
/// have made.
pub fn resolve(
    edits: &Edits,
    tree: &dyn Tree,
    options: &ResolveOptions,
) -> Result<ParsedPatch, Refusal> {
    let (refusal, may_follow) = match at_once(edits.files(), tree, options) {
        Ok(patch) => return Ok(patch),
        Err(refused) => refused,
    };
    let follows = may_follow && edits.files().len() > 1;
    match follows.then(|| one_by_one(edits.files(), tree, options)).flatten() {
        Some(patch) => Ok(patch),
        None => Err(refusal),
    }
}

/// Each edit fitted to what those before it have made; `None` when one does not fit.
fn one_by_one(
    edits: &[FileEdit],
    tree: &dyn Tree,
    options: &ResolveOptions,
) -> Option<ParsedPatch> {
    let mut made = Overlay { tree, files: BTreeMap::new() };
    let mut leniencies = Vec::new();
    for (number, edit) in edits.iter().enumerate() {
        let one = std::slice::from_ref(edit);
        let patch = match at_once(one, &made, options) {
            Ok(patch) => patch,
            // Files that change places: as git has it, all moves are from the tree as it was.
            Err(_) if number == 0 && moves_only(edits) => return all_moved(edits, tree, options),
            Err(_) => return None,
        };
        leniencies.extend(patch.leniencies().iter().cloned());
        for change in patch.changes() {
            if let Some(from) = &change.moved_from {
                made.files.insert(from.clone(), None);
            }
            made.files.insert(change.path.clone(), change.after.clone());
        }
    }
    let mut changes = Vec::new();
    for (path, after) in made.files {
        let before = tree.read(&path).ok()?;
        if before != after {
            changes.push(FileChange { path, moved_from: None, before, after });
        }
    }
    let mut report = Report::default();
    check_collisions(&changes, &mut report);
    leniencies.push("edits that build on one another".to_owned());
    (!changes.is_empty() && report.findings.is_empty())
        .then(|| ParsedPatch::new(changes, leniencies))
}

fn moves_only(edits: &[FileEdit]) -> bool {
    edits.iter().all(|edit| matches!(edit.action, Action::Update { move_to: Some(_), .. }))
}

/// Moves among the same paths: each is fitted as if the paths that others leave were free.
fn all_moved(edits: &[FileEdit], tree: &dyn Tree, options: &ResolveOptions) -> Option<ParsedPatch> {
    let locator = Locator::new(tree, options);
    let left: Vec<RepoPath> = edits
        .iter()
        .map(|edit| locator.existing(&edit.path, false).ok().map(|located| located.path))
        .collect::<Option<_>>()?;
    let mut files: BTreeMap<RepoPath, Option<FileContent>> = BTreeMap::new();
    let mut leniencies = Vec::new();
    for (edit, from) in edits.iter().zip(&left) {
        let gone = left.iter().filter(|path| *path != from).map(|path| (path.clone(), None));
        let others = Overlay { tree, files: gone.collect() };
        let patch = at_once(std::slice::from_ref(edit), &others, options).ok()?;
        leniencies.extend(patch.leniencies().iter().cloned());
        for change in patch.changes() {
            // Two of them at one path are a contradiction.
            if files.insert(change.path.clone(), change.after.clone()).is_some() {
                return None;
            }
        }
    }
    for path in left {
        files.entry(path).or_insert(None);
    }
    let mut changes = Vec::new();
    for (path, after) in files {
        let before = tree.read(&path).ok()?;
        if before != after {
            changes.push(FileChange { path, moved_from: None, before, after });
        }
    }
    (!changes.is_empty()).then(|| ParsedPatch::new(changes, leniencies))
}

/// A tree with some files in place of its own.
struct Overlay<'t> {
    tree: &'t dyn Tree,
    files: BTreeMap<RepoPath, Option<FileContent>>,
}

impl Tree for Overlay<'_> {
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>> {
        match self.files.get(path) {
            Some(content) => Ok(content.clone()),
            None => self.tree.read(path),
        }
    }

    fn files(&self) -> io::Result<Vec<RepoPath>> {
        let mut files = self.tree.files()?;
        files.retain(|path| !self.files.contains_key(path));
        files.extend(self.files.iter().filter(|(_, c)| c.is_some()).map(|(path, _)| path.clone()));
        Ok(files)
    }
}

/// The edits fitted to the tree as it stands, or the refusal and whether it could be because they
/// build on one another.
fn at_once(
    edits: &[FileEdit],
    tree: &dyn Tree,
    options: &ResolveOptions,
) -> Result<ParsedPatch, (Refusal, bool)> {
    let locator = Locator::new(tree, options);
    let mut report = Report::default();
    let mut targets: Vec<Target<'_>> = Vec::new();
    for edit in edits {
        match target(&locator, edit, &mut report) {
            Ok(Some(target)) => {
                if let Err(finding) = merge(&mut targets, target) {
                    report.findings.push(finding);
                }
            }
            Ok(None) => {}
            Err(finding) => report.findings.push(finding),
        }
    }
    let mut changes = Vec::new();
    for target in targets {
        changes.extend(change(target, &mut report));
    }
    check_collisions(&changes, &mut report);
    let Report { mut findings, fitting, there, leniencies } = report;
    if findings.is_empty() && !there.is_empty() {
        let text = if changes.is_empty() && fitting.is_empty() {
            "everything this answer asks for is there already; if the failure is still there, its \
             cause is another"
        } else {
            "some of its edits are there already, others are not"
        };
        findings.push(Finding::new(RefusalKind::AlreadyApplied, "", text));
    }
    if findings.is_empty() && changes.is_empty() {
        findings.push(Finding::new(
            RefusalKind::NoChange,
            "",
            "the answer changes nothing: the lines that come are those that are there",
        ));
    }
    if findings.is_empty() {
        Ok(ParsedPatch::new(changes, leniencies))
    } else {
        let may_follow = findings.iter().all(|finding| {
            matches!(
                finding.kind,
                RefusalKind::Overlap
                    | RefusalKind::AlreadyExists
                    | RefusalKind::UnknownFile
                    | RefusalKind::BadPath
            )
        });
        Err((Refusal::of_edits(&findings, &fitting, &there), may_follow))
    }
}

fn target<'e>(
    locator: &Locator<'_>,
    edit: &'e FileEdit,
    report: &mut Report,
) -> Result<Option<Target<'e>>, Finding> {
    match &edit.action {
        Action::Update { hunks, move_to, mode, keeps_source } => {
            let target =
                update(locator, edit, hunks, move_to.as_ref(), *mode, *keeps_source, report)?;
            Ok(Some(Target { keeps_source: *keeps_source, ..target }))
        }
        Action::Create { content, mode } => create(locator, &edit.path, content, *mode, report),
        Action::Whole { content, said_new, sure } => {
            whole(locator, &edit.path, content, *said_new, *sure, report)
        }
        Action::Delete { content, unconditional } => {
            delete(locator, edit, content.as_ref(), *unconditional, report).map(Some)
        }
    }
}

fn update<'e>(
    locator: &Locator<'_>,
    edit: &'e FileEdit,
    hunks: &'e [Hunk],
    move_to: Option<&WrittenPath>,
    mode: Option<FileMode>,
    keeps_source: bool,
    report: &mut Report,
) -> Result<Target<'e>, Finding> {
    let refuse =
        |kind: RefusalKind, text: &str| Err(Finding::new(kind, edit.path.shown.clone(), text));
    let located = match locator.existing(&edit.path, true) {
        Ok(located) => located,
        Err(finding) => {
            let only_adds =
                !hunks.is_empty() && hunks.iter().all(|hunk| hunk.old_lines().next().is_none());
            if finding.kind == RefusalKind::UnknownFile && only_adds && move_to.is_none() {
                return new_file(locator, edit, hunks, mode, report);
            }
            return Err(finding);
        }
    };
    let Located { path, content, leniency } = located;
    report.leniencies.extend(leniency);
    if !hunks.is_empty() {
        match content.mode {
            FileMode::Regular | FileMode::Executable if content.is_binary() => {
                return refuse(
                    RefusalKind::Binary,
                    "it is a binary file; its lines cannot be edited",
                );
            }
            // Only a diff of the link itself shows its target as the line that is there.
            FileMode::Symlink
                if !hunks.iter().all(|hunk| {
                    hunk.old_lines().map(|line| line.text.as_slice()).eq([&*content.bytes])
                }) =>
            {
                let to = String::from_utf8_lossy(&content.bytes).into_owned();
                return refuse(
                    RefusalKind::BadPath,
                    &format!(
                        "it is a symbolic link to `{to}`; {}",
                        link::instead(locator.tree, &path, &content.bytes, b"")
                    ),
                );
            }
            FileMode::Submodule => {
                return refuse(RefusalKind::BadPath, "it is a submodule; it has no lines here");
            }
            FileMode::Regular | FileMode::Executable | FileMode::Symlink => {}
        }
    }
    let move_to = match move_to {
        Some(written) => {
            // The name that the file leaves is free: a file may move into a folder of its name.
            let without =
                Overlay { tree: locator.tree, files: BTreeMap::from([(path.clone(), None)]) };
            let to = match locator.fresh(written) {
                Err(_) if !keeps_source => {
                    Locator::new(&without, locator.options).fresh(written)?
                }
                found => found?,
            };
            if to.content.is_some() && to.path != path {
                return Err(Finding::new(
                    RefusalKind::AlreadyExists,
                    written.shown.clone(),
                    format!("{path} cannot be renamed to it, because it is there already"),
                ));
            }
            report.leniencies.extend(to.leniency);
            Some(to.path).filter(|to| *to != path)
        }
        None => None,
    };
    let hunks = hunks.iter().collect();
    let change = FileChangeKind::Hunks(hunks, mode);
    Ok(Target { path, before: Some(content), move_to, keeps_source: false, change })
}

/// A diff that only adds lines, to a file that is not there: it is new, though the diff does
/// not say so.
fn new_file<'e>(
    locator: &Locator<'_>,
    edit: &FileEdit,
    hunks: &[Hunk],
    mode: Option<FileMode>,
    report: &mut Report,
) -> Result<Target<'e>, Finding> {
    let located = locator.fresh(&edit.path)?;
    report.leniencies.extend(located.leniency);
    report.leniencies.push(format!("{} taken for a new file", located.path));
    let content = NewContent {
        lines: hunks.iter().flat_map(Hunk::new_lines).map(|line| line.text.clone()).collect(),
        lacks_newline: hunks.last().is_some_and(|hunk| hunk.new_lacks_newline),
    };
    refuse_elision(&edit.path, &content)?;
    let bytes = content.bytes(b"\n");
    let mode = mode.unwrap_or(FileMode::Regular);
    report.fitting.push(format!("the new file {}", located.path));
    Ok(Target {
        path: located.path,
        before: None,
        move_to: None,
        keeps_source: false,
        change: FileChangeKind::Content(FileContent { bytes, mode }),
    })
}

fn refuse_elision(path: &WrittenPath, content: &NewContent) -> Result<(), Finding> {
    match content.lines.iter().find(|line| leaves_out(line)) {
        Some(line) => Err(elided(path.shown.clone(), line)),
        None => Ok(()),
    }
}

fn create<'e>(
    locator: &Locator<'_>,
    written: &WrittenPath,
    content: &NewContent,
    mode: FileMode,
    report: &mut Report,
) -> Result<Option<Target<'e>>, Finding> {
    let located = locator.either(written)?;
    let bytes = content.bytes(b"\n");
    if let Some(there) = &located.content {
        if there.bytes == bytes && there.mode == mode {
            report.there.push(format!("the new file {}", located.path));
            return Ok(None);
        }
        if !there.bytes.is_empty() || there.mode != mode {
            return Err(Finding::new(
                RefusalKind::AlreadyExists,
                written.shown.clone(),
                "it shall be created, but is there already; edit it instead",
            ));
        }
    }
    refuse_elision(written, content)?;
    report.leniencies.extend(located.leniency);
    report.fitting.push(format!("the new file {}", located.path));
    Ok(Some(Target {
        path: located.path,
        before: located.content,
        move_to: None,
        keeps_source: false,
        change: FileChangeKind::Content(FileContent { bytes, mode }),
    }))
}

fn whole<'e>(
    locator: &Locator<'_>,
    written: &WrittenPath,
    content: &NewContent,
    said_new: bool,
    sure: bool,
    report: &mut Report,
) -> Result<Option<Target<'e>>, Finding> {
    let located = locator.either(written)?;
    let refuse =
        |kind: RefusalKind, text: &str| Err(Finding::new(kind, written.shown.clone(), text));
    let Some(there) = &located.content else {
        refuse_elision(written, content)?;
        report.leniencies.extend(located.leniency);
        report.fitting.push(format!("the new file {}", located.path));
        let change = FileChangeKind::Content(FileContent::regular(content.bytes(b"\n")));
        return Ok(Some(Target {
            path: located.path,
            before: None,
            move_to: None,
            keeps_source: false,
            change,
        }));
    };
    match there.mode {
        FileMode::Symlink | FileMode::Submodule => {
            return refuse(RefusalKind::BadPath, "it is a link, not a file with lines");
        }
        FileMode::Regular | FileMode::Executable if there.is_binary() => {
            return refuse(RefusalKind::Binary, "it is a binary file; it cannot be replaced");
        }
        FileMode::Regular | FileMode::Executable => {}
    }
    let bytes = in_the_manner_of(&there.bytes, content);
    if bytes == there.bytes {
        report.there.push(format!("the whole file {}", located.path));
        return Ok(None);
    }
    if said_new && !there.bytes.is_empty() {
        return refuse(
            RefusalKind::AlreadyExists,
            "the block's SEARCH part is empty, as for a new file, but the file is there; put the \
             lines to be replaced into the SEARCH part",
        );
    }
    if !is_tiny(&there.bytes) {
        return refuse(
            RefusalKind::WholeFile,
            "whole files are taken only for new and tiny ones (60 lines, 4 KiB), and this one is \
             larger; use search/replace blocks or a unified diff",
        );
    }
    refuse_elision(written, content)?;
    if invents_replacement(&there.bytes, &bytes) {
        return refuse(RefusalKind::NotFound, NOT_UTF8);
    }
    if !sure && is_excerpt(&there.bytes, content) {
        return refuse(
            RefusalKind::WholeFile,
            "the lines under its name are a part of it as it stands, so they seem to be only \
             shown; to remove the others, use a search/replace block",
        );
    }
    report.leniencies.extend(located.leniency);
    report.fitting.push(format!("the whole file {}", located.path));
    let change = FileChangeKind::Content(FileContent { bytes, mode: there.mode });
    Ok(Some(Target {
        path: located.path,
        before: located.content,
        move_to: None,
        keeps_source: false,
        change,
    }))
}

const NOT_UTF8: &str = "it adds the character U+FFFD, which stands for bytes that are not UTF-8; \
                        leave such lines as they are";

/// Whether U+FFFD comes into a file that did not have it.
fn invents_replacement(before: &[u8], after: &[u8]) -> bool {
    let has = |bytes: &[u8]| memchr::memmem::find(bytes, "\u{fffd}".as_bytes()).is_some();
    has(after) && !has(before)
}

/// New content with the byte order mark, the line endings and the final newline of the old.
fn in_the_manner_of(there: &[u8], content: &NewContent) -> Vec<u8> {
    let lines = Lines::new(there);
    let newline: &[u8] = match lines.prevailing() {
        Ending::CrLf => b"\r\n",
        Ending::Lf | Ending::Missing => b"\n",
    };
    let last = lines.lines.last().filter(|line| line.ending == Ending::Missing);
    let same_last =
        last.is_some_and(|line| content.lines.last().is_some_and(|new| new == line.text));
    let content = NewContent {
        lines: content.lines.clone(),
        lacks_newline: content.lacks_newline || same_last,
    };
    [lines.bom, &content.bytes(newline)].concat()
}

fn is_excerpt(there: &[u8], content: &NewContent) -> bool {
    let lines = Lines::new(there);
    let count = content.lines.len();
    count > 0
        && lines.lines.windows(count).any(|window| {
            window
                .iter()
                .zip(&content.lines)
                .all(|(line, new)| Form::Trailing.of(line.text) == Form::Trailing.of(new))
        })
}

fn delete<'e>(
    locator: &Locator<'_>,
    edit: &FileEdit,
    content: Option<&Hunk>,
    unconditional: bool,
    report: &mut Report,
) -> Result<Target<'e>, Finding> {
    let located = locator.existing(&edit.path, false)?;
    let file = Lines::new(&located.content.bytes);
    let matches = match content {
        None => unconditional || file.lines.is_empty(),
        Some(hunk) => {
            let old: Vec<Vec<u8>> =
                hunk.old_lines().map(|line| Form::Normalized.of(&line.text)).collect();
            let there: Vec<Vec<u8>> =
                file.lines.iter().map(|line| Form::Normalized.of(line.text)).collect();
            old == there
        }
    };
    if !matches {
        return Err(Finding::new(
            RefusalKind::NotFound,
            format!("the deletion of {}", located.path),
            "the lines that the diff removes are not those of the file; give all of them, or \
             `*** Delete File: PATH` within `*** Begin Patch` and `*** End Patch`",
        ));
    }
    report.leniencies.extend(located.leniency);
    report.fitting.push(format!("the deletion of {}", located.path));
    Ok(Target {
        path: located.path,
        before: Some(located.content),
        move_to: None,
        keeps_source: false,
        change: FileChangeKind::Delete,
    })
}

/// Adds a target; several edits with hunks for the same file become one.
fn merge<'e>(targets: &mut Vec<Target<'e>>, target: Target<'e>) -> Result<(), Finding> {
    let same = |known: &&mut Target<'e>| {
        known.path == target.path && !known.keeps_source && !target.keeps_source
    };
    let Some(known) = targets.iter_mut().find(same) else {
        targets.push(target);
        return Ok(());
    };
    let conflict = || {
        Err(Finding::new(
            RefusalKind::Overlap,
            known.path.to_string(),
            "the answer edits it in two ways that exclude each other",
        ))
    };
    match (&mut known.change, target.change) {
        (FileChangeKind::Hunks(hunks, mode), FileChangeKind::Hunks(more, other_mode)) => {
            let moves = known.move_to.is_some() && target.move_to.is_some();
            if moves || (mode.is_some() && other_mode.is_some() && *mode != other_mode) {
                return conflict();
            }
            hunks.extend(more);
            *mode = mode.or(other_mode);
            known.move_to = known.move_to.take().or(target.move_to);
            Ok(())
        }
        (FileChangeKind::Hunks(..) | FileChangeKind::Content(_) | FileChangeKind::Delete, _) => {
            conflict()
        }
    }
}

/// The change that a target comes to; `None` when it is none, or was refused.
fn change(target: Target<'_>, report: &mut Report) -> Option<FileChange> {
    let Target { path, before, move_to, keeps_source, change } = target;
    let after = match change {
        FileChangeKind::Delete => None,
        FileChangeKind::Content(content) => Some(content),
        FileChangeKind::Hunks(hunks, mode) => {
            let before = before.as_ref()?;
            let bytes = fit(&path.to_string(), &before.bytes, &hunks, report)?;
            Some(FileContent { bytes, mode: mode.unwrap_or(before.mode) })
        }
    };
    if move_to.is_none() && before == after {
        return None;
    }
    Some(match move_to {
        Some(to) if keeps_source => FileChange { path: to, moved_from: None, before: None, after },
        Some(to) => FileChange { path: to, moved_from: Some(path), before, after },
        None => FileChange { path, moved_from: None, before, after },
    })
}

/// No two changes may end at the same path, or at a path that leads through the other.
fn check_collisions(changes: &[FileChange], report: &mut Report) {
    let taken: HashSet<&[u8]> = changes
        .iter()
        .flat_map(|change| {
            std::iter::once(&change.path).chain(&change.moved_from).map(RepoPath::as_bytes)
        })
        .collect();
    let paths: usize =
        changes.iter().map(|change| 1 + usize::from(change.moved_from.is_some())).sum();
    // A name that is left is free for a folder.
    let there: HashSet<&[u8]> = changes
        .iter()
        .filter(|change| change.after.is_some())
        .map(|change| change.path.as_bytes())
        .collect();
    let through = changes.iter().find(|change| {
        let bytes = change.path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, b)| **b == b'/');
        change.after.is_some() && slashes.into_iter().any(|(at, _)| there.contains(&bytes[..at]))
    });
    if taken.len() < paths || through.is_some() {
        let subject = through.map(|change| change.path.to_string()).unwrap_or_default();
        report.findings.push(Finding::new(
            RefusalKind::Overlap,
            subject,
            "two of the answer's edits end at the same path",
        ));
    }
}
