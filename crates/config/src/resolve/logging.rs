//! `logging` and `metrics`

use std::path::PathBuf;

use super::{Context, Root};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::{choice, list, nearest};
use crate::plan::{LogPiece, LoggingPlan};
use crate::raw::{RawLogging, RawMetrics};

const FORMAT: &str = "%(asctime)s - %(name)s - %(levelname)s - %(message)s";
const FILE: &str = "logs/orchestrator_{date}.log";
const METRICS: &str = "metrics/deployments.json";

/// What the file may say, and what it means here; the names are Python's.
const LEVELS: &[(&str, &str)] = &[
    ("TRACE", "trace"),
    ("DEBUG", "debug"),
    ("INFO", "info"),
    ("WARNING", "warn"),
    ("WARN", "warn"),
    ("ERROR", "error"),
    ("CRITICAL", "error"),
];

pub(super) fn resolve(cx: &mut Context<'_>, raw: Option<&RawLogging>) -> LoggingPlan {
    let place = KeyPath::root().key("logging");
    let raw = raw.cloned().unwrap_or_default();
    let level = raw.level.as_deref().unwrap_or("INFO").trim().to_ascii_uppercase();
    let level = match LEVELS.iter().find(|(name, _)| *name == level) {
        Some((_, level)) => (*level).to_owned(),
        None => {
            let names = || LEVELS.iter().map(|(name, _)| *name);
            let help = match nearest(&level, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it must be {}", choice(names())),
            };
            cx.report(
                ProblemKind::InvalidValue,
                &place.key("level"),
                format!("{} is not a log level", quoted(&level)),
                &help,
            );
            String::new()
        }
    };
    let at = place.key("file");
    let file = raw.file.as_deref().unwrap_or(FILE);
    if let Some(unknown) = unknown_field(file) {
        cx.report(
            ProblemKind::InvalidTemplate,
            &at,
            format!("unknown placeholder {}", quoted(&unknown)),
            "only `{date}` is replaced (YYYYMMDD)",
        );
    }
    let file = cx.path(file, &at, Root::Refused);
    let format = pieces(cx, raw.format.as_deref().unwrap_or(FORMAT), &place.key("format"));
    LoggingPlan {
        level,
        file: file.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        format,
    }
}

/// A `{…}` that is not `{date}`.
fn unknown_field(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let end = rest[start..].find('}').map(|end| start + end + 1)?;
        if &rest[start..end] != "{date}" {
            return Some(rest[start..end].to_owned());
        }
        rest = &rest[end..];
    }
    None
}

/// The pieces of a `%(name)s` format.
fn pieces(cx: &mut Context<'_>, format: &str, place: &KeyPath) -> Vec<LogPiece> {
    const FIELDS: &[(&str, LogPiece)] = &[
        ("asctime", LogPiece::Time),
        ("name", LogPiece::Name),
        ("levelname", LogPiece::Level),
        ("message", LogPiece::Message),
    ];
    let names = || FIELDS.iter().map(|(name, _)| *name);
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let field = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let known = field.and_then(|(name, after)| {
            let piece = FIELDS.iter().find(|(known, _)| *known == name)?;
            Some((piece.1.clone(), after.strip_prefix('s')?))
        });
        match (known, field) {
            (Some((piece, after)), _) => {
                if !text.is_empty() {
                    pieces.push(LogPiece::Text(std::mem::take(&mut text)));
                }
                pieces.push(piece);
                rest = after;
            }
            (None, Some((name, _))) => {
                let (message, help) = if names().any(|known| known == name) {
                    (
                        format!("`%({name})` must be followed by `s`"),
                        "widths and number formats are not supported".to_owned(),
                    )
                } else {
                    let help = match nearest(name, names()) {
                        Some(near) => format!("did you mean `%({near})s`?"),
                        None => format!("the fields are {}", list(names())),
                    };
                    (format!("unknown log field {}", quoted(name)), help)
                };
                cx.report(ProblemKind::InvalidTemplate, place, message, &help);
                return pieces;
            }
            (None, None) => {
                cx.report(
                    ProblemKind::InvalidTemplate,
                    place,
                    "a `%` in the format does not begin a field".to_owned(),
                    "use `%%` for a percent sign, `%(message)s` for the message",
                );
                return pieces;
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(LogPiece::Text(text));
    }
    if !pieces.contains(&LogPiece::Message) {
        cx.report(
            ProblemKind::InvalidTemplate,
            place,
            "the format has no `%(message)s`, so log lines would have no message".to_owned(),
            "add `%(message)s`",
        );
    }
    pieces
}

pub(super) fn metrics(cx: &mut Context<'_>, raw: Option<&RawMetrics>) -> Option<PathBuf> {
    let at = KeyPath::root().key("metrics").key("path");
    let given = raw.and_then(|raw| raw.path.as_deref());
    let path = cx.path(given.unwrap_or(METRICS), &at, Root::Refused)?;
    raw.and_then(|raw| raw.enabled).unwrap_or(true).then_some(path)
}
