//! The workers of a hub: `greenloop tasks agents`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::actions::ReasonArgs;
use super::hub_args::HubArgs;
use crate::app;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::types::Agent;
use greenloop_report::safe_text::safe;

/// What to do with workers.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AgentsCommand {
    /// List the workers that the hub knows
    List(ListArgs),
    /// Remove a worker that stopped or died; refuses one that is alive or holds a task
    Remove(RemoveArgs),
    /// Have a worker finish what it has and stop
    Drain(ActionArgs),
    /// Give a worker no more work, for a reason that others see
    Quarantine(ActionArgs),
    /// End a quarantine that a person began
    Release(ActionArgs),
    /// Give a worker no more work
    Deactivate(ActionArgs),
    /// Give a deactivated worker work again
    Activate(ActionArgs),
}

/// What to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    hub: HubArgs,
    /// Print a JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// What to remove.
#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    /// Name of the worker
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    hub: HubArgs,
}

/// Which worker.
#[derive(Debug, Args)]
pub(in crate::cli) struct ActionArgs {
    /// The worker's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    reason: ReasonArgs,
    #[command(flatten)]
    hub: HubArgs,
}

fn act(args: ActionArgs, action: &str) -> Result<Exit, CommandError> {
    let ActionArgs { name, reason, hub } = args;
    let client = hub.access().client()?;
    let agent = block_on(async {
        Ok::<_, app::AppError>(client.agent_action(&name, action, &reason.reason).await?)
    })??;
    output::print(&safe(&table(&[agent])))?;
    Ok(Exit::Ok)
}

pub(super) fn agents(command: AgentsCommand) -> Result<Exit, CommandError> {
    match command {
        AgentsCommand::List(ListArgs { hub, json }) => {
            let access = hub.access();
            let agents = block_on(app::agents(&access))??;
            if json {
                output::print_json(&serde_json::json!(agents))?;
            } else {
                output::print(&safe(&table(&agents)))?;
            }
        }
        AgentsCommand::Remove(RemoveArgs { name, hub }) => {
            let access = hub.access();
            block_on(app::remove_agent(&access, &name))??;
            output::print(&safe(&format!("{name} is removed\n")))?;
        }
        AgentsCommand::Drain(args) => return act(args, "drain"),
        AgentsCommand::Quarantine(args) => return act(args, "quarantine"),
        AgentsCommand::Release(args) => return act(args, "release"),
        AgentsCommand::Deactivate(args) => return act(args, "deactivate"),
        AgentsCommand::Activate(args) => return act(args, "activate"),
    }
    Ok(Exit::Ok)
}

fn table(agents: &[Agent]) -> String {
    if agents.is_empty() {
        return "The hub has no workers.\n".to_owned();
    }
    let width = agents.iter().map(|agent| agent.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for agent in agents {
        let task = agent.task.map_or_else(String::new, |task| format!(", with task {task}"));
        let why = agent.quarantine.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let roles = match agent.roles.as_slice() {
            [] => "no role".to_owned(),
            roles => roles.join(","),
        };
        let labels = match agent.labels.as_slice() {
            [] => String::new(),
            labels => format!(" [{}]", labels.join(",")),
        };
        let (state, host) = (agent.state.name(), &agent.host);
        let Agent { name, last_heartbeat, .. } = agent;
        let _infallible = writeln!(
            text,
            "{name:<width$}  {state:<11}  {roles}{labels} on {host}, last heartbeat \
             {last_heartbeat}{task}{why}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::Timestamp;
    use greenloop_model::task::AgentState;

    #[test]
    fn a_worker_is_one_line_that_says_why_it_claims_nothing() {
        let agent = Agent {
            name: "vm-7".into(),
            roles: vec!["backend".into()],
            labels: vec!["gpu".into()],
            host: "h".into(),
            version: "0".into(),
            state: AgentState::Quarantined,
            quarantine: Some("the disk of /w is full".into()),
            quarantined_since: Some(Timestamp(0)),
            drain: false,
            task: None,
            percent: None,
            cpu_percent: None,
            memory_bytes: None,
            succeeded: 0,
            failed: 0,
            last_heartbeat: Timestamp(0),
        };
        assert_eq!(
            table(&[agent]),
            "vm-7  quarantined  backend [gpu] on h, last heartbeat 1970-01-01T00:00:00Z: the disk of \
             /w is full\n"
        );
        assert_eq!(table(&[]), "The hub has no workers.\n");
    }
}
