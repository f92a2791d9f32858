//! A graph whose names were looked up and whose values make sense: what is scheduled and stored.

use std::ops::{Deref, DerefMut};

use crate::types::{EpicSubmission, GraphSubmission, TaskSubmission};

/// A checked graph: every index is in range, and it has no cycle and no condition that can never be
/// met. Made by [`check`](super::check).
#[derive(Debug, Clone, PartialEq)]
pub struct TaskGraph {
    /// The project's name.
    pub project: String,
    /// The repository's address, where its tasks change code.
    pub repository: Option<String>,
    /// The branch that the work ends in.
    pub target: String,
    /// Commands that a merge must pass, on the very commit.
    pub gates: Vec<String>,
    /// Whether a person has to approve every merge into the target.
    pub merge_approval: bool,
    /// What this graph is called.
    pub name: String,
    /// In the order in which they were handed in.
    pub epics: Vec<EpicSubmission>,
    /// In the order in which they were handed in.
    pub tasks: Vec<TaskSpec>,
}

/// A task as it was handed in, with the places of what it names. Its other fields are those of the
/// [`TaskSubmission`].
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// As it was handed in.
    pub submission: TaskSubmission,
    /// Index into [`TaskGraph::epics`].
    pub epic: Option<usize>,
    /// Indices into [`TaskGraph::tasks`].
    pub needs: Vec<usize>,
    /// All must be met.
    pub conditions: Vec<Condition>,
    /// Longest remaining path in hours, this task included (b-level); 0 until the graph is ranked.
    pub rank: f64,
}

/// An epic must have come this far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Index into [`TaskGraph::epics`].
    pub epic: usize,
    /// Percent of its estimated hours (of its tasks when it has none), 1 to 100.
    pub at_least: u8,
}

impl TaskSpec {
    /// A task that names nothing.
    pub fn new(submission: TaskSubmission) -> Self {
        Self { submission, epic: None, needs: Vec::new(), conditions: Vec::new(), rank: 0.0 }
    }
}

impl Deref for TaskSpec {
    type Target = TaskSubmission;

    fn deref(&self) -> &TaskSubmission {
        &self.submission
    }
}

impl DerefMut for TaskSpec {
    fn deref_mut(&mut self) -> &mut TaskSubmission {
        &mut self.submission
    }
}

impl From<&TaskGraph> for GraphSubmission {
    /// As it was handed in, for no deploy run.
    fn from(graph: &TaskGraph) -> Self {
        Self {
            project: graph.project.clone(),
            repository: graph.repository.clone(),
            target: graph.target.clone(),
            gates: graph.gates.clone(),
            merge_approval: graph.merge_approval,
            name: graph.name.clone(),
            run: None,
            epics: graph.epics.clone(),
            tasks: graph.tasks.iter().map(|task| task.submission.clone()).collect(),
        }
    }
}
