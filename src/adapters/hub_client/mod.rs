//! The client of a hub's HTTP API.

pub mod wire;
