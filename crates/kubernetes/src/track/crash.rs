//! One termination of a container, and what several of them in a row amount to.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::cause::{self, Cause};
use super::rule::contains;
use greenloop_evidence::{ExtractLimits, Extraction, Extractor, Redactor};

/// Bytes kept of a crash's log, from its end.
pub(super) const LOG_KEPT: usize = 16 * 1024;
/// Bytes of its end that are redacted for that: a private key that began before is seen.
const END: usize = Redactor::margin(LOG_KEPT);

/// One termination of one container.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    /// `containerd://…`: no two terminations share it.
    pub(super) id: String,
    pub(super) pod_uid: String,
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) container: String,
    pub(super) exit_code: i32,
    pub(super) signal: Option<i32>,
    /// `Error`, `Completed`, `OOMKilled`, `StartError`, …
    pub(super) reason: String,
    /// The container's termination message, or the runtime's.
    pub(super) message: String,
    /// When this run of the container began, by the tracker's clock and rather too early than
    /// too late; zero for one from before the tracking.
    pub(super) began: Duration,
    /// How long that run lasted, in whole seconds.
    pub(super) lasted: Duration,
    pub(super) log: CrashLog,
}

/// What is known of what a container wrote before it died.
#[derive(Debug, Clone)]
pub(super) enum CrashLog {
    /// Nobody has asked yet. Becomes [`CrashLog::Read`] or [`CrashLog::Unavailable`].
    Unread,
    /// It could not be had.
    Unavailable,
    /// This.
    Read(Box<ReadCrashLog>),
}

/// A crash's log, read.
#[derive(Debug, Clone)]
pub(super) struct ReadCrashLog {
    /// Its end, redacted.
    pub(super) text: String,
    /// What matters in it.
    pub(super) extraction: Extraction,
    /// Whether it was read as the log of the current container, which may have been the next
    /// one by then.
    pub(super) current: bool,
}

impl ReadCrashLog {
    /// Reads a log.
    #[cfg(test)]
    pub(super) fn read(log: &str, current: bool, redactor: &Redactor) -> Self {
        let mut reading = Reading::new();
        reading.push(log.as_bytes());
        reading.finish(current, redactor)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// A log that is being read: what matters in all of it, and its end.
pub(super) struct Reading {
    extractor: Extractor,
    /// Up to twice [`END`].
    end: Vec<u8>,
}

impl Reading {
    pub(super) fn new() -> Self {
        Self { extractor: Extractor::new(ExtractLimits::default()), end: Vec::new() }
    }

    /// The next bytes of the log, cut anywhere.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.extractor.push(bytes);
        let bytes = bytes.get(bytes.len().saturating_sub(END)..).unwrap_or_default();
        if self.end.len() + bytes.len() > 2 * END {
            let keep = END.saturating_sub(bytes.len());
            self.end.drain(..self.end.len().saturating_sub(keep));
        }
        self.end.extend_from_slice(bytes);
    }

    /// What comes next is the log's end; what lies between was not read.
    pub(super) fn skip(&mut self) {
        self.end.clear();
        self.extractor.push(b"\n");
    }

    pub(super) fn finish(self, current: bool, redactor: &Redactor) -> ReadCrashLog {
        let text = redactor.tail(&self.end, LOG_KEPT);
        ReadCrashLog { text, extraction: self.extractor.finish(redactor), current }
    }
}

/// The last `most` bytes, from the beginning of a line where there is one.
pub(super) fn end_of(text: &str, most: usize) -> &str {
    let Some(mut from) = text.len().checked_sub(most).filter(|from| *from > 0) else { return text };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = &text[from..];
    end.split_once('\n').map_or(end, |(_, lines)| lines)
}

/// The sign that crashes amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount {
    /// `OutOfMemory`, `CannotRun`, `SameCause`, `SameWords`, `Waits` or `Unclear`: reasons of the
    /// rule table.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) count: u32,
}

/// Words of a program that cannot be executed at all.
const CANNOT_RUN: &[&str] = &[
    "exec format error",
    "cannot execute binary file",
    "bad interpreter",
    "error while loading shared libraries",
    ": applet not found",
];

/// What these crashes of one container, oldest first, amount to; `None` for none, or while the
/// log that decides has not been read.
pub(super) fn amount(crashes: &[&Crash]) -> Option<Amount> {
    let last = crashes.last()?;
    let count = u32::try_from(crashes.len()).unwrap_or(u32::MAX);
    let killed = crashes.iter().filter(|crash| crash.reason == "OOMKilled").count();
    if killed > 0 && last.reason == "OOMKilled" {
        return Some(Amount {
            reason: "OutOfMemory",
            message: last.how(),
            count: u32::try_from(killed).unwrap_or(u32::MAX),
        });
    }
    if let CrashLog::Unread = last.log {
        return None;
    }
    if let Some(line) = last.cannot_run() {
        return Some(Amount { reason: "CannotRun", message: line, count });
    }
    let told = last.describe();
    let with_words = match told.is_empty() {
        true => format!("{}, without a message", last.how()),
        false => format!("{}; {told}", last.how()),
    };
    let cause = last.cause();
    if let Cause::Waits(_) = cause {
        return Some(Amount { reason: "Waits", message: with_words, count });
    }
    let same = matches!(crashes, [.., before, last] if says_the_same(before, last));
    let (reason, message) = match (same, cause) {
        (true, Cause::Lasts(_)) => ("SameCause", told),
        (true, _) => ("SameWords", told),
        (false, _) => ("Unclear", with_words),
    };
    Some(Amount { reason, message, count })
}

/// Whether both end the same way with the same words.
fn says_the_same(before: &Crash, last: &Crash) -> bool {
    let by_force = |crash: &Crash| matches!(crash.exit_code, 137 | 143) || crash.signal.is_some();
    if before.exit_code != last.exit_code || by_force(before) || by_force(last) {
        return false;
    }
    match (&before.log, &last.log) {
        (CrashLog::Read(a), CrashLog::Read(b)) => {
            !a.is_empty()
                && !b.is_empty()
                && a.extraction.fingerprint == b.extraction.fingerprint
                && counters(a) == counters(b)
        }
        // `FallbackToLogsOnError` leaves the end of the log where the log itself is gone.
        (CrashLog::Unavailable, CrashLog::Unavailable) => {
            !last.message.trim().is_empty() && before.message == last.message
        }
        (CrashLog::Unread | CrashLog::Unavailable | CrashLog::Read(_), _) => false,
    }
}

/// Lines from the end of a log that say what a program died of, beside those that matter.
const LAST_LINES: usize = 12;

/// What matters in a log and how it ends, in the log's order.
fn telling_lines(said: &ReadCrashLog) -> Vec<&str> {
    let excerpts = said.extraction.excerpts.iter().flat_map(|excerpt| excerpt.text.lines());
    let mut lines: Vec<&str> = excerpts.collect();
    let mut last: Vec<&str> =
        said.text.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST_LINES).collect();
    last.reverse();
    lines.extend(last);
    lines
}

/// Whether the last of these runs of one container came further than all before it: it lasted
/// half as long again, or wrote a quarter more.
pub(super) fn gets_further(crashes: &[&Crash]) -> bool {
    let Some((last, before)) = crashes.split_last().filter(|(_, before)| !before.is_empty()) else {
        return false;
    };
    let longest = before.iter().map(|crash| crash.lasted).max().unwrap_or_default();
    let lines = |crash: &Crash| match &crash.log {
        CrashLog::Read(said) => said.extraction.lines,
        CrashLog::Unread | CrashLog::Unavailable => 0,
    };
    let most = before.iter().map(|crash| lines(crash)).max().unwrap_or_default();
    last.lasted > longest * 3 / 2 + Duration::from_secs(2) || lines(last) > most + most / 4 + 1
}

/// Small whole numbers in the lines that matter: a program that counts its starts says something
/// else each time, though the fingerprint, which takes numbers away, cannot tell.
fn counters(said: &ReadCrashLog) -> Vec<u32> {
    static NUMBER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:^|[\s#=(\[])(\d{1,3})(?:$|[\s,.;)\]])").ok());
    let Some(number) = NUMBER.as_ref() else { return Vec::new() };
    let lines = said.extraction.excerpts.iter().flat_map(|excerpt| excerpt.text.lines());
    lines
        .flat_map(|line| number.captures_iter(line))
        .filter_map(|found| found.get(1)?.as_str().parse().ok())
        .collect()
}

/// The log's headline, with the line that follows where it announces one.
fn headline(said: &ReadCrashLog) -> String {
    let headline = said.extraction.headline.as_str();
    let mut lines = said.extraction.excerpts.iter().flat_map(|excerpt| excerpt.text.lines());
    let announces = headline.ends_with(':') && lines.any(|line| line.trim() == headline);
    match lines.next().filter(|_| announces) {
        Some(next) => format!("{headline} {}", next.trim()),
        None => headline.to_owned(),
    }
}

impl Crash {
    /// Whether the runtime could not even start it.
    pub(super) fn is_start_error(&self) -> bool {
        matches!(self.reason.as_str(), "StartError" | "ContainerCannotRun")
    }

    /// `exit status 1`, `killed by SIGSEGV (signal 11)`, `OOMKilled`.
    pub(super) fn how(&self) -> String {
        match (self.reason.as_str(), self.signal, self.exit_code) {
            ("OOMKilled", _, _) => "killed for exceeding its memory limit".to_owned(),
            (_, Some(signal), _) => greenloop_model::Exit::Signal(signal).to_string(),
            (_, None, code) if code > 128 => greenloop_model::Exit::Signal(code - 128).to_string(),
            (_, None, code) => greenloop_model::Exit::Code(code).to_string(),
        }
    }

    /// The one line that says most.
    pub(super) fn describe(&self) -> String {
        match &self.log {
            CrashLog::Read(said) if !said.is_empty() => headline(said),
            CrashLog::Unread | CrashLog::Unavailable | CrashLog::Read(_) => self
                .message
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// What its words say about waiting.
    pub(super) fn cause(&self) -> Cause {
        match &self.log {
            CrashLog::Read(said) if !said.is_empty() => {
                cause::cause(telling_lines(said).into_iter())
            }
            CrashLog::Unread | CrashLog::Unavailable | CrashLog::Read(_) => {
                cause::cause(self.message.lines())
            }
        }
    }

    /// Whether its words name a file in one of these folders.
    pub(super) fn names(&self, folders: &[&str]) -> bool {
        if folders.is_empty() {
            return false;
        }
        let line_names = |line: &str| {
            folders.iter().any(|folder| {
                line.match_indices(folder).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + folder.len()..].chars().next();
                    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                    !before.is_some_and(|c| is_of_name(c) || c == '/')
                        && !after.is_some_and(is_of_name)
                })
            })
        };
        match &self.log {
            CrashLog::Read(said) if !said.is_empty() => {
                telling_lines(said).into_iter().any(line_names)
            }
            CrashLog::Unread | CrashLog::Unavailable | CrashLog::Read(_) => {
                self.message.lines().any(line_names)
            }
        }
    }

    fn cannot_run(&self) -> Option<String> {
        if self.exit_code == 0 {
            return None;
        }
        let text = match &self.log {
            CrashLog::Read(said) => said.text.as_str(),
            CrashLog::Unread | CrashLog::Unavailable => self.message.as_str(),
        };
        // Such a program says nothing else: a long log is that of one that ran.
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.len() > 5 {
            return None;
        }
        let says = |line: &&&str| CANNOT_RUN.iter().any(|word| contains(line, word));
        lines.iter().find(says).map(|line| line.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(code: i32, log: Option<&str>) -> Crash {
        Crash {
            id: "containerd://0".into(),
            pod_uid: "p".into(),
            pod: "web-1".into(),
            namespace: "shop".into(),
            container: "web".into(),
            exit_code: code,
            signal: None,
            reason: if code == 0 { "Completed" } else { "Error" }.into(),
            message: String::new(),
            began: Duration::ZERO,
            lasted: Duration::ZERO,
            log: match log {
                Some(log) => {
                    CrashLog::Read(Box::new(ReadCrashLog::read(log, false, &Redactor::default())))
                }
                None => CrashLog::Unavailable,
            },
        }
    }

    fn reasons(crashes: &[Crash]) -> Option<(&'static str, u32)> {
        let crashes: Vec<&Crash> = crashes.iter().collect();
        amount(&crashes).map(|amount| (amount.reason, amount.count))
    }

    #[test]
    fn crashes_are_judged_by_what_they_say() {
        let setting = "starting\nerror: DATABASE_URL is not set\n";
        let panic = "thread 'main' panicked at src/main.rs:7:20:\nattempt to divide by zero\n";
        let refused = "Error: connect ECONNREFUSED 10.0.0.7:5432\n";
        for (crashes, expect) in [
            (vec![crash(1, Some(setting))], ("Unclear", 1)),
            (vec![crash(1, Some(setting)), crash(1, Some(setting))], ("SameCause", 2)),
            (vec![crash(101, Some(panic)), crash(101, Some(panic))], ("SameWords", 2)),
            (vec![crash(1, Some("boom\n")), crash(1, Some("boom\n"))], ("SameWords", 2)),
            (
                vec![
                    crash(1, Some("2026-11-02T08:00:01Z FATAL no config\n")),
                    crash(1, Some("2026-11-02T08:00:03Z FATAL no config\n")),
                ],
                ("SameWords", 2),
            ),
            // Waiting, silent, counting, different, killed from outside.
            (vec![crash(1, Some(refused)), crash(1, Some(refused))], ("Waits", 2)),
            (vec![crash(1, Some("")), crash(1, Some(""))], ("Unclear", 2)),
            (vec![crash(1, None), crash(1, None), crash(1, None)], ("Unclear", 3)),
            (vec![crash(1, Some("start 1\n")), crash(1, Some("start 2\n"))], ("Unclear", 2)),
            (vec![crash(1, Some(setting)), crash(1, Some(panic))], ("Unclear", 2)),
            (vec![crash(1, Some(setting)), crash(2, Some(setting))], ("Unclear", 2)),
            (vec![crash(137, Some("up\n")), crash(137, Some("up\n"))], ("Unclear", 2)),
            (vec![crash(1, Some("database is not ready\n")); 2], ("Waits", 2)),
            // A program that ends as if it were done.
            (vec![crash(0, Some("hello\n")), crash(0, Some("hello\n"))], ("SameWords", 2)),
            (vec![crash(255, Some("exec /app/web: exec format error\n"))], ("CannotRun", 1)),
        ] {
            assert_eq!(reasons(&crashes), Some(expect), "{crashes:?}");
        }
    }

    #[test]
    fn a_log_that_is_still_being_read_decides_nothing() {
        let mut unread = crash(1, None);
        unread.log = CrashLog::Unread;
        assert_eq!(reasons(&[crash(1, Some("boom\n")), unread]), None);
    }

    #[test]
    fn a_run_that_comes_further_is_progress() {
        let run = |lasted: u64, log: &str| {
            let mut run = crash(1, Some(log));
            run.lasted = Duration::from_secs(lasted);
            run
        };
        let (short, long) = ("one\ntwo\n", "one\ntwo\nthree\nfour\n");
        for (runs, expect) in [
            (vec![run(1, short)], false),
            (vec![run(1, short), run(2, short)], false),
            (vec![run(2, short), run(6, short)], true),
            (vec![run(6, short), run(2, short), run(6, short)], false),
            (vec![run(1, short), run(1, long)], true),
            (vec![run(1, long), run(1, short)], false),
        ] {
            let told: Vec<&Crash> = runs.iter().collect();
            assert_eq!(gets_further(&told), expect, "{runs:?}");
        }
    }

    #[test]
    fn memory_kills_are_counted_by_themselves() {
        let mut killed = crash(137, Some("up\n"));
        killed.reason = "OOMKilled".into();
        assert_eq!(reasons(&[crash(1, Some("boom\n")), killed.clone()]), Some(("OutOfMemory", 1)));
        assert_eq!(reasons(&[killed.clone(), killed]), Some(("OutOfMemory", 2)));
    }

    /// Whatever follows it, the first error is the headline, and no more than the end is kept.
    #[test]
    fn a_huge_log_is_read_in_bounded_memory() {
        let mut reading = Reading::new();
        reading.push(b"starting\nerror: DATABASE_URL is not set\n");
        for i in 0..100_000 {
            reading.push(format!("INFO request {i} served in {} ms\n", i % 97).as_bytes());
            assert!(reading.end.len() <= 2 * END);
        }
        reading.skip();
        reading.push(b"INFO goodbye\n");
        let said = reading.finish(false, &Redactor::default());
        assert_eq!(said.extraction.headline, "error: DATABASE_URL is not set");
        assert_eq!(said.text, "INFO goodbye\n");
    }

    #[test]
    fn the_end_of_a_log_begins_with_a_line() {
        for (text, most, expect) in
            [("one\ntwo\nthree", 8, "three"), ("one", 8, "one"), ("ünïcödé", 3, "dé")]
        {
            assert_eq!(end_of(text, most), expect, "{text} {most}");
        }
    }
}
