//! How busy this machine is, as `/proc` says.

/// What is used of the machine between two looks.
#[derive(Debug, Default)]
pub(super) struct Load {
    before: Option<Ticks>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Load {
    /// Percent of all cores since the last look; `None` at the first.
    pub(super) fn cpu_percent(&mut self) -> Option<f64> {
        let now = ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        let before = self.before.replace(now)?;
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let busy = now.busy.saturating_sub(before.busy);
        Some((busy as f64 * 100.0 / all as f64).clamp(0.0, 100.0))
    }
}

/// `cpu user nice system idle iowait irq softirq steal …`, in ticks since the machine started.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Vec<u64> =
        line.split_ascii_whitespace().skip(1).take(8).map_while(|f| f.parse().ok()).collect();
    let idle = fields.get(3)? + fields.get(4).copied().unwrap_or(0);
    let all: u64 = fields.iter().sum();
    Some(Ticks { busy: all.saturating_sub(idle), all })
}

/// Resident memory of this process and of everything it started, in bytes.
pub(super) fn memory_bytes() -> Option<u64> {
    let own = std::process::id();
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        processes.push((pid, field("PPid:").unwrap_or(0), field("VmRSS:").unwrap_or(0) << 10));
    }
    let mut family = std::collections::BTreeSet::from([u64::from(own)]);
    // A child may stand before its parent in the table.
    loop {
        let before = family.len();
        for (pid, parent, _) in &processes {
            if family.contains(parent) {
                family.insert(u64::from(*pid));
            }
        }
        if family.len() == before {
            break;
        }
    }
    let used = processes.iter().filter(|(pid, ..)| family.contains(&u64::from(*pid)));
    Some(used.map(|(.., bytes)| bytes).sum())
}

/// The machine's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_half_is_fifty_percent() {
        let first = "cpu  100 0 100 700 100 0 0 0 5 5\ncpu0 1 1 1 1\n";
        let second = "cpu  130 0 120 740 110 0 0 0 9 9\n";
        let (a, b) = (ticks(first).unwrap(), ticks(second).unwrap());
        assert_eq!((b.busy - a.busy, b.all - a.all), (50, 100));
        assert_eq!(ticks("intr 5\n"), None);
    }

    #[test]
    fn this_machine_tells() {
        let mut load = Load::default();
        assert_eq!(load.cpu_percent(), None);
        std::thread::sleep(std::time::Duration::from_millis(60));
        let percent = load.cpu_percent().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{percent}");
        assert!(memory_bytes().unwrap() > 1 << 20);
        assert!(!host().is_empty());
    }
}
