//! The Dockerfile and the ignore file: where they are, and under which names they travel.
//!
//! Both steer the build whether the image may see them or not. The classic builder gets them in
//! the tar and takes out what the tar's `.dockerignore` names, so a Dockerfile that the image
//! must not see (ignored, or from outside of the context) travels under a reserved name that is
//! added to that file, as the docker command line does it. BuildKit reads no ignore file from a
//! tar: there, such a Dockerfile cannot be hidden from a `COPY` of the whole context.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::content;
use super::entry::Entry;
use super::error::{ContextError, ContextErrorKind};
use super::matcher::Matcher;

/// The ignore file of a context.
pub(super) const IGNORE_FILE: &str = ".dockerignore";
/// The name of a Dockerfile that the image must not see.
const RESERVED: &str = ".dockerfile.greenloop";
/// Bytes of a Dockerfile or an ignore file.
const LARGEST: u64 = 4 << 20;

/// The Dockerfile and what is ignored.
#[derive(Debug)]
pub(super) struct BuildFiles {
    /// The Dockerfile's bytes.
    pub(super) text: Vec<u8>,
    /// Its path within the context; `None` outside of it.
    inside: Option<Vec<u8>>,
    /// What is ignored.
    pub(super) matcher: Matcher,
    /// The bytes of the context's ignore file, when there is one.
    ignore_file: Option<Vec<u8>>,
}

/// What travels beside the entries or instead of one of them, from memory.
#[derive(Debug)]
pub(super) struct GeneratedFiles {
    /// Under which name the builder finds the Dockerfile.
    pub(super) dockerfile: String,
    /// Whether the Dockerfile is one of the entries.
    pub(super) dockerfile_is_entry: bool,
    /// The ignore file for the classic builder, where it differs from the entry of its name or
    /// where there is no such entry.
    pub(super) ignore_file: Option<Vec<u8>>,
}

impl BuildFiles {
    /// Reads both. `root` is the context's real path. An ignore file of the Dockerfile's own,
    /// `NAME.dockerignore` beside it, goes before that of the context.
    pub(super) fn read(root: &Path, dockerfile: &Path) -> Result<Self, ContextError> {
        let real = std::fs::canonicalize(dockerfile)
            .map_err(|error| ContextError::io(dockerfile, error))?;
        let text = read(&real)?;
        let inside = real.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes().to_vec());
        let root_file = root.join(IGNORE_FILE);
        let ignore_file = read_if_any(&root_file)?;
        let own_file = own_ignore_file(dockerfile);
        let matcher = match (read_if_any(&own_file)?, &ignore_file) {
            (Some(own), _) => Matcher::new(&own_file, &own)?,
            (None, Some(text)) => Matcher::new(&root_file, text)?,
            (None, None) => Matcher::default(),
        };
        Ok(Self { text, inside, matcher, ignore_file })
    }

    /// How they travel with `entries`.
    pub(super) fn travelling(&self, entries: &[Entry]) -> GeneratedFiles {
        let has = |name: &[u8]| entries.iter().any(|entry| entry.path == name);
        let visible = self.inside.as_deref().filter(|name| has(name));
        // A name that is no UTF-8 cannot be said to an engine.
        let visible = visible.and_then(|name| std::str::from_utf8(name).ok());
        let dockerfile = visible.map_or_else(|| reserved(has), str::to_owned);
        GeneratedFiles {
            ignore_file: self.travelling_ignore_file(
                &dockerfile,
                visible.is_some(),
                has(IGNORE_FILE.as_bytes()),
            ),
            dockerfile_is_entry: visible.is_some(),
            dockerfile,
        }
    }

    /// The context's own ignore file, and lines that make the engine's judgement of the two build
    /// files that of the rules in force, which may be those of another file.
    fn travelling_ignore_file(
        &self,
        dockerfile: &str,
        dockerfile_seen: bool,
        ignore_file_seen: bool,
    ) -> Option<Vec<u8>> {
        let text = self.ignore_file.as_deref().unwrap_or_default();
        let engine = Matcher::new(Path::new(IGNORE_FILE), text).unwrap_or_default();
        let mut lines = String::new();
        let files = [(dockerfile, dockerfile_seen), (IGNORE_FILE, ignore_file_seen)];
        for (name, seen) in files {
            let gone = self.ignore_file.is_none() && name == IGNORE_FILE;
            // An engine that refuses a line takes nothing out.
            match (seen, engine.ignores_whole(name.as_bytes()).unwrap_or(false)) {
                (true, true) => lines.push_str(&format!("!{}\n", literal(name))),
                (false, false) if !gone => lines.push_str(&format!("{}\n", literal(name))),
                (true, false) | (false, true | false) => {}
            }
        }
        match (&self.ignore_file, lines.is_empty()) {
            (Some(_), true) if ignore_file_seen => None,
            (Some(text), true) => Some(text.clone()),
            (Some(text), false) => Some([text, &b"\n"[..], lines.as_bytes()].concat()),
            (None, true) => None,
            (None, false) => Some(format!("{IGNORE_FILE}\n{lines}").into_bytes()),
        }
    }
}

fn reserved(taken: impl Fn(&[u8]) -> bool) -> String {
    std::iter::once(RESERVED.to_owned())
        .chain((1..).map(|n: u64| format!("{RESERVED}.{n}")))
        .find(|name| !taken(name.as_bytes()))
        .unwrap_or_else(|| RESERVED.to_owned())
}

/// A pattern that matches `name` alone.
fn literal(name: &str) -> String {
    name.chars().fold(String::new(), |mut pattern, c| {
        if r"*?[]\^".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

fn own_ignore_file(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(IGNORE_FILE);
    name.into()
}

fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, ContextError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind == ContextErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A small file; a link is followed, as Docker does for these two.
fn read(path: &Path) -> Result<Vec<u8>, ContextError> {
    let real = std::fs::canonicalize(path).map_err(|error| ContextError::io(path, error))?;
    let metadata = std::fs::metadata(&real).map_err(|error| ContextError::io(path, error))?;
    if !metadata.is_file() {
        return Err(ContextError::new(path, ContextErrorKind::NotAFile));
    }
    let (file, _) = content::open(&real)?;
    let mut text = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut text);
    read.map_err(|error| ContextError::io(path, error))?;
    if text.len() as u64 > LARGEST {
        return Err(ContextError::new(path, ContextErrorKind::TooLarge { limit: LARGEST }));
    }
    Ok(text)
}
