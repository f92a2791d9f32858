//! What Greenloop and the launcher tell each other.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Limits;
use super::rules::Rule;

/// The first argument of the program as launcher.
pub const LAUNCHER: &str = "sandbox-launcher";

/// How strong a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// None.
    D,
    /// A container of an engine, without network.
    C,
    /// Landlock, seccomp, limits, and a launcher that ends every process.
    B,
    /// The same inside namespaces of its own.
    A,
}

impl Level {
    /// `A`, `B` or `D`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }

    /// The level of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::A, Self::B, Self::C, Self::D]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// What it is made of.
    pub fn parts(self) -> &'static str {
        match self {
            Self::A => "bubblewrap, Landlock and seccomp",
            Self::B => "Landlock and seccomp",
            Self::C => "a container",
            Self::D => "no sandbox",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A command for the launcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) level: Level,
    /// Where bubblewrap lies; at level A.
    pub(crate) bubblewrap: Option<PathBuf>,
    /// The command and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Its whole environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub(crate) cwd: PathBuf,
    /// What it may read and write.
    pub(crate) rules: Vec<Rule>,
    /// Whether it may use the whole network.
    pub(crate) network: bool,
    /// Whether it reaches a proxy, and nothing else; the launcher hands the listening socket over.
    pub(crate) proxied: bool,
    pub(crate) limits: Limits,
    /// Names its group of processes; unique.
    pub(crate) group: String,
}

/// What the launcher tells of a command; one line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// It runs.
    Started,
    /// It could not be started.
    NotStarted(String),
    /// It has ended; what it started may go on.
    Exited {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// Nothing of it is left; the last report.
    Ended {
        /// Processes that were left, and were killed.
        leftovers: usize,
        /// The limit that it went over, in words.
        exceeded: Option<String>,
    },
}

/// Asks the launcher to end the command politely. The end of the stream asks it to kill.
pub(crate) const TERMINATE: u8 = b'T';

/// Stands before the reports, with the socket at which the command expects its proxy.
pub(crate) const PROXY_SOCKET: u8 = b'P';

/// The most that a request can be: arguments and environment are bounded by the kernel at less.
const LARGEST: usize = 64 << 20;

impl Request {
    /// As it is sent: its length, then JSON.
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(self)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(body);
        Ok(bytes)
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LARGEST {
            return Err(io::Error::other("the request is too large"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Report {
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }
}
