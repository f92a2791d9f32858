//! Releases as workloads in a Kubernetes cluster.

mod connection;
mod error;
mod manifest;
mod target;
pub mod track;

pub use connection::{Connection, Environment, Identity, TokenRefused};
pub use error::{KubernetesError, KubernetesErrorKind};
pub use target::KubernetesTarget;
