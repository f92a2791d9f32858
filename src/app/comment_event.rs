//! The comment that started a job.
//!
//! A payload only says where to look: who wrote the comment, and whether they may, is asked of the
//! provider. Its text meets no shell.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::Environment;

/// What a comment says to have the fix committed.
pub(super) const APPLY_COMMENT: &str = "/greenloop apply";
/// Bytes of a payload that are read.
const LONGEST: u64 = 8 << 20;

/// What a job was started by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentEvent {
    pub number: u64,
    /// Who wrote it, where the payload is the provider's own word; `None` where anybody who has the
    /// pipeline's trigger could have made it up.
    pub user: Option<String>,
    /// Whether its first line is [`APPLY_COMMENT`].
    pub applies: bool,
}

/// The comment on a pull request that started this job of GitHub Actions or GitLab CI; `None` if
/// something else did.
pub fn comment_event(env: &Environment) -> Option<CommentEvent> {
    github(env).or_else(|| gitlab(env))
}

/// Whether a webhook triggered this pipeline of GitLab CI, whatever it speaks of.
pub fn is_webhook_pipeline(env: &Environment) -> bool {
    env("CI_PIPELINE_SOURCE").is_some_and(|source| source == "trigger")
        && env("TRIGGER_PAYLOAD").is_some()
}

fn github(env: &Environment) -> Option<CommentEvent> {
    let name = env("GITHUB_EVENT_NAME")?;
    if !matches!(name.as_str(), "issue_comment" | "pull_request_review_comment") {
        return None;
    }
    let event = github_event(env)?;
    let number = match event.get("pull_request") {
        Some(request) => request.get("number"),
        None => {
            let issue = event.get("issue")?;
            // A comment on an issue that is none.
            issue.get("pull_request")?;
            issue.get("number")
        }
    };
    let comment = event.get("comment")?;
    Some(CommentEvent {
        number: number?.as_u64()?,
        user: Some(comment.get("user")?.get("login")?.as_str()?.to_owned()),
        applies: applies(comment.get("body")?.as_str()?),
    })
}

/// A webhook for comments started the pipeline by its trigger; the variable names a file.
fn gitlab(env: &Environment) -> Option<CommentEvent> {
    if !is_webhook_pipeline(env) {
        return None;
    }
    let event = read(Path::new(&env("TRIGGER_PAYLOAD")?))?;
    let note = event.get("object_attributes")?;
    let of_request = event.get("object_kind")?.as_str()? == "note"
        && note.get("noteable_type")?.as_str()? == "MergeRequest";
    let project = event.get("project")?.get("id")?.as_u64()?.to_string();
    // A webhook of another project speaks of another merge request.
    if !of_request || env("CI_PROJECT_ID")? != project {
        return None;
    }
    Some(CommentEvent {
        number: event.get("merge_request")?.get("iid")?.as_u64()?,
        user: None,
        applies: applies(note.get("note")?.as_str()?),
    })
}

fn applies(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim() == APPLY_COMMENT)
}

pub(super) fn github_event(env: &Environment) -> Option<Value> {
    read(Path::new(&env("GITHUB_EVENT_PATH")?))
}

fn read(path: &Path) -> Option<Value> {
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn env(variables: &[(&'static str, &str)]) -> Environment {
        let variables: Vec<(&'static str, String)> =
            variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Arc::new(move |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn a_comment_asks_only_by_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        let shown = path.to_string_lossy();
        let env = env(&[("GITHUB_EVENT_NAME", "issue_comment"), ("GITHUB_EVENT_PATH", &shown)]);
        for (body, request, expect) in [
            ("/greenloop apply", true, Some(true)),
            ("  /greenloop apply \r\nplease", true, Some(true)),
            ("no /greenloop apply", true, Some(false)),
            ("> /greenloop apply", true, Some(false)),
            ("/greenloop apply now", true, Some(false)),
            // An issue that is no pull request.
            ("/greenloop apply", false, None),
        ] {
            let mut issue = json!({"number": 5});
            if request {
                issue["pull_request"] = json!({"url": "x"});
            }
            let comment = json!({"body": body, "user": {"login": "ada"}});
            let event = json!({"issue": issue, "comment": comment});
            std::fs::write(&path, event.to_string()).unwrap();
            let found = comment_event(&env);
            assert_eq!(found.as_ref().map(|event| event.applies), expect, "{body}");
            if let Some(event) = found {
                assert_eq!((event.number, event.user.as_deref()), (5, Some("ada")));
            }
        }
    }

    #[test]
    fn a_webhook_of_gitlab_names_the_merge_request_and_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("TRIGGER_PAYLOAD");
        let shown = path.to_string_lossy();
        let job = [
            ("CI_PIPELINE_SOURCE", "trigger"),
            ("CI_PROJECT_ID", "3"),
            ("TRIGGER_PAYLOAD", &*shown),
        ];
        let event = |kind: &str, of: &str, project: u64, text: &str| {
            json!({
                "object_kind": kind, "event_type": "note", "user": {"id": 1, "username": "root"},
                "project_id": project, "project": {"id": project},
                "object_attributes": {"id": 9, "note": text, "noteable_type": of, "author_id": 1},
                "merge_request": {"id": 70, "iid": 7, "state": "opened"},
            })
        };
        let asks = Some(CommentEvent { number: 7, user: None, applies: true });
        for (event, expect) in [
            (event("note", "MergeRequest", 3, "/greenloop apply"), asks.clone()),
            (
                event("note", "MergeRequest", 3, "$(id); /greenloop apply"),
                asks.map(|event| CommentEvent { applies: false, ..event }),
            ),
            (event("note", "Issue", 3, "/greenloop apply"), None),
            (event("push", "MergeRequest", 3, "/greenloop apply"), None),
            (event("note", "MergeRequest", 4, "/greenloop apply"), None),
            (json!([]), None),
        ] {
            std::fs::write(&path, event.to_string()).unwrap();
            assert_eq!(comment_event(&env(&job)), expect, "{event}");
        }
        std::fs::write(&path, event("note", "MergeRequest", 3, "/greenloop apply").to_string())
            .unwrap();
        let push = [("CI_PIPELINE_SOURCE", "push"), job[1], job[2]];
        assert_eq!(comment_event(&env(&push)), None);
    }
}
