//! The program from outside: real repositories, real processes, real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and one that is left out says so"
)]

mod approvals;
mod audit;
mod bundle;
mod children;
mod columns;
mod commands;
mod completions;
mod container;
mod delivery;
mod dirty;
mod engines;
mod explore;
#[cfg(target_os = "linux")]
mod faults;
mod flakes;
mod gates;
mod heal;
mod hub;
mod init;
mod manifests;
mod mcp;
mod migrate;
mod network;
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
mod stop;
mod tasks;
mod terminal;
mod tutorial;
mod watch;
mod worker;
