//! From the text of `tasks.yaml` to a sound graph, or every mistake with its place.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::fault::{Fault, faults};
use super::raw::{RawCondition, RawDuration, RawEpic, RawGraph, RawPriority, RawTask};
use super::{MOST_EPICS, MOST_TASKS, TASKS};
use greenloop_config::document::{Document, KeyPath};
use greenloop_config::error::quoted;
use greenloop_config::nearest::{list, nearest};
use greenloop_config::schema::schema_of;
use greenloop_config::{ConfigError, Problem, ProblemKind, duration, secrets, shape};
use greenloop_model::task::{Action, Condition, Epic, TaskGraph, TaskSpec};

/// The most characters of keys, roles, labels and titles.
const LONGEST_LINE: usize = 200;

/// The most bytes of descriptions and commands.
const LONGEST_TEXT: usize = 64 * 1024;

/// The most needs that all tasks have together.
const MOST_NEEDS: usize = 1_000_000;

/// More names than this are not listed in an advice.
const MOST_LISTED: usize = 12;

const DEFAULT_PRIORITY: i64 = 2;
const DEFAULT_HOURS: f64 = 1.0;
const DEFAULT_ATTEMPTS: u32 = 3;

static SCHEMA: LazyLock<Json> = LazyLock::new(schema_of::<RawGraph>);

/// The graph without ranks.
pub(super) fn read(text: &str, file_name: &str) -> Result<TaskGraph, ConfigError> {
    // Spans are bytes of what the parser saw, and it does not see a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = Document::parse(text, file_name, &TASKS)?;
    let fail = |problems| Err(ConfigError::in_text(file_name, text, problems));
    let problems = secrets_in(&document);
    if !problems.is_empty() {
        return fail(problems);
    }
    let json = match shape::read(&document, &SCHEMA) {
        Ok(json) => json,
        Err(problems) => return fail(problems),
    };
    let raw = match RawGraph::deserialize(&json) {
        Ok(raw) => raw,
        // The schema let through what the types refuse: a number too large for its field.
        Err(error) => {
            return fail(vec![Problem {
                kind: ProblemKind::WrongType,
                message: format!("a value does not fit: {error}"),
                help: None,
                position: Some(document.position(&KeyPath::root())),
            }]);
        }
    };
    drop(json);
    let mut reader = Reader { document: &document, problems: Vec::new() };
    let graph = reader.graph(raw);
    if reader.problems.is_empty() {
        for fault in faults(&graph) {
            reader.fault(&graph, &fault);
        }
    }
    if reader.problems.is_empty() { Ok(graph) } else { fail(reader.problems) }
}

/// A file of tasks is committed and shown on screens.
fn secrets_in(document: &Document) -> Vec<Problem> {
    // One look at the whole text; only a file that holds a secret is searched for the place.
    if secrets::find(document.text()).is_none() {
        return Vec::new();
    }
    let found = document.scalars().into_iter().filter_map(|(place, node)| {
        let what = secrets::find(document.scalar(node)?)?;
        Some(Problem {
            kind: ProblemKind::Secret,
            message: format!("`{place}` holds what looks like {what}"),
            help: Some(
                "take it out of the file and give it to the workers as a variable of their \
                 environment; if it was ever committed, revoke it"
                    .to_owned(),
            ),
            position: Some(document.position(&place)),
        })
    });
    found.take(document.most_problems()).collect()
}

struct Reader<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

/// Index by key.
type Names = HashMap<String, usize>;

impl Reader<'_> {
    /// Whether as many mistakes were found as are told.
    fn is_full(&self) -> bool {
        self.problems.len() >= self.document.most_problems()
    }

    fn report(&mut self, kind: ProblemKind, place: &KeyPath, message: String, help: &str) {
        if !self.is_full() {
            self.problems.push(Problem {
                kind,
                message,
                help: (!help.is_empty()).then(|| help.to_owned()),
                position: Some(self.document.position(place)),
            });
        }
    }

    fn graph(&mut self, raw: RawGraph) -> TaskGraph {
        let RawGraph { project, name, epics, tasks } = raw;
        let epics = epics.unwrap_or_default();
        self.at_most(epics.len(), MOST_EPICS, "epics");
        self.at_most(tasks.len(), MOST_TASKS, "tasks");
        let needs = tasks.iter().flat_map(|task| &task.needs).map(Vec::len).sum();
        self.at_most(needs, MOST_NEEDS, "needs");
        let at = KeyPath::root().key("project");
        self.line(&project.name, || at.key("name"));
        if let Some(repository) = &project.repository {
            self.repository(repository, &at.key("repository"));
        }
        if let Some(target) = &project.target {
            self.branch(target, || at.key("target"));
        }
        let gates = project.gates.unwrap_or_default();
        for (i, gate) in gates.iter().enumerate() {
            self.text(gate, || at.key("gates").index(i));
        }
        if let Some(name) = &name {
            self.line(name, || KeyPath::root().key("name"));
        }
        let epic_names = self.names("epics", epics.iter().map(|epic| epic.key.as_str()));
        let task_names = self.names("tasks", tasks.iter().map(|task| task.key.as_str()));
        let epics = epics.into_iter().enumerate().map(|(i, epic)| self.epic(epic, i)).collect();
        let tasks = tasks
            .into_iter()
            .enumerate()
            .map(|(i, task)| self.task(task, i, &epic_names, &task_names))
            .collect();
        TaskGraph {
            name: name.unwrap_or_else(|| project.name.clone()),
            project: project.name,
            repository: project.repository,
            target: project.target.unwrap_or_else(|| "main".to_owned()),
            gates,
            epics,
            tasks,
        }
    }

    fn at_most(&mut self, found: usize, most: usize, what: &str) {
        if found > most {
            self.report(
                ProblemKind::TooLarge,
                &KeyPath::root().key(if what == "needs" { "tasks" } else { what }),
                format!("the file has {found} {what}; the most is {most}"),
                "divide it into several graphs",
            );
        }
    }

    fn names<'t>(&mut self, section: &str, keys: impl Iterator<Item = &'t str>) -> Names {
        let mut names = Names::new();
        for (i, key) in keys.enumerate() {
            let place = |i: usize| KeyPath::root().key(section).index(i).key("key");
            self.line(key, || place(i));
            match names.get(key) {
                // Finding the place costs a look at the text.
                Some(_) if self.is_full() => {}
                Some(first) => {
                    let line = self.document.position(&place(*first)).line;
                    self.report(
                        ProblemKind::DuplicateName,
                        &place(i),
                        format!("two {section} have the key {}", quoted(key)),
                        &format!("the first is in line {line}; a key must be unique"),
                    );
                }
                None => {
                    names.insert(key.to_owned(), i);
                }
            }
        }
        names
    }

    fn epic(&mut self, raw: RawEpic, index: usize) -> Epic {
        let place = || KeyPath::root().key("epics").index(index);
        let RawEpic { key, title, branch } = raw;
        self.line(&title, || place().key("title"));
        if let Some(branch) = &branch {
            self.branch(branch, || place().key("branch"));
        }
        Epic { key, title, branch }
    }

    fn task(&mut self, raw: RawTask, index: usize, epics: &Names, tasks: &Names) -> TaskSpec {
        let place = || KeyPath::root().key("tasks").index(index);
        let RawTask {
            key,
            title,
            description,
            epic,
            role,
            labels,
            priority,
            hours,
            branch,
            files,
            needs,
            conditions,
            command,
            agent,
            timeout,
            max_attempts,
            done,
        } = raw;
        self.line(&title, || place().key("title"));
        if let Some(role) = &role {
            self.line(role, || place().key("role"));
        }
        let labels = labels.unwrap_or_default();
        for (i, label) in labels.iter().enumerate() {
            self.line(label, || place().key("labels").index(i));
        }
        if let Some(branch) = &branch {
            self.branch(branch, || place().key("branch"));
        }
        let files = files.unwrap_or_default();
        for (i, glob) in files.iter().enumerate() {
            self.glob(glob, || place().key("files").index(i));
        }
        let (action, description) = self.action(command, agent, description, &place);
        let epic = epic.and_then(|key| self.known(&key, epics, "epic", || place().key("epic")));
        let raw_needs = needs.unwrap_or_default();
        let mut needs = Vec::with_capacity(raw_needs.len());
        for (i, key) in raw_needs.iter().enumerate() {
            let at = || place().key("needs").index(i);
            let Some(need) = self.known(key, tasks, "task", at) else { continue };
            if needs.contains(&need) {
                let message = format!("{} is needed twice", quoted(key));
                self.report(ProblemKind::DuplicateName, &at(), message, "remove one of the two");
            } else {
                needs.push(need);
            }
        }
        let raw_conditions = conditions.unwrap_or_default();
        let mut conditions = Vec::with_capacity(raw_conditions.len());
        for (i, raw) in raw_conditions.into_iter().enumerate() {
            let at = || place().key("conditions").index(i);
            conditions.extend(self.condition(&raw, epics, at));
        }
        TaskSpec {
            key,
            title,
            description,
            epic,
            role,
            labels,
            priority: priority
                .map_or(DEFAULT_PRIORITY, |raw| self.priority(&raw, || place().key("priority"))),
            hours: hours.unwrap_or(DEFAULT_HOURS),
            branch,
            files,
            needs,
            conditions,
            action,
            timeout: timeout.and_then(|raw| self.timeout(&raw, || place().key("timeout"))),
            max_attempts: max_attempts.unwrap_or(DEFAULT_ATTEMPTS),
            done: done.unwrap_or(false),
            rank: 0.0,
        }
    }

    /// What is done, and the description that goes with it.
    fn action(
        &mut self,
        command: Option<String>,
        agent: Option<String>,
        description: Option<String>,
        place: &dyn Fn() -> KeyPath,
    ) -> (Action, String) {
        if let Some(description) = &description {
            self.bounded(description, || place().key("description"));
        }
        let description = description.unwrap_or_default();
        match (command, agent) {
            (Some(command), None) => {
                self.text(&command, || place().key("command"));
                (Action::Command(command), description)
            }
            (None, Some(agent)) => {
                self.text(&agent, || place().key("agent"));
                if !description.is_empty() {
                    self.report(
                        ProblemKind::InvalidValue,
                        &place().key("description"),
                        "the task has two descriptions: `description` and `agent`".to_owned(),
                        "put all that the agent has to know under `agent`",
                    );
                }
                (Action::Agent, agent)
            }
            (Some(command), Some(_)) => {
                self.report(
                    ProblemKind::InvalidValue,
                    &place().key("agent"),
                    "a task has a `command` or an `agent`, not both".to_owned(),
                    "make two tasks of it, one of which needs the other",
                );
                (Action::Command(command), description)
            }
            (None, None) => {
                self.report(
                    ProblemKind::MissingKey,
                    &place().key("key"),
                    "the task has nothing to do".to_owned(),
                    "give it a `command`, or under `agent` what an agent is asked to do",
                );
                (Action::Agent, description)
            }
        }
    }

    fn condition(
        &mut self,
        raw: &RawCondition,
        epics: &Names,
        place: impl Fn() -> KeyPath,
    ) -> Option<Condition> {
        let epic = self.known(&raw.epic, epics, "epic", || place().key("epic"));
        let share = raw.at_least.trim();
        let share = share.strip_suffix('%').unwrap_or(share).trim_end();
        let at_least = share.parse().ok().filter(|percent| (1..=100).contains(percent));
        if at_least.is_none() {
            self.report(
                ProblemKind::InvalidValue,
                &place().key("at_least"),
                format!("{} is not a share that an epic can reach", quoted(&raw.at_least)),
                "write a whole percentage from 1% to 100%, such as 50%",
            );
        }
        Some(Condition { epic: epic?, at_least: at_least? })
    }

    fn priority(&mut self, raw: &RawPriority, place: impl Fn() -> KeyPath) -> i64 {
        match raw {
            RawPriority::Number(number) => *number,
            RawPriority::Name(name) => match name.trim() {
                "P0" | "p0" => 0,
                "P1" | "p1" => 1,
                "P2" | "p2" => 2,
                "P3" | "p3" => 3,
                _ => {
                    self.report(
                        ProblemKind::InvalidValue,
                        &place(),
                        format!("{} is not a priority", quoted(name)),
                        "write P0 (most urgent) to P3, or a number from 0 to 1000",
                    );
                    DEFAULT_PRIORITY
                }
            },
        }
    }

    fn timeout(&mut self, raw: &RawDuration, place: impl Fn() -> KeyPath) -> Option<Duration> {
        let (read, shown) = match raw {
            RawDuration::Seconds(seconds) => {
                (duration::from_seconds(*seconds), format!("`{seconds}`"))
            }
            RawDuration::Text(text) => (duration::parse(text), quoted(text)),
        };
        let read = read.filter(|length| !length.is_zero());
        if read.is_none() {
            self.report(
                ProblemKind::InvalidValue,
                &place(),
                format!("{shown} is not a time that an attempt can take"),
                "write seconds (90) or a number with a unit (90s, 5m, 2h), at most 7d",
            );
        }
        read
    }

    fn known(
        &mut self,
        key: &str,
        names: &Names,
        what: &str,
        place: impl Fn() -> KeyPath,
    ) -> Option<usize> {
        let found = names.get(key).copied();
        // With a hundred thousand names, looking for the nearest has a price.
        if found.is_none() && !self.is_full() {
            let mut known: Vec<&str> = names.keys().map(String::as_str).collect();
            known.sort_unstable();
            let help = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.len() <= MOST_LISTED => format!("the {what}s are {}", list(known)),
                None => format!("none of the {} {what}s is called nearly so", known.len()),
            };
            let message = format!("no {what} has the key {}", quoted(key));
            self.report(ProblemKind::UnknownName, &place(), message, &help);
        }
        found
    }

    /// One line that says something.
    fn line(&mut self, text: &str, place: impl Fn() -> KeyPath) {
        let wrong = if text.trim().is_empty() {
            "is empty"
        } else if text.chars().any(char::is_control) {
            "has more than one line, or a control character"
        } else if text.chars().count() > LONGEST_LINE {
            "has more than 200 characters"
        } else {
            return;
        };
        let place = place();
        self.report(ProblemKind::InvalidValue, &place, format!("`{place}` {wrong}"), "");
    }

    /// A text of any number of lines that says something.
    fn text(&mut self, text: &str, place: impl Fn() -> KeyPath) {
        if text.trim().is_empty() {
            let place = place();
            self.report(ProblemKind::InvalidValue, &place, format!("`{place}` is empty"), "");
        } else {
            self.bounded(text, place);
        }
    }

    fn bounded(&mut self, text: &str, place: impl Fn() -> KeyPath) {
        let (wrong, help) = if text.contains('\0') {
            ("holds a NUL", "")
        } else if text.len() > LONGEST_TEXT {
            ("has more than 64 KiB", "put it in a script or a document of the repository")
        } else {
            return;
        };
        let place = place();
        self.report(ProblemKind::InvalidValue, &place, format!("`{place}` {wrong}"), help);
    }

    /// What git takes for an address, and not for an option.
    fn repository(&mut self, text: &str, place: &KeyPath) {
        self.line(text, || place.clone());
        if text.starts_with('-') || text.contains(char::is_whitespace) {
            self.report(
                ProblemKind::InvalidUrl,
                place,
                format!("{} is not the address of a repository", quoted(text)),
                "write it as `git clone` takes it: https://…, ssh://…, or a path",
            );
        }
    }

    fn branch(&mut self, name: &str, place: impl Fn() -> KeyPath) {
        if !is_branch(name) {
            self.report(
                ProblemKind::InvalidValue,
                &place(),
                format!("{} cannot be the name of a branch", quoted(name)),
                "see `git help check-ref-format`",
            );
        }
    }

    fn glob(&mut self, text: &str, place: impl Fn() -> KeyPath) {
        let outside = text.starts_with('/') || text.split('/').any(|part| part == "..");
        if text.trim().is_empty() || outside || globset::Glob::new(text).is_err() {
            self.report(
                ProblemKind::InvalidPath,
                &place(),
                format!("{} is not a pattern for files of the repository", quoted(text)),
                "write it relative to the repository's root: src/routes/*.ts",
            );
        }
    }

    fn fault(&mut self, graph: &TaskGraph, fault: &Fault) {
        let key = |task: &usize| graph.tasks[*task].key.as_str();
        let place = |task: usize| KeyPath::root().key("tasks").index(task);
        match fault {
            Fault::Cycle(tasks) => {
                let (Some(first), Some(last)) = (tasks.first(), tasks.last()) else { return };
                let edge = graph.tasks[*last].needs.iter().position(|need| need == first);
                let message = match tasks.as_slice() {
                    [only] => format!("task {} needs itself", quoted(key(only))),
                    several => format!(
                        "tasks wait for each other: {} → {}",
                        shortened(several.iter().map(key).collect(), " → "),
                        key(first)
                    ),
                };
                self.report(
                    ProblemKind::Cycle,
                    &place(*last).key("needs").index(edge.unwrap_or(0)),
                    message,
                    "remove one of these `needs`, so that one task can begin",
                );
            }
            Fault::Unmet { task, condition, reached, stuck } => {
                let asked = &graph.tasks[*task].conditions[*condition];
                let epic = quoted(&graph.epics[asked.epic].key);
                let message = format!(
                    "task {} waits for {}% of epic {epic}, which never comes further than {:.0}%",
                    quoted(key(task)),
                    asked.at_least,
                    reached.percent().floor()
                );
                let help = if reached.tasks == 0 {
                    format!("no task belongs to epic {epic}")
                } else {
                    let names = shortened(stuck.iter().map(key).collect(), ", ");
                    format!("these tasks of it cannot begin before: {names}")
                };
                let at = place(*task).key("conditions").index(*condition).key("at_least");
                self.report(ProblemKind::InvalidValue, &at, message, &help);
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
        && name.len() <= LONGEST_LINE
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
}
