//! What a hub has to say of tasks: `import`, `list`, `status`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::hub_args::HubArgs;
use super::queue::on_hold;
use crate::app::{self, AppError, GraphStatus, HubAccess};
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::types::{Alert, Branch, Graph, Task};
use greenloop_model::error_chain;
use greenloop_model::task::GraphState;
use greenloop_report::safe_text::safe;

/// Tasks that a search lists.
const FOUND: usize = 200;
/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(2);

/// What to hand in.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// Task file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
    /// Submit it again, even if the hub has this very file
    #[arg(long)]
    again: bool,
}

/// What to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    hub: HubArgs,
    /// List the tasks of all graphs that this is found in: a part of a key, title, description,
    /// command, branch or commit, a worker's name, or an id
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Print a JSON array instead of text
    #[arg(long)]
    json: bool,
}

/// What to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// Id of the graph [default: the newest]
    #[arg(value_name = "GRAPH")]
    graph: Option<i64>,
    #[command(flatten)]
    hub: HubArgs,
    /// Watch until the graph has ended; exits 1 when it was not done
    #[arg(short, long)]
    watch: bool,
    /// Print JSON instead of text; with --watch, one object per update
    #[arg(long)]
    json: bool,
}

pub(super) fn import(args: ImportArgs) -> Result<Exit, CommandError> {
    let ImportArgs { file, hub, again } = args;
    let access = hub.access();
    let graph = block_on(app::import(&access, &file, again))??;
    let tasks: u64 = graph.tasks.values().sum();
    output::print(&format!("graph {} ({}) has {tasks} tasks\n", graph.id, graph.name))?;
    // A worker may still be started: a warning, no error.
    match block_on(app::alerts(&access, graph.id))? {
        Ok(alerts) => {
            let waits = ["no_worker", "repository_unreachable"];
            for alert in alerts.iter().filter(|alert| waits.contains(&alert.kind.as_str())) {
                output::tell(&safe(&format!("warning: {}\n", alert.text)));
            }
        }
        Err(error) => {
            let why = error_chain(&error);
            output::tell(&safe(&format!("warning: could not check the workers: {why}\n")));
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn list(args: ListArgs) -> Result<Exit, CommandError> {
    let ListArgs { hub, search, json } = args;
    let access = hub.access();
    if let Some(text) = search {
        return found(&access, &text, json);
    }
    let graphs = block_on(app::graphs(&access))??;
    if json {
        output::print_json(&serde_json::json!(graphs))?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for graph in &graphs {
        text.push_str(&line(graph));
    }
    output::print(&safe(&text))?;
    Ok(Exit::Ok)
}

fn found(access: &HubAccess, text: &str, json: bool) -> Result<Exit, CommandError> {
    let client = access.client()?;
    let (tasks, more) =
        block_on(async { client.search_tasks(text, FOUND).await.map_err(AppError::from) })??;
    if json {
        output::print_json(&serde_json::json!(tasks))?;
        return Ok(Exit::Ok);
    }
    let mut lines = String::new();
    for Task { id, graph, key, title, state, agent, .. } in &tasks {
        let agent = agent.as_ref().map(|it| format!("  {it}")).unwrap_or_default();
        let _infallible =
            writeln!(lines, "{id:>6}  graph {graph}  {:<9}  {key} {title}{agent}", state.name());
    }
    if tasks.is_empty() {
        lines.push_str("no task fits\n");
    }
    if more {
        let _infallible = writeln!(lines, "… and more: only the latest {FOUND} are listed");
    }
    output::print(&safe(&lines))?;
    Ok(Exit::Ok)
}

pub(super) fn status(args: StatusArgs) -> Result<Exit, CommandError> {
    let StatusArgs { graph, hub, watch, json } = args;
    let access = hub.access();
    block_on(async {
        let mut id = graph;
        let mut shown = String::new();
        loop {
            let GraphStatus { graph, tasks, alerts, queues } =
                app::graph_status(&access, id).await?;
            // A newer graph does not take the place of the one that is watched.
            id = Some(graph.id.0);
            let text = if json {
                format!(
                    "{}\n",
                    serde_json::json!({
                        "graph": graph, "tasks": tasks, "alerts": alerts, "queues": queues,
                    })
                )
            } else {
                safe(&report(&graph, &tasks, &alerts, &queues))
            };
            if text != shown {
                if json {
                    output::print_content(&text)?;
                } else {
                    output::print(&text)?;
                }
                shown = text;
            }
            let running = graph.state == GraphState::Running;
            if watch && running {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let well = !watch || graph.state == GraphState::Done;
            return Ok(if well { Exit::Ok } else { Exit::NeedsPerson });
        }
    })?
}

fn line(graph: &Graph) -> String {
    let counts: BTreeMap<&str, u64> =
        graph.tasks.iter().map(|(state, count)| (state.name(), *count)).collect();
    let counts: Vec<String> =
        counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!(
        "{:>6}  {:<9} {:>5.1} %  {} / {}: {}\n",
        graph.id.0,
        graph.state.name(),
        graph.percent,
        graph.project,
        graph.name,
        counts.join(", ")
    )
}

fn report(graph: &Graph, tasks: &[Task], alerts: &[Alert], queues: &[Branch]) -> String {
    let mut text = line(graph);
    for alert in alerts {
        let _infallible = writeln!(text, "     !  {}", alert.text);
    }
    for queue in queues {
        if let Some(why) = on_hold(queue) {
            let _infallible = writeln!(text, "        the merge queue of {}", queue.name);
            text.push_str(&why);
        }
    }
    let width = tasks.iter().map(|task| task.key.chars().count()).max().unwrap_or(0);
    for task in tasks {
        let percent = match task.percent {
            0 => String::new(),
            percent => format!(" {percent} %"),
        };
        let agent = task.agent.as_ref().map_or_else(String::new, |agent| format!(" by {agent}"));
        let reason = task.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let _infallible = writeln!(
            text,
            "        {:<width$}  {:<9} {}{percent}{agent}{reason}",
            task.key,
            task.state.name(),
            task.title,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::Timestamp;
    use greenloop_model::task::{GraphId, TaskState};

    #[test]
    fn a_graph_is_one_line_and_each_task_another() {
        let graph = Graph {
            id: GraphId(7),
            project: "fleet".into(),
            name: "sprint".into(),
            repository: None,
            target: "main".into(),
            state: GraphState::Running,
            paused_since: None,
            run: None,
            tasks: [(TaskState::Ready, 2), (TaskState::Done, 1)].into(),
            percent: 33.3,
            created_at: Timestamp(0),
            ended_at: None,
        };
        assert_eq!(
            report(&graph, &[], &[], &[]),
            "     7  running    33.3 %  fleet / sprint: 1 done, 2 ready\n"
        );
        let alert = Alert {
            kind: "no_worker".into(),
            text: "no live worker has the role `gpu`: task 2.1".into(),
            role: Some("gpu".into()),
            labels: Vec::new(),
            count: 1,
            tasks: Vec::new(),
            agent: None,
            since: Timestamp(0),
        };
        let told = report(&graph, &[], &[alert], &[]);
        assert!(
            told.ends_with("\n     !  no live worker has the role `gpu`: task 2.1\n"),
            "{told}"
        );
    }
}
