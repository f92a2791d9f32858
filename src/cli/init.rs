//! `greenloop init`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::error::{CommandError, Exit};
use super::{block_on, output, terminal};
use crate::app::{self, InitPlan, InitProgress, InitRequest};
use greenloop_init::{Conclusion, ProposedFile};
use greenloop_model::TargetKind;

/// How to set the repository up.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where releases run [default: process where the service can be started here, else docker,
    /// else kubernetes]
    #[arg(long, value_enum)]
    target: Option<TargetChoice>,
    /// How the service is started, where that is not found out; `{{ port }}` stands for the port
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// Give each command so many seconds when it is tried
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Write the files without asking
    #[arg(short, long)]
    yes: bool,
    /// Show what would be written, and write nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// Where releases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TargetChoice {
    /// A supervised process on this machine
    Process,
    /// A container on a Docker Engine
    Docker,
    /// Objects in a Kubernetes cluster
    Kubernetes,
}

pub(super) fn init(args: InitArgs) -> Result<Exit, CommandError> {
    let InitArgs { target, start, timeout, yes, dry_run } = args;
    let request = InitRequest {
        directory: terminal::current_directory()?,
        target: target.map(|target| match target {
            TargetChoice::Process => TargetKind::Process,
            TargetChoice::Docker => TargetKind::Docker,
            TargetChoice::Kubernetes => TargetKind::Kubernetes,
        }),
        start: start.map(|line| words(&line)).transpose()?,
        scratch: super::work_folder(None, "greenloop/init")?,
        timeout: Duration::from_secs(timeout),
        env: terminal::environment(),
    };
    let plan = block_on(async {
        let cancel = terminal::cancel_on_signals();
        let planned = app::plan_init(request, &mut tell, &cancel).await;
        if cancel.is_cancelled() { None } else { Some(planned) }
    })?;
    let Some(plan) = plan else { return Ok(cancelled()) };
    let plan = plan?;
    if plan.files.is_empty() {
        output::print("everything is there already: greenloop config check\n")?;
        return Ok(Exit::Ok);
    }
    if plan.creates_repository {
        output::print("# this folder is no git repository: `git init` makes it one\n")?;
    }
    output::print_diff(&preview(&plan))?;
    if plan.files.iter().any(|file| file.path == greenloop_config::SCHEMA_PATH) {
        let path = greenloop_config::SCHEMA_PATH;
        output::print(&format!("# {path} (the schema, for editors) is written as well\n"))?;
    }
    if dry_run {
        output::tell("nothing was written (--dry-run)\n");
        return Ok(Exit::Ok);
    }
    if !yes {
        // From the first wait on, a signal ends nothing by itself.
        let answer = block_on(async {
            let cancel = terminal::cancel_on_signals();
            let asked = tokio::task::spawn_blocking(|| terminal::confirm("Write these files?"));
            tokio::select! {
                answer = asked => Some(answer.ok().flatten()),
                () = cancel.cancelled() => None,
            }
        })?;
        match answer {
            Some(Some(true)) => {}
            Some(Some(false) | None) => {
                output::tell(
                    "nothing was written; `greenloop init --yes` writes it without asking\n",
                );
                return Ok(Exit::NeedsPerson);
            }
            None => return Ok(cancelled()),
        }
    }
    let written = app::write_init(&plan)?;
    output::print(&next_steps(&plan, &written))?;
    Ok(Exit::Ok)
}

fn cancelled() -> Exit {
    output::tell("\ncancelled: nothing was written\n");
    Exit::Cancelled
}

/// Without the schema, which is long, and generated.
fn preview(plan: &InitPlan) -> String {
    let is_shown = |file: &&ProposedFile| file.path != greenloop_config::SCHEMA_PATH;
    let files: Vec<ProposedFile> = plan.files.iter().filter(is_shown).cloned().collect();
    greenloop_init::preview(&files)
}

fn next_steps(plan: &InitPlan, written: &[String]) -> String {
    let mut text = String::new();
    for path in written {
        text.push_str(&format!("wrote {path}\n"));
    }
    for note in &plan.notes {
        text.push_str(&format!("\n{note}\n"));
    }
    let environment = match plan.environment.as_str() {
        "" => String::new(),
        name => format!(" --environment {name}"),
    };
    let commands = [
        "git add --all && git commit -m 'Deploy with Greenloop'".to_owned(),
        format!("{} run{environment}", terminal::program()),
    ];
    let file = greenloop_config::FILE_NAME;
    text.push_str(&format!("\nNext: look at the lines with GUESS in {file}, then\n\n"));
    for command in commands {
        text.push_str(&output::command_line(&command));
    }
    text
}

fn tell(progress: InitProgress<'_>) {
    match progress {
        InitProgress::Found(findings) => {
            for finding in findings {
                output::tell(&format!("found  {finding}\n"));
            }
        }
        InitProgress::Noticed(text) => output::tell(&format!("note   {text}\n")),
        InitProgress::Trying { command } => output::tell(&format!("trying {command}\n")),
        InitProgress::Tried { command, conclusion } => output::tell(&match conclusion {
            Conclusion::Passed { ran_no_test: false, .. } => format!("passed {command}\n"),
            Conclusion::Passed { ran_no_test: true, .. } => {
                format!("passed {command}, but it ran no test\n")
            }
            Conclusion::Failed { reason } => format!("failed {command}: {reason}\n"),
        }),
        InitProgress::Started { answered: Some(path), failure: _ } => {
            output::tell(&format!("started the service once: it answered {path}\n"));
        }
        InitProgress::Started { answered: None, failure } => {
            let why = failure.unwrap_or("there is nothing to start it with");
            output::tell(&format!("the service could not be tried: {why}\n"));
        }
    }
}

/// Split as the configuration splits a command.
fn words(line: &str) -> Result<Vec<String>, CommandError> {
    greenloop_config::split_command(line)
        .map_err(|why| CommandError::usage(format!("--start: {why}")))
}
