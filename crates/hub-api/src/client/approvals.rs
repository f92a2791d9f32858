//! Decisions that people are asked for.

use std::time::Duration;

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{ActionRequest, Approval, ApprovalDecision, ApprovalSubmission, Page};
use greenloop_model::ApprovalState;

impl HubClient {
    /// Asks for a decision; what is pending already is found again.
    ///
    /// # Errors
    /// As for every call.
    pub async fn request_approval(
        &self,
        request: &ApprovalSubmission,
    ) -> Result<Approval, HubError> {
        self.ask(&Call::post("approvals", request)?).await
    }

    /// Says that the run still waits, and waits up to `wait` seconds, at most 20, for the decision.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn await_approval(&self, id: i64, wait: u32) -> Result<Approval, HubError> {
        let body = serde_json::json!({});
        let mut call = Call::post(format!("approvals/{id}/await"), &body)?.with("wait", wait);
        // Each answer is that of its moment.
        call.key = None;
        call.waits = Duration::from_secs(wait.into());
        self.ask(&call).await
    }

    /// Waits no longer for a decision.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn withdraw_approval(&self, id: i64, reason: &str) -> Result<Approval, HubError> {
        let body = ActionRequest { reason: reason.to_owned() };
        self.ask(&Call::post(format!("approvals/{id}/withdraw"), &body)?).await
    }

    /// The decisions that were asked for, latest first, without their texts; at most `limit`, up
    /// to 500.
    ///
    /// # Errors
    /// As for every call.
    pub async fn approvals(
        &self,
        state: Option<ApprovalState>,
        limit: u32,
    ) -> Result<Vec<Approval>, HubError> {
        let mut call = Call::get("approvals").with("limit", limit);
        if let Some(state) = state {
            call = call.with("state", state);
        }
        Ok(self.ask::<Page<Approval>>(&call).await?.items)
    }

    /// One of them, with its texts.
    ///
    /// # Errors
    /// [`NotFound`](super::HubErrorKind::NotFound)
    pub async fn approval(&self, id: i64) -> Result<Approval, HubError> {
        self.ask(&Call::get(format!("approvals/{id}"))).await
    }

    /// Decides.
    ///
    /// # Errors
    /// [`Conflict`](super::HubErrorKind::Conflict) when it is not pending, or about something else
    /// than `decision` says.
    pub async fn decide_approval(
        &self,
        id: i64,
        approve: bool,
        decision: &ApprovalDecision,
    ) -> Result<Approval, HubError> {
        let what = if approve { "approve" } else { "reject" };
        self.ask(&Call::post(format!("approvals/{id}/{what}"), decision)?).await
    }
}
