//! What people do.

use http::Method;
use serde::Serialize;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{
    ActionRequest, Agent, Branch, Ejection, Graph, Merge, NewTask, OperatorAction, Page,
    QueueRequest, Resolution, RetryRequest, Task, TaskAssignment, TaskEdit,
};
use greenloop_model::task::{GraphId, MergeId, TaskId};

fn because(reason: &str) -> ActionRequest {
    ActionRequest { reason: reason.to_owned() }
}

impl HubClient {
    async fn on_task(
        &self,
        task: TaskId,
        what: &str,
        body: &impl Serialize,
    ) -> Result<Task, HubError> {
        self.ask(&Call::post(format!("tasks/{task}/{what}"), body)?).await
    }

    /// Has a task tried again.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound); [`Conflict`](super::HubErrorKind::Conflict)
    /// with the state in which that cannot be done, as for every action.
    pub async fn retry_task(&self, task: TaskId, request: &RetryRequest) -> Result<Task, HubError> {
        self.on_task(task, "retry", request).await
    }

    /// Cancels a task.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn cancel_task(&self, task: TaskId, reason: &str) -> Result<Task, HubError> {
        self.on_task(task, "cancel", &because(reason)).await
    }

    /// Changes a task before its next attempt.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task); [`Invalid`](super::HubErrorKind::Invalid).
    pub async fn edit_task(&self, task: TaskId, edit: &TaskEdit) -> Result<Task, HubError> {
        let call = Call { method: Method::PUT, ..Call::post(format!("tasks/{task}"), edit)? };
        self.ask(&call).await
    }

    /// Adds a task to a graph that runs.
    ///
    /// # Errors
    /// As [`edit_task`](Self::edit_task).
    pub async fn add_task(&self, new: &NewTask) -> Result<Task, HubError> {
        self.ask(&Call::post("tasks", new)?).await
    }

    /// Says which workers may do a task.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn assign_task(
        &self,
        task: TaskId,
        assignment: &TaskAssignment,
    ) -> Result<Task, HubError> {
        self.on_task(task, "assign", assignment).await
    }

    /// Takes a task from the workers.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn take_over_task(&self, task: TaskId, reason: &str) -> Result<Task, HubError> {
        self.on_task(task, "take-over", &because(reason)).await
    }

    /// Hands in what a person has done for a task.
    ///
    /// # Errors
    /// As [`edit_task`](Self::edit_task).
    pub async fn resolve_task(
        &self,
        task: TaskId,
        resolution: &Resolution,
    ) -> Result<Task, HubError> {
        self.on_task(task, "resolve", resolution).await
    }

    /// `retry` (what failed or is blocked), `pause` or `resume` of a graph, or `cancel`.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn graph_action(
        &self,
        graph: GraphId,
        action: &str,
        reason: &str,
    ) -> Result<Graph, HubError> {
        self.ask(&Call::post(format!("graphs/{graph}/{action}"), &because(reason))?).await
    }

    /// `activate`, `deactivate`, `drain`, `quarantine` or `release` of a worker.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn agent_action(
        &self,
        name: &str,
        action: &str,
        reason: &str,
    ) -> Result<Agent, HubError> {
        self.ask(&Call::post(format!("agents/{name}/{action}"), &because(reason))?).await
    }

    /// Throws an entry out of its merge queue.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn eject_merge(&self, id: MergeId, reason: &str) -> Result<Merge, HubError> {
        let body = Ejection { reason: reason.to_owned() };
        self.ask(&Call::post(format!("merge-queue/{id}/eject"), &body)?).await
    }

    /// Puts an entry back that left its merge queue.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn requeue_merge(&self, id: MergeId, reason: &str) -> Result<Merge, HubError> {
        self.ask(&Call::post(format!("merge-queue/{id}/retry"), &because(reason))?).await
    }

    /// Pauses a merge queue, or ends the pause.
    ///
    /// # Errors
    /// As [`retry_task`](Self::retry_task).
    pub async fn pause_queue(
        &self,
        queue: &QueueRequest,
        paused: bool,
    ) -> Result<Vec<Branch>, HubError> {
        let path = if paused { "merge-queue/pause" } else { "merge-queue/resume" };
        let page: Page<Branch> = self.ask(&Call::post(path, queue)?).await?;
        Ok(page.items)
    }

    /// What people did, latest first; at most `limit`, up to 500.
    ///
    /// # Errors
    /// As for every call.
    pub async fn actions(
        &self,
        graph: Option<GraphId>,
        task: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<OperatorAction>, HubError> {
        let mut call = Call::get("actions").with("limit", limit);
        if let Some(graph) = graph {
            call = call.with("graph", graph);
        }
        if let Some(task) = task {
            call = call.with("task", task);
        }
        Ok(self.ask::<Page<OperatorAction>>(&call).await?.items)
    }
}
