//! Reads the files of a context: to hash them, and to send them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::entry::{Entry, Kind};
use super::error::{ContextError, ContextErrorKind};
use super::stat::Stat;
use super::stat_cache::StatCache;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder};

/// How many threads hash: the disk is the limit soon, and gates may run at the same time.
const THREADS: usize = 2;
/// Bytes that are read at once.
pub(super) const PIECE: usize = 128 << 10;
/// How long a file that changes while it is hashed is given to come to rest before it is read
/// again: just over a second in all.
const RETRY: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(10)).with_max_times(7);

/// Where an entry lies.
pub(super) fn path_of(root: &Path, entry: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(entry))
}

/// Opens a file and nothing else: no link is followed, no pipe is waited for.
pub(super) fn open(path: &Path) -> Result<(File, Stat), ContextError> {
    use rustix::fs::OFlags;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| ContextError::io(path, error))?;
    let metadata = file.metadata().map_err(|error| ContextError::io(path, error))?;
    if !metadata.is_file() {
        return Err(ContextError::new(path, ContextErrorKind::Changed));
    }
    Ok((file, Stat::of(&metadata)))
}

/// The same for a file that the walk has found: one that is gone, or a link by now, has changed.
pub(super) fn open_again(path: &Path) -> Result<(File, Stat), ContextError> {
    open(path).map_err(|error| {
        let gone = error.source.as_ref().is_some_and(|source| {
            let errno = rustix::io::Errno::from_io_error(source);
            use rustix::io::Errno;
            matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
        });
        if gone { ContextError { kind: ContextErrorKind::Changed, ..error } } else { error }
    })
}

/// Fills in the hash of every file's content: from `cache` what it knows, the rest from the
/// files. Keeps in `cache` what it may, and nothing of files that are no longer here.
pub(super) fn hash_all(
    root: &Path,
    entries: &mut [Entry],
    cache: &mut StatCache,
) -> Result<(), ContextError> {
    let known = std::mem::take(cache);
    let mut unknown = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        if let Kind::File { stat, hash, copy: None } = &mut entry.kind {
            *hash = known.get(stat);
            match hash {
                Some(hash) => cache.carry(*stat, *hash),
                None => unknown.push(at),
            }
        }
    }
    let now = SystemTime::now();
    for (at, stat, hash) in hash_these(root, entries, &unknown)? {
        if let Some(entry) = entries.get_mut(at) {
            entry.kind = Kind::File { stat, hash: Some(hash), copy: None };
        }
        cache.keep(stat, hash, now);
    }
    Ok(())
}

type Hashed = (usize, Stat, blake3::Hash);

fn hash_these(
    root: &Path,
    entries: &[Entry],
    which: &[usize],
) -> Result<Vec<Hashed>, ContextError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Hashed>, ContextError> {
        let mut buffer = vec![0; PIECE];
        let mut hashed = Vec::new();
        while let Some(&at) = which.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(entry) = entries.get(at) else { break };
            match hash(&path_of(root, &entry.path), &mut buffer) {
                Ok((stat, hash)) => hashed.push((at, stat, hash)),
                Err(error) => {
                    // Nobody takes a next one.
                    next.store(which.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(hashed)
    };
    if which.len() < THREADS {
        return work();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for thread in threads {
            match thread.join() {
                Ok(hashed) => all.extend(hashed?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

/// Copies the files that `changes` names into a file of their own, so that what is sent is what
/// was hashed however they go on changing.
pub(super) fn copy_all(
    root: &Path,
    entries: &mut [Entry],
    changes: impl Fn(&Entry) -> bool,
) -> Result<Option<File>, ContextError> {
    let mut copies: Option<File> = None;
    let mut end = 0;
    let mut buffer = vec![0; PIECE];
    for entry in entries.iter_mut().filter(|entry| changes(entry)) {
        let path = path_of(root, &entry.path);
        let failed = |error| ContextError::io(&path, error);
        let file = match &mut copies {
            Some(file) => file,
            None => copies.insert(tempfile::tempfile().map_err(failed)?),
        };
        let (stat, hash) = read_at_rest(&path, &mut buffer, Some((file, end)))?;
        entry.kind = Kind::File { stat, hash: Some(hash), copy: Some(end) };
        end += stat.size;
    }
    Ok(copies)
}

/// The content of a file as it stands between two equal looks at its stat.
fn hash(path: &Path, buffer: &mut [u8]) -> Result<(Stat, blake3::Hash), ContextError> {
    read_at_rest(path, buffer, None)
}

/// The same; the content goes into the copy too, from the given position on.
fn read_at_rest(
    path: &Path,
    buffer: &mut [u8],
    mut copy: Option<(&mut File, u64)>,
) -> Result<(Stat, blake3::Hash), ContextError> {
    let failed = |error| ContextError::io(path, error);
    let mut delays = RETRY.build();
    loop {
        let (mut file, before) = open_again(path)?;
        let mut hasher = blake3::Hasher::new();
        if let Some((copy, start)) = &mut copy {
            copy.seek(SeekFrom::Start(*start)).map_err(failed)?;
        }
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let piece = buffer.get(..n).unwrap_or_default();
                    hasher.update(piece);
                    if let Some((copy, _)) = &mut copy {
                        copy.write_all(piece).map_err(failed)?;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            if hasher.count() > before.size {
                break;
            }
        }
        let after = file.metadata().map_err(failed)?;
        if Stat::of(&after) == before && hasher.count() == before.size {
            return Ok((before, hasher.finalize()));
        }
        match delays.next() {
            Some(delay) => std::thread::sleep(delay),
            None => return Err(ContextError::new(path, ContextErrorKind::Changed)),
        }
    }
}
