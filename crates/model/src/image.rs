//! A container image in a registry.

use std::fmt;
use std::str::FromStr;

use super::ids::{InvalidId, serde_as_text};

/// The digest of no image.
const UNBUILT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// An image pinned by its digest: the one thing a deployment may name, because a tag can move.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    repository: String,
    digest: String,
}

serde_as_text!(ImageRef);

impl ImageRef {
    /// `repository` with its registry's host (`127.0.0.1:5000/fleet`), `digest` as
    /// `sha256:` and 64 lower-case hex digits; `None` when either has another form.
    pub fn new(repository: &str, digest: &str) -> Option<Self> {
        let hex = digest.strip_prefix("sha256:")?;
        let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let named =
            !repository.is_empty() && !repository.contains(|c: char| c == '@' || c.is_whitespace());
        (named && hex.len() == 64 && hex.bytes().all(lower))
            .then(|| Self { repository: repository.to_owned(), digest: digest.to_owned() })
    }

    /// Stands for an image of `repository` that nobody has built yet: its digest is all zeros.
    pub fn unbuilt(repository: &str) -> Option<Self> {
        Self::new(repository, UNBUILT)
    }

    /// Whether it names a real image, not one that is still to be built.
    pub fn is_built(&self) -> bool {
        self.digest != UNBUILT
    }

    /// `repository@sha256:…`
    pub fn parse(text: &str) -> Option<Self> {
        let (repository, digest) = text.split_once('@')?;
        Self::new(repository, digest)
    }

    /// With the registry's host, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// `sha256:…`
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The first twelve digits of the digest, for people.
    pub fn short(&self) -> &str {
        self.digest.get(7..19).unwrap_or(&self.digest)
    }
}

impl FromStr for ImageRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| InvalidId::new("an image pinned by its digest", text))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_digest_pins() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let image = ImageRef::parse(&format!("127.0.0.1:5000/team/fleet@{digest}")).unwrap();
        assert_eq!(image.repository(), "127.0.0.1:5000/team/fleet");
        assert_eq!(image.digest(), digest);
        assert_eq!(image.short(), "0a0a0a0a0a0a");
        for wrong in [
            "fleet:latest".to_owned(),
            "fleet@sha256:0a".to_owned(),
            format!("fleet@{}", digest.to_uppercase()),
            format!("@{digest}"),
            format!("fleet@{digest}@{digest}"),
        ] {
            assert_eq!(ImageRef::parse(&wrong), None, "{wrong}");
        }
    }
}
