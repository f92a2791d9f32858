//! Finds what is in a context: everything below the folder that is not ignored, sorted, parents
//! first, links not followed.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::entry::{Entry, Kind};
use super::error::ContextError;
use super::matcher::{Matched, Matcher};
use super::stat::Stat;

/// Everything in `folder` that `matcher` lets pass.
pub(super) fn walk(folder: &Path, matcher: &Matcher) -> Result<Vec<Entry>, ContextError> {
    let mut walk = Walk { matcher, found: Vec::new(), held: Vec::new() };
    walk.folder(folder, &[], &matcher.root())?;
    Ok(walk.found)
}

struct Walk<'a> {
    matcher: &'a Matcher,
    found: Vec<Entry>,
    /// Ignored folders on the way to where the walk is; they are in the context after all when
    /// something within them is.
    held: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, name: &[u8], above: &Matched) -> Result<(), ContextError> {
        let read = || -> io::Result<Vec<std::ffi::OsString>> {
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        let mut names = read().map_err(|error| ContextError::io(path, error))?;
        names.sort_unstable();
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
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
        let (ignored, matched) = self.matcher.ignores(&name, above)?;
        let is_folder = metadata.is_dir();
        if ignored && !(is_folder && self.matcher.may_keep_within(&name)) {
            return Ok(());
        }
        let Some(kind) = kind(path, metadata)? else { return Ok(()) };
        let entry = Entry { path: name.clone(), kind, mode: metadata.mode() & 0o7777 };
        if !ignored {
            self.found.append(&mut self.held);
            self.found.push(entry);
            return if is_folder { self.folder(path, &name, &matched) } else { Ok(()) };
        }
        let depth = self.held.len();
        self.held.push(entry);
        let result = self.folder(path, &name, &matched);
        // What was kept within has taken it along; else it is ignored with all it holds.
        self.held.truncate(depth);
        result
    }
}

fn kind(path: &Path, metadata: &Metadata) -> Result<Option<Kind>, ContextError> {
    let file_type = metadata.file_type();
    Ok(if file_type.is_file() {
        Some(Kind::File { stat: Stat::of(metadata), hash: None })
    } else if file_type.is_dir() {
        Some(Kind::Folder)
    } else if file_type.is_symlink() {
        let target = std::fs::read_link(path).map_err(|error| ContextError::io(path, error))?;
        Some(Kind::Link(target.into_os_string().into_vec()))
    } else if file_type.is_fifo() {
        Some(Kind::Pipe)
    } else if file_type.is_block_device() || file_type.is_char_device() {
        let device = metadata.rdev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Some(Kind::Device { block: file_type.is_block_device(), major, minor })
    } else {
        None
    })
}
