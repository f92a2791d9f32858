//! What ends a run that does not end by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Passes over the stages; at least 1.
    pub max_iterations: u32,
    /// The run stops when the same fingerprint has appeared this many times; at least 1.
    pub no_progress_threshold: u32,
    /// Tokens sent and received, over all models.
    pub max_tokens: Option<u64>,
    /// US dollars, by the configured prices.
    pub max_cost_usd: Option<f64>,
    /// Wall-clock time of the run.
    #[serde(default, rename = "max_duration_ms", with = "crate::millis::option")]
    pub max_duration: Option<Duration>,
}
