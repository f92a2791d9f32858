//! How a service is started.

/// A start command, and what is known of the service that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The kind of its project, for a person.
    pub(crate) kind: String,
    /// Its project's folder.
    pub(crate) folder: String,
    /// `{{ port }}` stands for the port.
    pub command: Vec<String>,
    /// Files and folders, relative to the root.
    pub artifacts: Vec<String>,
    /// Whether it looks as if it listens on `$PORT`.
    pub(crate) reads_port: bool,
    /// It answers `GET /`.
    pub(crate) answers_root: bool,
    /// Must be on the PATH.
    pub program: Option<String>,
    pub(crate) port: Option<u16>,
    /// A task runner's recipe starts it.
    pub(crate) runner: bool,
}
