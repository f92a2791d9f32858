//! Reports that are written to a file when the run is over.

use std::io;
use std::path::PathBuf;

use super::file;
use super::reporter::Reporter;
use super::run_history::RunHistory;
use greenloop_model::RunEvent;

/// Turns a whole run into a file's bytes.
pub(super) type Render = fn(&RunHistory) -> io::Result<Vec<u8>>;

/// Collects the events, and writes the file with the last one, so that it is there when the
/// other reporters finish. A run that breaks off leaves a report of what there was.
#[derive(Debug)]
pub(super) struct FileReporter {
    path: PathBuf,
    render: Render,
    history: RunHistory,
    written: bool,
}

impl FileReporter {
    pub(super) fn new(path: PathBuf, render: Render) -> Self {
        Self { path, render, history: RunHistory::default(), written: false }
    }

    fn write(&mut self) -> io::Result<()> {
        self.written = true;
        file::replace(&self.path, &(self.render)(&self.history)?)
    }
}

impl Reporter for FileReporter {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        self.history.add(at, event);
        if let RunEvent::Finished(_) = event { self.write() } else { Ok(()) }
    }

    fn finish(&mut self) {
        if self.written || self.history.started.is_none() {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(path = %self.path.display(), %error, "could not write a report");
        }
    }
}
