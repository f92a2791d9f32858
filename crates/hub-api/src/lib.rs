//! What the hub and those who call it have in common: the [`client`] with the API's types, and
//! the task [`graph`], which is pure.

pub mod client;
pub mod graph;
