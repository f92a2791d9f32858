//! One command, from its start until nothing of it is left.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Marker;
use super::process_table::{Family, Terminal, signal_group, signal_strays};
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
    fn wake(&self) -> Option<Instant> {
        match self {
            Self::Running { until } => *until,
            Self::Ending { until } | Self::Killed { until } => Some(*until),
            Self::Draining { idle, longest } => Some(*idle.min(longest)),
        }
    }
}

/// Kills what is left of a command whose future was dropped.
struct Guard {
    family: Family,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            self.family.kill();
        }
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
    };
    if cancel.is_cancelled() {
        return not_started("the run was cancelled first".to_owned(), true);
    }
    let (mut child, mut pipe) = match start(command) {
        Ok(running) => running,
        Err(reason) => return not_started(reason, false),
    };
    let Some(leader) = child.id() else {
        return not_started("it was gone before it could be watched".to_owned(), false);
    };
    let family = Family { group: leader.cast_signed(), entry: command.marker.step_entry() };
    let mut guard = Guard { family, armed: true };

    let mut phase = Phase::Running { until: command.timeout.map(|after| started + after) };
    let mut status: Option<ExitStatus> = None;
    let mut open = true;
    let mut waits_for_input = false;
    let terminal = Terminal::own();
    let mut look = terminal.map(|_| Instant::now() + LOOK);
    let mut stopped_before = false;
    let mut output_bytes = 0u64;
    let mut timed_out = false;
    let mut cancelled = false;
    let mut buffer = vec![0u8; CHUNK];
    while open || status.is_none() {
        let wake = phase.wake();
        let running = matches!(phase, Phase::Running { .. });
        tokio::select! {
            read = pipe.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(length) => {
                    output_bytes += length as u64;
                    output(&buffer[..length]);
                    if let Phase::Draining { idle, .. } = &mut phase {
                        *idle = Instant::now() + IDLE;
                    }
                }
            },
            ended = child.wait(), if status.is_none() => {
                // A wait can fail only for a child that is not ours to wait for: it is gone,
                // nobody knows how, and that is no success.
                status = Some(ended.unwrap_or(ExitStatus::from_raw(0xff00)));
                if running {
                    let now = Instant::now();
                    phase = Phase::Draining { idle: now + IDLE, longest: now + LONGEST_DRAIN };
                }
            },
            () = cancel.cancelled(), if running => {
                cancelled = true;
                phase = end(leader);
            },
            () = sleep_until(look), if running && look.is_some() => {
                look = Some(Instant::now() + LOOK);
                let stopped = terminal.is_some_and(|own| guard.family.is_stopped_at(own));
                if stopped && stopped_before {
                    waits_for_input = true;
                    phase = end(leader);
                }
                stopped_before = stopped;
            },
            () = sleep_until(wake), if wake.is_some() => match phase {
                Phase::Running { .. } => {
                    timed_out = true;
                    waits_for_input = guard.family.waits_for_terminal();
                    phase = end(leader);
                }
                Phase::Ending { .. } => {
                    signal_strays(leader, Signal::KILL);
                    signal_group(leader, Signal::KILL);
                    sweep(&guard.family).await;
                    phase = Phase::Killed { until: Instant::now() + GIVE_UP };
                }
                Phase::Killed { .. } | Phase::Draining { .. } => break,
            },
        }
    }
    let leftovers = sweep(&guard.family).await;
    guard.armed = false;
    let exit = match (timed_out, command.timeout, status) {
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
    }
}

/// Asks the group, and what has left it, to end.
fn end(leader: u32) -> Phase {
    signal_strays(leader, Signal::TERM);
    signal_group(leader, Signal::TERM);
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
fn start(command: &Command) -> Result<(tokio::process::Child, pipe::Receiver), String> {
    let (name, mut process) = match &command.program {
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
    };
    if !command.cwd.is_dir() {
        return Err(format!("there is no folder {}", command.cwd.display()));
    }
    let pipes = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipes().map_err(|e| format!("no pipe for its output: {e}"))?;
    for variable in &command.env_remove {
        process.env_remove(variable);
    }
    process
        .current_dir(&command.cwd)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .envs(command.marker.variables())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true);
    // The writing ends in `process` are closed when it goes out of scope here: only the command
    // holds them, and the end of output can be seen.
    let child = process.spawn().map_err(|e| format!("{name}: {e}"))?;
    Ok((child, reader))
}
