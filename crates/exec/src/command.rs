//! One command, from its start until nothing of it is left.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Marker;
use super::process_table::{Family, Terminal, signal_group, signal_strays};
use super::sandbox::{Confinement, Guard, LAUNCHER, Report, TERMINATE, cgroup};
use greenloop_model::Exit;

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
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments, found as the operating system finds them.
    Argv(Vec<OsString>),
}

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
/// they were written) to `output`, which holds the command back by taking its time. The input is
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
        output_bytes: 0,
        cancelled,
        leftovers: 0,
        waits_for_input: false,
        exceeded: None,
        put_back: Vec::new(),
    };
    if cancel.is_cancelled() {
        return not_started("the run was cancelled first".to_owned(), true);
    }
    let guard = match &command.confinement {
        Some(confinement) => Guard::new(confinement.sandbox.guarded()),
        None => Guard::new(&[]),
    };
    let (mut child, mut pipe, launcher) = match start(command).await {
        Ok(running) => running,
        Err(reason) => return not_started(reason, false),
    };
    let Some(leader) = child.id() else {
        return not_started("it was gone before it could be watched".to_owned(), false);
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
    let (leftovers, exceeded) = match last {
        Some((leftovers, exceeded)) => (leftovers, exceeded),
        None if running.launcher.is_some() => (0, None),
        None => (swept, None),
    };
    let _reaped = tokio::time::timeout(GIVE_UP, child.wait()).await;
    if running.launcher.is_some() {
        let group = command.marker.step();
        let _removed = tokio::task::spawn_blocking(move || cgroup::leave(&group)).await;
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
    }
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

/// Starts it with one pipe for both outputs, so that they interleave as they were written.
async fn start(
    command: &Command,
) -> Result<(tokio::process::Child, pipe::Receiver, Option<Launcher>), String> {
    if !command.cwd.is_dir() {
        return Err(format!("there is no folder {}", command.cwd.display()));
    }
    let pipes = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipes().map_err(|e| format!("no pipe for its output: {e}"))?;
    let sandbox = command.confinement.as_ref().map(|it| (&it.sandbox, &it.grant));
    let launched = sandbox
        .and_then(|(sandbox, grant)| Some((sandbox.launcher()?, sandbox.request(command, grant))));
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
                    process.env_clear().envs(sandbox.environment(command, grant));
                }
                None => {
                    for variable in &command.env_remove {
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
    let launcher = match socket {
        Some((socket, request)) => {
            let (reports, mut words) = socket.into_split();
            let bytes = request.to_bytes().map_err(|e| format!("the sandbox's request: {e}"))?;
            // A launcher that is gone already is seen by what it reports: nothing.
            let _gone = words.write_all(&bytes).await;
            let reports = BufReader::new(reports).lines();
            Some(Launcher { reports, words: Some(words), started: false })
        }
        None => None,
    };
    Ok((child, reader, launcher))
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
