//! Finds what is in a context: everything below the folder that is not ignored, sorted, parents
//! first, links not followed.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::entry::{Entry, Kind};
use super::error::ContextError;
use super::excluded::Excluded;
use super::matcher::{Matched, Matcher};
use super::stat::Stat;

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// The `.git` that is left out, relative to the context, where the ignore file lets it pass.
    pub(super) git_excluded: Option<Vec<u8>>,
}

/// Everything in `folder` that `matcher` lets pass and `excluded` does not name.
pub(super) fn walk(
    folder: &Path,
    matcher: &Matcher,
    excluded: &Excluded,
) -> Result<Found, ContextError> {
    let mut walk = Walk { matcher, excluded, found: Found::default(), held: Vec::new() };
    let names = names(folder).map_err(|error| ContextError::io(folder, error))?;
    walk.folder(folder, names, &[], &matcher.root())?;
    Ok(walk.found)
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Whether a path is no longer what it was when it was found.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

struct Walk<'a> {
    matcher: &'a Matcher,
    excluded: &'a Excluded,
    found: Found,
    /// Folders on the way to where the walk is that are ignored or hold Greenloop's own files;
    /// they are in the context when something within them is.
    held: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        path: &Path,
        names: Vec<OsString>,
        name: &[u8],
        above: &Matched,
    ) -> Result<(), ContextError> {
        for child in names {
            let path = path.join(&child);
            let name = if name.is_empty() {
                child.into_vec()
            } else {
                [name, b"/", child.as_bytes()].concat()
            };
            let metadata = match path.symlink_metadata() {
                Ok(metadata) => metadata,
                // Gone since the folder was read.
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(ContextError::io(&path, error)),
            };
            self.entry(&path, name, &metadata, above)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &Path,
        name: Vec<u8>,
        metadata: &Metadata,
        above: &Matched,
    ) -> Result<(), ContextError> {
        if self.excluded.is_own(&name) {
            return Ok(());
        }
        let (ignored, matched) = self.matcher.ignores(&name, above)?;
        if self.excluded.is_git(&name) {
            if !ignored {
                self.found.git_excluded = Some(name);
            }
            return Ok(());
        }
        let is_folder = metadata.is_dir();
        if ignored && !(is_folder && self.matcher.may_keep_within(&name)) {
            return Ok(());
        }
        let kind = match kind(path, metadata) {
            Ok(Some(kind)) => kind,
            Ok(None) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(ContextError::io(path, error)),
        };
        let entry = Entry { path: name.clone(), kind, mode: metadata.mode() & 0o7777 };
        if !is_folder {
            self.found.entries.append(&mut self.held);
            self.found.entries.push(entry);
            return Ok(());
        }
        let names = match names(path) {
            Ok(names) => names,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(ContextError::io(path, error)),
        };
        if !ignored && !self.excluded.may_hold_own(&name) {
            self.found.entries.append(&mut self.held);
            self.found.entries.push(entry);
            return self.folder(path, names, &name, &matched);
        }
        let depth = self.held.len();
        self.held.push(entry);
        let result = self.folder(path, names, &name, &matched);
        // What was kept within has taken it along; else it is left out with all it holds.
        self.held.truncate(depth);
        result
    }
}

fn kind(path: &Path, metadata: &Metadata) -> io::Result<Option<Kind>> {
    let file_type = metadata.file_type();
    Ok(if file_type.is_file() {
        Some(Kind::File { stat: Stat::of(metadata), hash: None, copy: None })
    } else if file_type.is_dir() {
        Some(Kind::Folder)
    } else if file_type.is_symlink() {
        let target = std::fs::read_link(path)?;
        Some(Kind::Link(target.into_os_string().into_vec()))
    } else if file_type.is_fifo() {
        Some(Kind::Pipe)
    } else if file_type.is_block_device() || file_type.is_char_device() {
        let device = rustix::fs::lstat(path)?.st_rdev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Some(Kind::Device { block: file_type.is_block_device(), major, minor })
    } else {
        None
    })
}
