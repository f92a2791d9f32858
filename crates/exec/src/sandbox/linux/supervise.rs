//! Starts a command inside its limits, adopts what it leaves, and ends it.
//!
//! The process has one thread, and nothing of the command runs in it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
    path_beneath_rules,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, set_child_subreaper,
};
use seccompiler::BpfProgram;

use super::seccomp::{self, Sockets};
use crate::process_table::{Process, descendants};
use crate::sandbox::rules::{Access, allowed};
use crate::sandbox::{Level, PROXY_SOCKET, Report, Request, TERMINATE, proxy};
use crate::sys;

/// The version of Landlock's interface whose rights are handled, as far as the kernel has them.
const LANDLOCK: ABI = ABI::V9;
/// The first version that has rules for ports.
const LANDLOCK_WITH_PORTS: u32 = 4;
/// How often limits are looked at while the command runs.
const LOOK: Duration = Duration::from_millis(20);
/// How often it is looked at what is left when it has ended.
const LOOK_AFTER: Duration = Duration::from_millis(4);
/// How long what is ending by itself is given before it counts as left.
const ENDING: Duration = Duration::from_millis(60);
/// How often processes are counted and their memory is measured, at the least.
const MEASURE: Duration = Duration::from_millis(200);
/// So many new processes since the last count bring the next one forward.
const NEW_PROCESSES: u32 = 32;
/// How often the file system is asked how full it is.
const MEASURE_DISK: Duration = Duration::from_secs(1);
/// Passes over the processes that are to be stopped.
const PASSES: u32 = 50;
/// How long the kernel has to end what was killed.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Runs the command until nothing of it is left, and reports on `control`.
pub(super) fn run(request: &Request, control: &mut UnixStream) -> Result<(), String> {
    if std::process::id() != 1 {
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| format!("the launcher cannot adopt processes: {e}"))?;
    }
    let port = request.proxied.then(|| hand_over_listener(control)).transpose()?;
    let pid = start(request, port)?;
    release_output();
    let told = Report::Started.write(control);
    let mut watch = Watch::new(request, pid)?;
    if told.is_err() {
        watch.kill = true;
    }
    watch.until_nothing_is_left(control);
    let ended = Report::Ended { leftovers: watch.leftovers, exceeded: watch.exceeded };
    let _nobody_listens = ended.write(control);
    Ok(())
}

/// Listens where the command is to find its proxy, and hands the socket to Greenloop, which serves
/// it from outside. The port.
fn hand_over_listener(control: &UnixStream) -> Result<u16, String> {
    let failed = |error: io::Error| format!("its proxy cannot be reached from inside: {error}");
    if std::process::id() != 1 && sys::landlock_version() < LANDLOCK_WITH_PORTS {
        return Err("a list of hosts needs level A, or a kernel whose Landlock knows ports (6.7)"
            .to_owned());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [listener.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    let told = [IoSlice::new(&[PROXY_SOCKET])];
    sendmsg(control, &told, &mut ancillary, SendFlags::empty()).map_err(|e| failed(e.into()))?;
    Ok(port)
}

/// The launcher's own copies would keep the command's output from ending.
fn release_output() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _kept = rustix::stdio::dup2_stdout(&null);
        let _kept = rustix::stdio::dup2_stderr(&null);
    }
}

/// Starts the command, confined; `proxy` is the port of its proxy.
fn start(request: &Request, proxy: Option<u16>) -> Result<Pid, String> {
    let (name, arguments) =
        request.command.split_first().ok_or_else(|| "an empty command".to_owned())?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(environment(request, proxy))
        .current_dir(&request.cwd)
        .stdin(Stdio::null());
    let mut ruleset = Some(ruleset(request, proxy).map_err(|e| format!("Landlock: {e}"))?);
    let sockets = match (request.level, request.network) {
        (Level::A, _) => Sockets::All,
        (Level::B | Level::C | Level::D, true) => Sockets::Internet,
        (Level::B | Level::C | Level::D, false) if proxy.is_some() => Sockets::Tcp,
        (Level::B | Level::C | Level::D, false) => Sockets::None,
    };
    let filters = seccomp::filters(sockets).map_err(|e| format!("seccomp: {e}"))?;
    let required = request.level != Level::A;
    let limits = request.limits.clone();
    let threads = if request.level == Level::A { 0 } else { threads_of_user() };
    let confine = move || {
        rustix::process::setsid()?;
        limits.apply(threads)?;
        reduce_capabilities()?;
        let ruleset = ruleset.take().ok_or(io::ErrorKind::Unsupported)?;
        restrict(ruleset, required)?;
        filter(&filters)?;
        sys::close_others_at_exec()
    };
    let child = sys::spawn_confined(command, confine)
        .map_err(|e| format!("{}: {e}", name.to_string_lossy()))?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| "it has no process id".to_owned())
}

/// What the command gets, and where its proxy is.
fn environment(request: &Request, proxy: Option<u16>) -> Vec<(OsString, OsString)> {
    let mut all = request.environment.clone();
    let Some(port) = proxy else { return all };
    for (name, options) in proxy::variables(port) {
        all.retain(|(known, _)| *known != name);
        all.push((name, options));
    }
    for name in ["MAVEN_OPTS", "GRADLE_OPTS", "SBT_OPTS"] {
        let known = all.iter().position(|(known, _)| known == name);
        let mut options = known.map(|at| all.swap_remove(at).1).unwrap_or_default();
        options.push(proxy::java_options(port));
        all.push((name.into(), options));
    }
    all
}

fn ruleset(
    request: &Request,
    proxy: Option<u16>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?;
    if !request.network && request.level != Level::A {
        ruleset = ruleset.handle_access(AccessNet::from_all(LANDLOCK))?;
    }
    let read = AccessFs::from_read(LANDLOCK);
    let all: BitFlags<AccessFs> = AccessFs::from_all(LANDLOCK);
    // Devices are made by the system only.
    let write = all & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut reading: Vec<PathBuf> = Vec::new();
    let mut writing: Vec<PathBuf> = Vec::new();
    match request.level {
        // The mounts say the rest.
        Level::A => {
            reading.push("/".into());
            let written = request.rules.iter().filter(|rule| rule.access == Access::Write);
            writing.extend(written.map(|rule| rule.path.clone()));
            writing.push("/dev/shm".into());
        }
        Level::B | Level::C | Level::D => {
            for (path, access) in allowed(&request.rules) {
                match access {
                    Access::Write => writing.push(path),
                    Access::Read if path.starts_with("/dev") || path.starts_with("/sys/fs") => {}
                    Access::Read => reading.push(path),
                    Access::Hidden => {}
                }
            }
            writing.push("/dev/shm".into());
        }
    }
    let devices = ["null", "zero", "full", "random", "urandom", "ptmx", "pts", "tty", "fd"];
    let device = read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let port = proxy.filter(|_| request.level != Level::A);
    let port = port.map(|port| NetPort::new(port, AccessNet::ConnectTcp));
    ruleset
        .create()?
        .add_rules(port.map(Ok::<_, landlock::RulesetError>))?
        .add_rules(path_beneath_rules(reading, read))?
        .add_rules(path_beneath_rules(writing, write))?
        .add_rules(path_beneath_rules(devices.map(|name| format!("/dev/{name}")), device))
}

fn restrict(ruleset: RulesetCreated, required: bool) -> io::Result<()> {
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    if status.ruleset == RulesetStatus::NotEnforced && required {
        return Err(io::Error::other("the kernel does not enforce Landlock rules"));
    }
    Ok(())
}

fn filter(filters: &[BpfProgram]) -> io::Result<()> {
    for filter in filters {
        seccompiler::apply_filter(filter).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Root keeps only what makes it the owner of files, which the rules bound.
fn reduce_capabilities() -> io::Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        set_capabilities, set_no_new_privs,
    };
    set_no_new_privs(true)?;
    let has = capabilities(None)?;
    if has.permitted.is_empty() {
        return Ok(());
    }
    let kept = has.permitted
        & (CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER);
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: kept & has.effective,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Threads that this user runs already.
fn threads_of_user() -> u64 {
    Process::all_of_user().iter().map(Process::threads).sum()
}

/// A command that runs, and what it leaves.
struct Watch<'a> {
    request: &'a Request,
    command: Pid,
    handle: OwnedFd,
    /// Whether the command itself has ended.
    ended: Option<Instant>,
    /// Whether everything is to be killed.
    kill: bool,
    killed: Option<Instant>,
    leftovers: usize,
    exceeded: Option<String>,
    started: std::time::SystemTime,
    measured: Instant,
    newest: u32,
    disk_measured: Instant,
    disk: Vec<(PathBuf, u64)>,
}

impl<'a> Watch<'a> {
    fn new(request: &'a Request, command: Pid) -> Result<Self, String> {
        let handle = pidfd_open(command, PidfdFlags::empty())
            .map_err(|e| format!("the command cannot be watched: {e}"))?;
        let written = request.rules.iter().filter(|rule| rule.access == Access::Write);
        let disk = written.map(|rule| (rule.path.clone(), used(&rule.path))).collect();
        Ok(Self {
            request,
            command,
            handle,
            ended: None,
            kill: false,
            killed: None,
            leftovers: 0,
            exceeded: None,
            started: std::time::SystemTime::now(),
            measured: Instant::now(),
            newest: newest_process(),
            disk_measured: Instant::now(),
            disk,
        })
    }

    fn until_nothing_is_left(&mut self, control: &mut UnixStream) {
        let mut listening = true;
        loop {
            self.wait(control, &mut listening);
            if !self.reap(control) {
                return;
            }
            if self.kill || self.exceeded.is_some() {
                if self.killed.is_some_and(|at| at.elapsed() > GIVE_UP) {
                    return;
                }
                self.kill_all();
            } else if self.ended.is_none() {
                self.exceeded = self.over_limit();
            }
        }
    }

    /// Waits for the end of the command, a word from Greenloop, or the next look.
    fn wait(&mut self, control: &mut UnixStream, listening: &mut bool) {
        let quiet = match (self.ended, self.kill) {
            (None, false) => LOOK,
            (Some(_), _) | (None, true) => LOOK_AFTER,
        };
        let timeout =
            Timespec { tv_sec: 0, tv_nsec: i64::try_from(quiet.as_nanos()).unwrap_or(20_000_000) };
        let socket = control.as_fd();
        let mut watched = Vec::new();
        if *listening {
            watched.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
        }
        if self.ended.is_none() {
            watched.push(PollFd::from_borrowed_fd(self.handle.as_fd(), PollFlags::IN));
        }
        let _interrupted = poll(&mut watched, Some(&timeout));
        let heard = *listening && watched.first().is_some_and(|it| !it.revents().is_empty());
        if heard {
            let mut byte = [0];
            match control.read(&mut byte) {
                Ok(1) if byte[0] == TERMINATE => self.terminate(),
                Ok(1) => {}
                Ok(_) | Err(_) => {
                    *listening = false;
                    self.kill = true;
                }
            }
        }
    }

    /// Reaps what has ended; whether anything is left.
    fn reap(&mut self, control: &mut UnixStream) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => self.note_end(status, control),
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_no_child) => return false,
            }
        }
    }

    fn note_end(&mut self, status: WaitStatus, control: &mut UnixStream) {
        self.ended = Some(Instant::now());
        let (code, signal) = (status.exit_status(), status.terminating_signal());
        if self.exceeded.is_none() {
            // A shell tells of the signal that ended its command by a code above 128.
            let signal = signal.or(code.filter(|code| *code > 128).map(|code| code - 128));
            let limits = &self.request.limits;
            self.exceeded = match signal {
                Some(libc::SIGXCPU) => {
                    Some(format!("{} s of processor time of one process", limits.cpu_seconds))
                }
                Some(libc::SIGXFSZ) => Some(format!("{} of one file", bytes(limits.file_bytes))),
                _ => None,
            };
        }
        let _nobody_listens = Report::Exited { code, signal }.write(control);
    }

    fn others(&self) -> Vec<Process> {
        match std::process::id() {
            1 => Process::all(),
            _ => descendants(rustix::process::getpid().as_raw_nonzero().get()),
        }
    }

    fn terminate(&self) {
        for process in self.others() {
            process.signal(Signal::TERM);
        }
    }

    /// Kills everything once more; whatever forks meanwhile is found by the next pass.
    fn kill_all(&mut self) {
        let first = self.killed.is_none();
        self.killed.get_or_insert_with(Instant::now);
        if first && self.ended.is_some_and(|ended| ended.elapsed() < ENDING) {
            // It may be ending by itself.
            self.killed = None;
            return;
        }
        // What is stopped starts nothing, however fast it did.
        if std::process::id() == 1 {
            sys::signal_all(Signal::STOP);
        } else {
            self.stop_all();
        }
        if first {
            let left = self.others();
            self.leftovers = left.iter().filter(|it| it.pid() != Some(self.command)).count();
        }
        if std::process::id() == 1 {
            sys::signal_all(Signal::KILL);
        } else {
            for process in self.others() {
                process.signal(Signal::KILL);
            }
        }
    }

    /// Stops everything; what starts meanwhile is found by the next pass.
    fn stop_all(&self) {
        for _ in 0..PASSES {
            let mut running = self.others();
            running.retain(|process| !process.is_stopped());
            if running.is_empty() {
                break;
            }
            for process in running {
                process.signal(Signal::STOP);
            }
        }
    }

    /// The limit that the command is over, in words.
    fn over_limit(&mut self) -> Option<String> {
        let limits = &self.request.limits;
        let newest = newest_process();
        let burst = newest.wrapping_sub(self.newest) > NEW_PROCESSES;
        if burst || self.measured.elapsed() >= MEASURE {
            (self.newest, self.measured) = (newest, Instant::now());
            let processes = self.others();
            if processes.len() > limits.processes {
                return Some(format!("{} processes at the same time", limits.processes));
            }
            let memory: u64 = processes.iter().map(Process::memory).sum();
            if memory > limits.memory {
                return Some(format!("{} of memory", bytes(limits.memory)));
            }
        }
        if self.disk_measured.elapsed() >= MEASURE_DISK {
            self.disk_measured = Instant::now();
            let grown = self
                .disk
                .iter()
                .any(|(path, before)| used(path).saturating_sub(*before) > limits.written_bytes);
            // Others write to the file system, too.
            if grown && self.written() > limits.written_bytes {
                let most = bytes(limits.written_bytes);
                return Some(format!("{most} written to the work tree and its caches"));
            }
        }
        None
    }

    /// Bytes of the files that were changed since the start.
    fn written(&self) -> u64 {
        let mut total = 0;
        let mut folders: Vec<PathBuf> = self.disk.iter().map(|(path, _)| path.clone()).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(found) = entry.metadata() else { continue };
                if found.is_dir() {
                    folders.push(entry.path());
                } else if found.modified().is_ok_and(|at| at >= self.started) {
                    use std::os::unix::fs::MetadataExt as _;
                    total += found.blocks() * 512;
                }
            }
        }
        total
    }
}

/// Bytes that are used on the file system of `path`.
fn used(path: &std::path::Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |it| (it.f_blocks - it.f_bfree) * it.f_frsize)
}

/// The number of the newest process.
fn newest_process() -> u32 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_ascii_whitespace().last().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size);
    match unit {
        Some((size, name)) if bytes.is_multiple_of(*size) => format!("{} {name}", bytes / size),
        Some((size, name)) => format!("{:.1} {name}", bytes as f64 / *size as f64),
        None => format!("{bytes} bytes"),
    }
}
