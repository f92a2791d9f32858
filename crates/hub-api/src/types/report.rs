//! The completion report of a graph: what was done by whom, and what it cost. What the hub does
//! not know is absent, not zero.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::graph::Graph;
use super::timestamp::Timestamp;
use greenloop_model::task::{AttemptState, MergeId, MergeState, TaskId, TaskState};

/// The completion report of a graph; of one that still runs, so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphReport {
    /// When the report was made.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The graph.
    pub graph: Graph,
    /// When its first attempt began; absent before that.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// From then until the graph ended, or until now.
    pub elapsed_seconds: Option<f64>,
    /// Estimates against actual times, in total.
    pub estimates: ReportEstimates,
    /// How fast the graph was; absent before an attempt has succeeded.
    pub speed_up: Option<SpeedUp>,
    /// Who did what: workers, people, merge queues.
    pub contributors: Vec<Contributor>,
    /// Actions of people, by person and action.
    pub actions: Vec<ActionCount>,
    /// The costs of models.
    pub costs: ReportCosts,
    /// The merge queues' work for the graph.
    pub merges: ReportMerges,
    /// Attempts that did not succeed, oldest first; at most 500.
    pub unsuccessful: Vec<UnsuccessfulAttempt>,
    /// How many there are in total.
    pub unsuccessful_total: u64,
    /// In the order in which they were handed in; at most 5,000.
    pub tasks: Vec<ReportTask>,
    /// How many there are in total.
    pub tasks_total: u64,
}

/// Estimates against actual times. Only tasks that have both are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportEstimates {
    /// The sum of all estimates, in hours.
    pub hours: f64,
    /// Tasks without an estimate.
    pub tasks_without_estimate: u64,
    /// Tasks with an estimate and an actual time.
    pub compared_tasks: u64,
    /// Their estimates, in hours; absent when there are none.
    pub compared_hours: Option<f64>,
    /// Their actual time; absent when there are none.
    pub compared_seconds: Option<f64>,
}

/// How fast a graph was, against what its dependencies and its workers allow. All times are
/// measured: the work of a task is the time of the attempt that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpeedUp {
    /// The work of all tasks: what one worker needs for it.
    pub work_seconds: f64,
    /// Tasks that are done and whose work was not measured: by people, or before the graph came in.
    pub unmeasured_tasks: u64,
    /// From the first attempt to the end.
    pub elapsed_seconds: f64,
    /// `work_seconds` over `elapsed_seconds`.
    pub reached: f64,
    /// Workers that made at least one attempt.
    pub workers: u64,
    /// The longest chain of dependent tasks: what any number of workers needs.
    pub critical_path_seconds: f64,
    /// The keys of its tasks, first to last; at most 100.
    pub critical_path: Vec<String>,
    /// How many tasks are on it.
    pub critical_path_tasks: u64,
    /// The bound, the larger of `critical_path_seconds` and `work_seconds` over `workers`: no order
    /// of work is faster.
    pub bound_seconds: f64,
    /// `work_seconds` over `bound_seconds`: the largest speed-up that was possible.
    pub largest: f64,
    /// Time of the workers that went into attempts that did not succeed.
    pub unsuccessful_seconds: f64,
    /// The rest of the workers' time: they waited for tasks, or were not there.
    pub idle_seconds: f64,
}

/// What one worker, person or merge queue did for a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Contributor {
    /// The worker's name; `operator NAME` for a person, `merge queue` for merges of epics.
    pub name: String,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed, or were rejected by the merge queue.
    pub failed: u64,
    /// Attempts whose lease expired.
    pub lost: u64,
    /// Attempts that were cancelled or given back.
    pub other: u64,
    /// Attempts that still run.
    pub running: u64,
    /// The time of its attempts; absent for people and merge queues, whose work is not measured.
    pub worked_seconds: Option<f64>,
}

/// How often a person did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionCount {
    /// Who.
    pub operator: String,
    /// What: see `OperatorAction`.
    pub action: String,
    /// How often.
    pub count: u64,
}

/// The costs of models, as workers reported them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportCosts {
    /// By model.
    pub models: Vec<ModelCost>,
    /// Attempts of an author and a reviewer that ended without a report on what they used.
    pub unreported_attempts: u64,
}

/// What one model used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelCost {
    /// The model and where it is.
    pub model: String,
    /// Requests that were answered.
    pub requests: u64,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// US dollars; absent where the workers have no price for the model.
    pub cost_usd: Option<f64>,
}

/// What the merge queues did for a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportMerges {
    /// Entries that were merged.
    pub merged: u64,
    /// From queued to merged, on average; absent when nothing was merged.
    pub average_seconds: Option<f64>,
    /// Entries that were in conflict.
    pub conflicts: u64,
    /// Entries that were rejected.
    pub ejected: u64,
    /// Entries that wait or are tested.
    pub open: u64,
    /// Conflicts and rejections, oldest first; at most 500.
    pub unsuccessful: Vec<UnsuccessfulMerge>,
}

/// A merge that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnsuccessfulMerge {
    /// The entry's id.
    #[schema(value_type = i64)]
    pub id: MergeId,
    /// The task's id.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The task's key.
    pub key: String,
    /// `conflict`, `ejected`
    #[schema(value_type = String)]
    pub state: MergeState,
    /// Where it was to go.
    pub target: String,
    /// Why it did not.
    pub reason: Option<String>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
}

/// An attempt that did not succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnsuccessfulAttempt {
    /// The task's id.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The task's key.
    pub key: String,
    /// The attempt.
    pub epoch: i64,
    /// Who.
    pub agent: String,
    /// `failed`, `lost`, `cancelled`, `ejected`, `returned`
    #[schema(value_type = String)]
    pub state: AttemptState,
    /// For one that failed: its failure class.
    pub class: Option<String>,
    /// What was said last; at most 500 characters.
    pub message: Option<String>,
    /// How long it took.
    pub seconds: Option<f64>,
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportTask {
    /// The task's id.
    #[schema(value_type = i64)]
    pub id: TaskId,
    /// Unique in the graph.
    pub key: String,
    /// One line for people.
    pub title: String,
    /// The key of its epic.
    pub epic: Option<String>,
    /// See `Task`.
    #[schema(value_type = String)]
    pub state: TaskState,
    /// Who did it; absent when nobody has, or when it was done before the graph came in.
    pub agent: Option<String>,
    /// All attempts, also those that do not count.
    pub attempts: u64,
    /// Conflicts of its merges.
    pub conflicts: u64,
    /// The estimate in hours; absent when none was given.
    pub estimate_hours: Option<f64>,
    /// The time of the attempt that succeeded; absent when it was not measured.
    pub actual_seconds: Option<f64>,
}
