//! Which sandbox this machine has, found by running a command in each.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[cfg(not(target_os = "linux"))]
use super::elsewhere as system;
#[cfg(target_os = "linux")]
use super::linux as system;
use super::{Level, cgroup};

/// What a machine has.
#[derive(Debug)]
pub struct Probe {
    /// The strongest level that works.
    pub level: Level,
    /// The bubblewrap that works.
    pub bubblewrap: Option<PathBuf>,
    /// The version of Landlock's interface; 0 for none.
    pub landlock: u32,
    /// The levels that do not work, and why, with what would help.
    pub(super) refused: Vec<(Level, String)>,
}

impl Probe {
    /// The strongest level that works and is no stronger than `most`.
    pub(super) fn strongest(&self, most: Level) -> Level {
        let works = |level: Level| !self.refused.iter().any(|(refused, _)| *refused == level);
        [Level::A, Level::B].into_iter().find(|it| *it <= most && works(*it)).unwrap_or(Level::D)
    }

    /// Why the higher levels do not work, a line each.
    pub fn reasons(&self) -> Vec<String> {
        self.refused.iter().map(|(level, reason)| format!("level {level}: {reason}")).collect()
    }

    /// What a sandbox of `level` leaves open on this machine, a line each.
    pub(super) fn missing(&self, level: Level) -> Vec<String> {
        let mut missing = Vec::new();
        if level == Level::D {
            missing.push("commands can read and write everything that Greenloop can".to_owned());
            return missing;
        }
        if level == Level::C {
            missing.push("what is written to the work tree is not bounded".to_owned());
            return missing;
        }
        if self.landlock == 0 {
            missing.push("the kernel has no Landlock; only the mounts confine files".to_owned());
        } else if self.landlock < 6 && level == Level::B {
            missing.push(format!(
                "Landlock version {} does not keep commands from signalling Greenloop (6 does)",
                self.landlock
            ));
        }
        if !cgroup::bounds_memory() {
            missing.push(
                "memory is measured five times a second and not bounded by the kernel: no control \
                 group can be made"
                    .to_owned(),
            );
        }
        if level == Level::B {
            missing.push(
                "`.git` and `logs` can be written to: changes of git's configuration and hooks are \
                 found and undone after each command; other processes' command lines can be seen"
                    .to_owned(),
            );
        }
        missing
    }
}

/// What this machine has. Takes tens of milliseconds the first time.
pub fn probe(launcher: &Path) -> &'static Probe {
    static FOUND: OnceLock<Probe> = OnceLock::new();
    FOUND.get_or_init(|| system::attempt(launcher))
}
