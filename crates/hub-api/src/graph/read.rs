//! From the text of `tasks.yaml` to a sound graph, or every mistake with its place.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;

use super::TASKS;
use super::check::{Mistake, check};
use super::checked::TaskGraph;
use super::raw::{
    RawApproved, RawCondition, RawDuration, RawEpic, RawGraph, RawMergeApproval, RawPriority,
    RawTask,
};
use crate::types::{Action, ConditionSubmission, EpicSubmission, GraphSubmission, TaskSubmission};
use greenloop_config::document::{Document, KeyPath};
use greenloop_config::error::quoted;
use greenloop_config::schema::schema_of;
use greenloop_config::{ConfigError, Problem, ProblemKind, duration, secrets, shape};

const DEFAULT_PRIORITY: i64 = 2;
const DEFAULT_HOURS: f64 = 1.0;
const DEFAULT_ATTEMPTS: u32 = 3;

static SCHEMA: LazyLock<Json> = LazyLock::new(schema_of::<RawGraph>);

/// The graph, checked and ranked.
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
                message: format!("invalid value: {error}"),
                help: None,
                position: Some(document.position(&KeyPath::root())),
            }]);
        }
    };
    drop(json);
    let mut reader = Reader { document: &document, problems: Vec::new() };
    let submission = reader.graph(raw);
    match check(submission) {
        Ok(graph) if reader.problems.is_empty() => Ok(graph),
        Ok(_) => fail(reader.problems),
        Err(mistakes) => {
            for mistake in &mistakes {
                reader.mistake(mistake);
            }
            fail(reader.problems)
        }
    }
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
            message: format!("`{place}` contains what looks like {what}"),
            help: Some(
                "remove it from the file and set it as an environment variable of the workers; if \
                 it was ever committed, revoke it"
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

impl Reader<'_> {
    fn report(&mut self, kind: ProblemKind, place: &KeyPath, message: String, help: &str) {
        if self.problems.len() < self.document.most_problems() {
            self.problems.push(Problem {
                kind,
                message,
                help: (!help.is_empty()).then(|| help.to_owned()),
                position: Some(self.document.position(place)),
            });
        }
    }

    /// A mistake that the check of graphs has found.
    fn mistake(&mut self, mistake: &Mistake) {
        let Mistake { kind, path, message, help, first } = mistake;
        let help = match first {
            Some(first) => {
                let line = self.document.position(&in_file(first)).line;
                format!("the first one is in line {line}; keys must be unique")
            }
            None => help.clone(),
        };
        let place = in_file(path);
        // Some messages name the place, which has another name here.
        let message = message.replace(&format!("`{path}`"), &format!("`{place}`"));
        self.report(*kind, &place, message, &help);
    }

    fn graph(&mut self, raw: RawGraph) -> GraphSubmission {
        let RawGraph { project, name, epics, tasks } = raw;
        let tasks = tasks.into_iter().enumerate().map(|(i, task)| self.task(task, i)).collect();
        GraphSubmission {
            name: name.unwrap_or_else(|| project.name.clone()),
            project: project.name,
            repository: project.repository,
            target: project.target.unwrap_or_else(|| "main".to_owned()),
            gates: project.gates.unwrap_or_default(),
            merge_approval: matches!(project.approval, Some(RawMergeApproval::Merge)),
            run: None,
            epics: epics.unwrap_or_default().into_iter().map(epic).collect(),
            tasks,
        }
    }

    fn task(&mut self, raw: RawTask, index: usize) -> TaskSubmission {
        let place = || KeyPath::root().key("tasks").index(index);
        let (action, description) = self.action(raw.command, raw.agent, raw.description, &place);
        let needs = raw.needs.unwrap_or_default();
        let mut seen = HashSet::new();
        for (i, key) in needs.iter().enumerate() {
            if !seen.insert(key) {
                let message = format!("{} is listed twice", quoted(key));
                let place = place().key("needs").index(i);
                self.report(ProblemKind::DuplicateName, &place, message, "remove one of them");
            }
        }
        let conditions = raw.conditions.unwrap_or_default().into_iter().enumerate();
        let conditions = conditions
            .filter_map(|(i, raw)| {
                self.condition(raw, || place().key("conditions").index(i).key("at_least"))
            })
            .collect();
        let timeout = raw.timeout.and_then(|raw| self.timeout(&raw, || place().key("timeout")));
        let approved = |what| raw.approval.as_ref().is_some_and(|it| it.covers(what));
        TaskSubmission {
            description,
            epic: raw.epic,
            role: raw.role,
            labels: raw.labels.unwrap_or_default(),
            priority: raw
                .priority
                .map_or(DEFAULT_PRIORITY, |raw| self.priority(&raw, || place().key("priority"))),
            hours: raw.hours.unwrap_or(DEFAULT_HOURS),
            branch: raw.branch,
            files: raw.files.unwrap_or_default(),
            needs,
            conditions,
            timeout_seconds: timeout.map(|timeout| timeout.as_secs().max(1)),
            max_attempts: raw.max_attempts.unwrap_or(DEFAULT_ATTEMPTS),
            done: raw.done.unwrap_or(false),
            approval: approved(RawApproved::Start),
            merge_approval: approved(RawApproved::Merge),
            ..TaskSubmission::new(raw.key, raw.title, action)
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
        let description = description.unwrap_or_default();
        match (command, agent) {
            (Some(command), None) => (Action::Command(command), description),
            (None, Some(agent)) => {
                if agent.trim().is_empty() {
                    let place = place().key("agent");
                    let message = format!("`{place}` is empty");
                    self.report(ProblemKind::InvalidValue, &place, message, "");
                }
                if !description.is_empty() {
                    self.report(
                        ProblemKind::InvalidValue,
                        &place().key("description"),
                        "the task has two descriptions: `description` and `agent`".to_owned(),
                        "put everything that the agent must know under `agent`",
                    );
                }
                (Action::Agent, agent)
            }
            (Some(command), Some(_)) => {
                self.report(
                    ProblemKind::InvalidValue,
                    &place().key("agent"),
                    "a task has a `command` or an `agent`, not both".to_owned(),
                    "split it into two tasks, one of which needs the other",
                );
                (Action::Command(command), description)
            }
            (None, None) => {
                self.report(
                    ProblemKind::MissingKey,
                    &place().key("key"),
                    "the task has nothing to do".to_owned(),
                    "add a `command`, or instructions under `agent`",
                );
                (Action::Agent, description)
            }
        }
    }

    fn condition(
        &mut self,
        raw: RawCondition,
        place: impl Fn() -> KeyPath,
    ) -> Option<ConditionSubmission> {
        let RawCondition { epic, at_least } = raw;
        let share = at_least.trim();
        let share = share.strip_suffix('%').unwrap_or(share).trim_end();
        let percent = share.parse().ok().filter(|percent| (1..=100).contains(percent));
        if percent.is_none() {
            self.report(
                ProblemKind::InvalidValue,
                &place(),
                format!("{} is not a valid percentage of an epic", quoted(&at_least)),
                "use a whole percentage from 1% to 100%, for example 50%",
            );
        }
        Some(ConditionSubmission { epic, at_least: percent? })
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
                        "use P0 (most urgent) to P3, or a number from 0 to 1000",
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
                format!("{shown} is not a valid duration for an attempt"),
                "use seconds (90) or a number with a unit (90s, 5m, 2h), at most 7d",
            );
        }
        read
    }
}

fn epic(raw: RawEpic) -> EpicSubmission {
    let RawEpic { key, title, branch } = raw;
    EpicSubmission { key, title, branch }
}

/// Where in a file of tasks the place of a submitted graph is.
fn in_file(path: &KeyPath) -> KeyPath {
    match path.keys().as_slice() {
        ["project"] => KeyPath::root().key("project").key("name"),
        [key @ ("repository" | "target")] => KeyPath::root().key("project").key(key),
        ["gates"] => KeyPath::root().key("project").join(path),
        [.., "action", "command"] => path.parent().parent().key("command"),
        [.., "timeout_seconds"] => path.parent().key("timeout"),
        // What an agent has to do stands under `agent`; that there are both is found before.
        _ => path.clone(),
    }
}
