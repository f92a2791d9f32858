//! The outside world: what speaks to it stands behind a trait of [`crate::ports`].

pub mod azure;
pub mod docker;
mod front;
pub mod git;
pub mod hub_client;
pub mod image;
pub mod kubernetes;
pub mod llm;
mod outbound;
mod pause;
pub mod process;
pub mod pull_requests;
pub mod registry;
pub mod secrets;
pub mod store;
