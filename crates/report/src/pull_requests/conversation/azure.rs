//! Azure Repos: threads of the pull request, and its statuses.
//!
//! Source: Azure DevOps Services REST API 6.0, Git: Pull Requests, Pull Request Threads, Pull
//! Request Thread Comments, Pull Request Statuses; IMS: Identities; Security: Access Control Lists.

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::super::remote::AzurePlace;
use super::super::wire::{Call, CallErrorKind, Wire};
use super::{Author, Comment, Conversation, MARKER, Remark, ReviewedRequest, foreign, string};
use crate::review_comment::{CheckConclusion, CheckReport, Suggestion};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

const LONGEST_BODY: usize = 140_000;
const LONGEST_DESCRIPTION: usize = 400;
const PERMISSION: &str = "Contribute to pull requests";
/// The security namespace of Git repositories, and its bit `GenericContribute`.
const GIT_REPOSITORIES: &str = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87";
const CONTRIBUTE: i64 = 4;
/// `CommentThreadStatus`
const ACTIVE: u8 = 1;
const FIXED: u8 = 2;

pub(super) struct AzureConversation {
    place: AzurePlace,
    wire: Wire,
}

/// What this identity may do and may not, of its own, by its groups and by what is inherited.
fn effective(lists: &Value, descriptor: &str) -> Option<(i64, i64)> {
    let entries = lists.get("value")?.get(0)?.get("acesDictionary")?.as_object()?;
    let entry = entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(descriptor));
    let info = entry?.1.get("extendedInfo")?;
    // What is zero is left out.
    let bits = |field: &str| info.get(field).and_then(Value::as_i64).unwrap_or(0);
    Some((bits("effectiveAllow"), bits("effectiveDeny")))
}

impl AzureConversation {
    pub(super) fn new(place: AzurePlace, wire: Wire) -> Self {
        // Without it a bad token is answered with a redirect to a page for people.
        Self { place, wire: wire.with_header("x-tfs-fedauthredirect", "Suppress") }
    }

    fn url(&self, tail: &str, version: &str) -> Result<Url, PullRequestError> {
        let AzurePlace { collection, project, repository } = &self.place;
        let text = format!("{collection}/{project}/_apis/git/repositories/{repository}/{tail}");
        let text = text.trim_end_matches('/');
        let mut url = Url::parse(text).map_err(|source| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("{collection} is not the URL of a collection"),
            source: Some(source.into()),
        })?;
        url.query_pairs_mut().append_pair("api-version", version);
        Ok(url)
    }

    async fn list(&self, number: u64) -> Result<Vec<Value>, super::WireError> {
        let url = self.url(&format!("pullRequests/{number}/threads"), "6.0");
        let url = url.map_err(|error| super::WireError::rejected(&error.message))?;
        let answer = self.wire.ask(&Call::get(url)).await?;
        Ok(answer.get("value").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    async fn threads(&self, number: u64) -> Result<Vec<Comment>, super::WireError> {
        Ok(self.list(number).await?.iter().filter_map(read).collect())
    }

    /// A resource of the organisation, of its service for identities or of the others.
    fn resource(&self, root: &str, tail: &str) -> Result<Url, PullRequestError> {
        Url::parse(&format!("{root}/_apis/{tail}")).map_err(|source| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("{root} is not the URL of a collection"),
            source: Some(source.into()),
        })
    }

    /// The security token of the repository: `repoV2/PROJECT/REPOSITORY`, by their ids.
    async fn security_token(&self) -> Result<String, PullRequestError> {
        let answer = self.wire.ask(&Call::get(self.url("", "6.0")?)).await;
        let value = answer.map_err(|e| e.explain("the repository", "Read on the repository"))?;
        let ids = string(&value, &["project", "id"]).zip(string(&value, &["id"]));
        let (project, repository) = ids.ok_or_else(|| foreign("the repository"))?;
        Ok(format!("repoV2/{project}/{repository}"))
    }

    /// The descriptor by which the lists of permissions know an identity.
    async fn descriptor(&self, identity: &str) -> Result<Option<String>, PullRequestError> {
        let mut url = self.resource(&identities(&self.place.collection), "identities")?;
        url.query_pairs_mut()
            .append_pair("identityIds", identity)
            .append_pair("api-version", "6.0");
        let answer = self.wire.ask(&Call::get(url)).await;
        let value = answer.map_err(|e| e.explain("the identity of who asks", "Identity (read)"))?;
        Ok(value.get("value").and_then(|list| string(list.get(0)?, &["descriptor"])))
    }

    async fn create(&self, number: u64, body: Value) -> Result<(), super::WireError> {
        let url = self.url(&format!("pullRequests/{number}/threads"), "6.0");
        let url = url.map_err(|error| super::WireError::rejected(&error.message))?;
        let look = async || {
            let found = self.threads(number).await?;
            Ok(found.into_iter().rfind(|comment| comment.body.starts_with(MARKER)))
        };
        self.wire.make(&Call::post(url, body), look, read).await.map(|_made| ())
    }
}

/// Where the identities of an organisation are asked for: the service has a host of its own, a
/// server has not.
fn identities(collection: &str) -> String {
    if let Some(organisation) = collection.strip_prefix("https://dev.azure.com/") {
        return format!("https://vssps.dev.azure.com/{organisation}");
    }
    match collection.split_once(".visualstudio.com") {
        Some((host, _)) => format!("{host}.vssps.visualstudio.com"),
        None => collection.to_owned(),
    }
}

/// The comments of people in a thread, with the one that may be ours.
fn remarks(thread: &Value) -> Vec<Remark> {
    if is_deleted(thread) {
        return Vec::new();
    }
    let comments = thread.get("comments").and_then(Value::as_array);
    let read = |comment: &Value| {
        let system = string(comment, &["commentType"]).as_deref() == Some("system");
        if is_deleted(comment) || system {
            return None;
        }
        let author = Author {
            id: string(comment, &["author", "id"])?,
            name: string(comment, &["author", "displayName"])?,
        };
        let thread = thread.get("id")?.as_u64()?;
        let id = format!("{thread}/{}", comment.get("id")?.as_u64()?);
        Remark::read(comment, id, author, ["content", "publishedDate", "lastContentUpdatedDate"])
    };
    comments.into_iter().flatten().filter_map(read).collect()
}

fn is_deleted(value: &Value) -> bool {
    value.get("isDeleted").and_then(Value::as_bool) == Some(true)
}

/// A thread by its first comment; deleted ones are none.
fn read(thread: &Value) -> Option<Comment> {
    if is_deleted(thread) {
        return None;
    }
    let id = thread.get("id")?.as_u64()?;
    let first = thread.get("comments")?.get(0)?;
    if is_deleted(first) {
        return None;
    }
    Some(Comment {
        id: format!("{id}/{}", first.get("id")?.as_u64()?),
        body: string(first, &["content"]).unwrap_or_default(),
        anchored: thread.get("threadContext").is_some_and(|context| !context.is_null()),
    })
}

#[async_trait]
impl Conversation for AzureConversation {
    fn body_limit(&self) -> usize {
        LONGEST_BODY
    }

    async fn request(&self, number: u64) -> Result<ReviewedRequest, PullRequestError> {
        let call = Call::get(self.url(&format!("pullrequests/{number}"), "6.0")?);
        let answer = self.wire.ask(&call).await;
        let value = answer.map_err(|e| e.explain("the pull request", "Read on the repository"))?;
        let read = || {
            let branch = string(&value, &["sourceRefName"])?;
            Some(ReviewedRequest {
                number,
                branch: branch.strip_prefix("refs/heads/")?.to_owned(),
                head: string(&value, &["lastMergeSourceCommit", "commitId"])?,
                fork: value.get("forkSource").is_some_and(|fork| !fork.is_null()),
                open: string(&value, &["status"])? == "active",
                diff: None,
            })
        };
        read().ok_or_else(|| foreign("the pull request"))
    }

    async fn comments(&self, request: &ReviewedRequest) -> Result<Vec<Comment>, PullRequestError> {
        let threads = self.threads(request.number).await;
        threads.map_err(|e| e.explain("threads of the pull request", "Read on the repository"))
    }

    async fn remarks(&self, request: &ReviewedRequest) -> Result<Vec<Remark>, PullRequestError> {
        let threads = self.list(request.number).await;
        let threads = threads
            .map_err(|e| e.explain("threads of the pull request", "Read on the repository"))?;
        let mut all: Vec<Remark> = threads.iter().flat_map(remarks).collect();
        all.sort_by_key(|remark| remark.written);
        Ok(all)
    }

    async fn post(
        &self,
        request: &ReviewedRequest,
        body: &str,
        at: Option<&Suggestion>,
    ) -> Result<(), PullRequestError> {
        let thread = |body: &str| {
            let comment = json!({ "parentCommentId": 0, "content": body, "commentType": 1 });
            json!({ "comments": [comment], "status": ACTIVE })
        };
        if let Some(at) = at {
            let mut anchored = thread(body);
            anchored["threadContext"] = json!({
                "filePath": format!("/{}", at.path),
                "rightFileStart": { "line": at.start, "offset": 1 },
                "rightFileEnd": { "line": at.end, "offset": at.last_width + 1 },
            });
            match self.create(request.number, anchored).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == CallErrorKind::Rejected => {}
                Err(error) => return Err(error.explain("a comment on lines", PERMISSION)),
            }
        }
        let body = at.map_or_else(|| body.to_owned(), |at| at.unsuggested(body));
        self.create(request.number, thread(&body))
            .await
            .map_err(|e| e.explain("a comment on the pull request", PERMISSION))
    }

    async fn edit(
        &self,
        request: &ReviewedRequest,
        comment: &Comment,
        body: &str,
        settled: bool,
    ) -> Result<(), PullRequestError> {
        let Some((thread, id)) = comment.id.split_once('/') else {
            return Err(foreign("the thread"));
        };
        let tail = format!("pullRequests/{}/threads/{thread}", request.number);
        let status = if settled { FIXED } else { ACTIVE };
        for (tail, body) in [
            (format!("{tail}/comments/{id}"), json!({ "content": body })),
            (tail, json!({ "status": status })),
        ] {
            let url = self.url(&tail, "6.0")?;
            let call = Call { method: Method::PATCH, url, body: Some(body) };
            let answer = self.wire.ask(&call).await;
            answer.map_err(|e| e.explain("an update of the thread", PERMISSION))?;
        }
        Ok(())
    }

    async fn check(
        &self,
        request: &ReviewedRequest,
        report: &CheckReport,
    ) -> Result<(), PullRequestError> {
        let state = match report.conclusion {
            CheckConclusion::Passed => "succeeded",
            CheckConclusion::Failed => "failed",
        };
        let description: String = report.title.chars().take(LONGEST_DESCRIPTION).collect();
        let body = json!({
            "state": state, "description": description, "targetUrl": report.url,
            "context": { "name": "gates", "genre": "greenloop" },
        });
        let tail = format!("pullRequests/{}/statuses", request.number);
        let call = Call::post(self.url(&tail, "6.0-preview.1")?, body);
        let answer = self.wire.ask(&call).await;
        answer.map(|_| ()).map_err(|e| e.explain("a status of the pull request", PERMISSION))
    }

    async fn may_push(&self, user: &str) -> Result<Option<bool>, PullRequestError> {
        let is_id = user.len() == 36 && user.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_id {
            return Ok(Some(false));
        }
        let Some(descriptor) = self.descriptor(user).await? else { return Ok(None) };
        let token = self.security_token().await?;
        let lists = format!("accesscontrollists/{GIT_REPOSITORIES}");
        let mut url = self.resource(&self.place.collection, &lists)?;
        url.query_pairs_mut()
            .append_pair("token", &token)
            .append_pair("descriptors", &descriptor)
            .append_pair("includeExtendedInfo", "true")
            .append_pair("recurse", "false")
            .append_pair("api-version", "6.0");
        let answer = self.wire.ask(&Call::get(url)).await;
        let value = answer.map_err(|e| {
            e.explain("the permissions of who asks", "to see the repository's permissions")
        })?;
        Ok(effective(&value, &descriptor)
            .map(|(allow, deny)| allow & CONTRIBUTE != 0 && deny & CONTRIBUTE == 0))
    }
}
