//! Where a command's output goes: redacted, to its log, to the event stream, to the extractor.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::StageContext;
use greenloop_evidence::{
    ExtractLimits, Extraction, Extractor, LineRedactor, Redactor, TestReader, TestRun,
};
use greenloop_model::{EventSink, Notice, RunEvent, Stage};

/// Bytes of one part's output that are sent as events in full; the log has the rest.
const SENT_IN_FULL: usize = 1 << 20;
/// Afterwards, how often its latest output is sent, with a line that says how much is left out.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// And how much of it.
const SAMPLE_BYTES: usize = 2 << 10;

/// Bytes of the beginning of one log that are kept.
const LOG_HEAD: u64 = 64 << 20;
/// And of its end.
const LOG_TAIL: usize = 4 << 20;

/// A log of bounded size: of one that is too long, the beginning, a line that says how much is
/// missing, and the end.
struct Log {
    file: BufWriter<File>,
    /// Bytes that the beginning still has room for.
    room: u64,
    tail: VecDeque<u8>,
    missing: u64,
}

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = BufWriter::with_capacity(64 << 10, File::create(path)?);
        Ok(Self { file, room: LOG_HEAD, tail: VecDeque::new(), missing: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        let (head, rest) = bytes.split_at(fits);
        self.room -= fits as u64;
        self.file.write_all(head)?;
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(LOG_TAIL);
        self.tail.drain(..surplus);
        self.missing += surplus as u64;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if self.missing > 0 {
            // The end begins with a whole line.
            let cut = self.tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.tail.drain(..cut);
            let missing = self.missing + cut as u64;
            write!(self.file, "\n[{missing} bytes are left out here: the log is too long]\n")?;
        }
        let (first, second) = self.tail.as_slices();
        self.file.write_all(first)?;
        self.file.write_all(second)?;
        self.file.flush()
    }
}

/// Says that a log is not whole. What printed into it has its result all the same.
pub(super) fn report_incomplete_log(
    what: &str,
    log: &str,
    error: &io::Error,
    context: &StageContext<'_>,
) -> String {
    let text = format!(
        "{log} is incomplete ({error}): the result of {what} counts all the same; free disk space, \
         or make the folder writable, before the next run"
    );
    let text = context.redactor.redact(&text).into_owned();
    context.events.send(RunEvent::Notice(Notice::Warning(text.clone())));
    text
}

/// What an output comes to.
pub(super) struct Finished {
    pub extraction: Extraction,
    /// Empty where tests were not counted.
    pub tests: TestRun,
    /// Why the log is not whole.
    pub log_error: Option<io::Error>,
}

/// Takes one command's output, in bounded memory.
pub(super) struct Output<'a> {
    stage: Stage,
    name: &'a str,
    events: &'a EventSink,
    redactor: LineRedactor,
    redacted: Vec<u8>,
    log: Option<Log>,
    log_error: Option<io::Error>,
    extractor: Extractor,
    /// Only of gates: what a service or a smoke test prints are no tests.
    tests: Option<TestReader>,
    sent: usize,
    sampled: Instant,
    /// Bytes since the last event that no event has.
    left_out: usize,
    /// The end of what was not sent, so that the last lines are.
    tail: Vec<u8>,
    /// Whether the last event ended a line.
    line_ended: bool,
}

impl<'a> Output<'a> {
    /// For a part whose log is the file at `log`. A log that cannot be written is no reason to
    /// fail a gate: [`Output::finish`] reports it.
    pub(super) fn new(
        stage: Stage,
        name: &'a str,
        log: &Path,
        redactor: &Redactor,
        events: &'a EventSink,
    ) -> Self {
        let (log, log_error) = match Log::create(log) {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            stage,
            name,
            events,
            redactor: redactor.line_redactor(),
            redacted: Vec::new(),
            log,
            log_error,
            extractor: Extractor::new(ExtractLimits::default()),
            tests: None,
            sent: 0,
            sampled: Instant::now(),
            left_out: 0,
            tail: Vec::new(),
            line_ended: true,
        }
    }

    /// Reads the results of tests too.
    pub(super) fn counting_tests(mut self) -> Self {
        self.tests = Some(TestReader::new());
        self
    }

    /// The next bytes; none when the command has been quiet for a while.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.redactor.idle(&mut self.redacted);
        } else {
            self.redactor.push(bytes, &mut self.redacted);
        }
        self.pass_on();
    }

    fn pass_on(&mut self) {
        if self.redacted.is_empty() {
            return;
        }
        self.extractor.push(&self.redacted);
        if let Some(tests) = &mut self.tests {
            tests.push(&self.redacted);
        }
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(&self.redacted)
        {
            self.log_error = Some(error);
            self.log = None;
        }
        if self.sent < SENT_IN_FULL {
            self.sent += self.redacted.len();
            self.line_ended = self.redacted.ends_with(b"\n");
            self.sampled = Instant::now();
            self.send(String::from_utf8_lossy(&self.redacted).into_owned());
        } else {
            self.left_out += self.redacted.len();
            let from = self.redacted.len().saturating_sub(SAMPLE_BYTES);
            self.tail.extend_from_slice(&self.redacted[from..]);
            self.tail.drain(..self.tail.len().saturating_sub(SAMPLE_BYTES));
            if self.sampled.elapsed() >= SAMPLE_EVERY {
                self.send_sample();
            }
        }
        self.redacted.clear();
    }

    /// The latest whole lines, after a line that says what is missing before them.
    fn send_sample(&mut self) {
        let cut = self.left_out > self.tail.len();
        let start = match self.tail.iter().position(|byte| *byte == b'\n') {
            Some(end) if cut => end + 1,
            Some(_) | None => 0,
        };
        let missing = self.left_out - (self.tail.len() - start);
        let mut text = String::new();
        if missing > 0 {
            let before = if self.line_ended { "" } else { "\n" };
            text = format!("{before}[{missing} bytes omitted; see the log]\n");
        }
        text.push_str(&String::from_utf8_lossy(&self.tail[start..]));
        self.line_ended = text.ends_with('\n');
        self.sampled = Instant::now();
        self.left_out = 0;
        self.tail.clear();
        self.send(text);
    }

    fn send(&self, text: String) {
        let name = self.name.to_owned();
        self.events.send(RunEvent::Output { stage: self.stage, name, text });
    }

    /// What the output comes to, and why its log is not whole, if it is not.
    pub(super) fn finish(self, redactor: &Redactor) -> (Extraction, Option<io::Error>) {
        let Finished { extraction, log_error, tests: _ } = self.finish_counted(redactor);
        (extraction, log_error)
    }

    /// The same, with the tests that ran.
    pub(super) fn finish_counted(mut self, redactor: &Redactor) -> Finished {
        let last = std::mem::replace(&mut self.redactor, redactor.line_redactor());
        last.finish(&mut self.redacted);
        self.pass_on();
        if self.left_out > 0 {
            self.send_sample();
        }
        if let Some(log) = self.log.take()
            && let Err(error) = log.finish()
        {
            self.log_error = Some(error);
        }
        Finished {
            extraction: self.extractor.finish(redactor),
            tests: self.tests.map(TestReader::finish).unwrap_or_default(),
            log_error: self.log_error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_go_on_is_sent_when_the_command_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let events = EventSink::new(sender);
        let log = folder.path().join("x.log");
        let redactor = Redactor::default();
        let mut output = Output::new(Stage::Gates, "x", &log, &redactor, &events);
        output.push(b"copying with token ghp_aB3dE6gH9jK2\n");
        assert!(receiver.try_recv().is_err());
        output.push(b"");
        assert!(matches!(
            receiver.try_recv().unwrap(),
            RunEvent::Output { text, .. } if text == "copying with token [redacted]\n"
        ));
        output.finish(&redactor);
    }

    /// The text of all events of a command that wrote `lines`, in writes of `size` bytes.
    fn sent(lines: usize, size: usize) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let (sender, receiver) = std::sync::mpsc::channel();
        let events = EventSink::new(sender);
        let redactor = Redactor::default();
        let mut output = Output::new(Stage::Gates, "x", &log, &redactor, &events);
        let written: String =
            (0..lines).map(|n| format!("line {n} {}\n", "x".repeat(80))).collect();
        for bytes in written.as_bytes().chunks(size) {
            output.push(bytes);
        }
        output.finish(&redactor);
        drop(events);
        let text = receiver.iter().map(|event| match event {
            RunEvent::Output { text, .. } => text,
            other => panic!("{other:?}"),
        });
        (text.collect(), std::fs::read_to_string(&log).unwrap())
    }

    #[test]
    fn a_short_output_is_sent_whole() {
        let (text, log) = sent(1_000, 4_096);
        assert_eq!(text, log);
    }

    #[test]
    fn of_a_log_without_end_the_beginning_and_the_end_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = Log::create(&path).unwrap();
        log.room = 1_000;
        let line = "x".repeat(99) + "\n";
        let lines = LOG_TAIL / line.len() + 500;
        log.write(b"first\n").unwrap();
        for _ in 0..lines {
            log.write(line.as_bytes()).unwrap();
        }
        log.write(b"last\n").unwrap();
        log.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("first\n") && text.ends_with("x\nlast\n"));
        let note = text.lines().find(|line| line.contains("left out")).unwrap();
        let missing: usize =
            note.trim_start_matches('[').split(' ').next().unwrap().parse().unwrap();
        let kept = text.len() - note.len() - 2;
        assert_eq!(kept + missing, lines * line.len() + "first\nlast\n".len());
    }

    #[test]
    fn of_a_long_output_it_is_said_what_is_left_out() {
        let (text, log) = sent(30_000, 4_096);
        let mut missing = 0;
        let mut kept = String::new();
        for line in text.split_inclusive('\n') {
            let said = line.strip_suffix(" bytes omitted; see the log]\n");
            match said.and_then(|said| said.strip_prefix('[')) {
                Some(bytes) => missing += bytes.parse::<usize>().unwrap(),
                None => kept.push_str(line),
            }
        }
        assert!(missing > 0, "nothing was left out");
        // The newline that a cut line is ended with is no output of the command.
        let added = (kept.len() + missing) - log.len();
        assert!(added <= text.matches("bytes omitted").count(), "{added}");
        assert!(text.ends_with(&log[log.len() - 200..]), "the last lines are sent");
        for line in kept.lines().filter(|line| !line.is_empty()) {
            assert!(log.contains(line), "{line}");
        }
    }
}
