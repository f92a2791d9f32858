//! The tasks stage with a runner that does as it is told.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::StageContext;
use super::tasks::{TasksOutcome, run_tasks};
use greenloop_evidence::Redactor;
use greenloop_model::task::{GraphId, GraphState, TaskState};
use greenloop_model::{
    CommitId, EventSink, Evidence, FailureClass, Notice, RunEvent, RunId, Stage,
};
use greenloop_ports::{
    FailedTask, MergedWork, Submitted, TaskNews, TaskRunner, TasksEnd, TasksError, TasksErrorKind,
    TasksRequest,
};

/// How the graph ends; `None` never.
struct Scripted {
    end: Option<TasksEnd>,
    refuse: Option<TasksErrorKind>,
    cancelled: Mutex<Vec<GraphId>>,
}

fn merged() -> CommitId {
    "cd".repeat(20).parse().unwrap()
}

fn error(kind: TasksErrorKind) -> TasksError {
    TasksError { kind, message: "it is so".to_owned(), source: None }
}

#[async_trait]
impl TaskRunner for Scripted {
    async fn submit(&self, _request: &TasksRequest) -> Result<Submitted, TasksError> {
        match self.refuse {
            Some(kind) => Err(error(kind)),
            None => Ok(Submitted {
                graph: GraphId(7),
                name: "sprint".to_owned(),
                tasks: 2,
                link: "http://hub/#/graphs/7".to_owned(),
            }),
        }
    }

    async fn follow(
        &self,
        _graph: GraphId,
        news: &mut (dyn FnMut(TaskNews) + Send),
        cancel: &CancellationToken,
    ) -> Result<TasksEnd, TasksError> {
        for (state, done) in [(TaskState::Running, 0), (TaskState::Done, 1)] {
            news(TaskNews {
                task: "1 First".to_owned(),
                state,
                percent: 0,
                agent: Some("w1".to_owned()),
                text: None,
                done: (done, 2),
            });
        }
        match &self.end {
            Some(end) => Ok(end.clone()),
            None => {
                cancel.cancelled().await;
                Err(error(TasksErrorKind::Cancelled))
            }
        }
    }

    async fn cancel(&self, graph: GraphId) -> Result<(), TasksError> {
        self.cancelled.lock().unwrap().push(graph);
        Ok(())
    }

    async fn fetch(
        &self,
        _merged: &MergedWork,
        _work_tree: &Path,
        _run: RunId,
        _cancel: &CancellationToken,
    ) -> Result<CommitId, TasksError> {
        Ok(merged())
    }
}

fn scripted(state: GraphState, failed: Vec<FailedTask>, merged: bool) -> Scripted {
    let work = MergedWork { branch: "main".to_owned(), repository: None };
    let end = TasksEnd { state, failed, merged: merged.then_some(work) };
    Scripted { end: Some(end), refuse: None, cancelled: Mutex::default() }
}

async fn run(
    runner: &Scripted,
    timeout: Duration,
    cancel: &CancellationToken,
) -> (TasksOutcome, Receiver<RunEvent>) {
    let folder = tempfile::tempdir().unwrap();
    let (sender, receiver) = channel();
    let events = EventSink::new(sender);
    let redactor = Redactor::default();
    let context = StageContext {
        root: folder.path(),
        run: RunId::generate(),
        iteration: 1,
        folder: folder.path(),
        redactor: &redactor,
        events: &events,
        cancel,
        parallelism: 1,
        env_remove: &[],
        sandbox: None,
    };
    let request = TasksRequest {
        run: context.run,
        commit: "ab".repeat(20).parse().unwrap(),
        work_tree: folder.path().to_owned(),
    };
    (run_tasks(runner, &request, timeout, &context).await, receiver)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_graph_that_is_done_says_where_its_work_is() {
    for (work, expect) in [(true, Some(merged())), (false, None)] {
        let runner = scripted(GraphState::Done, Vec::new(), work);
        let (outcome, events) = run(&runner, LONG, &CancellationToken::new()).await;
        let TasksOutcome::Done(tip) = outcome else { panic!("{outcome:?}") };
        assert_eq!(tip, expect);
        let told: Vec<RunEvent> = events.try_iter().collect();
        assert!(matches!(&told[0],
            RunEvent::Notice(Notice::Info(text)) if text.contains("http://hub/#/graphs/7")));
        assert!(matches!(&told[1],
            RunEvent::Output { stage: Stage::Tasks, text, .. } if text == "1 First is running (w1)\n"));
        assert!(
            told.iter().any(|event| matches!(event,
            RunEvent::StepFinished { ok: true, detail, .. } if detail == "done (w1); 1 of 2 done"))
        );
    }
}

#[tokio::test]
async fn a_task_that_was_given_up_is_the_failure() {
    let task = |key: &str| FailedTask {
        key: key.to_owned(),
        title: "Write it".to_owned(),
        reason: "exit status 3".to_owned(),
        class: FailureClass::Code,
        fingerprint: None,
        evidence: Evidence { notes: vec!["seen".to_owned()], ..Evidence::default() },
        link: format!("http://hub/#/tasks/{key}"),
    };
    let runner = scripted(GraphState::Failed, vec![task("1.2"), task("1.4")], true);
    let (outcome, _) = run(&runner, LONG, &CancellationToken::new()).await;
    let TasksOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.headline, "task 1.2 Write it failed: exit status 3");
    assert_eq!((failure.stage, failure.class), (Stage::Tasks, FailureClass::Code));
    assert_eq!(failure.evidence.notes[0], "http://hub/#/tasks/1.2");
    assert!(failure.evidence.notes[2].contains("task 1.4"), "{:?}", failure.evidence.notes);
    assert_eq!(failure.symptoms.len(), 2);
}

#[tokio::test]
async fn what_is_over_is_cancelled_at_the_hub() {
    let runner = Scripted { end: None, refuse: None, cancelled: Mutex::default() };
    let cancel = CancellationToken::new();
    let cancelling = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancelling.cancel();
    });
    let (outcome, _) = run(&runner, LONG, &cancel).await;
    assert!(matches!(outcome, TasksOutcome::Cancelled), "{outcome:?}");
    let (outcome, _) = run(&runner, Duration::from_millis(50), &CancellationToken::new()).await;
    let TasksOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.class, FailureClass::Timeout);
    assert_eq!(*runner.cancelled.lock().unwrap(), [GraphId(7), GraphId(7)]);
}

#[tokio::test]
async fn trouble_with_the_hub_is_no_fault_of_the_code() {
    for (kind, class) in [
        (TasksErrorKind::Unreachable, FailureClass::Infrastructure),
        (TasksErrorKind::Auth, FailureClass::Auth),
        (TasksErrorKind::Graph, FailureClass::Config),
    ] {
        let runner = Scripted { end: None, refuse: Some(kind), cancelled: Mutex::default() };
        let (outcome, _) = run(&runner, LONG, &CancellationToken::new()).await;
        let TasksOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.class, class);
    }
}
