//! Output of attempts and gates.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Reader, Worker};
use crate::api::extract::{Body, PathParams, QueryParams};
use crate::api::problem::Problem;
use crate::store::{LogSearch, LogWriter, StoreErrorKind};
use greenloop_hub_api::types;
use greenloop_model::task::{GraphId, Lease, TaskId};

/// The longest that a reading may wait for more.
const LONGEST_WAIT: u32 = 20;
/// Between two looks of one that waits.
const LOOK: Duration = Duration::from_millis(400);
/// Bytes of a text that is searched for.
const LONGEST_SEARCH: usize = 200;

/// Adds a piece to an attempt's output; a piece that is there already is not added again
#[utoipa::path(
    post, path = "/tasks/{id}/attempts/{epoch}/log", tag = "work", operation_id = "append_log",
    params(("id" = i64, Path), ("epoch" = i64, Path)), request_body = types::LogAppend,
    responses((status = 200, body = types::LogSize)), security(("token" = ["work"]))
)]
pub(super) async fn append(
    State(api): State<Arc<Api>>,
    Worker(caller): Worker,
    PathParams((task, epoch)): PathParams<(i64, i64)>,
    Body(body): Body<types::LogAppend>,
) -> Result<Json<types::LogSize>, Problem> {
    let lease = Lease { task: TaskId(task), epoch };
    api.owners.check(&caller, lease).await?;
    let types::LogAppend { offset, text } = body;
    let size =
        api.store.append_log(lease, ATTEMPT, LogWriter::Attempt, Some(offset), &text).await?;
    Ok(Json(types::LogSize { size }))
}

/// The source of an attempt's own output.
const ATTEMPT: &str = "attempt";

/// The logs of a task, in the order of its attempts
#[utoipa::path(
    get, path = "/tasks/{id}/logs", tag = "tasks", operation_id = "list_logs",
    params(("id" = i64, Path)),
    responses((status = 200, body = types::Page<types::TaskLog>)), security(("token" = ["read"]))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
) -> Result<Json<types::Page<types::TaskLog>>, Problem> {
    let items = api.store.logs(TaskId(id)).await?;
    if items.is_empty() {
        api.store.task(TaskId(id)).await?;
    }
    Ok(Json(types::Page { items, next: None }))
}

/// Which part of which log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Of this attempt; the latest one that has such a log when nothing is said.
    epoch: Option<i64>,
    /// `attempt` when nothing is said, or `gate 1` and so on.
    source: Option<String>,
    /// From this place on: `next` of the part before.
    offset: Option<u64>,
    /// How many seconds to wait for more when there is none yet, at most 20.
    #[param(maximum = 20)]
    wait: Option<u32>,
}

/// A part of a log; with `wait`, as soon as there is more
#[utoipa::path(
    get, path = "/tasks/{id}/log", tag = "tasks", operation_id = "read_log",
    params(("id" = i64, Path), LogQuery),
    responses((status = 200, body = types::LogPart)), security(("token" = ["read"]))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    QueryParams(which): QueryParams<LogQuery>,
) -> Result<Json<types::LogPart>, Problem> {
    let LogQuery { epoch, source, offset, wait } = which;
    let wait = wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::invalid("wait", format!("it must be at most {LONGEST_WAIT}")));
    }
    let until = Instant::now() + Duration::from_secs(wait.into());
    let (source, offset) = (source.as_deref().unwrap_or(ATTEMPT), offset.unwrap_or(0));
    loop {
        let part = api.store.read_log(TaskId(id), epoch, source, offset).await;
        let over = Instant::now() + LOOK > until || api.end.is_cancelled();
        match part {
            Ok(part) if !part.text.is_empty() || part.ended || over => return Ok(Json(part)),
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::NotFound && !over => {
                // It may begin in a moment, if there is such a task at all.
                api.store.task(TaskId(id)).await?;
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = api.end.cancelled() => {}
        }
    }
}

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// A text; capitals do not count.
    q: String,
    /// Only in logs of this task.
    task: Option<i64>,
    /// Only in logs of this graph's tasks.
    graph: Option<i64>,
}

/// Lines of logs in which a text is
#[utoipa::path(
    get, path = "/logs/search", tag = "tasks", operation_id = "search_logs", params(SearchQuery),
    responses((status = 200, body = types::LogMatches)), security(("token" = ["read"]))
)]
pub(super) async fn search(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<SearchQuery>,
) -> Result<Json<types::LogMatches>, Problem> {
    let SearchQuery { q, task, graph } = which;
    if q.is_empty() || q.len() > LONGEST_SEARCH {
        let message = format!("it must be 1 to {LONGEST_SEARCH} bytes long");
        return Err(Problem::invalid("q", message));
    }
    let search = LogSearch { text: q, task: task.map(TaskId), graph: graph.map(GraphId) };
    Ok(Json(api.store.search_logs(&search).await?))
}
