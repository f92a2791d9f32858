//! What a command starts.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::Marker;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments, found as the operating system finds them.
    Argv(Vec<OsString>),
}

/// What a sandbox has to know of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Invocation<'a> {
    pub(crate) program: &'a Program,
    pub(crate) cwd: &'a Path,
    /// Added to what it inherits.
    pub(crate) env: &'a [(OsString, OsString)],
    /// Not inherited.
    pub(crate) env_remove: &'a [OsString],
    pub(crate) timeout: Option<Duration>,
    pub(crate) marker: &'a Marker,
}
