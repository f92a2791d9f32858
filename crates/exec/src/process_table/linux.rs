//! As `/proc` shows them.

use std::path::{Path, PathBuf};

use super::Process;

impl Process {
    /// The process `pid`; `None` when there is none.
    pub(super) fn read(pid: i32) -> Option<Self> {
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

    /// Whether it is in a read of a terminal.
    pub(super) fn reads_terminal(&self) -> bool {
        self.reads().is_some_and(|file| is_terminal(&file))
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
    pub(super) fn has_variable(&self, entry: &[u8]) -> bool {
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environ| environ.split(|b| *b == 0).any(|found| found == entry))
    }
}

fn is_terminal(file: &Path) -> bool {
    ["/dev/tty", "/dev/pts", "/dev/console"]
        .iter()
        .any(|terminal| file.to_string_lossy().starts_with(terminal))
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
}
