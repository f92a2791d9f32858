//! The Kubernetes target with an API server: a simulated one that speaks the wire protocol, or a
//! real one (`scripts/e2e-cluster.sh`).
//!
//! `server` implements the API, `control` simulates the cluster behind it, `program` defines what
//! containers do in both, `scenarios` test the target. `fidelity` and `kubectl` compare the
//! simulated server with a real one. `binary` runs the whole program with it, a real Docker Engine
//! and a real registry.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod binary;
mod control;
mod detection;
mod fidelity;
mod kubectl;
mod objects;
mod program;
#[path = "../e2e/readme_paths.rs"]
mod readme_paths;
#[path = "../e2e/repository.rs"]
#[expect(dead_code, reason = "the page service is only for tests without a cluster")]
mod repository;
mod scenarios;
mod server;
#[path = "../e2e/services.rs"]
mod services;
mod world;
