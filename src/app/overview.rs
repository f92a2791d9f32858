//! Where a repository stands: what runs, the last run, the work tree, and what one can do next.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;

use super::release::ReleaseRequest;
use super::{AppError, Environment, runs_folder, status};
use greenloop_engine::claim::Claim;
use greenloop_model::Invocation;
use greenloop_workspace::Workspace;

/// How long a target may take to say what it runs: a cluster may be far away.
const ANSWER: Duration = Duration::from_secs(5);
/// Environments that are asked, and at the same time.
const MOST: usize = 8;
/// How a run ended that waits for a person's decision.
const WAITING: &str = "needs_human";
const GOOD: &str = "verified";

/// Where things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overview {
    /// The folder lies in no repository.
    NoRepository,
    /// The repository has no configuration.
    NotConfigured,
    Configured(Standing),
}

/// Of a repository with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The configuration, as it is named from the folder.
    pub configuration: String,
    /// Each environment, with the first line of its status.
    pub environments: Vec<(String, String)>,
    /// The last run, in words; `None` before the first.
    pub last_run: Option<String>,
    /// Why a run would refuse the work tree.
    pub dirty: Option<String>,
    /// Runs that ended because a person has to decide.
    pub waiting: Vec<String>,
    /// Commands, each with what it does.
    pub next: Vec<(String, String)>,
}

/// Looks; changes nothing.
///
/// # Errors
/// When the configuration is not valid, or the repository cannot be read.
pub async fn overview(directory: &Path, env: &Environment) -> Result<Overview, AppError> {
    let Some(root) = greenloop_workspace::work_tree_root(directory) else {
        return Ok(Overview::NoRepository);
    };
    let named = env("GREENLOOP_CONFIG").filter(|name| !name.is_empty());
    let config_path = match &named {
        Some(name) => directory.join(name),
        None => greenloop_config::locate(&root).path,
    };
    let is_there = named.is_some() || config_path.is_file();
    if !is_there || (named.is_none() && !is_greenloops(&config_path)) {
        return Ok(Overview::NotConfigured);
    }
    let config = greenloop_config::load(&config_path)?;
    let names: Vec<String> = config.environments().iter().map(ToString::to_string).collect();
    let asked =
        names.iter().take(MOST).cloned().map(|name| ask(directory, &config_path, name, env));
    let environments: Vec<(String, String)> =
        futures::stream::iter(asked).buffered(MOST).collect().await;
    let workspace = Workspace::open(directory)?;
    let dirty = workspace.ensure_clean().err().map(|error| error.to_string());
    let mut runs = greenloop_audit::list(&runs_folder(&root));
    runs.sort_by_key(|run| std::cmp::Reverse(run.run));
    let claims = workspace.git_dir().join("greenloop").join("claims");
    let under_way = |run| Claim::is_alive(&claims, run);
    let last_run = runs.first().map(|run| {
        let open = if under_way(run.run) { "under way" } else { "died before its end" };
        let outcome = run.outcome.as_deref().unwrap_or(open);
        let title = run.title.as_deref().unwrap_or("a run");
        let started = run.started.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string());
        format!("{title}, {}: {outcome} (run {})", started.unwrap_or_default(), run.run.short())
    });
    // Only what came last for a title can still be decided.
    let mut seen = Vec::new();
    let mut waiting = Vec::new();
    for run in &runs {
        if seen.contains(&run.title) {
            continue;
        }
        seen.push(run.title.clone());
        if run.outcome.as_deref() == Some(WAITING) {
            let title = run.title.as_deref().unwrap_or("a run");
            waiting.push(format!("{title} (run {})", run.run.short()));
        }
    }
    let last = runs.first().map(|run| LastRun {
        short: run.run.short(),
        end: match &run.outcome {
            Some(outcome) if outcome == GOOD => End::Verified,
            Some(_) => End::Otherwise,
            None if under_way(run.run) => End::UnderWay,
            None => End::Died { environment: run.environment.clone() },
        },
    });
    let next = next_steps(&names, &environments, dirty.is_some(), last);
    let configuration = greenloop_report::relative(&config_path, directory);
    let standing = Standing { configuration, environments, last_run, dirty, waiting, next };
    Ok(Overview::Configured(standing))
}

fn is_greenloops(path: &Path) -> bool {
    path.ends_with(greenloop_config::FILE_NAME)
        || std::fs::read_to_string(path)
            .is_ok_and(|text| greenloop_config::is_meant_for_greenloop(&text))
}

async fn ask(
    directory: &Path,
    config: &Path,
    environment: String,
    env: &Environment,
) -> (String, String) {
    let request = ReleaseRequest {
        directory: directory.to_owned(),
        environment: environment.clone(),
        config: Some(config.to_owned()),
        release: None,
        revision: None,
        env: env.clone(),
        invocation: Invocation {
            program: String::new(),
            git: String::new(),
            arguments: String::new(),
            tail: String::new(),
            options: String::new(),
        },
    };
    let asked = tokio::time::timeout(ANSWER, status(&request)).await;
    let line = match asked {
        Ok(Ok(report)) => report.text.lines().next().unwrap_or_default().to_owned(),
        Ok(Err(error)) => format!("unknown: {}", greenloop_model::error_chain(&error)),
        Err(_elapsed) => format!("unknown: no answer within {} s", ANSWER.as_secs()),
    };
    let prefix = format!("{environment}: ");
    let line = line.strip_prefix(prefix.as_str()).unwrap_or(&line).to_owned();
    (environment, line)
}

/// The newest run, as far as it says what to do next.
struct LastRun {
    short: String,
    end: End,
}

enum End {
    Verified,
    Otherwise,
    UnderWay,
    /// A run of `heal` has no environment.
    Died {
        environment: Option<String>,
    },
}

/// What fits best first.
fn next_steps(
    names: &[String],
    environments: &[(String, String)],
    dirty: bool,
    last: Option<LastRun>,
) -> Vec<(String, String)> {
    let step = |command: String, what: &str| (command, what.to_owned());
    let mut steps = Vec::new();
    if dirty {
        steps.push(step("git commit -a".to_owned(), "a run deploys what is committed"));
    }
    let option = |name: &str| match names {
        [_] => String::new(),
        _ => format!(" --environment {}", greenloop_model::shell_word(name)),
    };
    let first = names.first().map(|name| option(name)).unwrap_or_default();
    match last {
        Some(LastRun { short, end: End::Otherwise }) => {
            let what = "what happened in the last run";
            steps.push(step(format!("greenloop audit report {short}"), what));
        }
        Some(LastRun { short, end: End::UnderWay }) => {
            let what = "what the run that is under way has done";
            steps.push(step(format!("greenloop audit show {short}"), what));
            return steps;
        }
        Some(LastRun { short, end: End::Died { environment } }) => {
            if let Some(environment) = environment {
                let what = "go on where the last run died: what it deployed was never verified";
                let option = option(&environment);
                steps.push(step(format!("greenloop run{option} --resume {short}"), what));
            }
            let what = "what the last run has done";
            steps.push(step(format!("greenloop audit show {short}"), what));
        }
        Some(LastRun { end: End::Verified, .. }) | None => {}
    }
    steps.push(step(format!("greenloop run{first}"), "deploy and verify this commit"));
    let serving = environments.iter().find(|(_, line)| line.starts_with("serving"));
    if let Some((name, _)) = serving {
        let option = option(name);
        steps.push(step(
            format!("greenloop status{option}"),
            "what is deployed, and earlier releases",
        ));
        steps.push(step(format!("greenloop logs --follow{option}"), "what the service writes"));
        steps.push(step(format!("greenloop stop{option}"), "stop it"));
    } else {
        steps.push(step(format!("greenloop doctor{first}"), "what is missing on this machine"));
    }
    steps
}

impl Standing {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, line) in &self.environments {
            text.push_str(&format!("{name}: {line}\n"));
        }
        text.push_str(&format!("configuration: {}\n", self.configuration));
        match &self.last_run {
            Some(run) => text.push_str(&format!("last run: {run}\n")),
            None => text.push_str("last run: none yet\n"),
        }
        if let Some(dirty) = &self.dirty {
            text.push_str(&format!("work tree: {dirty}\n"));
        }
        for run in &self.waiting {
            text.push_str(&format!("waits for a person's decision: {run}\n"));
        }
        text.push_str("\nNext:\n");
        let width = self.next.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
        for (command, what) in &self.next {
            text.push_str(&format!("  {command:width$}  {what}\n"));
        }
        text.push_str(&format!("  {:width$}  all commands\n", "greenloop --help"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_fits_where_things_stand() {
        let environment = |line: &str| vec![("a".to_owned(), line.to_owned())];
        let died =
            |environment: Option<&str>| End::Died { environment: environment.map(Into::into) };
        let run = |end| Some(LastRun { short: "12ab".to_owned(), end });
        let names = ["a".to_owned()];
        for (line, dirty, last, expect) in [
            ("nothing is deployed", false, None, "greenloop run"),
            ("serving at x", true, run(End::Verified), "git commit -a"),
            ("serving at x", false, run(End::Otherwise), "greenloop audit report 12ab"),
            ("serving at x", false, run(died(Some("a"))), "greenloop run --resume 12ab"),
            ("serving at x", false, run(died(None)), "greenloop audit show 12ab"),
        ] {
            let steps = next_steps(&names, &environment(line), dirty, last);
            assert_eq!(steps[0].0, expect, "{line}");
            let stops = steps.iter().any(|(command, _)| command == "greenloop stop");
            assert_eq!(stops, line.starts_with("serving"), "{line}");
        }
        let steps = next_steps(&names, &environment("serving at x"), false, run(End::UnderWay));
        assert_eq!(steps.len(), 1, "nothing else can be done meanwhile: {steps:?}");
        let two = ["a".to_owned(), "b".to_owned()];
        let steps = next_steps(&two, &environment("serving at x"), false, None);
        assert_eq!(steps[0].0, "greenloop run --environment a");
    }
}
