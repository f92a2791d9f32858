//! The address that stays while releases come and go.
//!
//! Lives here: the listener that forwards connections to the release that serves, how its address
//! moves, and the health check of a release. Must not be here: what a release is, how one is
//! started, and who decides which one serves; see `crate::supervisor`.
//!
//! Invariant: a connection that has chosen a release is counted before that release can be
//! stopped.

pub(crate) mod address;
mod last_answer;
pub(crate) mod listener;
pub(crate) mod listeners;
pub(crate) mod port_owner;
pub(crate) mod probe;
