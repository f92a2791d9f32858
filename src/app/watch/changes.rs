//! Whether somebody saves files of a work tree. Only an alarm: what has changed, git says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ignore::WalkBuilder;
use notify::event::{CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Without a change for so long, an editor has saved everything, and a checkout is over.
const QUIET: Duration = Duration::from_millis(200);
/// Where changes never stop.
const LONGEST: Duration = Duration::from_secs(5);

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}", .path.display())]
pub struct WatchError {
    path: PathBuf,
    /// The machine allows no more watches.
    pub limit: bool,
    #[source]
    source: notify::Error,
}

impl WatchError {
    fn at(path: &Path) -> impl FnOnce(notify::Error) -> Self + '_ {
        |source| Self {
            path: path.to_owned(),
            limit: matches!(source.kind, notify::ErrorKind::MaxFilesWatch),
            source,
        }
    }
}

/// The folders that git does not ignore, watched one by one: what builds write elsewhere costs
/// nothing.
pub(super) struct Changes {
    watcher: RecommendedWatcher,
    events: UnboundedReceiver<notify::Result<Event>>,
    /// Something has changed that was not waited for to its end.
    open: bool,
}

impl Changes {
    pub(super) fn watch(root: &Path) -> Result<Self, WatchError> {
        let (sender, events) = unbounded_channel();
        let handler = move |event| {
            let _nobody_waits = sender.send(event);
        };
        let watcher = notify::recommended_watcher(handler).map_err(WatchError::at(root))?;
        let mut changes = Self { watcher, events, open: false };
        changes.add(root)?;
        Ok(changes)
    }

    /// Watches a folder and those in it.
    fn add(&mut self, folder: &Path) -> Result<(), WatchError> {
        let walk = WalkBuilder::new(folder)
            .hidden(false)
            .follow_links(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        let folders = walk
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()));
        for entry in folders {
            match self.watcher.watch(entry.path(), RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // It was there a moment ago.
                Err(_) if !entry.path().exists() => {}
                Err(error) => return Err(WatchError::at(entry.path())(error)),
            }
        }
        Ok(())
    }

    /// Waits until something has changed, and then until nothing does for a moment. Whoever stops
    /// waiting misses nothing: the next call returns for the same change.
    pub(super) async fn settled(&mut self) -> Result<(), WatchError> {
        while !self.open {
            match self.events.recv().await {
                Some(event) => self.take(event)?,
                // The watcher lives as long as this does.
                None => std::future::pending().await,
            }
        }
        let end = tokio::time::Instant::now() + LONGEST;
        while tokio::time::Instant::now() < end {
            match tokio::time::timeout(QUIET, self.events.recv()).await {
                Ok(Some(event)) => self.take(event)?,
                Ok(None) | Err(_) => break,
            }
        }
        self.open = false;
        Ok(())
    }

    fn take(&mut self, event: notify::Result<Event>) -> Result<(), WatchError> {
        let Ok(event) = event else {
            // What was lost is found by comparing.
            self.open = true;
            return Ok(());
        };
        self.open |= event.need_rescan() || !matches!(event.kind, EventKind::Access(_));
        let appears = matches!(
            event.kind,
            EventKind::Create(CreateKind::Folder | CreateKind::Any)
                | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in event.paths.iter().filter(|path| appears && is_folder(path)) {
            self.add(path)?;
        }
        Ok(())
    }
}

fn is_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name != ".git")
        && path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whether a change is seen before the one that surely is.
    async fn is_seen(changes: &mut Changes, root: &Path, change: impl FnOnce()) -> bool {
        change();
        let seen = tokio::time::timeout(Duration::from_secs(1), changes.settled()).await.is_ok();
        fs::write(root.join("sentinel"), jiff::Timestamp::now().to_string()).unwrap();
        changes.settled().await.unwrap();
        seen
    }

    #[tokio::test]
    async fn what_git_ignores_and_what_is_only_read_is_no_change() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in [".git", "src/deep", "target/debug", ".hidden"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(".gitignore"), "/target/\n").unwrap();
        fs::write(root.join("src/a"), "1").unwrap();
        let mut changes = Changes::watch(root).unwrap();
        let write = |path: &str| fs::write(root.join(path), "2").unwrap();
        let mut seen = Vec::new();
        for path in ["src/a", "src/deep/new", ".hidden/b"] {
            seen.push(is_seen(&mut changes, root, || write(path)).await);
        }
        assert_eq!(seen, [true, true, true]);
        assert!(!is_seen(&mut changes, root, || write("target/debug/x")).await);
        assert!(!is_seen(&mut changes, root, || write(".git/index")).await);
        let read = || drop(fs::read(root.join("src/a")).unwrap());
        assert!(!is_seen(&mut changes, root, read).await);
        // A folder that is new is watched as well.
        assert!(is_seen(&mut changes, root, || fs::create_dir(root.join("new")).unwrap()).await);
        assert!(is_seen(&mut changes, root, || write("new/file")).await);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_misses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut changes = Changes::watch(root.path()).unwrap();
        fs::write(root.path().join("a"), "1").unwrap();
        let first = changes.events.recv().await.unwrap();
        changes.take(first).unwrap();
        drop(tokio::time::timeout(Duration::from_millis(10), changes.settled()).await);
        assert!(changes.open);
        changes.settled().await.unwrap();
        assert!(!changes.open);
    }
}
