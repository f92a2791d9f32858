//! `greenloop tasks`.

mod hub;

use clap::Subcommand;

use super::error::{CommandError, Exit};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TasksCommand {
    /// Hand a file of tasks in to a hub
    Import(hub::ImportArgs),
    /// List the graphs of a hub
    List(hub::ListArgs),
    /// Show how far a graph is
    Status(hub::StatusArgs),
}

pub(super) fn tasks(command: TasksCommand) -> Result<Exit, CommandError> {
    match command {
        TasksCommand::Import(args) => hub::import(args),
        TasksCommand::List(args) => hub::list(args),
        TasksCommand::Status(args) => hub::status(args),
    }
}
