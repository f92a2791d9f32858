//! Output of attempts and gates.

use std::time::Duration;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{LogAppend, LogMatches, LogPart, LogSize, Page, TaskLog};
use greenloop_model::task::{GraphId, Lease, TaskId};

impl HubClient {
    /// Adds a piece to an attempt's output; how long the output is then.
    ///
    /// # Errors
    /// [`StaleLease`](super::HubErrorKind::StaleLease) when the lease is no longer held.
    pub async fn append_log(&self, lease: Lease, piece: &LogAppend) -> Result<u64, HubError> {
        let path = format!("tasks/{}/attempts/{}/log", lease.task, lease.epoch);
        Ok(self.ask::<LogSize>(&Call::post(path, piece)?).await?.size)
    }

    /// The logs of a task.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn logs(&self, task: TaskId) -> Result<Vec<TaskLog>, HubError> {
        let page: Page<TaskLog> = self.ask(&Call::get(format!("tasks/{task}/logs"))).await?;
        Ok(page.items)
    }

    /// A part of a log from `offset` on; waits up to `wait` seconds, at most 20, when there is no
    /// more yet.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound) when there is no such log.
    pub async fn read_log(
        &self,
        task: TaskId,
        epoch: Option<i64>,
        source: &str,
        offset: u64,
        wait: u32,
    ) -> Result<LogPart, HubError> {
        let mut call = Call::get(format!("tasks/{task}/log"))
            .with("source", source)
            .with("offset", offset)
            .with("wait", wait);
        if let Some(epoch) = epoch {
            call = call.with("epoch", epoch);
        }
        call.waits = Duration::from_secs(wait.into());
        self.ask(&call).await
    }

    /// Lines of logs in which a text is.
    ///
    /// # Errors
    /// As for every call.
    pub async fn search_logs(
        &self,
        text: &str,
        task: Option<TaskId>,
        graph: Option<GraphId>,
    ) -> Result<LogMatches, HubError> {
        let mut call = Call::get("logs/search").with("q", text);
        if let Some(task) = task {
            call = call.with("task", task);
        }
        if let Some(graph) = graph {
            call = call.with("graph", graph);
        }
        self.ask(&call).await
    }
}
