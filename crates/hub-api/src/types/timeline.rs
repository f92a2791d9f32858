//! Who did what when, for a drawing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{AttemptState, GraphId, TaskId};

/// The attempts of a graph over time: a list for each field, in the order in which the attempts
/// began. The lists are equally long, but for `workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The graph's id.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// When its first attempt began; absent before that.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// When it ended, or now.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// The names of workers, in the order in which they began.
    pub workers: Vec<String>,
    /// The task of each attempt.
    #[schema(value_type = Vec<i64>)]
    pub tasks: Vec<TaskId>,
    /// Its number.
    pub epochs: Vec<i64>,
    /// Place of its worker in `workers`.
    pub worker: Vec<u32>,
    /// See `Attempt`.
    #[schema(value_type = Vec<String>)]
    pub states: Vec<AttemptState>,
    /// When it began, in seconds after `started_at`.
    pub begins: Vec<f64>,
    /// When it ended, in seconds after `started_at`; absent for one that runs.
    pub ends: Vec<Option<f64>>,
    /// Whether there were more attempts than a hub tells at once (20,000); the last are left out.
    pub more: bool,
}
