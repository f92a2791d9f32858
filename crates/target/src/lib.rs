//! Targets on this machine: [`process`], the default, and [`docker`]. Both serve behind the same
//! front and are kept alive by a supervisor that outlives the run.

pub mod docker;
mod front;
pub mod process;
