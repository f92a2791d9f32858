//! The runs of a folder, at a glance.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::error::{Fault, FaultKind};
use super::read;
use super::record::Record;
use super::{FILE_NAME, RUN_FINISHED};
use greenloop_model::RunId;

/// One run. What could not be read is `None`; a broken log is listed with what stands before
/// its fault.
///
/// Of the opaque data, the listing reads: `title` and `environment` (strings) of the first
/// record, `outcome` (a string) of the `run.finished` record.
#[derive(Debug, Clone, PartialEq)]
pub struct RunListing {
    /// The run: the folder's name.
    pub run: RunId,
    /// The run's folder.
    pub folder: PathBuf,
    /// When its first record was written.
    pub started: Option<jiff::Timestamp>,
    /// When its last record was written.
    pub last: Option<jiff::Timestamp>,
    /// What was run.
    pub title: Option<String>,
    /// For which environment.
    pub environment: Option<String>,
    /// How it ended; `None` while it runs, or when it died.
    pub outcome: Option<String>,
    /// Whole records before the end or the fault.
    pub records: u64,
    /// Whether its last record is `run.finished`.
    pub complete: bool,
    /// The fault that ends the chain early.
    pub broken: Option<Fault>,
}

/// The runs whose folders stand in `logs_runs`, newest first. Folders that are not named after
/// a run are passed over; a folder that does not exist has no runs.
pub fn list(logs_runs: &Path) -> Vec<RunListing> {
    let Ok(entries) = std::fs::read_dir(logs_runs) else { return Vec::new() };
    let mut runs: Vec<RunListing> = entries
        .flatten()
        .filter_map(|entry| {
            let run = entry.file_name().to_str()?.parse().ok()?;
            entry.path().is_dir().then(|| one(run, entry.path()))
        })
        .collect();
    runs.sort_by_key(|listing| std::cmp::Reverse(listing.run));
    runs
}

/// The folders that have, or should have, a run's log: also one under a name that is no run's, which
/// [`verify_run`](crate::verify_run) objects to. Newest first.
pub fn folders(logs_runs: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(logs_runs) else { return Vec::new() };
    let is_run = |name: &OsStr| name.to_str().is_some_and(|name| name.parse::<RunId>().is_ok());
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter(|entry| is_run(&entry.file_name()) || entry.path().join(FILE_NAME).exists())
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.reverse();
    folders
}

fn one(run: RunId, folder: PathBuf) -> RunListing {
    let mut listing = RunListing {
        run,
        folder,
        started: None,
        last: None,
        title: None,
        environment: None,
        outcome: None,
        records: 0,
        complete: false,
        broken: None,
    };
    let log = listing.folder.join(FILE_NAME);
    let file = match read::open(&log, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) => {
            listing.broken = Some(error.fault());
            return listing;
        }
    };
    let scan = read::scan(file, |record| listing.note(&record));
    match scan {
        Ok(scan) => listing.complete = scan.verified.complete,
        Err(fault) => listing.broken = Some(fault),
    }
    if listing.broken.is_none() && listing.records == 0 {
        listing.broken = Some(Fault { line: 1, seq: 0, what: FaultKind::Empty });
    }
    listing
}

impl RunListing {
    fn note(&mut self, record: &Record) {
        let text = |key: &str| record.data.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        self.records += 1;
        self.last = Some(record.wall);
        if record.seq == 0 {
            self.started = Some(record.wall);
            self.title = text("title");
            self.environment = text("environment");
            if record.run != self.run {
                self.broken = Some(Fault { line: 1, seq: 0, what: FaultKind::Run });
            }
        }
        self.outcome = if record.event == RUN_FINISHED { text("outcome") } else { None };
    }
}
