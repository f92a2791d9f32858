//! `greenloop tasks`.

mod actions;
mod agents;
mod draw;
mod edit;
mod hub;
mod hub_args;
mod log;
mod queue;
mod record;
mod report;
mod simulate;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

pub(super) use hub_args::HubArgs;

use super::error::{CommandError, Exit};
use super::output;
use greenloop_hub_api::graph::{self, TaskGraph};
use greenloop_model::task::total_hours;

/// What to do with tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TasksCommand {
    /// Validate a task file; lists all mistakes and exits with 2 if there are any
    Check {
        /// Task file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show the graph of dependencies
    Graph(GraphArgs),
    /// Simulate the graph with the hub's own order and a virtual clock
    Simulate(simulate::SimulateArgs),
    /// Submit a file of tasks to a hub
    Import(hub::ImportArgs),
    /// List the graphs of a hub
    List(hub::ListArgs),
    /// Show the progress of a graph
    Status(hub::StatusArgs),
    /// Print the completion report of a graph: who did what, estimates, retries, costs, speed-up
    Report(report::ReportArgs),
    /// Show the merge queues of a hub, and resolve one that is on hold
    Queue(queue::QueueArgs),
    /// Try a task again, or all of a graph that failed or are blocked
    Retry(actions::RetryArgs),
    /// Cancel a task, or a whole graph
    Cancel(actions::CancelArgs),
    /// Pause a graph: workers finish what they have and get nothing more of it
    Pause(actions::GraphActionArgs),
    /// End the pause of a graph
    Resume(actions::GraphActionArgs),
    /// Change a task before its next attempt
    Edit(edit::EditArgs),
    /// Add a task to a graph that runs
    Add(edit::AddArgs),
    /// Say which workers may do a task
    Assign(actions::AssignArgs),
    /// Take a task from the workers: a person does it
    TakeOver(actions::TaskActionArgs),
    /// Hand in what a person has done for a task
    Resolve(actions::ResolveArgs),
    /// Print what attempts and gates of a task have printed, or follow it
    Log(log::LogArgs),
    /// List what people did: who, what, when and why
    Actions(actions::ActionsArgs),
    /// List the workers of a hub; drain, bar or remove one
    #[command(subcommand)]
    Agents(agents::AgentsCommand),
}

/// Which graph to show, and how.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// Task file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = GraphOutput::Tree)]
    output: GraphOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphOutput {
    /// Text; each task is below the dependency that finishes last
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Tree,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
    /// One JSON object
    Json,
}

pub(super) fn tasks(command: TasksCommand) -> Result<Exit, CommandError> {
    match command {
        TasksCommand::Check { file } => check(&file),
        TasksCommand::Graph(args) => show(args),
        TasksCommand::Simulate(args) => simulate::simulate(args),
        TasksCommand::Import(args) => hub::import(args),
        TasksCommand::List(args) => hub::list(args),
        TasksCommand::Status(args) => hub::status(args),
        TasksCommand::Report(args) => report::report(args),
        TasksCommand::Queue(args) => queue::queue(args),
        TasksCommand::Retry(args) => actions::retry(args),
        TasksCommand::Cancel(args) => actions::cancel(args),
        TasksCommand::Pause(args) => actions::graph(args, "pause"),
        TasksCommand::Resume(args) => actions::graph(args, "resume"),
        TasksCommand::Edit(args) => edit::edit(args),
        TasksCommand::Add(args) => edit::add(args),
        TasksCommand::Assign(args) => actions::assign(args),
        TasksCommand::TakeOver(args) => actions::take_over(args),
        TasksCommand::Resolve(args) => actions::resolve(args),
        TasksCommand::Log(args) => log::log(args),
        TasksCommand::Actions(args) => actions::list(args),
        TasksCommand::Agents(command) => agents::agents(command),
    }
}

fn check(file: &Path) -> Result<Exit, CommandError> {
    let graph = graph::load(file)?;
    print(&format!("{} is valid: {}\n", file.display(), summary(&graph)))
}

fn show(args: GraphArgs) -> Result<Exit, CommandError> {
    let GraphArgs { file, output } = args;
    let graph = graph::load(&file)?;
    match output {
        GraphOutput::Tree => print(&draw::tree(&graph)),
        GraphOutput::Dot => content(&draw::dot(&graph)),
        GraphOutput::Mermaid => content(&draw::mermaid(&graph)),
        GraphOutput::Json => {
            output::print_json(&record::graph(&graph))?;
            Ok(Exit::Ok)
        }
    }
}

/// Titles and keys come from a file.
fn print(text: &str) -> Result<Exit, CommandError> {
    output::print(&greenloop_report::safe_text::safe(text))?;
    Ok(Exit::Ok)
}

/// The same for what another program reads.
fn content(text: &str) -> Result<Exit, CommandError> {
    output::print_content(&greenloop_report::safe_text::safe(text))?;
    Ok(Exit::Ok)
}

/// `28 tasks in 5 epics, 532 h; 8 done, 444 h left, the critical path is 104 h`
fn summary(graph: &TaskGraph) -> String {
    let all = total_hours(graph.tasks.iter().map(|task| task.hours));
    let mut text = counted(graph.tasks.len(), "task");
    if !graph.epics.is_empty() {
        text.push_str(&format!(" in {}", counted(graph.epics.len(), "epic")));
    }
    text.push_str(&format!(", {} h", hours(all)));
    let done = graph.tasks.iter().filter(|task| task.done).count();
    if done > 0 {
        let left = graph.tasks.iter().filter(|task| !task.done).map(|task| task.hours);
        text.push_str(&format!("; {done} done, {} h left", hours(total_hours(left))));
    }
    let path = graph::critical_path(graph);
    text.push_str(&format!(", the critical path is {} h", hours(path.hours)));
    text
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// At most two decimals, no more than it needs.
fn hours(hours: f64) -> String {
    let text = format!("{hours:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use greenloop_hub_api::types::Action;

    fn example(name: &str) -> TaskGraph {
        let file = format!("{}/examples/tasks/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        graph::load(file.as_ref()).unwrap()
    }

    #[test]
    fn the_examples_have_the_documents_facts() {
        let fleet = example("fleet-remediation");
        let hours: Vec<f64> = graph::epic_progress(&fleet).iter().map(|epic| epic.hours).collect();
        let done: Vec<f64> =
            graph::epic_progress(&fleet).iter().map(|epic| epic.done_hours).collect();
        assert_eq!(hours, [160.0, 60.0, 120.0, 40.0, 152.0]);
        assert_eq!(done, [32.0, 0.0, 16.0, 40.0, 0.0]);
        assert_eq!(fleet.tasks.len(), 28);
        let ten = example("ten-agents");
        assert_eq!((ten.tasks.len(), ten.epics.len()), (11, 4));
        assert_eq!(ten.tasks.iter().map(|task| task.hours).sum::<f64>(), 330.0);
    }

    /// The commands run, one after the other in the order of one agent, in one repository.
    #[test]
    fn the_examples_commands_run() {
        for name in ["fleet-remediation", "ten-agents"] {
            let graph = example(name);
            let folder = tempfile::tempdir().unwrap();
            let git = |arguments: &[&str]| {
                let mut git = Command::new("git");
                git.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
                assert!(git.args(arguments).current_dir(folder.path()).status().unwrap().success());
            };
            git(&["init", "--quiet"]);
            git(&["commit", "--quiet", "--allow-empty", "--message", "begin"]);
            let team = graph::Team::of_all_trades(&graph, 1);
            let play = graph::simulate(&graph, &team).unwrap().play;
            assert_eq!(play.agents[0].len(), graph.tasks.iter().filter(|task| !task.done).count());
            for span in &play.agents[0] {
                let task = &graph.tasks[span.task];
                let Action::Command(command) = &task.action else { panic!("{} is one", task.key) };
                let ended = Command::new("sh")
                    .args(["-c", command])
                    .env("GREENLOOP_TASK_KEY", &task.key)
                    .env("GREENLOOP_TASK_TITLE", &task.title)
                    .env("GREENLOOP_AGENT", "agent 1")
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                assert!(ended.status.success(), "{name} {}: {ended:?}", task.key);
                let written = std::fs::read_to_string(folder.path().join("done").join(&task.key));
                assert_eq!(written.unwrap(), format!("{}\nagent 1\n", task.title));
            }
        }
    }
}
