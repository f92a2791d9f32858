//! `greenloop watch`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::bell::BellArgs;
use super::command_args::CommandArgs;
use super::error::{CommandError, Exit};
use super::keys::Keys;
use super::sandbox_choice::Weakest;
use super::stream::StreamInfo;
use super::{block_on, completions, heal, output, terminal};
use crate::app::{self, AppError, HealRequest, WatchHooks, WatchKey, WatchNews, WatchRequest};
use greenloop_engine::approval::Approval;
use greenloop_model::{Invocation, RunId, RunSummary, Usage, runs_nothing, shell_word};
use greenloop_report::{Boxed, WatchEvent};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WatchOutput {
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Text,
    Json,
}

/// What to watch.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Write each fix to the work tree without asking; otherwise the key `a` does
    #[arg(long)]
    apply: bool,
    /// End the repair of one failure after this many iterations [default: from the configuration,
    /// otherwise 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_iterations: Option<u32>,
    /// Repair nothing more when all runs together have used so many tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Repair nothing more when all runs together have cost so many US dollars, by the prices of
    /// the configuration
    #[arg(long, value_name = "USD", value_parser = dollars)]
    max_cost: Option<f64>,
    #[command(flatten)]
    own: CommandArgs,
    /// Output format; with json, stdout carries the events of every run and of the watch itself, one
    /// JSON object per line, and the text goes to stderr
    #[arg(short, long, value_enum, default_value_t = WatchOutput::Text)]
    output: WatchOutput,
    #[command(flatten)]
    bell: BellArgs,
    /// Write a debug log of Greenloop itself to logs/orchestrator_<date>.log
    #[arg(long)]
    debug: bool,
    /// Confirm where the policy asks for a person; cannot override what the policy forbids
    #[arg(short, long)]
    yes: bool,
    /// The command, after `--`
    #[arg(
        required = true,
        last = true,
        value_name = "COMMAND",
        add = ArgValueCandidates::new(completions::gate_commands)
    )]
    command: Vec<OsString>,
}

fn dollars(text: &str) -> Result<f64, String> {
    let amount: f64 =
        text.trim_start_matches('$').parse().map_err(|_| "not a number".to_owned())?;
    if amount.is_finite() && amount >= 0.0 {
        Ok(amount)
    } else {
        Err("not an amount of money".to_owned())
    }
}

pub(super) fn watch(args: WatchArgs) -> Result<Exit, CommandError> {
    let WatchArgs {
        apply,
        max_iterations,
        max_tokens,
        max_cost,
        own,
        output,
        bell,
        debug,
        yes,
        command,
    } = args;
    let command_line = heal::shell_line(&command)?;
    if runs_nothing(&command_line) {
        return Err(CommandError::usage("no command after `--`")
            .hint("add the command to watch: `greenloop watch -- cargo test`"));
    }
    let own = own.absolute()?;
    terminal::note_second_configuration(own.config.as_ref());
    let directory = terminal::current_directory()?;
    let arguments = format!("heal --branch{}", own.flags());
    let invocation = Invocation {
        program: terminal::program(),
        git: heal::git_at_root(&directory),
        arguments,
        tail: match command.as_slice() {
            [_] => format!(" -- {}", shell_word(&command_line)),
            _ => format!(" -- {command_line}"),
        },
        options: String::new(),
    };
    let heal = HealRequest {
        directory,
        command: command_line.clone(),
        max_iterations,
        max_tokens: None,
        max_cost_usd: None,
        timeout: own.timeout(),
        config: own.config,
        network: own.network,
        sandbox: own.sandbox.map(Weakest::level),
        cache: own.cache,
        env_names: own.env,
        branch: true,
        bundle: None,
        copies: super::work_folder(None, "greenloop/heal").ok(),
        debug,
        // A question would stand while the files it is about change.
        approval: if yes { terminal::approval(true) } else { Approval::Nobody },
        env: terminal::environment(),
        invocation,
    };
    let request = WatchRequest { heal, apply, max_tokens, max_cost_usd: max_cost };
    block_on(async {
        let cancel = terminal::cancel_on_signals();
        let (reader, keys) = keys(&cancel);
        let has_keys = reader.is_some();
        let reporters = || reporters(output, bell);
        let mut news = |news: WatchNews<'_>| tell(&command_line, has_keys, output, news);
        let hooks = WatchHooks { reporters: &reporters, news: &mut news, keys };
        let ended = app::watch(request, hooks, cancel).await;
        // The terminal is as it was before anything else is said on it.
        drop(reader);
        ended
    })??;
    Ok(Exit::Ok)
}

/// The keys of the terminal; without one, none arrive.
fn keys(cancel: &CancellationToken) -> (Option<Keys>, UnboundedReceiver<WatchKey>) {
    let (sender, keys) = unbounded_channel();
    let cancel = cancel.clone();
    let reader = Keys::each(move |key| {
        let key = match key {
            b'a' => WatchKey::Apply,
            b's' => WatchKey::Skip,
            b'q' if cancel.is_cancelled() => super::keys::force(),
            b'q' => WatchKey::Quit,
            _ => return,
        };
        let _nobody_waits = sender.send(key);
    });
    (reader, keys)
}

/// With JSON, stdout carries only events and the text for people goes to stderr.
fn reporters(output: WatchOutput, bell: BellArgs) -> Vec<Boxed> {
    let stdout = std::io::stdout();
    let mut reporters = match output {
        WatchOutput::Text => {
            let stream = StreamInfo::of(&stdout);
            vec![greenloop_report::watch(stdout, stream.paint(), stream.screen())]
        }
        WatchOutput::Json => {
            let stderr = std::io::stderr();
            let stream = StreamInfo::of(&stderr);
            let people = greenloop_report::watch(stderr, stream.paint(), stream.screen());
            vec![greenloop_report::json(stdout), people]
        }
    };
    reporters.extend(bell.reporter());
    reporters
}

fn tell(command: &str, has_keys: bool, output: WatchOutput, news: WatchNews<'_>) {
    if output == WatchOutput::Json {
        let (run, event) = event(command, &news);
        let at = jiff::Timestamp::now();
        let stdout = std::io::stdout().lock();
        let _closed_pipe = greenloop_report::write_watch_event(stdout, run, at, &event);
    }
    let text = match news {
        WatchNews::Runs => format!("▸ {command}\n"),
        WatchNews::Changed => "  files were saved: cancelled\n".to_owned(),
        WatchNews::Ended { run: _, summary, offered, spent } => {
            ended(output, summary, spent);
            if !offered {
                return;
            }
            offer(summary, has_keys)
        }
        WatchNews::Applied { files } => {
            let names: Vec<String> = files.iter().map(ToString::to_string).collect();
            format!("✓ applied: {}\n  `greenloop heal --undo` takes it back\n", names.join(", "))
        }
        WatchNews::NotApplied { error } => {
            format!("✗ not applied: {}\n", greenloop_model::error_chain(error))
        }
        WatchNews::Skipped => "  skipped\n".to_owned(),
        WatchNews::Failed { error } => {
            format!("✗ not run: {}\n", greenloop_model::error_chain(error))
        }
        WatchNews::LimitReached { spent } => format!(
            "! the limit of this watch is reached ({} tokens, ${:.4}): failures are shown and not \
             repaired\n",
            spent.tokens(),
            spent.cost_usd
        ),
    };
    let redacted = greenloop_evidence::Redactor::from_env().redact(&text).into_owned();
    let shown = greenloop_report::safe_text::safe(&redacted);
    match output {
        WatchOutput::Text => {
            let _closed_pipe = output::print(&shown);
        }
        WatchOutput::Json => output::tell(&shown),
    }
}

/// The same for a program; texts are redacted.
fn event(command: &str, news: &WatchNews<'_>) -> (Option<RunId>, WatchEvent) {
    let redactor = greenloop_evidence::Redactor::from_env();
    let redacted = |text: &str| redactor.redact(text).into_owned();
    let reason = |error: &AppError| redacted(&greenloop_model::error_chain(error));
    let event = match news {
        WatchNews::Ended { run, summary, offered, spent } => {
            let offered = summary.branch.clone().filter(|_| *offered);
            return (Some(*run), WatchEvent::WatchEnded { offered, spent: **spent });
        }
        WatchNews::Runs => WatchEvent::WatchRuns { command: redacted(command) },
        WatchNews::Changed => WatchEvent::WatchChanged,
        WatchNews::Applied { files } => {
            let files = files.iter().map(|file| redacted(&file.to_string())).collect();
            WatchEvent::WatchApplied { files }
        }
        WatchNews::NotApplied { error } => WatchEvent::WatchNotApplied { reason: reason(error) },
        WatchNews::Skipped => WatchEvent::WatchSkipped,
        WatchNews::Failed { error } => WatchEvent::WatchFailed { reason: reason(error) },
        WatchNews::LimitReached { spent } => WatchEvent::WatchLimitReached { spent: **spent },
    };
    (None, event)
}

fn ended(output: WatchOutput, summary: &RunSummary, spent: &Usage) {
    let stream = match output {
        WatchOutput::Text => StreamInfo::of(&std::io::stdout()),
        WatchOutput::Json => StreamInfo::of(&std::io::stderr()),
    };
    let width = stream.width().unwrap_or(usize::MAX);
    let line = greenloop_report::watch_end(summary, spent, stream.paint(), width);
    match output {
        WatchOutput::Text => {
            let _closed_pipe = output::print_content(&line);
        }
        WatchOutput::Json => output::tell_content(&line),
    }
}

/// What can be done with a fix that is on its branch.
fn offer(summary: &RunSummary, has_keys: bool) -> String {
    let branch = summary.branch.as_deref().unwrap_or_default();
    if has_keys {
        return format!("  the fix is on {branch}: a apply · s skip · q quit\n");
    }
    let mut text = format!("  the fix is on {branch}\n");
    for step in &summary.next_steps {
        text.push_str(&format!("  {}\n", step.what));
        for command in step.command.iter().flat_map(|command| command.lines()) {
            text.push_str(&output::command_line(command));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_an_amount() {
        assert_eq!(dollars("1.5"), Ok(1.5));
        assert_eq!(dollars("$2"), Ok(2.0));
        for text in ["", "-1", "nan", "inf", "much"] {
            assert!(dollars(text).is_err(), "{text}");
        }
    }
}
