//! One command, from its start until nothing of it is left.

use std::ffi::OsString;
use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use rustix::process::Signal;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest, Lines,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Marker;
use super::listener::Listener;
use super::process_table::{Family, Terminal, signal_group, signal_strays};
use super::program::{Invocation, Program};
use super::sandbox::{
    Confinement, Container, ContainerEnd, ContainerJob, Guard, LAUNCHER, PROXY_SOCKET, Proxy,
    Report, TERMINATE, cgroup,
};
use super::withheld::withheld;
use greenloop_model::{Exit, HostPattern, Network};

/// From the polite signal to the one that cannot be refused.
const GRACE: Duration = Duration::from_secs(2);
/// How long output may stay silent after the command has ended, before what still holds it open
/// is killed.
const IDLE: Duration = Duration::from_secs(1);
/// How long a background job may go on writing after the command has ended.
const LONGEST_DRAIN: Duration = Duration::from_secs(5);
/// How long to wait for the kernel to end what was killed.
const GIVE_UP: Duration = Duration::from_secs(3);
/// How often it is looked at whether a command is stopped at the terminal; ended at the second
/// look that finds it so.
const LOOK: Duration = Duration::from_secs(1);
/// How long a command writes nothing before `output` is told.
const QUIET: Duration = Duration::from_millis(200);
/// How long the launcher may take to say where the command's proxy is.
const PROXY_READY: Duration = Duration::from_secs(20);
/// What the kernel kills a process for that the launcher had not measured yet.
const MEMORY: &str = "its limit of memory";
/// How a descriptor is received. Elsewhere than on Linux, no launcher hands one over.
#[cfg(target_os = "linux")]
const CLOSED_AT_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSED_AT_EXEC: RecvFlags = RecvFlags::empty();
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// A command.
#[derive(Debug, Clone)]
pub struct Command {
    /// What to start.
    pub program: Program,
    pub cwd: PathBuf,
    /// Added to the inherited environment.
    pub env: Vec<(OsString, OsString)>,
    /// Variables the command does not inherit.
    pub env_remove: Vec<OsString>,
    /// Ended after this.
    pub timeout: Option<Duration>,
    /// The mark by which its processes are found again.
    pub marker: Marker,
    /// Its sandbox. With one, the command inherits only what its sandbox lets through.
    pub confinement: Option<Confinement>,
}

impl Command {
    fn invocation(&self) -> Invocation<'_> {
        Invocation {
            program: &self.program,
            cwd: &self.cwd,
            env: &self.env,
            env_remove: &self.env_remove,
            timeout: self.timeout,
            marker: &self.marker,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its exit; for a cancelled command, what the cancel did to it.
    pub exit: Exit,
    /// From the start until nothing of it was left.
    pub duration: Duration,
    /// Bytes it wrote to both outputs together.
    pub output_bytes: u64,
    /// Whether it was ended by the token.
    pub cancelled: bool,
    /// Processes that were left when it ended, and were killed.
    pub leftovers: usize,
    /// Whether something of it waited for a terminal when its time was up, or was ended for that.
    pub waits_for_input: bool,
    /// The limit of its sandbox that it went over and was ended for, in words.
    pub exceeded: Option<String>,
    /// Files of git that it changed although it must not, and that were put back.
    pub put_back: Vec<PathBuf>,
    /// `host:port` of what its proxy refused.
    pub refused_hosts: Vec<String>,
}

impl Outcome {
    /// Of a command that nobody started.
    pub fn nothing() -> Self {
        Self {
            exit: Exit::NotStarted(String::new()),
            duration: Duration::ZERO,
            output_bytes: 0,
            cancelled: false,
            leftovers: 0,
            waits_for_input: false,
            exceeded: None,
            put_back: Vec::new(),
            refused_hosts: Vec::new(),
        }
    }
}

/// Where the command stands; says when to wake up if nothing happens before.
enum Phase {
    /// Until its timeout, when it has one.
    Running { until: Option<Instant> },
    /// It was asked to end; then [`Phase::Killed`].
    Ending { until: Instant },
    /// It was killed; the kernel has until then.
    Killed { until: Instant },
    /// It has ended by itself, but something keeps its output open.
    Draining { idle: Instant, longest: Instant },
}

impl Phase {
    fn draining() -> Self {
        let now = Instant::now();
        Self::Draining { idle: now + IDLE, longest: now + LONGEST_DRAIN }
    }

    fn wake(&self) -> Option<Instant> {
        match self {
            Self::Running { until } => *until,
            Self::Ending { until } | Self::Killed { until } => Some(*until),
            Self::Draining { idle, longest } => Some(*idle.min(longest)),
        }
    }
}

/// A started command. Dropped half-way, it leaves nothing running.
struct Running {
    family: Family,
    armed: bool,
    launcher: Option<Launcher>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.armed {
            if let Some(launcher) = self.launcher.take() {
                launcher.kill_now();
            }
            self.family.kill();
        }
    }
}

/// What keeps a sandboxed command, at the other end of a socket. It kills everything when the
/// socket is closed.
struct Launcher {
    reports: Lines<BufReader<OwnedReadHalf>>,
    /// What is still to be sent of the request.
    words: Option<OwnedWriteHalf>,
    started: bool,
}

impl Launcher {
    /// The next report; `None` when there are no more.
    async fn next(&mut self) -> Option<Report> {
        let line = self.reports.next_line().await.ok().flatten()?;
        serde_json::from_str(&line).ok()
    }

    /// Asks for a polite end.
    async fn terminate(&mut self) {
        if let Some(words) = &mut self.words {
            let _gone = words.write_all(&[TERMINATE]).await;
        }
    }

    /// Asks it to kill everything.
    fn kill(&mut self) {
        self.words = None;
    }

    /// The same, and waits for it.
    fn kill_now(mut self) {
        self.kill();
        let reports = self.reports.into_inner().into_inner();
        let socket: &UnixStream = reports.as_ref();
        let Ok(socket) = socket.as_fd().try_clone_to_owned() else { return };
        let mut socket = std::os::unix::net::UnixStream::from(socket);
        let waits = socket
            .shutdown(std::net::Shutdown::Write)
            .and_then(|()| socket.set_nonblocking(false))
            .and_then(|()| socket.set_read_timeout(Some(GIVE_UP)));
        let mut ignored = [0; 512];
        while waits.is_ok() && matches!(socket.read(&mut ignored), Ok(1..)) {}
    }

    /// What it says last; `None` when it says nothing for too long.
    async fn last_report(&mut self) -> Option<(usize, Option<String>)> {
        let last = async {
            while let Some(report) = self.next().await {
                if let Report::Ended { leftovers, exceeded } = report {
                    return Some((leftovers, exceeded));
                }
            }
            None
        };
        tokio::time::timeout(GIVE_UP, last).await.ok().flatten()
    }
}

/// Runs `command` to its end, handing each piece of its output (both streams, interleaved as
/// they were written) to `output`, which holds the command back by taking its time; no bytes at all say that nothing
/// has come for a while. The input is
/// empty; a command that is stopped for using the terminal of this process all the same is ended.
/// On a timeout or a cancel the whole group gets SIGTERM, two seconds, then SIGKILL.
pub async fn run(
    command: &Command,
    output: &mut (dyn FnMut(&[u8]) + Send),
    cancel: &CancellationToken,
) -> Outcome {
    let started = Instant::now();
    let not_started = |reason: String, cancelled| Outcome {
        exit: Exit::NotStarted(reason),
        duration: started.elapsed(),
        cancelled,
        ..Outcome::nothing()
    };
    if cancel.is_cancelled() {
        return not_started("the run was cancelled before it started".to_owned(), true);
    }
    if let Some(job) = command
        .confinement
        .as_ref()
        .and_then(|it| it.sandbox.container_job(command.invocation(), &it.grant))
    {
        return run_in_container(job, started, output, cancel).await;
    }
    let guard = match &command.confinement {
        Some(confinement) => Guard::new(confinement.sandbox.guarded()),
        None => Guard::new(&[]),
    };
    let (mut child, mut pipe, launcher, proxy) = match start(command).await {
        Ok(Started { child, output, launcher, proxy }) => (child, output, launcher, proxy),
        Err(reason) => return not_started(reason, false),
    };
    let Some(leader) = child.id() else {
        return not_started("it ended before it could be monitored".to_owned(), false);
    };
    let family = Family { group: leader.cast_signed(), entry: command.marker.step_entry() };
    let mut running = Running { family, armed: true, launcher };

    let mut phase = Phase::Running { until: command.timeout.map(|after| started + after) };
    let mut status: Option<ExitStatus> = None;
    let mut open = true;
    let mut reporting = running.launcher.is_some();
    let mut waits_for_input = false;
    let terminal = Terminal::own();
    let mut look = terminal.map(|_| Instant::now() + LOOK);
    let mut stopped_before = false;
    let mut output_bytes = 0u64;
    let mut timed_out = false;
    let mut cancelled = false;
    let mut failed = None;
    let mut first_output = Vec::new();
    let mut last = None;
    let mut buffer = vec![0u8; CHUNK];
    let mut quiet = None;
    while open || status.is_none() {
        let wake = phase.wake();
        let is_running = matches!(phase, Phase::Running { .. });
        tokio::select! {
            read = pipe.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(length) => {
                    output_bytes += length as u64;
                    if running.launcher.as_ref().is_some_and(|launcher| !launcher.started) {
                        // Of the launcher, in case it fails.
                        first_output.extend_from_slice(&buffer[..length.min(CHUNK)]);
                        first_output.truncate(CHUNK);
                    }
                    output(&buffer[..length]);
                    quiet = Some(Instant::now() + QUIET);
                    if let Phase::Draining { idle, .. } = &mut phase {
                        *idle = Instant::now() + IDLE;
                    }
                }
            },
            ended = child.wait(), if status.is_none() && !reporting => {
                // A wait can fail only for a child that is not ours to wait for: it is gone,
                // nobody knows how, and that is no success.
                status = Some(ended.unwrap_or(ExitStatus::from_raw(0xff00)));
                if is_running {
                    phase = Phase::draining();
                }
            },
            report = next_report(&mut running.launcher), if reporting => match report {
                Some(Report::Started) => {}
                Some(Report::NotStarted(reason)) => failed = Some(reason),
                Some(Report::Exited { code, signal }) => {
                    status = Some(ExitStatus::from_raw(match (code, signal) {
                        (_, Some(signal)) => signal & 0x7f,
                        (code, None) => code.unwrap_or(255) << 8,
                    }));
                    if is_running {
                        phase = Phase::draining();
                    }
                }
                Some(Report::Ended { leftovers, exceeded }) => last = Some((leftovers, exceeded)),
                // It is gone; what it exited with says nothing of the command.
                None => reporting = false,
            },
            () = cancel.cancelled(), if is_running => {
                cancelled = true;
                phase = end(leader, &mut running.launcher).await;
            },
            () = sleep_until(look), if is_running && look.is_some() => {
                look = Some(Instant::now() + LOOK);
                let stopped = terminal.is_some_and(|own| running.family.is_stopped_at(own));
                if stopped && stopped_before {
                    waits_for_input = true;
                    phase = end(leader, &mut running.launcher).await;
                }
                stopped_before = stopped;
            },
            () = sleep_until(quiet), if quiet.is_some() => {
                quiet = None;
                output(&[]);
            },
            () = sleep_until(wake), if wake.is_some() => match phase {
                Phase::Running { .. } => {
                    timed_out = true;
                    waits_for_input = running.family.waits_for_terminal();
                    phase = end(leader, &mut running.launcher).await;
                }
                Phase::Ending { .. } => {
                    if let Some(launcher) = &mut running.launcher {
                        launcher.kill();
                    } else {
                        signal_strays(leader, Signal::KILL);
                        signal_group(leader, Signal::KILL);
                        sweep(&running.family).await;
                    }
                    phase = Phase::Killed { until: Instant::now() + GIVE_UP };
                }
                Phase::Killed { .. } | Phase::Draining { .. } => break,
            },
        }
    }
    if let Some(launcher) = &mut running.launcher {
        launcher.kill();
        if last.is_none() && reporting {
            last = launcher.last_report().await;
        }
        if failed.is_none() && !launcher.started && status.is_none_or(|it| !it.success()) {
            failed = Some(launcher_failure(&first_output));
        }
    }
    // What the launcher could not end, and everything where there is none.
    let swept = sweep(&running.family).await;
    running.armed = false;
    let (leftovers, mut exceeded) = match last {
        Some((leftovers, exceeded)) => (leftovers, exceeded),
        None if running.launcher.is_some() => (0, None),
        None => (swept, None),
    };
    let _reaped = tokio::time::timeout(GIVE_UP, child.wait()).await;
    if running.launcher.is_some() {
        let group = command.marker.step();
        let left = tokio::task::spawn_blocking(move || {
            let killed = cgroup::ran_out_of_memory(&group);
            cgroup::leave(&group);
            killed
        });
        if exceeded.is_none() && left.await.unwrap_or(false) {
            exceeded = Some(MEMORY.to_owned());
        }
    }
    let exit = match (timed_out, command.timeout, status) {
        _ if failed.is_some() => Exit::NotStarted(failed.unwrap_or_default()),
        (true, Some(after), _) => Exit::TimedOut(after),
        (_, _, Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(status.into_raw()),
        },
        (_, _, None) => Exit::Signal(Signal::KILL.as_raw()),
    };
    Outcome {
        exit,
        duration: started.elapsed(),
        output_bytes,
        cancelled,
        leftovers,
        waits_for_input,
        exceeded,
        put_back: guard.restore(),
        refused_hosts: proxy.map(|proxy| proxy.refused()).unwrap_or_default(),
    }
}

/// The same in a container.
async fn run_in_container(
    job: Result<(Container, ContainerJob), String>,
    started: Instant,
    output: &mut (dyn FnMut(&[u8]) + Send),
    cancel: &CancellationToken,
) -> Outcome {
    let (Container(engine), job) = match job {
        Ok(job) => job,
        Err(why) => return Outcome { exit: Exit::NotStarted(why), ..Outcome::nothing() },
    };
    let listener = Listener::new(output);
    let mut heard = |bytes: &[u8]| listener.hear(bytes);
    let ContainerEnd { exit, cancelled, exceeded } = tokio::select! {
        biased;
        end = engine.run(job, &mut heard, cancel) => end,
        never = listener.tell_quiet(QUIET) => match never {},
    };
    let (duration, output_bytes) = (started.elapsed(), listener.bytes());
    Outcome { exit, duration, output_bytes, cancelled, exceeded, ..Outcome::nothing() }
}

/// What the launcher, or bubblewrap, has said instead of starting the command.
fn launcher_failure(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    format!("the sandbox could not be made: {}", line.unwrap_or("its launcher ended"))
}

async fn next_report(launcher: &mut Option<Launcher>) -> Option<Report> {
    match launcher {
        Some(launcher) => {
            let report = launcher.next().await;
            launcher.started |= report == Some(Report::Started);
            report
        }
        None => std::future::pending().await,
    }
}

/// Asks the group, and what has left it, to end.
async fn end(leader: u32, launcher: &mut Option<Launcher>) -> Phase {
    match launcher {
        Some(launcher) => launcher.terminate().await,
        None => {
            signal_strays(leader, Signal::TERM);
            signal_group(leader, Signal::TERM);
        }
    }
    Phase::Ending { until: Instant::now() + GRACE }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reading all of `/proc` takes milliseconds and may have to be repeated: not on a worker.
async fn sweep(family: &Family) -> usize {
    let family = family.clone();
    tokio::task::spawn_blocking(move || family.kill()).await.unwrap_or(0)
}

/// What was started.
struct Started {
    child: tokio::process::Child,
    output: pipe::Receiver,
    launcher: Option<Launcher>,
    /// Serves as long as it is held.
    proxy: Option<Proxy>,
}

/// Starts it with one pipe for both outputs, so that they interleave as they were written.
async fn start(command: &Command) -> Result<Started, String> {
    if !command.cwd.is_dir() {
        return Err(format!("the folder {} does not exist", command.cwd.display()));
    }
    let pipes = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipes().map_err(|e| {
        format!(
            "could not create a pipe for its \
        output: {e}"
        )
    })?;
    let sandbox = command.confinement.as_ref().map(|it| (&it.sandbox, &it.grant));
    let launched = sandbox.and_then(|(sandbox, grant)| {
        Some((sandbox.launcher()?, sandbox.request(command.invocation(), grant)))
    });
    let (name, mut process) = match &launched {
        Some((launcher, _)) => {
            let mut process = tokio::process::Command::new(launcher);
            process.arg(LAUNCHER);
            ("the sandbox's launcher".to_owned(), process)
        }
        None => plain(&command.program)?,
    };
    process.stdout(stdout).stderr(stderr).process_group(0).kill_on_drop(true);
    let no_socket = |e: std::io::Error| format!("no socket for the sandbox: {e}");
    let socket = match &launched {
        Some((_, request)) => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(no_socket)?;
            ours.set_nonblocking(true).map_err(no_socket)?;
            // The command's own environment would reach the launcher through a loader's variables.
            process
                .env_clear()
                .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
                .envs(command.marker.variables())
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
            Some((UnixStream::from_std(ours).map_err(no_socket)?, request))
        }
        None => {
            match sandbox {
                Some((sandbox, grant)) => {
                    process.env_clear().envs(sandbox.environment(command.invocation(), grant));
                }
                None => {
                    for variable in &command.env_remove {
                        process.env_remove(variable);
                    }
                    for variable in withheld() {
                        process.env_remove(variable);
                    }
                    process
                        .envs(command.env.iter().map(|(name, value)| (name, value)))
                        .envs(command.marker.variables());
                }
            }
            process.current_dir(&command.cwd).stdin(Stdio::null());
            None
        }
    };
    // The writing ends in `process` are closed when it goes out of scope here: only the command
    // holds them, and the end of output can be seen.
    let child = process.spawn().map_err(|e| format!("{name}: {e}"))?;
    drop(process);
    let Some((mut socket, request)) = socket else {
        return Ok(Started { child, output: reader, launcher: None, proxy: None });
    };
    let bytes = request.to_bytes().map_err(|e| format!("the sandbox's request: {e}"))?;
    // A launcher that is gone already is seen by what it reports: nothing.
    let _gone = socket.write_all(&bytes).await;
    let hosts = match command.confinement.as_ref().map(|it| &it.grant.network) {
        Some(Network::Hosts(hosts)) => Some(hosts.clone()),
        Some(Network::None | Network::All) | None => None,
    };
    let proxy = match hosts {
        Some(hosts) => proxy_of(&socket, hosts).await?,
        None => None,
    };
    let (reports, words) = socket.into_split();
    let reports = BufReader::new(reports).lines();
    let launcher = Some(Launcher { reports, words: Some(words), started: false });
    Ok(Started { child, output: reader, launcher, proxy })
}

/// Serves the socket that the launcher hands over. `None` when it hands over none: it reports why.
async fn proxy_of(launcher: &UnixStream, hosts: Vec<HostPattern>) -> Result<Option<Proxy>, String> {
    let failed = |e: std::io::Error| format!("the sandbox's proxy: {e}");
    let handed_over = async {
        loop {
            launcher.readable().await?;
            match launcher.try_io(Interest::READABLE, || handed_over(launcher)) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    };
    let socket = tokio::time::timeout(PROXY_READY, handed_over)
        .await
        .map_err(|late| failed(late.into()))?
        .map_err(failed)?;
    socket.map(|socket| Proxy::serve(socket, hosts)).transpose().map_err(failed)
}

/// The descriptor at the beginning of what the launcher says, where there is one.
fn handed_over(launcher: &UnixStream) -> std::io::Result<Option<OwnedFd>> {
    let mut first = [0];
    let (_, read) = recv(launcher, &mut first[..], RecvFlags::PEEK)?;
    if read == 0 || first[0] != PROXY_SOCKET {
        return Ok(None);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(launcher, &mut [IoSliceMut::new(&mut first)], &mut ancillary, CLOSED_AT_EXEC)?;
    Ok(ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

fn plain(program: &Program) -> Result<(String, tokio::process::Command), String> {
    Ok(match program {
        Program::Shell(line) => {
            let mut process = tokio::process::Command::new("sh");
            process.arg("-c").arg(line);
            ("sh".to_owned(), process)
        }
        Program::Argv(words) => {
            let (program, arguments) =
                words.split_first().ok_or_else(|| "an empty command".to_owned())?;
            let mut process = tokio::process::Command::new(program);
            process.args(arguments);
            (program.to_string_lossy().into_owned(), process)
        }
    })
}
