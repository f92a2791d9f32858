//! Who listens at a port, as `/proc` shows it: for the message that the address is taken.

use std::os::unix::fs::MetadataExt as _;

/// Whether the process `pid` listens at `port`; `None` when nobody does, or it cannot be seen.
pub(crate) fn listens(pid: u32, port: u16) -> Option<bool> {
    let inodes = inodes(port);
    if inodes.is_empty() {
        return None;
    }
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(holds(open, &inodes))
}

/// `1234 (nginx)`; `None` when it cannot be seen, as for another user's process.
pub(crate) fn port_owner(port: u16) -> Option<String> {
    let inodes = inodes(port);
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse::<u32>().ok()?;
        let open = std::fs::read_dir(process.path().join("fd")).ok()?;
        holds(open, &inodes).then(|| {
            let name = std::fs::read(process.path().join("comm")).unwrap_or_default();
            format!("{pid} ({})", String::from_utf8_lossy(&name).trim_end())
        })
    })
}

/// The inodes of the sockets that listen at `port`.
fn inodes(port: u16) -> Vec<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .collect()
}

/// Whether one of these sockets is among a process's open files.
fn holds(open: std::fs::ReadDir, inodes: &[u64]) -> bool {
    open.flatten()
        .filter_map(|fd| std::fs::metadata(fd.path()).ok())
        .any(|file| inodes.contains(&file.ino()))
}

/// The inodes of the sockets that listen at `port` in one of the kernel's tables.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let here = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
            here.then(|| fields.get(9)?.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_process_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = port_owner(listener.local_addr().unwrap().port()).unwrap();
        assert!(owner.starts_with(&format!("{} (", std::process::id())), "{owner}");
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listens(std::process::id(), port), Some(true));
        assert_eq!(listens(u32::MAX, port), None);
        let (own, mut other) = (std::process::id(), std::process::Command::new("sleep"));
        let mut other = other.arg("600").spawn().unwrap();
        assert_eq!(listens(other.id(), port), Some(false));
        other.kill().unwrap();
        other.wait().unwrap();
        drop(listener);
        assert_eq!(listens(own, port), None);
    }
}
