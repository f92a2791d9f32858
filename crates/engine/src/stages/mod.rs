//! The stages of an iteration: gates, tasks, image, rollout, smoke.
//!
//! Lives here: running what the plan says and turning what failed into a [`Failure`] with its
//! evidence. Must not be here: deciding what follows, talking to a model, printing.
//!
//! [`Failure`]: greenloop_model::Failure

pub(crate) mod confined;
mod context;
mod fetch;
pub mod gates;
pub mod identity;
pub mod image;
pub(crate) mod narrow;
mod output;
pub mod preflight;
mod reports;
pub mod rollout;
pub mod smoke;
pub mod tasks;
#[cfg(test)]
mod tasks_tests;
#[cfg(test)]
mod tests;

pub use context::StageContext;
