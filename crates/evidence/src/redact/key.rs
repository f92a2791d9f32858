//! Private keys printed over several lines.

use std::sync::LazyLock;

use memchr::memmem;

/// Replaces each line of a private key.
pub(crate) const KEY_MARKER: &str = "[redacted: private-key]";

/// A key of more lines has lost its end.
const MOST_LINES: u32 = 400;

/// Whether the lines that come are inside a private key.
#[derive(Debug, Default)]
pub(crate) struct KeyState {
    lines: u32,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyLine {
    /// None of a key.
    Outside,
    /// The one a key begins on: text may stand before it.
    Begins,
    /// All of it is the key's.
    Inside,
}

impl KeyState {
    /// Looks at the next line.
    pub(crate) fn line(&mut self, line: &[u8]) -> KeyLine {
        if self.lines > 0 {
            self.lines += 1;
            if ends(line) {
                self.lines = 0;
                return KeyLine::Inside;
            }
            if self.lines <= MOST_LINES && is_body(line) {
                return KeyLine::Inside;
            }
            self.lines = 0;
        }
        match begin(line) {
            Some(at) if !ends(line.get(at..).unwrap_or_default()) => {
                self.lines = 1;
                KeyLine::Begins
            }
            Some(_) | None => KeyLine::Outside,
        }
    }

    /// Whether a key has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.lines > 0
    }
}

fn begin(line: &[u8]) -> Option<usize> {
    // Every line of every log comes by here.
    static BEGIN: LazyLock<memmem::Finder<'static>> =
        LazyLock::new(|| memmem::Finder::new("-----BEGIN "));
    let at = BEGIN.find(line)?;
    memmem::find(line.get(at..)?, b"PRIVATE KEY")?;
    Some(at)
}

fn ends(line: &[u8]) -> bool {
    memmem::find(line, b"-----END ").is_some()
}

/// Base64, a header of the key's, or nothing; a CI system's prefix may stand before it.
fn is_body(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let last = line.rsplit(|b| *b == b' ' || *b == b'\t').next().unwrap_or_default();
    last.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=,\\\"'".contains(b))
        || line.starts_with(b"Proc-Type:")
        || line.starts_with(b"DEK-Info:")
}
