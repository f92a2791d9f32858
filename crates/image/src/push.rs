//! The push: layers once, under one tag; other tags are put on the manifest in the registry.
//!
//! A push whose end was not reported is not repeated blindly: the engine's own record of the
//! digest and the registry are asked first.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::query_parameters::{PushImageOptionsBuilder, TagImageOptionsBuilder};
use futures::StreamExt;
use regex::Regex;
use tokio_util::sync::CancellationToken;

use super::failure;
use super::pace::ProgressThrottle;
use super::reference::Reference;
use super::watch::Watch;
use crate::engine::Engine;
use crate::registry::{Registry, RegistryAction, RegistryError};
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, backoff};
use greenloop_model::{EventSink, FailureClass};

/// The part of the stage that pushes, in events.
pub(super) const PUSH: &str = "push";
/// Between two tries.
const RETRY: ExponentialBuilder =
    backoff(Duration::from_millis(400), Duration::from_secs(30)).with_max_times(3);

/// What to push.
pub(super) struct PushRequest<'a> {
    pub engine: &'a Engine,
    pub registry: &'a Registry,
    /// The registry's host.
    pub host: &'a str,
    /// Within the registry.
    pub name: &'a str,
    /// The image's id on the engine.
    pub id: &'a str,
    /// The one tag that the layers are pushed under.
    pub tag: &'a str,
    pub events: &'a EventSink,
}

/// Why it is not in the registry.
#[derive(Debug)]
pub(super) enum PushError {
    /// It was told to stop; dropping the stream has stopped the engine.
    Cancelled,
    /// What the engine says, which for most errors is the registry's answer to it.
    Engine(BollardError),
    /// What the registry or the credentials say.
    Registry(RegistryError),
    /// The engine says that it is done, and not what the digest is.
    NoDigest,
}

/// Pushes, and gives the digest of the manifest, which the registry has answered for.
pub(super) async fn push(
    request: &PushRequest<'_>,
    watch: &mut Watch<'_>,
    cancel: &CancellationToken,
) -> Result<String, PushError> {
    let repository = format!("{}/{}", request.host, request.name);
    let options = TagImageOptionsBuilder::default().repo(&repository).tag(request.tag).build();
    let docker = request.engine.docker();
    docker.tag_image(request.id, Some(options)).await.map_err(PushError::Engine)?;

    let before = request.registry.head(request.name, request.tag).await.ok().flatten();
    let before = before.map(|manifest| manifest.digest);
    let mut delays = RETRY.build();
    loop {
        let error = match once(request, &repository, watch, cancel).await {
            Ok(digest) => return Ok(digest),
            Err(error @ PushError::Cancelled) => return Err(error),
            Err(error) => error,
        };
        if let Some(digest) = arrived(request, &repository, before.as_deref()).await {
            watch.note(&format!(
                "the engine did not report the end of the push, but the registry has {digest}"
            ));
            return Ok(digest);
        }
        let Some(delay) = delays.next().filter(|_| may_pass(&error)) else { return Err(error) };
        watch.note(&format!("the push failed, retrying in {:.1}s", delay.as_secs_f64()));
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(PushError::Cancelled),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

async fn once(
    request: &PushRequest<'_>,
    repository: &str,
    watch: &mut Watch<'_>,
    cancel: &CancellationToken,
) -> Result<String, PushError> {
    // Asked for each try: a token may have run out.
    let credentials = request.registry.engine_credentials(request.name, RegistryAction::Push).await;
    let credentials = credentials.map_err(PushError::Registry)?;
    let options = PushImageOptionsBuilder::default().tag(request.tag).build();
    let docker = request.engine.docker();
    let mut stream = docker.push_image(repository, Some(options), credentials);
    let mut pace = ProgressThrottle::new(PUSH, request.events);
    // The engine's lines come here without the layer they are about, so a layer is known by its
    // size.
    let mut layers: HashMap<u64, u64> = HashMap::new();
    let mut digest = None;
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(PushError::Cancelled),
            next = stream.next() => next,
        };
        let Some(line) = next else { break };
        let line = line.map_err(PushError::Engine)?;
        if let Some(status) = &line.status
            && let Some(found) = digest_in(status)
        {
            watch.note(status);
            digest = Some(found);
        }
        if let Some(progress) = line.progress_detail
            && let (Some(done), Some(total)) = (progress.current, progress.total)
            && let (Ok(done), Ok(total)) = (u64::try_from(done), u64::try_from(total))
            && total > 0
        {
            layers.insert(total, done.min(total));
            pace.at(layers.values().sum(), Some(layers.keys().sum()));
        }
    }
    match digest {
        Some(digest) => Ok(digest),
        None => recorded(request, repository).await.ok_or(PushError::NoDigest),
    }
}

/// The digest that the engine has recorded for the image in this repository.
async fn recorded(request: &PushRequest<'_>, repository: &str) -> Option<String> {
    let image = request.engine.docker().inspect_image(request.id).await.ok()?;
    let wanted = Reference::parse(repository)?;
    image.repo_digests.iter().flatten().find_map(|pinned| {
        let pinned = Reference::parse(pinned)?;
        let same = pinned.host == wanted.host && pinned.repository == wanted.repository;
        (same && pinned.version.starts_with("sha256:")).then_some(pinned.version)
    })
}

/// After a push that failed: the digest, when the registry has it nevertheless.
async fn arrived(
    request: &PushRequest<'_>,
    repository: &str,
    before: Option<&str>,
) -> Option<String> {
    if let Some(digest) = recorded(request, repository).await
        && let Ok(Some(manifest)) = request.registry.head(request.name, &digest).await
    {
        return Some(manifest.digest);
    }
    // The tag names this content and nothing else, so what it has come to name is this image.
    let tagged = request.registry.head(request.name, request.tag).await.ok()??;
    (Some(tagged.digest.as_str()) != before).then_some(tagged.digest)
}

/// Whether it may go better the next time.
fn may_pass(error: &PushError) -> bool {
    match error {
        PushError::Cancelled => false,
        PushError::NoDigest => true,
        PushError::Registry(error) => error.is_transient(),
        PushError::Engine(BollardError::DockerStreamError { error }) => {
            failure::row(failure::bare(error))
                .is_none_or(|row| row.class == FailureClass::Infrastructure)
        }
        PushError::Engine(BollardError::DockerResponseServerError { status_code, .. }) => {
            *status_code >= 500
        }
        PushError::Engine(_) => true,
    }
}

/// `1.2: digest: sha256:… size: 736`
fn digest_in(status: &str) -> Option<String> {
    static DIGEST: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r": digest: (sha256:[0-9a-f]{64}) size: \d+\s*$").ok());
    Some(DIGEST.as_ref()?.captures(status)?.get(1)?.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_stands_in_the_last_status() {
        let hex = "ab".repeat(32);
        let line = format!("1.2: digest: sha256:{hex} size: 736");
        assert_eq!(digest_in(&line), Some(format!("sha256:{hex}")));
        assert_eq!(digest_in("Pushed"), None);
        assert_eq!(digest_in("1: digest: sha256:00 size: 1"), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let stream = |error: &str| {
            PushError::Engine(BollardError::DockerStreamError { error: error.to_owned() })
        };
        for (error, expect) in [
            (stream("received unexpected HTTP status: 503 Service Unavailable"), true),
            (stream("EOF"), true),
            (stream("something new"), true),
            (stream("unauthorized: authentication required"), false),
            (stream("denied: requested access to the resource is denied"), false),
            (PushError::NoDigest, true),
            (PushError::Cancelled, false),
        ] {
            assert_eq!(may_pass(&error), expect, "{error:?}");
        }
    }
}
