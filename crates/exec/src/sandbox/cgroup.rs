//! How many processes and threads a command may have, where the kernel's limit for users does not
//! hold: for root.

use std::io;
use std::path::{Path, PathBuf};

/// What the names of the groups begin with.
const PREFIX: &str = "greenloop-";
/// How often the removal of a group is tried whose last process is just ending.
const TRIES: u32 = 20;

/// The folders in which groups are created: next to this process's own group, so that its limits
/// apply to them as well. Empty if no control group is writable, or none is needed.
fn bases() -> Vec<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    bases_of(&own, Path::new("/sys/fs/cgroup"))
}

fn bases_of(own: &str, root: &Path) -> Vec<PathBuf> {
    let below = |root: PathBuf, path: &str| root.join(path.trim_start_matches('/'));
    own.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers.split(',').any(|controller| controller == "pids") {
                return Some(below(root.join(controllers), path));
            }
            // Of one hierarchy for everything, a group with processes has no groups below it.
            let above = Path::new(path).parent()?.to_str()?;
            let folder = below(root.to_owned(), above);
            let given = std::fs::read_to_string(folder.join("cgroup.subtree_control")).ok()?;
            let counts = given.split_ascii_whitespace().any(|controller| controller == "pids");
            (controllers.is_empty() && counts).then_some(folder)
        })
        .filter(|folder| folder.join("cgroup.procs").exists())
        .collect()
}

/// Puts this process, and with it all that it starts, into a group of its own.
pub(super) fn join(name: &str, most: u64) -> io::Result<()> {
    for base in bases() {
        let folder = base.join(format!("{PREFIX}{name}"));
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("pids.max"), most.to_string())?;
        std::fs::write(folder.join("cgroup.procs"), std::process::id().to_string())?;
    }
    Ok(())
}

/// Removes the group of a command of which nothing is left.
pub(crate) fn leave(name: &str) {
    for base in bases() {
        let folder = base.join(format!("{PREFIX}{name}"));
        for _ in 0..TRIES {
            match std::fs::remove_dir(&folder) {
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
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
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
        for folder in ["pids/a/b", "system.slice/x.service", "user.slice/s"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("cgroup.procs"), "").unwrap();
        }
        std::fs::write(root.join("system.slice/cgroup.subtree_control"), "cpu pids\n").unwrap();
        std::fs::write(root.join("system.slice/cgroup.procs"), "").unwrap();
        let of = |own: &str| bases_of(own, root);
        assert_eq!(of("8:pids:/a/b\n4:memory:/c\n0::/\n"), [root.join("pids/a/b")]);
        assert_eq!(of("0::/system.slice/x.service\n"), [root.join("system.slice")]);
        assert_eq!(of("0::/user.slice/s\n"), Vec::<PathBuf>::new());
        assert_eq!(of("0::/\n"), Vec::<PathBuf>::new());
    }
}
