//! A run's folder as a whole: the log, the files beside it, and checkpoints of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::artifact::{self, Artifact};
use super::checkpoint::Checkpoint;
use super::error::{Fault, FaultKind};
use super::merkle::{self, Hash};
use super::read::{self, Verified};
use super::record::Record;
use super::{FILE_NAME, RUN_FINISHED};
use greenloop_model::RunId;

/// The field of the last record's data that seals the log.
pub(super) const SEAL: &str = "sealed";

/// What the last record says of everything before it. Programs of before did not write it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seal {
    /// The records before it.
    pub(super) records: u64,
    /// The last of their hashes.
    pub(super) head: String,
    /// The files beside the log.
    pub(super) artifacts: Vec<Artifact>,
}

/// A run's folder in which nothing was found to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRun {
    /// The run of its records.
    pub run: RunId,
    /// The log.
    pub log: Verified,
    /// How many files the last record holds to their hash; `None` when it does not speak of any,
    /// because the run has no end, or an earlier program wrote it.
    pub artifacts: Option<usize>,
    leaves: Vec<Hash>,
}

impl VerifiedRun {
    /// Whether the log begins with the records that the checkpoint is about.
    pub fn extends(&self, checkpoint: &Checkpoint) -> bool {
        let records = usize::try_from(checkpoint.records).ok();
        checkpoint.run == self.run
            && records
                .and_then(|records| self.leaves.get(..records))
                .is_some_and(|leaves| merkle::root(leaves) == checkpoint.root)
    }

    /// The checkpoint of all of its records.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.run, self.log.records, merkle::root(&self.leaves))
    }

    /// Whether the checkpoint is about all of its records.
    pub fn is_whole_in(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.records == self.log.records && self.extends(checkpoint)
    }
}

/// Verifies a run's folder: the chain, that the folder bears the run's name, and, where the run
/// has ended, that the files beside the log are those that it left.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_run(folder: &Path) -> Result<VerifiedRun, Fault> {
    let log = folder.join(FILE_NAME);
    let file =
        read::open(&log, std::fs::OpenOptions::new().read(true)).map_err(read::OpenError::fault)?;
    let mut last: Option<Record> = None;
    let scan = read::scan(file, |record| last = Some(record))?;
    let Some(last) = last else {
        return Err(Fault { line: 1, seq: 0, what: FaultKind::Empty });
    };
    let fault = |what| Fault { line: last.seq + 1, seq: last.seq, what };
    let name = folder.file_name().and_then(|name| name.to_str());
    if name != Some(last.run.to_string().as_str()) {
        return Err(Fault { line: 1, seq: 0, what: FaultKind::Folder { run: last.run } });
    }
    let sealed = last.data.get(SEAL).filter(|_| last.event == RUN_FINISHED);
    let mut artifacts = None;
    if let Some(sealed) = sealed {
        let seal = Seal::deserialize(sealed).map_err(|_| fault(FaultKind::Seal))?;
        if seal.records != last.seq || seal.head != last.prev {
            return Err(fault(FaultKind::Sealed));
        }
        let changed = artifact::changed(folder, &seal.artifacts)
            .map_err(|error| fault(FaultKind::Files(error.kind())))?;
        if let Some((path, change)) = changed {
            return Err(fault(FaultKind::Artifact { path, change }));
        }
        artifacts = Some(seal.artifacts.len());
    }
    Ok(VerifiedRun { run: last.run, log: scan.verified, artifacts, leaves: scan.leaves })
}
