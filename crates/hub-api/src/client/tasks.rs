//! A hub as what works on a run's tasks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{HubClient, HubError, HubErrorKind};
use crate::types::{Action, Evidence as Found, GraphSubmission, Task};
use greenloop_evidence::Redactor;
use greenloop_model::task::{EvidenceKind, GraphId, GraphState, TaskId, TaskState};
use greenloop_model::{CommitId, Evidence, Excerpt, FailureClass, Fingerprint, RunId};
use greenloop_ports::{
    FailedTask, MergedWork, Submitted, TaskNews, TaskRunner, TasksEnd, TasksError, TasksErrorKind,
    TasksRequest,
};
use greenloop_workspace::git::{Git, GitError, GitErrorKind, fetch_branch};

/// How often the hub is looked at when it says nothing by itself.
const LOOK: Duration = Duration::from_secs(3);
/// Events come in bursts: one look is enough for all of this time.
const BURST: Duration = Duration::from_millis(200);
/// How long a hub may be away without the run giving up on it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(600);
/// Failed tasks whose evidence is fetched; the others are named.
const IN_DETAIL: usize = 3;
/// Lines of one task's log that become evidence, from its end.
const LOG_LINES: usize = 120;

/// Why a graph's file cannot be used.
type Unusable = Box<dyn std::error::Error + Send + Sync>;
/// Reads the graph from a work tree.
pub type LoadGraph = Arc<dyn Fn(&Path) -> Result<GraphSubmission, Unusable> + Send + Sync>;

/// Has a run's tasks worked on by a hub.
pub struct HubTasks {
    client: HubClient,
    load: LoadGraph,
    redactor: Redactor,
}

impl HubTasks {
    /// With the hub behind `client`, and the graph as `load` reads it.
    pub fn new(client: HubClient, load: LoadGraph, redactor: Redactor) -> Self {
        Self { client: client.within(WAIT_TIMEOUT), load, redactor }
    }

    fn link(&self, what: &str, id: i64) -> String {
        format!("{}#/{what}/{id}", self.client.address())
    }

    async fn end(
        &self,
        graph: GraphId,
        state: GraphState,
        tasks: &[Task],
    ) -> Result<TasksEnd, HubError> {
        let mut failed = Vec::new();
        let given_up = |task: &&Task| matches!(task.state, TaskState::Failed | TaskState::Blocked);
        for (nth, task) in tasks.iter().filter(given_up).enumerate() {
            failed.push(self.failed(task, nth < IN_DETAIL).await?);
        }
        let changed = tasks.iter().any(|task| task.commit.is_some());
        let merged = if changed {
            let graph = self.client.graph(graph).await?;
            Some(MergedWork { branch: graph.target, repository: graph.repository })
        } else {
            None
        };
        Ok(TasksEnd { state, failed, merged })
    }

    async fn failed(&self, task: &Task, in_detail: bool) -> Result<FailedTask, HubError> {
        let reason = task.reason.clone().unwrap_or_else(|| format!("it is {}", task.state));
        let reason = self.redactor.redact(&reason).into_owned();
        let mut evidence = Evidence { notes: vec![reason.clone()], ..Evidence::default() };
        if let Action::Command(line) = &task.action {
            evidence.command = Some(self.redactor.redact(line).into_owned());
        }
        let (mut class, mut fingerprint) = (FailureClass::Unknown, None);
        if in_detail {
            let id = task.id;
            let attempts = self.client.attempts(id).await?;
            if let Some(last) = attempts.iter().rfind(|attempt| attempt.class.is_some()) {
                let name = last.class.as_deref().unwrap_or_default();
                class = FailureClass::from_name(name).unwrap_or(FailureClass::Unknown);
                fingerprint = last.fingerprint.as_deref().and_then(Fingerprint::parse);
            }
            for found in self.client.evidence(id).await? {
                if found.epoch == task.epoch {
                    self.add(&mut evidence, &found);
                }
            }
        }
        Ok(FailedTask {
            key: task.key.clone(),
            title: self.redactor.redact(&task.title).into_owned(),
            reason,
            class,
            fingerprint,
            evidence,
            link: self.link("tasks", task.id.0),
        })
    }

    fn add(&self, evidence: &mut Evidence, found: &Found) {
        let title = self.redactor.redact(&found.title);
        let telling =
            matches!(found.kind, EvidenceKind::Log | EvidenceKind::Test | EvidenceKind::Build);
        if !telling || found.body.trim().is_empty() {
            evidence.notes.push(format!("{}: {title}", found.kind));
            return;
        }
        let body = self.redactor.redact(&found.body);
        let lines: Vec<&str> = body.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        evidence.notes.push(title.into_owned());
        evidence.excerpts.push(Excerpt {
            start: from as u64 + 1,
            end: lines.len() as u64,
            kind: found.kind.to_string(),
            text: lines[from..].join("\n"),
            locations: Vec::new(),
        });
    }
}

#[async_trait]
impl TaskRunner for HubTasks {
    async fn submit(&self, request: &TasksRequest) -> Result<Submitted, TasksError> {
        let mut graph = (self.load)(&request.work_tree).map_err(|source| TasksError {
            kind: TasksErrorKind::Graph,
            message: "the graph of tasks is invalid".to_owned(),
            source: Some(source),
        })?;
        graph.run = Some(request.run.to_string());
        let key = format!("run-{}-{}", request.run, request.commit);
        let name = graph.name.clone();
        let tasks = graph.tasks.len();
        let graph = self.client.submit(&graph, &key).await.map_err(refused)?;
        let link = self.link("graphs", graph.id.0);
        Ok(Submitted { graph: graph.id, name, tasks, link })
    }

    async fn follow(
        &self,
        graph: GraphId,
        news: &mut (dyn FnMut(TaskNews) + Send),
        cancel: &CancellationToken,
    ) -> Result<TasksEnd, TasksError> {
        let mut events = self.client.follow(None, Some(graph.0), WAIT_TIMEOUT);
        let mut seen = ReportedTasks::default();
        let mut listening = true;
        loop {
            let look = async {
                let state = self.client.graph(graph).await?.state;
                Ok::<_, HubError>((state, self.client.tasks(graph).await?))
            };
            let (state, tasks) = tokio::select! {
                looked = look => looked.map_err(refused)?,
                () = cancel.cancelled() => return Err(cancelled()),
            };
            seen.report(&tasks, &self.redactor, news);
            match state {
                GraphState::Running => {}
                GraphState::Done | GraphState::Failed | GraphState::Cancelled => {
                    return self.end(graph, state, &tasks).await.map_err(refused);
                }
            }
            // Events only say when to look: one that is lost costs a few seconds.
            tokio::select! {
                event = events.next(), if listening => {
                    if let Err(error) = event {
                        tracing::warn!(%error, "could not follow the hub's events");
                        listening = false;
                    }
                    tokio::time::sleep(BURST).await;
                }
                () = tokio::time::sleep(LOOK) => {}
                () = cancel.cancelled() => return Err(cancelled()),
            }
        }
    }

    async fn cancel(&self, graph: GraphId) -> Result<(), TasksError> {
        // A person waits for the run's end.
        let client = self.client.within(Duration::from_secs(20));
        client.cancel_graph(graph).await.map_err(refused)
    }

    async fn fetch(
        &self,
        merged: &MergedWork,
        work_tree: &Path,
        run: RunId,
        cancel: &CancellationToken,
    ) -> Result<CommitId, TasksError> {
        let git = Git::new(run, &self.redactor, cancel);
        let url = merged.repository.as_deref().unwrap_or("origin");
        let own = format!("refs/greenloop/tasks/{run}");
        fetch_branch(work_tree, url, &merged.branch, &own, &git).await.map_err(not_fetched)
    }
}

/// What was reported already.
#[derive(Default)]
struct ReportedTasks(HashMap<TaskId, (TaskState, u8, Option<String>)>);

impl ReportedTasks {
    fn report(
        &mut self,
        tasks: &[Task],
        redactor: &Redactor,
        news: &mut (dyn FnMut(TaskNews) + Send),
    ) {
        let done = tasks.iter().filter(|task| task.state == TaskState::Done).count();
        for task in tasks {
            let now = (task.state, task.percent, task.reason.clone());
            let before = self.0.insert(task.id, now.clone());
            let known = match (&before, task.state) {
                // That everything waits at first is no news.
                (None, TaskState::Waiting | TaskState::Ready) => true,
                (before, _) => before.as_ref() == Some(&now),
            };
            if !known {
                let title = format!("{} {}", task.key, task.title);
                news(TaskNews {
                    task: redactor.redact(&title).into_owned(),
                    state: task.state,
                    percent: task.percent,
                    agent: task.agent.clone(),
                    text: now.2.map(|reason| redactor.redact(&reason).into_owned()),
                    done: (done, tasks.len()),
                });
            }
        }
    }
}

fn refused(error: HubError) -> TasksError {
    let kind = match error.kind {
        HubErrorKind::Unavailable => TasksErrorKind::Unreachable,
        HubErrorKind::Unauthorised | HubErrorKind::Forbidden => TasksErrorKind::Auth,
        HubErrorKind::Invalid => TasksErrorKind::Graph,
        HubErrorKind::StaleLease
        | HubErrorKind::Conflict
        | HubErrorKind::NotFound
        | HubErrorKind::Protocol => TasksErrorKind::Hub,
    };
    TasksError { kind, message: error.message, source: error.source }
}

fn not_fetched(error: GitError) -> TasksError {
    match error.kind {
        GitErrorKind::Cancelled => cancelled(),
        GitErrorKind::NoGit
        | GitErrorKind::Rejected
        | GitErrorKind::Remote
        | GitErrorKind::Local => TasksError {
            kind: TasksErrorKind::Repository,
            message: error.message,
            source: error.source.map(Into::into),
        },
    }
}

fn cancelled() -> TasksError {
    TasksError {
        kind: TasksErrorKind::Cancelled,
        message: "the run was cancelled".to_owned(),
        source: None,
    }
}
