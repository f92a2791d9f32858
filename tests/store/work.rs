//! Graphs, agents and calls that many tests make.

use greenloop_hub::store::{PageRequest, StoreError, StoreErrorKind, TaskStore};
use greenloop_hub_api::graph::{Condition, TaskGraph, TaskSpec};
use greenloop_hub_api::types::{
    Action, AgentHeartbeat, Attempt, AttemptFailure, ClaimRequest, Claimed, Completion,
    EpicSubmission, Evidence, TaskSubmission,
};
use greenloop_model::task::{EventId, GraphId, Lease, TaskEventKind, TaskId};

pub(crate) fn task(key: &str) -> TaskSpec {
    let action = Action::Command("true".to_owned());
    let submission = TaskSubmission::new(key, format!("Task {key}"), action);
    let submission = TaskSubmission { priority: 1, hours: 1.0, ..submission };
    TaskSpec { rank: 1.0, ..TaskSpec::new(submission) }
}

pub(crate) fn graph(tasks: Vec<TaskSpec>) -> TaskGraph {
    TaskGraph {
        project: "shop".to_owned(),
        repository: Some("https://example.org/shop.git".to_owned()),
        target: "main".to_owned(),
        gates: vec!["just check".to_owned()],
        merge_approval: false,
        name: "work".to_owned(),
        epics: Vec::new(),
        tasks,
    }
}

pub(crate) fn many(count: usize) -> TaskGraph {
    graph((0..count).map(|n| task(&n.to_string())).collect())
}

pub(crate) fn epic(key: &str) -> EpicSubmission {
    EpicSubmission { key: key.to_owned(), title: format!("EpicSubmission {key}"), branch: None }
}

pub(crate) fn at_least(epic: usize, at_least: u8) -> Condition {
    Condition { epic, at_least }
}

pub(crate) fn agent(name: &str) -> ClaimRequest {
    ClaimRequest {
        agent: name.to_owned(),
        instance: "1".to_owned(),
        roles: Vec::new(),
        labels: Vec::new(),
        lease_seconds: 60,
        wait_seconds: 0,
        unreachable: Vec::new(),
    }
}

pub(crate) fn beat(name: &str) -> AgentHeartbeat {
    AgentHeartbeat {
        name: name.to_owned(),
        instance: "1".to_owned(),
        roles: Vec::new(),
        labels: Vec::new(),
        host: "vm-1".to_owned(),
        version: "0.1.0".to_owned(),
        cpu_percent: Some(12.5),
        memory_bytes: Some(1 << 30),
        draining: false,
        quarantine: None,
        period_seconds: None,
        unreachable: Vec::new(),
    }
}

pub(crate) async fn claim(store: &TaskStore, name: &str) -> Option<Claimed> {
    store.claim(&agent(name), None).await.unwrap()
}

/// Claims a task, and returns its key.
pub(crate) async fn claim_key(store: &TaskStore, name: &str) -> Option<String> {
    claim(store, name).await.map(|it| it.task.key)
}

pub(crate) async fn complete(store: &TaskStore, lease: Lease) {
    store.complete(lease, &Completion::default(), None).await.unwrap();
}

pub(crate) fn committed(commit: &str) -> Completion {
    Completion { commit: Some(commit.to_owned()), summary: "done".to_owned(), branch: None }
}

pub(crate) fn failure(retry: bool) -> AttemptFailure {
    AttemptFailure {
        class: "code".to_owned(),
        message: "it does not compile".to_owned(),
        fingerprint: Some("f1".to_owned()),
        retry,
        uncounted: false,
        quarantine: None,
        unreachable: false,
    }
}

pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> StoreErrorKind {
    outcome.unwrap_err().kind
}

/// The ids of a graph's tasks, in the order of its file.
pub(crate) async fn ids(store: &TaskStore, graph: GraphId) -> Vec<TaskId> {
    use greenloop_hub::store::TaskFilter;
    let mut ids = Vec::new();
    let mut page = PageRequest::first(500);
    loop {
        let filter = TaskFilter { graph: Some(graph), ..TaskFilter::default() };
        let part = store.tasks(&filter, page).await.unwrap();
        ids.extend(part.items.iter().map(|it| it.id));
        match part.next {
            Some(_) => page.cursor = part.next,
            None => return ids,
        }
    }
}

/// The attempts at a task, oldest first.
pub(crate) async fn attempts(store: &TaskStore, task: TaskId) -> Vec<Attempt> {
    store.attempts(task, PageRequest::first(100)).await.unwrap().items
}

/// The evidence of a task, oldest first.
pub(crate) async fn evidence(store: &TaskStore, task: TaskId) -> Vec<Evidence> {
    store.evidence(task, PageRequest::first(100)).await.unwrap().items
}

/// All events so far.
pub(crate) async fn events(store: &TaskStore) -> Vec<TaskEventKind> {
    let mut all = Vec::new();
    let mut after = EventId(0);
    loop {
        let part = store.events_after(after, 1000).await.unwrap();
        let Some(last) = part.last() else { return all };
        after = last.id;
        all.extend(part.iter().map(|it| it.kind));
    }
}
