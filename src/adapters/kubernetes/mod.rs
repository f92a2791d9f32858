//! Releases as workloads in a Kubernetes cluster.

mod cluster;
mod connection;
mod denial;
mod difference;
mod error;
mod manifest;
mod ownership;
mod scaler;
mod target;
pub mod track;

pub use connection::{Connection, Environment, Identity, TokenRefused};
pub use error::{KubernetesError, KubernetesErrorKind};
pub use target::KubernetesTarget;
