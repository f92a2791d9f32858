//! The one check of graphs: names become indices, values must make sense, and the whole must be one
//! that can be finished.

use std::collections::HashMap;

use super::checked::{Condition, TaskGraph, TaskSpec};
use super::fault::{Fault, faults};
use super::rank::rank;
use super::{MOST_EPICS, MOST_TASKS};
use crate::types::{Action, EpicSubmission, GraphSubmission, TaskSubmission};
use greenloop_config::ProblemKind;
use greenloop_config::document::KeyPath as Path;
use greenloop_config::error::quoted;
use greenloop_config::nearest::{list, nearest};

/// Mistakes that are reported at most.
pub const MOST_MISTAKES: usize = 50;

/// The most bytes of keys, roles, labels and titles.
const LONGEST_LINE: usize = 1_000;
/// The most bytes of a branch's name.
const LONGEST_BRANCH: usize = 200;
/// The most bytes of descriptions, gates and commands.
const LONGEST_TEXT: usize = 64 * 1024;
/// The most needs that all tasks have together.
const MOST_NEEDS: usize = 1_000_000;
/// Beyond so many, names are not listed in advice.
const MOST_LISTED: usize = 12;

/// Something in a graph that keeps it from being taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What kind of mistake it is.
    pub kind: ProblemKind,
    /// Where, in a [`GraphSubmission`]: `tasks[3].needs[0]`.
    pub path: Path,
    /// What is wrong there.
    pub message: String,
    /// What to do; empty when the message says it.
    pub help: String,
    /// The first of two that have the same key.
    pub first: Option<Path>,
}

/// Checks and ranks a graph.
///
/// # Errors
/// The first [`MOST_MISTAKES`]; never an empty list.
pub fn check(submission: GraphSubmission) -> Result<TaskGraph, Vec<Mistake>> {
    let mut check = Check { mistakes: Vec::new() };
    let mut graph = check.graph(submission);
    if check.mistakes.is_empty() {
        for fault in faults(&graph) {
            check.fault(&graph, &fault);
        }
    }
    if !check.mistakes.is_empty() {
        return Err(check.mistakes);
    }
    rank(&mut graph);
    Ok(graph)
}

struct Check {
    mistakes: Vec<Mistake>,
}

/// Index by key.
type Names = HashMap<String, usize>;

fn root(key: &str) -> Path {
    Path::root().key(key)
}

impl Check {
    fn is_full(&self) -> bool {
        self.mistakes.len() >= MOST_MISTAKES
    }

    fn report(&mut self, kind: ProblemKind, path: Path, message: String, help: &str) {
        if !self.is_full() {
            self.mistakes.push(Mistake { kind, path, message, help: help.to_owned(), first: None });
        }
    }

    fn graph(&mut self, submission: GraphSubmission) -> TaskGraph {
        let GraphSubmission {
            project,
            repository,
            target,
            gates,
            merge_approval,
            name,
            run: _,
            epics,
            tasks,
        } = submission;
        self.at_most(epics.len(), MOST_EPICS, "epics");
        self.at_most(tasks.len(), MOST_TASKS, "tasks");
        let needs = tasks.iter().map(|task| task.needs.len()).sum();
        self.at_most(needs, MOST_NEEDS, "needs");
        if tasks.is_empty() {
            let message = "a graph needs at least one task".to_owned();
            self.report(ProblemKind::MissingKey, root("tasks"), message, "");
        }
        self.line(&project, || root("project"));
        self.line(&name, || root("name"));
        if let Some(repository) = &repository {
            self.repository(repository);
        }
        self.branch(&target, || root("target"));
        for (i, gate) in gates.iter().enumerate() {
            self.text(gate, || root("gates").index(i));
        }
        let epic_names = self.names("epics", epics.iter().map(|epic| epic.key.as_str()));
        let task_names = self.names("tasks", tasks.iter().map(|task| task.key.as_str()));
        for (i, epic) in epics.iter().enumerate() {
            self.epic(epic, i);
        }
        let tasks = tasks
            .into_iter()
            .enumerate()
            .map(|(i, task)| self.task(task, i, &epic_names, &task_names))
            .collect();
        TaskGraph { project, repository, target, gates, merge_approval, name, epics, tasks }
    }

    fn at_most(&mut self, found: usize, most: usize, what: &str) {
        if found > most {
            self.report(
                ProblemKind::TooLarge,
                root(if what == "needs" { "tasks" } else { what }),
                format!("the graph has {found} {what}; the maximum is {most}"),
                "split it into several graphs",
            );
        }
    }

    fn names<'t>(&mut self, section: &str, keys: impl Iterator<Item = &'t str>) -> Names {
        let mut names = Names::new();
        for (i, key) in keys.enumerate() {
            let path = |i: usize| root(section).index(i).key("key");
            self.line(key, || path(i));
            match names.get(key) {
                Some(_) if self.is_full() => {}
                Some(first) => self.mistakes.push(Mistake {
                    kind: ProblemKind::DuplicateName,
                    path: path(i),
                    message: format!("two {section} have the key {}", quoted(key)),
                    help: String::new(),
                    first: Some(path(*first)),
                }),
                None => {
                    names.insert(key.to_owned(), i);
                }
            }
        }
        names
    }

    fn epic(&mut self, epic: &EpicSubmission, index: usize) {
        let path = || root("epics").index(index);
        self.line(&epic.title, || path().key("title"));
        if let Some(branch) = &epic.branch {
            self.branch(branch, || path().key("branch"));
        }
    }

    fn task(
        &mut self,
        task: TaskSubmission,
        index: usize,
        epics: &Names,
        tasks: &Names,
    ) -> TaskSpec {
        let path = || root("tasks").index(index);
        self.line(&task.title, || path().key("title"));
        self.bounded(&task.description, || path().key("description"));
        if let Some(role) = &task.role {
            self.line(role, || path().key("role"));
        }
        for (i, label) in task.labels.iter().enumerate() {
            self.line(label, || path().key("labels").index(i));
        }
        if let Some(branch) = &task.branch {
            self.branch(branch, || path().key("branch"));
        }
        for (i, glob) in task.files.iter().enumerate() {
            self.glob(glob, || path().key("files").index(i));
        }
        if let Action::Command(line) = &task.action {
            self.text(line, || path().key("action").key("command"));
        }
        for (wrong, key, message) in [
            (!task.hours.is_finite() || task.hours < 0.0, "hours", "is not a number of hours"),
            (task.max_attempts == 0, "max_attempts", "is 0; a task needs at least one attempt"),
            (
                task.timeout_seconds == Some(0),
                "timeout_seconds",
                "is 0; an attempt needs at least one second",
            ),
        ] {
            if wrong {
                let path = path().key(key);
                self.report(
                    ProblemKind::InvalidValue,
                    path.clone(),
                    format!("`{path}` {message}"),
                    "",
                );
            }
        }
        let mut spec = TaskSpec::new(task);
        let task = &spec.submission;
        spec.epic = task
            .epic
            .as_ref()
            .and_then(|key| self.known(key, epics, "epic", || path().key("epic")));
        for (i, key) in task.needs.iter().enumerate() {
            let need = self.known(key, tasks, "task", || path().key("needs").index(i));
            spec.needs.extend(need);
        }
        let mut seen = std::collections::HashSet::new();
        spec.needs.retain(|need| seen.insert(*need));
        for (i, condition) in task.conditions.iter().enumerate() {
            let path = || path().key("conditions").index(i);
            if !(1..=100).contains(&condition.at_least) {
                self.report(
                    ProblemKind::InvalidValue,
                    path().key("at_least"),
                    format!("{} is not a valid percentage of an epic", condition.at_least),
                    "use a whole percentage from 1 to 100",
                );
            }
            let epic = self.known(&condition.epic, epics, "epic", || path().key("epic"));
            let at_least = condition.at_least;
            spec.conditions.extend(epic.map(|epic| Condition { epic, at_least }));
        }
        spec
    }

    fn known(
        &mut self,
        key: &str,
        names: &Names,
        what: &str,
        path: impl Fn() -> Path,
    ) -> Option<usize> {
        let found = names.get(key).copied();
        // With a hundred thousand names, looking for the nearest has a price.
        if found.is_none() && !self.is_full() {
            let mut known: Vec<&str> = names.keys().map(String::as_str).collect();
            known.sort_unstable();
            let help = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("the graph has no {what}s"),
                None if known.len() <= MOST_LISTED => format!("the {what}s are {}", list(known)),
                None => format!("none of the {} {what}s has a similar name", known.len()),
            };
            let message = format!("no {what} has the key {}", quoted(key));
            self.report(ProblemKind::UnknownName, path(), message, &help);
        }
        found
    }

    /// One line that is not empty.
    fn line(&mut self, text: &str, path: impl Fn() -> Path) {
        let wrong = if text.trim().is_empty() {
            "is empty"
        } else if text.chars().any(char::is_control) {
            "has more than one line, or a control character"
        } else if text.len() > LONGEST_LINE {
            "has more than 1,000 bytes"
        } else {
            return;
        };
        let path = path();
        self.report(ProblemKind::InvalidValue, path.clone(), format!("`{path}` {wrong}"), "");
    }

    /// A text of any number of lines that is not empty.
    fn text(&mut self, text: &str, path: impl Fn() -> Path) {
        if text.trim().is_empty() {
            let path = path();
            self.report(ProblemKind::InvalidValue, path.clone(), format!("`{path}` is empty"), "");
        } else {
            self.bounded(text, path);
        }
    }

    fn bounded(&mut self, text: &str, path: impl Fn() -> Path) {
        let (wrong, help) = if text.contains('\0') {
            ("contains a NUL byte", "")
        } else if text.len() > LONGEST_TEXT {
            ("has more than 64 KiB", "move it to a script or a document in the repository")
        } else {
            return;
        };
        let path = path();
        self.report(ProblemKind::InvalidValue, path.clone(), format!("`{path}` {wrong}"), help);
    }

    /// What git takes for an address, and not for an option.
    fn repository(&mut self, text: &str) {
        self.line(text, || root("repository"));
        if text.starts_with('-') {
            self.report(
                ProblemKind::InvalidUrl,
                root("repository"),
                format!("{} is not a valid repository address", quoted(text)),
                "use a form that `git clone` accepts: https://…, ssh://…, or a path",
            );
        }
    }

    fn branch(&mut self, name: &str, path: impl Fn() -> Path) {
        if !is_branch(name) {
            self.report(
                ProblemKind::InvalidValue,
                path(),
                format!("{} is not a valid branch name", quoted(name)),
                "see `git help check-ref-format`",
            );
        }
    }

    fn glob(&mut self, text: &str, path: impl Fn() -> Path) {
        let outside = text.starts_with('/') || text.split('/').any(|part| part == "..");
        if text.trim().is_empty() || outside || globset::Glob::new(text).is_err() {
            self.report(
                ProblemKind::InvalidPath,
                path(),
                format!("{} is not a valid file pattern", quoted(text)),
                "use a pattern relative to the repository's root: src/routes/*.ts",
            );
        }
    }

    fn fault(&mut self, graph: &TaskGraph, fault: &Fault) {
        let key = |task: &usize| graph.tasks[*task].key.as_str();
        let path = |task: usize| root("tasks").index(task);
        match fault {
            Fault::Cycle(tasks) => {
                let (Some(first), Some(last)) = (tasks.first(), tasks.last()) else { return };
                let names = &graph.tasks[*last].submission.needs;
                let edge = names.iter().position(|need| need == key(first));
                let message = match tasks.as_slice() {
                    [only] => format!("task {} needs itself", quoted(key(only))),
                    several => format!(
                        "tasks need each other: {} → {}",
                        shortened(several.iter().map(key).collect(), " → "),
                        key(first)
                    ),
                };
                self.report(
                    ProblemKind::Cycle,
                    path(*last).key("needs").index(edge.unwrap_or(0)),
                    message,
                    "remove one of these `needs`, so that one task can start",
                );
            }
            Fault::Unmet { task, condition, reached, stuck } => {
                let asked = &graph.tasks[*task].conditions[*condition];
                let epic = quoted(&graph.epics[asked.epic].key);
                let message = format!(
                    "task {} waits for {}% of epic {epic}, which cannot exceed {:.0}%",
                    quoted(key(task)),
                    asked.at_least,
                    reached.percent().floor()
                );
                let help = if reached.tasks == 0 {
                    format!("no task belongs to epic {epic}")
                } else {
                    let names = shortened(stuck.iter().map(key).collect(), ", ");
                    format!("these tasks of the epic cannot start before: {names}")
                };
                let at = path(*task).key("conditions").index(*condition).key("at_least");
                self.report(ProblemKind::InvalidValue, at, message, &help);
            }
        }
    }
}

/// The first and the last of many names.
fn shortened(names: Vec<&str>, between: &str) -> String {
    if names.len() <= MOST_LISTED {
        return names.join(between);
    }
    let (first, last) = (&names[..MOST_LISTED - 2], &names[names.len() - 1..]);
    let left_out = format!("… ({} more)", names.len() - MOST_LISTED + 1);
    [&first.join(between), left_out.as_str(), &last.join(between)].join(between)
}

/// The rules of `git check-ref-format --branch`.
fn is_branch(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    !name.is_empty()
        && name.len() <= LONGEST_BRANCH
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(forbidden)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn branches_are_what_git_takes_for_one() {
        for (name, expect) in [
            ("main", true),
            ("epic-1/repositories", true),
            ("feature/a.b_c@d", true),
            ("", false),
            ("-x", false),
            ("a..b", false),
            ("a b", false),
            ("a/", false),
            ("/a", false),
            ("a//b", false),
            (".a", false),
            ("a/.b", false),
            ("a.lock", false),
            ("a.", false),
            ("a@{1}", false),
            ("@", false),
            ("a:b", false),
        ] {
            assert_eq!(is_branch(name), expect, "{name:?}");
        }
    }

    fn graph(tasks: serde_json::Value) -> Result<TaskGraph, Vec<Mistake>> {
        let graph = json!({
            "project": "p", "name": "n", "target": "main",
            "epics": [{"key": "e", "title": "E"}],
            "tasks": tasks,
        });
        check(serde_json::from_value(graph).unwrap())
    }

    #[test]
    fn names_become_indices() {
        let graph = graph(json!([
            {"key": "a", "title": "A", "hours": 2, "action": {"command": "true"}, "epic": "e"},
            {"key": "b", "title": "B", "hours": 1, "action": "agent", "needs": ["a", "a"],
             "conditions": [{"epic": "e", "at_least": 100}]},
        ]))
        .unwrap();
        assert_eq!(graph.tasks[1].needs, [0]);
        assert_eq!(graph.tasks[1].conditions, [Condition { epic: 0, at_least: 100 }]);
        assert!((graph.tasks[0].rank - 3.0).abs() < 1e-9, "{}", graph.tasks[0].rank);
    }

    #[test]
    fn every_mistake_is_reported_at_its_place() {
        let task = |more: serde_json::Value| {
            let mut task = json!({"key": "a", "title": "A", "action": "agent"});
            task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!([task])
        };
        let two = json!([task(json!({}))[0], task(json!({}))[0]]);
        for (tasks, path) in [
            (json!([]), "tasks"),
            (two, "tasks[1].key"),
            (task(json!({"needs": ["z"]})), "tasks[0].needs[0]"),
            (task(json!({"needs": ["a"]})), "tasks[0].needs[0]"),
            (task(json!({"epic": "z"})), "tasks[0].epic"),
            (task(json!({"hours": -1})), "tasks[0].hours"),
            (task(json!({"max_attempts": 0})), "tasks[0].max_attempts"),
            (task(json!({"timeout_seconds": 0})), "tasks[0].timeout_seconds"),
            (task(json!({"title": ""})), "tasks[0].title"),
            (task(json!({"title": "a\nb"})), "tasks[0].title"),
            (task(json!({"role": " "})), "tasks[0].role"),
            (task(json!({"branch": "a b"})), "tasks[0].branch"),
            (task(json!({"files": ["../x"]})), "tasks[0].files[0]"),
            (task(json!({"action": {"command": " "}})), "tasks[0].action.command"),
            (
                task(json!({"epic": "e", "conditions": [{"epic": "e", "at_least": 50}]})),
                "tasks[0].conditions[0].at_least",
            ),
            (
                task(json!({"conditions": [{"epic": "e", "at_least": 0}]})),
                "tasks[0].conditions[0].at_least",
            ),
        ] {
            let mistakes = graph(tasks).unwrap_err();
            assert_eq!(mistakes[0].path.to_string(), path, "{mistakes:?}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let mut submission = GraphSubmission::from(
            &graph(json!([
                {"key": "a", "title": "A", "action": "agent"},
            ]))
            .unwrap(),
        );
        submission.tasks[0].hours = f64::NAN;
        let mistakes = check(submission).unwrap_err();
        assert_eq!(mistakes[0].path.to_string(), "tasks[0].hours");
    }
}
