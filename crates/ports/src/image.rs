//! Where images come from.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use greenloop_model::{CommitId, EventSink, Evidence, FailureClass, ImageRef, RunId};

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// The commit: the image's first tag and its `org.opencontainers.image.revision`.
    pub commit: CommitId,
    /// When it was committed: `org.opencontainers.image.created`, so that the same commit gives
    /// the same labels.
    pub committed_at: jiff::Timestamp,
    /// Where the source is, without credentials: `org.opencontainers.image.source`.
    pub source: Option<String>,
    /// The run that asks.
    pub run: RunId,
    /// The work tree.
    pub work_tree: PathBuf,
    /// Where the whole output of the build goes; its folder exists.
    pub log: PathBuf,
}

/// An image that is in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Pinned.
    pub image: ImageRef,
    /// Tags that name it now.
    pub tags: Vec<String>,
    /// Whether it was found by its content instead of built.
    pub reused: bool,
}

/// What failed on the way to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageErrorKind {
    /// The Dockerfile or what it runs.
    Build,
    /// The engine cannot be reached or does not do its work.
    Engine,
    /// The registry does not take or does not have the image.
    Registry,
    /// The build was cancelled.
    Cancelled,
}

/// There is no image.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ImageError {
    pub kind: ImageErrorKind,
    /// One line for a person.
    pub message: String,
    /// Its kind, which decides whether the author is asked.
    pub class: FailureClass,
    /// The failing step with its place in the Dockerfile and its last output.
    pub evidence: Box<Evidence>,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Makes images and puts them into a registry.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// The image of a work tree: found by its content key, or built and pushed. On return the
    /// registry has answered for the digest.
    async fn image(
        &self,
        request: &ImageRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Image, ImageError>;
}
