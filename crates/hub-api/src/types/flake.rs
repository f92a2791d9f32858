//! Tests that pass and fail on one tree.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;

/// Tests of a repository that a run has seen to pass and to fail on one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlakeReport {
    /// The repository, by whatever all its clones have in common: `github.com/acme/fleet`.
    pub repository: String,
    /// Their names, 1 to 500.
    pub tests: Vec<String>,
}

/// A test that was seen to pass and to fail on one tree within the last two weeks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flake {
    /// Its name, as the run's test report has it.
    pub test: String,
    /// When it was last reported.
    #[schema(value_type = String)]
    pub seen_at: Timestamp,
}
