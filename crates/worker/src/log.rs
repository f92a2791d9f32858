//! A command's output: redacted, its beginning on disk, its end in memory, its causes found.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::live_log::LogSink;
use greenloop_evidence::{ExtractLimits, Extraction, Extractor, LineRedactor, Redactor};

/// Bytes of one log on disk; beyond that only its end is kept.
const ON_DISK: usize = 32 << 20;
/// Bytes of the end that are kept in memory, and sent with a failure.
const END: usize = 48 << 10;
/// Characters of the latest line that a heartbeat carries.
const LATEST: usize = 160;

/// Takes the output of one command.
pub(super) struct TaskLog {
    redactor: LineRedactor,
    live: LogSink,
    redacted: Vec<u8>,
    file: Option<File>,
    written: usize,
    end: VecDeque<u8>,
    extractor: Extractor,
}

/// What the output came to.
pub(super) struct Output {
    /// What matters in it.
    pub(super) extraction: Extraction,
    /// Its last lines.
    pub(super) end: String,
}

impl TaskLog {
    /// A log at `path`; one that cannot be written is no reason to fail a task.
    pub(super) fn new(path: &Path, redactor: &Redactor, live: LogSink) -> Self {
        let file = File::create(path);
        if let Err(error) = &file {
            tracing::warn!(%error, path = %path.display(), "could not write the log of a task");
        }
        Self {
            redactor: redactor.line_redactor(),
            live,
            redacted: Vec::new(),
            file: file.ok(),
            written: 0,
            end: VecDeque::new(),
            extractor: Extractor::new(ExtractLimits::default()),
        }
    }

    /// The next bytes, none when the command has been quiet for a while; returns the latest whole
    /// line among them, shortened.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() {
            self.redactor.idle(&mut self.redacted);
        } else {
            self.redactor.push(bytes, &mut self.redacted);
        }
        let latest = latest(&self.redacted);
        self.pass_on();
        latest
    }

    fn pass_on(&mut self) {
        self.extractor.push(&self.redacted);
        self.live.push(&self.redacted);
        let room = ON_DISK.saturating_sub(self.written).min(self.redacted.len());
        if let Some(file) = &mut self.file
            && room > 0
        {
            if file.write_all(&self.redacted[..room]).is_err() {
                self.file = None;
            }
            self.written += room;
        }
        self.end.extend(&self.redacted);
        let surplus = self.end.len().saturating_sub(END);
        self.end.drain(..surplus);
        self.redacted.clear();
    }

    /// The end of the output.
    pub(super) fn finish(mut self, redactor: &Redactor) -> Output {
        let last = std::mem::replace(&mut self.redactor, redactor.line_redactor());
        last.finish(&mut self.redacted);
        self.pass_on();
        let end: Vec<u8> = self.end.into_iter().collect();
        let end = String::from_utf8_lossy(&end).into_owned();
        // The first line may have been cut.
        let end = match end.split_once('\n') {
            Some((_, rest)) if end.len() >= END => rest.to_owned(),
            _ => end,
        };
        Output { extraction: self.extractor.finish(redactor), end }
    }
}

fn latest(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(LATEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_gone_and_memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        let mut log = TaskLog::new(&path, &redactor, LogSink::null());
        assert_eq!(log.push(b"pw hunter2hun"), None);
        let said = log.push(b"ter2 here\n").unwrap();
        assert!(said.starts_with("pw ") && !said.contains("hunter2"), "{said}");
        for n in 0..20_000 {
            log.push(format!("line {n}\n").as_bytes());
        }
        log.push(b"error: it broke");
        let Output { extraction, end } = log.finish(&redactor);
        assert!(end.len() <= END && end.ends_with("error: it broke"), "{}", end.len());
        assert!(end.starts_with("line "), "{}", &end[..20]);
        assert_eq!(extraction.lines, 20_002);
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains("line 0\n") && !written.contains("hunter2"));
    }
}
