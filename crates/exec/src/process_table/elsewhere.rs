//! As the system's own interface shows them.

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::Process;

impl Process {
    /// The process `pid`; `None` when there is none.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let pid = Pid::from_u32(u32::try_from(pid).ok()?);
        let system = refreshed(ProcessesToUpdate::Some(&[pid]), ProcessRefreshKind::nothing());
        system.process(pid).and_then(Self::of)
    }

    /// All living processes but this one.
    pub(crate) fn all() -> Vec<Self> {
        let own = std::process::id();
        let system = refreshed(ProcessesToUpdate::All, ProcessRefreshKind::nothing());
        let others = system.processes().values().filter(|process| process.pid().as_u32() != own);
        others.filter_map(Self::of).filter(|process| !process.zombie).collect()
    }

    fn of(found: &sysinfo::Process) -> Option<Self> {
        let pid = found.pid().as_u32().cast_signed();
        let group = rustix::process::getpgid(rustix::process::Pid::from_raw(pid)).ok()?;
        Some(Self {
            pid,
            parent: found.parent().map_or(0, |parent| parent.as_u32().cast_signed()),
            group: group.as_raw_nonzero().get(),
            zombie: found.status() == ProcessStatus::Zombie,
            stopped: found.status() == ProcessStatus::Stop,
            terminal: 0,
            started: found.start_time(),
        })
    }

    /// Not known here: a command that waits for a terminal ends with its timeout.
    pub(super) fn reads_terminal(&self) -> bool {
        false
    }

    /// Whether its environment, as it was when its program started, holds `entry`.
    pub(super) fn has_variable(&self, entry: &[u8]) -> bool {
        let pid = Pid::from_u32(self.pid.cast_unsigned());
        let environment = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
        let system = refreshed(ProcessesToUpdate::Some(&[pid]), environment);
        system.process(pid).is_some_and(|process| {
            process.environ().iter().any(|found| found.as_encoded_bytes() == entry)
        })
    }
}

fn refreshed(processes: ProcessesToUpdate<'_>, what: ProcessRefreshKind) -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(processes, true, what);
    system
}
