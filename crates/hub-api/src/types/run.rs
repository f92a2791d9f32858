//! Deploy runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;

/// A deploy run says where it is; a later report takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// The run's id.
    pub id: String,
    /// What it deploys to.
    pub environment: String,
    /// `running`, `verified`, or why it stopped.
    pub state: String,
    /// What it deploys.
    #[serde(default)]
    pub commit: Option<String>,
    /// Passes over the stages.
    #[serde(default)]
    pub iterations: u32,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// The report, in Markdown; redacted by who sends it.
    #[serde(default)]
    pub report: String,
}

/// A deploy run in the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run's id.
    pub id: String,
    /// What it deploys to.
    pub environment: String,
    /// `running`, `verified`, or why it stopped.
    pub state: String,
    /// What it deploys.
    pub commit: Option<String>,
    /// Passes over the stages.
    pub iterations: u32,
    /// One line for people.
    pub summary: String,
    /// The report, in Markdown; empty in lists.
    pub report: String,
    /// First reported.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
    /// Last reported.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
}
