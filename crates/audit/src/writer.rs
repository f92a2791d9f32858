//! The only writer of a run's log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::artifact::artifacts;
use super::checkpoint::Checkpoint;
use super::error::{AuditError, AuditErrorKind};
use super::merkle::{self, Hash};
use super::read;
use super::record::{Actor, Draft, GENESIS, Record, RecordId};
use super::run::{SEAL, Seal};
use super::{MAX_LINE, TORN_TAIL};
use greenloop_model::RunId;

/// Takes secrets out of a text. Applied to every string that is appended.
pub type Redact = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Receives a checkpoint of the log while it grows.
pub type KeepCheckpoint = Box<dyn FnMut(Checkpoint) + Send + Sync>;

/// When a record is on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDisk {
    Now,
    WithNext,
}

/// Disk space kept behind the last record, so that a full disk still takes the closing one.
const RESERVE: u64 = 64 << 10;

/// A torn last line that [`Writer::resume`] cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub bytes: u64,
    /// Where its bytes were saved.
    pub saved_as: PathBuf,
}

/// Appends records to one run's log. There must be one writer for a log at a time; the run's
/// lock sees to that.
pub struct Writer {
    path: PathBuf,
    file: File,
    redact: Redact,
    run: RunId,
    seq: u64,
    head: String,
    /// The Merkle leaf of each record.
    leaves: Vec<Hash>,
    /// Where the next record goes: the end of the last whole one.
    end: u64,
    /// How far disk space is allocated, as far as we know.
    allocated: u64,
    started: Instant,
    /// What earlier processes of this run have on the clock.
    before: Duration,
    poisoned: bool,
    /// After how many records a checkpoint is made, and who keeps it.
    checkpoints: Option<(u64, KeepCheckpoint)>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("seq", &self.seq).finish()
    }
}

impl Writer {
    /// Starts the log of `run`. Its folder exists; the file does not.
    pub fn create(path: &Path, run: RunId, redact: Redact) -> Result<Self, AuditError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(io_error(path, "create the audit log"))?;
        sync_folder(path)?;
        let mut writer = Self::at(path, file, redact, run);
        // Best effort: a file system without preallocation works as well, until it is full.
        let _unsupported = writer.reserve(0);
        Ok(writer)
    }

    /// Takes up the log of a run whose process is gone: verifies all of it, cuts, saves and
    /// records a torn last line, and returns the records the log then has.
    ///
    /// # Errors
    /// [`AuditErrorKind::Fault`] for anything that is wrong before the last line, and
    /// [`AuditErrorKind::Empty`] when there is no whole record; neither changes the file.
    pub fn resume(
        path: &Path,
        redact: Redact,
    ) -> Result<(Self, Vec<Record>, Option<TornTail>), AuditError> {
        let file = read::open(path, OpenOptions::new().read(true).write(true))
            .map_err(|error| error.at(path))?;
        let mut records = Vec::new();
        let scan = read::scan(&file, |record| records.push(record))
            .map_err(|fault| AuditError::new(path, fault))?;
        let Some(last) = records.last() else {
            return Err(AuditError::new(path, AuditErrorKind::Empty));
        };
        let mut writer = Self::at(path, file, redact, last.run);
        writer.seq = last.seq + 1;
        writer.head.clone_from(&last.hash);
        writer.leaves = scan.leaves;
        writer.end = scan.end;
        writer.allocated = scan.end;
        // The monotonic clock died with the process; the wall clock bridges the gap.
        let gap = jiff::Timestamp::now().duration_since(last.wall);
        writer.before =
            Duration::from_millis(last.mono_ms) + Duration::try_from(gap).unwrap_or(Duration::ZERO);
        let torn = if scan.verified.torn { Some(writer.cut_torn_tail()?) } else { None };
        if let Some(torn) = &torn {
            let saved_as = torn.saved_as.file_name().map(|name| name.to_string_lossy());
            let data = serde_json::json!({ "bytes": torn.bytes, "saved_as": saved_as });
            records.push(writer.append_record(&Actor::Machine, TORN_TAIL, data, OnDisk::Now)?);
        }
        Ok((writer, records, torn))
    }

    fn at(path: &Path, file: File, redact: Redact, run: RunId) -> Self {
        Self {
            path: path.to_owned(),
            file,
            redact,
            run,
            seq: 0,
            head: GENESIS.to_owned(),
            leaves: Vec::new(),
            end: 0,
            allocated: 0,
            started: Instant::now(),
            before: Duration::ZERO,
            poisoned: false,
            checkpoints: None,
        }
    }

    /// As on a file system that cannot preallocate.
    #[cfg(test)]
    pub(super) fn forget_preallocation(&mut self) {
        self.file.set_len(self.end).unwrap();
        self.allocated = u64::MAX;
    }

    /// From now on `keep` gets a checkpoint after every so many records; [`Writer::close`] returns
    /// the last one. What was kept elsewhere finds a log that was rewritten while its run lives.
    pub fn checkpoint_every(&mut self, records: std::num::NonZeroU64, keep: KeepCheckpoint) {
        self.checkpoints = Some((records.get(), keep));
    }

    pub fn run(&self) -> RunId {
        self.run
    }

    /// The last record's hash; 64 zeros before the first.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Appends one record and returns when it is on the disk.
    ///
    /// # Errors
    /// After any error the file ends with the last whole record (its torn tail is cut) and the
    /// writer takes nothing more but [`Writer::close`]: the caller must not run the effect.
    pub fn append(
        &mut self,
        actor: &Actor,
        event: &str,
        data: Value,
    ) -> Result<RecordId, AuditError> {
        let record = self.append_record(actor, event, data, OnDisk::Now)?;
        Ok(RecordId { seq: record.seq, hash: record.hash })
    }

    /// Appends one record that is on the disk only with the next [`Writer::append`]: for what allows
    /// no effect by itself.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_with_next(
        &mut self,
        actor: &Actor,
        event: &str,
        data: Value,
    ) -> Result<(), AuditError> {
        self.append_record(actor, event, data, OnDisk::WithNext).map(drop)
    }

    /// Appends the run's last record, `run.finished`: `data`, an object, and what seals the log
    /// and the files beside it in `folder`. Works after a failed append too, as long as the torn
    /// tail could be cut: for this the space was reserved.
    ///
    /// Returns the checkpoint of the whole log.
    ///
    /// # Errors
    /// As [`Writer::append`], and when a file in the folder cannot be read.
    pub fn close(
        mut self,
        actor: &Actor,
        data: Value,
        folder: &Path,
    ) -> Result<Checkpoint, AuditError> {
        let actor = self.redacted_actor(actor);
        let mut data = self.redacted(data);
        let artifacts =
            artifacts(folder).map_err(io_error(folder, "read the files that the run leaves"))?;
        let seal = Seal { records: self.seq, head: self.head.clone(), artifacts };
        if let Some(fields) = data.as_object_mut() {
            let seal = serde_json::to_value(seal).map_err(|error| self.error(error.into()))?;
            fields.insert(SEAL.to_owned(), seal);
        }
        self.write(&actor, super::RUN_FINISHED, data, 0, OnDisk::Now)?;
        // Gives back what was reserved; a log that keeps it is as good.
        let _kept = self.file.set_len(self.end);
        Ok(Checkpoint::new(self.run, self.seq, merkle::root(&self.leaves)))
    }

    fn append_record(
        &mut self,
        actor: &Actor,
        event: &str,
        data: Value,
        on_disk: OnDisk,
    ) -> Result<Record, AuditError> {
        if self.poisoned {
            return Err(self.error(AuditErrorKind::Poisoned));
        }
        let actor = self.redacted_actor(actor);
        let (event, data) = ((self.redact)(event), self.redacted(data));
        let result = self.write(&actor, &event, data, RESERVE, on_disk);
        self.poisoned = result.is_err();
        result
    }

    /// `reserve` is the space that must be left allocated behind the record.
    fn write(
        &mut self,
        actor: &Actor,
        event: &str,
        data: Value,
        reserve: u64,
        on_disk: OnDisk,
    ) -> Result<Record, AuditError> {
        let elapsed = self.before + self.started.elapsed();
        let draft = Draft {
            seq: self.seq,
            prev: &self.head,
            // As it is written: reading it back gives an equal record.
            wall: to_millis(jiff::Timestamp::now()),
            mono_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            run: self.run,
            actor,
            event,
            data: &data,
        };
        let (line, hash) = draft.line().map_err(|error| self.error(error.into()))?;
        let (wall, mono_ms) = (draft.wall, draft.mono_ms);
        if line.len() > MAX_LINE {
            return Err(self.error(AuditErrorKind::TooLong { bytes: line.len() }));
        }
        let length = line.len() as u64;
        // No checkpoint says more than the disk has.
        let due = |(every, _): &(u64, KeepCheckpoint)| (self.seq + 1).is_multiple_of(*every);
        let on_disk =
            if self.checkpoints.as_ref().is_some_and(due) { OnDisk::Now } else { on_disk };
        if self.end + length + reserve > self.allocated && reserve > 0 {
            self.reserve(length).map_err(io_error(&self.path, "reserve disk space"))?;
        }
        let written = self
            .file
            .write_all_at(&line, self.end)
            .and_then(|()| match on_disk {
                OnDisk::Now => self.file.sync_data(),
                OnDisk::WithNext => Ok(()),
            })
            .and_then(|()| self.still_there());
        if let Err(source) = written {
            // Truncation also gives back the reserved space behind the end, which is then free
            // for the closing record.
            let cut = self.file.set_len(self.end).and_then(|()| self.file.sync_data());
            self.allocated = self.end;
            return Err(match cut {
                Ok(()) => io_error(&self.path, "append to the audit log")(source),
                Err(cut) => io_error(
                    &self.path,
                    "remove the truncated last record of the audit \
                    log",
                )(cut),
            });
        }
        self.leaves.push(merkle::leaf(&line[..line.len() - 1]));
        let prev = std::mem::replace(&mut self.head, hash.clone());
        let seq = self.seq;
        self.end += length;
        self.seq += 1;
        if event != super::RUN_FINISHED
            && let Some((every, keep)) = &mut self.checkpoints
            && self.seq.is_multiple_of(*every)
        {
            keep(Checkpoint::new(self.run, self.seq, merkle::root(&self.leaves)));
        }
        Ok(Record {
            seq,
            prev,
            hash,
            wall,
            mono_ms,
            run: self.run,
            actor: actor.clone(),
            event: event.to_owned(),
            data,
        })
    }

    /// A record in a file that has no name any more is on no disk.
    fn still_there(&self) -> io::Result<()> {
        match self.file.metadata()?.nlink() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted")),
            _ => Ok(()),
        }
    }

    /// Allocates space for `length` bytes and the reserve behind them, and some more, so that
    /// not every record asks for it. The file's size stays what it is.
    #[cfg(target_os = "linux")]
    fn reserve(&mut self, length: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let mut wanted = length + 2 * RESERVE;
        loop {
            match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, wanted) {
                Ok(()) => {
                    self.allocated = self.end + wanted;
                    return Ok(());
                }
                // Some network file systems cannot: their writes fail, and are cut, instead.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    self.allocated = u64::MAX;
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOSPC | Errno::DQUOT) if wanted > length + RESERVE => {
                    wanted = length + RESERVE;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&mut self, _length: u64) -> io::Result<()> {
        self.allocated = u64::MAX;
        Ok(())
    }

    fn cut_torn_tail(&mut self) -> Result<TornTail, AuditError> {
        let length =
            self.file.metadata().map_err(io_error(&self.path, "read the audit log's size"))?.len();
        let bytes = length - self.end;
        // The scan refuses longer tails, so this is at most MAX_LINE.
        let mut tail = vec![0; usize::try_from(bytes).unwrap_or(MAX_LINE)];
        self.file
            .read_exact_at(&mut tail, self.end)
            .map_err(io_error(&self.path, "read the truncated last record of the audit log"))?;
        let saved_as = self
            .save_tail(&tail)
            .map_err(io_error(&self.path, "save the truncated last record of the audit log"))?;
        sync_folder(&self.path)?;
        self.file
            .set_len(self.end)
            .and_then(|()| self.file.sync_data())
            .map_err(io_error(&self.path, "remove the truncated last record of the audit log"))?;
        Ok(TornTail { bytes, saved_as })
    }

    fn save_tail(&self, tail: &[u8]) -> io::Result<PathBuf> {
        use std::io::Write as _;
        let mut n = 1u32;
        loop {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".torn-{n}"));
            let saved_as = PathBuf::from(name);
            match OpenOptions::new().write(true).create_new(true).open(&saved_as) {
                Ok(mut file) => {
                    file.write_all(tail)?;
                    file.sync_all()?;
                    return Ok(saved_as);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn error(&self, kind: AuditErrorKind) -> AuditError {
        AuditError::new(&self.path, kind)
    }

    fn redacted_actor(&self, actor: &Actor) -> Actor {
        match actor {
            Actor::Machine => Actor::Machine,
            Actor::Author(name) => Actor::Author((self.redact)(name)),
            Actor::Reviewer(name) => Actor::Reviewer((self.redact)(name)),
            Actor::Human(name) => Actor::Human((self.redact)(name)),
        }
    }

    fn redacted(&self, data: Value) -> Value {
        match data {
            Value::Null | Value::Bool(_) | Value::Number(_) => data,
            Value::String(text) => Value::String((self.redact)(&text)),
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.redacted(item)).collect())
            }
            Value::Object(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(key, value)| ((self.redact)(&key), self.redacted(value)))
                    .collect(),
            ),
        }
    }
}

fn to_millis(now: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError { path, kind: AuditErrorKind::Io { doing, source } }
}

/// A file that was created is only there after a crash when its folder was synced.
fn sync_folder(path: &Path) -> Result<(), AuditError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error(path, "sync the run's folder"))
}
