//! A graph as it was handed in becomes a checked one: names become indices, and what could never
//! be finished is refused with its place.

use std::collections::HashMap;
use std::time::Duration;

use super::problem::{Mistake, Problem};
use greenloop_hub_api::client::wire::{Action, GraphSubmission, TaskSubmission};
use greenloop_hub_api::graph::{self, Fault};
use greenloop_model::task::{self, Condition, Epic, TaskGraph, TaskSpec};

/// More mistakes than this are not told.
const MOST_MISTAKES: usize = 50;
/// The longest name or title, in bytes.
const LONGEST_LINE: usize = 1_000;
/// The longest description, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// Checks and ranks.
pub(super) fn checked(submission: GraphSubmission) -> Result<TaskGraph, Problem> {
    let mut mistakes = Mistakes(Vec::new());
    mistakes.sizes(&submission);
    let mut graph = mistakes.resolve(submission);
    if let Some(problem) = Problem::mistakes(mistakes.0) {
        return Err(problem);
    }
    let faults = graph::faults(&graph).iter().map(|fault| told(&graph, fault)).collect();
    if let Some(problem) = Problem::mistakes(faults) {
        return Err(problem);
    }
    graph::rank(&mut graph);
    Ok(graph)
}

struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < MOST_MISTAKES {
            self.0.push(Mistake { path: path.into(), message: message.into() });
        }
    }

    fn line(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(path, "it is empty");
        } else if text.len() > LONGEST_LINE || text.chars().any(char::is_control) {
            self.add(path, format!("it is one line of at most {LONGEST_LINE} bytes"));
        }
    }

    fn sizes(&mut self, graph: &GraphSubmission) {
        self.line("$.project", &graph.project);
        self.line("$.name", &graph.name);
        self.line("$.target", &graph.target);
        if graph.tasks.is_empty() {
            self.add("$.tasks", "a graph needs at least one task");
        }
        if graph.tasks.len() > graph::MOST_TASKS {
            self.add("$.tasks", format!("at most {} tasks", graph::MOST_TASKS));
        }
        if graph.epics.len() > graph::MOST_EPICS {
            self.add("$.epics", format!("at most {} epics", graph::MOST_EPICS));
        }
    }

    fn resolve(&mut self, submission: GraphSubmission) -> TaskGraph {
        let keys = |keys: Vec<&String>| -> HashMap<String, usize> {
            keys.into_iter().enumerate().map(|(at, key)| (key.clone(), at)).collect()
        };
        let epics = keys(submission.epics.iter().map(|it| &it.key).collect());
        let tasks = keys(submission.tasks.iter().map(|it| &it.key).collect());
        for (at, epic) in submission.epics.iter().enumerate() {
            self.line(&format!("$.epics[{at}].key"), &epic.key);
            self.line(&format!("$.epics[{at}].title"), &epic.title);
            if epics.get(&epic.key) != Some(&at) {
                self.add(format!("$.epics[{at}].key"), "another epic has this key");
            }
        }
        let names = Names { epics, tasks };
        TaskGraph {
            project: submission.project,
            repository: submission.repository,
            target: submission.target,
            gates: submission.gates,
            name: submission.name,
            epics: submission
                .epics
                .into_iter()
                .map(|it| Epic { key: it.key, title: it.title, branch: it.branch })
                .collect(),
            tasks: submission
                .tasks
                .into_iter()
                .enumerate()
                .map(|(at, task)| self.task(at, task, &names))
                .collect(),
        }
    }

    fn task(&mut self, at: usize, task: TaskSubmission, names: &Names) -> TaskSpec {
        let here = format!("$.tasks[{at}]");
        self.line(&format!("{here}.key"), &task.key);
        self.line(&format!("{here}.title"), &task.title);
        if task.description.len() > LONGEST_TEXT {
            self.add(
                format!("{here}.description"),
                format!("it is at most {LONGEST_TEXT} bytes long"),
            );
        }
        if names.tasks.get(&task.key) != Some(&at) {
            self.add(format!("{here}.key"), "another task has this key");
        }
        if !task.hours.is_finite() || task.hours < 0.0 {
            self.add(format!("{here}.hours"), "it is a number of hours");
        }
        if task.max_attempts == 0 {
            self.add(format!("{here}.max_attempts"), "a task is tried at least once");
        }
        if task.timeout_seconds == Some(0) {
            self.add(format!("{here}.timeout_seconds"), "an attempt takes at least a second");
        }
        if matches!(&task.action, Action::Command(line) if line.trim().is_empty()) {
            self.add(format!("{here}.action.command"), "it is empty");
        }
        let epic = task
            .epic
            .and_then(|key| self.known(&names.epics, &key, format!("{here}.epic"), "epic"));
        let mut needs = Vec::with_capacity(task.needs.len());
        for (n, key) in task.needs.iter().enumerate() {
            let path = format!("{here}.needs[{n}]");
            if let Some(need) = self.known(&names.tasks, key, path, "task")
                && !needs.contains(&need)
            {
                needs.push(need);
            }
        }
        let mut conditions = Vec::with_capacity(task.conditions.len());
        for (n, condition) in task.conditions.iter().enumerate() {
            let path = format!("{here}.conditions[{n}]");
            if !(1..=100).contains(&condition.at_least) {
                self.add(format!("{path}.at_least"), "it is a percent from 1 to 100");
            }
            let epic = self.known(&names.epics, &condition.epic, format!("{path}.epic"), "epic");
            conditions.extend(epic.map(|epic| Condition { epic, at_least: condition.at_least }));
        }
        TaskSpec {
            key: task.key,
            title: task.title,
            description: task.description,
            epic,
            role: task.role,
            labels: task.labels,
            priority: task.priority,
            hours: task.hours,
            branch: task.branch,
            files: task.files,
            needs,
            conditions,
            action: match task.action {
                Action::Command(line) => task::Action::Command(line),
                Action::Agent => task::Action::Agent,
            },
            timeout: task.timeout_seconds.map(Duration::from_secs),
            max_attempts: task.max_attempts,
            done: task.done,
            rank: 0.0,
        }
    }

    fn known(
        &mut self,
        all: &HashMap<String, usize>,
        key: &str,
        path: String,
        noun: &str,
    ) -> Option<usize> {
        let found = all.get(key).copied();
        if found.is_none() {
            let key: String = key.chars().take(80).collect();
            self.add(path, format!("there is no {noun} with the key {key:?}"));
        }
        found
    }
}

struct Names {
    epics: HashMap<String, usize>,
    tasks: HashMap<String, usize>,
}

fn told(graph: &TaskGraph, fault: &Fault) -> Mistake {
    let key = |task: usize| graph.tasks.get(task).map_or("?", |it| it.key.as_str());
    match fault {
        Fault::Cycle(tasks) => {
            let first = tasks.first().copied().unwrap_or(0);
            let way: Vec<&str> = tasks.iter().copied().chain([first]).map(key).collect();
            Mistake {
                path: format!("$.tasks[{first}].needs"),
                message: format!("these tasks need each other: {}", way.join(" → ")),
            }
        }
        Fault::Unmet { task, condition, stuck, .. } => {
            let stuck: Vec<&str> = stuck.iter().copied().take(10).map(key).collect();
            Mistake {
                path: format!("$.tasks[{task}].conditions[{condition}]"),
                message: format!(
                    "the epic never comes that far: these of its tasks never begin: {}",
                    stuck.join(", ")
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mistakes(body: serde_json::Value) -> String {
        let problem = checked(serde_json::from_value(body).unwrap()).unwrap_err();
        format!("{problem:?}")
    }

    fn graph(tasks: serde_json::Value) -> serde_json::Value {
        json!({
            "project": "p", "name": "n", "target": "main",
            "epics": [{"key": "e", "title": "E"}],
            "tasks": tasks,
        })
    }

    #[test]
    fn names_become_indices() {
        let graph = graph(json!([
            {"key": "a", "title": "A", "hours": 2, "action": {"command": "true"}, "epic": "e"},
            {"key": "b", "title": "B", "hours": 1, "action": "agent", "needs": ["a", "a"],
             "conditions": [{"epic": "e", "at_least": 100}]},
        ]));
        let graph = checked(serde_json::from_value(graph).unwrap()).unwrap();
        assert_eq!(graph.tasks[1].needs, [0]);
        assert_eq!(graph.tasks[1].conditions, [Condition { epic: 0, at_least: 100 }]);
        assert!((graph.tasks[0].rank - 3.0).abs() < 1e-9, "{}", graph.tasks[0].rank);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let task = |more: serde_json::Value| {
            let mut task = json!({"key": "a", "title": "A", "action": "agent"});
            task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            task
        };
        for (tasks, path) in [
            (json!([]), "$.tasks"),
            (json!([task(json!({})), task(json!({}))]), "$.tasks[0].key"),
            (json!([task(json!({"needs": ["z"]}))]), "$.tasks[0].needs[0]"),
            (json!([task(json!({"needs": ["a"]}))]), "$.tasks[0].needs"),
            (json!([task(json!({"epic": "z"}))]), "$.tasks[0].epic"),
            (json!([task(json!({"hours": -1}))]), "$.tasks[0].hours"),
            (json!([task(json!({"max_attempts": 0}))]), "$.tasks[0].max_attempts"),
            (json!([task(json!({"title": ""}))]), "$.tasks[0].title"),
            (
                json!([task(json!({"epic": "e", "conditions": [{"epic": "e", "at_least": 50}]}))]),
                "$.tasks[0].conditions[0]",
            ),
            (
                json!([task(json!({"conditions": [{"epic": "e", "at_least": 0}]}))]),
                "$.tasks[0].conditions[0].at_least",
            ),
        ] {
            let said = mistakes(graph(tasks));
            assert!(said.contains(&format!("path: {path:?}")), "{path}: {said}");
        }
    }
}
