//! Targets on this machine: [`process`], the default, and [`docker`]. Both serve behind the same
//! address and are kept alive by a supervisor that outlives the run.

pub mod docker;
pub mod process;
mod proxy;
mod service_evidence;
mod supervisor;

pub use proxy::port_owner::port_owner;
