//! The process target: a release is a supervised local process behind a front listener.
//!
//! A release's artifacts are copied into a folder of its own. A supervisor (this same program,
//! detached, so that the service outlives Greenloop) starts the release at a private port, waits
//! until its health check passes, and only then sends new connections to it.
//!
//! # Expected flow
//!
//! 1. [`ProcessTarget::roll_out`](greenloop_ports::Target::roll_out) copies the artifacts, starts
//!    the supervisor if there is none, and asks it for the rollout.
//! 2. The supervisor starts the candidate beside the release that serves. A candidate that ends,
//!    or is not healthy in time, is stopped; nothing was switched.
//! 3. The candidate serves; the last verified release stays running, but gets no connections.
//! 4. `mark_verified` retires the old process; `restore` switches back to it at once.
//!
//! # Guarantees
//!
//! - There is always at most one release that gets connections, and it was healthy when it got
//!   the first one. A request that was begun on the old process ends there.
//! - A rollout to another address opens that besides the one that serves. The former address is
//!   closed once the release has been verified; when it fails, the new one is.
//! - The deployer's connection is its lease on an unverified release. If it is lost before the
//!   switch, the candidate is stopped and forgotten; if it is lost after it, the release serves
//!   for 30 more seconds, and gives way to the last verified one unless the run takes up its
//!   rollout again (the same release id) or is cleaned up before.
//! - A rollout of a release id that serves already answers as the first one did.
//! - One supervisor for a target's folder: the lock is the kernel's, not a file's existence.
//! - A supervisor that was killed is replaced by the next command that looks: processes of the
//!   old one are killed by the mark in their environment, the state is read, and the release
//!   that served is started again.
//! - A service that crashes is started again after 0.1 s, then ever later, up to 5 s;
//!   connections that come meanwhile wait up to 5 s.
//! - Logs are bounded: two files of 4 MiB for each release.
//!
//! # Assumptions
//!
//! - The service stays in the foreground and listens at the port that `PORT` says, on the
//!   loopback interface.
//! - It speaks HTTP for its health check. The front itself forwards any TCP protocol.
//!
//! # Caveats
//!
//! - A kept-alive connection stays with the process it was opened to. When that process is
//!   retired, the connection is closed as soon as it is silent after an answer.
//! - The port is chosen before the service binds it; another program can be faster, and the
//!   candidate then fails.
//! - After a machine's restart the service is down until the next `greenloop` command looks.
//! - A release gets the environment of the deployer that asked last; a supervisor that replaces
//!   a killed one has the environment of the command that started it.

mod artifacts;
mod protocol;
mod service;
mod service_log;
mod state;
mod supervise;
mod target;
#[cfg(test)]
mod tests;
mod workload;

pub use crate::supervisor::release_state::StateError;
pub use crate::supervisor::supervise::SuperviseError;
pub use supervise::supervise;
pub use target::{ProcessTarget, shut_down};
