//! All patterns of an ignore file, in order: the last one that matches a path or one of its
//! parents decides.

use std::path::{Path, PathBuf};

use super::clean::clean;
use super::error::{ContextError, ContextErrorKind};
use super::go_regex::Refusal;
use super::ignore_file::{self, Line, trim};
use super::pattern::Pattern;

/// What is ignored.
#[derive(Debug, Clone, Default)]
pub(super) struct Matcher {
    /// The ignore file.
    path: PathBuf,
    /// With their lines.
    patterns: Vec<(Line, Pattern)>,
}

/// Which patterns matched a folder; what lies in it inherits that. Docker does not ask a pattern
/// that could not change the answer and remembers it as one that did not match, so the answer
/// for a path depends on those for its parents, and there is no asking about a path alone.
#[derive(Debug, Clone)]
pub(super) struct Matched(Vec<bool>);

impl Matcher {
    /// From the text of an ignore file at `path`.
    ///
    /// # Errors
    /// With the line that Docker refuses.
    pub(super) fn new(path: &Path, text: &[u8]) -> Result<Self, ContextError> {
        let mut patterns = Vec::new();
        for line in ignore_file::lines(text) {
            let refused = |reason| refused(path, &line, reason);
            // Docker cleans what was cleaned before, the `!` now a part of the name.
            let pattern = clean(trim(&line.pattern));
            let (text, exception) = match pattern.strip_prefix(b"!") {
                Some([]) => return Err(refused("nothing follows the exclamation mark")),
                Some(text) => (text, true),
                None => (pattern.as_slice(), false),
            };
            let pattern = Pattern::new(text, exception).map_err(refused)?;
            patterns.push((line, pattern));
        }
        Ok(Self { path: path.to_owned(), patterns })
    }

    /// What is known above the context.
    pub(super) fn root(&self) -> Matched {
        Matched(vec![false; self.patterns.len()])
    }

    /// Whether `path` is ignored, given what is known of the folder it lies in.
    ///
    /// # Errors
    /// With a line that Docker refuses no sooner than it is needed.
    pub(super) fn ignores(
        &self,
        path: &[u8],
        folder: &Matched,
    ) -> Result<(bool, Matched), ContextError> {
        let mut ignored = false;
        let mut matched = Vec::with_capacity(self.patterns.len());
        for ((line, pattern), &inherited) in self.patterns.iter().zip(&folder.0) {
            let matches = if inherited {
                true
            } else if pattern.is_exception() == ignored {
                pattern.matches(path).map_err(|reason| refused(&self.path, line, reason))?
            } else {
                false
            };
            if matches {
                ignored = !pattern.is_exception();
            }
            matched.push(matches);
        }
        Ok((ignored, Matched(matched)))
    }

    /// The same for a path whose parents were not asked about yet.
    pub(super) fn ignores_whole(&self, path: &[u8]) -> Result<bool, ContextError> {
        let mut folder = self.root();
        for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            folder = self.ignores(&path[..at], &folder)?.1;
        }
        Ok(self.ignores(path, &folder)?.0)
    }

    /// Whether something within an ignored folder may be wanted after all. An exception with a
    /// wildcard may match anywhere, as it does for BuildKit; the classic `docker build` looks for
    /// the folder's name at the beginning of the exception's text instead, and so never finds
    /// `!**/keep` below an ignored folder.
    pub(super) fn may_keep_within(&self, folder: &[u8]) -> bool {
        let within = |path: &[u8]| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        let mut exceptions = self.patterns.iter().filter(|(_, pattern)| pattern.is_exception());
        exceptions.any(|(_, pattern)| pattern.fixed_path().is_none_or(within))
    }

    /// Whether an exception names this very path or something within it.
    pub(super) fn excepts_by_name(&self, path: &[u8]) -> bool {
        let mut exceptions = self.patterns.iter().filter(|(_, pattern)| pattern.is_exception());
        exceptions.any(|(_, pattern)| {
            let rest = pattern.fixed_path().and_then(|fixed| fixed.strip_prefix(path));
            rest.is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
        })
    }
}

fn refused(path: &Path, line: &Line, reason: Refusal) -> ContextError {
    let pattern = String::from_utf8_lossy(&line.pattern).into_owned();
    ContextError::new(path, ContextErrorKind::Pattern { line: line.number, pattern, reason })
}
