//! A service's log: two files of bounded size, `service.log` and the one before it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The size at which a new file is begun.
const LARGEST: u64 = 4 * 1024 * 1024;
const NAME: &str = "service.log";

/// A place in a log, which stays right when the log moves on to the next file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogMark {
    /// How often a new file had been begun.
    pub(super) files: u64,
    /// Bytes in the file of then.
    pub(super) offset: u64,
}

/// The writing end. A full disk loses output; it never stops the service.
#[derive(Debug)]
pub(super) struct ServiceLog {
    folder: PathBuf,
    file: Option<File>,
    size: u64,
    files: u64,
    largest: u64,
}

impl ServiceLog {
    /// Goes on with the log in `folder`.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        let file = append(folder)?;
        let size = file.metadata()?.len();
        let files = newest_old(folder).unwrap_or(0);
        Ok(Self { folder: folder.to_owned(), file: Some(file), size, files, largest: LARGEST })
    }

    /// Where it stands now.
    pub(super) fn mark(&self) -> LogMark {
        LogMark { files: self.files, offset: self.size }
    }

    /// Adds `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.size > 0 && self.size + bytes.len() as u64 > self.largest {
            self.begin_file();
        }
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_ok()
        {
            self.size += bytes.len() as u64;
        }
    }

    fn begin_file(&mut self) {
        let old = old_path(&self.folder, self.files);
        let next = old_path(&self.folder, self.files + 1);
        if std::fs::rename(self.folder.join(NAME), next).is_ok() {
            let _never_was = std::fs::remove_file(old);
            self.files += 1;
            self.size = 0;
            self.file = append(&self.folder).ok();
        }
    }
}

fn append(folder: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(folder.join(NAME))
}

fn old_path(folder: &Path, files: u64) -> PathBuf {
    folder.join(format!("{NAME}.{files}"))
}

/// The number of the file before the current one: how many there have been before it.
fn newest_old(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries
        .filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok()
        })
        .max()
}

/// At most the last `limit` bytes of what was written since `mark`, from a line's beginning when
/// something had to be left out.
pub(super) fn read_since(folder: &Path, mark: LogMark, limit: u64) -> std::io::Result<Vec<u8>> {
    let files = newest_old(folder).unwrap_or(0);
    let mut parts: Vec<(PathBuf, u64)> = Vec::new();
    if files > mark.files {
        // The file of then, when it is the last one before; otherwise it is gone.
        let from = if files == mark.files + 1 { mark.offset } else { 0 };
        parts.push((old_path(folder, files), from));
        parts.push((folder.join(NAME), 0));
    } else {
        parts.push((folder.join(NAME), mark.offset));
    }
    let mut left = limit;
    let mut pieces = Vec::new();
    let mut cut = false;
    for (path, from) in parts.into_iter().rev() {
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let length = file.metadata()?.len();
        let begin = from.max(length.saturating_sub(left)).min(length);
        cut |= begin > from;
        file.seek(SeekFrom::Start(begin))?;
        let mut piece = Vec::new();
        file.take(left).read_to_end(&mut piece)?;
        left = left.saturating_sub(piece.len() as u64);
        pieces.push(piece);
    }
    pieces.reverse();
    let mut bytes = pieces.concat();
    if cut && let Some(end) = bytes.iter().position(|b| *b == b'\n') {
        bytes.drain(..=end);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: LogMark = LogMark { files: 0, offset: 0 };

    #[test]
    fn stays_bounded_and_is_read_since_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = ServiceLog::open(folder.path()).unwrap();
        log.largest = 100;
        log.write(b"before\n");
        let mark = log.mark();
        log.write(b"after\n");
        assert_eq!(read_since(folder.path(), mark, 1000).unwrap(), b"after\n");
        for n in 0..12 {
            log.write(format!("line {n:04}\n").as_bytes());
        }
        let text = String::from_utf8(read_since(folder.path(), mark, 1000).unwrap()).unwrap();
        assert!(text.starts_with("after\nline 0000\n") && text.ends_with("line 0011\n"), "{text}");
        for n in 12..1000 {
            log.write(format!("line {n:04}\n").as_bytes());
        }
        let size: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size <= 200, "{size}");
        let tail = read_since(folder.path(), mark, 25).unwrap();
        assert_eq!(String::from_utf8(tail).unwrap(), "line 0998\nline 0999\n");
        let again = ServiceLog::open(folder.path()).unwrap();
        assert_eq!(again.mark(), log.mark());
    }

    #[test]
    fn a_log_that_never_was_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_since(folder.path(), START, 10).unwrap(), b"");
    }
}
