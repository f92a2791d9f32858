//! `greenloop tasks log`: what attempts and gates have printed.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::Args;

use super::actions::TaskArgs;
use super::hub_args::HubArgs;
use crate::app::AppError;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_hub_api::types::{LogMatch, TaskLog};
use greenloop_report::safe_text::safe;

/// How long the hub may keep the answer when there is no more output yet.
const WAIT: u32 = 20;

/// Which log.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Follow the output until the attempt ends
    #[arg(short, long, conflicts_with_all = ["list", "search"])]
    follow: bool,
    /// The attempt [default: the latest]
    #[arg(long, value_name = "N")]
    attempt: Option<i64>,
    /// What printed it: attempt, or "gate 1" and so on for gates of its merge
    #[arg(long, value_name = "NAME", default_value = "attempt")]
    source: String,
    /// List the logs instead
    #[arg(long, conflicts_with = "search")]
    list: bool,
    /// Print the lines with this text, of all logs of the task
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

pub(super) fn log(args: LogArgs) -> Result<Exit, CommandError> {
    let LogArgs { task, follow, attempt, source, list, search, hub } = args;
    let client = hub.access().client()?;
    let coloured = std::io::stdout().is_terminal();
    block_on(async {
        let id = task.find(&client).await?;
        if list {
            let logs = client.logs(id).await.map_err(AppError::from)?;
            output::print(&safe(&listed(&logs)))?;
            return Ok(Exit::Ok);
        }
        if let Some(text) = search {
            let found = client.search_logs(&text, Some(id), None).await.map_err(AppError::from)?;
            output::print(&safe(&matches(&found.items)))?;
            if !found.complete {
                output::tell("not all logs were searched: there are too many matches\n");
            }
            let none = found.items.is_empty();
            return Ok(if none { Exit::NeedsPerson } else { Exit::Ok });
        }
        let (mut offset, mut epoch) = (0, attempt);
        loop {
            let wait = if follow { WAIT } else { 0 };
            let part = client.read_log(id, epoch, &source, offset, wait).await;
            let part = part.map_err(AppError::from)?;
            // A later attempt is not mixed into the one that is followed.
            epoch = Some(part.epoch);
            if part.offset > offset && !part.text.is_empty() {
                output::print(&format!("[{} bytes are not kept]\n", part.offset - offset))?;
            }
            output::print_content(&for_terminal(&part.text, coloured))?;
            let more = part.next > offset;
            offset = part.next;
            if !more && (!follow || part.ended) {
                return Ok(Exit::Ok);
            }
        }
    })?
}

/// Output of programs on a terminal: colours, and nothing else that moves the cursor or more.
fn for_terminal(text: &str, coloured: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, escape) = rest.split_at(at);
        shown.push_str(&safe(before));
        let length = colour(escape);
        match escape.get(..length).filter(|_| length > 0) {
            Some(sequence) => {
                if coloured {
                    shown.push_str(sequence);
                }
                rest = escape.get(length..).unwrap_or_default();
            }
            None => {
                // Another sequence, up to the next one.
                let end = escape
                    .get(1..)
                    .and_then(|it| it.find('\u{1b}'))
                    .map_or(escape.len(), |it| it + 1);
                let (one, after) = escape.split_at(end);
                for line in one.split_inclusive('\n') {
                    shown.push_str(&greenloop_evidence::plain_text(line.trim_end_matches('\n')));
                    if line.ends_with('\n') {
                        shown.push('\n');
                    }
                }
                rest = after;
            }
        }
    }
    shown.push_str(&safe(rest));
    shown
}

/// The length of the sequence `ESC [ … m` at the beginning; 0 when there is none.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':');
    match end {
        Some(end) if rest[end..].starts_with('m') => 2 + end + 1,
        _ => 0,
    }
}

fn listed(logs: &[TaskLog]) -> String {
    let mut text = String::new();
    for log in logs {
        let TaskLog { epoch, source, size, ended, updated_at, .. } = log;
        let state = if *ended { "ended" } else { "goes on" };
        let _infallible =
            writeln!(text, "attempt {epoch}  {source:<10} {size:>10} bytes  {state}  {updated_at}");
    }
    if text.is_empty() {
        text.push_str("no output yet\n");
    }
    text
}

fn matches(found: &[LogMatch]) -> String {
    let mut text = String::new();
    for LogMatch { epoch, source, line, .. } in found {
        let _infallible = writeln!(text, "attempt {epoch}, {source}: {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::for_terminal;

    #[test]
    fn colours_stay_and_everything_else_goes() {
        let text = "\u{1b}[1;31mred\u{1b}[0m\n\u{1b}[2Jgone\u{1b}]0;title\u{7}there\n";
        assert_eq!(for_terminal(text, true), "\u{1b}[1;31mred\u{1b}[0m\ngonethere\n");
        assert_eq!(for_terminal(text, false), "red\ngonethere\n");
    }
}
