//! What is known of a failure: bounded, redacted, typed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It was stopped after this time.
    #[serde(rename = "timed_out_ms", with = "crate::millis")]
    TimedOut(Duration),
    /// It could not be started.
    NotStarted(String),
}

impl Exit {
    /// `SIGSEGV` for 11, and so on, for the signals that end programs on Linux.
    pub fn signal_name(signal: i32) -> Option<&'static str> {
        Some(match signal {
            1 => "SIGHUP",
            2 => "SIGINT",
            3 => "SIGQUIT",
            4 => "SIGILL",
            5 => "SIGTRAP",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            9 => "SIGKILL",
            10 => "SIGUSR1",
            11 => "SIGSEGV",
            12 => "SIGUSR2",
            13 => "SIGPIPE",
            14 => "SIGALRM",
            15 => "SIGTERM",
            24 => "SIGXCPU",
            25 => "SIGXFSZ",
            31 => "SIGSYS",
            _ => return None,
        })
    }
}

impl fmt::Display for Exit {
    /// `exit status 3`, `killed by SIGSEGV (signal 11)`, `timed out after 30s`.
    /// A status of 128 + n, by which a shell reports a signal, names the signal too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => {
                write!(f, "exit status {code}")?;
                match code.checked_sub(128).and_then(Self::signal_name) {
                    Some(name) if *code > 128 => write!(f, " ({name} in the shell's child)"),
                    _ => Ok(()),
                }
            }
            Self::Signal(signal) => match Self::signal_name(*signal) {
                Some(name) => write!(f, "killed by {name} (signal {signal})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::TimedOut(after) => write!(f, "timed out after {}s", after.as_secs_f64()),
            Self::NotStarted(reason) => write!(f, "could not be started: {reason}"),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// As the log wrote it.
    pub file: String,
    /// 1-based.
    pub line: u64,
    /// 1-based, when the log gives one.
    pub column: Option<u64>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}

/// A run of log lines that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// First line, 1-based.
    pub start: u64,
    /// Last line, inclusive; at least `start`.
    pub end: u64,
    /// Which rule of the pattern table found it, such as `rustc` or `pytest`.
    pub kind: String,
    /// The text, cleaned of ANSI and progress noise and redacted; one line a log line.
    pub text: String,
    /// Places named in it, in order of appearance, without repeats.
    pub locations: Vec<Location>,
}

impl Excerpt {
    /// The kind of an excerpt that is no log: what a release changes, as a unified diff.
    pub const DIFF: &'static str = "diff";
}

/// Source code around a location, read from a file inside the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeContext {
    /// Relative to the repository's root.
    pub path: String,
    /// 1-based number of the first line of `text`.
    pub first_line: u64,
    /// The lines, redacted.
    pub text: String,
    /// The location this was read for.
    pub about: Location,
}

/// A request that failed and what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpExchange {
    /// `GET http://127.0.0.1:8080/health`
    pub request: String,
    /// The status, when there was a response.
    pub status: Option<u16>,
    /// The beginning of the response's headers and body, bounded and redacted.
    pub response: String,
    /// What was expected, and what was wrong.
    pub complaint: String,
    /// Time until the complaint.
    #[serde(rename = "elapsed_ms", with = "crate::millis")]
    pub elapsed: Duration,
}

/// What a person can do about a failure whose cause is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// In words.
    pub what: String,
    /// To be typed as it stands.
    pub command: Option<String>,
    /// No patch of the repository helps: the author is not asked.
    pub person_only: bool,
}

impl Remedy {
    /// For a service without the configured health endpoint, which answers at `near`.
    pub fn health_path(near: &str) -> Self {
        Self {
            what: format!(
                "correct the path of the health check (`health_endpoint` of the environment, or \
                 `verification.health_check.endpoint`; did you mean {near}?), or make the service \
                 answer there"
            ),
            command: None,
            person_only: false,
        }
    }
}

/// What is known of a failure. Everything in it has been redacted and is bounded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The command or check that failed, as a person would write it.
    pub command: Option<String>,
    /// How it ended, when it is a command.
    pub exit: Option<Exit>,
    /// The lines that matter, in the order of the log.
    pub excerpts: Vec<Excerpt>,
    /// Number of lines the log had.
    pub log_lines: u64,
    /// Where the whole log is, relative to the run's folder.
    pub log: Option<String>,
    /// Names of the tests that failed.
    pub failing_tests: BTreeSet<String>,
    /// Code around the named places.
    pub code: Vec<CodeContext>,
    /// Requests that failed.
    pub http: Vec<HttpExchange>,
    /// The service's own log since the switch, bounded.
    pub service_log: Option<String>,
    /// Plain statements, such as `the new release never became healthy`.
    pub notes: Vec<String>,
    /// What helps, where the cause is known well enough to say; not in the records of older
    /// programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// The command cannot pass on the same tree: a compiler or a linter has named a place in the
    /// source, and no test failed. Known while a run lasts; not part of its records.
    #[serde(skip)]
    pub deterministic: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_name_their_signal() {
        for (exit, expect) in [
            (Exit::Code(3), "exit status 3"),
            (Exit::Code(137), "exit status 137 (SIGKILL in the shell's child)"),
            (Exit::Signal(11), "killed by SIGSEGV (signal 11)"),
            (Exit::Signal(63), "killed by signal 63"),
            (Exit::TimedOut(Duration::from_secs(30)), "timed out after 30s"),
        ] {
            assert_eq!(exit.to_string(), expect);
        }
    }
}
