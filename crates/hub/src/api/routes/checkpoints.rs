//! Checkpoints of runs' audit logs: the hub keeps the latest, and signs it as a witness
//! (<https://c2sp.org/tlog-witness>), after a proof that the log extends what it has signed before.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use crate::api::Api;
use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Body, PathParams};
use crate::api::problem::{Kind, Problem};
use crate::store::NewCheckpoint;
use greenloop_audit::{Checkpoint, ConsistencyProof};
use greenloop_hub_api::types;

/// Bytes of a checkpoint with its signatures.
const LONGEST: usize = 4 << 10;
/// Hashes of a proof: two a level, of the longest log that can be counted.
const MOST_HASHES: usize = 128;

/// The latest checkpoint of a run's audit log
#[utoipa::path(
    get, path = "/checkpoints/{run}", tag = "runs", operation_id = "get_checkpoint",
    params(("run" = String, Path)),
    responses((status = 200, body = types::KeptCheckpoint)), security(("token" = ["read"]))
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(run): PathParams<String>,
) -> Result<Json<types::KeptCheckpoint>, Problem> {
    let kept = api.store.checkpoint(&run).await?;
    let missing = || Problem::new(Kind::NotFound, format!("there is no checkpoint of run {run}"));
    kept.map(Json).ok_or_else(missing)
}

/// Keeps a checkpoint of a run's audit log, if the log extends what the hub has of it
#[utoipa::path(
    post, path = "/checkpoints", tag = "runs", operation_id = "keep_checkpoint",
    request_body = types::CheckpointSubmission,
    responses((status = 200, body = types::KeptCheckpoint)), security(("token" = ["work"]))
)]
pub(super) async fn keep(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    Body(body): Body<types::CheckpointSubmission>,
) -> Result<Json<types::KeptCheckpoint>, Problem> {
    if let Some(agent) = caller.agent() {
        let id = caller.id();
        return Err(Problem::new(
            Kind::Forbidden,
            format!("the token {id} is the agent {agent}'s, which reports attempts and no runs"),
        ));
    }
    let new = checkpoint(&body.checkpoint)?;
    let run = new.run.to_string();
    let known = match api.store.checkpoint(&run).await? {
        Some(kept) => {
            let known: Checkpoint = kept.checkpoint.parse().map_err(|_| {
                Problem::new(Kind::Internal, format!("the checkpoint of run {run} is damaged"))
            })?;
            if known.records != body.known {
                let records = known.records;
                let detail = format!(
                    "the latest checkpoint of run {run} has {records} records: prove that the log \
                     extends that one"
                );
                return Err(Problem::new(Kind::Conflict, detail));
            }
            if !known.is_extended_by(&new, &proof(&body.proof)?) {
                tracing::warn!(run, "a log was submitted that does not extend its checkpoint");
                let detail = format!(
                    "the log of run {run} does not extend its latest checkpoint, of {} records: \
                     the proof is wrong, or records were replaced",
                    known.records
                );
                return Err(Problem::new(Kind::Conflict, detail));
            }
            known.records
        }
        None if body.known == 0 => 0,
        None => {
            let detail = format!("there is no checkpoint of run {run}: `known` must be 0");
            return Err(Problem::new(Kind::Conflict, detail));
        }
    };
    let records = new.records;
    let signed = match &api.settings.witness {
        Some(key) => {
            let now = Timestamp::now().as_second();
            new.cosigned(key, u64::try_from(now).unwrap_or_default())
        }
        None => new,
    };
    let text = signed.to_string();
    let new = NewCheckpoint { run, records, known, token: caller.id().to_owned(), text };
    Ok(Json(api.store.keep_checkpoint(&new).await?))
}

fn checkpoint(text: &str) -> Result<Checkpoint, Problem> {
    if text.len() > LONGEST {
        return Err(Problem::invalid("$.checkpoint", format!("at most {LONGEST} bytes")));
    }
    let read: Checkpoint =
        text.parse().map_err(|error| Problem::invalid("$.checkpoint", format!("{error}")))?;
    if read.records == 0 {
        return Err(Problem::invalid("$.checkpoint", "it must be of at least one record"));
    }
    Ok(read)
}

fn proof(lines: &[String]) -> Result<ConsistencyProof, Problem> {
    if lines.len() > MOST_HASHES {
        return Err(Problem::invalid("$.proof", format!("at most {MOST_HASHES} hashes")));
    }
    let no_hash = "it must be a SHA-256 hash in base64";
    ConsistencyProof::from_lines(lines)
        .map_err(|at| Problem::invalid(format!("$.proof[{at}]"), no_hash))
}
