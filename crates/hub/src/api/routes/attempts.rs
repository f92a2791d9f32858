//! What an agent says of an attempt: each report carries the attempt's epoch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::Api;
use crate::api::auth::Worker;
use crate::api::extract::{Body, Key, PathParams};
use crate::api::problem::Problem;
use greenloop_hub_api::types;
use greenloop_model::FailureClass;
use greenloop_model::task::{Lease, TaskId};

/// Bytes of a title or a summary.
const LINE: usize = 4_096;

fn lease((task, epoch): (i64, i64)) -> Lease {
    Lease { task: TaskId(task), epoch }
}

/// Whether it can be a commit, named as a whole.
pub(super) fn whole_commit(commit: &str) -> Result<(), Problem> {
    let hex = commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex || !matches!(commit.len(), 40 | 64) {
        return Err(Problem::invalid("$.commit", "it must be the full id of a commit"));
    }
    Ok(())
}

fn short(path: &str, text: &str) -> Result<(), Problem> {
    if text.len() > LINE {
        return Err(Problem::invalid(path, format!("it must be at most {LINE} bytes long")));
    }
    Ok(())
}

/// Keeps the lease, and hears whether the task was cancelled
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/heartbeat", tag = "work",
    operation_id = "heartbeat_attempt", params(("id" = i64, Path), ("epoch" = i64, Path)),
    request_body = types::AttemptHeartbeat,
    responses((status = 200, body = types::AttemptLease)), security(("token" = ["work"]))
)]
pub(super) async fn heartbeat(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(place): PathParams<(i64, i64)>,
    Body(body): Body<types::AttemptHeartbeat>,
) -> Result<Json<types::AttemptLease>, Problem> {
    let lease = lease(place);
    if body.percent.is_some_and(|it| it > 100) {
        return Err(Problem::invalid("$.percent", "it must be from 0 to 100"));
    }
    api.owners.check(&caller, lease).await?;
    Ok(Json(api.store.heartbeat(lease, &body).await?))
}

/// Adds a piece of evidence
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/evidence", tag = "work",
    operation_id = "add_evidence",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::NewEvidence,
    responses((status = 201, body = types::Evidence)), security(("token" = ["work"]))
)]
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(place): PathParams<(i64, i64)>,
    key: Key,
    Body(body): Body<types::NewEvidence>,
) -> Result<(StatusCode, Json<types::Evidence>), Problem> {
    let lease = lease(place);
    short("$.title", &body.title)?;
    if let Some(url) = &body.url {
        short("$.url", url)?;
        // The dashboard makes links of them.
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Problem::invalid("$.url", "it must begin with https:// or http://"));
        }
    }
    api.owners.check(&caller, lease).await?;
    let id = api.store.add_evidence(lease, &body, key.of(caller.id()).as_deref()).await?;
    Ok((StatusCode::CREATED, Json(api.store.evidence_piece(id).await?)))
}

/// Reports success: the task is done, or goes to the merge queue when there is a commit
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/complete", tag = "work",
    operation_id = "complete_attempt",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::Completion,
    responses((status = 200, body = types::Task)), security(("token" = ["work"]))
)]
pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(place): PathParams<(i64, i64)>,
    key: Key,
    Body(body): Body<types::Completion>,
) -> Result<Json<types::Task>, Problem> {
    let lease = lease(place);
    short("$.summary", &body.summary)?;
    if let Some(commit) = &body.commit {
        whole_commit(commit)?;
    }
    api.owners.check(&caller, lease).await?;
    if let Some(branch) = &body.branch {
        // No name of another epoch begins like this.
        let own = branch.strip_prefix(&lease.branch()).and_then(|rest| rest.strip_prefix('-'));
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !own.is_some_and(|rest| (1..=64).contains(&rest.len()) && plain(rest)) {
            let message = format!("it must be {}- and 1 to 64 letters and digits", lease.branch());
            return Err(Problem::invalid("$.branch", message));
        }
    }
    let key = key.of(caller.id());
    Ok(Json(api.store.complete_task(lease, &body, key.as_deref(), Some(caller.id())).await?))
}

/// Reports a failure: the task is tried again after a rest, or given up
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/fail", tag = "work", operation_id = "fail_attempt",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = types::AttemptFailure,
    responses((status = 200, body = types::Task)), security(("token" = ["work"]))
)]
pub(super) async fn fail(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams(place): PathParams<(i64, i64)>,
    key: Key,
    Body(body): Body<types::AttemptFailure>,
) -> Result<Json<types::Task>, Problem> {
    let lease = lease(place);
    if FailureClass::from_name(&body.class).is_none() {
        return Err(Problem::invalid("$.class", "unknown failure class"));
    }
    if let Some(fingerprint) = &body.fingerprint {
        short("$.fingerprint", fingerprint)?;
    }
    api.owners.check(&caller, lease).await?;
    api.store.fail(lease, &body, key.of(caller.id()).as_deref()).await?;
    Ok(Json(api.store.task(lease.task).await?))
}
