//! Results of quality gates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Exit;

/// How one gate ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// Exit status 0.
    Passed,
    /// It ran and did not exit with 0.
    Failed(Exit),
    /// It passed when it was run again on the same tree.
    Flaky,
    /// It did not run, because the named gate that it needs did not pass.
    Skipped { needs: String },
    /// It was stopped because the run was cancelled.
    Cancelled,
}

/// One gate's result. Results stand in the order the gates are configured, however they ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The gate's configured name.
    pub name: String,
    /// Whether its failure fails the stage (required) or only warns (advisory).
    pub required: bool,
    /// How it ended.
    pub status: GateStatus,
    /// Wall-clock time it took; zero when it did not run.
    #[serde(rename = "duration_ms", with = "crate::millis")]
    pub duration: Duration,
    /// Bytes of output it wrote.
    pub output_bytes: u64,
    /// Its log, relative to the run's folder.
    pub log: Option<String>,
}

impl GateResult {
    /// Whether dependants may run.
    pub fn passed(&self) -> bool {
        match self.status {
            GateStatus::Passed | GateStatus::Flaky => true,
            GateStatus::Failed(_) | GateStatus::Skipped { .. } | GateStatus::Cancelled => false,
        }
    }
}
