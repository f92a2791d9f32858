//! Paths inside the repository.

use std::fmt;

use super::ids::serde_as_text;

/// A path that cannot name a file inside the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// No component at all.
    #[error("an empty path")]
    Empty,
    /// An absolute path, a drive letter, or a `..` that climbs out.
    #[error("{0:?} is outside the repository")]
    Outside(String),
    /// A NUL byte.
    #[error("{0:?} contains a NUL byte")]
    Nul(String),
}

/// A normalised path relative to the repository's root: `/` between components, no `.`, no
/// `..`, never absolute. Bytes rather than text, because git's paths are bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// Normalises `path`; `\` is an ordinary byte, as it is in git.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, InvalidPath> {
        let path = path.as_ref();
        let shown = || String::from_utf8_lossy(path).into_owned();
        if path.contains(&0) {
            return Err(InvalidPath::Nul(shown()));
        }
        if path.first() == Some(&b'/') {
            return Err(InvalidPath::Outside(shown()));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    if parts.pop().is_none() {
                        return Err(InvalidPath::Outside(shown()));
                    }
                }
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(InvalidPath::Empty);
        }
        Ok(Self(parts.join(&b'/')))
    }

    /// The bytes, as git stores them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text, bytes that are not UTF-8 replaced.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The path for the operating system, relative to the repository's root.
    #[cfg(unix)]
    pub fn to_os_path(&self) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStrExt;
        std::path::PathBuf::from(std::ffi::OsStr::from_bytes(&self.0))
    }

    /// The path for the operating system, relative to the repository's root. Paths are text there:
    /// bytes that are not UTF-8 are replaced, and such a file is not found.
    #[cfg(not(unix))]
    pub fn to_os_path(&self) -> std::path::PathBuf {
        self.to_string_lossy().into()
    }

    /// The components, outermost first; never empty.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// The last component.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl std::str::FromStr for RepoPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

serde_as_text!(RepoPath);

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoPath({:?})", self.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_inside_the_repository() {
        for (input, expect) in [
            ("a/b.rs", "a/b.rs"),
            ("./a//b.rs", "a/b.rs"),
            ("a/../b.rs", "b.rs"),
            ("a/./b/", "a/b"),
        ] {
            assert_eq!(
                RepoPath::new(input).map(|p| p.to_string()),
                Ok(expect.to_owned()),
                "{input}"
            );
        }
    }

    #[test]
    fn refuses_what_lies_outside() {
        for input in ["/etc/passwd", "../x", "a/../../x", "", ".", "a/.."] {
            assert!(RepoPath::new(input).is_err(), "{input}");
        }
        assert!(RepoPath::new(b"a\0b").is_err());
    }
}
