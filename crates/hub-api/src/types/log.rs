//! Output of attempts and gates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::TaskId;

/// A worker sends the next piece of an attempt's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogAppend {
    /// The place of its first byte in the whole output. A piece that the hub has already is not
    /// added again; one that begins later leaves a gap.
    #[schema(minimum = 0)]
    pub offset: u64,
    /// At most 256 KiB, redacted by who sends it; escape sequences for colours are kept.
    pub text: String,
}

/// How long a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogSize {
    /// Bytes, also those that are not kept.
    pub size: u64,
}

/// The output of one attempt, or of one gate of its merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskLog {
    /// The task.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The attempt.
    pub epoch: i64,
    /// `attempt`; `gate 1`, `gate 2` … for the gates that the hub ran on its merge
    pub source: String,
    /// Bytes, also those that are not kept.
    pub size: u64,
    /// Whether nothing is added to it any more.
    pub ended: bool,
    /// When its first piece came in.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When its last piece came in.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPart {
    /// The attempt.
    pub epoch: i64,
    /// See [`TaskLog::source`].
    pub source: String,
    /// The place of the text's first byte: later than was asked for where a part is not kept.
    pub offset: u64,
    /// Empty when there is nothing more yet.
    pub text: String,
    /// Ask for this place next.
    pub next: u64,
    /// See [`TaskLog::size`].
    pub size: u64,
    /// Whether nothing is added to it any more.
    pub ended: bool,
}

/// A line in which a text was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogMatch {
    /// The task.
    #[schema(value_type = i64)]
    pub task: TaskId,
    /// The attempt.
    pub epoch: i64,
    /// See [`TaskLog::source`].
    pub source: String,
    /// The place of the line's first byte in the log.
    pub offset: u64,
    /// The line, without escape sequences, cut when it is long.
    pub line: String,
}

/// What a search in logs found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogMatches {
    /// Logs of later attempts first, each from its beginning.
    pub items: Vec<LogMatch>,
    /// Whether all logs were looked through: a search ends after 200 lines or 256 MiB.
    pub complete: bool,
}
