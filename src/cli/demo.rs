//! `greenloop demo`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, terminal};
use crate::app::demo::{self, DemoError, DemoRequest, Stage};
use greenloop_model::{Invocation, StopReason, shell_word};

/// How the demo is wanted.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Use a model (OPENAI_API_KEY, OPENAI_BASE_URL, GREENLOOP_MODEL) instead of the recorded
    /// answers
    #[arg(long)]
    live: bool,
    /// Stop the demo's service and remove its repository
    #[arg(long, conflicts_with = "live")]
    stop: bool,
    /// Folder for the demo's repository [default: greenloop-demo in the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
}

pub(super) fn demo(args: DemoArgs) -> Result<Exit, CommandError> {
    let DemoArgs { live, stop, folder, output } = args;
    let folder = match folder {
        Some(folder) => terminal::current_directory()?.join(folder),
        None => default_folder(),
    };
    if stop {
        let there = block_on(demo::stop(&folder))?.map_err(explained)?;
        let text = if there { "the demo is stopped and removed\n" } else { "no demo is running\n" };
        output::print(text)?;
        return Ok(Exit::Ok);
    }
    let env = terminal::environment();
    if live && env("OPENAI_API_KEY").is_none() && env("OPENAI_BASE_URL").is_none() {
        return Err(CommandError::usage("--live needs a model, but OPENAI_API_KEY is not set")
            .hint("export OPENAI_API_KEY=…, and OPENAI_BASE_URL for a compatible server")
            .hint("without --live, the demo uses recorded answers"));
    }
    let named = folder != default_folder();
    let cd = format!("cd {}", shell_word(&folder.to_string_lossy()));
    let program = terminal::program();
    let invocation = Invocation {
        // From another folder `./target/debug/greenloop` would not be found.
        program: format!("{cd} && {}", absolute(&program)),
        git: format!("{cd} && git"),
        arguments: "--environment local".to_owned(),
        tail: String::new(),
        options: String::new(),
    };
    let approval = terminal::approval(false);
    let request = DemoRequest { folder, live, env, approval, invocation };
    let quiet = output == OutputChoice::Json;
    let say = |text: &str| if quiet { Ok(()) } else { output::print(text) };
    block_on(async {
        let cancel = terminal::cancel_on_signals();
        let stage = demo::set_up(&request).await.map_err(explained)?;
        say(&opening(&stage, live))?;
        let began = Instant::now();
        let good = demo::deploy_good(&request, &stage, cancel.clone()).await.map_err(explained)?;
        if good.stop != StopReason::Verified {
            return match good.stop {
                StopReason::Cancelled => Ok(Exit::Cancelled),
                stop => Err(CommandError::infrastructure(format!(
                    "the demo's good commit could not be deployed: {stop}"
                ))
                .hint(format!("its report is in {}", stage.folder.join("logs/runs").display()))),
            };
        }
        say(&format!(
            "  the last good commit {} is deployed and verified ({:.1}s)\n\n\
             Now a commit arrives that does not work.\n\n",
            stage.good.short(),
            began.elapsed().as_secs_f64()
        ))?;
        let reporters = output::reporters(output);
        let summary =
            demo::heal_broken(&request, &stage, reporters, cancel).await.map_err(explained)?;
        if !quiet {
            output::print(&closing(&stage, &program, named))?;
        }
        Ok(exit_of(&summary))
    })?
}

fn opening(stage: &Stage, live: bool) -> String {
    let agents = if live {
        "Author and reviewer are a live model."
    } else {
        "Author and reviewer answer from a recorded transcript; no model is asked.\n\
         Everything else is real: the builds, the tests, git, the process, the requests."
    };
    format!("Greenloop demo: a small fleet service in {}\n{agents}\n\n", stage.folder.display())
}

fn default_folder() -> PathBuf {
    std::env::temp_dir().join("greenloop-demo")
}

/// `program` as it is called from another folder.
fn absolute(program: &str) -> String {
    match (program.strip_prefix("./"), std::env::current_dir()) {
        (Some(below), Ok(here)) => shell_word(&here.join(below).to_string_lossy()),
        (Some(_) | None, _) => program.to_owned(),
    }
}

fn closing(stage: &Stage, program: &str, named: bool) -> String {
    let folder = shell_word(&stage.folder.to_string_lossy());
    let stop = if named { format!(" --folder {folder}") } else { String::new() };
    format!(
        "Try it\n{}{}Stop it\n{}",
        output::command_line(&format!("curl {}/api/v1/vehicles", stage.url)),
        output::command_line(&format!("cd {folder} && git log --oneline --all")),
        output::command_line(&format!("{program} demo --stop{stop}")),
    )
}

fn explained(error: DemoError) -> CommandError {
    match error {
        DemoError::App(error) => error.into(),
        DemoError::Foreign(_) => {
            CommandError::usage(error.to_string()).hint("use another folder with --folder FOLDER")
        }
        DemoError::NoCargo => CommandError::usage(error.to_string())
            .hint("install Rust from https://rustup.rs, or `apt-get install cargo`"),
        DemoError::Io { .. } => CommandError::infrastructure(error.to_string()).because(error),
        DemoError::Broken(_) => CommandError::infrastructure(error.to_string()),
    }
}
