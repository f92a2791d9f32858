//! The files of a repository that git does not ignore, bounded.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use globset::{GlobBuilder, GlobMatcher};

/// Files that are listed.
const MOST_FILES: usize = 50_000;
/// Bytes of a file that are read.
const MOST_BYTES: u64 = 256 * 1024;

/// A repository, or a folder that is to become one.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    /// Relative to the root, with `/`, sorted.
    paths: Vec<String>,
    texts: Mutex<HashMap<String, Option<Arc<str>>>>,
}

impl Files {
    /// Lists the files below `root`.
    pub fn read(root: &Path) -> Self {
        let walk = ignore::WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        let mut paths: Vec<String> = walk
            .flatten()
            .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
            .filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_str()?.to_owned()))
            .take(MOST_FILES)
            .collect();
        paths.sort();
        Self { root: root.to_owned(), paths, texts: Mutex::default() }
    }

    /// The folder they lie in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files, relative to the root.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Whether `path` is one of the files, or a folder that holds some.
    pub fn holds(&self, path: &str) -> bool {
        let at = self.paths.partition_point(|known| known.as_str() < path);
        let below = |known: &String| relative(known, path).is_some();
        let folder = format!("{path}/");
        let within = self.paths.partition_point(|known| *known < folder);
        self.paths.get(at).is_some_and(|known| known == path)
            || self.paths.get(within).is_some_and(below)
    }

    /// Whether there is such a file or folder, ignored or not.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The beginning of a file; `None` when there is none, or it is no text.
    pub(crate) fn text(&self, path: &str) -> Option<Arc<str>> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = texts.get(path) {
            return known.clone();
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::open(self.root.join(path))
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        let text = read.ok().and_then(|_| String::from_utf8(bytes).ok()).map(Arc::from);
        texts.insert(path.to_owned(), text.clone());
        text
    }

    /// The files below `folder` that the glob, which is relative to it, matches.
    pub(crate) fn matching(&self, folder: &str, glob: &str) -> Vec<&str> {
        let Some(glob) = matcher(glob) else { return Vec::new() };
        let below = self.paths.iter().filter_map(|path| Some((path, relative(path, folder)?)));
        below.filter(|(_, inside)| glob.is_match(inside)).map(|(path, _)| path.as_str()).collect()
    }

    /// The names of what lies directly in `folder`, once each.
    pub(crate) fn entries(&self, folder: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .paths
            .iter()
            .filter_map(|path| relative(path, folder)?.split('/').next())
            .collect();
        names.dedup();
        names
    }
}

/// `path` relative to `folder` (empty for the root), when it lies below it.
pub(crate) fn relative<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

/// The folder of a file, `.` for one at the root.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// `name` in `folder`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// `*` stays within a folder; an empty alternative (`x{,.kts}`) is allowed.
pub(crate) fn matcher(glob: &str) -> Option<GlobMatcher> {
    let built = GlobBuilder::new(glob).literal_separator(true).empty_alternates(true).build();
    built.ok().map(|glob| glob.compile_matcher())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Files;

    /// A folder with these files; they are there as long as it is held.
    pub(crate) fn written<P: AsRef<str>, T: AsRef<str>>(
        content: impl IntoIterator<Item = (P, T)>,
    ) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in content {
            let path = folder.path().join(path.as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.as_ref()).unwrap();
        }
        let files = Files::read(folder.path());
        (folder, files)
    }
}
