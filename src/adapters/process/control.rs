//! The deployer's side of the control socket.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::protocol::{self, Reply, Request, Trouble, WireError};
use super::socket;
use super::supervise::make_folder;

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
    crate::exec::RUN_VARIABLE,
    crate::exec::STEP_VARIABLE,
    "GREENLOOP_ITERATION",
    "GREENLOOP_STAGE",
];

/// Why the supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
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
    #[error("{}", super::supervisor::in_words(&Trouble::Version { supervisor: *.0 }))]
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
pub(super) struct Control {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// The supervisor's number.
    pub(super) pid: u32,
}

impl Control {
    /// Connects to the supervisor of the target in `folder`.
    pub(super) async fn connect(folder: &Path) -> Result<Self, ControlError> {
        let stream = socket::connect(folder).await.map_err(|_| ControlError::NotRunning)?;
        let (reader, writer) = stream.into_split();
        let mut control = Self { reader: BufReader::new(reader), writer, pid: 0 };
        match control.ask(&Request::Ping).await? {
            Reply::Here { pid } => Ok(Self { pid, ..control }),
            Reply::Failed { trouble: Trouble::Version { supervisor } } => {
                Err(ControlError::Version(supervisor))
            }
            Reply::Progress { .. }
            | Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. } => Err(ControlError::NoAnswer(None)),
        }
    }

    /// Sends without waiting for an answer.
    pub(super) async fn send(&mut self, request: &Request) -> Result<(), ControlError> {
        Ok(protocol::send(&mut self.writer, request).await?)
    }

    /// The next answer.
    pub(super) async fn receive(&mut self) -> Result<Reply, ControlError> {
        protocol::receive(&mut self.reader).await?.ok_or(ControlError::NoAnswer(None))
    }

    /// Asks what is answered at once.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        self.ask_within(request, ANSWER).await
    }

    /// Asks what is answered within `limit`, passing over progress.
    pub(super) async fn ask_within(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply, ControlError> {
        let asking = async {
            self.send(request).await?;
            loop {
                match self.receive().await? {
                    Reply::Progress { .. } => {}
                    reply => return Ok(reply),
                }
            }
        };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(ControlError::NoAnswer(None)))
    }
}

/// How a supervisor is started.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    /// This program.
    pub(super) program: PathBuf,
    /// Variables that neither it nor its services inherit.
    pub(super) withheld: Vec<OsString>,
}

impl Launcher {
    /// Connects, after starting a supervisor when there is none.
    pub(super) async fn connect(&self, folder: &Path) -> Result<Control, ControlError> {
        match Control::connect(folder).await {
            Err(ControlError::NotRunning) => self.start(folder).await,
            other => other,
        }
    }

    async fn start(&self, folder: &Path) -> Result<Control, ControlError> {
        let not_started =
            |source| ControlError::NotStarted { said: String::new(), source: Some(source) };
        make_folder(folder).map_err(not_started)?;
        let log_path = folder.join("supervisor.log");
        let log = std::fs::File::create(&log_path).map_err(not_started)?;
        let mut command = tokio::process::Command::new(&self.program);
        command
            .arg("supervise")
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
    pub(super) fn all_withheld(&self) -> impl Iterator<Item = &std::ffi::OsStr> {
        self.withheld.iter().map(OsString::as_os_str).chain(OF_THE_RUN.iter().map(AsRef::as_ref))
    }
}
