//! Commands as process groups: started, streamed, timed, and ended as a whole.
//!
//! Lives here: running one command with its output streamed in bounded memory, ending it with
//! everything it started, and finding processes by a mark in their environment. Must not be
//! here: what the output means, files, events.
//!
//! # Guarantees
//!
//! - When [`run`] returns, the command's process group is gone, and so is every process that
//!   carries its [`Marker`]: background jobs, daemons, `setsid` children. That holds for a
//!   normal end, a timeout and a cancel alike, and for a future that is dropped half-way.
//! - A background job that keeps the output open does not hold up the result: one idle second
//!   after the command itself has ended, what is left is killed and counted.
//! - Memory does not depend on the amount of output.
//!
//! - What holds without a sandbox is said here; with one, see [`sandbox`].
//!
//! # Not resilient against, without a sandbox
//!
//! - A process that clears its environment *and* leaves the process group *and* outlives its
//!   parent: nothing ties it to the command any more.
//! - Processes of another user (`sudo`): their environment cannot be read, nor can they be
//!   killed.
//! - SIGKILL of Greenloop itself: children go on until [`kill_marked`] is called for the dead
//!   run, which recovery does.
//! - Processes in uninterruptible sleep, which the kernel does not kill; they are given up on.

mod command;
mod listener;
mod marker;
mod process_table;
mod program;
pub mod sandbox;
mod sys;
#[cfg(test)]
mod tests;
mod withheld;

pub use command::{Command, Outcome, run};
pub use marker::{Marker, RUN_VARIABLE, STEP_VARIABLE};
pub use process_table::{ProcessIdentity, children_marked, kill_entry, kill_marked, signal_group};
pub use program::Program;
pub use sys::hide_credentials;
pub use withheld::withhold;
