//! GitLab, by its REST API.
//!
//! Source: GitLab REST API v4, Merge requests and Notes.

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::open_request::{self, MOST_PAGES, OpenRequest, PAGE};
use super::remote::GitlabPlace;
use super::wire::{Call, Creation, Wire};
use super::{LABEL, MARKER_ROOM, marked, note};
use greenloop_ports::{Proposed, PullRequest, PullRequestError, PullRequests};

/// The longest description, in characters; counted in bytes it is never exceeded.
const LONGEST_BODY: usize = 1_000_000;
/// The longest title.
const LONGEST_TITLE: usize = 255;
const PERMISSION: &str = "the scope api and the role Developer";

/// A project at GitLab.
pub(super) struct Gitlab {
    place: GitlabPlace,
    wire: Wire,
}

fn read(value: &Value) -> Option<OpenRequest> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(OpenRequest {
        number: value.get("iid")?.as_u64()?,
        url: value.get("web_url")?.as_str()?.to_owned(),
        branch: text("source_branch"),
        body: text("description"),
        own: value.get("source_project_id") == value.get("target_project_id"),
    })
}

impl Gitlab {
    pub(super) fn new(place: GitlabPlace, wire: Wire) -> Self {
        Self { place, wire }
    }

    fn pages(&self, proposed: &Proposed) -> Result<Vec<Url>, PullRequestError> {
        (1..=MOST_PAGES)
            .map(|page| {
                let mut url = self.place.url("merge_requests")?;
                url.query_pairs_mut()
                    .append_pair("state", "opened")
                    .append_pair("target_branch", &proposed.base)
                    .append_pair("per_page", &PAGE.to_string())
                    .append_pair("page", &page.to_string());
                Ok(url)
            })
            .collect()
    }
}

#[async_trait]
impl PullRequests for Gitlab {
    fn label(&self) -> String {
        format!("GitLab {}", self.place.project.replace("%2F", "/"))
    }

    fn body_limit(&self) -> usize {
        LONGEST_BODY - MARKER_ROOM
    }

    async fn open(&self, proposed: &Proposed) -> Result<PullRequest, PullRequestError> {
        let pages = self.pages(proposed)?;
        let open = open_request::find(&self.wire, &pages, Value::as_array, read, |found| {
            found.is_for(proposed)
        })
        .await
        .map_err(|e| e.explain("open merge requests", "the scope read_api"))?;
        if let Some(found) = open {
            if found.branch != proposed.branch {
                let url = self.place.url(&format!("merge_requests/{}/notes", found.number))?;
                let call = Call::post(url, json!({ "body": note(proposed) }));
                let answer = self.wire.ask(&call).await;
                answer.map_err(|e| e.explain("a note on the merge request", PERMISSION))?;
            }
            return Ok(found.into_pull_request(true));
        }
        let title = if proposed.draft {
            format!("Draft: {}", proposed.title)
        } else {
            proposed.title.clone()
        };
        let body = json!({
            "source_branch": proposed.branch,
            "target_branch": proposed.base,
            "title": title.chars().take(LONGEST_TITLE).collect::<String>(),
            "description": marked(&proposed.body, &proposed.fingerprint),
            "labels": format!("{LABEL},{LABEL}-{}", proposed.fingerprint),
        });
        let call = Call::post(self.place.url("merge_requests")?, body);
        let look = || {
            open_request::find(&self.wire, &pages, Value::as_array, read, |found| {
                found.is_from(proposed)
            })
        };
        let (found, made) = self
            .wire
            .make(&call, look, read)
            .await
            .map_err(|e| e.explain("a new merge request", PERMISSION))?;
        Ok(found.into_pull_request(made == Creation::Before))
    }
}
