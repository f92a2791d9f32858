//! The deployer's side of the control socket.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::detach::make_folder;
use super::socket;
use super::wire::{self, WireError};

/// How long a supervisor may take to be there.
const START: Duration = Duration::from_secs(15);
/// How long to look for another one that was started at the same time.
const FASTER: Duration = Duration::from_secs(1);
/// How long it may take to answer what needs no waiting.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of the supervisor's log in an error.
const TAIL: usize = 1000;
/// Variables of a run that its services must not carry: they would be taken for its children.
const OF_THE_RUN: [&str; 4] = [
    greenloop_exec::RUN_VARIABLE,
    greenloop_exec::STEP_VARIABLE,
    "GREENLOOP_ITERATION",
    "GREENLOOP_STAGE",
];

/// What one kind of target and its detached process say to each other.
pub(crate) trait Protocol: 'static {
    /// What can be asked.
    type Request: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What is answered.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Asks whether it is there.
    fn ping() -> Self::Request;

    /// Tells what kind of answer it is.
    fn kind(reply: &Self::Reply) -> Answer;

    /// The answer to a side that speaks another version than [`wire::VERSION`].
    fn other_version() -> Self::Reply;
}

/// The kinds of answers that do not depend on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To a ping: its number.
    Here(u32),
    /// More will come.
    Progress,
    /// It speaks this version.
    OtherVersion(u32),
    /// What was asked for.
    Last,
}

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
    #[error(
        "the running supervisor speaks version {0} of the protocol, this greenloop version {own}: \
         shut the service down with the greenloop that started it",
        own = wire::VERSION
    )]
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
            wire::send(&mut control.writer, &P::ping()).await?;
            wire::receive::<P::Reply>(&mut control.reader).await
        };
        let reply = match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(Some(reply))) => reply,
            // It was just ending.
            Ok(Ok(None) | Err(WireError::Io(_))) => return Err(ControlError::NotRunning),
            Ok(Err(error)) => return Err(error.into()),
            Err(_elapsed) => return Err(ControlError::NoAnswer(None)),
        };
        match P::kind(&reply) {
            Answer::Here(pid) => Ok(Self { pid, ..control }),
            Answer::OtherVersion(version) => Err(ControlError::Version(version)),
            Answer::Progress | Answer::Last => Err(ControlError::NoAnswer(None)),
        }
    }

    /// Sends without waiting for an answer.
    pub(crate) async fn send(&mut self, request: &P::Request) -> Result<(), ControlError> {
        Ok(wire::send(&mut self.writer, request).await?)
    }

    /// The next answer.
    pub(crate) async fn receive(&mut self) -> Result<P::Reply, ControlError> {
        wire::receive(&mut self.reader).await?.ok_or(ControlError::NoAnswer(None))
    }

    /// Asks what is answered at once.
    pub(crate) async fn ask(&mut self, request: &P::Request) -> Result<P::Reply, ControlError> {
        self.ask_within(request, ANSWER).await
    }

    /// Asks what is answered within `limit`, passing over progress.
    pub(crate) async fn ask_within(
        &mut self,
        request: &P::Request,
        limit: Duration,
    ) -> Result<P::Reply, ControlError> {
        let asking = async {
            self.send(request).await?;
            loop {
                let reply = self.receive().await?;
                if P::kind(&reply) != Answer::Progress {
                    return Ok(reply);
                }
            }
        };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(ControlError::NoAnswer(None)))
    }
}

/// How a supervisor is started.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    /// This program.
    pub(crate) program: PathBuf,
    /// What makes it the supervisor; `--state FOLDER` follows.
    pub(crate) arguments: Vec<OsString>,
    /// Variables that neither it nor its services inherit.
    pub(crate) withheld: Vec<OsString>,
}

impl Launcher {
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
        for name in self.all_withheld() {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(not_started)?;
        let mut deadline = Instant::now() + START;
        let mut pause = Duration::from_millis(5);
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
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The variables that are the run's business alone.
    pub(crate) fn all_withheld(&self) -> impl Iterator<Item = &std::ffi::OsStr> {
        self.withheld.iter().map(OsString::as_os_str).chain(OF_THE_RUN.iter().map(AsRef::as_ref))
    }
}
