//! Claims on an environment and on a work tree: one run at a time on a machine.
//!
//! A claim is an advisory lock on `<name>.lock`, which the kernel releases whenever its process
//! ends, and beside it `<name>.json`, which says who holds it. A `.json` that outlived its lock
//! is the trace of a run that died; whoever claims next is handed it and cleans up before it
//! writes its own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use greenloop_model::RunId;

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub run: RunId,
    /// Its process.
    pub pid: u32,
    /// When it began.
    pub since: jiff::Timestamp,
    /// What it does, for a person.
    pub title: String,
    /// The run's folder.
    pub folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct HolderRecord {
    v: u32,
    run: String,
    pid: u32,
    since: jiff::Timestamp,
    title: String,
    folder: PathBuf,
}

/// Why a claim could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another run holds it.
    #[error("{what} is held by another run{}", described(.holder.as_deref()))]
    Held { what: String, holder: Option<Box<Holder>> },
    /// The lock file cannot be used.
    #[error("failed to lock {}", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn described(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |h| {
        format!(": {} (run {}, process {}, since {})", h.title, h.run, h.pid, h.since)
    })
}

/// A held claim. Dropping it without [`Claim::release`] leaves the trace for the next run.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    trace: PathBuf,
}

impl Claim {
    /// Claims `name` in `folder`, which is made when it is missing. Returns the trace of a run
    /// that died holding it, if there is one.
    ///
    /// `what` names the thing in the error: `environment staging`.
    pub fn take(
        folder: &Path,
        name: &str,
        what: &str,
    ) -> Result<(Self, Option<Holder>), ClaimError> {
        let path = folder.join(format!("{name}.lock"));
        let trace = folder.join(format!("{name}.json"));
        let failed = |source| ClaimError::Io { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok((Self { _lock: lock, trace: trace.clone() }, read_trace(&trace))),
            Err(TryLockError::WouldBlock) => Err(ClaimError::Held {
                what: what.to_owned(),
                holder: read_trace(&trace).map(Box::new),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Whether a run left a trace at `name` that blocks [`Claim::take`] but without leaving
    /// any file.
    ///
    /// # Errors
    /// [`ClaimError::Held`] when another run holds it.
    pub fn look(folder: &Path, name: &str, what: &str) -> Result<bool, ClaimError> {
        let path = folder.join(format!("{name}.lock"));
        let trace = folder.join(format!("{name}.json"));
        let lock = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(ClaimError::Io { path, source }),
        };
        match lock.try_lock() {
            Ok(()) => Ok(trace.exists()),
            Err(TryLockError::WouldBlock) => Err(ClaimError::Held {
                what: what.to_owned(),
                holder: read_trace(&trace).map(Box::new),
            }),
            Err(TryLockError::Error(source)) => Err(ClaimError::Io { path, source }),
        }
    }

    /// Whether a living process holds a claim in `folder` for `run`. Changes nothing.
    pub fn is_alive(folder: &Path, run: RunId) -> bool {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|trace| {
            let name = trace.file_stem().and_then(|name| name.to_str());
            read_trace(&trace).is_some_and(|holder| holder.run == run)
                && name.is_some_and(|name| {
                    matches!(Self::look(folder, name, name), Err(ClaimError::Held { .. }))
                })
        })
    }

    /// Says who holds it from now on.
    pub fn sign(&self, holder: &Holder) -> Result<(), ClaimError> {
        let Holder { run, pid, since, title, folder } = holder.clone();
        let record = HolderRecord { v: 1, run: run.to_string(), pid, since, title, folder };
        let failed = |source| ClaimError::Io { path: self.trace.clone(), source };
        let text = serde_json::to_vec(&record).map_err(|e| failed(io::Error::other(e)))?;
        let parent = self.trace.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
        io::Write::write_all(&mut file, &text).map_err(failed)?;
        file.as_file().sync_data().map_err(failed)?;
        file.persist(&self.trace).map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Removes the trace of the run that died holding it: it was cleaned up after.
    pub fn forget(&self) -> Result<(), ClaimError> {
        match std::fs::remove_file(&self.trace) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ClaimError::Io { path: self.trace.clone(), source }),
        }
    }

    /// Gives it back: the run has ended as it should.
    pub fn release(self) -> Result<(), ClaimError> {
        self.forget()
    }
}

fn read_trace(path: &Path) -> Option<Holder> {
    let record: HolderRecord = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(Holder {
        run: record.run.parse().ok()?,
        pid: record.pid,
        since: record.since,
        title: record.title,
        folder: record.folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder {
            run: RunId::generate(),
            pid: std::process::id(),
            since: jiff::Timestamp::now(),
            title: "deploy to staging".into(),
            folder: "logs/runs/x".into(),
        }
    }

    #[test]
    fn the_loser_learns_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let (claim, left) = Claim::take(dir.path(), "env-staging", "environment staging").unwrap();
        assert_eq!(left, None);
        let me = holder();
        claim.sign(&me).unwrap();
        let error = Claim::take(dir.path(), "env-staging", "environment staging").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("deploy to staging"), "{text}");
        assert!(text.contains(&me.run.to_string()), "{text}");
        assert!(Claim::is_alive(dir.path(), me.run));
        assert!(!Claim::is_alive(dir.path(), RunId::generate()));
        claim.release().unwrap();
        assert!(!Claim::is_alive(dir.path(), me.run));
        let (_again, left) = Claim::take(dir.path(), "env-staging", "environment staging").unwrap();
        assert_eq!(left, None);
    }

    #[test]
    fn a_trace_that_outlived_its_lock_is_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let me = holder();
        let (claim, _) = Claim::take(dir.path(), "env-x", "environment x").unwrap();
        claim.sign(&me).unwrap();
        drop(claim);
        let (_next, left) = Claim::take(dir.path(), "env-x", "environment x").unwrap();
        assert_eq!(left, Some(me));
    }
}
