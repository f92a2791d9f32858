//! Level C: a command in a container of an engine, where namespaces and Landlock are not to be had.
//!
//! What a container is asked for is made here; who talks to an engine is behind
//! [`ContainerEngine`], because this crate is used by those that do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use greenloop_model::Exit;

/// Makes a container for each command.
pub trait ContainerEngine: fmt::Debug + Send + Sync {
    /// Runs a command to its end, hands on what it prints, and leaves nothing of it.
    fn run<'a>(
        &'a self,
        job: ContainerJob,
        output: &'a mut (dyn FnMut(&[u8]) + Send),
        cancel: &'a CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ContainerEnd> + Send + 'a>>;
}

/// The engine that a configuration names.
#[derive(Debug, Clone)]
pub struct Container(pub Arc<dyn ContainerEngine>);

impl PartialEq for Container {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Container {}

/// A command for a container: whatever is not mounted, it does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerJob {
    /// Unique.
    pub name: String,
    pub command: Vec<String>,
    /// Its whole environment but for what the image says.
    pub environment: Vec<(String, String)>,
    pub cwd: PathBuf,
    /// In the order in which they are to be mounted.
    pub mounts: Vec<Mount>,
    /// Whether it has the engine's usual network; none otherwise.
    pub network: bool,
    /// `uid:gid`.
    pub user: String,
    /// Bytes of memory, swap included.
    pub memory: u64,
    /// Processes and threads.
    pub processes: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Ended after this.
    pub timeout: Option<Duration>,
}

/// What a container sees at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// What lies at the same path outside.
    Read(PathBuf),
    /// The same, to be written to.
    Write(PathBuf),
    /// What lies at the first path, at the second.
    WriteAt(PathBuf, PathBuf),
    /// An empty folder.
    Empty(PathBuf),
}

impl Mount {
    /// Where it is seen.
    pub fn at(&self) -> &Path {
        match self {
            Self::Read(path) | Self::Write(path) | Self::WriteAt(_, path) | Self::Empty(path) => {
                path
            }
        }
    }
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEnd {
    pub exit: Exit,
    /// Whether it was ended by the token.
    pub cancelled: bool,
    /// The limit that it went over, in words.
    pub exceeded: Option<String>,
}
