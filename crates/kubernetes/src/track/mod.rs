//! Follows a rollout until it has proved itself, is doomed, or is no longer this run's.
//!
//! A pure judge and an impure driver. [`view`] keeps what the watches brought, [`signal`] reads
//! signs of trouble off it, the table in [`rules`] says which of them are final and when, and
//! [`judge`] gives the verdict for a moment in time; none of these reads a clock or the network.
//! [`driver`] owns the view and the connection: it feeds the one, asks the judge after every
//! change, sets a timer for the next moment at which the clock alone could change the verdict,
//! and fetches the logs of crashes and the open ports that the judge would like to know.
//!
//! Invariants:
//! - Only pods of the revision that this run wrote are judged; an older pod's trouble is its own.
//! - Nothing is written to the cluster, and nothing polled but the ends of logs: of containers
//!   that run while what needs them is held back.
//! - The evidence is complete before [`track`] returns, and with it before anything is rolled back.
//! - While the API server is away nothing is decided: what is known is from before.
//!
//! What is final when stands in `docs/rollout-rules.md`, made from the table.

mod cause;
mod crash;
mod driver;
mod error;
mod evidence;
mod judge;
mod logs;
mod movement;
mod object;
#[cfg(test)]
mod page;
mod pods;
mod ports;
mod probe;
mod progress;
mod rule;
mod rules;
#[cfg(test)]
mod scenarios;
mod signal;
mod signals;
mod tail;
mod view;
mod watch;
#[cfg(test)]
mod wire_tests;
mod workload_status;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use driver::{Tracker, WaveOutcome};
pub use error::{TrackError, TrackErrorKind};

use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, Evidence, FailureClass};
use greenloop_ports::PartLog;

/// The kinds of workload that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
}

impl WorkloadKind {
    pub const ALL: [Self; 4] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Job];

    /// The kind as the API writes it: `Deployment`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
        }
    }

    /// The kind as people type it: `deployment` in `deployment/web`.
    pub fn word(self) -> String {
        self.name().to_ascii_lowercase()
    }
}

/// One workload as this run wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    pub name: String,
    /// Its `metadata.uid`: an object of the same name with another uid is not this one.
    pub uid: String,
    /// Its `metadata.generation` after this run's write.
    pub generation: i64,
    /// Whether the write changed anything.
    pub changed: bool,
}

/// How a rollout is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSettings {
    /// Not proved by then, it has failed. Time in which the API server could not be reached
    /// is added, up to a limit.
    pub deadline: Duration,
    /// How long restart counts must stay still once all is available; the longest of
    /// `minReadySeconds`, two readiness periods and ten seconds for `None`.
    pub soak: Option<Duration>,
    /// The rendered diff since the last good release, for the evidence.
    pub diff: String,
}

/// How a rollout ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is updated and available, and stayed so.
    Ready {
        /// How long it was watched after it had become available.
        soaked: Duration,
    },
    /// It cannot succeed, or has not in time.
    Failed(Box<RolloutFailure>),
    /// Somebody else wrote a newer revision: what happens now is not this run's to judge.
    Superseded {
        /// One line for a person.
        message: String,
    },
    Cancelled,
}

/// Why a rollout failed.
#[derive(Debug)]
pub struct RolloutFailure {
    /// The rule that says so: a row of `docs/rollout-rules.md`.
    pub rule: &'static str,
    /// One line for a person.
    pub message: String,
    /// Where it is routed to.
    pub class: FailureClass,
    /// What was known at that moment, before anything was rolled back.
    pub evidence: Box<Evidence>,
}

/// Follows `workloads` until they have proved themselves, one of them is doomed, or `deadline`.
///
/// # Errors
/// When the cluster cannot be read: refused, or away for longer than is tolerated.
pub async fn track(
    client: &kube::Client,
    workloads: &[Workload],
    settings: &TrackSettings,
    redactor: &Redactor,
    events: &EventSink,
    cancel: &CancellationToken,
) -> Result<Outcome, TrackError> {
    driver::run(client, workloads, settings, redactor, events, cancel).await
}

/// What keeps the pods of `workloads` from being ready, a line for each of the newest.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn unready_pods(
    client: &kube::Client,
    workloads: &[Workload],
) -> Result<Vec<String>, TrackError> {
    let mut lines = Vec::new();
    for workload in workloads {
        let pods = pods::of(client, workload).await?;
        lines.extend(pods.iter().filter_map(pods::what_keeps).take(pods::TOLD));
    }
    Ok(lines)
}

/// The end of what the pods of `workloads` have written since `since`, bounded and redacted.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn pod_logs(
    client: &kube::Client,
    workloads: &[Workload],
    since: Option<jiff::Timestamp>,
    redactor: &Redactor,
) -> Result<Vec<PartLog>, TrackError> {
    let mut logs = Vec::new();
    for workload in workloads {
        for pod in pods::of(client, workload).await? {
            logs::append(client, &pod, since, redactor, &mut logs).await;
        }
    }
    Ok(logs)
}
