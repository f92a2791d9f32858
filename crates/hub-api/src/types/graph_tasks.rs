//! All tasks of a graph in one answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{GraphId, TaskId, TaskState};

/// All tasks of a graph in one answer, for a drawing of it: a list for each field, in the order in
/// which the tasks were handed in, so that no field's name is repeated thousands of times. The
/// lists are equally long, but for `epics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphTasks {
    /// The graph's id.
    #[schema(value_type = i64)]
    pub graph: GraphId,
    /// The keys of its epics.
    pub epics: Vec<String>,
    /// Ids of tasks.
    #[schema(value_type = Vec<i64>)]
    pub ids: Vec<TaskId>,
    /// Unique in the graph.
    pub keys: Vec<String>,
    /// One line for people.
    pub titles: Vec<String>,
    /// See `Task`.
    #[schema(value_type = Vec<String>)]
    pub states: Vec<TaskState>,
    /// Place of the task's epic in `epics`.
    pub epic: Vec<Option<u32>>,
    /// Who may do it.
    pub roles: Vec<Option<String>>,
    /// What a worker must have.
    pub labels: Vec<Vec<String>>,
    /// Estimated work.
    pub hours: Vec<f64>,
    /// 0 before the first claim.
    pub epochs: Vec<i64>,
    /// Of the current attempt.
    pub percents: Vec<u8>,
    /// Who works on it.
    pub agents: Vec<Option<String>>,
    /// Why, where a person wants to know.
    pub reasons: Vec<Option<String>>,
    /// When it last changed.
    #[schema(value_type = Vec<String>)]
    pub updated: Vec<Timestamp>,
    /// Of each task, the places of the tasks that must be done before, in these lists.
    pub needs: Vec<Vec<u32>>,
}

/// One task of [`GraphTasks`].
#[derive(Debug, Clone, PartialEq)]
pub struct GraphTask {
    pub id: TaskId,
    pub key: String,
    pub title: String,
    pub state: TaskState,
    pub epic: Option<u32>,
    pub role: Option<String>,
    pub labels: Vec<String>,
    pub hours: f64,
    pub epoch: i64,
    pub percent: u8,
    pub agent: Option<String>,
    pub reason: Option<String>,
    pub updated_at: Timestamp,
    pub needs: Vec<u32>,
}

impl GraphTasks {
    /// No task yet.
    pub const fn new(graph: GraphId, epics: Vec<String>) -> Self {
        Self {
            graph,
            epics,
            ids: Vec::new(),
            keys: Vec::new(),
            titles: Vec::new(),
            states: Vec::new(),
            epic: Vec::new(),
            roles: Vec::new(),
            labels: Vec::new(),
            hours: Vec::new(),
            epochs: Vec::new(),
            percents: Vec::new(),
            agents: Vec::new(),
            reasons: Vec::new(),
            updated: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// Adds a task to all lists.
    pub fn push(&mut self, task: GraphTask) {
        let GraphTask {
            id,
            key,
            title,
            state,
            epic,
            role,
            labels,
            hours,
            epoch,
            percent,
            agent,
            reason,
            updated_at,
            needs,
        } = task;
        self.ids.push(id);
        self.keys.push(key);
        self.titles.push(title);
        self.states.push(state);
        self.epic.push(epic);
        self.roles.push(role);
        self.labels.push(labels);
        self.hours.push(hours);
        self.epochs.push(epoch);
        self.percents.push(percent);
        self.agents.push(agent);
        self.reasons.push(reason);
        self.updated.push(updated_at);
        self.needs.push(needs);
    }
}
