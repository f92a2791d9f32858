//! The docker target: a release is a container on a Docker Engine behind a front listener.
//!
//! Lives here: the target, and its containers as the supervisor sees them. Must not be here: which
//! release serves, which is `crate::supervisor`'s; how images are made, and who one is at a registry.
//!
//! The image is pulled by its digest and started beside the container that serves, at a port of
//! the engine's machine that only the front uses. The front, in a small detached process, keeps
//! the environment's public address while releases come and go; see `crate::proxy`.
//!
//! # Expected flow
//!
//! 1. [`DockerTarget::roll_out`](greenloop_ports::Target::roll_out) starts the supervisor if there is
//!    none and announces the candidate. The connection is the deployer's lease on it.
//! 2. The deployer pulls the image, makes the container, starts it and asks for its health. One
//!    that cannot be started, ends, or is not healthy in time is given up, after its log, its
//!    exit, its health checks and its last answer were taken as evidence; nothing was switched.
//! 3. The supervisor writes the switch to the record and leads new connections to the new
//!    container. The last verified release runs on, but gets no connections.
//! 4. `mark_verified` stops the old container once its connections have finished, and keeps it,
//!    so that a rollback is a start; `restore` leads back to it at once.
//!
//! # Guarantees
//!
//! - There is always at most one release that gets connections, and it was healthy when it got
//!   the first one. A request that was begun on the old container ends there.
//! - If the deployer dies before the switch, the candidate is removed; if it dies after it, the
//!   release serves for 30 more seconds, and gives way to the last verified one unless the run
//!   takes up its rollout again (the same release id) or is cleaned up before.
//! - Containers follow the record: whatever carries the target's mark and is not in the record is
//!   removed, however its maker died. Containers of others are never touched.
//! - Containers that serve outlive the supervisor, the engine's restarts and the machine's. The
//!   engine starts a crashed one again; connections that come meanwhile wait up to 5 s.
//! - The record can be rebuilt from the containers' labels and names, should it be lost.
//! - A release that was rolled out with `rollback: forbidden` is never taken back, by nobody, and
//!   nothing older than it serves again.
//!
//! # Assumptions
//!
//! - The service listens on all interfaces inside its container, at the port that `PORT` says
//!   (with `network: host`, a port that Greenloop draws).
//! - It speaks HTTP for its health check. The front itself forwards any TCP protocol.
//!
//! # Caveats
//!
//! - The front is a process of the machine that deploys: the environment's URL must be an address
//!   of that machine. After that machine's restart the address is closed until the next
//!   `greenloop` command for the environment looks.
//! - An engine on another machine publishes containers on all of that machine's interfaces.
//! - Between a crash and the engine's word of it pass some milliseconds, in which connections are
//!   accepted by the engine's own forwarder and lost.
//! - When `docker_host` is changed, containers on the engine of before are left to it.

mod command;
mod containers;
mod fault;
mod labels;
mod protocol;
mod pull;
mod record;
mod startup;
mod supervise;
mod sweep;
mod target;
#[cfg(test)]
mod tests;
mod workload;

pub use crate::supervisor::supervise::SuperviseError;
pub use command::CommandContainers;
pub use supervise::supervise;
pub use target::{DockerSettings, DockerTarget, shut_down};
