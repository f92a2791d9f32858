//! Watches a build: its steps become events, its output goes to the log and to the event stream,
//! and of each step that runs as much is kept as evidence of its failure needs.
//!
//! Both builders' streams come down to the same few calls, see [`super::classic`] and
//! [`super::buildkit`].

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::pace::ProgressThrottle;
use super::secrets::{SecretLines, Secrets};
use greenloop_evidence::{ExtractLimits, Extraction, Extractor};
use greenloop_model::{EventSink, RunEvent, Stage};

/// The part of the stage that builds, in events.
pub(super) const BUILD: &str = "build";
/// Bytes of output that are sent as events in full; the log has the rest.
const SENT_IN_FULL: usize = 1 << 20;
/// Afterwards, how often its latest output is sent.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// And how much of it.
const SAMPLE_BYTES: usize = 2 << 10;
/// Characters of a step's name.
const NAME: usize = 120;
/// Steps that can print at the same time; a build has at most a few dozen in parallel.
const MOST_PRINTING: usize = 64;

/// Who watches one build.
pub(super) struct Watch<'a> {
    events: &'a EventSink,
    secrets: &'a Secrets,
    log: Log,
    steps: HashMap<String, BuildStep>,
    /// The step whose output the log had last.
    speaking: Option<String>,
    /// The step that failed: what it is called and what it printed.
    failed: Option<FailedStep>,
    measures: HashMap<String, ProgressThrottle>,
    sent: usize,
    sampled: Instant,
    image: Option<String>,
}

struct BuildStep {
    name: String,
    began: Instant,
    printed: Option<Printed>,
}

struct Printed {
    lines: SecretLines,
    extractor: Extractor,
}

/// A step that failed.
pub(super) struct FailedStep {
    /// As the builder calls it, not redacted.
    pub name: String,
    /// What it printed.
    pub printed: Option<Extraction>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepEnd {
    /// It ran.
    Ran,
    /// Its result was there already.
    Cached,
    /// It failed.
    Failed,
    /// It was stopped because another one failed.
    Stopped,
}

impl<'a> Watch<'a> {
    /// Appends to the log at `log`.
    pub(super) fn new(log: &Path, secrets: &'a Secrets, events: &'a EventSink) -> Self {
        Self {
            events,
            secrets,
            log: Log::append(log),
            steps: HashMap::new(),
            speaking: None,
            failed: None,
            measures: HashMap::new(),
            sent: 0,
            sampled: Instant::now(),
            image: None,
        }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, id: &str, name: &str) {
        self.steps.entry(id.to_owned()).or_insert_with(|| BuildStep {
            name: name.to_owned(),
            began: Instant::now(),
            printed: None,
        });
    }

    /// A step printed something.
    pub(super) fn print(&mut self, id: &str, bytes: &[u8]) {
        let printing = self.steps.values().filter(|step| step.printed.is_some()).count();
        let Some(step) = self.steps.get_mut(id) else { return };
        if step.printed.is_none() && printing >= MOST_PRINTING {
            return;
        }
        let printed = step.printed.get_or_insert_with(|| Printed {
            lines: self.secrets.lines(),
            extractor: Extractor::new(ExtractLimits::default()),
        });
        let mut safe = Vec::new();
        printed.lines.push(bytes, &mut safe);
        if safe.is_empty() {
            return;
        }
        printed.extractor.push(&safe);
        self.speak(id);
        self.pass_on(&safe);
    }

    /// A step ended. `shown` tells whether people care.
    pub(super) fn end(&mut self, id: &str, how: StepEnd, shown: bool) {
        // What the redactors still hold back belongs to this step.
        let rest = self.steps.get_mut(id).and_then(|step| {
            let printed = step.printed.as_mut()?;
            let held = std::mem::replace(&mut printed.lines, self.secrets.lines());
            let mut safe = Vec::new();
            held.finish(&mut safe);
            printed.extractor.push(&safe);
            (!safe.is_empty()).then_some(safe)
        });
        if let Some(mut rest) = rest {
            self.speak(id);
            if !rest.ends_with(b"\n") {
                rest.push(b'\n');
            }
            self.pass_on(&rest);
        }
        let Some(step) = self.steps.remove(id) else { return };
        let elapsed = step.began.elapsed();
        if self.speaking.as_deref() == Some(id) {
            self.speaking = None;
        }
        let detail = match how {
            StepEnd::Ran => "",
            StepEnd::Cached => "cached",
            StepEnd::Failed => "failed",
            StepEnd::Stopped => "stopped",
        };
        if shown {
            let name = self.shown(&step.name);
            let line = match how {
                StepEnd::Ran => format!("{name}: {:.1}s\n", elapsed.as_secs_f64()),
                StepEnd::Cached | StepEnd::Failed | StepEnd::Stopped => {
                    format!("{name}: {detail}\n")
                }
            };
            self.log.write(line.as_bytes());
            self.events.send(RunEvent::StepFinished {
                stage: Stage::Image,
                name,
                ok: matches!(how, StepEnd::Ran | StepEnd::Cached),
                detail: detail.to_owned(),
                elapsed,
            });
        }
        if how == StepEnd::Failed && self.failed.is_none() {
            let printed = step.printed.map(|printed| printed.extractor.finish(self.secrets.run()));
            self.failed = Some(FailedStep { name: step.name, printed });
        }
    }

    /// How far something has come, in bytes.
    pub(super) fn measure(&mut self, name: &str, done: u64, total: Option<u64>) {
        let pace = self
            .measures
            .entry(name.to_owned())
            .or_insert_with(|| ProgressThrottle::new(name, self.events));
        pace.at(done, total);
    }

    /// The image's id, once it is known.
    pub(super) fn built(&mut self, id: String) {
        self.image = Some(id);
    }

    /// A line of Greenloop's own for the log and the screen.
    pub(super) fn note(&mut self, text: &str) {
        let line = format!("{}\n", self.secrets.redact(text));
        self.speaking = None;
        self.pass_on(line.as_bytes());
    }

    /// The image that was built.
    pub(super) fn image(&mut self) -> Option<String> {
        self.image.take()
    }

    /// The step that failed. A builder that only says at the very end that it failed means the
    /// step that was under way.
    pub(super) fn failed_step(&mut self) -> Option<FailedStep> {
        if self.failed.is_none()
            && let [id] = &self.steps.keys().cloned().collect::<Vec<_>>()[..]
        {
            self.end(id, StepEnd::Failed, true);
        }
        self.failed.take()
    }

    /// The log is complete; why it is not whole, if it is not.
    pub(super) fn close(&mut self) -> Option<io::Error> {
        self.log.close()
    }

    /// Says in the log whose output follows, when steps take turns.
    fn speak(&mut self, id: &str) {
        if self.speaking.as_deref() == Some(id) {
            return;
        }
        self.speaking = Some(id.to_owned());
        if let Some(step) = self.steps.get(id) {
            let line = format!("{}\n", self.shown(&step.name));
            self.pass_on(line.as_bytes());
        }
    }

    fn pass_on(&mut self, safe: &[u8]) {
        self.log.write(safe);
        let from = if self.sent < SENT_IN_FULL {
            0
        } else if self.sampled.elapsed() >= SAMPLE_EVERY {
            safe.len().saturating_sub(SAMPLE_BYTES)
        } else {
            return;
        };
        let Some(part) = safe.get(from..) else { return };
        self.sent += part.len();
        self.sampled = Instant::now();
        self.events.send(RunEvent::Output {
            stage: Stage::Image,
            name: BUILD.to_owned(),
            text: String::from_utf8_lossy(part).into_owned(),
        });
    }

    /// A step's name for people: redacted, on one line, bounded.
    fn shown(&self, name: &str) -> String {
        shortened(&self.secrets.redact(name), NAME)
    }
}

/// On one line, at most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

/// The log of the stage; a problem with it is reported and fails no build.
struct Log {
    file: Option<BufWriter<File>>,
    error: Option<io::Error>,
}

impl Log {
    fn append(path: &Path) -> Self {
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Self { file: Some(BufWriter::new(file)), error: None },
            Err(error) => Self { file: None, error: Some(error) },
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.error = Some(error);
            self.file = None;
        }
    }

    fn close(&mut self) -> Option<io::Error> {
        if let Some(mut file) = self.file.take()
            && let Err(error) = file.flush()
        {
            self.error = Some(error);
        }
        self.error.take()
    }
}
