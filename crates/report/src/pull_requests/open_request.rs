//! Requests that are open already, as the providers' APIs list them.

use serde_json::Value;
use url::Url;

use super::wire::{Call, Wire, WireError};
use super::{is_own_branch, marker};
use greenloop_ports::{Proposed, PullRequest};

/// Requests in one answer, and answers that are read.
pub(super) const PAGE: usize = 100;
pub(super) const MOST_PAGES: usize = 10;

/// An open pull or merge request.
#[derive(Debug, Clone)]
pub(super) struct OpenRequest {
    pub(super) number: u64,
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) body: String,
    /// Whether its branch is in the repository itself.
    pub(super) own: bool,
}

impl OpenRequest {
    /// Whether it proposes the same: from the same branch, or for the same failure.
    pub(super) fn is_for(&self, proposed: &Proposed) -> bool {
        let same =
            || self.branch == proposed.branch || self.body.contains(&marker(&proposed.fingerprint));
        self.own && is_own_branch(&self.branch) && same()
    }

    /// Whether it is the one that was just asked for.
    pub(super) fn is_from(&self, proposed: &Proposed) -> bool {
        self.own && self.branch == proposed.branch
    }

    pub(super) fn into_pull_request(self, reused: bool) -> PullRequest {
        PullRequest { url: self.url, number: self.number, reused }
    }
}

/// The first request that fits; pages are asked for until one is not full. `list` finds the
/// requests in an answer.
pub(super) async fn find<T>(
    wire: &Wire,
    pages: &[Url],
    list: impl for<'a> Fn(&'a Value) -> Option<&'a Vec<Value>>,
    read: impl Fn(&Value) -> Option<T>,
    fits: impl Fn(&T) -> bool,
) -> Result<Option<T>, WireError> {
    for page in pages {
        let answer = wire.ask(&Call::get(page.clone())).await?;
        let list = list(&answer).map(Vec::as_slice).unwrap_or_default();
        if let Some(found) = list.iter().filter_map(&read).find(&fits) {
            return Ok(Some(found));
        }
        if list.len() < PAGE {
            break;
        }
    }
    Ok(None)
}
