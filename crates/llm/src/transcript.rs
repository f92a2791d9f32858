//! Recorded answers: a file with one JSON object a line.
//!
//! ```json
//! {"role":"author","match":"E0425","answer":"…","usage":{"input_tokens":900,"output_tokens":80}}
//! {"role":"author","answer":"","tool_calls":[{"name":"read_file","arguments":"{…}"}]}
//! {"role":"reviewer","answer":"{\"verdict\":\"approve\",…}"}
//! ```
//!
//! `role` is `author` or `reviewer`; `match`, where it is given, must occur in the last message
//! of the request; `arguments` is a JSON object or the text of one. Blank lines and lines that
//! begin with `#` are passed over.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One recorded answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) role: Role,
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub(super) when: Option<String>,
    pub(super) answer: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<RecordedCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<RecordedUsage>,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Author,
    Reviewer,
}

impl Role {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "author" => Some(Self::Author),
            "reviewer" => Some(Self::Reviewer),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Reviewer => "reviewer",
        }
    }
}

/// A call within an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedCall {
    pub(super) name: String,
    /// An object, or its text.
    pub(super) arguments: Value,
}

/// What the answer used when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedUsage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// A line that is no record.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not a recorded answer")]
pub(super) struct BadLine {
    /// 1-based.
    pub(super) line: usize,
    #[source]
    pub(super) source: serde_json::Error,
}

/// All records of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Recorded>, BadLine> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| serde_json::from_str(text).map_err(|source| BadLine { line, source }))
        .collect()
}
