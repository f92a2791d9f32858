//! The program from outside: real repositories, real processes, real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and one that is left out says so"
)]

mod audit;
mod commands;
mod delivery;
mod dirty;
mod engines;
mod gates;
mod heal;
mod hub;
mod manifests;
mod own_agent;
mod pipelines;
mod places;
mod proof;
mod readme;
mod readme_paths;
mod recovery;
mod refused;
mod repository;
mod run;
mod server;
mod services;
mod tasks;
mod tutorial;
mod worker;
