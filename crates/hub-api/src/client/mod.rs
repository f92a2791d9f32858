//! The client of a hub's HTTP API.
//!
//! # Guarantees
//!
//! - Every call that changes something carries an idempotency key, the same on every try: a lost
//!   answer is asked for again, and nothing happens twice.
//! - Lost connections, 429 and 5xx are tried again with jittered back-off until the call's budget
//!   is spent; what the hub refuses is not.
//! - A lease that is no longer held is [`HubErrorKind::StaleLease`] and nothing else is.
//! - The token goes to the hub's own address only (no redirect is followed) and is never printed.

mod actions;
mod agents;
mod approvals;
mod attempts;
mod checkpoints;
mod connection;
mod error;
mod flakes;
mod follow;
mod graphs;
mod logs;
mod runs;
mod tasks;
#[cfg(test)]
mod tests;

pub use connection::HubClient;
pub use error::{HubError, HubErrorKind};
pub use follow::Follow;
pub use tasks::{HubTasks, LoadGraph};
