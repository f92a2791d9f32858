//! What a worker says: claims, heartbeats, evidence, the end of an attempt.

use std::time::Duration;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{
    Agent, AgentHeartbeat, AgentLeaving, AttemptFailure, AttemptHeartbeat, AttemptLease,
    ClaimRequest, Claimed, Completion, Evidence, NewEvidence,
};
use greenloop_model::task::Lease;

impl HubClient {
    /// Asks for work and waits for it at the hub, up to `wait_seconds`; `None` when none came up.
    ///
    /// # Errors
    /// As for every call.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claimed>, HubError> {
        let mut call = Call::post("claims", request)?;
        call.waits = Duration::from_secs(request.wait_seconds.into());
        self.call(&call).await
    }

    /// Keeps the lease, and hears whether the task was cancelled.
    ///
    /// # Errors
    /// [`StaleLease`](super::HubErrorKind::StaleLease) when it is no longer held.
    pub async fn heartbeat(
        &self,
        lease: Lease,
        beat: &AttemptHeartbeat,
    ) -> Result<AttemptLease, HubError> {
        self.ask(&Call::post(path(lease, "heartbeat"), beat)?).await
    }

    /// Adds a piece of evidence to the attempt.
    ///
    /// # Errors
    /// [`StaleLease`](super::HubErrorKind::StaleLease) when the lease is no longer held.
    pub async fn add_evidence(
        &self,
        lease: Lease,
        evidence: &NewEvidence,
    ) -> Result<Option<Evidence>, HubError> {
        self.call(&Call::post(path(lease, "evidence"), evidence)?).await
    }

    /// Reports success.
    ///
    /// # Errors
    /// [`StaleLease`](super::HubErrorKind::StaleLease) when the lease is no longer held: then
    /// nothing has changed.
    pub async fn complete(&self, lease: Lease, completion: &Completion) -> Result<(), HubError> {
        let call = Call::post(path(lease, "complete"), completion)?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }

    /// Reports a failure.
    ///
    /// # Errors
    /// [`StaleLease`](super::HubErrorKind::StaleLease) when the lease is no longer held: then
    /// nothing has changed.
    pub async fn fail(&self, lease: Lease, failure: &AttemptFailure) -> Result<(), HubError> {
        let call = Call::post(path(lease, "fail"), failure)?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }

    /// Says that the worker is there; what the hub knows of it, and what a person wants of it.
    ///
    /// # Errors
    /// As for every call.
    pub async fn agent_heartbeat(&self, beat: &AgentHeartbeat) -> Result<Agent, HubError> {
        self.ask(&Call::post("agents/heartbeat", beat)?).await
    }

    /// Says that this start of the worker stops.
    ///
    /// # Errors
    /// As for every call.
    pub async fn agent_leaves(&self, name: &str, leaving: &AgentLeaving) -> Result<(), HubError> {
        let call = Call::post(format!("agents/{name}/leave"), leaving)?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }
}

fn path(lease: Lease, what: &str) -> String {
    format!("tasks/{}/attempts/{}/{what}", lease.task, lease.epoch)
}
