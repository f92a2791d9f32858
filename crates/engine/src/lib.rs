//! The engine: a pure machine that decides, and a driver that does.
//!
//! [`machine`] is the transition function; [`driver`] appends each input and each intended
//! effect to the audit log, then performs the effect; [`recover`] and [`replay`] feed recorded
//! inputs to the same function. Nothing here knows a terminal, a configuration file or a
//! concrete target.

pub mod advice;
pub mod approval;
pub mod claim;
pub mod driver;
pub mod flaky;
pub mod heal;
mod judges;
pub mod machine;
pub mod passed;
mod record;
mod record_forms;
pub mod recover;
pub mod replay;
pub mod stages;
mod state_file;
mod supporting;
