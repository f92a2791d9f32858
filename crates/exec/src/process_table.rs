//! The running processes, as `/proc` shows them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Marker;
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
    started: u64,
    threads: u64,
}

impl Process {
    /// The process `pid`; `None` when there is none.
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name, in parentheses, may itself hold spaces, parentheses and any other byte.
    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
        let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        Some(Self {
            pid,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            stopped: *fields.first()? == "T",
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    /// Whether it was stopped by a signal.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> u64 {
        self.threads
    }

    /// Bytes of memory that it shares with no file.
    pub(crate) fn memory(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.pid));
        let pages = pages.unwrap_or_default();
        let mut pages = pages.split_ascii_whitespace().skip(1).map(|it| it.parse().unwrap_or(0u64));
        let resident = pages.next().unwrap_or(0);
        let shared = pages.next().unwrap_or(0);
        resident.saturating_sub(shared) * rustix::param::page_size() as u64
    }

    /// Sends it a signal. One that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _already_gone = kill_process(pid, signal);
        }
    }

    /// The processes of this user, this one included.
    pub(crate) fn all_of_user() -> Vec<Self> {
        let user = rustix::process::getuid().as_raw();
        let mut all = Self::all();
        all.extend(Self::read(std::process::id().cast_signed()));
        all.retain(|process| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(format!("/proc/{}", process.pid)).is_ok_and(|it| it.uid() == user)
        });
        all
    }

    /// All living processes but this one.
    pub(crate) fn all() -> Vec<Self> {
        let own = std::process::id();
        let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
        folder
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| u32::try_from(*pid) != Ok(own))
            .filter_map(Self::read)
            .filter(|entry| !entry.zombie)
            .collect()
    }

    /// Whether it is in a read of a terminal, or was stopped for trying to.
    fn waits_for_terminal(&self) -> bool {
        self.stopped || self.reads().is_some_and(|file| is_terminal(&file))
    }

    /// The file that it is reading right now, when it is in a read.
    fn reads(&self) -> Option<PathBuf> {
        #[cfg(target_arch = "x86_64")]
        const READ: &str = "0";
        #[cfg(not(target_arch = "x86_64"))]
        const READ: &str = "63";
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid)).ok()?;
        let mut fields = call.split_ascii_whitespace();
        let descriptor = fields.next().filter(|number| *number == READ).and(fields.next())?;
        let descriptor = u32::from_str_radix(descriptor.strip_prefix("0x")?, 16).ok()?;
        std::fs::read_link(format!("/proc/{}/fd/{descriptor}", self.pid)).ok()
    }

    /// Whether its environment, as it was when its program started, holds `entry`.
    fn has_variable(&self, entry: &[u8]) -> bool {
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environ| environ.split(|b| *b == 0).any(|found| found == entry))
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
pub(super) struct Family {
    /// The group it was started in.
    pub(super) group: i32,
    /// The environment entry that only its processes have.
    pub(super) entry: Vec<u8>,
}

impl Family {
    /// Whether a process of it waits for what somebody types.
    pub(super) fn waits_for_terminal(&self) -> bool {
        let belongs =
            |process: &Process| process.group == self.group || process.has_variable(&self.entry);
        Process::all().iter().any(|process| belongs(process) && process.waits_for_terminal())
    }

    /// Whether a process of it was stopped at the terminal that it shares with this process: it
    /// would go on only when a shell brought it to the foreground. Terminals that a command makes
    /// for itself do not count.
    pub(super) fn is_stopped_at(&self, terminal: Terminal) -> bool {
        Process::all().iter().any(|process| {
            process.stopped
                && process.terminal == terminal.0
                && (process.group == self.group || process.has_variable(&self.entry))
        })
    }

    /// Kills every process of it until a pass finds none; how many there were. One that is just
    /// ending by itself (its files are closed before it is gone) gets a moment, and is not
    /// counted.
    pub(super) fn kill(&self) -> usize {
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
pub(super) struct Terminal(i32);

impl Terminal {
    /// `None` in a pipeline or a service.
    pub(super) fn own() -> Option<Self> {
        let own = Process::read(i32::try_from(std::process::id()).ok()?)?;
        (own.terminal != 0).then_some(Self(own.terminal))
    }
}

fn is_terminal(file: &Path) -> bool {
    ["/dev/tty", "/dev/pts", "/dev/console"]
        .iter()
        .any(|terminal| file.to_string_lossy().starts_with(terminal))
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
pub(super) fn signal_strays(ancestor: u32, signal: Signal) {
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
    fn a_name_may_hold_anything() {
        let stat = b"7 (a b) (c\xff) S 1 42 42 34816 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 991 1 1";
        assert_eq!(
            Process::parse(7, stat),
            Some(Process {
                pid: 7,
                parent: 1,
                group: 42,
                zombie: false,
                stopped: false,
                terminal: 34816,
                started: 991,
                threads: 1,
            })
        );
        let stopped = Process::parse(8, b"8 (cat) T 1 42 42 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 9 1 1");
        assert!(stopped.is_some_and(|entry| entry.waits_for_terminal()));
        assert_eq!(Process::parse(7, b"7 (x"), None);
        assert_eq!(Process::parse(7, b"7 (x) S 1"), None);
    }

    #[test]
    fn an_identity_outlives_no_process() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessIdentity { started: own.started + 1, ..own }.is_alive());
        assert!(ProcessIdentity::of(u32::MAX).is_none());
    }
}
