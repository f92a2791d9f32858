#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! From raw build output to bounded, redacted evidence.
//!
//! Lives here: splitting bytes into lines, finding the blocks that state a cause, choosing which
//! of their lines to keep, naming places and failing tests, telling the class of the failure,
//! fingerprints, redaction, and reading the code around a named place.
//!
//! Must not be here: processes, the network, git. Only [`read_code`] touches the file system,
//! and it never leaves the root it is given.
//!
//! Invariants:
//! - Memory is bounded whatever the log's size, the length of its lines or the number of its
//!   errors.
//! - Nothing that leaves an [`Extraction`] has escaped the [`Redactor`].
//! - Knowledge of languages and tools is data, in [`patterns`]; the code that reads the tables
//!   knows none.

mod block;
mod block_store;
mod classify;
mod clean;
mod code;
mod encoding;
mod explain;
mod expression;
mod extractor;
mod guarded;
mod limits;
mod lines;
mod literals;
mod location;
mod noise;
mod normalise;
mod opening;
mod patterns;
mod redact;
mod repeats;
mod rule;
mod rule_set;
mod select;
mod test_name;
mod test_run;
mod warning;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod labelled_tests;

pub use clean::plain_text;
pub use code::{CodeLimits, read_code};
pub use explain::explain_json;
pub use extractor::{Extraction, Extractor, extract};
pub use limits::ExtractLimits;
pub use normalise::{fingerprint, normalise};
pub use redact::{
    LineRedactor, MARKER, Redactor, SecretValue, credentials, last_check, sensitive_parts, tokens,
};
pub use repeats::condense_repeats;
pub use rule_set::is_diagnostic;
pub use test_run::{
    Comparison, Knowledge, Outcome, ReportError, Source, TestReader, TestResult, TestRun,
    TestStatus, read_report, speaks_like_a_runner,
};
