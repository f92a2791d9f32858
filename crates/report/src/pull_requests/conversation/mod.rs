//! What is said in an open pull request: one comment that is kept up to date, a check with
//! annotations, and what a person asked for in a comment.
//!
//! # Guarantees
//!
//! - One comment per pull request: it is found by its first line, and edited when something new is
//!   to be said. Where there is nothing to say and there is no comment, nothing is written.
//! - A lost answer to a comment is resolved by looking for it, never by writing it blindly again.
//! - A suggestion is made only where its lines are those of the pull request's head.
//!
//! # Not resilient against
//!
//! - Two jobs of one pull request at the same moment: both look, then both comment.

mod asked;
mod azure;
mod github;
mod gitlab;

pub use asked::{Asked, Author, Remark, asked};

use async_trait::async_trait;
use serde_json::Value;

use self::azure::AzureConversation;
use self::github::GithubConversation;
use self::gitlab::GitlabConversation;
use super::remote::{Remote, Repository};
use super::token::Token;
use super::wire::{Call, Wire, WireError};
use crate::review_comment::{Annotation, CheckReport, ReviewComment, Suggestion};
use greenloop_config::plan::PullRequestPlan;
use greenloop_evidence::Redactor;
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// How the comment's first line begins.
const MARKER: &str = "<!-- greenloop:pull-request ";
/// Comments in one answer, and answers that are read.
const PAGE: usize = 100;
const MOST_PAGES: usize = 20;

/// An open pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewedRequest {
    pub number: u64,
    /// The branch that wants to be merged, without `refs/heads/`.
    pub branch: String,
    /// The commit at its tip.
    pub head: String,
    /// Whether the branch is in another repository: its code gets no secrets.
    pub fork: bool,
    /// Neither merged nor closed.
    pub open: bool,
    /// GitLab's commits of the diff: base and start.
    diff: Option<(String, String)>,
}

/// A comment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// As the provider names it; for Azure Repos `THREAD/COMMENT`.
    id: String,
    body: String,
    /// It is attached to lines of a file.
    anchored: bool,
}

/// What became of the comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// There was nothing to say.
    Nothing,
    Posted,
    Updated,
    /// It said this already.
    Unchanged,
}

/// What a comment's first line records, for who applies the fix later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The commit at the pull request's tip when the fix was made.
    pub head: String,
    /// The commit that the fix begins from, and its last one.
    pub base: String,
    pub fix: String,
    /// The branch with the fix: `greenloop/<run>`.
    pub branch: String,
}

impl Offer {
    fn fields(&self) -> String {
        let Self { head, base, fix, branch } = self;
        format!("head={head} base={base} fix={fix} branch={branch} ")
    }

    /// From a comment's body; `None` for a comment that offers nothing.
    fn read(body: &str) -> Option<Self> {
        let line = body.lines().next()?.strip_prefix(MARKER)?.strip_suffix("-->")?;
        let field = |name: &str| {
            let mut values = line.split(' ').filter_map(|word| word.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let commit = |name: &str| {
            field(name).filter(|id| id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let branch = field("branch").filter(|branch| super::is_own_branch(branch))?;
        Some(Self { head: commit("head")?, base: commit("base")?, fix: commit("fix")?, branch })
    }
}

/// A provider, as far as conversations go.
#[async_trait]
pub trait Conversation: Send + Sync {
    /// How many bytes a comment may have.
    fn body_limit(&self) -> usize;

    async fn request(&self, number: u64) -> Result<ReviewedRequest, PullRequestError>;

    /// Comments that Greenloop may have written, oldest first.
    async fn comments(&self, request: &ReviewedRequest) -> Result<Vec<Comment>, PullRequestError>;

    /// All that was written in the pull request, oldest first, with who wrote it.
    async fn remarks(&self, request: &ReviewedRequest) -> Result<Vec<Remark>, PullRequestError>;

    /// A new comment; attached to the lines of `at`, if the provider takes it there.
    async fn post(
        &self,
        request: &ReviewedRequest,
        body: &str,
        at: Option<&Suggestion>,
    ) -> Result<(), PullRequestError>;

    /// Other text for a comment. `settled`: nothing is open any more.
    async fn edit(
        &self,
        request: &ReviewedRequest,
        comment: &Comment,
        body: &str,
        settled: bool,
    ) -> Result<(), PullRequestError>;

    /// The state of the head, with annotations where the provider has them.
    async fn check(
        &self,
        request: &ReviewedRequest,
        report: &CheckReport,
    ) -> Result<(), PullRequestError>;

    /// Whether the person with this [`Author::id`] may push to the repository; `None` if the
    /// provider does not say.
    async fn may_push(&self, user: &str) -> Result<Option<bool>, PullRequestError>;
}

/// The conversation of the repository behind a remote's address.
///
/// # Errors
/// When the address does not say which repository it is, or no token is in the environment.
pub fn converse(
    plan: &PullRequestPlan,
    remote_url: &str,
    env: &dyn Fn(&str) -> Option<String>,
    redactor: &Redactor,
) -> Result<Box<dyn Conversation>, PullRequestError> {
    let repository = Remote::parse(remote_url).repository(plan, env)?;
    let token = Token::find(plan, repository.provider(), env)?;
    let wire = Wire::new(token, redactor)?;
    Ok(match repository {
        Repository::AzureDevops(place) => Box::new(AzureConversation::new(place, wire)),
        Repository::Github(place) => Box::new(GithubConversation::new(place, wire)),
        Repository::Gitlab(place) => Box::new(GitlabConversation::new(place, wire)),
    })
}

/// Says `comment` in the pull request: in a new comment, or in the one that is there. `None` says
/// that nothing is wrong any more, and is silent if nothing was.
///
/// # Errors
/// What the provider refuses, after retries.
pub async fn tell(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
    comment: Option<&ReviewComment>,
    offer: Option<&Offer>,
) -> Result<Told, PullRequestError> {
    let there = ours(conversation, request).await?;
    let Some(comment) = comment else {
        let Some(old) = there else { return Ok(Told::Nothing) };
        let body = format!(
            "{MARKER}-->\nThe gates pass on {}. What failed before is settled.",
            short(&request.head)
        );
        if old.body == body {
            return Ok(Told::Unchanged);
        }
        conversation.edit(request, &old, &body, true).await?;
        return Ok(Told::Updated);
    };
    let fields = offer.map(Offer::fields).unwrap_or_default();
    let limit = conversation.body_limit();
    let body = |at: Option<&Suggestion>| {
        let place = at.map(|at| format!("at={}:{}-{} ", encoded(&at.path), at.start, at.end));
        let marker = format!("{MARKER}{fields}{}-->\n", place.unwrap_or_default());
        let room = limit.saturating_sub(marker.len());
        format!("{marker}{}", comment.text(at, room))
    };
    let suggestion = comment.suggestion.as_ref();
    let Some(old) = there else {
        conversation.post(request, &body(suggestion), suggestion).await?;
        return Ok(Told::Posted);
    };
    // A suggestion replaces the lines that its comment is attached to.
    let stays = suggestion.filter(|at| {
        let place = format!(" at={}:{}-{} ", encoded(&at.path), at.start, at.end);
        let same_head = old.body.contains(&format!("head={} ", request.head));
        let line = old.body.lines().next().unwrap_or_default();
        old.anchored && same_head && line.contains(&place)
    });
    let body = body(stays);
    if old.body == body {
        return Ok(Told::Unchanged);
    }
    conversation.edit(request, &old, &body, false).await?;
    Ok(Told::Updated)
}

/// Says in the comment that is there that its fix is taken care of.
///
/// # Errors
/// What the provider refuses, after retries.
pub async fn settle(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
    text: &str,
) -> Result<(), PullRequestError> {
    let Some(comment) = ours(conversation, request).await? else { return Ok(()) };
    conversation.edit(request, &comment, &format!("{MARKER}-->\n{text}"), true).await
}

/// The fix that is offered in the pull request.
///
/// # Errors
/// What the provider refuses, after retries.
pub async fn offered(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
) -> Result<Option<Offer>, PullRequestError> {
    Ok(ours(conversation, request).await?.and_then(|comment| Offer::read(&comment.body)))
}

/// The one comment that is kept up to date.
async fn ours(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
) -> Result<Option<Comment>, PullRequestError> {
    let comments = conversation.comments(request).await?;
    Ok(comments.into_iter().rfind(|comment| comment.body.starts_with(MARKER)))
}

fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

/// A path in one word.
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace(' ', "%20").replace("-->", "--%3E").replace('\n', "%0A")
}

/// Everything of a list that comes in pages of [`PAGE`].
async fn pages(
    wire: &Wire,
    url: impl Fn(usize) -> Result<url::Url, PullRequestError>,
    explain: impl Fn(WireError) -> PullRequestError,
) -> Result<Vec<Value>, PullRequestError> {
    let mut all = Vec::new();
    for page in 1..=MOST_PAGES {
        let answer = wire.ask(&Call::get(url(page)?)).await.map_err(&explain)?;
        let Value::Array(list) = answer else { break };
        let full = list.len() >= PAGE;
        all.extend(list);
        if !full {
            break;
        }
    }
    Ok(all)
}

fn string(value: &Value, keys: &[&str]) -> Option<String> {
    let found = keys.iter().try_fold(value, |value, key| value.get(key))?;
    found.as_str().map(str::to_owned)
}

fn foreign(what: &str) -> PullRequestError {
    PullRequestError {
        kind: PullRequestErrorKind::Protocol,
        message: format!("{what}: the answer has not the documented form"),
        source: None,
    }
}

/// The text of an annotation that a provider shows beside a line.
fn beside(annotation: &Annotation) -> String {
    crate::safe_text::visible(&annotation.message).into_owned()
}

#[cfg(test)]
mod tests;
