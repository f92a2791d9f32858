//! Releases as containers on a Docker Engine, and the connection to an engine.

mod containers;
pub mod engine;
mod fault;
mod labels;
mod protocol;
mod pull;
mod record;
mod supervise;
mod supervisor;
mod target;
mod trial;

pub use pull::{Login, LoginError, Logins};
pub use supervise::{SuperviseError, supervise};
pub use target::{DockerSettings, DockerTarget, shut_down};
