//! Releases as workloads in a Kubernetes cluster.

mod cluster;
mod connection;
mod denial;
mod difference;
mod error;
mod forward;
mod going_back;
mod lease;
mod look;
mod manifest;
mod ownership;
mod permissions;
mod record;
mod rollout;
mod scaler;
mod store;
mod stuck;
mod survey;
mod target;
pub mod track;
mod undo;
mod writing;

pub use connection::{Connection, Environment, Identity, TokenRefused};
pub use error::{KubernetesError, KubernetesErrorKind};
pub use permissions::Permission;
pub use target::KubernetesTarget;
