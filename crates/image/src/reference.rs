//! The name of an image, in full.

use std::fmt;

/// Docker Hub's name in references, and where its registry answers.
const HUB: &str = "docker.io";
pub(super) const HUB_HOST: &str = "registry-1.docker.io";
/// By which the classic builder knows the login for Docker Hub.
pub(super) const HUB_CONFIG: &str = "https://index.docker.io/v1/";

/// A full image reference: `docker.io/library/node:20`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// `docker.io`, `127.0.0.1:5000`
    pub host: String,
    /// `library/node`
    pub repository: String,
    /// A tag, or a digest with its `sha256:`.
    pub version: String,
}

impl Reference {
    /// `node`, `node:20`, `registry.example.org/team/node@sha256:…`; a tag beside a digest does
    /// not matter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the host's port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (HUB, name),
        };
        let host = if matches!(host, "index.docker.io" | HUB_HOST) { HUB } else { host };
        let repository = if host == HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if name.is_empty() {
            return None;
        }
        let version = digest.or(tag).unwrap_or("latest").to_owned();
        let whole = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
        (whole(host) && whole(&repository) && whole(&version)).then_some(Self {
            host: host.to_owned(),
            repository,
            version,
        })
    }

    /// Where the registry answers.
    pub(super) fn registry(&self) -> &str {
        if self.host == HUB { HUB_HOST } else { &self.host }
    }

    pub(super) fn digest(&self) -> Option<&str> {
        self.version.starts_with("sha256:").then_some(self.version.as_str())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.digest().is_some() { '@' } else { ':' };
        write!(f, "{}/{}{mark}{}", self.host, self.repository, self.version)
    }
}
