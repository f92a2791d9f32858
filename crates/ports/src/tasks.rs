//! Where a graph of tasks is worked on.

use std::path::PathBuf;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use greenloop_model::task::{GraphId, GraphState, TaskState};
use greenloop_model::{CommitId, Evidence, FailureClass, Fingerprint, RunId};

/// What a run wants done.
#[derive(Debug, Clone)]
pub struct TasksRequest {
    /// The run that asks.
    pub run: RunId,
    /// The commit that its work tree is at. The same run asks for the same commit once, however
    /// often it asks.
    pub commit: CommitId,
    /// The work tree: the graph's file is read from there.
    pub work_tree: PathBuf,
}

/// A graph that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    pub graph: GraphId,
    pub name: String,
    /// How many tasks it has.
    pub tasks: usize,
    /// Where a person sees it.
    pub link: String,
}

/// Something that a person who waits wants to see.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskNews {
    /// The task's key and title: `1.3 Repositories`.
    pub task: String,
    /// Where it stands now.
    pub state: TaskState,
    /// How far it is, of 100.
    pub percent: u8,
    /// Who works on it.
    pub agent: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Tasks that are done, of all.
    pub done: (usize, usize),
}

/// A task that was given up, or that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedTask {
    /// The task's key.
    pub key: String,
    /// One line.
    pub title: String,
    /// What became of it, in words.
    pub reason: String,
    /// Its class.
    pub class: FailureClass,
    /// Its identity, when the worker told one.
    pub fingerprint: Option<Fingerprint>,
    /// What its attempts left.
    pub evidence: Evidence,
    /// Where a person sees it.
    pub link: String,
}

/// How a graph ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TasksEnd {
    /// `done`, `failed` or `cancelled`.
    pub state: GraphState,
    /// What keeps it from being done, the first one first.
    pub failed: Vec<FailedTask>,
    /// Where the work went, when any of it changed the repository.
    pub merged: Option<MergedWork>,
}

/// The branch that has the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedWork {
    /// Its short name.
    pub branch: String,
    /// The repository's address, when the graph named one.
    pub repository: Option<String>,
}

/// What keeps a graph from being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TasksErrorKind {
    /// The graph's file.
    Graph,
    /// The hub cannot be reached.
    Unreachable,
    /// The hub does not let this run in.
    Auth,
    /// The hub refuses, or says what cannot be understood.
    Hub,
    /// The repository that has the work cannot be fetched from.
    Repository,
    /// The run was cancelled.
    Cancelled,
}

/// The graph was not worked on to its end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TasksError {
    pub kind: TasksErrorKind,
    /// One line for a person.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Has graphs of tasks worked on.
#[async_trait]
pub trait TaskRunner: Send + Sync {
    /// Hands the graph in; what was handed in before for this run and commit is found again.
    async fn submit(&self, request: &TasksRequest) -> Result<Submitted, TasksError>;

    /// Follows a graph to its end.
    async fn follow(
        &self,
        graph: GraphId,
        news: &mut (dyn FnMut(TaskNews) + Send),
        cancel: &CancellationToken,
    ) -> Result<TasksEnd, TasksError>;

    /// Ends a graph that nobody wants any more.
    async fn cancel(&self, graph: GraphId) -> Result<(), TasksError>;

    /// Brings the branch that has the work into the repository of `work_tree`, and says where
    /// it is. Neither a branch nor a file of the work tree changes.
    async fn fetch(
        &self,
        merged: &MergedWork,
        work_tree: &std::path::Path,
        run: RunId,
        cancel: &CancellationToken,
    ) -> Result<CommitId, TasksError>;
}
