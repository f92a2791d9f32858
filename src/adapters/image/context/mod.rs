//! The build context: which files of a folder a Docker build sees, what they come to as a key,
//! and the tar that carries them to the engine.
//!
//! Lives here: the ignore file's language (`ignore_file`, `pattern`, `matcher`), the walk, the
//! hashing with its cache, and the archive. Must not be here: the engine; this knows files only.
//!
//! Invariants:
//!
//! - What is ignored is exactly what `docker build` with BuildKit ignores.
//! - The same names, kinds, permissions, link targets and contents give the same digest and the
//!   same archive, byte for byte, on any machine and at any time.
//! - The archive holds what the digest speaks for: a file that changed since is an error.
//! - No file is ever whole in memory but the Dockerfile and the ignore file.

mod build_files;
mod clean;
mod content;
mod entry;
mod error;
mod go_regex;
mod ignore_file;
mod matcher;
mod pattern;
mod stat;
mod stat_cache;
mod tar_stream;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};

use build_files::{BuildFiles, IGNORE_FILE, Travelling};
use entry::{Entry, Kind};
use stat_cache::StatCache;
use tar_stream::Archive;

pub use error::{ContextError, ContextErrorKind};

/// Changes when the digest is made of other things, so that no old one fits.
const DIGEST: &str = "greenloop build context 1";

/// A folder as a Docker build sees it, at the moment it was scanned.
#[derive(Debug)]
pub struct BuildContext {
    root: PathBuf,
    entries: Vec<Entry>,
    digest: String,
    bytes: u64,
    files: usize,
    dockerfile: Vec<u8>,
    travelling: Travelling,
}

impl BuildContext {
    /// Scans `folder`. `dockerfile` may lie outside of it; `DOCKERFILE.dockerignore` beside it
    /// goes before the folder's `.dockerignore`. What files held is remembered at `cache`, so
    /// that the next scan reads only those that changed. Blocks: hashes on two threads.
    ///
    /// # Errors
    /// When a file that is not ignored cannot be read, when the ignore file holds a pattern that
    /// Docker refuses, and when a file does not stand still. A cache is never at fault.
    pub fn scan(
        folder: &Path,
        dockerfile: &Path,
        cache: Option<&Path>,
    ) -> Result<Self, ContextError> {
        let root =
            std::fs::canonicalize(folder).map_err(|error| ContextError::io(folder, error))?;
        if !root.is_dir() {
            return Err(ContextError::new(folder, ContextErrorKind::NotAFolder));
        }
        let build_files = BuildFiles::read(&root, dockerfile)?;
        let mut entries = walk::walk(&root, &build_files.matcher)?;
        let mut known = cache.map(StatCache::read).unwrap_or_default();
        content::hash_all(&root, &mut entries, &mut known)?;
        if let Some(path) = cache
            && let Err(error) = known.write(path)
        {
            tracing::warn!(path = %path.display(), %error, "the stat cache cannot be written");
        }
        let sizes = || {
            entries.iter().filter_map(|entry| match entry.kind {
                Kind::File { stat, .. } => Some(stat.size),
                Kind::Folder | Kind::Link(_) | Kind::Pipe | Kind::Device { .. } => None,
            })
        };
        Ok(Self {
            digest: digest(&entries, &build_files.text),
            bytes: sizes().sum(),
            files: sizes().count(),
            travelling: build_files.travelling(&entries),
            dockerfile: build_files.text,
            entries,
            root,
        })
    }

    /// Lower-case hex digits: a hash over everything the build can see and the Dockerfile.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The contents of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are, without folders and links.
    pub fn files(&self) -> usize {
        self.files
    }

    /// The Dockerfile's name within the archive: a reserved one when the Dockerfile lies outside
    /// of the context or is ignored.
    pub fn dockerfile_name(&self) -> &str {
        &self.travelling.dockerfile
    }

    /// The Dockerfile's bytes.
    pub fn dockerfile_text(&self) -> &[u8] {
        &self.dockerfile
    }

    /// The archive for the classic builder, which gets an ignored Dockerfile and the ignore file
    /// too, and takes them out again before the first instruction sees them.
    pub fn tar(
        self,
    ) -> impl futures::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
        let mut extra = self.extra_dockerfile();
        if let Some(text) = &self.travelling.ignore_file {
            extra.push((IGNORE_FILE.to_owned(), text.clone()));
        }
        Archive { root: self.root, entries: self.entries, extra }.stream()
    }

    /// The archive for BuildKit, which takes nothing out of a context that comes as a tar: an
    /// ignored ignore file is left out. An ignored Dockerfile has to be there, under its reserved
    /// name.
    pub fn tar_for_buildkit(
        self,
    ) -> impl futures::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
        let extra = self.extra_dockerfile();
        Archive { root: self.root, entries: self.entries, extra }.stream()
    }

    fn extra_dockerfile(&self) -> Vec<(String, Vec<u8>)> {
        let travelling = &self.travelling;
        (!travelling.dockerfile_is_entry)
            .then(|| (travelling.dockerfile.clone(), self.dockerfile.clone()))
            .into_iter()
            .collect()
    }
}

/// Every field with its length before it, so that no two contexts run together the same.
fn digest(entries: &[Entry], dockerfile: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
    let mut add = |field: &[u8]| {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    };
    add(dockerfile);
    for entry in entries {
        add(&entry.path);
        add(&entry.mode.to_le_bytes());
        match &entry.kind {
            Kind::File { stat, hash } => {
                add(b"file");
                add(&stat.size.to_le_bytes());
                add(hash.as_ref().map_or(&[][..], |hash| hash.as_bytes()));
            }
            Kind::Folder => add(b"folder"),
            Kind::Link(target) => {
                add(b"link");
                add(target);
            }
            Kind::Pipe => add(b"pipe"),
            Kind::Device { block, major, minor } => {
                add(if *block { b"block" } else { b"character" });
                add(&major.to_le_bytes());
                add(&minor.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}
