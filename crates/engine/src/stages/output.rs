//! Where a command's output goes: redacted, to its log, to the event stream, to the extractor.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use greenloop_evidence::{ExtractLimits, Extraction, Extractor, LineRedactor, Redactor};
use greenloop_model::{EventSink, RunEvent, Stage};

/// Bytes of one part's output that are sent as events in full; the log has the rest.
const SENT_IN_FULL: usize = 1 << 20;
/// Afterwards, how often its latest output is sent.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// And how much of it.
const SAMPLE_BYTES: usize = 2 << 10;

/// Takes one command's output, in bounded memory.
pub(super) struct Output<'a> {
    stage: Stage,
    name: &'a str,
    events: &'a EventSink,
    redactor: LineRedactor,
    redacted: Vec<u8>,
    log: Option<BufWriter<File>>,
    trouble: Option<io::Error>,
    extractor: Extractor,
    sent: usize,
    sampled: Instant,
}

impl<'a> Output<'a> {
    /// For a part whose log is the file at `log`. A log that cannot be written is no reason to
    /// fail a gate: [`Output::finish`] tells of it.
    pub(super) fn new(
        stage: Stage,
        name: &'a str,
        log: &Path,
        redactor: &Redactor,
        events: &'a EventSink,
    ) -> Self {
        let opened = log.parent().map_or(Ok(()), std::fs::create_dir_all);
        let opened = opened.and_then(|()| File::create(log));
        let (log, trouble) = match opened {
            Ok(file) => (Some(BufWriter::with_capacity(64 << 10, file)), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            stage,
            name,
            events,
            redactor: redactor.line_redactor(),
            redacted: Vec::new(),
            log,
            trouble,
            extractor: Extractor::new(ExtractLimits::default()),
            sent: 0,
            sampled: Instant::now(),
        }
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.redactor.push(bytes, &mut self.redacted);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        if self.redacted.is_empty() {
            return;
        }
        self.extractor.push(&self.redacted);
        if let Some(log) = &mut self.log
            && let Err(error) = log.write_all(&self.redacted)
        {
            self.trouble = Some(error);
            self.log = None;
        }
        let from = if self.sent < SENT_IN_FULL {
            Some(0)
        } else if self.sampled.elapsed() >= SAMPLE_EVERY {
            Some(self.redacted.len().saturating_sub(SAMPLE_BYTES))
        } else {
            None
        };
        if let Some(from) = from {
            self.sent += self.redacted.len() - from;
            self.sampled = Instant::now();
            let text = String::from_utf8_lossy(&self.redacted[from..]).into_owned();
            let name = self.name.to_owned();
            self.events.send(RunEvent::Output { stage: self.stage, name, text });
        }
        self.redacted.clear();
    }

    /// What the output comes to, and why its log is not whole, if it is not.
    pub(super) fn finish(mut self, redactor: &Redactor) -> (Extraction, Option<io::Error>) {
        let last = std::mem::replace(&mut self.redactor, redactor.line_redactor());
        last.finish(&mut self.redacted);
        self.pass_on();
        if let Some(mut log) = self.log.take()
            && let Err(error) = log.flush()
        {
            self.trouble = Some(error);
        }
        (self.extractor.finish(redactor), self.trouble)
    }
}
