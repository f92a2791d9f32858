//! Mirrors that nobody uses any more, and more of them than the disk is to hold.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Touched whenever a mirror is used.
const MARK: &str = "greenloop-used";

/// A mirror on the disk.
struct StoredMirror {
    folder: PathBuf,
    used: SystemTime,
    bytes: u64,
}

/// Notes that a mirror is used now.
pub(super) fn touch(mirror: &Path) {
    let path = mirror.join(MARK);
    if let Err(error) = std::fs::write(&path, []) {
        tracing::debug!(%error, path = %path.display(), "could not record the use of a mirror");
    }
}

/// Mirrors below `folder` that may go: those that were not used within `keep`, and of the others
/// the longest unused until the rest have no more than `most` bytes. Looks at every file: not on
/// a thread that others wait for.
pub(super) fn spent(
    folder: &Path,
    keep: Option<Duration>,
    most: u64,
    now: SystemTime,
) -> Vec<PathBuf> {
    let mut mirrors: Vec<StoredMirror> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .map(|folder| StoredMirror { used: used(&folder), bytes: bytes(&folder), folder })
        .collect();
    mirrors.sort_by_key(|mirror| std::cmp::Reverse(mirror.used));
    let mut sum = 0u64;
    let gone = mirrors.into_iter().filter(|mirror| {
        sum = sum.saturating_add(mirror.bytes);
        let age = now.duration_since(mirror.used).unwrap_or_default();
        sum > most || keep.is_some_and(|keep| age > keep)
    });
    gone.map(|mirror| mirror.folder).collect()
}

/// One that was made by a version that did not note it counts from its last fetch.
fn used(mirror: &Path) -> SystemTime {
    let of = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
    of(&mirror.join(MARK)).or_else(|| of(mirror)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn bytes(mirror: &Path) -> u64 {
    let files = ignore::WalkBuilder::new(mirror).standard_filters(false).build().flatten();
    files
        .filter_map(|entry| entry.metadata().ok())
        .filter(|it| it.is_file())
        .map(|it| it.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let day = Duration::from_secs(24 * 3600);
        for (name, age, size) in [("new", 0, 600), ("week", 7, 300), ("month", 30, 10)] {
            let mirror = folder.path().join(name);
            std::fs::create_dir(&mirror).unwrap();
            std::fs::write(mirror.join("pack"), vec![0; size]).unwrap();
            touch(&mirror);
            let mark = std::fs::File::open(mirror.join(MARK)).unwrap();
            mark.set_modified(now - age * day).unwrap();
        }
        let gone = |keep: Option<Duration>, most| {
            let gone = spent(folder.path(), keep, most, now);
            gone.iter()
                .map(|it| it.file_name().unwrap().to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(gone(None, u64::MAX), [""; 0]);
        assert_eq!(gone(Some(14 * day), u64::MAX), ["month"]);
        assert_eq!(gone(Some(day), u64::MAX), ["week", "month"]);
        assert_eq!(gone(None, 700), ["week", "month"]);
        assert_eq!(gone(None, 900), ["month"]);
        assert_eq!(gone(None, 0), ["new", "week", "month"]);
    }
}
