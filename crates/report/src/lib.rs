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
mod bell;
mod diff;
mod diff_lines;
mod file;
#[cfg(test)]
mod fixtures;
mod format;
mod github;
mod gitlab;
mod html;
mod human;
mod issue;
mod json;
mod junit;
mod line;
mod link;
mod live;
mod markdown;
mod metrics;
mod narrate;
mod otlp;
mod outcome;
mod overall;
mod plain;
mod program_log;
mod pull_request;
pub mod pull_requests;
mod reporter;
mod review_comment;
mod rows;
mod run_history;
pub mod safe_text;
mod summary;
mod syntax;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;
mod watch_event;
mod wording;
mod written;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use greenloop_config::plan::TelemetryPlan;
use greenloop_model::{RunSummary, Usage};

pub use bell::DesktopNotification;
pub use github::GithubFiles;
pub use gitlab::CODE_QUALITY_FILE;
pub use human::{Screen, columns};
pub use json::{EVENTS_FILE, EventsError, EventsErrorKind, read_events};
pub use line::{Paint, unbroken, unwrapped};
pub use link::relative;
pub use live::LiveView;
pub use pull_request::{Links, PullRequestText, pull_request};
pub use reporter::{Reporter, Stamped, feed_pending, replay, spawn};
pub use review_comment::{
    Annotation, CheckConclusion, CheckReport, ReviewComment, Suggestion, TakeOver, check_report,
};
pub use rows::rows;
pub use watch_event::{WatchEvent, write_watch_event};

use line::{Line, Tone, keep_quoted};

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
    /// For a GitHub Actions job.
    Github,
    /// For a GitLab CI job.
    Gitlab,
}

/// A reporter on its way to [`spawn`].
pub type Boxed = Box<dyn Reporter + Send>;

/// For a person: colour and links as `paint` says, and on a terminal what is under way, redrawn on standard
/// error below the lines that `out` gets.
pub fn human(out: impl Write + Send + 'static, paint: impl Into<Paint>, screen: Screen) -> Boxed {
    Box::new(human::Human::new(out, paint.into(), screen))
}

/// The same, with all that is known of each failure where `whole`; and what is under way, to be
/// shown on demand: `None` where nothing is redrawn.
pub fn human_with_view(
    out: impl Write + Send + 'static,
    paint: Paint,
    screen: Screen,
    whole: bool,
) -> (Boxed, Option<LiveView>) {
    let human = human::Human::new(out, paint, screen).whole(whole);
    let view = human.view();
    (Box::new(human), view)
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

/// `mark    what          text`, and `more` below the text; at most `width` columns.
pub fn check_row(
    (mark, word): (Mark, &str),
    what: &str,
    text: &str,
    more: Option<&str>,
    width: usize,
    paint: Paint,
) -> String {
    const WHAT: usize = 8;
    const TEXT: usize = 24;
    /// Columns of text beside what it is about, at the least.
    const LEAST: usize = 24;
    let tone = match mark {
        Mark::Good => Tone::Good,
        Mark::Warn => Tone::Warn,
        Mark::Bad => Tone::Bad,
    };
    let mut said = text.lines();
    let head = Line::new().push(tone, word).pad_to(WHAT).plain(what);
    // Below what it is about where there is no room beside it.
    let (mut lines, indent) = if width >= TEXT + LEAST {
        let text = said.next().unwrap_or_default();
        (vec![head.pad_to(TEXT).plain(keep_quoted(text))], TEXT)
    } else {
        (vec![head], WHAT)
    };
    let below = |text: &str| Line::indent(indent).plain(keep_quoted(text));
    lines.extend(said.map(below));
    lines.extend(more.map(below));
    let lines = lines.into_iter().flat_map(|line| line.wrapped(width));
    let paths = if paint.links { link::Paths::from_here() } else { link::Paths::default() };
    lines.map(|line| line.painted_with_files(paint, &paths) + "\n").collect()
}

/// What opens the file `path` in a terminal that takes links, around `text`.
pub fn file_link(path: &Path, text: &str) -> String {
    match link::Paths::from_here().link(path) {
        Some(to) => format!("{}{text}{}", link::open(&to), link::close()),
        None => text.to_owned(),
    }
}

/// A diff as runs show it, whole, on at most `width` columns; a text that is none is empty.
pub fn diff(diff: &str, width: usize, paint: Paint) -> String {
    let lines = diff_lines::diff_lines(diff, 0, usize::MAX, diff_lines::Context::Shown, width);
    lines.iter().map(|line| line.painted(paint) + "\n").collect()
}

/// Rings a terminal's bell, and has it show a notification, at the end of a run that took `after`
/// or longer.
pub fn bell(out: impl Write + Send + 'static, after: Duration, form: DesktopNotification) -> Boxed {
    Box::new(bell::Bell::new(out, after, form))
}

/// For a person who watches a command: why it fails, and what the agents say of it.
pub fn watch(out: impl Write + Send + 'static, paint: Paint, screen: Screen) -> Boxed {
    Box::new(watch::Watch::new(out, paint, screen))
}

/// How a run of a watched command ended, with what was `spent` since the watch began.
pub fn watch_end(summary: &RunSummary, spent: &Usage, paint: Paint, width: usize) -> String {
    let lines = watch::end(summary, spent).wrapped(width);
    lines.iter().map(|line| line.painted(paint) + "\n").collect()
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

/// For a GitHub Actions job: plain lines, groups, annotations; at the end the step's summary and
/// outputs. The reporter that writes the summary goes in the same [`spawn`], in any order.
pub fn github(out: impl Write + Send + 'static, files: GithubFiles) -> Boxed {
    Box::new(github::Github::new(out, files))
}

/// For a GitLab CI job: plain lines in sections, and [`CODE_QUALITY_FILE`] in the run's folder.
pub fn gitlab(out: impl Write + Send + 'static) -> Boxed {
    Box::new(gitlab::Gitlab::new(out))
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
