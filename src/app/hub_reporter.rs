//! Reports the beginning and the end of a deploy run to a hub, for its dashboard, and its audit log's
//! checkpoints. The end of a run
//! waits for the hub a few seconds at most, and a hub that does not answer fails no run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::hub_connection::{connect, hub_of};
use super::hub_witness::HubWitness;
use super::{AppError, Environment};
use greenloop_config::plan::TasksPlan;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::HubClient;
use greenloop_hub_api::types::RunReport;
use greenloop_model::{RunHeader, RunSummary, StopReason, error_chain};
use greenloop_report::SUMMARY_FILE;

/// How long the hub may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same at the end of a cancelled run: what cancelled it kills the process soon.
const CANCELLED_TIMEOUT: Duration = Duration::from_millis(500);

/// The reports of one run.
pub(super) struct HubReporter {
    client: HubClient,
    redactor: Redactor,
    report: RunReport,
    folder: PathBuf,
    begun: JoinHandle<()>,
    witness: HubWitness,
}

impl HubReporter {
    /// Reports that a run has begun; `None` where no hub or no token for it is known.
    pub(super) fn begin(
        tasks: Option<&TasksPlan>,
        env: &Environment,
        header: &RunHeader,
    ) -> Option<Self> {
        let (hub, token_env) = hub_of(tasks, env)?;
        let (client, redactor) = match connect(&hub, &token_env, env) {
            Ok((client, redactor)) => (client.within(TIMEOUT), redactor),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the run is not reported to the hub");
                return None;
            }
        };
        let environment =
            header.environment.as_ref().map_or_else(|| header.title.clone(), ToString::to_string);
        let report = RunReport {
            id: header.run.to_string(),
            environment,
            state: "running".to_owned(),
            commit: Some(header.commit.to_string()),
            iterations: 0,
            summary: redactor.redact(&header.title).into_owned(),
            report: String::new(),
        };
        let begun = tokio::spawn({
            let (client, report) = (client.clone(), report.clone());
            async move { send(&client, &report, TIMEOUT).await }
        });
        let witness = HubWitness::watch(client.clone(), header.run, &header.folder);
        Some(Self { client, redactor, report, folder: header.folder.clone(), begun, witness })
    }

    /// Reports how it ended, with the summary that the run has written.
    pub(super) async fn end(self, outcome: &Result<RunSummary, AppError>) {
        let Self { client, redactor, mut report, folder, begun, witness } = self;
        // A late beginning must not take the place of the end.
        let _ended = begun.await;
        let (state, line) = match outcome {
            Ok(summary) => (state(summary), summary.stop.to_string()),
            Err(error) => ("stopped", error_chain(error)),
        };
        report.state = state.to_owned();
        report.iterations = outcome.as_ref().map_or(0, |summary| summary.iterations);
        report.summary = redactor.redact(line.lines().next().unwrap_or_default()).into_owned();
        report.report = redactor.redact(&written(&folder).await).into_owned();
        let cancelled = matches!(outcome, Ok(summary) if summary.stop == StopReason::Cancelled);
        let timeout = if cancelled { CANCELLED_TIMEOUT } else { TIMEOUT };
        tokio::join!(send(&client, &report, timeout), witness.finish(timeout));
    }
}

/// As the dashboard knows it.
fn state(summary: &RunSummary) -> &'static str {
    match &summary.stop {
        StopReason::Verified => "verified",
        StopReason::Cancelled => "cancelled",
        _ if summary.is_restored() => "restored",
        _ => "stopped",
    }
}

async fn written(folder: &Path) -> String {
    tokio::fs::read_to_string(folder.join(SUMMARY_FILE)).await.unwrap_or_default()
}

/// A hub that accepts the connection and never answers is treated as one that cannot be reached.
async fn send(client: &HubClient, report: &RunReport, timeout: Duration) {
    let said = tokio::time::timeout(timeout, client.report_run(report)).await;
    let why = match said {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error_chain(&error),
        Err(_elapsed) => format!("no answer within {} s", timeout.as_secs()),
    };
    tracing::warn!(why, "the run could not be reported to the hub");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hub_that_never_answers_is_given_up() {
        let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = format!("http://{}", deaf.local_addr().unwrap());
        let client = HubClient::new(&hub, None).unwrap().within(TIMEOUT);
        let report = RunReport {
            id: "r".to_owned(),
            environment: "staging".to_owned(),
            state: "running".to_owned(),
            commit: None,
            iterations: 0,
            summary: String::new(),
            report: String::new(),
        };
        // It returns, although no answer ever comes.
        send(&client, &report, Duration::from_secs(1)).await;
    }
}
