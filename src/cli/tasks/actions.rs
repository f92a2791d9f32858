//! What a person does with tasks and graphs of a hub.

use std::fmt::Write as _;

use clap::Args;

use super::hub_args::HubArgs;
use crate::app::AppError;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::client::HubClient;
use greenloop_hub_api::types::{OperatorAction, Resolution, RetryRequest, Task, TaskAssignment};
use greenloop_model::task::{GraphId, TaskId};
use greenloop_report::safe_text::safe;

/// Why a person does something.
#[derive(Debug, Args)]
pub(super) struct ReasonArgs {
    /// For the record
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) reason: String,
}

/// One task of a hub.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// The task's id; with --graph its key
    #[arg(value_name = "TASK")]
    task: String,
    /// The graph whose task has that key
    #[arg(short, long, value_name = "GRAPH")]
    graph: Option<i64>,
}

impl TaskArgs {
    /// Its id in the hub.
    pub(super) async fn find(&self, client: &HubClient) -> Result<TaskId, AppError> {
        let Self { task, graph } = self;
        let Some(graph) = graph else {
            return task.parse().map(TaskId).map_err(|_not_a_number| AppError::Unsupported {
                what: format!("`{task}` is not the id of a task"),
                hint: "with --graph GRAPH a task can be named by its key".to_owned(),
            });
        };
        let tasks = client.tasks(GraphId(*graph)).await?;
        let found = tasks.iter().find(|it| it.key == *task);
        found.map(|it| it.id).ok_or_else(|| AppError::Unsupported {
            what: format!("graph {graph} has no task with the key `{task}`"),
            hint: format!("greenloop tasks status {graph} lists them"),
        })
    }
}

/// What to try again.
#[derive(Debug, Args)]
pub(in crate::cli) struct RetryArgs {
    /// The task's id; with --graph its key
    #[arg(value_name = "TASK", required_unless_present = "failed")]
    task: Option<String>,
    /// The graph whose task has that key
    #[arg(short, long, value_name = "GRAPH", conflicts_with = "failed")]
    graph: Option<i64>,
    /// All tasks of this graph that failed or are blocked
    #[arg(long, value_name = "GRAPH", conflicts_with = "task")]
    failed: Option<i64>,
    /// Also the tasks that need it and that failed, are blocked or were cancelled
    #[arg(long, conflicts_with = "failed")]
    dependants: bool,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// What to cancel.
#[derive(Debug, Args)]
pub(in crate::cli) struct CancelArgs {
    /// The task's id; with --graph its key
    #[arg(value_name = "TASK", required_unless_present = "whole")]
    task: Option<String>,
    /// The graph whose task has that key
    #[arg(short, long, value_name = "GRAPH", conflicts_with = "whole")]
    graph: Option<i64>,
    /// This whole graph
    #[arg(long, value_name = "GRAPH", conflicts_with = "task")]
    whole: Option<i64>,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Which graph.
#[derive(Debug, Args)]
pub(in crate::cli) struct GraphActionArgs {
    /// The graph's id
    #[arg(value_name = "GRAPH")]
    graph: i64,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Which task.
#[derive(Debug, Args)]
pub(in crate::cli) struct TaskActionArgs {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Who may do a task.
#[derive(Debug, Args)]
pub(in crate::cli) struct AssignArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// The only worker that may; without it, any with the task's role and labels
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A worker that may not; may be repeated
    #[arg(long, value_name = "NAME")]
    exclude: Vec<String>,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// What a person has done.
#[derive(Debug, Args)]
pub(in crate::cli) struct ResolveArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// The whole id of the commit
    #[arg(long, value_name = "SHA")]
    commit: String,
    /// The branch that it was pushed to: it goes through the merge queue and its gates. Without it,
    /// the target has the commit already
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Which actions to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct ActionsArgs {
    /// Only those on this graph and its tasks
    #[arg(long, value_name = "GRAPH")]
    graph: Option<i64>,
    /// Only those on this task
    #[arg(long, value_name = "ID")]
    task: Option<i64>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    hub: HubArgs,
    /// Print a JSON array instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn retry(args: RetryArgs) -> Result<Exit, CommandError> {
    let RetryArgs { task, graph, failed, dependants, reason, hub } = args;
    let client = hub.access().client()?;
    let reason = reason.reason;
    let Some(task) = task.map(|task| TaskArgs { task, graph }) else {
        return whole(&client, failed.unwrap_or_default(), "retry", &reason);
    };
    let task = block_on(async {
        let id = task.find(&client).await?;
        Ok::<_, AppError>(client.retry_task(id, &RetryRequest { reason, dependants }).await?)
    })??;
    tell(&task)
}

pub(super) fn cancel(args: CancelArgs) -> Result<Exit, CommandError> {
    let CancelArgs { task, graph, whole: all, reason, hub } = args;
    let client = hub.access().client()?;
    let reason = reason.reason;
    let Some(task) = task.map(|task| TaskArgs { task, graph }) else {
        return whole(&client, all.unwrap_or_default(), "cancel", &reason);
    };
    let task = block_on(async {
        let id = task.find(&client).await?;
        Ok::<_, AppError>(client.cancel_task(id, &reason).await?)
    })??;
    tell(&task)
}

pub(super) fn graph(args: GraphActionArgs, action: &str) -> Result<Exit, CommandError> {
    let GraphActionArgs { graph, reason, hub } = args;
    whole(&hub.access().client()?, graph, action, &reason.reason)
}

/// An action on a graph.
fn whole(client: &HubClient, id: i64, action: &str, reason: &str) -> Result<Exit, CommandError> {
    let graph = block_on(async {
        Ok::<_, AppError>(client.graph_action(GraphId(id), action, reason).await?)
    })??;
    let paused = match graph.paused_since {
        Some(since) => format!(", paused since {since}"),
        None => String::new(),
    };
    let text = format!("graph {} ({}) is {}{paused}\n", graph.id, graph.name, graph.state.name());
    output::print(&safe(&text))?;
    Ok(Exit::Ok)
}

pub(super) fn assign(args: AssignArgs) -> Result<Exit, CommandError> {
    let AssignArgs { task, agent, exclude, reason, hub } = args;
    let client = hub.access().client()?;
    let task = block_on(async {
        let id = task.find(&client).await?;
        let assignment = TaskAssignment { agent, exclude, reason: reason.reason };
        Ok::<_, AppError>(client.assign_task(id, &assignment).await?)
    })??;
    tell(&task)
}

pub(super) fn take_over(args: TaskActionArgs) -> Result<Exit, CommandError> {
    let TaskActionArgs { task, reason, hub } = args;
    let client = hub.access().client()?;
    let task = block_on(async {
        let id = task.find(&client).await?;
        Ok::<_, AppError>(client.take_over_task(id, &reason.reason).await?)
    })??;
    tell(&task)
}

pub(super) fn resolve(args: ResolveArgs) -> Result<Exit, CommandError> {
    let ResolveArgs { task, commit, branch, reason, hub } = args;
    let client = hub.access().client()?;
    let task = block_on(async {
        let id = task.find(&client).await?;
        let resolution = Resolution { commit, branch, reason: reason.reason };
        Ok::<_, AppError>(client.resolve_task(id, &resolution).await?)
    })??;
    tell(&task)
}

pub(super) fn list(args: ActionsArgs) -> Result<Exit, CommandError> {
    let ActionsArgs { graph, task, limit, hub, json } = args;
    let client = hub.access().client()?;
    let (graph, task) = (graph.map(GraphId), task.map(TaskId));
    let actions =
        block_on(async { Ok::<_, AppError>(client.actions(graph, task, limit).await?) })??;
    if json {
        output::print_json(&serde_json::json!(actions))?;
    } else {
        output::print(&safe(&lines(&actions)))?;
    }
    Ok(Exit::Ok)
}

/// What became of a task.
pub(super) fn tell(task: &Task) -> Result<Exit, CommandError> {
    output::print(&safe(&line(task)))?;
    Ok(Exit::Ok)
}

fn line(task: &Task) -> String {
    let Task { id, key, title, state, priority, assigned, excluded, reason, .. } = task;
    let mut text = format!("task {id} ({key} {title}) is {}, priority {priority}", state.name());
    if let Some(agent) = assigned {
        let _infallible = write!(text, ", only for {agent}");
    }
    if !excluded.is_empty() {
        let _infallible = write!(text, ", not for {}", excluded.join(", "));
    }
    if let Some(reason) = reason {
        let _infallible = write!(text, ": {reason}");
    }
    text.push('\n');
    text
}

fn lines(actions: &[OperatorAction]) -> String {
    let mut text = String::new();
    for action in actions {
        let OperatorAction {
            at,
            operator,
            action: what,
            reason,
            graph,
            task,
            agent,
            merge,
            target,
            before,
            after,
            ..
        } = action;
        let about = [
            graph.map(|it| format!("graph {it}")),
            task.map(|it| format!("task {it}")),
            agent.as_ref().map(|it| format!("worker {it}")),
            merge.map(|it| format!("entry {it}")),
            target.as_ref().map(|it| format!("queue {it}")),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let _infallible = writeln!(
            text,
            "{at}  {operator}  {what}  {}{why}\n        {before} -> {after}",
            about.join(", ")
        );
    }
    if text.is_empty() {
        text.push_str("nobody did anything\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::Timestamp;

    #[test]
    fn an_action_says_who_what_why_and_what_it_changed() {
        let action = OperatorAction {
            id: 1,
            at: Timestamp(0),
            operator: "alice".into(),
            token: "3f0c".into(),
            action: "task.retry".into(),
            reason: "the disk is replaced".into(),
            graph: Some(GraphId(3)),
            task: Some(TaskId(7)),
            agent: None,
            merge: None,
            target: None,
            before: serde_json::json!({"state": "failed"}),
            after: serde_json::json!({"state": "ready"}),
        };
        assert_eq!(
            lines(&[action]),
            "1970-01-01T00:00:00Z  alice  task.retry  graph 3, task 7: the disk is replaced\n        \
             {\"state\":\"failed\"} -> {\"state\":\"ready\"}\n"
        );
    }
}
