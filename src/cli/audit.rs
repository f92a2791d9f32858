//! `greenloop audit`.

mod export;
mod verify;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit};
use super::{completions, output, terminal};
use verify::never_began;

use crate::app::{audit_log, runs_folder};
use greenloop_audit::{SigningKey, VerifyingKey};
use greenloop_engine::replay::{ReplayError, replay_file};

/// What to do with audit logs.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the runs, newest first
    List {
        /// Print one JSON object per run
        #[arg(long)]
        json: bool,
    },
    /// Print a run's records
    Show {
        /// Run id, or the last characters of it (greenloop audit list)
        #[arg(add = ArgValueCandidates::new(completions::runs))]
        run: String,
        /// Print one JSON object per record
        #[arg(long)]
        json: bool,
    },
    /// Verify that a run's log and files, or every run's, are whole and unchanged
    Verify {
        /// Run id, or the last characters of it [default: every run]
        #[arg(add = ArgValueCandidates::new(completions::runs))]
        run: Option<String>,
        /// The key that must have signed each run's checkpoint (greenloop audit keygen)
        #[arg(long, value_name = "KEY")]
        key: Option<VerifyingKey>,
        /// Where checkpoints were kept: a file with one or with the tags of an Azure DevOps build,
        /// such tags themselves, `git` (refs/greenloop/audit), or the address of a hub, whose token is
        /// in GREENLOOP_HUB_TOKEN
        #[arg(long, value_name = "FILE|TAGS|git|URL")]
        anchor: Option<String>,
    },
    /// Pack a run's log, checkpoints, files and exchanges with models into one archive, with a
    /// README that says how to verify them offline
    Export {
        /// Run id, or the last characters of it (greenloop audit list)
        run: String,
        /// The archive [default: greenloop-audit-RUN.tar.gz]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The key that signs checkpoints, for the commands in the README
        #[arg(long, value_name = "KEY")]
        key: Option<VerifyingKey>,
    },
    /// Make a key that signs checkpoints; print the one that verifies them
    Keygen {
        /// The key's name, which each signature bears
        name: String,
        /// The file for the secret key; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Replay a run's records through the state machine and report divergences
    Replay {
        /// Run id, or the last characters of it (greenloop audit list)
        #[arg(add = ArgValueCandidates::new(completions::runs))]
        run: String,
    },
    /// Print a run's report
    Report {
        /// Run id, or the last characters of it (greenloop audit list)
        #[arg(add = ArgValueCandidates::new(completions::runs))]
        run: String,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Md,
    Html,
    Json,
}

pub(super) fn audit(command: AuditCommand) -> Result<Exit, CommandError> {
    let root = root()?;
    match command {
        AuditCommand::List { json } => list(&root, json),
        AuditCommand::Show { run, json } => show(&audit_log(&root, &run)?, json),
        AuditCommand::Verify { run, key, anchor } => {
            verify::verify(&root, run.as_deref(), key.as_ref(), anchor.as_deref())
        }
        AuditCommand::Export { run, out, key } => export::export(&root, &run, out, key.as_ref()),
        AuditCommand::Keygen { name, out } => keygen(&name, &out),
        AuditCommand::Replay { run } => replay(&audit_log(&root, &run)?),
        AuditCommand::Report { run, format } => {
            let log = audit_log(&root, &run)?;
            let format = match format {
                Format::Md => greenloop_report::Format::Markdown,
                Format::Html => greenloop_report::Format::Html,
                Format::Json => greenloop_report::Format::Json,
            };
            let events = log.with_file_name(greenloop_report::EVENTS_FILE);
            let rendered = greenloop_report::read_events(&events)
                .map_err(|e| CommandError::usage("could not read the run's events").because(e))
                .and_then(|events| {
                    greenloop_report::render(format, &events).map_err(|e| {
                        CommandError::infrastructure("could not create the report").because(e)
                    })
                })?;
            let text = String::from_utf8_lossy(&rendered);
            match format {
                greenloop_report::Format::Json => output::print_json_text(&text)?,
                greenloop_report::Format::Markdown | greenloop_report::Format::Html => {
                    output::print_content(&text)?
                }
            }
            Ok(Exit::Ok)
        }
    }
}

fn root() -> Result<PathBuf, CommandError> {
    let here = terminal::current_directory()?;
    Ok(greenloop_workspace::work_tree_root(&here).unwrap_or(here))
}

fn list(root: &std::path::Path, json: bool) -> Result<Exit, CommandError> {
    let listings = greenloop_audit::list(&runs_folder(root));
    let mut text = String::new();
    for run in &listings {
        let started = run
            .started
            .map_or_else(|| "?".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
        let title = run.title.as_deref().unwrap_or("?");
        let outcome = run.outcome.as_deref().unwrap_or("no end: running, or died");
        if json {
            let value = serde_json::json!({
                "run": run.run.to_string(), "started": started, "title": title, "outcome": run.outcome,
                "records": run.records, "complete": run.complete,
                "broken": run.broken.as_ref().map(ToString::to_string),
            });
            let _infallible = writeln!(text, "{value}");
        } else {
            let broken = match &run.broken {
                Some(fault) if never_began(&run.folder, fault) => "  never began".to_owned(),
                Some(fault) => format!("  BROKEN: {fault}"),
                None => String::new(),
            };
            let _infallible =
                writeln!(text, "{}  {started}  {outcome:<16}  {title}{broken}", run.run);
        }
    }
    if listings.is_empty() && !json {
        text.push_str("no runs yet in logs/runs\n");
    }
    if json {
        output::print_json_text(&text)?
    } else {
        output::print(&greenloop_report::safe_text::safe(&text))?
    }
    Ok(Exit::Ok)
}

fn show(log: &std::path::Path, json: bool) -> Result<Exit, CommandError> {
    let records = greenloop_audit::read(log)
        .map_err(|e| CommandError::person("could not read the audit log").because(e))?;
    let mut text = String::new();
    for record in &records {
        if json {
            let value = serde_json::json!({
                "seq": record.seq, "wall": record.wall.to_string(), "mono_ms": record.mono_ms,
                "actor": actor(&record.actor), "event": record.event, "data": record.data,
                "h": record.hash,
            });
            let _infallible = writeln!(text, "{value}");
        } else {
            let seconds = record.mono_ms as f64 / 1000.0;
            let _infallible = writeln!(
                text,
                "{:>4}  {seconds:>8.3}s  {:<22}  {:<18}  {}",
                record.seq,
                actor(&record.actor),
                record.event,
                brief(&record.data)
            );
        }
    }
    if json {
        output::print_json_text(&text)?
    } else {
        output::print(&greenloop_report::safe_text::safe(&text))?
    }
    Ok(Exit::Ok)
}

pub(super) fn actor(actor: &greenloop_audit::Actor) -> String {
    match actor {
        greenloop_audit::Actor::Machine => "greenloop".to_owned(),
        greenloop_audit::Actor::Author(name) => format!("author {name}"),
        greenloop_audit::Actor::Reviewer(name) => format!("reviewer {name}"),
        greenloop_audit::Actor::Human(name) => format!("person {name}"),
    }
}

/// A record's data on one line, long texts cut.
fn brief(data: &serde_json::Value) -> String {
    const LONGEST: usize = 160;
    let mut text = data.to_string();
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain(['…']).collect();
    }
    text
}

fn keygen(name: &str, out: &std::path::Path) -> Result<Exit, CommandError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = SigningKey::generate(name)
        .map_err(|e| CommandError::usage("the key cannot be made").because(e))?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .and_then(|mut file| std::io::Write::write_all(&mut file, key.to_secret().as_bytes()));
    written.map_err(|e| {
        CommandError::usage(format!("the key cannot be written to {}", out.display())).because(e)
    })?;
    output::print_content(&format!("{}\n", key.public()))?;
    Ok(Exit::Ok)
}

fn replay(log: &std::path::Path) -> Result<Exit, CommandError> {
    let replayed = match replay_file(log) {
        Ok(replayed) => replayed,
        Err(ReplayError::Unborn) => {
            output::print("0 inputs replayed; the run died before it began\nno divergence\n")?;
            return Ok(Exit::Ok);
        }
        Err(error) => {
            return Err(CommandError::person("could not replay the run").because(error));
        }
    };
    let mut text = format!("{} inputs replayed", replayed.inputs);
    match (replayed.state.stop_reason(), &replayed.pending) {
        (Some(reason), _) => {
            let _infallible = writeln!(text, "; the run ends: {reason}");
        }
        (None, Some(pending)) => {
            let _infallible = writeln!(text, "; next action: {pending}");
        }
        (None, None) => text.push('\n'),
    }
    for divergence in &replayed.divergences {
        let _infallible = writeln!(
            text,
            "record {} diverges\n  the machine decides: {}\n  the log says:        {}",
            divergence.seq, divergence.expected, divergence.recorded
        );
    }
    for unsupported in &replayed.unsupported {
        let _infallible = writeln!(text, "record {}: {}", unsupported.seq, unsupported.why);
    }
    let agrees = replayed.divergences.is_empty() && replayed.unsupported.is_empty();
    if agrees {
        text.push_str("no divergence\n");
    }
    output::print(&greenloop_report::safe_text::safe(&text))?;
    Ok(if agrees { Exit::Ok } else { Exit::NeedsPerson })
}
