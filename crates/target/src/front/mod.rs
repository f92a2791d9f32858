//! The address that stays while releases come and go, and the small detached process behind it.
//!
//! Lives here: what every target needs that has no load balancer of its own to switch. The
//! listener that forwards connections, the record of releases, the control socket, the start of
//! the detached process, the health check. Must not be here: what a release is and how one is
//! started; that is the `process` and the `docker` target.
//!
//! Invariants: only the detached process of a target, which holds its lock, writes its record;
//! the record is on the disk before anybody is told of it; a connection that has chosen a
//! release is counted before that release can be stopped.

pub(crate) mod address;
pub(crate) mod control;
pub(crate) mod detach;
mod last_answer;
pub(crate) mod ledger;
pub(crate) mod listener;
pub(crate) mod listeners;
pub(crate) mod port_owner;
pub(crate) mod probe;
pub(crate) mod socket;
pub(crate) mod wire;
