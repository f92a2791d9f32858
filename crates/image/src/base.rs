//! Which bytes a base image stands for right now.

use futures::future::join_all;

use super::dockerfile::Base;
use super::reference::Reference;
use crate::engine::Engine;
use crate::registry::{Credentials, Registry};

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
