//! The event stream as JSON, one object a line, written and read back.
//!
//! Lossless for what reports need: times are kept to the millisecond, paths that are not UTF-8
//! as text.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reporter::{Reporter, Stamped};
use super::safe_text;
use greenloop_model::{RunEvent, RunId};

/// The version of the records that is written. A field may be added within a version; one that
/// changes its meaning or goes away needs a new one.
const VERSION: u32 = 1;

/// One event, as `docs/events.md` describes it for its readers.
#[derive(Serialize, Deserialize)]
struct EventRecord<E> {
    v: u32,
    run: Option<RunId>,
    at: jiff::Timestamp,
    #[serde(flatten)]
    event: E,
}

/// The name of the file with a run's events, within the run's folder.
pub const EVENTS_FILE: &str = "events.jsonl";

/// Writes every event as a line.
#[derive(Debug)]
pub(super) struct Json<W> {
    out: W,
    run: Option<RunId>,
    /// Whether output of gates is passed on; the file leaves it to the stage logs.
    output: bool,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W, output: bool) -> Self {
        Self { out, run: None, output }
    }
}

impl<W: Write> Reporter for Json<W> {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        if let RunEvent::Started(header) = event {
            self.run = Some(header.run);
        }
        if matches!(event, RunEvent::Output { .. }) && !self.output {
            return Ok(());
        }
        let mut line = line(self.run, at, event)?;
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) {}
}

/// One event as one line, without the newline. Whatever a build agent would take for a command
/// and whatever a terminal would obey stands in it as `\u` escapes.
pub(super) fn line(
    run: Option<RunId>,
    at: jiff::Timestamp,
    event: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let at = jiff::Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    let record = EventRecord { v: VERSION, run, at, event };
    Ok(safe_text::json(&serde_json::to_string(&record)?))
}

/// A file of events that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = .path.display())]
pub struct EventsError {
    pub path: PathBuf,
    /// 1-based line, where the fault lies in one.
    pub line: Option<u64>,
    pub kind: EventsErrorKind,
}

/// What is wrong with a file of events.
#[derive(Debug, thiserror::Error)]
pub enum EventsErrorKind {
    /// The operating system refused.
    #[error("failed to read the events")]
    Io(#[source] io::Error),
    /// A line is not JSON, or not the JSON of an event.
    #[error("a line is not an event")]
    Json(#[source] serde_json::Error),
    /// A line was written by a newer Greenloop.
    #[error("unsupported version {0} of the event records")]
    Version(u32),
    /// A run's first event does not name it.
    #[error("the first event has no run")]
    NoRun,
}

/// Reads a run's events back. A last line without its newline (the process died while it wrote)
/// is left out.
pub fn read_events(path: &Path) -> Result<Vec<Stamped>, EventsError> {
    let error = |line, kind| EventsError { path: path.to_owned(), line, kind };
    let io = |source| error(None, EventsErrorKind::Io(source));
    // A pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    let mut input = BufReader::new(File::open(path).map_err(io)?);
    let mut events = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        input.read_until(b'\n', &mut bytes).map_err(io)?;
        if bytes.pop() != Some(b'\n') {
            break;
        }
        let at = |kind| error(Some(number), kind);
        let json = |e| at(EventsErrorKind::Json(e));
        let record: EventRecord<RunEvent> = serde_json::from_slice(&bytes).map_err(json)?;
        if record.v != VERSION {
            return Err(at(EventsErrorKind::Version(record.v)));
        }
        let mut event = record.event;
        if let RunEvent::Started(header) = &mut event {
            header.run = record.run.ok_or_else(|| at(EventsErrorKind::NoRun))?;
        }
        events.push(Stamped { at: record.at, event });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use greenloop_model::{Condition, RunningNow, StopReason};

    #[test]
    fn every_event_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EVENTS_FILE);
        let events = fixtures::every_event();
        let mut json = Json::new(File::create(&path).unwrap(), true);
        for stamped in &events {
            json.event(stamped.at, &stamped.event).unwrap();
        }
        let back = read_events(&path).unwrap();
        assert_eq!(back.len(), events.len());
        for (back, event) in back.iter().zip(&events) {
            assert_eq!(back, event);
        }
    }

    #[test]
    fn the_samples_have_every_kind_of_event() {
        let mut kinds: Vec<String> = fixtures::every_event()
            .iter()
            .map(|stamped| {
                let line = line(None, stamped.at, &stamped.event).unwrap();
                let value: serde_json::Value = serde_json::from_str(&line).unwrap();
                value["event"].as_str().unwrap().to_owned()
            })
            .collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), 26, "{kinds:?}");
        let documented = include_str!("../../../docs/events.md");
        for kind in kinds {
            assert!(documented.contains(&format!("`{kind}`")), "{kind} is not in docs/events.md");
        }
    }

    #[test]
    fn a_line_commands_neither_agent_nor_terminal() {
        let text = "##vso[task.complete]\u{1b}[2J\u{202e}###[x]\u{9b}\\##[y] \u{e0041}\n::set-output name=a::b";
        let event = RunEvent::Notice(greenloop_model::Notice::Info(text.to_owned()));
        let line = line(None, jiff::Timestamp::UNIX_EPOCH, &event).unwrap();
        assert!(!line.contains("##vso[") && !line.contains("##["), "{line}");
        assert!(!line.contains("::set-output"), "{line}");
        assert!(!line.chars().any(|c| c.is_control() || safe_text::is_deceptive(c)), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], text);
    }

    fn fixture(name: &str) -> PathBuf {
        let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/records");
        records.join(name).join(EVENTS_FILE)
    }

    /// The files are from before the model's own types were recorded: what is written now is the
    /// same, to the byte.
    #[test]
    fn what_is_read_is_written_as_it_was() {
        for name in ["deployed", "healed", "failed", "no_model", "not_rolled_back"] {
            let text = std::fs::read_to_string(fixture(name)).unwrap();
            let events = read_events(&fixture(name)).unwrap();
            assert_eq!(events.len(), text.lines().count(), "{name}");
            let Some(RunEvent::Started(header)) = events.first().map(|first| &first.event) else {
                panic!("{name} does not begin with its start")
            };
            for (stamped, expect) in events.iter().zip(text.lines()) {
                let written = line(Some(header.run), stamped.at, &stamped.event).unwrap();
                assert_eq!(written, safe_text::json(expect));
            }
        }
    }

    #[test]
    fn what_an_older_program_did_not_know_has_a_default() {
        let events = read_events(&fixture("older")).unwrap();
        let Some(RunEvent::Finished(summary)) = events.last().map(|last| &last.event) else {
            panic!("{events:?}")
        };
        assert!(matches!(summary.stop, StopReason::NoModel { failure: None, .. }), "{summary:?}");
        let restored = summary.target.restored.and_then(|restored| restored.release());
        let Some(RunningNow::Release { release, condition, .. }) = &summary.target.serving else {
            panic!("{summary:?}")
        };
        assert_eq!((restored, condition), (Some(*release), &Condition::Serves));
        assert_eq!((&summary.fix, summary.flaky.len()), (&None, 0));
    }

    #[test]
    fn a_start_that_names_no_run_is_no_event() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EVENTS_FILE);
        let text = std::fs::read_to_string(fixture("deployed")).unwrap();
        let mut first: serde_json::Value =
            serde_json::from_str(text.lines().next().unwrap()).unwrap();
        first["run"] = serde_json::Value::Null;
        std::fs::write(&path, format!("{first}\n")).unwrap();
        assert!(matches!(read_events(&path).unwrap_err().kind, EventsErrorKind::NoRun));
    }

    #[test]
    fn files_that_are_no_events_are_refused_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EVENTS_FILE);
        let good = line(
            None,
            jiff::Timestamp::UNIX_EPOCH,
            &RunEvent::NoPatch { iteration: 1, class: "flaky".into(), reason: "x".into() },
        )
        .unwrap();
        std::fs::write(&path, format!("{good}\n{}", &good[..10])).unwrap();
        assert_eq!(read_events(&path).unwrap().len(), 1, "a torn last line is left out");
        for (bad, kind) in [
            ("nonsense".to_owned(), "a line is not an event"),
            (good.replace("\"v\":1", "\"v\":9"), "unsupported version 9 of the event records"),
            (good.replace("\"event\":\"no_patch\"", "\"event\":\"x\""), "a line is not an event"),
        ] {
            std::fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
            let error = read_events(&path).unwrap_err();
            assert_eq!((error.line, error.kind.to_string().as_str()), (Some(2), kind));
        }
    }
}
