//! Lines of a log that say the same again and again, as a service does that is polled: the first
//! and the last repetition stay, and one line between them says how many there were and how long
//! they took.
//!
//! Two lines say the same when they differ only in what differs between two polls: times,
//! durations, sizes, identifiers, a client's port, and counters, which go one way. A status that
//! changes is none of these, and ends the repetition.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::clean::without_escapes;
use super::expression::compile;
use super::guarded::Guarded;
use super::normalise::{is_identifier, without_volatile};

/// Lines of one repetition: an access log may have a line for the request, one for the error and
/// a few of a stack trace.
const LONGEST: usize = 8;
/// Repetitions from which on those in the middle are left out.
const FEWEST: usize = 4;
/// Digits of a number that is an identifier or a time in seconds, and no counter.
const LONG_NUMBER: usize = 7;

/// What differs between two polls, in addition to what differs between two runs.
static POLLED: [(Guarded, &str); 3] = [
    // The client's end of a connection: ports that systems give out by themselves.
    (Guarded::new(&[":", "port"], r"(?i)(:|port\W{1,4})(?:3[2-9]\d{3}|[4-6]\d{4})\b"), "$1<port>"),
    (
        Guarded::new(
            &["id"],
            r"(?i)\b((?:req|request|trace|span|correlation|session|connection)[-_]?id\W{1,4})[\w-]+",
        ),
        "$1<id>",
    ),
    (Guarded::new(&["."], r"\b\d+\.\d+\b"), "<decimal>"),
];

/// `text` with the middle of its repetitions left out.
pub fn condense_repeats(text: &str) -> Cow<'_, str> {
    let lines: Vec<&str> = text.lines().collect();
    let pieces = pieces(&lines);
    if pieces.iter().all(|piece| piece.note.is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() / 2);
    for piece in pieces {
        for line in &lines[piece.lines] {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(note) = piece.note {
            out.push_str(&note);
            out.push('\n');
        }
    }
    if !text.ends_with('\n') {
        out.pop();
    }
    Cow::Owned(out)
}

/// Lines that are shown one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) lines: Range<usize>,
    /// The line that replaces the omitted ones after them.
    pub(super) note: Option<String>,
}

/// The lines as pieces, in their order.
pub(super) fn pieces(lines: &[&str]) -> Vec<Piece> {
    let keys: Vec<Key> = lines.iter().map(|line| Key::of(line)).collect();
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < keys.len() {
        let Some(run) = longest_run(&keys, at) else {
            at += 1;
            continue;
        };
        let middle = at + run.period..at + run.period * (run.times - 1);
        let note = note(lines, at, run);
        pieces.push(Piece { lines: from..middle.start, note: Some(note) });
        from = middle.end;
        at += run.period * run.times;
    }
    if from < lines.len() {
        pieces.push(Piece { lines: from..lines.len(), note: None });
    }
    pieces
}

/// `times` repetitions of `period` lines.
#[derive(Debug, Clone, Copy)]
struct Run {
    period: usize,
    times: usize,
}

/// The run from line `at` on that covers most; of two that cover the same, the one of fewer lines.
fn longest_run(keys: &[Key], at: usize) -> Option<Run> {
    let mut best: Option<Run> = None;
    for period in 1..=LONGEST.min((keys.len() - at) / FEWEST) {
        // Blank lines are many, and say nothing.
        if keys[at..at + period].iter().all(|key| key.text.is_empty()) {
            continue;
        }
        let times = repetitions(keys, at, period);
        let covered = period * times;
        if times >= FEWEST && best.is_none_or(|best| best.period * best.times < covered) {
            best = Some(Run { period, times });
        }
    }
    best
}

/// How many times in a row the `period` lines from `at` on are repeated.
fn repetitions(keys: &[Key], at: usize, period: usize) -> usize {
    let mut directions: Vec<Option<Vec<Ordering>>> = vec![None; period];
    let mut times = 1;
    loop {
        for (n, direction) in directions.iter_mut().enumerate() {
            let before = &keys[at + (times - 1) * period + n];
            let Some(now) = keys.get(at + times * period + n) else { return times };
            if before.text != now.text || before.numbers.len() != now.numbers.len() {
                return times;
            }
            let changed: Vec<Ordering> = now
                .numbers
                .iter()
                .zip(&before.numbers)
                .map(|(now, before)| now.cmp(before))
                .collect();
            if *direction.get_or_insert_with(|| changed.clone()) != changed {
                return times;
            }
        }
        times += 1;
    }
}

/// A line without what differs between two polls, and the numbers that may count them.
struct Key {
    text: String,
    numbers: Vec<u64>,
}

impl Key {
    fn of(line: &str) -> Self {
        let mut text = without_volatile(line);
        for (guarded, by) in &POLLED {
            let lower = text.to_ascii_lowercase();
            if let Some(regex) = guarded.on(&lower) {
                let bytes = regex.replace_all(text.as_bytes(), by.as_bytes()).into_owned();
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let mut key = Self { text: String::with_capacity(text.len()), numbers: Vec::new() };
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| in_word(c) != in_word(first)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            key.push(part);
            rest = after;
        }
        key
    }

    fn push(&mut self, part: &str) {
        let number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok());
        match number.flatten() {
            Some(number) if part.len() < LONG_NUMBER => {
                self.numbers.push(number);
                self.text.push('#');
            }
            Some(_) => self.text.push_str("<id>"),
            None if is_identifier(part) => self.text.push_str("<id>"),
            None => self.text.push_str(part),
        }
    }
}

/// The line that replaces the middle of the repetition from line `at` on.
fn note(lines: &[&str], at: usize, run: Run) -> String {
    let more = run.times - 2;
    let what = match run.period {
        1 => format!("{more} more lines like this one"),
        lines => format!("{more} more times these {lines} lines"),
    };
    let last = at + run.period * (run.times - 1);
    let span = (0..run.period)
        .find_map(|n| seconds_between(lines[at + n], lines[last + n]))
        .map_or(String::new(), |seconds| format!(", {} after the first", duration(seconds)));
    format!("… {what}; the last{span}:")
}

/// Seconds from the time in one line to that in the other; `None` without two different ones.
fn seconds_between(first: &str, last: &str) -> Option<f64> {
    const DAY: f64 = 86_400.0;
    let (first, last) = (time_of(first)?, time_of(last)?);
    let seconds = match (first, last) {
        (Time::OfDay(first), Time::OfDay(last)) => (last - first).rem_euclid(DAY),
        (Time::Epoch(first), Time::Epoch(last)) => last - first,
        (Time::OfDay(_), Time::Epoch(_)) | (Time::Epoch(_), Time::OfDay(_)) => return None,
    };
    (seconds >= 0.001).then_some(seconds)
}

/// A time in seconds.
enum Time {
    OfDay(f64),
    Epoch(f64),
}

fn time_of(line: &str) -> Option<Time> {
    static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        compile(r"\b(?:[0-9-]{10}T)?(\d\d?):(\d\d):(\d\d(?:[.,]\d+)?)|\b(1\d{9})(\d{3})?(\.\d+)?\b")
    });
    let plain = without_escapes(line.as_bytes());
    let found = TIME.as_ref()?.captures(plain.as_bytes())?;
    let number = |group: usize| {
        let text = std::str::from_utf8(found.get(group)?.as_bytes()).ok()?;
        text.replace(',', ".").parse::<f64>().ok()
    };
    match (number(1), number(2), number(3)) {
        (Some(hours), Some(minutes), Some(seconds)) => {
            Some(Time::OfDay(hours * 3600.0 + minutes * 60.0 + seconds))
        }
        _ => {
            let part = number(5).map_or(number(6), |millis| Some(millis / 1000.0));
            Some(Time::Epoch(number(4)? + part.unwrap_or_default()))
        }
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => format!("{:.0} ms", short * 1000.0),
        short if short < 10.0 && short.fract() > 0.05 => format!("{short:.1} s"),
        some if some < 120.0 => format!("{some:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(polls: usize, line: impl Fn(usize) -> String) -> String {
        (0..polls).map(|n| line(n) + "\n").collect()
    }

    #[test]
    fn polls_that_say_the_same_are_one_line_between_the_first_and_the_last() {
        let python =
            |n| format!("127.0.0.1 - - [30/Nov/2026 15:00:{n:02}] \"GET /healthz HTTP/1.1\" 404 -");
        assert_eq!(
            condense_repeats(&format!("serving at 8000\n{}stopping\n", log(40, python))),
            "serving at 8000\n\
             127.0.0.1 - - [30/Nov/2026 15:00:00] \"GET /healthz HTTP/1.1\" 404 -\n\
             … 38 more lines like this one; the last, 39 s after the first:\n\
             127.0.0.1 - - [30/Nov/2026 15:00:39] \"GET /healthz HTTP/1.1\" 404 -\n\
             stopping\n"
        );
    }

    #[test]
    fn every_logger_s_polls_are_condensed() {
        let logs: [(&str, &dyn Fn(usize) -> String); 11] = [
            ("no time", &|_| "GET /healthz 503".into()),
            ("uvicorn", &|n| {
                format!("INFO:     127.0.0.1:{} - \"GET /h HTTP/1.1\" 404", 40_000 + n * 131 % 997)
            }),
            ("go", &|n| format!("2026/11/30 15:00:{:02} GET /h 500 {}µs", n % 60, 81 + n * 7 % 13)),
            ("pino", &|n| {
                format!(
                    "{{\"level\":30,\"time\":{},\"pid\":12,\"reqId\":\"req-{n:x}\",\"req\":{{\"url\":\"/h\",\"remotePort\":{}}},\"statusCode\":503}}",
                    1_780_000_000_123_u64 + n as u64 * 500,
                    41_000 + n * 733 % 999
                )
            }),
            ("a counter", &|n| format!("attempt {} of 30: connection refused", n + 1)),
            ("a countdown", &|n| format!("not ready, {} tries left", 40 - n)),
            ("log4j", &|n| {
                format!(
                    "2026-11-30 15:00:{n:02},{:03} WARN [http-{n}] Health - DOWN",
                    n * 37 % 1000
                )
            }),
            ("nginx", &|n| {
                format!(
                    "10.0.0.{} - - [30/Nov/2026:15:00:{n:02} +0000] \"GET /h HTTP/1.1\" 502 0.00{}",
                    n % 3,
                    n % 7
                )
            }),
            ("uuid", &|n| format!("request 123e4567-e89b-12d3-a456-{n:012x} is not served")),
            ("colours", &|n| {
                format!("\u{1b}[2m15:00:{n:02}\u{1b}[0m \u{1b}[31mGET\u{1b}[0m /h 404")
            }),
            ("epoch", &|n| format!("{}.{:03} probe failed", 1_780_000_000 + n / 2, n * 500 % 1000)),
        ];
        for (name, line) in logs {
            let text = log(20, line);
            let condensed = condense_repeats(&text);
            let lines: Vec<&str> = condensed.lines().collect();
            assert_eq!(lines.len(), 3, "{name}: {condensed}");
            assert_eq!((lines[0], lines[2]), (line(0).as_str(), line(19).as_str()), "{name}");
            assert!(lines[1].starts_with("… 18 more lines like this one"), "{name}: {condensed}");
        }
    }

    #[test]
    fn what_changed_between_polls_is_seen() {
        let text = log(10, |n| format!("15:00:{n:02} GET /healthz 503"))
            + &log(10, |n| format!("15:00:{:02} GET /healthz 404", n + 10))
            + "15:00:20 GET /healthz 200\n";
        let condensed = condense_repeats(&text);
        let lines: Vec<&str> = condensed.lines().collect();
        assert_eq!(
            lines,
            [
                "15:00:00 GET /healthz 503",
                "… 8 more lines like this one; the last, 9 s after the first:",
                "15:00:09 GET /healthz 503",
                "15:00:10 GET /healthz 404",
                "… 8 more lines like this one; the last, 9 s after the first:",
                "15:00:19 GET /healthz 404",
                "15:00:20 GET /healthz 200",
            ]
        );
    }

    #[test]
    fn a_repetition_may_have_several_lines() {
        let text = log(12, |n| {
            format!(
                "{:02}:59:5{} code 404, message File not found\n\"GET /healthz\" 404 -",
                22 + n / 6,
                n % 6
            )
        });
        let condensed = condense_repeats(&text);
        let lines: Vec<&str> = condensed.lines().collect();
        assert_eq!(lines.len(), 5, "{condensed}");
        assert_eq!(lines[2], "… 10 more times these 2 lines; the last, 60 min after the first:");
        assert_eq!(lines[3], "23:59:55 code 404, message File not found");
    }

    #[test]
    fn midnight_does_not_matter() {
        let text = log(6, |n| {
            format!("{}:00 down", ["23:59", "00:00", "00:01", "00:02", "00:03", "00:04"][n])
        });
        assert!(condense_repeats(&text).contains("the last, 5 min after the first:"), "{text}");
    }

    #[test]
    fn what_says_something_else_stays() {
        for text in [
            "",
            "\n\n\n\n\n\n",
            "a 200\na 404\na 200\na 500\na 200\n",
            "test_1 ok\ntest_2 ok\ntest_3 ok\ntest_4 ok\ntest_5 ok\n",
            "the same\nthe same\nthe same\n",
            "error[E0308]: x\nerror[E0425]: x\nerror[E0433]: x\nerror[E0432]: x\n",
            "read a.rs\nread b.rs\nread c.rs\nread d.rs",
        ] {
            assert_eq!(condense_repeats(text), text);
        }
    }
}
