//! The program's own log: `logs/orchestrator_<date>.log`, in the configured line format.

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::plan::{LogPiece, LoggingPlan};

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
        .with_writer(std::io::stderr)
        .finish();
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}

/// Starts logging. A log that cannot be written is no reason not to deploy.
pub(super) fn start(plan: &LoggingPlan, root: &Path, debug: bool) {
    let date = jiff::Zoned::now().strftime("%Y%m%d").to_string();
    let path = root.join(plan.file.replace("{date}", &date));
    if let Some(parent) = path.parent() {
        let _reported_by_open = std::fs::create_dir_all(parent);
    }
    let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) else { return };
    let level = if debug { "debug" } else { &plan.level };
    // Only our own: a library may log what a server answered, before anything was redacted.
    let filter = EnvFilter::new(format!("off,greenloop={level}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // A full disk is told of by the run itself, once.
        .log_internal_errors(false)
        .with_writer(Mutex::new(file))
        .event_format(ConfiguredLine(plan.format.clone()))
        .finish();
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}
