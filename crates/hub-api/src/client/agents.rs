//! Agents as people see them.

use http::Method;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{Agent, Alert, Page};
use greenloop_model::task::GraphId;

impl HubClient {
    /// All agents, by name.
    ///
    /// # Errors
    /// As for every call.
    pub async fn agents(&self) -> Result<Vec<Agent>, HubError> {
        self.pages(|| Call::get("agents")).await
    }

    /// Removes an agent that left or is down.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound); [`Conflict`](super::HubErrorKind::Conflict)
    /// for one that is alive, or holds a lease.
    pub async fn remove_agent(&self, name: &str) -> Result<(), HubError> {
        let call = Call { method: Method::DELETE, ..Call::get(format!("agents/{name}")) };
        self.call::<serde_json::Value>(&call).await.map(drop)
    }

    /// What a person should know of workers, and of tasks of a graph, or of all, that no worker
    /// can do.
    ///
    /// # Errors
    /// As for every call.
    pub async fn alerts(&self, graph: Option<GraphId>) -> Result<Vec<Alert>, HubError> {
        let mut call = Call::get("alerts");
        if let Some(graph) = graph {
            call = call.with("graph", graph);
        }
        Ok(self.ask::<Page<Alert>>(&call).await?.items)
    }
}
