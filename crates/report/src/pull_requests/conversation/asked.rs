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

use super::{Conversation, Offer, ReviewedRequest, ours, string};
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
    /// As in the [`Comment`](super::Comment) of the same text.
    pub(super) id: String,
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
        id: String,
        author: Author,
        [body, written, changed]: [&str; 3],
    ) -> Option<Self> {
        let time = |field: &str| string(value, &[field])?.parse::<Timestamp>().ok();
        let written = time(written)?;
        let body = string(value, &[body])?;
        // A comment that was never changed may have no such time.
        Some(Self { id, author, body, written, changed: time(changed).unwrap_or(written) })
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
    /// People have asked who may not push, or of whom that is not known, with the reason.
    Refused(Vec<String>),
    /// This person may push, and has asked for this fix.
    By(Author, Offer),
}

/// Who asks with a comment whose first line is `words` for the fix that is offered, the last one
/// who asked first.
///
/// # Errors
/// When the comments cannot be read. A permission that cannot be read refuses only that person.
pub async fn asked(
    conversation: &dyn Conversation,
    request: &ReviewedRequest,
    words: &str,
) -> Result<Asked, PullRequestError> {
    let Some((comment, offer)) = ours(conversation, request).await?.and_then(|comment| {
        let offer = Offer::read(&comment.body)?;
        Some((comment, offer))
    }) else {
        return Ok(Asked::Nobody);
    };
    let remarks = conversation.remarks(request).await?;
    // A comment that was edited between the two answers is another offer.
    let is_offer = |remark: &&Remark| remark.id == comment.id && remark.body == comment.body;
    let Some(offered) = remarks.iter().find(is_offer).map(|remark| remark.changed) else {
        return Ok(Asked::Nobody);
    };
    let mut people: Vec<&Author> = Vec::new();
    for remark in remarks.iter().rev() {
        if remark.asks(words)
            && remark.written > offered
            && !people.contains(&&remark.author)
            && people.len() < MOST_ASKED
        {
            people.push(&remark.author);
        }
    }
    let mut refused = Vec::new();
    for author in people {
        match conversation.may_push(&author.id).await {
            Ok(Some(true)) => return Ok(Asked::By(author.clone(), offer)),
            Ok(Some(false) | None) => refused.push(author.name.clone()),
            Err(error) => refused.push(format!("{} ({error})", author.name)),
        }
    }
    Ok(if refused.is_empty() { Asked::Nobody } else { Asked::Refused(refused) })
}
