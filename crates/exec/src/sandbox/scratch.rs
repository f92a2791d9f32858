//! Whose the folder is in which a run's commands have their home.
//!
//! Beside the folder lies a lock file. The process of the run holds its lock as long as it lives;
//! the kernel releases that of a process that was killed. Whoever gets the lock of another may
//! remove the folder: its run is dead, whatever the age of its files and whoever has its process's
//! number by now. A folder without a lock file is left alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::remove_scratch;
use greenloop_model::RunId;

/// The ending of a lock file's name, after that of the folder.
const LOCK: &str = "lock";

/// The right to a scratch folder; removes the lock file when it is dropped.
#[derive(Debug)]
pub struct ScratchOwner {
    path: PathBuf,
    _lock: File,
}

impl ScratchOwner {
    /// Of `folder`, before it is made. `None` where the file system has no locks or takes no file:
    /// nobody removes the folder then but its own run.
    pub fn take(folder: &Path) -> Option<Self> {
        let path = folder.with_extension(LOCK);
        std::fs::create_dir_all(path.parent()?).ok()?;
        loop {
            let lock = open(&path, true).ok()?;
            // Held for a moment by who removes what an earlier process of the run has left.
            lock.lock().ok()?;
            if is_at(&lock, &path) {
                return Some(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for ScratchOwner {
    fn drop(&mut self) {
        // One that stays is removed by the next run.
        let _stays = std::fs::remove_file(&self.path);
    }
}

/// Removes the scratch folders in `sandboxes` whose runs are dead, at most this many; those that it
/// removed.
pub fn sweep_scratch(sandboxes: &Path, most: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sandboxes).into_iter().flatten().flatten();
    let locks = entries.map(|entry| entry.path()).filter(|path| is_lock(path));
    locks.filter_map(|lock| remove_abandoned(&lock)).take(most).collect()
}

/// `RUN.lock`.
fn is_lock(path: &Path) -> bool {
    let run = path.file_stem().and_then(|stem| stem.to_str());
    path.extension().is_some_and(|ending| ending == LOCK)
        && run.is_some_and(|run| run.parse::<RunId>().is_ok())
}

/// The folder of a lock that no process holds, after its removal.
fn remove_abandoned(path: &Path) -> Option<PathBuf> {
    let lock = open(path, false).ok()?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    if !is_at(&lock, path) {
        return None;
    }
    let folder = path.with_extension("");
    let removed = match remove_scratch(&folder) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        // The lock file stays for the next one who tries.
        Err(_) => return None,
    };
    let _next_time = std::fs::remove_file(path);
    removed.then_some(folder)
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().create(create).truncate(false).read(true).write(true).open(path)
}

/// Whether the file still lies at `path`: a lock on one that was removed meanwhile is worth nothing.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_the_dead_are_swept() {
        let sandboxes = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let folder = sandboxes.path().join(name);
            std::fs::create_dir_all(folder.join("home")).unwrap();
            folder
        };
        let run = || RunId::generate().to_string();
        let (alive, unlocked, foreign) = (made(&run()), made(&run()), made("my-project"));
        let owner = ScratchOwner::take(&alive).unwrap();
        std::fs::write(sandboxes.path().join("my-project.lock"), "").unwrap();
        let dead: Vec<PathBuf> = (0..3).map(|_| made(&run())).collect();
        for folder in &dead {
            std::fs::write(folder.with_extension(LOCK), "").unwrap();
        }
        // Of a run that ended between its two removals.
        std::fs::write(sandboxes.path().join(run()).with_extension(LOCK), "").unwrap();

        assert_eq!(sweep_scratch(sandboxes.path(), 2).len(), 2);
        assert_eq!(dead.iter().filter(|folder| folder.exists()).count(), 1);
        assert_eq!(sweep_scratch(sandboxes.path(), 2).len(), 1);
        assert_eq!(sweep_scratch(sandboxes.path(), 2), Vec::<PathBuf>::new());
        for folder in [&alive, &unlocked, &foreign] {
            assert!(folder.join("home").exists(), "{folder:?}");
        }
        let locks = std::fs::read_dir(sandboxes.path()).unwrap().flatten();
        let locks = locks.map(|entry| entry.path()).filter(|path| is_lock(path));
        assert_eq!(locks.collect::<Vec<_>>(), [alive.with_extension(LOCK)]);

        drop(owner);
        assert!(!alive.with_extension(LOCK).exists());
        // The same run goes on in another process.
        assert!(ScratchOwner::take(&alive).is_some());
        assert_eq!(sweep_scratch(&sandboxes.path().join("none"), 2), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_lock_that_was_swept_before_it_was_held_is_taken_anew() {
        let sandboxes = tempfile::tempdir().unwrap();
        let folder = sandboxes.path().join(RunId::generate().to_string());
        let path = folder.with_extension(LOCK);
        let sweeper = open(&path, true).unwrap();
        sweeper.lock().unwrap();
        let owner = std::thread::spawn({
            let folder = folder.clone();
            move || ScratchOwner::take(&folder)
        });
        // Whether it waits already or comes later, it ends with the lock of the file that is there.
        std::fs::remove_file(&path).unwrap();
        drop(sweeper);
        let owner = owner.join().unwrap().unwrap();
        assert!(is_at(&owner._lock, &path));
        assert_eq!(sweep_scratch(sandboxes.path(), 1), Vec::<PathBuf>::new());
    }
}
