//! What people do: every action of a person goes through [`TaskStore::act`], which does it and
//! records in the same transaction who did it, why, and what it changed.
//!
//! # Guarantees
//! - An action is done as a whole and recorded, or not at all.
//! - One that finds what it wants done already changes nothing and is not recorded again.
//! - One that cannot be done says in a `Conflict` in which state its subject is. An attempt that
//!   runs and a commit that is being pushed are never changed half-way.

mod add;
mod agents;
mod approvals;
mod graphs;
mod list;
mod queues;
mod rules;
mod tasks;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::approvals::{PendingOf, settle};
use super::connect::TaskStore;
use super::error::StoreError;
use super::requests::{fingerprint, remember, replayed};
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use approvals::Decision;
use greenloop_hub_api::types::{Resolution, TaskEdit};
use greenloop_model::task::{GraphId, HoldDecision, MergeId, TaskEventKind, TaskId};

pub use add::{AddedTask, OpenGraph};
pub use list::ActionFilter;

/// Who does something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The id of the token.
    pub token: String,
    /// The one agent that may use it.
    pub agent: Option<String>,
    /// The token's name.
    pub name: String,
    /// Empty when none was given; redacted by who sends it.
    pub reason: String,
}

/// What a person does.
#[derive(Debug, Clone, PartialEq)]
pub enum OperatorCommand {
    /// Tries a task again that failed, is blocked or was cancelled; with `dependants` also those
    /// of the tasks that need it.
    RetryTask { task: TaskId, dependants: bool },
    /// Cancels a task.
    CancelTask { task: TaskId },
    /// Changes a task before its next attempt.
    EditTask { task: TaskId, edit: TaskEdit },
    /// Adds a task to a graph that runs.
    AddTask { graph: GraphId, added: Arc<AddedTask> },
    /// Says which workers may do a task from its next attempt on.
    AssignTask { task: TaskId, agent: Option<String>, exclude: Vec<String> },
    /// Takes a task from the workers: a person does it.
    TakeOverTask { task: TaskId },
    /// Hands in what a person has done for a task.
    ResolveTask { task: TaskId, resolution: Resolution },
    /// Tries all tasks of a graph again that failed or are blocked.
    RetryGraph { graph: GraphId },
    /// Cancels a graph.
    CancelGraph { graph: GraphId },
    /// Gives nothing of a graph to workers.
    PauseGraph { graph: GraphId },
    /// Ends the pause.
    ResumeGraph { graph: GraphId },
    /// Gives an agent no more work.
    DeactivateAgent { name: String },
    /// Gives it work again.
    ActivateAgent { name: String },
    /// Has an agent finish what it has and stop.
    DrainAgent { name: String },
    /// Gives an agent no more work, with a reason that others see.
    QuarantineAgent { name: String },
    /// Ends that.
    ReleaseAgent { name: String },
    /// Removes an agent that left or is down.
    RemoveAgent { name: String },
    /// Throws an entry out of its merge queue.
    EjectMerge { id: MergeId },
    /// Puts an entry back that left.
    RequeueMerge { id: MergeId },
    /// Merges nothing in a queue.
    PauseQueue { project: Option<String>, target: Option<String> },
    /// Ends the pause.
    ResumeQueue { project: Option<String>, target: Option<String> },
    /// Says what becomes of a queue that is on hold.
    DecideQueue { project: Option<String>, target: Option<String>, decision: HoldDecision },
    /// Approves what waits for a person; with `scope`, only what that stands for.
    Approve { id: i64, scope: Option<String> },
    /// Rejects it.
    Reject { id: i64, scope: Option<String> },
}

impl OperatorCommand {
    /// The action's name in the record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RetryTask { .. } => "task.retry",
            Self::CancelTask { .. } => "task.cancel",
            Self::EditTask { .. } => "task.edit",
            Self::AddTask { .. } => "task.add",
            Self::AssignTask { .. } => "task.assign",
            Self::TakeOverTask { .. } => "task.take_over",
            Self::ResolveTask { .. } => "task.resolve",
            Self::RetryGraph { .. } => "graph.retry",
            Self::CancelGraph { .. } => "graph.cancel",
            Self::PauseGraph { .. } => "graph.pause",
            Self::ResumeGraph { .. } => "graph.resume",
            Self::DeactivateAgent { .. } => "agent.deactivate",
            Self::ActivateAgent { .. } => "agent.activate",
            Self::DrainAgent { .. } => "agent.drain",
            Self::QuarantineAgent { .. } => "agent.quarantine",
            Self::ReleaseAgent { .. } => "agent.release",
            Self::RemoveAgent { .. } => "agent.remove",
            Self::EjectMerge { .. } => "merge.eject",
            Self::RequeueMerge { .. } => "merge.requeue",
            Self::PauseQueue { .. } => "queue.pause",
            Self::ResumeQueue { .. } => "queue.resume",
            Self::DecideQueue { .. } => "queue.decide",
            Self::Approve { .. } => "approval.approve",
            Self::Reject { .. } => "approval.reject",
        }
    }
}

/// What people may do.
#[derive(Debug, Clone, Copy)]
struct OperatorRules {
    /// Whether they may approve what they requested themselves.
    self_approval: bool,
}

/// What an action came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionOutcome {
    /// Whether it changed something.
    pub changed: bool,
    /// The task that it made.
    pub task: Option<TaskId>,
}

/// What an action is about, and what it changed.
#[derive(Debug, Default)]
struct Change {
    graph: Option<GraphId>,
    task: Option<TaskId>,
    agent: Option<String>,
    merge: Option<MergeId>,
    target: Option<String>,
    before: Json,
    after: Json,
}

impl TaskStore {
    /// What an action with this `key` came to before.
    ///
    /// # Errors
    /// `Conflict` when the key was used for another request.
    pub async fn acted(
        &self,
        command: &OperatorCommand,
        operator: &Operator,
        key: Option<&str>,
    ) -> Result<Option<ActionOutcome>, StoreError> {
        let print = print_of(command, operator);
        let mut reader = self.reader().await?;
        Ok(replayed(&mut reader.tx(), key, &print).await?)
    }

    /// Does what a person wants, and records it. The same `key` does it once.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` with the state in which it cannot be done; `Invalid`.
    pub async fn act(
        &self,
        command: &OperatorCommand,
        operator: &Operator,
        key: Option<&str>,
    ) -> Result<ActionOutcome, StoreError> {
        let print = print_of(command, operator);
        let asked = Arc::new((command.clone(), operator.clone(), key.map(str::to_owned), print));
        let rules = OperatorRules { self_approval: self.options().self_approval };
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (command, operator, key, print) = &*asked;
                if let Some(before) = replayed(tx, key.as_deref(), print).await? {
                    return Ok(before);
                }
                let change = perform(tx, command, operator, &rules).await?;
                let outcome = ActionOutcome {
                    changed: change.before != change.after,
                    task: match command {
                        OperatorCommand::AddTask { .. } => change.task,
                        _of_another => None,
                    },
                };
                if outcome.changed {
                    insert_action(tx, command.name(), operator, change).await?;
                }
                remember(tx, key.as_deref(), print, &outcome).await?;
                Ok(outcome)
            })
        })
        .await
    }
}

/// Tells two requests apart.
fn print_of(command: &OperatorCommand, operator: &Operator) -> String {
    match command {
        // What the graph was like when it was checked is no part of the request.
        OperatorCommand::AddTask { graph, added } => {
            fingerprint(command.name(), &(graph, added.task(), &operator.reason))
        }
        other => fingerprint(command.name(), &(other, &operator.reason)),
    }
}

async fn perform(
    tx: &mut Tx<'_>,
    command: &OperatorCommand,
    operator: &Operator,
    rules: &OperatorRules,
) -> Done<Change> {
    use OperatorCommand as Command;
    if let Command::RetryTask { task, .. } | Command::ResolveTask { task, .. } = command {
        approvals::keep_apart(tx, *task, operator, rules).await?;
    }
    if let Command::RetryTask { task, .. } = command {
        approvals::approve_start(tx, *task, operator).await?;
    }
    let mut change = change(tx, command, operator, rules).await?;
    // Whoever acts on a task that waits for an approval decides about it.
    let acted = "a person acted on the task";
    match command {
        Command::EditTask { task, .. } if change.before != change.after => {
            approvals::ask_again(tx, *task, operator).await?;
            change.after = tasks::record(tx, *task).await?;
        }
        Command::CancelTask { task }
        | Command::TakeOverTask { task }
        | Command::ResolveTask { task, .. } => settle(tx, PendingOf::Task(*task), acted).await?,
        Command::CancelGraph { graph } => {
            settle(tx, PendingOf::Graph(*graph), "the graph was cancelled").await?;
        }
        _of_no_task => {}
    }
    Ok(change)
}

async fn change(
    tx: &mut Tx<'_>,
    command: &OperatorCommand,
    operator: &Operator,
    rules: &OperatorRules,
) -> Done<Change> {
    use OperatorCommand as Command;
    match command {
        Command::RetryTask { task, dependants } => tasks::retry(tx, *task, *dependants).await,
        Command::CancelTask { task } => tasks::cancel(tx, *task).await,
        Command::EditTask { task, edit } => tasks::edit(tx, *task, edit).await,
        Command::AddTask { graph, added } => add::add(tx, *graph, added, operator).await,
        Command::AssignTask { task, agent, exclude } => {
            tasks::assign(tx, *task, agent.as_deref(), exclude).await
        }
        Command::TakeOverTask { task } => tasks::take_over(tx, *task, operator).await,
        Command::ResolveTask { task, resolution } => {
            tasks::resolve(tx, *task, resolution, operator).await
        }
        Command::RetryGraph { graph } => graphs::retry(tx, *graph).await,
        Command::CancelGraph { graph } => graphs::cancel(tx, *graph).await,
        Command::PauseGraph { graph } => graphs::pause(tx, *graph).await,
        Command::ResumeGraph { graph } => graphs::resume(tx, *graph).await,
        Command::DeactivateAgent { name } => agents::set_active(tx, name, false).await,
        Command::ActivateAgent { name } => agents::set_active(tx, name, true).await,
        Command::DrainAgent { name } => agents::drain(tx, name).await,
        Command::QuarantineAgent { name } => agents::bar(tx, name, operator).await,
        Command::ReleaseAgent { name } => agents::release(tx, name).await,
        Command::RemoveAgent { name } => agents::remove(tx, name).await,
        Command::EjectMerge { id } => queues::eject(tx, *id, operator).await,
        Command::RequeueMerge { id } => queues::requeue(tx, *id).await,
        Command::PauseQueue { project, target } => {
            queues::pause(tx, project.as_deref(), target.as_deref()).await
        }
        Command::ResumeQueue { project, target } => {
            queues::resume(tx, project.as_deref(), target.as_deref()).await
        }
        Command::DecideQueue { project, target, decision } => {
            queues::decide(tx, project.as_deref(), target.as_deref(), *decision).await
        }
        Command::Approve { id, scope } => {
            let decision = Decision { id: *id, scope: scope.as_deref(), approve: true };
            approvals::decide(tx, &decision, operator, rules).await
        }
        Command::Reject { id, scope } => {
            let decision = Decision { id: *id, scope: scope.as_deref(), approve: false };
            approvals::decide(tx, &decision, operator, rules).await
        }
    }
}

async fn insert_action(
    tx: &mut Tx<'_>,
    name: &str,
    operator: &Operator,
    change: Change,
) -> Done<()> {
    let Change { graph, task, agent, merge, target, before, after } = change;
    let (before, after) = differing(before, after);
    tx.run(
        "INSERT INTO operator_actions (at, token, operator, name, reason, graph_id, task_id, \
         agent, merge_id, target, was, became) \
         VALUES ({now}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        args![
            &operator.token,
            &operator.name,
            name,
            &operator.reason,
            graph.map(|it| it.0),
            task.map(|it| it.0),
            &agent,
            merge.map(|it| it.0),
            &target,
            before.to_string(),
            after.to_string(),
        ],
    )
    .await?;
    let mut event = NewEvent::new(TaskEventKind::OperatorAction);
    if let Some(graph) = graph {
        event = event.graph(graph);
    }
    if let Some(task) = task {
        event = event.task(task);
    }
    if let Some(agent) = agent {
        event = event.agent(agent);
    }
    if let Some(merge) = merge {
        event = event.merge(merge);
    }
    let why = match operator.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    tx.emit(event.text(format!("{name} by {}{why}", operator.name)));
    Ok(())
}

/// Only what is not the same in both.
fn differing(before: Json, after: Json) -> (Json, Json) {
    let (Json::Object(before), Json::Object(after)) = (before, after) else {
        return (Json::Null, Json::Null);
    };
    let only = |of: &Map<String, Json>, other: &Map<String, Json>| -> Json {
        let own = of.iter().filter(|(name, value)| other.get(*name) != Some(*value));
        own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into()
    };
    (only(&before, &after), only(&after, &before))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_has_what_was_changed_and_no_more() {
        let before = json!({"state": "failed", "priority": 2, "reason": "no"});
        let after = json!({"state": "ready", "priority": 2});
        assert_eq!(
            differing(before, after),
            (json!({"state": "failed", "reason": "no"}), json!({"state": "ready"}))
        );
    }
}
