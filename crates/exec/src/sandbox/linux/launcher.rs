//! This program as the launcher of a command.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};

use super::{bubblewrap, supervise};
use crate::sandbox::{LAUNCHER, Level, Report, Request, cgroup};

/// What the launcher exits with when it could not do its work; it has reported why.
const FAILED: u8 = 125;

/// Runs as the launcher. `arguments` follow [`LAUNCHER`]. To be called before any thread starts.
pub fn launch(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.collect::<Vec<_>>().into_iter();
    let Ok(mut control) = control() else { return ExitCode::from(FAILED) };
    let inside = arguments.next();
    let request = match &inside {
        None => Request::read(&mut control),
        Some(descriptor) => handed_over(descriptor),
    };
    let outcome = request.map_err(|e| format!("the request could not be read: {e}"));
    if let (Ok(request), None) = (&outcome, &inside) {
        cgroup::join(&request.group, request.limits.threads, request.limits.memory);
    }
    let outcome = outcome.and_then(|request| match (request.level, &inside) {
        (Level::A, None) => Err(become_bubblewrap(&request)),
        (Level::A | Level::B | Level::C | Level::D, _) => supervise::run(&request, &mut control),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _nobody_listens = Report::NotStarted(reason).write(&mut control);
            ExitCode::from(FAILED)
        }
    }
}

/// The socket at the standard input.
fn control() -> std::io::Result<UnixStream> {
    use std::os::fd::AsFd as _;
    let stdin = std::io::stdin();
    Ok(UnixStream::from(stdin.as_fd().try_clone_to_owned()?))
}

/// Replaces this process with bubblewrap, which starts the launcher again inside. It gets the
/// request, and the program itself whatever lies at its path meanwhile, as open files.
fn become_bubblewrap(request: &Request) -> String {
    let replaced = || -> std::io::Result<std::io::Error> {
        let program = request.bubblewrap.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let mut file = File::from(rustix::fs::memfd_create("request", MemfdFlags::CLOEXEC)?);
        file.write_all(&request.to_bytes()?)?;
        file.rewind()?;
        let launcher = File::open("/proc/self/exe")?;
        for kept in [&file, &launcher] {
            fcntl_setfd(kept, FdFlags::empty())?;
        }
        let error = Command::new(program)
            .env_clear()
            .envs(std::env::vars_os())
            .args(bubblewrap::arguments(request))
            .arg("--")
            .arg(format!("/proc/self/fd/{}", launcher.as_raw_fd()))
            .arg(LAUNCHER)
            .arg(file.as_raw_fd().to_string())
            .exec();
        Ok(error)
    };
    let error = replaced().unwrap_or_else(|error| error);
    format!("bubblewrap could not be started: {error}")
}

/// The request that the launcher outside has left in an open file.
fn handed_over(descriptor: &OsStr) -> std::io::Result<Request> {
    let descriptor = descriptor.to_string_lossy();
    let number: u32 = descriptor.parse().map_err(std::io::Error::other)?;
    let mut bytes = Vec::new();
    File::open(format!("/proc/self/fd/{number}"))?.read_to_end(&mut bytes)?;
    Request::read(&mut bytes.as_slice())
}
