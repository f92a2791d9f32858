//! Flaky tests.

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::{Flake, FlakeReport, Page};

/// The most that the hub gives at once.
const MOST: u32 = 500;

impl HubClient {
    /// Says which tests a run has seen to pass and to fail on one tree.
    ///
    /// # Errors
    /// As for every call.
    pub async fn report_flakes(&self, report: &FlakeReport) -> Result<(), HubError> {
        self.call::<serde_json::Value>(&Call::post("flakes", report)?).await.map(drop)
    }

    /// The flaky tests of a repository, the latest first; at most 500.
    ///
    /// # Errors
    /// As for every call.
    pub async fn flakes(&self, repository: &str) -> Result<Vec<Flake>, HubError> {
        let call = Call::get("flakes").with("repository", repository).with("limit", MOST);
        Ok(self.ask::<Page<Flake>>(&call).await?.items)
    }
}
