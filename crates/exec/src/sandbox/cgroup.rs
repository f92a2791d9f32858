//! Control groups: how many processes and threads a command may have, where the kernel's limit for
//! users does not hold, and how much memory.

use std::io;
use std::path::{Path, PathBuf};

/// What the names of the groups begin with.
const PREFIX: &str = "greenloop-";
/// How often the removal of a group is tried whose last process is just ending.
const TRIES: u32 = 20;

/// A folder in which groups are created: next to this process's own group, so that its limits
/// apply to them as well.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Base {
    folder: PathBuf,
    /// Whether its groups count processes and threads.
    pids: bool,
    memory: Option<MemoryFiles>,
}

/// The files of a hierarchy that bounds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryFiles {
    limit: &'static str,
    /// What swap adds, where that is a file of its own.
    swap: Option<&'static str>,
    /// Has the line `oom_kill N`.
    events: &'static str,
}

const VERSION_1: MemoryFiles =
    MemoryFiles { limit: "memory.limit_in_bytes", swap: None, events: "memory.oom_control" };
const VERSION_2: MemoryFiles =
    MemoryFiles { limit: "memory.max", swap: Some("memory.swap.max"), events: "memory.events" };

/// Empty if no control group is writable.
fn bases() -> Vec<Base> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut bases = bases_of(&own, Path::new("/sys/fs/cgroup"));
    bases.retain(|base| rustix::fs::access(&base.folder, rustix::fs::Access::WRITE_OK).is_ok());
    bases
}

fn bases_of(own: &str, root: &Path) -> Vec<Base> {
    let below = |root: PathBuf, path: &str| root.join(path.trim_start_matches('/'));
    own.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if !controllers.is_empty() {
                let has = |name: &str| controllers.split(',').any(|it| it == name);
                let memory = has("memory").then_some(VERSION_1);
                let folder = below(root.join(controllers), path);
                return (has("pids") || memory.is_some()).then_some(Base {
                    folder,
                    pids: has("pids"),
                    memory,
                });
            }
            // Of one hierarchy for everything, a group with processes has no groups below it.
            let above = Path::new(path).parent()?.to_str()?;
            let folder = below(root.to_owned(), above);
            let given = std::fs::read_to_string(folder.join("cgroup.subtree_control")).ok()?;
            let has = |name: &str| given.split_ascii_whitespace().any(|it| it == name);
            let memory = has("memory").then_some(VERSION_2);
            (has("pids") || memory.is_some()).then_some(Base { folder, pids: has("pids"), memory })
        })
        .filter(|base| base.folder.join("cgroup.procs").exists())
        .collect()
}

impl Base {
    fn group(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{PREFIX}{name}"))
    }

    fn join(&self, name: &str, threads: u64, memory: u64) -> io::Result<()> {
        let group = self.group(name);
        std::fs::create_dir(&group)?;
        if self.pids {
            std::fs::write(group.join("pids.max"), threads.to_string())?;
        }
        if let Some(files) = self.memory {
            std::fs::write(group.join(files.limit), memory.to_string())?;
            if let Some(swap) = files.swap {
                let _kernel_without_swap = std::fs::write(group.join(swap), "0");
            }
        }
        std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())
    }
}

/// Whether commands get a group that bounds their memory.
pub(super) fn bounds_memory() -> bool {
    bases().iter().any(|base| base.memory.is_some())
}

/// Puts this process, and with it all that it starts, into groups of its own, as far as there are
/// any.
pub(super) fn join(name: &str, threads: u64, memory: u64) {
    for base in bases() {
        // What the kernel does not bound, the launcher counts.
        if base.join(name, threads, memory).is_err() {
            let _never_used = std::fs::remove_dir(base.group(name));
        }
    }
}

/// Whether the kernel has killed a process of the command for its memory.
pub(crate) fn ran_out_of_memory(name: &str) -> bool {
    bases().iter().any(|base| {
        let Some(files) = base.memory else { return false };
        let events = std::fs::read_to_string(base.group(name).join(files.events));
        let events = events.unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).is_some_and(|kills: u64| kills > 0)
    })
}

/// Removes the groups of a command of which nothing is left.
pub(crate) fn leave(name: &str) {
    for base in bases() {
        for _ in 0..TRIES {
            match std::fs::remove_dir(base.group(name)) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Ok(()) | Err(_) => break,
            }
        }
    }
}

/// Removes groups whose Greenloop was killed; those that are in use stay.
pub(super) fn tidy() {
    for base in bases() {
        for entry in std::fs::read_dir(base.folder).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                let _in_use = std::fs::remove_dir(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_beside_or_below_the_own_one() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in ["pids/a/b", "memory/c", "system.slice/x.service", "user.slice/s"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("cgroup.procs"), "").unwrap();
        }
        let control = root.join("system.slice/cgroup.subtree_control");
        std::fs::write(&control, "cpu pids\n").unwrap();
        std::fs::write(root.join("system.slice/cgroup.procs"), "").unwrap();
        let of = |own: &str| bases_of(own, root);
        let base = |folder: &str, pids, memory| Base { folder: root.join(folder), pids, memory };
        assert_eq!(
            of("8:pids:/a/b\n4:memory:/c\n3:cpu:/a\n0::/\n"),
            [base("pids/a/b", true, None), base("memory/c", false, Some(VERSION_1))]
        );
        let unified = "0::/system.slice/x.service\n";
        assert_eq!(of(unified), [base("system.slice", true, None)]);
        std::fs::write(&control, "memory pids\n").unwrap();
        assert_eq!(of(unified), [base("system.slice", true, Some(VERSION_2))]);
        assert_eq!(of("0::/user.slice/s\n"), Vec::<Base>::new());
        assert_eq!(of("0::/\n"), Vec::<Base>::new());
    }
}
