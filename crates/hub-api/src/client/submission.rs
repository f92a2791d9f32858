//! A checked graph, as the hub takes it.

use super::wire::{Action, ConditionSubmission, EpicSubmission, GraphSubmission, TaskSubmission};
use greenloop_model::task::{self, TaskGraph};

impl From<&task::Action> for Action {
    fn from(action: &task::Action) -> Self {
        match action {
            task::Action::Command(line) => Self::Command(line.clone()),
            task::Action::Agent => Self::Agent,
        }
    }
}

impl From<&TaskGraph> for GraphSubmission {
    /// Indices become keys; what an index points at is there, because the graph was checked.
    fn from(graph: &TaskGraph) -> Self {
        let epic = |index: usize| graph.epics.get(index).map(|epic| epic.key.clone());
        let task = |index: &usize| graph.tasks.get(*index).map(|task| task.key.clone());
        let tasks = graph.tasks.iter().map(|spec| TaskSubmission {
            key: spec.key.clone(),
            title: spec.title.clone(),
            description: spec.description.clone(),
            epic: spec.epic.and_then(epic),
            role: spec.role.clone(),
            labels: spec.labels.clone(),
            priority: spec.priority,
            hours: spec.hours,
            branch: spec.branch.clone(),
            files: spec.files.clone(),
            needs: spec.needs.iter().filter_map(task).collect(),
            conditions: spec
                .conditions
                .iter()
                .filter_map(|condition| {
                    let epic = epic(condition.epic)?;
                    Some(ConditionSubmission { epic, at_least: condition.at_least })
                })
                .collect(),
            action: Action::from(&spec.action),
            timeout_seconds: spec.timeout.map(|timeout| timeout.as_secs().max(1)),
            max_attempts: spec.max_attempts,
            done: spec.done,
        });
        Self {
            project: graph.project.clone(),
            repository: graph.repository.clone(),
            target: graph.target.clone(),
            gates: graph.gates.clone(),
            name: graph.name.clone(),
            run: None,
            epics: graph
                .epics
                .iter()
                .map(|epic| EpicSubmission {
                    key: epic.key.clone(),
                    title: epic.title.clone(),
                    branch: epic.branch.clone(),
                })
                .collect(),
            tasks: tasks.collect(),
        }
    }
}
