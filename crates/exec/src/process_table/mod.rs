//! The running processes.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::Marker;
use greenloop_model::RunId;

/// Passes over the table before what is left counts as unkillable.
const PASSES: usize = 200;
/// Pause between two passes.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the kernel may take to end a process that has closed its files.
const ENDING: Duration = Duration::from_millis(50);

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
    /// By a signal: what a process in the background gets that reads its terminal.
    stopped: bool,
    /// The device of its controlling terminal; 0 for none.
    terminal: i32,
    /// In ticks of the system's clock for it: one with the same number and start is the same one.
    started: u64,
    #[cfg(target_os = "linux")]
    threads: u64,
}

impl Process {
    /// Its number.
    pub(crate) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    /// Sends it a signal. One that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _already_gone = kill_process(pid, signal);
        }
    }

    /// Whether it is in a read of a terminal, or was stopped for trying to.
    fn waits_for_terminal(&self) -> bool {
        self.stopped || self.reads_terminal()
    }
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl ProcessIdentity {
    /// The living process `pid`.
    pub fn of(pid: u32) -> Option<Self> {
        let entry = Process::read(i32::try_from(pid).ok()?)?;
        (!entry.zombie).then_some(Self { pid, started: entry.started })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still lives.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// What belongs to one command.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The group it was started in.
    pub(crate) group: i32,
    /// The environment entry that only its processes have.
    pub(crate) entry: Vec<u8>,
}

impl Family {
    /// Whether a process of it waits for what somebody types.
    pub(crate) fn waits_for_terminal(&self) -> bool {
        let belongs =
            |process: &Process| process.group == self.group || process.has_variable(&self.entry);
        Process::all().iter().any(|process| belongs(process) && process.waits_for_terminal())
    }

    /// Whether a process of it was stopped at the terminal that it shares with this process: it
    /// would go on only when a shell brought it to the foreground. Terminals that a command makes
    /// for itself do not count.
    pub(crate) fn is_stopped_at(&self, terminal: Terminal) -> bool {
        Process::all().iter().any(|process| {
            process.stopped
                && process.terminal == terminal.0
                && (process.group == self.group || process.has_variable(&self.entry))
        })
    }

    /// Kills every process of it until a pass finds none; how many there were. One that is just
    /// ending by itself (its files are closed before it is gone) gets a moment, and is not
    /// counted.
    pub(crate) fn kill(&self) -> usize {
        let belongs =
            |process: &Process| process.group == self.group || process.has_variable(&self.entry);
        let deadline = Instant::now() + ENDING;
        while Process::all().iter().any(belongs) {
            if Instant::now() >= deadline {
                return kill_until_gone(belongs);
            }
            std::thread::sleep(PAUSE / 2);
        }
        0
    }
}

/// The controlling terminal of this process, which its commands inherit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal(i32);

impl Terminal {
    /// `None` in a pipeline or a service.
    pub(crate) fn own() -> Option<Self> {
        let own = Process::read(i32::try_from(std::process::id()).ok()?)?;
        (own.terminal != 0).then_some(Self(own.terminal))
    }
}

/// Sends `signal` to every process of the group. A group that is gone is no error.
pub fn signal_group(group: u32, signal: Signal) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _already_gone = kill_process_group(group, signal);
    }
}

/// The living descendants of `ancestor`.
pub(crate) fn descendants(ancestor: i32) -> Vec<Process> {
    let all = Process::all();
    let mut family = BTreeSet::from([ancestor]);
    loop {
        let before = family.len();
        family.extend(
            all.iter().filter(|p| family.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    all.into_iter().filter(|p| p.pid != ancestor && family.contains(&p.pid)).collect()
}

/// Sends `signal` to every descendant of `ancestor` that has left its process group.
pub(crate) fn signal_strays(ancestor: u32, signal: Signal) {
    let Ok(ancestor) = i32::try_from(ancestor) else { return };
    for process in descendants(ancestor).iter().filter(|process| process.group != ancestor) {
        process.signal(signal);
    }
}

/// Kills every process that `run` has started and that still lives, itself never; how many
/// there were. Blocks until they are gone.
pub fn kill_marked(run: RunId) -> usize {
    kill_entry(&Marker::run_entry(run))
}

/// Kills every process whose environment holds `entry` (`NAME=value`), itself never; how many
/// there were. Blocks until they are gone.
pub fn kill_entry(entry: &[u8]) -> usize {
    kill_until_gone(|process| process.has_variable(entry))
}

/// The processes whose environment holds `entry`, itself never.
pub fn children_marked(entry: &[u8]) -> Vec<u32> {
    Process::all()
        .into_iter()
        .filter(|process| process.has_variable(entry))
        .filter_map(|process| u32::try_from(process.pid).ok())
        .collect()
}

/// A process may fork between the look and the kill: hence the passes.
fn kill_until_gone(belongs: impl Fn(&Process) -> bool) -> usize {
    let mut killed = BTreeSet::new();
    for _ in 0..PASSES {
        let found: Vec<Process> = Process::all().into_iter().filter(&belongs).collect();
        if found.is_empty() {
            break;
        }
        for process in found {
            killed.insert((process.pid, process.started));
            if let Some(pid) = Pid::from_raw(process.pid) {
                let _already_gone = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(PAUSE);
    }
    killed.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_outlives_no_process() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessIdentity { started: own.started + 1, ..own }.is_alive());
        assert!(ProcessIdentity::of(u32::MAX).is_none());
    }
}
