//! Where a worker keeps what it works with.
//!
//! ```text
//! WORK/NAME/lock       held while a worker of that name runs
//! WORK/NAME/mirrors/   one bare mirror a repository
//! WORK/NAME/tasks/     ID-eEPOCH/ the clone, ID-eEPOCH.run what its processes are marked with
//! WORK/NAME/logs/      ID-eEPOCH.log, the latest of them
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable as _};

use super::mirrors;
use greenloop_exec::kill_marked;
use greenloop_model::task::Lease;
use greenloop_model::{CommitId, RunId};
use greenloop_workspace::git::{Author, Git, GitError, GitErrorKind, Mirror, TaskClone};

/// Logs that are kept.
const LOGS: usize = 100;
/// Tries to reach a repository.
const TRIES: usize = 4;

/// A folder that cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum WorkdirError {
    /// A folder or file of it.
    #[error("failed to use {}", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A worker of that name works there already.
    #[error("a worker named {name} is already running in {}", .folder.display())]
    Taken { name: String, folder: PathBuf },
    /// A name that cannot be that of a folder.
    #[error("{0:?} is not a valid name for a worker: use letters, digits, `-`, `_` and `.`")]
    Name(String),
}

/// A mirror that several attempts may use at once.
type SharedMirror = Arc<tokio::sync::OnceCell<Mirror>>;

/// A worker's own folders; held for as long as the value lives.
#[derive(Debug)]
pub struct Workdir {
    mirrors: PathBuf,
    own: PathBuf,
    open: Mutex<HashMap<String, SharedMirror>>,
    _lock: File,
}

/// A clone to work in, and where its branch goes.
#[derive(Debug)]
pub(super) struct Checkout {
    /// The folder of the work.
    pub(super) folder: PathBuf,
    /// `None` for a task without a repository.
    pub(super) clone: Option<TaskClone>,
    /// Where the log goes.
    pub(super) log: PathBuf,
    mark: PathBuf,
    /// Its clone borrows the objects of this mirror, which stays for as long.
    mirror: Option<SharedMirror>,
}

impl Workdir {
    /// Locks the folder of the worker called `name` below `work`, and clears away what a killed
    /// one of that name has left there.
    ///
    /// # Errors
    /// [`WorkdirError::Taken`] when one is still alive.
    pub fn lock(work: &Path, name: &str) -> Result<Self, WorkdirError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(WorkdirError::Name(name.to_owned()));
        }
        let own = work.join(name);
        let mirrors = own.join("mirrors");
        for folder in [&mirrors, &own.join("tasks"), &own.join("logs")] {
            std::fs::create_dir_all(folder).map_err(io(folder))?;
        }
        let path = own.join("lock");
        let lock = File::create(&path).map_err(io(&path))?;
        hold(&lock).map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => {
                WorkdirError::Taken { name: name.to_owned(), folder: work.to_owned() }
            }
            std::fs::TryLockError::Error(source) => WorkdirError::Io { path: path.clone(), source },
        })?;
        let workdir = Self { mirrors, own, open: Mutex::default(), _lock: lock };
        workdir.clear()?;
        Ok(workdir)
    }

    /// Ends what a killed worker's tasks have left running, and deletes their folders.
    fn clear(&self) -> Result<(), WorkdirError> {
        let tasks = self.own.join("tasks");
        let entries = || std::fs::read_dir(&tasks).map_err(io(&tasks));
        for entry in entries()?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "run") {
                continue;
            }
            if let Some(run) = std::fs::read_to_string(&path).ok().and_then(|t| t.parse().ok()) {
                let killed = kill_marked(run);
                if killed > 0 {
                    tracing::warn!(killed, "killed processes that a previous worker left running");
                }
            }
        }
        for entry in entries()?.flatten() {
            let path = entry.path();
            let gone = if path.is_dir() {
                greenloop_workspace::git::remove_folder(&path).map_err(|error| error.to_string())
            } else {
                std::fs::remove_file(&path).map_err(|error| error.to_string())
            };
            if let Err(error) = gone {
                tracing::warn!(%error, path = %path.display(), "could not delete a file");
            }
        }
        Ok(())
    }

    /// A checkout for an attempt without a repository.
    pub(super) fn empty_checkout(
        &self,
        lease: Lease,
        run: RunId,
    ) -> Result<Checkout, WorkdirError> {
        let checkout = self.checkout(lease, run)?;
        std::fs::create_dir_all(&checkout.folder).map_err(io(&checkout.folder))?;
        Ok(checkout)
    }

    fn checkout(&self, lease: Lease, run: RunId) -> Result<Checkout, WorkdirError> {
        let name = format!("{}-e{}", lease.task, lease.epoch);
        let folder = self.own.join("tasks").join(&name);
        let mark = self.own.join("tasks").join(format!("{name}.run"));
        // Before the first process that it stands for.
        std::fs::write(&mark, run.to_string()).map_err(io(&mark))?;
        let log = self.own.join("logs").join(format!("{name}.log"));
        self.forget_old_logs();
        Ok(Checkout { folder, clone: None, log, mark, mirror: None })
    }

    /// A checkout with a clone of `url` on the attempt's branch, at the tip of `target`, or of what
    /// the repository checks out by itself where there is no such branch yet.
    pub(super) async fn clone_checkout(
        &self,
        lease: Lease,
        run: RunId,
        (url, target): (&str, &str),
        author: &Author,
        git: &Git,
    ) -> Result<Checkout, CheckoutError> {
        let mut checkout = self.checkout(lease, run).map_err(CheckoutError::Workdir)?;
        let cell = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(open.entry(url.to_owned()).or_default())
        };
        checkout.mirror = Some(Arc::clone(&cell));
        let mirror = cell.get_or_try_init(|| Mirror::open(&self.mirrors, url, git)).await?;
        mirrors::touch(mirror.folder());
        let base = base(mirror, target, git).await?;
        let branch = lease.branch();
        let made = TaskClone::make(mirror, &checkout.folder, &branch, &base, author, git).await;
        match made {
            Ok(clone) => checkout.clone = Some(clone),
            Err(error) => {
                checkout.remove().await;
                return Err(error.into());
            }
        }
        Ok(checkout)
    }

    /// Deletes mirrors that were not used for long, and those that are too much for the disk;
    /// none that an attempt uses now.
    pub(super) fn forget_old_mirrors(&self, keep: Option<Duration>, most: u64) {
        for folder in mirrors::spent(&self.mirrors, keep, most, SystemTime::now()) {
            // An attempt that begins now waits for the map, and makes the mirror again.
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let of =
                |cell: &SharedMirror| cell.get().is_some_and(|mirror| mirror.folder() == folder);
            let used = |cell: &SharedMirror| Arc::strong_count(cell) > 1;
            if open.values().any(|cell| used(cell) && (of(cell) || cell.get().is_none())) {
                continue;
            }
            open.retain(|_, cell| !of(cell));
            let aside = folder.with_extension("gone");
            let moved = std::fs::rename(&folder, &aside);
            drop(open);
            let gone = moved.map_err(|error| error.to_string()).and_then(|()| {
                greenloop_workspace::git::remove_folder(&aside).map_err(|error| error.to_string())
            });
            match gone {
                Ok(()) => tracing::info!(mirror = %folder.display(), "deleted a mirror"),
                Err(error) => tracing::warn!(error, "could not delete a mirror"),
            }
        }
    }

    fn forget_old_logs(&self) {
        let folder = self.own.join("logs");
        let mut logs: Vec<(std::time::SystemTime, PathBuf)> = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        logs.sort();
        for (_, path) in logs.iter().rev().skip(LOGS) {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckoutError {
    /// The worker's own folders.
    #[error(transparent)]
    Workdir(WorkdirError),
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Checkout {
    /// The mirror whose objects its clone borrows.
    pub(super) fn mirror_folder(&self) -> Option<PathBuf> {
        Some(self.mirror.as_ref()?.get()?.folder().to_owned())
    }

    /// Where the home and the temporary folder of its command go.
    pub(super) fn scratch(&self) -> PathBuf {
        self.folder.with_extension("sandbox")
    }

    /// Removes the checkout: nothing of the work is left.
    pub(super) async fn remove(self) {
        let Self { folder, clone, log: _, mark, mirror } = self;
        let left = tokio::task::spawn_blocking(move || {
            drop(clone);
            let _until_the_clone_is_gone = mirror;
            if let Err(error) = greenloop_workspace::git::remove_folder(&folder) {
                tracing::warn!(%error, "could not delete a clone");
            }
            let _gone_already = std::fs::remove_file(&mark);
        });
        let _nothing_panics_here = left.await;
    }
}

/// Where an attempt begins. Networks come and go: several tries.
async fn base(mirror: &Mirror, target: &str, git: &Git) -> Result<CommitId, GitError> {
    let fetch = || async {
        match mirror.remote_tip(target, git).await? {
            Some(_) => mirror.fetch(target, git).await,
            None => mirror.fetch_default(git).await,
        }
    };
    let delays = ExponentialBuilder::new().with_min_delay(Duration::from_secs(1));
    fetch
        .retry(delays.with_max_times(TRIES - 1))
        .sleep(tokio::time::sleep)
        .when(|error: &GitError| error.kind == GitErrorKind::Remote)
        .notify(|error, _| tracing::warn!(%error, "retrying the fetch from the repository"))
        .await
}

/// A child of another worker, between its birth and its own program, may hold a lock for a
/// moment longer than the worker itself.
fn hold(lock: &File) -> Result<(), std::fs::TryLockError> {
    let mut tries = 20;
    loop {
        match lock.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(Duration::from_millis(25));
            }
            held => return held,
        }
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WorkdirError {
    let path = path.to_owned();
    move |source| WorkdirError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::task::TaskId;

    #[test]
    fn one_worker_of_a_name_works_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::lock(folder.path(), "a").unwrap();
        assert!(matches!(Workdir::lock(folder.path(), "a"), Err(WorkdirError::Taken { .. })));
        Workdir::lock(folder.path(), "b").unwrap();
        drop(workdir);
        Workdir::lock(folder.path(), "a").unwrap();
        for name in ["", "..", "a/b", "a b"] {
            assert!(matches!(Workdir::lock(folder.path(), name), Err(WorkdirError::Name(_))));
        }
    }

    #[tokio::test]
    async fn a_mirror_in_use_stays_and_an_unused_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let workdir = Workdir::lock(folder.path(), "a").unwrap();
        let run = RunId::generate();
        let cancel = tokio_util::sync::CancellationToken::new();
        let git = Git::new(run, &greenloop_evidence::Redactor::default(), &cancel);
        let mut checkout =
            workdir.empty_checkout(Lease { task: TaskId(1), epoch: 1 }, run).unwrap();
        let cell = SharedMirror::default();
        let mirror = cell.get_or_try_init(|| Mirror::open(&workdir.mirrors, "/x", &git)).await;
        let mirror = mirror.unwrap().folder().to_owned();
        mirrors::touch(&mirror);
        workdir.open.lock().unwrap().insert("/x".to_owned(), Arc::clone(&cell));
        checkout.mirror = Some(cell);
        workdir.forget_old_mirrors(None, 0);
        assert!(mirror.join("objects").exists());
        checkout.remove().await;
        workdir.forget_old_mirrors(None, u64::MAX);
        assert!(mirror.join("objects").exists());
        workdir.forget_old_mirrors(None, 0);
        assert!(!mirror.exists() && workdir.open.lock().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(&workdir.mirrors).unwrap().count(), 0);
    }

    #[test]
    fn the_next_worker_ends_what_a_killed_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let workdir = Workdir::lock(folder.path(), "a").unwrap();
        let checkout = workdir.empty_checkout(Lease { task: TaskId(1), epoch: 1 }, run).unwrap();
        let marker = greenloop_exec::Marker::new(run);
        let mut left = std::process::Command::new("sleep")
            .arg("300")
            .envs(marker.variables())
            .spawn()
            .unwrap();
        drop(workdir);
        assert!(checkout.folder.exists());
        Workdir::lock(folder.path(), "a").unwrap();
        assert!(!checkout.folder.exists() && !checkout.mark.exists());
        assert!(!left.wait().unwrap().success());
    }
}
