//! How a worker works.

use std::path::PathBuf;
use std::time::Duration;

use greenloop_exec::sandbox::Settings;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Its name: unique among the hub's workers.
    pub name: String,
    /// What it can do.
    pub roles: Vec<String>,
    /// What it has.
    pub labels: Vec<String>,
    /// Tasks at the same time; at least 1.
    pub slots: usize,
    /// Mirrors, clones and logs go below it.
    pub work: PathBuf,
    /// How long a lease lasts without a heartbeat, in whole seconds; at least 1.
    pub lease: Duration,
    /// From heartbeat to heartbeat; never more than a third of the lease.
    pub heartbeat: Duration,
    /// How long running tasks may go on once it drains.
    pub grace: Duration,
    /// From a self-check that failed to the next one; twice as long each time, up to five minutes.
    pub recheck: Duration,
    /// Mirrors that were not used for so long are deleted; `None` for never.
    pub keep_mirrors: Option<Duration>,
    /// Bytes of all mirrors; beyond it those go that were not used for longest.
    pub most_mirrors: u64,
    /// Variables that tasks do not inherit: the hub's token, the models' keys.
    pub env_remove: Vec<String>,
    /// What commands run in; `None` for commands that see what the worker sees.
    pub sandbox: Option<SandboxOptions>,
}

/// The sandbox of a worker's commands.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// What it is like.
    pub settings: Settings,
    /// Whether commands may use the network.
    pub network: bool,
    /// The program that starts sandboxed commands.
    pub launcher: PathBuf,
}

impl WorkerOptions {
    /// The pause between two heartbeats of an attempt whose lease lasts for `lease`.
    pub(super) fn period(&self, lease: Duration) -> Duration {
        self.heartbeat.min(lease / 3).max(Duration::from_millis(50))
    }

    /// The lease in the words of the wire.
    pub(super) fn lease_seconds(&self) -> u32 {
        u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_sees_three_heartbeats() {
        let options = WorkerOptions {
            name: "w".to_owned(),
            roles: Vec::new(),
            labels: Vec::new(),
            slots: 1,
            work: PathBuf::new(),
            lease: Duration::from_secs(90),
            heartbeat: Duration::from_secs(30),
            grace: Duration::ZERO,
            recheck: Duration::from_secs(5),
            keep_mirrors: None,
            most_mirrors: u64::MAX,
            env_remove: Vec::new(),
            sandbox: None,
        };
        for (lease, expect) in [(90_000, 30_000), (300_000, 30_000), (3_000, 1_000), (0, 50)] {
            let period = options.period(Duration::from_millis(lease));
            assert_eq!(period.as_millis(), expect, "{lease}");
        }
    }
}
