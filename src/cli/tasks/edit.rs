//! Changing a task, and adding one to a graph that runs.

use clap::Args;

use super::actions::{ReasonArgs, TaskArgs, tell};
use super::hub_args::HubArgs;
use crate::app::AppError;
use crate::cli::block_on;
use crate::cli::error::{CommandError, Exit};
use greenloop_hub_api::types::{Action, NewTask, TaskEdit, TaskSubmission};
use greenloop_model::task::GraphId;

/// What to change; what is not given stays.
#[derive(Debug, Args)]
pub(in crate::cli) struct EditArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// One line
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What an agent works on
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What it runs; only of a task that runs a command
    #[arg(long, value_name = "LINE")]
    command: Option<String>,
    /// Smaller is more urgent; can be changed while the task runs
    #[arg(long, value_name = "0-1000")]
    priority: Option<i64>,
    /// How often it is tried; can be changed while the task runs
    #[arg(long, value_name = "1-20")]
    max_attempts: Option<u32>,
    /// A glob of files that it is expected to change; may be repeated
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// The task to add.
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The graph's id
    #[arg(value_name = "GRAPH")]
    graph: i64,
    /// Unique among the tasks of the graph
    #[arg(long, value_name = "KEY")]
    key: String,
    /// One line
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// What an agent works on
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// What it runs; without it, an agent works on the description
    #[arg(long, value_name = "LINE")]
    command: Option<String>,
    /// The key of its epic
    #[arg(long, value_name = "KEY")]
    epic: Option<String>,
    /// Who may do it
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// A label that a worker must have; may be repeated
    #[arg(long, value_name = "NAME")]
    label: Vec<String>,
    /// The key of a task that must be done before; may be repeated
    #[arg(long, value_name = "KEY")]
    needs: Vec<String>,
    /// Smaller is more urgent
    #[arg(long, value_name = "0-1000", default_value_t = 2)]
    priority: i64,
    /// Estimated work
    #[arg(long, value_name = "HOURS", default_value_t = 1.0)]
    hours: f64,
    /// A glob of files that it is expected to change; may be repeated
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

pub(super) fn edit(args: EditArgs) -> Result<Exit, CommandError> {
    let EditArgs { task, title, description, command, priority, max_attempts, file, reason, hub } =
        args;
    let client = hub.access().client()?;
    let edit = TaskEdit {
        reason: reason.reason,
        title,
        description,
        command,
        files: (!file.is_empty()).then_some(file),
        priority,
        max_attempts,
    };
    let task = block_on(async {
        let id = task.find(&client).await?;
        Ok::<_, AppError>(client.edit_task(id, &edit).await?)
    })??;
    tell(&task)
}

pub(super) fn add(args: AddArgs) -> Result<Exit, CommandError> {
    let AddArgs {
        graph,
        key,
        title,
        description,
        command,
        epic,
        role,
        label,
        needs,
        priority,
        hours,
        file,
        reason,
        hub,
    } = args;
    let client = hub.access().client()?;
    let action = command.map_or(Action::Agent, Action::Command);
    let task = TaskSubmission {
        description,
        epic,
        role,
        labels: label,
        needs,
        priority,
        hours,
        files: file,
        ..TaskSubmission::new(key, title, action)
    };
    let new = NewTask { graph: GraphId(graph), task, reason: reason.reason };
    let task = block_on(async { Ok::<_, AppError>(client.add_task(&new).await?) })??;
    tell(&task)
}
