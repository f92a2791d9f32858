//! What a process target remembers of a release.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::service_log::LogMark;
use crate::supervisor::release_state::{self, ReleaseDetail, TargetState};

/// All a process target remembers.
pub(super) type State = TargetState<ProcessDetail>;
/// One release of it.
pub(super) type ReleaseRecord = release_state::ReleaseRecord<ProcessDetail>;

/// How a release's process is started and judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// Added to the environment.
    pub(super) env: BTreeMap<String, String>,
    /// Path of the health check.
    pub(super) health: String,
    /// For each health request.
    pub(super) health_timeout: Duration,
    /// How long connections may take to finish after a switch.
    pub(super) drain: Duration,
    /// How many releases are kept.
    pub(super) keep: u32,
}

/// A process that runs a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunningRecord {
    pub(super) pid: u32,
    /// Its private port on the loopback interface.
    pub(super) port: u16,
}

/// A release as a process of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessDetail {
    pub(super) launch: Launch,
    pub(super) running: Option<RunningRecord>,
    /// Where its log stood when it last began to serve, or was started.
    pub(super) log: Option<LogMark>,
    /// Starts after a crash.
    pub(super) restarts: u32,
    /// How its process last ended by itself.
    pub(super) last_exit: Option<String>,
}

impl ProcessDetail {
    /// Not started yet.
    pub(super) fn new(launch: Launch) -> Self {
        Self { launch, running: None, log: None, restarts: 0, last_exit: None }
    }
}

impl ReleaseDetail for ProcessDetail {
    fn keep(&self) -> u32 {
        self.launch.keep
    }
}
