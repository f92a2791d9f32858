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
//! - The archive holds what the digest speaks for: a file that changed since is an error, and a
//!   scan that is told of an earlier one sends copies of what has changed in between.
//! - Greenloop's own files are never in it, and a `.git` only when the Dockerfile or an exception
//!   of the ignore file names it.
//! - No file is ever whole in memory but the Dockerfile and the ignore file.

mod build_files;
mod clean;
mod content;
mod entry;
mod error;
mod excluded;
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

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dockerfile::Dockerfile;
use build_files::{BuildFiles, GeneratedFiles, IGNORE_FILE};
use entry::{Entry, Kind};
use excluded::Excluded;
use stat_cache::StatCache;
use tar_stream::Archive;

pub use error::{ContextError, ContextErrorKind};
pub use excluded::OwnFiles;

/// Changes when the digest is made of other things, so that no old one fits.
const DIGEST: &str = "greenloop build context 1";
/// The repository in a work tree; a file in a work tree that git made besides.
const GIT: &str = ".git";
/// How often a folder is walked in which files come and go.
const WALKS: u32 = 4;

/// How a context is scanned.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanOptions<'a> {
    /// Where what files held is remembered, so that the next scan reads only those that changed.
    pub cache: Option<&'a Path>,
    /// What is left out whatever the ignore file says.
    pub own: Option<&'a OwnFiles>,
    /// The work tree, whose `.git` is left out unless it is named; the context's own is anyway.
    pub work_tree: Option<&'a Path>,
    /// Build arguments, which a Dockerfile's `COPY` may use.
    pub args: Option<&'a BTreeMap<String, String>>,
    /// An earlier scan: files that have changed since keep changing, and are sent from a copy.
    pub earlier: Option<&'a ScannedFiles>,
}

/// The files of a context as one scan has seen them.
#[derive(Debug, Clone)]
pub struct ScannedFiles(Arc<Vec<Entry>>);

/// A folder as a Docker build sees it, at the moment it was scanned.
#[derive(Debug)]
pub struct BuildContext {
    root: PathBuf,
    entries: Arc<Vec<Entry>>,
    copies: Option<File>,
    git_excluded: Option<String>,
    digest: String,
    bytes: u64,
    files: usize,
    dockerfile: Vec<u8>,
    travelling: GeneratedFiles,
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
        Self::scan_with(folder, dockerfile, ScanOptions { cache, ..ScanOptions::default() })
    }

    /// The same, with more to say.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub fn scan_with(
        folder: &Path,
        dockerfile: &Path,
        options: ScanOptions<'_>,
    ) -> Result<Self, ContextError> {
        let mut walks = 1;
        loop {
            match Self::scan_once(folder, dockerfile, options) {
                Err(error) if error.kind == ContextErrorKind::Changed && walks < WALKS => {
                    walks += 1;
                }
                scanned => return scanned,
            }
        }
    }

    fn scan_once(
        folder: &Path,
        dockerfile: &Path,
        options: ScanOptions<'_>,
    ) -> Result<Self, ContextError> {
        let root =
            std::fs::canonicalize(folder).map_err(|error| ContextError::io(folder, error))?;
        if !root.is_dir() {
            return Err(ContextError::new(folder, ContextErrorKind::NotAFolder));
        }
        let build_files = BuildFiles::read(&root, dockerfile)?;
        let excluded = excluded(&root, &build_files, options);
        let walk::Found { mut entries, git_excluded } =
            walk::walk(&root, &build_files.matcher, &excluded)?;
        let copies = match options.earlier {
            Some(earlier) => {
                let known = earlier.stats();
                content::copy_all(&root, &mut entries, |entry| match &entry.kind {
                    Kind::File { stat, .. } => known.get(entry.path.as_slice()) != Some(&stat),
                    Kind::Folder | Kind::Link(_) | Kind::Pipe | Kind::Device { .. } => false,
                })?
            }
            None => None,
        };
        let mut known = options.cache.map(StatCache::read).unwrap_or_default();
        content::hash_all(&root, &mut entries, &mut known)?;
        if let Some(path) = options.cache
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
            git_excluded: git_excluded.map(|git| String::from_utf8_lossy(&git).into_owned()),
            entries: Arc::new(entries),
            copies,
            root,
        })
    }

    /// The files as they were seen, for the next scan.
    pub fn scanned_files(&self) -> ScannedFiles {
        ScannedFiles(Arc::clone(&self.entries))
    }

    /// The `.git` that would be in the context if the Dockerfile named it, relative to the
    /// context; `None` when there is none, or the ignore file leaves it out.
    pub fn git_excluded(&self) -> Option<&str> {
        self.git_excluded.as_deref()
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
        Archive { root: self.root, entries: self.entries, copies: self.copies, extra }.stream()
    }

    /// The archive for BuildKit, which takes nothing out of a context that comes as a tar: an
    /// ignored ignore file is left out. An ignored Dockerfile has to be there, under its reserved
    /// name.
    pub fn tar_for_buildkit(
        self,
    ) -> impl futures::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
        let extra = self.extra_dockerfile();
        Archive { root: self.root, entries: self.entries, copies: self.copies, extra }.stream()
    }

    fn extra_dockerfile(&self) -> Vec<(String, Vec<u8>)> {
        let travelling = &self.travelling;
        (!travelling.dockerfile_is_entry)
            .then(|| (travelling.dockerfile.clone(), self.dockerfile.clone()))
            .into_iter()
            .collect()
    }
}

impl ScannedFiles {
    fn stats(&self) -> HashMap<&[u8], &stat::Stat> {
        let files = self.0.iter().filter_map(|entry| match &entry.kind {
            Kind::File { stat, .. } => Some((entry.path.as_slice(), stat)),
            Kind::Folder | Kind::Link(_) | Kind::Pipe | Kind::Device { .. } => None,
        });
        files.collect()
    }
}

/// What is no part of the context at `root`.
fn excluded(root: &Path, files: &BuildFiles, options: ScanOptions<'_>) -> Excluded {
    let dockerfile = Dockerfile::parse(&String::from_utf8_lossy(&files.text));
    let no_args = BTreeMap::new();
    let copied = dockerfile.context_sources(options.args.unwrap_or(&no_args));
    let named = |git: &[u8]| {
        files.matcher.excepts_by_name(git) || copied.iter().any(|source| names(source, git))
    };
    let work_tree = options.work_tree.and_then(|tree| excluded::within(root, &tree.join(GIT)));
    let mut git = vec![GIT.as_bytes().to_vec()];
    git.extend(work_tree.filter(|path| path != GIT.as_bytes()));
    git.retain(|git| !named(git));
    let none = OwnFiles::default();
    Excluded::new(root, options.own.unwrap_or(&none), git)
}

/// Whether a source of a `COPY` names `path` or something within it: `.` and `*` take everything
/// and name nothing, `.git`, `.git/HEAD` and `.g*` do.
fn names(source: &str, path: &[u8]) -> bool {
    let source = clean::clean(format!("/{source}").as_bytes());
    let source: Vec<&[u8]> = source.split(|&b| b == b'/').skip(1).collect();
    let path: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let begins_with_dot = source.get(path.len() - 1).is_some_and(|name| name.starts_with(b"."));
    begins_with_dot
        && source.iter().zip(&path).all(|(pattern, name)| {
            pattern == name
                || pattern::Pattern::new(pattern, false)
                    .is_ok_and(|pattern| pattern.matches(name).unwrap_or(false))
        })
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
            Kind::File { stat, hash, copy: _ } => {
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
