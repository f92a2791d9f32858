//! Levels A and B: what only Linux has.

mod attempt;
mod bubblewrap;
mod launcher;
mod seccomp;
mod supervise;

pub(super) use attempt::attempt;
pub use launcher::launch;
