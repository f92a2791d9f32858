//! GitHub: comments of the issue and of the review, check runs.
//!
//! Source: GitHub REST API 2022-11-28, Issue comments, Pull request review comments, Check runs,
//! Collaborators.

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::super::remote::GithubPlace;
use super::super::wire::{Call, CallErrorKind, Wire};
use super::{
    Author, Comment, Conversation, MARKER, PAGE, Remark, ReviewedRequest, beside, foreign, pages,
    string,
};
use crate::review_comment::{CheckConclusion, CheckReport, Suggestion};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

const LONGEST_BODY: usize = 65_000;
/// Annotations in one request.
const MOST_ANNOTATIONS: usize = 50;
const COMMENTS: &str = "pull-requests: write, or the scope repo, and access to this repository";

pub(super) struct GithubConversation {
    place: GithubPlace,
    wire: Wire,
}

impl GithubConversation {
    pub(super) fn new(place: GithubPlace, wire: Wire) -> Self {
        let wire = wire
            .with_header("accept", "application/vnd.github+json")
            .with_header("x-github-api-version", "2022-11-28");
        Self { place, wire }
    }

    fn url(&self, tail: &str) -> Result<Url, PullRequestError> {
        let GithubPlace { api, owner, name } = &self.place;
        let text = format!("{api}/repos/{owner}/{name}/{tail}");
        Url::parse(&text).map_err(|source| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("{api} is not the URL of GitHub's API"),
            source: Some(source.into()),
        })
    }

    /// The comments of a list, `issues` or `pulls`.
    async fn list(&self, list: &str, number: u64) -> Result<Vec<Value>, PullRequestError> {
        pages(
            &self.wire,
            |page| {
                let mut url = self.url(&format!("{list}/{number}/comments"))?;
                url.query_pairs_mut()
                    .append_pair("per_page", &PAGE.to_string())
                    .append_pair("page", &page.to_string());
                Ok(url)
            },
            |error| error.explain("comments of the pull request", "pull-requests: read"),
        )
        .await
    }

    async fn find(&self, list: &str, number: u64) -> Result<Vec<Comment>, PullRequestError> {
        let found = self.list(list, number).await?;
        Ok(found.iter().filter_map(|value| read(value, list == "pulls")).collect())
    }

    async fn create(&self, list: &str, number: u64, body: Value) -> Result<(), super::WireError> {
        let url = self.url(&format!("{list}/{number}/comments"));
        let Ok(url) = url else {
            return Err(super::WireError::rejected("the address of the comments is no URL"));
        };
        let look = async || {
            let found = self.find(list, number).await;
            let found = found.map_err(|error| super::WireError::rejected(&error.message))?;
            Ok(found.into_iter().rfind(|comment| comment.body.starts_with(MARKER)))
        };
        let call = Call::post(url, body);
        self.wire.make(&call, look, |value| read(value, false)).await.map(|_made| ())
    }
}

fn read(value: &Value, anchored: bool) -> Option<Comment> {
    let id = value.get("id")?.as_u64()?.to_string();
    Some(Comment { id, body: string(value, &["body"]).unwrap_or_default(), anchored })
}

#[async_trait]
impl Conversation for GithubConversation {
    fn body_limit(&self) -> usize {
        LONGEST_BODY
    }

    async fn request(&self, number: u64) -> Result<ReviewedRequest, PullRequestError> {
        let call = Call::get(self.url(&format!("pulls/{number}"))?);
        let value = self
            .wire
            .ask(&call)
            .await
            .map_err(|e| e.explain("the pull request", "pull-requests: read"))?;
        let repository = |end: &str| string(&value, &[end, "repo", "full_name"]);
        let of_head = repository("head");
        let read = || {
            Some(ReviewedRequest {
                number,
                branch: string(&value, &["head", "ref"])?,
                head: string(&value, &["head", "sha"])?,
                // The repository of a fork may be gone.
                fork: of_head.is_none() || of_head != repository("base"),
                open: string(&value, &["state"])? == "open",
                diff: None,
            })
        };
        read().ok_or_else(|| foreign("the pull request"))
    }

    async fn comments(&self, request: &ReviewedRequest) -> Result<Vec<Comment>, PullRequestError> {
        let mut all = self.find("pulls", request.number).await?;
        all.extend(self.find("issues", request.number).await?);
        Ok(all)
    }

    async fn remarks(&self, request: &ReviewedRequest) -> Result<Vec<Remark>, PullRequestError> {
        let mut found = self.list("issues", request.number).await?;
        found.extend(self.list("pulls", request.number).await?);
        let read = |value: &Value| {
            let login = string(value, &["user", "login"])?;
            let author = Author { id: login.clone(), name: login };
            let id = value.get("id")?.as_u64()?.to_string();
            Remark::read(value, id, author, ["body", "created_at", "updated_at"])
        };
        let mut remarks: Vec<Remark> = found.iter().filter_map(read).collect();
        remarks.sort_by_key(|remark| remark.written);
        Ok(remarks)
    }

    async fn post(
        &self,
        request: &ReviewedRequest,
        body: &str,
        at: Option<&Suggestion>,
    ) -> Result<(), PullRequestError> {
        if let Some(at) = at {
            let mut anchored = json!({
                "body": body, "commit_id": request.head, "path": at.path, "line": at.end,
                "side": "RIGHT",
            });
            if at.start < at.end {
                anchored["start_line"] = at.start.into();
                anchored["start_side"] = "RIGHT".into();
            }
            match self.create("pulls", request.number, anchored).await {
                Ok(()) => return Ok(()),
                // 422: the lines are not in the diff of the pull request.
                Err(error) if error.kind == CallErrorKind::Conflict => {}
                Err(error) => return Err(error.explain("a comment on lines", COMMENTS)),
            }
        }
        let body = json!({ "body": at.map_or_else(|| body.to_owned(), |at| at.unsuggested(body)) });
        self.create("issues", request.number, body)
            .await
            .map_err(|e| e.explain("a comment on the pull request", COMMENTS))
    }

    async fn edit(
        &self,
        _request: &ReviewedRequest,
        comment: &Comment,
        body: &str,
        _settled: bool,
    ) -> Result<(), PullRequestError> {
        let list = if comment.anchored { "pulls" } else { "issues" };
        let url = self.url(&format!("{list}/comments/{}", comment.id))?;
        let call = Call { method: Method::PATCH, url, body: Some(json!({ "body": body })) };
        let answer = self.wire.ask(&call).await;
        answer.map(|_| ()).map_err(|e| e.explain("an update of the comment", COMMENTS))
    }

    async fn check(
        &self,
        request: &ReviewedRequest,
        report: &CheckReport,
    ) -> Result<(), PullRequestError> {
        let annotations: Vec<Value> = report
            .annotations
            .iter()
            .take(MOST_ANNOTATIONS)
            .map(|annotation| {
                json!({
                    "path": annotation.path, "start_line": annotation.line,
                    "end_line": annotation.line, "annotation_level": "failure",
                    "message": beside(annotation),
                })
            })
            .collect();
        let conclusion = match report.conclusion {
            CheckConclusion::Passed => "success",
            CheckConclusion::Failed => "failure",
        };
        let body = json!({
            "name": "greenloop", "head_sha": request.head, "status": "completed",
            "conclusion": conclusion, "details_url": report.url,
            "output": {
                "title": report.title, "summary": report.summary, "annotations": annotations,
            },
        });
        let call = Call::post(self.url("check-runs")?, body);
        let answer = self.wire.ask(&call).await;
        answer.map(|_| ()).map_err(|e| e.explain("a check run", "checks: write"))
    }

    async fn may_push(&self, user: &str) -> Result<Option<bool>, PullRequestError> {
        // A login has no other characters; anything else must not become part of a path.
        let is_login = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_[]".contains(&b));
        if user.is_empty() || !is_login {
            return Ok(Some(false));
        }
        let call = Call::get(self.url(&format!("collaborators/{user}/permission"))?);
        match self.wire.ask(&call).await {
            Ok(value) => {
                let permission = string(&value, &["permission"]);
                Ok(Some(matches!(permission.as_deref(), Some("admin" | "write"))))
            }
            Err(error) if error.kind == CallErrorKind::Missing => Ok(Some(false)),
            Err(error) => Err(error.explain("the permission of who asks", "metadata: read")),
        }
    }
}
