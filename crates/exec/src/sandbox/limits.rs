//! What a command may use up.

use serde::{Deserialize, Serialize};

/// What a command and everything it starts may use up. What bounds all its processes together is
/// measured by the launcher, which kills the command when it goes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes at the same time.
    pub processes: usize,
    /// Threads at the same time, beyond those that the user runs already. The kernel does not hold
    /// root to that limit of users: for root it is one of a control group, where there are any.
    pub threads: u64,
    /// Bytes of memory of all processes together.
    pub memory: u64,
    /// Seconds of processor time of one process.
    pub cpu_seconds: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes that it may write to the places that it may write to.
    pub written_bytes: u64,
}

const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processes: 192 + 16 * cores,
            threads: 1024 + 128 * cores as u64,
            memory: available_memory() / 10 * 9,
            cpu_seconds: 4 * 60 * 60,
            file_bytes: 4 * GIB,
            written_bytes: 32 * GIB,
        }
    }
}

/// Bytes of memory that programs can be given now.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.map_or(u64::MAX, |kibibytes: u64| kibibytes << 10)
}

impl Limits {
    #[cfg(target_os = "linux")]
    /// Sets what the kernel enforces, for this process and its children. `threads_of_user` already
    /// run and count among the user's.
    pub(super) fn apply(&self, threads_of_user: u64) -> std::io::Result<()> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let threads = self.threads.saturating_add(threads_of_user);
        for (resource, most) in [
            (Resource::Core, 0),
            (Resource::Fsize, self.file_bytes),
            (Resource::Cpu, self.cpu_seconds),
            (Resource::Nproc, threads),
        ] {
            let hard = getrlimit(resource).maximum;
            let most = hard.map_or(most, |hard| hard.min(most));
            // The kernel gives the soft limit's signal; a second later the hard one kills.
            let hard = if resource == Resource::Cpu { most.saturating_add(5) } else { most };
            let hard = getrlimit(resource).maximum.map_or(hard, |before| before.min(hard));
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })?;
        }
        Ok(())
    }
}
