//! Who keeps the repository and takes pull requests: Azure Repos, GitHub.

use async_trait::async_trait;

use greenloop_model::Fingerprint;

/// What is proposed: a branch that is at the remote already, and why it should be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The run's branch, without `refs/heads/`: `greenloop/<run>`.
    pub branch: String,
    /// The branch to merge into, without `refs/heads/`.
    pub base: String,
    /// One line.
    pub title: String,
    /// Markdown, redacted, no longer than [`PullRequests::body_limit`].
    pub body: String,
    /// The failure that was repaired: one pull request stays open for it.
    pub fingerprint: Fingerprint,
    /// Whether it is opened as a draft.
    pub draft: bool,
}

/// A pull request that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Where a person reads it.
    pub url: String,
    pub number: u64,
    /// Whether it was open already, for this fingerprint or this branch.
    pub reused: bool,
}

/// The kind of an error, after all retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequestErrorKind {
    /// The remote's address does not say which repository it is, or who keeps it.
    UnknownRepository,
    /// No token is in the environment.
    NoToken,
    /// The token is not taken, or may not do this.
    Auth,
    /// The server will not take this request.
    Rejected,
    /// No connection, 5xx or too many requests, still, after waiting.
    Unreachable,
    /// The server's answer is not in the protocol's form.
    Protocol,
    /// Git could not be run.
    Git,
    Cancelled,
}

/// There is no pull request.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PullRequestError {
    pub kind: PullRequestErrorKind,
    /// One line for a person, redacted; for [`PullRequestErrorKind::Auth`] it names the
    /// permission that is missing.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Takes pull requests for one repository.
#[async_trait]
pub trait PullRequests: Send + Sync {
    /// For people and the audit log: `GitHub acme/fleet`.
    fn label(&self) -> String;

    /// How many bytes a pull request's body may have.
    fn body_limit(&self) -> usize;

    /// Opens a pull request; where one is open already for the fingerprint, it is told of the
    /// new branch instead. Asking again after a lost answer opens no second one.
    async fn open(&self, proposed: &Proposed) -> Result<PullRequest, PullRequestError>;
}
