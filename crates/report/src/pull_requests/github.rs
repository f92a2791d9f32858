//! GitHub, by its REST API; GitHub Enterprise Server has the same under another address.
//!
//! Source: GitHub REST API 2022-11-28, Pulls and Issues (a pull request's comments and labels
//! are an issue's).

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::open_request::{self, MOST_PAGES, OpenRequest, PAGE};
use super::remote::GithubPlace;
use super::wire::{Call, Creation, Wire};
use super::{LABEL, MARKER_ROOM, marked, note};
use greenloop_ports::{
    Proposed, PullRequest, PullRequestError, PullRequestErrorKind, PullRequests,
};

/// The longest body, in characters; counted in bytes it is never exceeded.
const LONGEST_BODY: usize = 65_536;
/// The longest title.
const LONGEST_TITLE: usize = 256;

/// What a token for pull requests needs, by its kind.
const PERMISSION: &str = "pull-requests: write, or the scope repo, and access to this repository";

/// A repository at GitHub.
pub(super) struct GitHub {
    place: GithubPlace,
    wire: Wire,
}

fn read(value: &Value) -> Option<OpenRequest> {
    let repository = |end: &str| {
        value.get(end).and_then(|end| end.get("repo")).and_then(|repo| repo.get("full_name"))
    };
    let head = value.get("head");
    let branch = head.and_then(|head| head.get("ref")).and_then(Value::as_str);
    Some(OpenRequest {
        number: value.get("number")?.as_u64()?,
        url: value.get("html_url")?.as_str()?.to_owned(),
        branch: branch.unwrap_or_default().to_owned(),
        body: value.get("body").and_then(Value::as_str).unwrap_or_default().to_owned(),
        own: repository("head").is_some() && repository("head") == repository("base"),
    })
}

impl GitHub {
    pub(super) fn new(place: GithubPlace, wire: Wire) -> Self {
        let wire = wire
            .with_header("accept", "application/vnd.github+json")
            .with_header("x-github-api-version", "2022-11-28");
        Self { place, wire }
    }

    fn url(&self, tail: &str, query: &[(&str, &str)]) -> Result<Url, PullRequestError> {
        let GithubPlace { api, owner, name } = &self.place;
        let mut url =
            Url::parse(&format!("{api}/repos/{owner}/{name}/{tail}")).map_err(|source| {
                PullRequestError {
                    kind: PullRequestErrorKind::UnknownRepository,
                    message: format!("{api} is not a valid URL of GitHub's API"),
                    source: Some(source.into()),
                }
            })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Open pull requests into the base; the search API would be late by minutes.
    fn pages(&self, proposed: &Proposed) -> Result<Vec<Url>, PullRequestError> {
        let size = PAGE.to_string();
        (1..=MOST_PAGES)
            .map(|page| {
                let page = page.to_string();
                let query = [
                    ("state", "open"),
                    ("base", proposed.base.as_str()),
                    ("per_page", &size),
                    ("page", &page),
                ];
                self.url("pulls", &query)
            })
            .collect()
    }
}

#[async_trait]
impl PullRequests for GitHub {
    fn label(&self) -> String {
        format!("GitHub {}/{}", self.place.owner, self.place.name)
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
        .map_err(|e| e.explain("open pull requests", "pull-requests: read"))?;
        if let Some(found) = open {
            if found.branch != proposed.branch {
                let url = self.url(&format!("issues/{}/comments", found.number), &[])?;
                let call = Call::post(url, json!({ "body": note(proposed) }));
                self.wire
                    .ask(&call)
                    .await
                    .map_err(|e| e.explain("a comment on the pull request", PERMISSION))?;
            }
            return Ok(found.into_pull_request(true));
        }

        let body = json!({
            "title": proposed.title.chars().take(LONGEST_TITLE).collect::<String>(),
            "head": proposed.branch,
            "base": proposed.base,
            "body": marked(&proposed.body, &proposed.fingerprint),
            "draft": proposed.draft,
        });
        let call = Call::post(self.url("pulls", &[])?, body);
        let look = || {
            open_request::find(&self.wire, &pages, Value::as_array, read, |found| {
                found.is_from(proposed)
            })
        };
        let (found, made) = self
            .wire
            .make(&call, look, read)
            .await
            .map_err(|e| e.explain("a new pull request", PERMISSION))?;
        let url = self.url(&format!("issues/{}/labels", found.number), &[])?;
        let names = [LABEL.to_owned(), format!("{LABEL}-{}", proposed.fingerprint)];
        let call = Call::post(url, json!({ "labels": names }));
        // The pull request is there: labels only help people to find it.
        if let Err(error) = self.wire.ask(&call).await {
            let error = error.explain("labels of the pull request", PERMISSION);
            tracing::warn!(%error, "the pull request has no labels");
        }
        Ok(found.into_pull_request(made == Creation::Before))
    }
}
