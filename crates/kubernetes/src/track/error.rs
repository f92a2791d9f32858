//! What keeps a rollout from being followed.

/// The kind of an error of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackErrorKind {
    /// The API server was away for longer than is tolerated.
    Unreachable,
    /// The API server refused: a credential or a right is missing.
    Refused,
}

/// A rollout that could not be followed. Nothing is said about the release.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TrackError {
    /// The kind, which decides what follows.
    pub kind: TrackErrorKind,
    /// One line for a person.
    pub message: String,
    #[source]
    pub source: Option<Box<kube::Error>>,
}

impl TrackError {
    pub(super) fn new(kind: TrackErrorKind, message: String) -> Self {
        Self { kind, message, source: None }
    }
    pub(super) fn caused(kind: TrackErrorKind, message: String, source: Box<kube::Error>) -> Self {
        Self { kind, message, source: Some(source) }
    }
}
