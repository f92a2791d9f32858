//! The program's own log: `logs/orchestrator_<date>.log`, in the configured line format.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use greenloop_config::plan::{LogPiece, LoggingPlan};

/// The lines that the configuration asks for.
struct ConfiguredLine(Vec<LogPiece>);

impl<S, N> FormatEvent<S, N> for ConfiguredLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                LogPiece::Text(text) => writer.write_str(text)?,
                LogPiece::Time => {
                    let now = jiff::Zoned::now();
                    write!(writer, "{}", now.strftime("%Y-%m-%d %H:%M:%S,%3f"))?;
                }
                LogPiece::Name => {
                    writer.write_str(&event.metadata().target().replace("::", "."))?;
                }
                LogPiece::Level => writer.write_str(event.metadata().level().as_str())?,
                LogPiece::Message => {
                    context.field_format().format_fields(writer.by_ref(), event)?;
                }
            }
        }
        writeln!(writer)
    }
}

/// What is logged when there is no configuration.
pub(super) fn default_plan() -> LoggingPlan {
    LoggingPlan {
        level: "info".to_owned(),
        file: "logs/orchestrator_{date}.log".to_owned(),
        format: vec![
            LogPiece::Time,
            LogPiece::Text(" - ".to_owned()),
            LogPiece::Name,
            LogPiece::Text(" - ".to_owned()),
            LogPiece::Level,
            LogPiece::Text(" - ".to_owned()),
            LogPiece::Message,
        ],
    }
}

/// Starts logging to stderr, for programs that other programs watch over.
pub(super) fn to_stderr(debug: bool) {
    let level = if debug { "debug" } else { "info" };
    let filter = EnvFilter::new(format!("off,greenloop={level}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| SafeStderr)
        .finish();
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}

/// Shows warnings on stderr, for commands of a person that keep no log.
pub(super) fn warnings_to_stderr() {
    let line = vec![LogPiece::Text("warning: ".to_owned()), LogPiece::Message];
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("off,greenloop=warn"))
        .with_ansi(false)
        .with_writer(|| SafeStderr)
        .event_format(ConfiguredLine(line))
        .finish();
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}

/// Standard error, which a build agent and a terminal read: neither finds a command in it. Each
/// write is a whole record.
struct SafeStderr;

impl Write for SafeStderr {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let safe = greenloop_report::safe_text::safe(&String::from_utf8_lossy(record));
        io::stderr().write_all(safe.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What is kept of a log that has no file yet.
const MOST_WAITING: usize = 1 << 20;

/// The log's file. There is none before the run is accepted: a run that is refused leaves
/// nothing behind.
enum LogFile {
    Waiting {
        path: PathBuf,
        lines: Vec<u8>,
    },
    Open(File),
    /// It cannot be written. No reason not to deploy.
    Closed,
}

static LOG: OnceLock<Arc<Mutex<LogFile>>> = OnceLock::new();

struct LogWriter(Arc<Mutex<LogFile>>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            LogFile::Waiting { lines, .. } => {
                if lines.len() < MOST_WAITING {
                    lines.extend_from_slice(bytes);
                }
                Ok(bytes.len())
            }
            LogFile::Open(file) => file.write(bytes),
            LogFile::Closed => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log's file in a work tree.
pub(super) fn path(plan: &LoggingPlan, root: &Path) -> PathBuf {
    let date = jiff::Zoned::now().strftime("%Y%m%d").to_string();
    root.join(plan.file.replace("{date}", &date))
}

/// Starts logging, in memory until [`accepted`].
pub(super) fn start(plan: &LoggingPlan, root: &Path, debug: bool) {
    let waiting = LogFile::Waiting { path: path(plan, root), lines: Vec::new() };
    let log = Arc::new(Mutex::new(waiting));
    let level = if debug { "debug" } else { &plan.level };
    // Only our own: a library may log what a server answered, before anything was redacted.
    let filter = EnvFilter::new(format!("off,greenloop={level}"));
    let written = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // The run itself reports a full disk, once.
        .log_internal_errors(false)
        .with_writer(move || LogWriter(Arc::clone(&written)))
        .event_format(ConfiguredLine(plan.format.clone()))
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        // The first alone can be set, as with the subscriber.
        let _already_set = LOG.set(log);
    }
}

/// Makes the log's file, with what was logged so far.
pub(super) fn accepted() {
    let Some(log) = LOG.get() else { return };
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let LogFile::Waiting { path, lines } = &*log else { return };
    if let Some(parent) = path.parent() {
        let _reported_by_open = std::fs::create_dir_all(parent);
    }
    let opened = OpenOptions::new().create(true).append(true).open(path);
    *log = match opened.and_then(|mut file| file.write_all(lines).map(|()| file)) {
        Ok(file) => LogFile::Open(file),
        Err(_) => LogFile::Closed,
    };
}
