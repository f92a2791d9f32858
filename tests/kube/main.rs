//! The Kubernetes target against an API server: one on the wire that plays a cluster, or a real
//! one (`scripts/e2e-cluster.sh`).
//!
//! `server` speaks the API, `control` plays the cluster behind it, `program` says what containers
//! do in both worlds, `scenarios` hold the target to what it promises. `fidelity` and `kubectl`
//! hold the wire itself to what a real server does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod control;
mod detection;
mod fidelity;
mod kubectl;
mod objects;
mod program;
mod scenarios;
mod server;
mod world;
