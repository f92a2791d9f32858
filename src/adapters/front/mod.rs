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

pub(in crate::adapters) mod address;
pub(in crate::adapters) mod control;
pub(in crate::adapters) mod detach;
mod last_answer;
pub(in crate::adapters) mod ledger;
pub(in crate::adapters) mod listener;
pub(in crate::adapters) mod port_owner;
pub(in crate::adapters) mod probe;
pub(in crate::adapters) mod socket;
pub(in crate::adapters) mod wire;
