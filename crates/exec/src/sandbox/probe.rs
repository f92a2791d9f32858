//! Which sandbox this machine has, found by running a command in each.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::rules::{Access, Rules};
use super::{LAUNCHER, Level, Limits, Report, Request, bubblewrap, cgroup};
use crate::sys;

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Succeeds where the file, which is hidden from it, cannot be read.
const COMMAND: &str = "if read -r line </etc/passwd; then exit 9; fi; exit 0";
/// The file.
const HIDDEN: &str = "/etc/passwd";

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
    refused: Vec<(Level, String)>,
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
        if self.landlock == 0 {
            missing.push("the kernel has no Landlock; only the mounts confine files".to_owned());
        } else if self.landlock < 6 && level == Level::B {
            missing.push(format!(
                "Landlock version {} does not keep commands from signalling Greenloop (6 does)",
                self.landlock
            ));
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
    FOUND.get_or_init(|| {
        let mut refused = Vec::new();
        let mut works = None;
        let candidates = bubblewrap::candidates();
        if candidates.is_empty() {
            let reason = "bubblewrap is not installed; install the package `bubblewrap`".to_owned();
            refused.push((Level::A, reason));
        }
        let mut first_reason = None;
        for candidate in candidates {
            match attempt(launcher, Level::A, Some(&candidate)) {
                Ok(()) => {
                    works = Some(candidate);
                    break;
                }
                Err(reason) => {
                    first_reason.get_or_insert(reason);
                }
            }
        }
        if let Some(reason) = first_reason.filter(|_| works.is_none()) {
            refused.push((Level::A, format!("bubblewrap fails: {reason}{}", advice())));
        }
        let plain = attempt(launcher, Level::B, None);
        let level = match (&works, &plain) {
            (Some(_), _) => Level::A,
            (None, Ok(())) => Level::B,
            (None, Err(_)) => Level::D,
        };
        if let Err(reason) = plain {
            refused.push((Level::B, reason));
        }
        Probe { level, bubblewrap: works, landlock: sys::landlock_version(), refused }
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

fn attempt(launcher: &Path, level: Level, bubblewrap: Option<&Path>) -> Result<(), String> {
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
