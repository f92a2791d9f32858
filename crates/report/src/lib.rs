//! What a run tells the outside world: consumers of [`RunEvent`], and nothing else.
//!
//! Lives here: one file a form of output. Terminals and logs (`human`, `plain`, `azure`) print
//! the same lines, which `narrate` makes; `json` writes and reads records; `junit`, `markdown`,
//! `html` and `metrics` write a file when the run is over, from the `history` of its events;
//! `pull_request` makes a text of it.
//! Must not be here: decisions of any kind, and calls back into a run. A reporter sees events
//! and the run's own folder.
//!
//! Invariants:
//!
//! - Live and replayed events are the same: a report can be made again from a run's
//!   [`EVENTS_FILE`] at any time.
//! - No text from outside reaches a terminal, a log or a page but through [`safe_text`].
//! - Memory is bounded: output of gates is never kept, and every text, diff and list has a
//!   limit.
//! - A reporter that fails is dropped; the run and the other reporters do not notice.
//!
//! [`RunEvent`]: greenloop_model::RunEvent

mod azure;
mod diff;
mod diff_lines;
mod file;
#[cfg(test)]
mod fixtures;
mod format;
mod html;
mod human;
mod json;
mod junit;
mod line;
mod live;
mod markdown;
mod metrics;
mod narrate;
mod otlp;
mod plain;
mod program_log;
mod pull_request;
pub mod pull_requests;
mod reporter;
mod run_history;
pub mod safe_text;
mod summary;
mod syntax;
#[cfg(test)]
mod tests;
mod verdict;
mod wording;
mod written;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use greenloop_config::plan::TelemetryPlan;

pub use human::{Screen, columns};
pub use json::{EVENTS_FILE, EventsError, EventsErrorKind, read_events};
pub use pull_request::{Links, PullRequestText, pull_request};
pub use reporter::{Reporter, Stamped, feed_pending, replay, spawn};

use line::{Line, Tone};

/// The report's name within a run's folder.
pub const HTML_FILE: &str = "report.html";
/// The summary's name within a run's folder.
pub const SUMMARY_FILE: &str = "summary.md";
/// The test report's name within a run's folder.
pub const JUNIT_FILE: &str = "junit.xml";

/// What is printed while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For a person at a terminal.
    Human,
    /// For a log.
    Plain,
    /// For a program.
    Json,
    /// For an Azure Pipelines job.
    Azure,
}

/// A reporter on its way to [`spawn`].
pub type Boxed = Box<dyn Reporter + Send>;

/// For a person: colour where `color`, and on a terminal what is under way, redrawn on standard
/// error below the lines that `out` gets.
pub fn human(out: impl Write + Send + 'static, color: bool, screen: Screen) -> Boxed {
    Box::new(human::Human::new(out, color, screen))
}

/// How a row of a list of checks is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Not as it should be.
    Bad,
}

/// `mark    what          text` in colour, and `more` below the text; at most `width` columns.
pub fn check_row(
    (mark, word): (Mark, &str),
    what: &str,
    text: &str,
    more: Option<&str>,
    width: usize,
) -> String {
    const WHAT: usize = 8;
    const TEXT: usize = 24;
    let tone = match mark {
        Mark::Good => Tone::Good,
        Mark::Warn => Tone::Warn,
        Mark::Bad => Tone::Bad,
    };
    let mut said = text.lines();
    let head = Line::new().push(tone, word).pad_to(WHAT).plain(what).pad_to(TEXT);
    let mut lines = vec![head.plain(said.next().unwrap_or_default())];
    lines.extend(said.map(|line| Line::indent(TEXT).plain(line)));
    lines.extend(more.map(|more| Line::indent(TEXT).plain(more)));
    let lines = lines.into_iter().flat_map(|line| line.wrapped(width));
    lines.map(|line| line.render(true) + "\n").collect()
}

/// The lines of `text` on at most `width` columns, what does not fit indented below.
pub fn rows(text: &str, width: usize) -> String {
    text.lines()
        .flat_map(|line| {
            let leading = line.len() - line.trim_start().len();
            Line::new().plain(line).hanging(leading + 2).wrapped(width)
        })
        .map(|line| line.render(false) + "\n")
        .collect()
}

/// A command on lines of at most `width` columns, indented, to be copied to a shell.
pub fn command_lines(command: &str, width: usize) -> String {
    let lines = line::shell_lines(&safe_text::safe(command), 4, width);
    lines.into_iter().map(|line| line + "\n").collect()
}

/// For a log: every event and the output of gates, a line each, nothing redrawn.
pub fn plain(out: impl Write + Send + 'static) -> Boxed {
    Box::new(plain::Plain::new(out))
}

/// For a program: one JSON object a line, as `docs/events.md` describes.
pub fn json(out: impl Write + Send + 'static) -> Boxed {
    Box::new(json::Json::new(out, true))
}

/// For an Azure Pipelines job: plain lines and logging commands. At the end it publishes the
/// run's folder and its summary; the reporter that writes the summary goes in the same
/// [`spawn`], in any order.
pub fn azure(out: impl Write + Send + 'static) -> Boxed {
    Box::new(azure::Azure::new(out))
}

/// The run's [`EVENTS_FILE`]: the records of [`json`] without the output of gates.
///
/// # Errors
/// When the file cannot be created.
pub fn events(path: &Path) -> io::Result<Boxed> {
    Ok(Box::new(json::Json::new(File::create(path)?, false)))
}

/// Writes `junit.xml` when the run is over.
pub fn junit(path: impl Into<PathBuf>) -> Boxed {
    Box::new(written::FileReporter::new(path.into(), junit::render))
}

/// Writes `summary.md` when the run is over.
pub fn markdown(path: impl Into<PathBuf>) -> Boxed {
    Box::new(written::FileReporter::new(path.into(), markdown::render))
}

/// Writes `report.html` when the run is over. The head of the audit chain is read from the
/// run's folder, so the log should be closed before the run's last event is sent.
pub fn html(path: impl Into<PathBuf>) -> Boxed {
    Box::new(written::FileReporter::new(path.into(), html::render))
}

/// Appends to `metrics/deployments.json` when a run of an environment is over.
pub fn metrics(path: impl Into<PathBuf>) -> Boxed {
    Box::new(metrics::Metrics::new(path.into()))
}

/// The run as a trace and its outcome as metrics, sent to an OpenTelemetry receiver. `headers`
/// go with every request.
pub fn otlp(plan: &TelemetryPlan, headers: impl IntoIterator<Item = (String, String)>) -> Boxed {
    Box::new(otlp::Otlp::new(plan.clone(), headers.into_iter().collect()))
}

/// The program's own log, a line an event.
pub fn program_log() -> Boxed {
    Box::new(program_log::ProgramLog)
}

/// In which form a finished run is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [`SUMMARY_FILE`]
    Markdown,
    /// [`HTML_FILE`]
    Html,
    /// The events as they are.
    Json,
}

/// The report of a run from its recorded events.
///
/// # Errors
/// When it cannot be put together; the events themselves are never at fault.
pub fn render(format: Format, events: &[Stamped]) -> io::Result<Vec<u8>> {
    match format {
        Format::Markdown => markdown::render(&run_history::RunHistory::of(events)),
        Format::Html => html::render(&run_history::RunHistory::of(events)),
        Format::Json => {
            let mut bytes = Vec::new();
            let mut json = json::Json::new(&mut bytes, true);
            for stamped in events {
                json.event(stamped.at, &stamped.event)?;
            }
            Ok(bytes)
        }
    }
}
