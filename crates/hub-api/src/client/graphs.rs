//! Graphs and what becomes of their tasks.

use serde::de::DeserializeOwned;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{
    Attempt, Branch, Evidence, Graph, GraphSubmission, HoldDecisionRequest, Merge, Page, Task,
};
use greenloop_model::task::{GraphId, TaskId};

/// Items asked for at once.
const PAGE: u32 = 200;

impl HubClient {
    /// Hands a graph in; the same `key` gives the same graph, however often it is handed in.
    ///
    /// # Errors
    /// [`Invalid`](super::HubErrorKind::Invalid) with the place for a graph that the hub does not accept.
    pub async fn submit(&self, graph: &GraphSubmission, key: &str) -> Result<Graph, HubError> {
        let mut call = Call::post("graphs", graph)?;
        call.key = Some(key.to_owned());
        self.ask(&call).await
    }

    /// A graph.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn graph(&self, graph: GraphId) -> Result<Graph, HubError> {
        self.ask(&Call::get(format!("graphs/{graph}"))).await
    }

    /// The completion report of a graph as text: `json`, `markdown` or `html`.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn report(&self, graph: GraphId, format: &str) -> Result<String, HubError> {
        self.text(&Call::get(format!("graphs/{graph}/report")).with("format", format)).await
    }

    /// All graphs.
    ///
    /// # Errors
    /// As for every call.
    pub async fn graphs(&self) -> Result<Vec<Graph>, HubError> {
        self.pages(|| Call::get("graphs")).await
    }

    /// Ends a graph; its running tasks learn of it with their next heartbeat.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn cancel_graph(&self, graph: GraphId) -> Result<(), HubError> {
        let call = Call::post(format!("graphs/{graph}/cancel"), &serde_json::json!({}))?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }

    /// Tasks of all graphs that a text is found in, the latest first; at most `most`, and whether
    /// there may be more.
    ///
    /// # Errors
    /// [`Invalid`](super::HubErrorKind::Invalid) for a text that is empty or too long.
    pub async fn search_tasks(
        &self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<Task>, bool), HubError> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut call = Call::get("tasks/search").with("q", text).with("limit", PAGE);
            if let Some(cursor) = &cursor {
                call = call.with("cursor", cursor);
            }
            let page: Page<Task> = self.ask(&call).await?;
            found.extend(page.items);
            cursor = page.next;
            if found.len() > most || cursor.is_none() {
                let more = found.len() > most || cursor.is_some();
                found.truncate(most);
                return Ok((found, more));
            }
        }
    }

    /// A graph's tasks, in the order they were handed in.
    ///
    /// # Errors
    /// As for every call.
    pub async fn tasks(&self, graph: GraphId) -> Result<Vec<Task>, HubError> {
        let mut tasks: Vec<Task> = self.pages(|| Call::get("tasks").with("graph", graph)).await?;
        tasks.sort_by_key(|task| task.id);
        Ok(tasks)
    }

    /// What was found and made on the way of a task.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn evidence(&self, task: TaskId) -> Result<Vec<Evidence>, HubError> {
        self.pages(|| Call::get(format!("tasks/{task}/evidence"))).await
    }

    /// The attempts at a task, first to last.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, HubError> {
        self.pages(|| Call::get(format!("tasks/{task}/attempts"))).await
    }

    /// The entries of all merge queues.
    ///
    /// # Errors
    /// As for every call.
    pub async fn merges(&self) -> Result<Vec<Merge>, HubError> {
        self.pages(|| Call::get("merge-queue")).await
    }

    /// Branches that merges go to, and those of running attempts.
    ///
    /// # Errors
    /// As for every call.
    pub async fn branches(&self) -> Result<Vec<Branch>, HubError> {
        let page: Page<Branch> = self.ask(&Call::get("branches")).await?;
        Ok(page.items)
    }

    /// Says what becomes of a merge queue that is on hold.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound) when none is.
    pub async fn decide_hold(&self, decision: &HoldDecisionRequest) -> Result<(), HubError> {
        let call = Call::post("merge-queue/decision", decision)?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }

    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        call: impl Fn() -> Call<'static>,
    ) -> Result<Vec<T>, HubError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut call = call().with("limit", PAGE);
            if let Some(cursor) = &cursor {
                call = call.with("cursor", cursor);
            }
            let page: Page<T> = self.ask(&call).await?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            // An empty page that names another would go on for ever.
            match page.next.filter(|_| !empty) {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
    }
}
