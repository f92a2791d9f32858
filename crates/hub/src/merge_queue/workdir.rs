//! The folder of one hub's merge queue.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenloop_exec::kill_marked;
use greenloop_model::RunId;
use greenloop_workspace::git::{Git, GitError, Mirror, remove_folder};

/// Hubs that may share a folder.
const MOST: u32 = 1_000;

/// A folder that no other hub of the machine works in, while this lives.
#[derive(Debug)]
pub(super) struct Workdir {
    folder: PathBuf,
    /// By address. One value for each, so that only one fetch into it runs at a time. With when it
    /// was last asked for.
    mirrors: tokio::sync::Mutex<HashMap<String, (Mirror, Instant)>>,
    _lock: File,
}

impl Workdir {
    /// The first free folder below `work`; what a hub that was killed has left there, processes
    /// and folders, is cleared away.
    pub(super) fn lock(work: &Path) -> std::io::Result<Self> {
        let mut number = 1;
        loop {
            let folder = work.join(number.to_string());
            std::fs::create_dir_all(folder.join("mirrors"))?;
            std::fs::create_dir_all(folder.join("merges"))?;
            let lock = File::create(folder.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    clear(&folder.join("merges"));
                    return Ok(Self { folder, mirrors: Default::default(), _lock: lock });
                }
                Err(TryLockError::WouldBlock) if number < MOST => number += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where merges are tested.
    pub(super) fn merges(&self) -> PathBuf {
        self.folder.join("merges")
    }

    /// Where the output of gates goes.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The mirror of a repository.
    pub(super) async fn mirror(&self, url: &str, git: &Git) -> Result<Mirror, GitError> {
        let mut mirrors = self.mirrors.lock().await;
        if let Some((mirror, used)) = mirrors.get_mut(url) {
            *used = Instant::now();
            return Ok(mirror.clone());
        }
        let mirror = Mirror::open(&self.folder.join("mirrors"), url, git).await?;
        mirrors.insert(url.to_owned(), (mirror.clone(), Instant::now()));
        Ok(mirror)
    }

    /// Deletes the mirrors of repositories other than these that nobody has asked for since
    /// `rest`. Returns how many.
    pub(super) async fn drop_mirrors(&self, used: &[String], rest: Duration) -> usize {
        // Nobody opens one meanwhile.
        let mut mirrors = self.mirrors.lock().await;
        mirrors.retain(|url, (_, at)| used.contains(url) || at.elapsed() < rest);
        let open = mirrors.keys().chain(used);
        let kept: HashSet<OsString> = open.map(|url| Mirror::folder_name(url).into()).collect();
        let folder = self.folder.join("mirrors");
        let dropped = tokio::task::spawn_blocking(move || {
            let mut dropped = 0;
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if kept.contains(&entry.file_name()) {
                    continue;
                }
                match remove_folder(&entry.path()) {
                    Ok(()) => dropped += 1,
                    Err(error) => tracing::warn!(%error, "could not delete a mirror"),
                }
            }
            dropped
        });
        dropped.await.unwrap_or(0)
    }
}

/// The folder of a merge under test: its processes are found by the run in its name.
pub(super) fn folder_name(id: i64, run: RunId) -> String {
    format!("{id}_{run}")
}

fn clear(merges: &Path) {
    for entry in std::fs::read_dir(merges).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.split_once('_')?.1.parse().ok());
        if run.is_some_and(|run| kill_marked(run) > 0) {
            tracing::warn!("killed gates that a previous hub left running");
        }
        if let Err(error) = remove_folder(&entry.path()) {
            tracing::warn!(%error, "could not delete the work tree of a merge");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_that_share_a_folder_have_folders_of_their_own() {
        let work = tempfile::tempdir().unwrap();
        let first = Workdir::lock(work.path()).unwrap();
        let second = Workdir::lock(work.path()).unwrap();
        assert_ne!(first.merges(), second.merges());
        let left = first.merges().join(folder_name(7, RunId::generate()));
        std::fs::create_dir_all(&left).unwrap();
        let taken = first.merges();
        drop(first);
        let again = Workdir::lock(work.path()).unwrap();
        assert_eq!(again.merges(), taken);
        assert!(!left.exists());
    }

    #[tokio::test]
    async fn mirrors_of_no_project_go_and_those_in_use_stay() {
        let work = tempfile::tempdir().unwrap();
        let git = Git::new(
            RunId::generate(),
            &greenloop_evidence::Redactor::default(),
            &tokio_util::sync::CancellationToken::new(),
        );
        let workdir = Workdir::lock(work.path()).unwrap();
        // One that a hub before this one has left.
        workdir.mirror("/left", &git).await.unwrap();
        drop(workdir);
        let workdir = Workdir::lock(work.path()).unwrap();
        let used = workdir.mirror("/used", &git).await.unwrap();
        let late = workdir.mirror("/late", &git).await.unwrap();
        let names = || {
            let entries = std::fs::read_dir(work.path().join("1/mirrors")).unwrap().flatten();
            entries.count()
        };
        assert_eq!(names(), 3);
        let projects = ["/used".to_owned()];
        assert_eq!(workdir.drop_mirrors(&projects, Duration::from_secs(3600)).await, 1);
        assert!(used.folder().exists() && late.folder().exists(), "one was asked for just now");
        assert_eq!(workdir.drop_mirrors(&projects, Duration::ZERO).await, 1);
        assert!(used.folder().exists() && !late.folder().exists());
        // Whoever wants it again gets it.
        assert!(workdir.mirror("/late", &git).await.unwrap().folder().exists());
    }
}
