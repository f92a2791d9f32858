//! Which bytes a base image stands for right now.

use std::fmt;

use futures::future::join_all;

use super::dockerfile::Base;
use crate::engine::Engine;
use crate::registry::{Credentials, Registry};

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

    fn digest(&self) -> Option<&str> {
        self.version.starts_with("sha256:").then_some(self.version.as_str())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.digest().is_some() { '@' } else { ':' };
        write!(f, "{}/{}{mark}{}", self.host, self.repository, self.version)
    }
}

/// The digest of each base, in their order; `None` when one cannot be told. The engine's own copy
/// counts first, because that is what it builds on.
pub(super) async fn digests(
    bases: &[Base],
    engine: Option<&Engine>,
    credentials: &Credentials,
) -> Option<Vec<(String, String)>> {
    let asked = bases.iter().map(|base| async {
        let reference = Reference::parse(&base.name)?;
        let digest = digest(&reference, &base.name, engine, credentials).await?;
        let platform = base.platform.as_deref().unwrap_or_default();
        Some((format!("{reference} {platform}"), digest))
    });
    join_all(asked).await.into_iter().collect()
}

async fn digest(
    reference: &Reference,
    name: &str,
    engine: Option<&Engine>,
    credentials: &Credentials,
) -> Option<String> {
    if let Some(digest) = reference.digest() {
        return Some(digest.to_owned());
    }
    if let Some(engine) = engine
        && let Ok(image) = engine.docker().inspect_image(name).await
    {
        let of_this = image.repo_digests.iter().flatten().find_map(|pinned| {
            let pinned = Reference::parse(pinned)?;
            let same = pinned.host == reference.host && pinned.repository == reference.repository;
            same.then_some(pinned.version)
        });
        return of_this.or(image.id);
    }
    // Only a build is saved by the answer, so it is not waited for.
    let registry = Registry::new(reference.registry(), credentials.clone()).without_retries();
    let found = registry.head(&reference.repository, &reference.version).await.ok()??;
    Some(found.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_written_out() {
        let hex = "0".repeat(64);
        for (text, expect) in [
            ("node", "docker.io/library/node:latest".to_owned()),
            ("node:20", "docker.io/library/node:20".to_owned()),
            ("team/node:20", "docker.io/team/node:20".to_owned()),
            ("docker.io/node", "docker.io/library/node:latest".to_owned()),
            ("localhost/a", "localhost/a:latest".to_owned()),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest".to_owned()),
            ("acr.azurecr.io/a:1", "acr.azurecr.io/a:1".to_owned()),
            (&format!("a:1@sha256:{hex}"), format!("docker.io/library/a@sha256:{hex}")),
        ] {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()), Some(expect), "{text}");
        }
        assert_eq!(Reference::parse(""), None);
    }
}
