//! Whether a person who may push has asked in the pull request for the fix that is offered there.
//!
//! A webhook or a poll only says where to look: its payload is nobody's word. What counts is what
//! the provider itself says of the comments, their authors and what those may do.
//!
//! # Guarantees
//!
//! - A comment from before the offer was last written asks for another fix, and counts for none.
//! - Nobody is taken for somebody who may push: without an answer nothing is applied.

use jiff::Timestamp;
use serde_json::Value;

use super::{Conversation, MARKER, Offer, ReviewedRequest, string};
use greenloop_ports::PullRequestError;

/// People whose permission is looked up for one pull request.
const MOST_ASKED: usize = 10;

/// A person, as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// What [`Conversation::may_push`] takes: a login, a number, an identity.
    pub id: String,
    /// For people.
    pub name: String,
}

/// A comment of a person, or the one with the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub author: Author,
    pub body: String,
    /// When it was written.
    pub written: Timestamp,
    /// When its text was changed last.
    pub changed: Timestamp,
}

impl Remark {
    /// From the fields of a provider's record; `None` where one is missing.
    pub(super) fn read(
        value: &Value,
        author: Author,
        [body, written, changed]: [&str; 3],
    ) -> Option<Self> {
        let time = |field: &str| string(value, &[field])?.parse::<Timestamp>().ok();
        let written = time(written)?;
        let body = string(value, &[body])?;
        // A comment that was never changed may have no such time.
        Some(Self { author, body, written, changed: time(changed).unwrap_or(written) })
    }

    fn asks(&self, words: &str) -> bool {
        self.body.lines().next().is_some_and(|line| line.trim() == words)
    }
}

/// What the comments of a pull request come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nobody has asked since the fix was offered.
    Nobody,
    /// People have asked who may not push, or of whom that is not known.
    Refused(Vec<String>),
    /// This person may push, and has asked.
    By(Author),
}

/// Who asks with a comment whose first line is `words` for the fix that is offered.
///
/// # Errors
/// What the provider refuses, after retries.
pub async fn asked(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
    words: &str,
) -> Result<Asked, PullRequestError> {
    let remarks = conversation.remarks(request).await?;
    let offer = remarks.iter().rfind(|remark| remark.body.starts_with(MARKER));
    let Some(offer) = offer.filter(|remark| Offer::read(&remark.body).is_some()) else {
        return Ok(Asked::Nobody);
    };
    let mut people: Vec<&Author> = Vec::new();
    for remark in &remarks {
        if remark.asks(words)
            && remark.written > offer.changed
            && !people.contains(&&remark.author)
            && people.len() < MOST_ASKED
        {
            people.push(&remark.author);
        }
    }
    let mut refused = Vec::new();
    for author in people {
        if conversation.may_push(&author.id).await? == Some(true) {
            return Ok(Asked::By(author.clone()));
        }
        refused.push(author.name.clone());
    }
    Ok(if refused.is_empty() { Asked::Nobody } else { Asked::Refused(refused) })
}
