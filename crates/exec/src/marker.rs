//! The mark by which a run's processes are found again.

use std::ffi::OsString;

use greenloop_model::RunId;

/// Names the run in every child's environment.
pub const RUN_VARIABLE: &str = "GREENLOOP_RUN";
/// Names the one command in every child's environment.
pub const STEP_VARIABLE: &str = "GREENLOOP_STEP";

/// A mark in a command's environment, which its children inherit. Unique for each command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    run: RunId,
    step: uuid::Uuid,
}

impl Marker {
    /// A new mark for one command of `run`.
    pub fn new(run: RunId) -> Self {
        Self { run, step: uuid::Uuid::new_v4() }
    }

    /// The variables that carry it.
    pub fn variables(&self) -> [(OsString, OsString); 2] {
        [
            (RUN_VARIABLE.into(), self.run.to_string().into()),
            (STEP_VARIABLE.into(), self.step.to_string().into()),
        ]
    }

    /// The command's own name, unique.
    pub(super) fn step(&self) -> String {
        self.step.to_string()
    }

    /// The environment entry that only this command's processes have.
    pub(super) fn step_entry(&self) -> Vec<u8> {
        format!("{STEP_VARIABLE}={}", self.step).into_bytes()
    }

    /// The environment entry that all processes of `run` have.
    pub(super) fn run_entry(run: RunId) -> Vec<u8> {
        format!("{RUN_VARIABLE}={run}").into_bytes()
    }
}
