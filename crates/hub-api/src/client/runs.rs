//! Deploy runs.

use super::{HubClient, HubError};
use crate::client::connection::Call;
use crate::types::RunReport;

impl HubClient {
    /// Says where a deploy run is; a later report takes the place of an earlier one.
    ///
    /// # Errors
    /// As for every call.
    pub async fn report_run(&self, report: &RunReport) -> Result<(), HubError> {
        let call = Call::post("runs", report)?;
        self.call::<serde_json::Value>(&call).await.map(drop)
    }
}
