//! Systems without namespaces, Landlock and seccomp: levels C and D.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::{Level, Probe};

/// Nothing starts the program as launcher here.
pub fn launch(_arguments: impl Iterator<Item = OsString>) -> ExitCode {
    ExitCode::FAILURE
}

/// There is nothing to try: a container is made by an engine that the user names.
pub(super) fn attempt(_launcher: &Path) -> Probe {
    let reason =
        "only Linux has what it is made of; `sandbox.container` runs commands in a container";
    let refused = [Level::A, Level::B].map(|level| (level, reason.to_owned())).to_vec();
    Probe { level: Level::D, bubblewrap: None, landlock: 0, refused }
}
