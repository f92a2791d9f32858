//! Tasks: has a graph of tasks worked on, tells how it goes, and turns what was given up into a
//! failure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::StageContext;
use super::identity::combined;
use greenloop_evidence::normalise;
use greenloop_model::task::{GraphState, TaskState};
use greenloop_model::{
    CommitId, Evidence, Failure, FailureClass, Notice, RunEvent, Stage, error_chain,
};
use greenloop_ports::{
    FailedTask, Submitted, TaskNews, TaskRunner, TasksEnd, TasksError, TasksErrorKind, TasksRequest,
};

/// How the tasks stage ended.
#[derive(Debug)]
pub enum TasksOutcome {
    /// Every task is done; with the tip of the branch that has the work, when any of it changed
    /// the repository.
    Done(Option<CommitId>),
    /// Something was given up.
    Failed(Box<Failure>),
    /// The run was cancelled, and the graph with it.
    Cancelled,
}

/// Has the graph worked on to its end.
///
/// A run that is cancelled, and a graph that takes longer than `timeout`, cancel the graph:
/// nothing goes on working for a run that is over.
pub async fn run_tasks(
    runner: &dyn TaskRunner,
    request: &TasksRequest,
    timeout: Duration,
    context: &StageContext<'_>,
) -> TasksOutcome {
    let submitted = tokio::select! {
        submitted = runner.submit(request) => submitted,
        () = context.cancel.cancelled() => return TasksOutcome::Cancelled,
    };
    let submitted = match submitted {
        Ok(submitted) => submitted,
        Err(error) => return not_done(error, None),
    };
    let text = format!(
        "submitted {} tasks of {} to the hub: {}",
        submitted.tasks, submitted.name, submitted.link
    );
    context.events.send(RunEvent::Notice(Notice::Info(text)));
    let began = Instant::now();
    let mut tell = |news: TaskNews| told(context, &news, began);
    let followed =
        tokio::time::timeout(timeout, runner.follow(submitted.graph, &mut tell, context.cancel));
    let end = match followed.await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => {
            if error.kind == TasksErrorKind::Cancelled {
                give_up(runner, &submitted, context).await;
            }
            return not_done(error, Some(&submitted));
        }
        Err(_elapsed) => {
            give_up(runner, &submitted, context).await;
            return late(timeout, &submitted);
        }
    };
    let TasksEnd { state, failed, merged } = end;
    match state {
        GraphState::Done => match merged {
            None => TasksOutcome::Done(None),
            Some(merged) => {
                let fetched =
                    runner.fetch(&merged, &request.work_tree, request.run, context.cancel);
                match fetched.await {
                    Ok(tip) => TasksOutcome::Done(Some(tip)),
                    Err(error) => not_done(error, Some(&submitted)),
                }
            }
        },
        GraphState::Failed => TasksOutcome::Failed(Box::new(given_up(&failed, &submitted))),
        GraphState::Cancelled => {
            let headline = format!("the graph {} was cancelled", submitted.name);
            let failure = failure("cancelled", headline, FailureClass::Unknown, &submitted);
            TasksOutcome::Failed(Box::new(failure))
        }
        // What follows a graph follows it to its end.
        GraphState::Running => {
            let headline = format!("lost the connection to the graph {}", submitted.name);
            let failure = failure("hub", headline, FailureClass::Infrastructure, &submitted);
            TasksOutcome::Failed(Box::new(failure))
        }
    }
}

/// Ends the graph; that it cannot be ended is something to know, and no other failure.
async fn give_up(runner: &dyn TaskRunner, submitted: &Submitted, context: &StageContext<'_>) {
    if let Err(error) = runner.cancel(submitted.graph).await {
        let text = format!(
            "the graph {} is still running: could not cancel it: {}",
            submitted.link,
            context.redactor.redact(&error_chain(&error))
        );
        context.events.send(RunEvent::Notice(Notice::Warning(text)));
    }
}

/// One line of what happens, or a step that ended.
fn told(context: &StageContext<'_>, news: &TaskNews, began: Instant) {
    let (done, all) = news.done;
    let who = news.agent.as_ref().map_or_else(String::new, |agent| format!(" ({agent})"));
    let more = news.text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
    match news.state {
        TaskState::Done | TaskState::Failed | TaskState::Blocked | TaskState::Cancelled => {
            context.events.send(RunEvent::StepFinished {
                stage: Stage::Tasks,
                name: news.task.clone(),
                ok: news.state == TaskState::Done,
                detail: format!("{}{who}{more}; {done} of {all} done", news.state),
                elapsed: began.elapsed(),
            });
            context.events.send(RunEvent::Progress {
                stage: Stage::Tasks,
                name: "tasks".to_owned(),
                done: done as u64,
                total: Some(all as u64),
            });
        }
        TaskState::Waiting | TaskState::Ready | TaskState::Running | TaskState::Merging => {
            let far = if news.percent > 0 { format!(" {} %", news.percent) } else { String::new() };
            context.events.send(RunEvent::Output {
                stage: Stage::Tasks,
                name: "tasks".to_owned(),
                text: format!("{} is {}{far}{who}{more}\n", news.task, news.state),
            });
        }
    }
}

fn not_done(error: TasksError, submitted: Option<&Submitted>) -> TasksOutcome {
    let (name, class) = match error.kind {
        TasksErrorKind::Cancelled => return TasksOutcome::Cancelled,
        TasksErrorKind::Graph => ("graph", FailureClass::Config),
        TasksErrorKind::Unreachable | TasksErrorKind::Hub => ("hub", FailureClass::Infrastructure),
        TasksErrorKind::Auth => ("hub", FailureClass::Auth),
        TasksErrorKind::Repository => ("repository", FailureClass::Infrastructure),
    };
    let headline = error_chain(&error);
    let evidence = Evidence {
        notes: submitted.map(|submitted| submitted.link.clone()).into_iter().collect(),
        ..Evidence::default()
    };
    TasksOutcome::Failed(Box::new(Failure {
        stage: Stage::Tasks,
        name: name.to_owned(),
        fingerprint: combined(&["tasks", name, &normalise(&headline)]),
        headline,
        class,
        flaky_suspect: false,
        symptoms: BTreeSet::from([format!("tasks: {name}")]),
        evidence,
    }))
}

fn late(timeout: Duration, submitted: &Submitted) -> TasksOutcome {
    let headline = format!(
        "the graph {} was cancelled: not done within {} s",
        submitted.name,
        timeout.as_secs_f64()
    );
    TasksOutcome::Failed(Box::new(failure("timeout", headline, FailureClass::Timeout, submitted)))
}

fn failure(name: &str, headline: String, class: FailureClass, submitted: &Submitted) -> Failure {
    Failure {
        stage: Stage::Tasks,
        name: name.to_owned(),
        fingerprint: combined(&["tasks", name, &normalise(&headline)]),
        evidence: Evidence { notes: vec![submitted.link.clone()], ..Evidence::default() },
        headline,
        class,
        flaky_suspect: false,
        symptoms: BTreeSet::from([format!("tasks: {name}")]),
    }
}

/// The first task that was given up speaks for all.
fn given_up(failed: &[FailedTask], submitted: &Submitted) -> Failure {
    let Some(first) = failed.first() else {
        let headline = format!("no task of the graph {} can run any more", submitted.name);
        return failure("graph", headline, FailureClass::Unknown, submitted);
    };
    let mut evidence = first.evidence.clone();
    evidence.notes.insert(0, first.link.clone());
    for other in &failed[1..] {
        evidence.notes.push(format!(
            "task {} {} failed too: {} ({})",
            other.key, other.title, other.reason, other.link
        ));
    }
    let known = first.fingerprint.as_ref().map_or("", |fingerprint| fingerprint.as_str());
    let telling = normalise(&first.reason);
    let identity = if known.is_empty() { telling.as_str() } else { known };
    Failure {
        stage: Stage::Tasks,
        name: first.key.clone(),
        headline: format!("task {} {} failed: {}", first.key, first.title, first.reason),
        class: first.class,
        fingerprint: combined(&["tasks", &first.key, identity]),
        // Its own attempts were the tries again.
        flaky_suspect: false,
        symptoms: failed.iter().map(|task| format!("task {}", task.key)).collect(),
        evidence,
    }
}
