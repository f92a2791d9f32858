//! Whether this machine is fit to work: disk, git, the shell, the clock, the model.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use greenloop_evidence::Redactor;
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{Exit, FailureClass, RunId, error_chain};
use greenloop_workspace::git::{self, Git};

/// Bytes that are written to see whether the disk takes them.
const WRITTEN: usize = 1 << 20;
/// Free space that is enough on any disk.
const ENOUGH: u64 = 256 << 20;
/// And the share of a small disk that must be free.
const SHARE: u64 = 20;
/// How long one step of the check may take.
const STEP: Duration = Duration::from_secs(30);
/// 2026-01-01: no clock of a machine that runs this program is right and earlier.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Why this machine cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `infrastructure`, `auth` or `quota`
    pub class: FailureClass,
    /// One line: what was tried, what was said, what to do.
    pub reason: String,
}

impl Fault {
    /// One of a class.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }

    fn infrastructure(reason: impl Into<String>) -> Self {
        Self::new(FailureClass::Infrastructure, reason)
    }
}

/// Asks the model that agents' tasks need, cheaply.
pub type ModelCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// The check of one worker.
pub(super) struct SelfCheck {
    pub(super) folder: PathBuf,
    pub(super) redactor: Redactor,
    /// The model that this worker's environment names, when it names one.
    pub(super) model: Option<ModelCheck>,
}

impl SelfCheck {
    /// Everything: the machine, its model, and one that a task could not ask.
    pub(super) async fn whole(&self, missed: Option<&ModelCheck>) -> Result<(), Fault> {
        self.machine().await?;
        for model in [self.model.as_ref(), missed].into_iter().flatten() {
            model().await?;
        }
        Ok(())
    }

    /// The machine alone; some milliseconds.
    pub(super) async fn machine(&self) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now < EARLIEST {
            let at = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
            return Err(Fault::infrastructure(format!(
                "the clock is at {at}, when no certificate is valid: set the clock"
            )));
        }
        let folder = self.folder.clone();
        let disk = tokio::task::spawn_blocking(move || disk(&folder));
        disk.await.unwrap_or_else(|error| Err(Fault::infrastructure(error_chain(&error))))?;
        self.shell().await?;
        let cancel = CancellationToken::new();
        let git = Git::new(RunId::generate(), &self.redactor, &cancel);
        match tokio::time::timeout(STEP, git::works(&self.folder, &git)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Fault::new(error.class(), error_chain(&error))),
            Err(_elapsed) => Err(Fault::infrastructure("git init does not finish")),
        }
    }

    /// Free space alone: no more than one call of the system.
    pub(super) fn room(&self) -> Result<(), Fault> {
        room(&self.folder)
    }

    async fn shell(&self) -> Result<(), Fault> {
        let command = Command {
            program: Program::Shell(":".to_owned()),
            cwd: self.folder.clone(),
            env: Vec::new(),
            env_remove: Vec::new(),
            timeout: Some(STEP),
            marker: Marker::new(RunId::generate()),
            confinement: None,
        };
        let outcome = greenloop_exec::run(&command, &mut |_| {}, &CancellationToken::new()).await;
        match outcome.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(Fault::infrastructure(format!("could not run `sh -c :`: {exit}"))),
        }
    }
}

/// Whether a folder takes what is written to it.
fn disk(folder: &Path) -> Result<(), Fault> {
    room(folder)?;
    write(folder, WRITTEN).map_err(|error| {
        let class = git::class_of(error.kind()).unwrap_or(FailureClass::Infrastructure);
        Fault::new(class, format!("cannot write to {}: {error}", folder.display()))
    })?;
    // Programs of tasks write there, too; but whether they need to is not known.
    let temporary = std::env::temp_dir();
    match write(&temporary, WRITTEN / 16) {
        Err(error) => match git::class_of(error.kind()) {
            Some(class) => {
                let reason = format!("cannot write to {}: {error}", temporary.display());
                Err(Fault::new(class, reason))
            }
            None => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

/// Writes to a file without a name, which a worker that is killed meanwhile does not leave behind.
fn write(folder: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![0x47; bytes])?;
    file.sync_all()
}

/// Whether there is room at the folder: for bytes and for files.
fn room(folder: &Path) -> Result<(), Fault> {
    let system = match rustix::fs::statvfs(folder) {
        Ok(system) => system,
        Err(error) => {
            let reason = format!("cannot inspect {}: {error}", folder.display());
            return Err(Fault::infrastructure(reason));
        }
    };
    let unit = if system.f_frsize == 0 { system.f_bsize } else { system.f_frsize };
    let (free, all) = (system.f_bavail.saturating_mul(unit), system.f_blocks.saturating_mul(unit));
    let least = ENOUGH.min(all / SHARE);
    // File systems that do not count their files have none at all.
    let crowded = system.f_files > 0 && system.f_favail == 0;
    if free < least {
        return Err(Fault::infrastructure(format!(
            "the disk of {} is full: {} of {} are free, {} are needed",
            folder.display(),
            size(free),
            size(all),
            size(least)
        )));
    }
    if crowded {
        let reason = format!("the disk of {} has no free inodes", folder.display());
        return Err(Fault::infrastructure(reason));
    }
    Ok(())
}

/// In the largest unit of which there is at least one.
pub(super) fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            return format!("{:.1} {name}", bytes as f64 / unit as f64);
        }
    }
    format!("{bytes} bytes")
}

/// How often the kernel has killed a process because memory ran out, on the whole machine.
pub(super) fn out_of_memory_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_given_in_the_largest_unit() {
        for (bytes, expect) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (3 << 20, "3.0 MiB"),
            (1 << 30, "1.0 GiB"),
        ] {
            assert_eq!(size(bytes), expect);
        }
    }

    #[test]
    fn a_folder_that_takes_nothing_is_reported_with_the_systems_word() {
        let folder = tempfile::tempdir().unwrap();
        disk(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        let gone = folder.path().join("gone");
        let fault = disk(&gone).unwrap_err();
        assert_eq!(fault.class, FailureClass::Infrastructure);
        assert!(fault.reason.contains("gone"), "{fault:?}");
        // No user, root included, writes there.
        let fault = disk(Path::new("/proc/self")).unwrap_err();
        assert!(fault.reason.starts_with("cannot write to /proc/self: "), "{fault:?}");
    }
}
