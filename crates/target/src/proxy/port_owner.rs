//! Who listens at a port, as `/proc` shows it, and what to do about it: for the message that the
//! address is taken.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use greenloop_model::{Remedy, shell_word};

/// Whether the process `pid` listens at `port`; `None` when nobody does, or it cannot be seen.
pub(crate) fn listens(pid: u32, port: u16) -> Option<bool> {
    let mut seen = None;
    for inodes in inodes(port).filter(|inodes| !inodes.is_empty()) {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        seen = Some(holds(open, &inodes));
        if seen == Some(true) {
            break;
        }
    }
    seen
}

/// `1234 (nginx)`; `None` when it cannot be seen, as for another user's process.
pub fn port_owner(port: u16) -> Option<String> {
    let inodes: Vec<u64> = inodes(port).flatten().collect();
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

/// What a person can do where `owner`, as [`port_owner`] names it, listens at `address`.
pub(crate) fn remedy(address: &str, owner: Option<&str>) -> Remedy {
    let port = address.rsplit(':').next().unwrap_or_default();
    let own = std::fs::metadata("/proc/self").ok().map(|own| own.uid());
    let user = port.parse().ok().and_then(user_at).filter(|user| Some(*user) != own);
    if let Some(user) = user {
        return of_another(user, port, owner.is_some());
    }
    let pid = owner.and_then(|owner| owner.split(' ').next()?.parse::<u32>().ok());
    let (what, command) = match (pid, pid.and_then(supervised_state)) {
        (Some(_), Some(state)) => served(&state),
        (Some(pid), None) => {
            ("end that process, if it is not needed".to_owned(), format!("kill {pid}"))
        }
        (None, _) => (
            "find out which program that is, and end it if it is not needed".to_owned(),
            who_listens(port),
        ),
    };
    Remedy { what, command: Some(command), person_only: true }
}

fn who_listens(port: &str) -> String {
    format!("sudo ss -ltnp 'sport = :{port}'")
}

/// Nobody ends what another user runs, before they were asked: it may be in production.
fn of_another(user: u32, port: &str, seen: bool) -> Remedy {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_name(&passwd, user).map_or_else(|| user.to_string(), str::to_owned);
    let what = format!(
        "it belongs to user `{user}`: ask them, or deploy to an environment with another `url`"
    );
    Remedy { what, command: (!seen).then(|| who_listens(port)), person_only: true }
}

/// A user's name in the text of `/etc/passwd`.
fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The state folder of the target that the process supervises, when it is a supervisor.
fn supervised_state(pid: u32) -> Option<PathBuf> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    (words.next()? == b"supervise" && words.next()? == b"--state").then_some(())?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?)))
}

/// How to stop what the supervisor with this state folder serves: `GIT/greenloop/targets/NAME`,
/// for the docker target with a folder of its own below.
fn served(state: &Path) -> (String, String) {
    let target = match state.file_name() {
        Some(name) if name == "docker" => state.parent().unwrap_or(state),
        _ => state,
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let git = target.ancestors().nth(3).unwrap_or(target);
    let repository = match git.file_name() {
        Some(file) if file == ".git" => git.parent().unwrap_or(git),
        _ => git,
    };
    let what = format!(
        "it is Greenloop, which serves environment `{name}` of {}: stop it there, if it is not needed",
        repository.display()
    );
    let folder = shell_word(&repository.to_string_lossy());
    (what, format!("cd {folder} && greenloop stop --environment {}", shell_word(&name)))
}

/// The inodes of the sockets that listen at `port`: IPv4, then IPv6. Each table costs the kernel
/// milliseconds, because it also holds the connections.
fn inodes(port: u16) -> impl Iterator<Item = Vec<u64>> {
    tables().map(move |table| listeners(&table, port).map(|(inode, _)| inode).collect())
}

fn tables() -> impl Iterator<Item = String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
}

/// The user whose process listens at `port`, whoever that is: the tables show it to everybody.
fn user_at(port: u16) -> Option<u32> {
    tables().find_map(|table| listeners(&table, port).next().map(|(_, user)| user))
}

/// Whether one of these sockets is among a process's open files.
fn holds(open: std::fs::ReadDir, inodes: &[u64]) -> bool {
    open.flatten()
        .filter_map(|fd| std::fs::metadata(fd.path()).ok())
        .any(|file| inodes.contains(&file.ino()))
}

/// The sockets that listen at `port` in one of the kernel's tables, each with its inode and user.
fn listeners(table: &str, port: u16) -> impl Iterator<Item = (u64, u32)> + '_ {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let here = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENING;
        here.then(|| Some((fields.get(9)?.parse().ok()?, fields.get(7)?.parse().ok()?)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_to_free_the_port() {
        let none = remedy("127.0.0.1:8080", None);
        assert_eq!(none.command.unwrap(), "sudo ss -ltnp 'sport = :8080'");
        let own = std::process::id();
        let known = remedy("127.0.0.1:8080", Some(&format!("{own} (tests)")));
        assert_eq!(known.command.unwrap(), format!("kill {own}"));
        for state in [
            "/src/fleet/.git/greenloop/targets/local",
            "/src/fleet/.git/greenloop/targets/local/docker",
        ] {
            let (what, command) = served(Path::new(state));
            assert!(what.contains("environment `local` of /src/fleet"), "{what}");
            assert_eq!(command, "cd /src/fleet && greenloop stop --environment local");
        }
    }

    #[test]
    fn what_another_user_runs_is_not_to_be_ended() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:8000 01 00000000:00000000 00:00000000 00000000  1002        0 4712 1 0 100 0 0 10 0\n";
        assert_eq!(listeners(table, 8080).collect::<Vec<_>>(), [(4711, 1001)]);
        let passwd = "root:x:0:0::/root:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n";
        assert_eq!(user_name(passwd, 1001), Some("bob"));
        assert_eq!(user_name(passwd, 1), None);
        for (seen, command) in [(true, None), (false, Some("sudo ss -ltnp 'sport = :8080'"))] {
            let told = of_another(4_000_000_000, "8080", seen);
            assert!(told.what.starts_with("it belongs to user `4000000000`: ask"), "{}", told.what);
            assert_eq!(told.command.as_deref(), command);
        }
    }

    #[test]
    fn a_supervisor_is_known_by_its_arguments() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("supervise"), "read -r _").unwrap();
        for (words, expect) in [
            (["supervise", "--state", "/x/y"], Some(PathBuf::from("/x/y"))),
            (["supervise", "--other", "/x/y"], None),
        ] {
            let mut other = std::process::Command::new("sh");
            other.args(words).current_dir(folder.path()).stdin(std::process::Stdio::piped());
            let mut other = other.spawn().unwrap();
            // A program has no arguments yet while it takes the place of the one that started it.
            let line = format!("/proc/{}/cmdline", other.id());
            while std::fs::read(&line).unwrap().is_empty() {
                std::thread::yield_now();
            }
            assert_eq!(supervised_state(other.id()), expect, "{words:?}");
            drop(other.stdin.take());
            other.wait().unwrap();
        }
    }

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
