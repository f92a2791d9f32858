//! What an agent says of an attempt: each report carries the attempt's epoch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::auth::Worker;
use crate::api::extract::{Body, Key, Place};
use crate::api::problem::Problem;
use crate::api::{Api, records};
use crate::store::{AttemptFailure, AttemptHeartbeat, Completion, NewEvidence};
use greenloop_hub_api::client::wire;
use greenloop_model::FailureClass;
use greenloop_model::task::{EvidenceKind, Lease, TaskId};

/// Bytes of a title or a summary.
const LINE: usize = 4_096;

fn lease((task, epoch): (i64, i64)) -> Lease {
    Lease { task: TaskId(task), epoch }
}

fn short(path: &str, text: &str) -> Result<(), Problem> {
    if text.len() > LINE {
        return Err(Problem::invalid(path, format!("it is at most {LINE} bytes long")));
    }
    Ok(())
}

/// Keeps the lease, and hears whether the task was cancelled
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/heartbeat", tag = "work",
    operation_id = "heartbeat_attempt", params(("id" = i64, Path), ("epoch" = i64, Path)),
    request_body = wire::AttemptHeartbeat,
    responses((status = 200, body = wire::AttemptLease)), security(("token" = ["work"]))
)]
pub(super) async fn heartbeat(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Place(place): Place<(i64, i64)>,
    Body(body): Body<wire::AttemptHeartbeat>,
) -> Result<Json<wire::AttemptLease>, Problem> {
    let lease = lease(place);
    if body.percent.is_some_and(|it| it > 100) {
        return Err(Problem::invalid("$.percent", "it is from 0 to 100"));
    }
    api.holders.check(&caller, lease).await?;
    let report = AttemptHeartbeat { percent: body.percent, message: body.message };
    Ok(Json(records::lease(api.store.heartbeat(lease, &report).await?)))
}

/// Adds a piece of evidence
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/evidence", tag = "work",
    operation_id = "add_evidence",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = wire::NewEvidence,
    responses((status = 201, body = wire::Evidence)), security(("token" = ["work"]))
)]
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Place(place): Place<(i64, i64)>,
    key: Key,
    Body(body): Body<wire::NewEvidence>,
) -> Result<(StatusCode, Json<wire::Evidence>), Problem> {
    let lease = lease(place);
    let kind = EvidenceKind::from_name(&body.kind).ok_or_else(|| {
        let known: Vec<&str> = EvidenceKind::ALL.iter().map(|it| it.name()).collect();
        Problem::invalid("$.kind", format!("it is one of {}", known.join(", ")))
    })?;
    short("$.title", &body.title)?;
    if let Some(url) = &body.url {
        short("$.url", url)?;
        // The dashboard makes links of them.
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Problem::invalid("$.url", "it begins with https:// or http://"));
        }
    }
    api.holders.check(&caller, lease).await?;
    let evidence = NewEvidence { kind, title: body.title, body: body.body, url: body.url };
    let id = api.store.add_evidence(lease, &evidence, key.of(caller.id()).as_deref()).await?;
    let added = api.store.evidence_piece(id).await?;
    Ok((StatusCode::CREATED, Json(records::evidence(added))))
}

/// Reports success: the task is done, or goes to the merge queue when there is a commit
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/complete", tag = "work",
    operation_id = "complete_attempt",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = wire::Completion,
    responses((status = 200, body = wire::Task)), security(("token" = ["work"]))
)]
pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Place(place): Place<(i64, i64)>,
    key: Key,
    Body(body): Body<wire::Completion>,
) -> Result<Json<wire::Task>, Problem> {
    let lease = lease(place);
    short("$.summary", &body.summary)?;
    if let Some(commit) = &body.commit {
        let hex = commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex || !matches!(commit.len(), 40 | 64) {
            return Err(Problem::invalid("$.commit", "it is the whole id of a commit"));
        }
    }
    api.holders.check(&caller, lease).await?;
    if let Some(branch) = &body.branch {
        // No name of another epoch begins like this.
        let own = branch.strip_prefix(&lease.branch()).and_then(|rest| rest.strip_prefix('-'));
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !own.is_some_and(|rest| (1..=64).contains(&rest.len()) && plain(rest)) {
            let message = format!("it is {}- and 1 to 64 letters and digits", lease.branch());
            return Err(Problem::invalid("$.branch", message));
        }
    }
    let completion = Completion { commit: body.commit, summary: body.summary, branch: body.branch };
    api.store.complete(lease, &completion, key.of(caller.id()).as_deref()).await?;
    Ok(Json(records::task(api.store.task(lease.task).await?)))
}

/// Reports a failure: the task is tried again after a rest, or given up
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/fail", tag = "work", operation_id = "fail_attempt",
    params(("id" = i64, Path), ("epoch" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = wire::AttemptFailure,
    responses((status = 200, body = wire::Task)), security(("token" = ["work"]))
)]
pub(super) async fn fail(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Place(place): Place<(i64, i64)>,
    key: Key,
    Body(body): Body<wire::AttemptFailure>,
) -> Result<Json<wire::Task>, Problem> {
    let lease = lease(place);
    if FailureClass::from_name(&body.class).is_none() {
        return Err(Problem::invalid("$.class", "there is no such class of failures"));
    }
    if let Some(fingerprint) = &body.fingerprint {
        short("$.fingerprint", fingerprint)?;
    }
    api.holders.check(&caller, lease).await?;
    let failure = AttemptFailure {
        class: body.class,
        message: body.message,
        fingerprint: body.fingerprint,
        retry: body.retry,
        uncounted: body.uncounted,
        quarantine: body.quarantine,
        unreachable: body.unreachable,
    };
    api.store.fail(lease, &failure, key.of(caller.id()).as_deref()).await?;
    Ok(Json(records::task(api.store.task(lease.task).await?)))
}
