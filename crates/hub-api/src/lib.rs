//! What the hub and those who call it have in common: the [`types`] of the API, its [`client`], and
//! the task [`graph`], which is pure.

pub mod client;
pub mod graph;
pub mod types;
