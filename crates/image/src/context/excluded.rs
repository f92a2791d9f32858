//! What is no part of a context whatever the ignore file says: Greenloop's own files, which
//! change while the context is read and would give each run another content key, and `.git`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Greenloop's own files, wherever they are configured to be.
#[derive(Debug, Clone, Default)]
pub struct OwnFiles(Vec<OwnPath>);

#[derive(Debug, Clone)]
enum OwnPath {
    /// A folder with all that it holds.
    Folder(PathBuf),
    /// Files of one folder whose names begin and end so.
    Files { folder: PathBuf, prefix: String, suffix: String },
}

impl OwnFiles {
    /// A folder with all that it holds. Absolute.
    #[must_use]
    pub fn with_folder(mut self, folder: PathBuf) -> Self {
        self.0.push(OwnPath::Folder(folder));
        self
    }

    /// The files of `folder`, an absolute path, whose names begin with `prefix` and end with
    /// `suffix`.
    #[must_use]
    pub fn with_files(mut self, folder: PathBuf, prefix: &str, suffix: &str) -> Self {
        let (prefix, suffix) = (prefix.to_owned(), suffix.to_owned());
        self.0.push(OwnPath::Files { folder, prefix, suffix });
        self
    }
}

/// The same, relative to one context.
#[derive(Debug, Default)]
pub(super) struct Excluded {
    folders: Vec<Vec<u8>>,
    files: Vec<(Vec<u8>, String, String)>,
    /// `.git` folders, or files, that no instruction copies.
    git: Vec<Vec<u8>>,
}

impl Excluded {
    /// `root` is the context's real path.
    pub(super) fn new(root: &Path, own: &OwnFiles, git: Vec<Vec<u8>>) -> Self {
        let mut excluded = Self { git, ..Self::default() };
        for path in &own.0 {
            match path {
                OwnPath::Folder(folder) => excluded.folders.extend(within(root, folder)),
                OwnPath::Files { folder, prefix, suffix } => excluded
                    .files
                    .extend(within(root, folder).map(|at| (at, prefix.clone(), suffix.clone()))),
            }
        }
        // A context is no part of Greenloop's files.
        excluded.folders.retain(|folder| !folder.is_empty());
        excluded
    }

    /// Whether `path` is one of Greenloop's own.
    pub(super) fn is_own(&self, path: &[u8]) -> bool {
        let (folder, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        self.folders.iter().any(|own| own == path)
            || self.files.iter().any(|(within, prefix, suffix)| {
                within == folder
                    && name.len() >= prefix.len() + suffix.len()
                    && name.starts_with(prefix.as_bytes())
                    && name.ends_with(suffix.as_bytes())
            })
    }

    /// Whether `path` is a `.git` that is left out.
    pub(super) fn is_git(&self, path: &[u8]) -> bool {
        self.git.iter().any(|git| git == path)
    }

    /// Whether Greenloop's own files lie somewhere below `folder`: it is in the context only if
    /// something else lies there too.
    pub(super) fn may_hold_own(&self, folder: &[u8]) -> bool {
        let below = |path: &[u8]| {
            path.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
        };
        self.folders.iter().any(|own| below(own))
            || self.files.iter().any(|(within, ..)| below(within))
    }
}

/// Where `path` lies relative to `root`, links resolved as far as it exists; `None` outside.
pub(super) fn within(root: &Path, path: &Path) -> Option<Vec<u8>> {
    let real = path.ancestors().find_map(|existing| {
        let real = std::fs::canonicalize(existing).ok()?;
        let rest = path.strip_prefix(existing).ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })?;
    Some(real.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
}
