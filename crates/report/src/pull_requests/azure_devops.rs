//! Azure Repos, by its REST API.
//!
//! Source: Azure DevOps Services REST API, Git: Pull Requests, Pull Request Threads, Pull
//! Request Labels; version 6.0, which Azure DevOps Server 2020 has too.

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::open_request::{self, MOST_PAGES, OpenRequest, PAGE};
use super::remote::AzurePlace;
use super::wire::{Call, Creation, Wire, WireError};
use super::{LABEL, marked, note};
use greenloop_model::Fingerprint;
use greenloop_ports::{
    Proposed, PullRequest, PullRequestError, PullRequestErrorKind, PullRequests,
};

/// The longest description, in UTF-16 units; counted in bytes it is never exceeded.
const LONGEST_BODY: usize = 4_000;
/// What the marker takes.
const ROOM: usize = 64;
/// The longest title.
const LONGEST_TITLE: usize = 400;

/// A repository at Azure Repos.
pub(super) struct AzureRepos {
    place: AzurePlace,
    wire: Wire,
}

fn listed(answer: &Value) -> Option<&Vec<Value>> {
    answer.get("value").and_then(Value::as_array)
}

impl AzureRepos {
    pub(super) fn new(place: AzurePlace, wire: Wire) -> Self {
        // Without it a bad token is answered with a redirect to a page for people.
        Self { place, wire: wire.with_header("x-tfs-fedauthredirect", "Suppress") }
    }

    fn url(&self, tail: &str, query: &[(&str, &str)]) -> Result<Url, PullRequestError> {
        let AzurePlace { collection, project, repository } = &self.place;
        let text = format!("{collection}/{project}/_apis/git/repositories/{repository}/{tail}");
        let mut url = Url::parse(&text).map_err(|source| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("{collection} is not a valid URL of a collection"),
            source: Some(source.into()),
        })?;
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }

    fn read(&self, value: &Value) -> Option<OpenRequest> {
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let AzurePlace { collection, project, repository } = &self.place;
        let web = value.get("repository").and_then(|r| r.get("webUrl")).and_then(Value::as_str);
        let web =
            web.map_or_else(|| format!("{collection}/{project}/_git/{repository}"), str::to_owned);
        let number = value.get("pullRequestId")?.as_u64()?;
        let source = text("sourceRefName");
        Some(OpenRequest {
            number,
            url: format!("{}/pullrequest/{number}", web.trim_end_matches('/')),
            branch: source.strip_prefix("refs/heads/").unwrap_or(&source).to_owned(),
            body: text("description"),
            own: value.get("forkSource").is_none_or(Value::is_null),
        })
    }

    /// Active pull requests, a page at a time, until one fits.
    async fn find(
        &self,
        pages: &[Url],
        fits: impl Fn(&OpenRequest) -> bool,
    ) -> Result<Option<OpenRequest>, WireError> {
        open_request::find(&self.wire, pages, listed, |value| self.read(value), fits).await
    }

    fn pages(
        &self,
        proposed: &Proposed,
        source: Option<&str>,
    ) -> Result<Vec<Url>, PullRequestError> {
        let target = format!("refs/heads/{}", proposed.base);
        let top = PAGE.to_string();
        (0..MOST_PAGES)
            .map(|page| {
                let skip = (page * PAGE).to_string();
                let mut query = vec![
                    ("searchCriteria.status", "active"),
                    ("searchCriteria.targetRefName", &target),
                    ("$top", &top),
                    ("$skip", &skip),
                    ("api-version", "6.0"),
                ];
                query.extend(source.map(|source| ("searchCriteria.sourceRefName", source)));
                self.url("pullrequests", &query)
            })
            .collect()
    }

    async fn add_labels(
        &self,
        number: u64,
        fingerprint: &Fingerprint,
    ) -> Result<(), PullRequestError> {
        let url = self
            .url(&format!("pullRequests/{number}/labels"), &[("api-version", "6.0-preview.1")])?;
        for name in [LABEL.to_owned(), format!("{LABEL}-{fingerprint}")] {
            let call = Call::post(url.clone(), json!({ "name": name }));
            self.wire
                .ask(&call)
                .await
                .map_err(|e| e.explain("labels of the pull request", "Create tag definition"))?;
        }
        Ok(())
    }
}

#[async_trait]
impl PullRequests for AzureRepos {
    fn label(&self) -> String {
        let AzurePlace { collection, project, repository } = &self.place;
        let at = collection.split_once("://").map_or(collection.as_str(), |(_, rest)| rest);
        format!("Azure Repos {at}/{project}/{repository}")
    }

    fn body_limit(&self) -> usize {
        LONGEST_BODY - ROOM
    }

    async fn open(&self, proposed: &Proposed) -> Result<PullRequest, PullRequestError> {
        let source = format!("refs/heads/{}", proposed.branch);
        let pages = self.pages(proposed, None)?;
        let open = self
            .find(&pages, |found| found.is_for(proposed))
            .await
            .map_err(|e| e.explain("open pull requests", "Read on the repository"))?;
        if let Some(found) = open {
            if found.branch != proposed.branch {
                let tail = format!("pullRequests/{}/threads", found.number);
                let url = self.url(&tail, &[("api-version", "6.0")])?;
                let comment =
                    json!({ "parentCommentId": 0, "content": note(proposed), "commentType": 1 });
                let call = Call::post(url, json!({ "comments": [comment], "status": 1 }));
                self.wire.ask(&call).await.map_err(|e| {
                    e.explain("a comment on the pull request", "Contribute to pull requests")
                })?;
            }
            return Ok(found.into_pull_request(true));
        }

        let description = marked(&proposed.body, &proposed.fingerprint);
        let body = json!({
            "sourceRefName": source,
            "targetRefName": format!("refs/heads/{}", proposed.base),
            "title": proposed.title.chars().take(LONGEST_TITLE).collect::<String>(),
            "description": cut(&description, LONGEST_BODY),
            "isDraft": proposed.draft,
        });
        let call = Call::post(self.url("pullrequests", &[("api-version", "6.0")])?, body);
        let pages = self.pages(proposed, Some(&source))?;
        let look = || self.find(&pages, |found| found.is_from(proposed));
        let (found, made) = self
            .wire
            .make(&call, look, |value| self.read(value))
            .await
            .map_err(|e| e.explain("a new pull request", "Contribute to pull requests"))?;
        // The pull request is there: labels only help people to find it.
        if let Err(error) = self.add_labels(found.number, &proposed.fingerprint).await {
            tracing::warn!(%error, "the pull request has no labels");
        }
        Ok(found.into_pull_request(made == Creation::Before))
    }
}

/// The beginning of a text, at a character's boundary.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
