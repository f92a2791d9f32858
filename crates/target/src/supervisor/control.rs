//! The deployer's side of the control socket.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::detach::make_folder;
use super::protocol::{Protocol, Reply, Request, RequestError};
use super::socket;
use super::wire::{self, WireError};
use greenloop_exec::ProcessIdentity;

/// How long a supervisor may take to be there.
const START: Duration = Duration::from_secs(15);
/// Between two tries to connect to one that is being started.
const CONNECT: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .without_max_times();
/// How long to look for another one that was started at the same time.
const FASTER: Duration = Duration::from_secs(1);
/// How long it may take to answer what needs no waiting.
const ANSWER: Duration = Duration::from_secs(20);
/// Between two looks whether a supervisor that was told to end has ended.
const EXIT_POLL: Duration = Duration::from_millis(20);
/// Bytes of the supervisor's log in an error.
const TAIL: usize = 1000;
/// Variables of a run that its services must not carry: they would be taken for its children.
const OF_THE_RUN: [&str; 4] = [
    greenloop_exec::RUN_VARIABLE,
    greenloop_exec::STEP_VARIABLE,
    "GREENLOOP_ITERATION",
    "GREENLOOP_STAGE",
];

/// Why the supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// There is none, and none was to be started.
    #[error("no supervisor is running")]
    NotRunning,
    /// It could not be started.
    #[error("the supervisor could not be started{}", last_words(.said))]
    NotStarted {
        said: String,
        #[source]
        source: Option<std::io::Error>,
    },
    /// It did not answer, or ended meanwhile.
    #[error("the supervisor did not answer")]
    NoAnswer(#[source] Option<WireError>),
    /// It speaks another version of the protocol.
    #[error("{}", wire::version_mismatch(*.0))]
    Version(u32),
}

fn last_words(said: &str) -> String {
    if said.trim().is_empty() { String::new() } else { format!("; it said: {}", said.trim()) }
}

impl From<WireError> for ControlError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Version(version) => Self::Version(version),
            WireError::Io(_) | WireError::Malformed(_) => Self::NoAnswer(Some(error)),
        }
    }
}

/// A connection to the supervisor.
#[derive(Debug)]
pub(crate) struct Control<P> {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    protocol: PhantomData<fn() -> P>,
    /// The supervisor's number.
    pub(crate) pid: u32,
}

impl<P: Protocol> Control<P> {
    /// Connects to the supervisor of the target in `folder`.
    pub(crate) async fn connect(folder: &Path) -> Result<Self, ControlError> {
        let stream = socket::connect(folder).await.map_err(|_| ControlError::NotRunning)?;
        let (reader, writer) = stream.into_split();
        let reader = BufReader::new(reader);
        let mut control = Self { reader, writer, protocol: PhantomData, pid: 0 };
        let asked = async {
            wire::send(&mut control.writer, &Request::<P::Request>::Ping).await?;
            wire::receive::<Reply<P::Reply>>(&mut control.reader).await
        };
        let reply = match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(Some(reply))) => reply,
            // It was just ending.
            Ok(Ok(None) | Err(WireError::Io(_))) => return Err(ControlError::NotRunning),
            Ok(Err(error)) => return Err(error.into()),
            Err(_elapsed) => return Err(ControlError::NoAnswer(None)),
        };
        match reply {
            Reply::Here { pid } => Ok(Self { pid, ..control }),
            Reply::Failed { error: RequestError::Version { supervisor } } => {
                Err(ControlError::Version(supervisor))
            }
            Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(ControlError::NoAnswer(None)),
        }
    }

    /// Sends without waiting for an answer.
    pub(crate) async fn send(&mut self, request: &Request<P::Request>) -> Result<(), ControlError> {
        Ok(wire::send(&mut self.writer, request).await?)
    }

    /// The next answer.
    pub(crate) async fn receive(&mut self) -> Result<Reply<P::Reply>, ControlError> {
        wire::receive(&mut self.reader).await?.ok_or(ControlError::NoAnswer(None))
    }

    /// Asks what is answered at once.
    pub(crate) async fn ask(
        &mut self,
        request: &Request<P::Request>,
    ) -> Result<Reply<P::Reply>, ControlError> {
        self.ask_within(request, ANSWER).await
    }

    /// Asks what is answered within `limit`, passing over progress.
    pub(crate) async fn ask_within(
        &mut self,
        request: &Request<P::Request>,
        limit: Duration,
    ) -> Result<Reply<P::Reply>, ControlError> {
        let asking = async {
            self.send(request).await?;
            loop {
                let reply = self.receive().await?;
                let is_progress = matches!(&reply, Reply::Own(own) if P::is_progress(own));
                if !is_progress {
                    return Ok(reply);
                }
            }
        };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(ControlError::NoAnswer(None)))
    }
}

/// Whether process `pid` ends within `limit`.
pub(crate) async fn until_gone(pid: u32, limit: Duration) -> bool {
    let process = ProcessIdentity::of(pid);
    let deadline = Instant::now() + limit;
    while process.is_some_and(|process| process.is_alive()) {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(EXIT_POLL).await;
    }
    true
}

/// How a supervisor is started.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorLauncher {
    /// This program.
    pub(crate) program: PathBuf,
    /// What makes it the supervisor; `--state FOLDER` follows.
    pub(crate) arguments: Vec<OsString>,
    /// Variables that neither it nor its services inherit.
    pub(crate) env_remove: Vec<OsString>,
}

impl SupervisorLauncher {
    /// Connects, after starting a supervisor when there is none.
    pub(crate) async fn connect<P: Protocol>(
        &self,
        folder: &Path,
    ) -> Result<Control<P>, ControlError> {
        match Control::connect(folder).await {
            Err(ControlError::NotRunning) => self.start(folder).await,
            other => other,
        }
    }

    async fn start<P: Protocol>(&self, folder: &Path) -> Result<Control<P>, ControlError> {
        let not_started =
            |source| ControlError::NotStarted { said: String::new(), source: Some(source) };
        make_folder(folder).map_err(not_started)?;
        let log_path = folder.join("supervisor.log");
        let log = std::fs::File::create(&log_path).map_err(not_started)?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--state")
            .arg(folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(not_started)?)
            .stderr(log);
        for name in self.all_env_remove() {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(not_started)?;
        let mut deadline = Instant::now() + START;
        let mut delays = CONNECT.build();
        loop {
            match Control::connect(folder).await {
                Err(ControlError::NotRunning) => {}
                other => return other,
            }
            // Another one may have been faster, and this one then ends at once: look for the
            // other for a moment before giving up.
            if child.try_wait().map_err(not_started)?.is_some() {
                deadline = deadline.min(Instant::now() + FASTER);
            }
            if Instant::now() > deadline {
                let said = std::fs::read(&log_path).unwrap_or_default();
                let said = &said[said.len().saturating_sub(TAIL)..];
                let said = String::from_utf8_lossy(said).into_owned();
                return Err(ControlError::NotStarted { said, source: None });
            }
            tokio::time::sleep(delays.next().unwrap_or_default()).await;
        }
    }

    /// The variables that are the run's business alone.
    pub(crate) fn all_env_remove(&self) -> impl Iterator<Item = &std::ffi::OsStr> {
        self.env_remove.iter().map(OsString::as_os_str).chain(OF_THE_RUN.iter().map(AsRef::as_ref))
    }
}
