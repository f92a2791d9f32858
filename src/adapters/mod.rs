//! What stands behind the ports: the process target.

pub mod process;
