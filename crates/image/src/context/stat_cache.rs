//! What files held when they were last read, so that an unchanged file is not read again.
//!
//! A file is known by device, inode, size and the times of its last change. A change leaves no
//! trace in them when it comes in the same tick of the clock as the time that is on record, so
//! nothing is kept of a file that was changed shortly before it was read (git's rule for an index
//! that is "racily clean"): it is read once more the next time.
//!
//! A cache that is missing, damaged or of another version is empty; one that cannot be written is
//! as good as none. Neither fails a build.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::stat::Stat;

/// Changes with the layout.
const MAGIC: &[u8; 16] = b"greenloop-stat1\n";
/// More than a million files' worth.
const LARGEST: u64 = 128 << 20;
/// Bytes of one record.
const RECORD: usize = 7 * 8 + blake3::OUT_LEN;
/// How long before the reading a file must have been changed: longer than the clock tick of any
/// file system in use (FAT counts in two seconds).
const TICK: i64 = 2;

/// Stat to content.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    known: HashMap<(u64, u64), (Stat, blake3::Hash)>,
}

impl StatCache {
    /// What was written to `path` before.
    pub(super) fn read(path: &Path) -> Self {
        let known = std::fs::metadata(path)
            .ok()
            .filter(|file| file.is_file() && file.len() <= LARGEST)
            .and_then(|_| std::fs::read(path).ok())
            .and_then(|bytes| decode(&bytes))
            .unwrap_or_default();
        Self { known }
    }

    /// The content of a file that looks like this, when it is known.
    pub(super) fn get(&self, stat: &Stat) -> Option<blake3::Hash> {
        let (known, hash) = self.known.get(&(stat.device, stat.inode))?;
        (known == stat).then_some(*hash)
    }

    /// Keeps the content of a file that was read at `now`, unless it is too fresh.
    pub(super) fn keep(&mut self, stat: Stat, hash: blake3::Hash, now: SystemTime) {
        if !is_fresh(&stat, now) {
            self.carry(stat, hash);
        }
    }

    /// Keeps what was known before.
    pub(super) fn carry(&mut self, stat: Stat, hash: blake3::Hash) {
        self.known.insert((stat.device, stat.inode), (stat, hash));
    }

    /// Writes it as a whole or not at all.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".stat-cache-").tempfile_in(folder)?;
        file.write_all(&self.encode())?;
        file.persist(path)?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut records: Vec<_> = self.known.values().collect();
        records.sort_unstable_by_key(|(stat, _)| (stat.device, stat.inode));
        let mut bytes = Vec::with_capacity(MAGIC.len() + records.len() * RECORD + blake3::OUT_LEN);
        bytes.extend_from_slice(MAGIC);
        for (stat, hash) in records {
            for number in [stat.device, stat.inode, stat.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [stat.modified.0, stat.modified.1, stat.changed.0, stat.changed.1] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(hash.as_bytes());
        }
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }
}

/// Whether the file was changed within a tick of `now`, or the kernel's own time of its change
/// lies ahead, as it does when another machine keeps the file by a clock of its own.
fn is_fresh(stat: &Stat, now: SystemTime) -> bool {
    let Ok(now) = now.duration_since(UNIX_EPOCH) else { return true };
    let Ok(now) = i64::try_from(now.as_secs()) else { return true };
    let near = stat.modified.0 >= now - TICK && stat.modified.0 <= now + TICK;
    near || stat.changed.0 >= now - TICK
}

fn decode(bytes: &[u8]) -> Option<HashMap<(u64, u64), (Stat, blake3::Hash)>> {
    let (body, sum) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>()?;
    if blake3::hash(body) != blake3::Hash::from_bytes(*sum) {
        return None;
    }
    let records = body.strip_prefix(MAGIC)?;
    let mut known = HashMap::with_capacity(records.len() / RECORD);
    for record in records.chunks(RECORD) {
        let number = |at: usize| record.get(at * 8..)?.first_chunk::<8>().copied();
        let unsigned = |at| number(at).map(u64::from_le_bytes);
        let signed = |at| number(at).map(i64::from_le_bytes);
        let stat = Stat {
            device: unsigned(0)?,
            inode: unsigned(1)?,
            size: unsigned(2)?,
            modified: (signed(3)?, signed(4)?),
            changed: (signed(5)?, signed(6)?),
        };
        let hash = blake3::Hash::from_bytes(*record.get(7 * 8..)?.first_chunk()?);
        known.insert((stat.device, stat.inode), (stat, hash));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stat(seconds: i64) -> Stat {
        Stat { device: 1, inode: 2, size: 3, modified: (seconds, 4), changed: (seconds, 5) }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_file_is_known_again_until_anything_about_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/cache");
        let hash = blake3::hash(b"content");
        let mut cache = StatCache::default();
        cache.keep(stat(1_000), hash, at(2_000));
        cache.write(&path).unwrap();
        let cache = StatCache::read(&path);
        let same = stat(1_000);
        assert_eq!(cache.get(&same), Some(hash));
        for other in [
            Stat { device: 9, ..same },
            Stat { inode: 9, ..same },
            Stat { size: 9, ..same },
            Stat { modified: (1_000, 9), ..same },
            Stat { changed: (1_000, 9), ..same },
        ] {
            assert_eq!(cache.get(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_fresh_file_is_not_trusted() {
        for (modified, changed, now, kept) in [
            (1_000, 1_000, 1_000, false),
            (1_000, 1_000, 1_002, false),
            (1_000, 1_000, 1_003, true),
            // A time of modification can be set at will, that of the inode cannot.
            (500, 1_000, 1_001, false),
            (9_000, 500, 1_000, true),
            (500, 9_000, 1_000, false),
        ] {
            let mut cache = StatCache::default();
            let stat = Stat { modified: (modified, 0), changed: (changed, 0), ..stat(0) };
            cache.keep(stat, blake3::hash(b""), at(now));
            assert_eq!(cache.get(&stat).is_some(), kept, "{modified} {changed} {now}");
        }
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let mut cache = StatCache::default();
        cache.keep(stat(1), blake3::hash(b"x"), at(2_000));
        let whole = cache.encode();
        assert!(decode(&whole).is_some_and(|known| known.len() == 1));
        for damaged in [
            Vec::new(),
            b"garbage".to_vec(),
            whole[..whole.len() - 1].to_vec(),
            whole[..40].to_vec(),
            whole.iter().enumerate().map(|(at, b)| if at == 30 { b ^ 1 } else { *b }).collect(),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            assert!(StatCache::read(&path).known.is_empty(), "{} bytes", damaged.len());
        }
        assert!(StatCache::read(&dir.path().join("none")).known.is_empty());
        assert!(StatCache::read(dir.path()).known.is_empty());
    }
}
