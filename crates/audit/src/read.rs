//! Reading and verifying, a line at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::checkpoint::Checkpoint;
use super::error::{AuditError, AuditErrorKind, Fault, FaultKind};
use super::merkle::{self, ConsistencyProof, Hash};
use super::record::{self, GENESIS, Record};
use super::{MAX_LINE, RUN_FINISHED};

/// What a verified log is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whole records.
    pub records: u64,
    /// The last whole record's hash.
    pub head: String,
    /// Whether a torn line follows it: the process died, or the file was cut, within a record.
    pub torn: bool,
    /// Whether the last record is [`RUN_FINISHED`] and nothing follows it. Where it is not, the
    /// run did not end, or whole records were cut off: the chain cannot tell the two apart.
    pub complete: bool,
}

/// Where the whole records end, and what follows them.
pub(super) struct Scan {
    pub(super) verified: Verified,
    /// Offset after the last whole record.
    pub(super) end: u64,
    /// The Merkle leaf of each whole record.
    pub(super) leaves: Vec<Hash>,
}

/// Walks the chain and hands each record to `each`.
pub(super) fn scan(input: impl Read, mut each: impl FnMut(Record)) -> Result<Scan, Fault> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut line = Vec::new();
    let (mut seq, mut end, mut torn) = (0, 0, false);
    let (mut prev, mut run, mut finished) = (GENESIS.to_owned(), None, false);
    let mut leaves = Vec::new();
    loop {
        let fault = |what| Fault { line: seq + 1, seq, what };
        line.clear();
        let limit = MAX_LINE as u64 + 1;
        input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|error| fault(FaultKind::Unreadable(error.kind())))?;
        if line.is_empty() {
            break;
        }
        let length = line.len() as u64;
        if line.pop() != Some(b'\n') {
            if length == limit {
                return Err(fault(FaultKind::TooLong));
            }
            torn = true;
            break;
        }
        let record = record::parse(&line, seq, &prev, run).map_err(fault)?;
        if finished {
            return Err(fault(FaultKind::AfterEnd));
        }
        leaves.push(merkle::leaf(&line));
        prev.clone_from(&record.hash);
        run = Some(record.run);
        finished = record.event == RUN_FINISHED;
        end += length;
        seq += 1;
        each(record);
    }
    let verified = Verified { records: seq, head: prev, torn, complete: finished && !torn };
    Ok(Scan { verified, end, leaves })
}

/// Opens a regular file. Anything else is refused unopened: a pipe would wait for its other end.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<File, OpenError> {
    // Nor a link: what it leads to is not in the run's folder.
    if std::fs::symlink_metadata(path).map_err(OpenError::Io)?.is_file() {
        options.open(path).map_err(OpenError::Io)
    } else {
        Err(OpenError::NotAFile)
    }
}

/// Why a log could not be opened.
pub(super) enum OpenError {
    Io(io::Error),
    NotAFile,
}

impl OpenError {
    pub(super) fn fault(self) -> Fault {
        let what = match self {
            Self::Io(error) => FaultKind::Unreadable(error.kind()),
            Self::NotAFile => FaultKind::NotAFile,
        };
        Fault { line: 1, seq: 0, what }
    }

    pub(super) fn at(self, path: &Path) -> AuditError {
        match self {
            Self::Io(source) => {
                AuditError::new(path, AuditErrorKind::Io { doing: "open the audit log", source })
            }
            Self::NotAFile => AuditError::new(path, self.fault()),
        }
    }
}

/// All whole records, verified. A torn last line is left out (and left alone).
pub fn read(path: &Path) -> Result<Vec<Record>, AuditError> {
    let mut records = Vec::new();
    let file = open(path, OpenOptions::new().read(true)).map_err(|error| error.at(path))?;
    scan(file, |record| records.push(record)).map_err(|fault| AuditError::new(path, fault))?;
    Ok(records)
}

/// Proves the chain, holding one record in memory at a time. A log without a whole record is a
/// fault of record 0.
pub fn verify(path: &Path) -> Result<Verified, Fault> {
    let file = open(path, OpenOptions::new().read(true)).map_err(OpenError::fault)?;
    let scan = scan(file, drop)?;
    if scan.verified.records == 0 {
        return Err(Fault { line: 1, seq: 0, what: FaultKind::Empty });
    }
    Ok(scan.verified)
}

/// Proves that the first `to` records of a log begin with its first `from` ones, for
/// [`Checkpoint::is_extended_by`]; `None` where it has fewer records. The log may be that of a
/// living run.
///
/// # Errors
/// A log that cannot be read or is broken.
pub fn consistency_proof(
    path: &Path,
    from: u64,
    to: u64,
) -> Result<Option<ConsistencyProof>, Fault> {
    let file = open(path, OpenOptions::new().read(true)).map_err(OpenError::fault)?;
    let scan = scan(file, drop)?;
    let ends = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    Ok(ends.filter(|(from, to)| from <= to).and_then(|(from, to)| {
        let leaves = scan.leaves.get(..to)?;
        Some(ConsistencyProof(merkle::consistency(leaves, from)))
    }))
}

/// [`verify`] for a log that is no file, with the checkpoint of its records.
pub fn verify_log(log: impl Read) -> Result<(Verified, Checkpoint), Fault> {
    let mut run = None;
    let scan = scan(log, |record| run = Some(record.run))?;
    let Some(run) = run else {
        return Err(Fault { line: 1, seq: 0, what: FaultKind::Empty });
    };
    let checkpoint = Checkpoint::new(run, scan.verified.records, merkle::root(&scan.leaves));
    Ok((scan.verified, checkpoint))
}
