//! A context as a tar archive, piece by piece: a thread reads the files and fills a channel that
//! holds a few pieces, so that a context of any size takes the same memory, and reading waits for
//! sending.
//!
//! The archive depends on names, kinds, permissions and contents alone: entries come sorted, all
//! times are the same, everything belongs to user and group 0.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tar::{EntryType, Header};
use tokio::sync::mpsc::{Sender, channel};

use super::content::{self, PIECE};
use super::entry::{Entry, Kind};
use super::error::{ContextError, ContextErrorKind};
use super::stat::Stat;

/// Pieces that wait to be sent.
const WAITING: usize = 8;
/// 1985-10-26 08:15 UTC, the time npm packs with: zip tools refuse what is older than 1980.
const MODIFIED: u64 = 499_162_500;
/// The size of a header, and what contents are filled up to.
const BLOCK: usize = 512;
/// The longest name that a plain header holds.
const SHORT: usize = 100;

/// What goes into the archive.
#[derive(Debug)]
pub(super) struct Archive {
    /// Where the entries lie.
    pub(super) root: PathBuf,
    /// Sorted.
    pub(super) entries: Arc<Vec<Entry>>,
    /// The contents of files that keep changing, as they were hashed.
    pub(super) copies: Option<File>,
    /// Files from memory by name, sent first, instead of entries of the same name.
    pub(super) extra: Vec<(String, Vec<u8>)>,
}

impl Archive {
    /// Starts to read; dropping the stream stops it.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (sender, receiver) = channel(WAITING);
        std::thread::spawn(move || {
            let failed = sender.clone();
            if let Err(Stop::Failed(error)) = self.write(Out { sender, piece: BytesMut::new() }) {
                let _nobody_listens = failed.blocking_send(Err(error));
            }
        });
        futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        })
    }

    fn write(self, mut out: Out) -> Result<(), Stop> {
        for (name, text) in &self.extra {
            out.header(name.as_bytes(), EntryType::Regular, 0o644, text.len() as u64, None)?;
            out.put(text)?;
            out.pad(text.len() as u64)?;
        }
        for entry in self.entries.iter() {
            if self.extra.iter().any(|(name, _)| name.as_bytes() == entry.path) {
                continue;
            }
            out.entry(&self.root, self.copies.as_ref(), entry)?;
        }
        // Two empty blocks end an archive.
        out.put(&[0; 2 * BLOCK])?;
        out.send()
    }
}

/// Why the archive ends early.
enum Stop {
    /// The stream was dropped.
    Gone,
    /// A file is at fault.
    Failed(io::Error),
}

impl From<ContextError> for Stop {
    fn from(error: ContextError) -> Self {
        let kind = error.source.as_ref().map_or(io::ErrorKind::InvalidData, io::Error::kind);
        Self::Failed(io::Error::new(kind, error))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

struct Out {
    sender: Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Out {
    fn entry(&mut self, root: &Path, copies: Option<&File>, entry: &Entry) -> Result<(), Stop> {
        match (&entry.kind, copies) {
            (Kind::File { stat, copy: Some(start), .. }, Some(copies)) => {
                self.copy(copies, *start, entry, stat.size)
            }
            (kind, _) => self.entry_as_it_is(root, entry, kind),
        }
    }

    fn entry_as_it_is(&mut self, root: &Path, entry: &Entry, kind: &Kind) -> Result<(), Stop> {
        match kind {
            Kind::File { stat, .. } => self.file(root, entry, stat),
            Kind::Folder => {
                let name = [entry.path.as_slice(), b"/"].concat();
                self.header(&name, EntryType::Directory, entry.mode, 0, None)
            }
            Kind::Link(target) => {
                self.header(&entry.path, EntryType::Symlink, entry.mode, 0, Some(target))
            }
            Kind::Pipe => self.header(&entry.path, EntryType::Fifo, entry.mode, 0, None),
            Kind::Device { block, major, minor } => {
                let kind = if *block { EntryType::Block } else { EntryType::Char };
                let mut header = self.plain_header(&entry.path, kind, entry.mode, 0, None)?;
                header.set_device_major(*major)?;
                header.set_device_minor(*minor)?;
                self.put_header(header)
            }
        }
    }

    fn copy(&mut self, copies: &File, start: u64, entry: &Entry, size: u64) -> Result<(), Stop> {
        self.header(&entry.path, EntryType::Regular, entry.mode, size, None)?;
        let mut at = start;
        while at < start + size {
            let want = usize::try_from(start + size - at).unwrap_or(PIECE).min(PIECE);
            let from = self.piece.len();
            self.piece.resize(from + want, 0);
            let piece = self.piece.get_mut(from..).unwrap_or_default();
            copies.read_exact_at(piece, at)?;
            at += want as u64;
            self.send_full()?;
        }
        self.pad(size)
    }

    /// A file must be what it was when the context was scanned, before and after it is sent: the
    /// digest speaks for that, and a tar that promises another length than it holds is broken.
    fn file(&mut self, root: &Path, entry: &Entry, stat: &Stat) -> Result<(), Stop> {
        let path = content::path_of(root, &entry.path);
        let changed = || ContextError::new(&path, ContextErrorKind::Changed);
        let (mut file, now) = content::open_again(&path)?;
        if now != *stat {
            return Err(changed().into());
        }
        self.header(&entry.path, EntryType::Regular, entry.mode, stat.size, None)?;
        let mut left = stat.size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let start = self.piece.len();
            self.piece.resize(start + want, 0);
            let read = file.read(self.piece.get_mut(start..).unwrap_or_default());
            self.piece.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(changed().into()),
                Ok(n) => left -= n as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ContextError::io(&path, error).into()),
            }
            self.send_full()?;
        }
        let after = file.metadata().map_err(|error| ContextError::io(&path, error))?;
        if Stat::of(&after) != *stat {
            return Err(changed().into());
        }
        self.pad(stat.size)
    }

    fn header(
        &mut self,
        name: &[u8],
        kind: EntryType,
        mode: u32,
        size: u64,
        target: Option<&[u8]>,
    ) -> Result<(), Stop> {
        let header = self.plain_header(name, kind, mode, size, target)?;
        self.put_header(header)
    }

    /// The header, without its checksum; before it, in an extended header, what does not fit.
    fn plain_header(
        &mut self,
        name: &[u8],
        kind: EntryType,
        mode: u32,
        size: u64,
        target: Option<&[u8]>,
    ) -> Result<Header, Stop> {
        let mut records = Vec::new();
        let mut header = new_header(kind, mode, size);
        let old = header.as_old_mut();
        fill(&mut old.name, name, "path", &mut records);
        fill(&mut old.linkname, target.unwrap_or_default(), "linkpath", &mut records);
        if !records.is_empty() {
            let mut extended = new_header(EntryType::XHeader, 0o644, records.len() as u64);
            fill(&mut extended.as_old_mut().name, b"pax", "path", &mut Vec::new());
            self.put_header(extended)?;
            self.put(&records)?;
            self.pad(records.len() as u64)?;
        }
        Ok(header)
    }

    fn put_header(&mut self, mut header: Header) -> Result<(), Stop> {
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> Result<(), Stop> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over > 0 { self.put(&[0; BLOCK][over..]) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.piece.extend_from_slice(bytes);
        self.send_full()
    }

    fn send_full(&mut self) -> Result<(), Stop> {
        if self.piece.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Stop> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_| Stop::Gone)
    }
}

fn new_header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(MODIFIED);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Writes `text` into a field of a header. What is too long or not ASCII is recorded for the
/// extended header, and the field holds its beginning for those who read no such headers.
fn fill(field: &mut [u8; SHORT], text: &[u8], keyword: &str, records: &mut Vec<u8>) {
    if text.len() > SHORT || !text.is_ascii() {
        records.extend_from_slice(&record(keyword, text));
    }
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}

/// `LENGTH keyword=value` and a newline; the length counts its own digits.
fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() > length {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", keyword.as_bytes(), b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for (value, length) in [(1, 9), (90, 99), (91, 101), (92, 102), (989, 999), (990, 1001)] {
            let record = record("path", &vec![b'a'; value]);
            let text = String::from_utf8(record).unwrap();
            let stated: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, text.len(), "{value}");
            assert_eq!(text.len(), length, "{value}");
        }
    }
}
