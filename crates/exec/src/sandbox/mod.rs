//! What a command of the repository may see and do.
//!
//! A command runs at a [`Level`], the highest one that this machine has: [`probe`] finds it by
//! running a small command at each.
//!
//! | level | made of |
//! |---|---|
//! | A | bubblewrap (user, process, network, IPC, host name and mount namespaces), Landlock, seccomp, limits |
//! | B | Landlock, seccomp, limits, and a launcher that adopts and ends every process |
//! | C | a container of an engine, without network ([`ContainerEngine`]) |
//! | D | limits on nothing: only the environment is reduced |
//!
//! # Expected flow
//!
//! 1. [`Sandbox::new`] turns the places of a run and the settings into rules, once for each run.
//! 2. [`run`](crate::run) starts the launcher, which is this program with [`LAUNCHER`] as its
//!    first argument, and sends it a [`Request`](request::Request) over a socket at its standard
//!    input: no path, argument or variable of the command stands in the launcher's own arguments
//!    or environment.
//! 3. At level A the launcher replaces itself with bubblewrap, which starts it again as process 1
//!    of the new namespaces. There, or at once at level B, it starts the command: a new session,
//!    limits, Landlock, seccomp, then exec.
//! 4. It adopts what the command leaves, reports how the command ended, and kills everything when
//!    the socket says so or is closed, which the end of Greenloop does too.
//!
//! Levels A and B are made of what only Linux has (`linux`); other systems have C and D
//! (`elsewhere`).
//!
//! # Not resilient against
//!
//! docs/SECURITY-MODEL.md says what each level promises and what it does not.

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the launcher's part"))]
pub(crate) mod cgroup;
mod container;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod environment;
mod guard;
mod home;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod policy;
mod probe;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the launcher's part"))]
mod proxy;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the launcher's part"))]
mod request;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the launcher's part"))]
mod rules;
mod scratch;

pub use container::{Container, ContainerEnd, ContainerEngine, ContainerJob, Mount};
#[cfg(not(target_os = "linux"))]
pub use elsewhere::launch;
pub use limits::Limits;
#[cfg(target_os = "linux")]
pub use linux::launch;
pub use policy::{
    ClonePlace, Confinement, Grant, Place, Sandbox, SandboxError, Settings, remove_scratch,
};
pub use probe::{Probe, probe};
pub use request::{LAUNCHER, Level};
pub use scratch::{ScratchOwner, sweep_scratch};

pub(crate) use environment::{holds_credentials, is_credential};
pub(crate) use guard::Guard;
pub(crate) use proxy::Proxy;
pub(crate) use request::{PROXY_SOCKET, Report, Request, TERMINATE};
