//! The tree an answer is resolved against.

use std::collections::BTreeMap;
use std::io;

use greenloop_model::{FileContent, RepoPath};

/// A tree of files that can be looked at. Two implementations: the git workspace, and
/// [`MemoryTree`].
pub trait Tree {
    /// The file at `path`; `Ok(None)` when there is none.
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>>;

    /// The files there are, for shortened paths and nearest names. May be bounded: what is
    /// missing here is only not guessed at.
    fn files(&self) -> io::Result<Vec<RepoPath>>;
}

/// A tree in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTree {
    files: BTreeMap<RepoPath, FileContent>,
}

impl MemoryTree {
    /// A tree with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file into it, in place of the one that was there.
    pub fn insert(&mut self, path: RepoPath, content: FileContent) {
        self.files.insert(path, content);
    }

    /// Takes a file out.
    pub fn remove(&mut self, path: &RepoPath) -> Option<FileContent> {
        self.files.remove(path)
    }

    /// Its files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RepoPath, &FileContent)> {
        self.files.iter()
    }
}

impl FromIterator<(RepoPath, FileContent)> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = (RepoPath, FileContent)>>(files: I) -> Self {
        Self { files: files.into_iter().collect() }
    }
}

impl Tree for MemoryTree {
    fn read(&self, path: &RepoPath) -> io::Result<Option<FileContent>> {
        Ok(self.files.get(path).cloned())
    }

    fn files(&self) -> io::Result<Vec<RepoPath>> {
        Ok(self.files.keys().cloned().collect())
    }
}
