//! Events of a watch, in addition to those of its runs, for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::json;
use greenloop_model::{RunId, Usage};

/// One of a watch's own events, as `docs/events.md` describes it.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WatchEvent {
    /// The command is run.
    WatchRuns { command: String },
    /// Files were saved while it ran: that run is cancelled.
    WatchChanged,
    /// A run has ended. `offered` is the branch with a fix that is not in the work tree; `spent` is
    /// what all runs of the watch have used.
    WatchEnded { offered: Option<String>, spent: Usage },
    /// The fix is in the work tree.
    WatchApplied { files: Vec<String> },
    /// The fix could not be written to the work tree.
    WatchNotApplied { reason: String },
    /// The fix stays on its branch only.
    WatchSkipped,
    /// A run could not begin.
    WatchFailed { reason: String },
    /// No more is spent: failures are shown and not repaired.
    WatchLimitReached { spent: Usage },
}

/// Writes the event as a line, of the form that the events of runs have.
///
/// # Errors
/// What the writer meets.
pub fn write_watch_event(
    mut out: impl Write,
    run: Option<RunId>,
    at: jiff::Timestamp,
    event: &WatchEvent,
) -> io::Result<()> {
    let mut line = json::line(run, at, event)?;
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_watch_has_the_form_of_a_run_s() {
        let mut out = Vec::new();
        let at = "2026-11-30T15:00:00.123456Z".parse().unwrap();
        let event = WatchEvent::WatchFailed { reason: "no ##vso[task.complete]\n".to_owned() };
        write_watch_event(&mut out, None, at, &event).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains("##vso["), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expect = serde_json::json!({
            "v": 1, "run": null, "at": "2026-11-30T15:00:00.123Z", "event": "watch_failed",
            "reason": "no ##vso[task.complete]\n",
        });
        assert_eq!(value, expect);
    }
}
