//! One running process of a release, from its start until nothing of it is left.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

use super::service_log::{LogMark, ServiceLog};
use super::state::Launch;
use crate::proxy::listener::{Backend, Connections};
use crate::supervisor::protocol::ExitRecord;
use greenloop_model::ReleaseId;

/// Says in every service's environment to which target it belongs.
pub(super) const TARGET_VARIABLE: &str = "GREENLOOP_TARGET";
/// Says which start of which release it is.
const SERVICE_VARIABLE: &str = "GREENLOOP_SERVICE";
/// From the polite signal to the one that cannot be refused.
const GRACE: Duration = Duration::from_secs(5);
/// How long output is read after the process has ended and its children were killed.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The folder of a release within the target's.
pub(super) fn release_folder(target: &Path, release: ReleaseId) -> PathBuf {
    target.join("releases").join(release.to_string())
}

/// The part of it that holds the artifacts, where the process runs.
pub(super) fn files_folder(target: &Path, release: ReleaseId) -> PathBuf {
    release_folder(target, release).join("files")
}

/// How a process is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// It shall live.
    Live,
    /// Its connections may finish first, for this long.
    Stop { drain: Duration },
}

/// Everything a start needs.
pub(super) struct Start<'a> {
    pub(super) target: &'a Path,
    /// The target's mark, `NAME=value`'s value.
    pub(super) mark: &'a str,
    pub(super) release: ReleaseId,
    pub(super) launch: &'a Launch,
    /// What it inherits.
    pub(super) environment: &'a [(OsString, OsString)],
}

/// A process that was started.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) backend: Backend,
    pub(super) pid: u32,
    pub(super) started: Instant,
    /// Where its log stood when it was started.
    pub(super) log: LogMark,
    order: watch::Sender<Order>,
    ended: tokio::task::JoinHandle<ExitRecord>,
}

impl Service {
    /// Starts the release's process at a free port. `ended` is called with how it ended, once
    /// nothing of it is left; not when [`Self::stop`] was.
    pub(super) fn start(
        start: &Start<'_>,
        ended: impl FnOnce(ExitRecord) + Send + 'static,
    ) -> Result<Self, String> {
        let folder = release_folder(start.target, start.release);
        let files = files_folder(start.target, start.release);
        let log = ServiceLog::open(&folder).map_err(|e| format!("its log: {e}"))?;
        let mark = log.mark();
        let port = free_port().map_err(|e| format!("no free port: {e}"))?;
        let mut words = start.launch.command.iter().map(|word| with_port(word, port));
        let program = words.next().ok_or_else(|| "an empty command".to_owned())?;
        let (reader, writer) =
            std::io::pipe().map_err(|e| format!("could not create a pipe: {e}"))?;
        let output = pipe::Receiver::from_owned_fd(reader.into()).map_err(|e| {
            format!(
                "could not create a \
                pipe: {e}"
            )
        })?;
        let stderr = writer.try_clone().map_err(|e| format!("could not create a pipe: {e}"))?;
        let own_mark = uuid::Uuid::new_v4().to_string();
        let child = {
            let mut command = tokio::process::Command::new(find(&files, &program));
            command
                .args(words)
                .current_dir(&files)
                .env_clear()
                .envs(start.environment.iter().map(|(name, value)| (name, value)))
                .envs(&start.launch.env)
                .env("PORT", port.to_string())
                .env(TARGET_VARIABLE, start.mark)
                .env(SERVICE_VARIABLE, &own_mark)
                .stdin(Stdio::null())
                .stdout(writer)
                .stderr(stderr)
                .process_group(0)
                .kill_on_drop(true);
            command.spawn().map_err(|e| format!("{program}: {e}"))?
        };
        let pid = child.id().ok_or_else(|| format!("{program}: exited immediately"))?;
        let backend = Backend::new("127.0.0.1", port);
        let (order, orders) = watch::channel(Order::Live);
        let attended = ChildProcess {
            child,
            pid,
            output,
            log,
            mark: format!("{SERVICE_VARIABLE}={own_mark}").into_bytes(),
            connections: Arc::clone(&backend.connections),
            orders,
        };
        let ended = tokio::spawn(async move {
            let (exit, asked) = attended.attend().await;
            if !asked {
                ended(exit);
            }
            exit
        });
        Ok(Self { backend, pid, started: Instant::now(), log: mark, order, ended })
    }

    /// Ends it: lets its connections finish for at most `drain`, then SIGTERM, five seconds,
    /// SIGKILL. What is awaited is that nothing of it is left.
    pub(super) fn stop(self, drain: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.order.send_replace(Order::Stop { drain });
        async move {
            let _keeps_the_order_alive = self.order;
            let _ended = self.ended.await;
        }
    }
}

/// `{{ port }}`, with or without the spaces, stands for the port.
fn with_port(word: &str, port: u16) -> String {
    let port = port.to_string();
    word.replace("{{ port }}", &port).replace("{{port}}", &port)
}

/// A path within the release's folder, or a name that `PATH` leads to.
fn find(files: &Path, program: &str) -> PathBuf {
    let inside = files.join(program);
    if program.contains('/') || inside.is_file() { inside } else { PathBuf::from(program) }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

struct ChildProcess {
    child: tokio::process::Child,
    pid: u32,
    output: pipe::Receiver,
    log: ServiceLog,
    mark: Vec<u8>,
    connections: Arc<Connections>,
    orders: watch::Receiver<Order>,
}

enum Phase {
    Living,
    Draining { until: Instant },
    Ending { until: Instant },
    Killed,
}

impl ChildProcess {
    /// Until nothing of it is left: how it ended, and whether it was asked to.
    async fn attend(mut self) -> (ExitRecord, bool) {
        let mut buffer = vec![0u8; 16 * 1024];
        let mut phase = Phase::Living;
        let mut open = true;
        let status = loop {
            let drained = self.connections.clone();
            let until = match &phase {
                Phase::Living | Phase::Killed => None,
                Phase::Draining { until } | Phase::Ending { until } => Some(*until),
            };
            tokio::select! {
                status = self.child.wait() => break status,
                read = self.output.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(length) => self.log.write(&buffer[..length]),
                },
                // The supervisor drops the order's sender only when it ends.
                changed = self.orders.changed(), if matches!(phase, Phase::Living) => {
                    let order = *self.orders.borrow_and_update();
                    phase = match (changed, order) {
                        (Ok(()), Order::Live) => Phase::Living,
                        (Ok(()), Order::Stop { drain }) => {
                            Phase::Draining { until: Instant::now() + drain }
                        }
                        (Err(_), _) => Phase::Draining { until: Instant::now() },
                    };
                }
                () = drained.drain(), if matches!(phase, Phase::Draining { .. }) => {
                    greenloop_exec::signal_group(self.pid, Signal::TERM);
                    phase = Phase::Ending { until: Instant::now() + GRACE };
                }
                () = sleep_until(until), if until.is_some() => {
                    phase = if matches!(phase, Phase::Draining { .. }) {
                        greenloop_exec::signal_group(self.pid, Signal::TERM);
                        Phase::Ending { until: Instant::now() + GRACE }
                    } else {
                        greenloop_exec::signal_group(self.pid, Signal::KILL);
                        Phase::Killed
                    };
                }
            }
        };
        let mark = std::mem::take(&mut self.mark);
        let _left = tokio::task::spawn_blocking(move || greenloop_exec::kill_entry(&mark)).await;
        let rest = async {
            while let Ok(length) = self.output.read(&mut buffer).await
                && length > 0
            {
                self.log.write(&buffer[..length]);
            }
        };
        let _still_open = tokio::time::timeout(LAST_WORDS, rest).await;
        let exit = match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => ExitRecord::Code(code),
            Ok((None, Some(signal))) => ExitRecord::Signal(signal),
            Ok((None, None)) | Err(_) => ExitRecord::Code(-1),
        };
        (exit, !matches!(phase, Phase::Living))
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
