//! GitLab: notes and discussions of the merge request, commit statuses.
//!
//! Source: GitLab REST API v4, Merge requests, Notes, Discussions, Commits, Members.

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::super::remote::GitlabPlace;
use super::super::wire::{Call, CallErrorKind, Wire};
use super::{
    Author, Comment, Conversation, MARKER, PAGE, Remark, ReviewedRequest, foreign, pages, string,
};
use crate::review_comment::{CheckConclusion, CheckReport, Suggestion};
use greenloop_ports::PullRequestError;

const LONGEST_BODY: usize = 900_000;
const LONGEST_DESCRIPTION: usize = 140;
/// The lowest role that may push.
const DEVELOPER: u64 = 30;
const PERMISSION: &str = "the scope api and the role Developer";

pub(super) struct GitlabConversation {
    place: GitlabPlace,
    wire: Wire,
}

impl GitlabConversation {
    pub(super) fn new(place: GitlabPlace, wire: Wire) -> Self {
        Self { place, wire }
    }

    fn url(&self, tail: &str) -> Result<Url, PullRequestError> {
        self.place.url(tail)
    }

    async fn list(&self, number: u64) -> Result<Vec<Value>, PullRequestError> {
        pages(
            &self.wire,
            |page| {
                let mut url = self.url(&format!("merge_requests/{number}/notes"))?;
                url.query_pairs_mut()
                    .append_pair("sort", "asc")
                    .append_pair("order_by", "created_at")
                    .append_pair("per_page", &PAGE.to_string())
                    .append_pair("page", &page.to_string());
                Ok(url)
            },
            |error| error.explain("notes of the merge request", "the scope read_api"),
        )
        .await
    }

    async fn notes(&self, number: u64) -> Result<Vec<Comment>, PullRequestError> {
        let found = self.list(number).await?;
        Ok(found.iter().filter_map(read).collect())
    }

    async fn create(&self, tail: &str, number: u64, body: Value) -> Result<(), super::WireError> {
        let url = self.url(&format!("merge_requests/{number}/{tail}"));
        let url = url.map_err(|error| super::WireError::rejected(&error.message))?;
        let look = async || {
            let found = self.notes(number).await;
            let found = found.map_err(|error| super::WireError::rejected(&error.message))?;
            Ok(found.into_iter().rfind(|comment| comment.body.starts_with(MARKER)))
        };
        // A discussion is answered with its notes.
        let first =
            |value: &Value| read(value.get("notes").and_then(|it| it.get(0)).unwrap_or(value));
        self.wire.make(&Call::post(url, body), look, first).await.map(|_made| ())
    }
}

fn read(note: &Value) -> Option<Comment> {
    Some(Comment {
        id: note.get("id")?.as_u64()?.to_string(),
        body: string(note, &["body"]).unwrap_or_default(),
        anchored: note.get("position").is_some_and(|position| !position.is_null()),
    })
}

#[async_trait]
impl Conversation for GitlabConversation {
    fn body_limit(&self) -> usize {
        LONGEST_BODY
    }

    async fn request(&self, number: u64) -> Result<ReviewedRequest, PullRequestError> {
        let call = Call::get(self.url(&format!("merge_requests/{number}"))?);
        let answer = self.wire.ask(&call).await;
        let value = answer.map_err(|e| e.explain("the merge request", "the scope read_api"))?;
        let read = || {
            let refs = value.get("diff_refs");
            let diff = refs.and_then(|refs| {
                Some((string(refs, &["base_sha"])?, string(refs, &["start_sha"])?))
            });
            Some(ReviewedRequest {
                number,
                branch: string(&value, &["source_branch"])?,
                head: string(&value, &["sha"])?,
                fork: value.get("source_project_id") != value.get("target_project_id"),
                open: string(&value, &["state"])? == "opened",
                diff,
            })
        };
        read().ok_or_else(|| foreign("the merge request"))
    }

    async fn comments(&self, request: &ReviewedRequest) -> Result<Vec<Comment>, PullRequestError> {
        self.notes(request.number).await
    }

    async fn remarks(&self, request: &ReviewedRequest) -> Result<Vec<Remark>, PullRequestError> {
        let read = |note: &Value| {
            // What GitLab itself writes: `added 2 commits`.
            if note.get("system").and_then(Value::as_bool) == Some(true) {
                return None;
            }
            let author = Author {
                id: note.get("author")?.get("id")?.as_u64()?.to_string(),
                name: string(note, &["author", "username"])?,
            };
            let id = note.get("id")?.as_u64()?.to_string();
            Remark::read(note, id, author, ["body", "created_at", "updated_at"])
        };
        Ok(self.list(request.number).await?.iter().filter_map(read).collect())
    }

    async fn post(
        &self,
        request: &ReviewedRequest,
        body: &str,
        at: Option<&Suggestion>,
    ) -> Result<(), PullRequestError> {
        if let (Some(at), Some((base, start))) = (at, &request.diff) {
            let position = json!({
                "position_type": "text", "base_sha": base, "start_sha": start,
                "head_sha": request.head, "old_path": at.path, "new_path": at.path,
                "new_line": at.end,
            });
            let body = json!({ "body": at.for_gitlab(body), "position": position });
            match self.create("discussions", request.number, body).await {
                Ok(()) => return Ok(()),
                // 400: the line is not in the diff of the merge request.
                Err(error) if error.kind == CallErrorKind::Rejected => {}
                Err(error) => return Err(error.explain("a comment on lines", PERMISSION)),
            }
        }
        let body = at.map_or_else(|| body.to_owned(), |at| at.unsuggested(body));
        self.create("notes", request.number, json!({ "body": body }))
            .await
            .map_err(|e| e.explain("a note on the merge request", PERMISSION))
    }

    async fn edit(
        &self,
        request: &ReviewedRequest,
        comment: &Comment,
        body: &str,
        _settled: bool,
    ) -> Result<(), PullRequestError> {
        let tail = format!("merge_requests/{}/notes/{}", request.number, comment.id);
        let call = Call {
            method: Method::PUT,
            url: self.url(&tail)?,
            body: Some(json!({ "body": body })),
        };
        let answer = self.wire.ask(&call).await;
        answer.map(|_| ()).map_err(|e| e.explain("an update of the note", PERMISSION))
    }

    async fn check(
        &self,
        request: &ReviewedRequest,
        report: &CheckReport,
    ) -> Result<(), PullRequestError> {
        let state = match report.conclusion {
            CheckConclusion::Passed => "success",
            CheckConclusion::Failed => "failed",
        };
        let description: String = report.title.chars().take(LONGEST_DESCRIPTION).collect();
        let body = json!({
            "state": state, "name": "greenloop", "description": description,
            "target_url": report.url,
        });
        let call = Call::post(self.url(&format!("statuses/{}", request.head))?, body);
        let answer = self.wire.ask(&call).await;
        answer.map(|_| ()).map_err(|e| e.explain("a status of the commit", PERMISSION))
    }

    async fn may_push(&self, user: &str) -> Result<Option<bool>, PullRequestError> {
        if user.is_empty() || !user.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Some(false));
        }
        // Members of the project, of its groups, and of groups that it is shared with.
        let call = Call::get(self.url(&format!("members/all/{user}"))?);
        match self.wire.ask(&call).await {
            Ok(member) => {
                let level = member.get("access_level").and_then(Value::as_u64);
                let active = string(&member, &["state"]).as_deref() == Some("active");
                Ok(Some(active && level.is_some_and(|level| level >= DEVELOPER)))
            }
            Err(error) if error.kind == CallErrorKind::Missing => Ok(Some(false)),
            Err(error) => Err(error.explain("the role of who asks", "the scope read_api")),
        }
    }
}
