//! The Kubernetes target against an API server: one on the wire that plays a cluster, or a real
//! one (`scripts/e2e-cluster.sh`).
//!
//! `server` speaks the API, `control` plays the cluster behind it, `program` says what containers
//! do in both worlds, `scenarios` hold the target to what it promises. `fidelity` and `kubectl`
//! hold the wire itself to what a real server does. `binary` runs the whole program against it, with
//! a real Docker Engine and a real registry.

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
