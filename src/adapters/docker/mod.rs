//! Releases as containers on a Docker Engine, and the connection to an engine.

pub mod engine;
