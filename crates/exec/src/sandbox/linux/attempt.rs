//! A command in a sandbox of each level, to find what works.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::bubblewrap;
use crate::sandbox::rules::{Access, Rules};
use crate::sandbox::{LAUNCHER, Level, Limits, Probe, Report, Request, cgroup};
use crate::sys;

/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Succeeds where the file, which is hidden from it, cannot be read.
const COMMAND: &str = "if read -r line </etc/passwd; then exit 9; fi; exit 0";
/// The file.
const HIDDEN: &str = "/etc/passwd";

/// Starts a command at each level, side by side.
pub(in crate::sandbox) fn attempt(launcher: &Path) -> Probe {
    let (strong, plain) = std::thread::scope(|scope| {
        let plain = scope.spawn(|| attempt_at(launcher, Level::B, None));
        let strong = with_bubblewrap(launcher);
        let failed = |_panic| Err("the attempt ended unexpectedly".to_owned());
        (strong, plain.join().unwrap_or_else(failed))
    });
    let level = match (&strong, &plain) {
        (Ok(_), _) => Level::A,
        (Err(_), Ok(())) => Level::B,
        (Err(_), Err(_)) => Level::D,
    };
    let mut refused = Vec::new();
    let bubblewrap = strong.map_err(|reason| refused.push((Level::A, reason))).ok();
    if let Err(reason) = plain {
        refused.push((Level::B, reason));
    }
    Probe { level, bubblewrap, landlock: sys::landlock_version(), refused }
}

/// The first bubblewrap that works, or why the first one does not.
fn with_bubblewrap(launcher: &Path) -> Result<PathBuf, String> {
    let mut first_reason = None;
    for candidate in bubblewrap::candidates() {
        match attempt_at(launcher, Level::A, Some(&candidate)) {
            Ok(()) => return Ok(candidate),
            Err(reason) => {
                first_reason.get_or_insert(reason);
            }
        }
    }
    Err(match first_reason {
        Some(reason) => format!("bubblewrap fails: {reason}{}", advice()),
        None => "bubblewrap is not installed; install the package `bubblewrap`".to_owned(),
    })
}

/// What keeps ordinary users from making namespaces on some systems.
fn advice() -> &'static str {
    let is = |path: &str, value: &str| {
        std::fs::read_to_string(path).is_ok_and(|found| found.trim() == value)
    };
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "; AppArmor keeps programs from making user namespaces: install a profile for bwrap that \
         has `userns,`, or set kernel.apparmor_restrict_unprivileged_userns=0"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "; set kernel.unprivileged_userns_clone=1"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "; set user.max_user_namespaces above 0"
    } else if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        "; this is a container, whose engine does not allow user namespaces"
    } else {
        ""
    }
}

fn attempt_at(launcher: &Path, level: Level, bubblewrap: Option<&Path>) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut rules = Rules::default();
    rules.set(Path::new("/"), Access::Read);
    rules.set(Path::new(HIDDEN), Access::Hidden);
    let request = Request {
        level,
        bubblewrap: bubblewrap.map(Path::to_owned),
        command: ["sh", "-c", COMMAND].map(Into::into).to_vec(),
        environment: std::env::var_os("PATH")
            .map(|path| ("PATH".into(), path))
            .into_iter()
            .collect(),
        cwd: "/".into(),
        rules: rules.into_rules(),
        network: false,
        proxied: false,
        limits: Limits::default(),
        group: format!("probe-{}-{level}", std::process::id()),
    };
    let (mut control, theirs) = UnixStream::pair().map_err(failed)?;
    control.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    control.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut child = Command::new(launcher)
        .arg(LAUNCHER)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("the launcher could not be started: {e}"))?;
    let sent = request.to_bytes().and_then(|bytes| control.write_all(&bytes));
    let mut outcome = sent.map_err(|e| format!("the launcher does not listen: {e}"));
    let mut exit = None;
    if outcome.is_ok() {
        for line in BufReader::new(&control).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Report::NotStarted(reason)) => outcome = Err(reason),
                Ok(Report::Exited { code, .. }) => exit = code,
                Ok(Report::Started | Report::Ended { .. }) | Err(_) => {}
            }
        }
    }
    let _gone = control.shutdown(std::net::Shutdown::Both);
    let _gone = child.kill();
    let said = child.stderr.take().map(|stderr| {
        let mut text = String::new();
        let _cut = stderr.take(4096).read_to_string(&mut text);
        text
    });
    let _gone = child.wait();
    cgroup::leave(&request.group);
    outcome?;
    match exit {
        Some(0) => Ok(()),
        Some(9) => Err("a hidden file could be read".to_owned()),
        Some(code) => Err(format!("a command in it failed with code {code}")),
        None => {
            let said = said.unwrap_or_default();
            let line = said.lines().map(str::trim).find(|line| !line.is_empty());
            Err(line.unwrap_or("a command in it did not end").to_owned())
        }
    }
}
