//! How a stage ended.

use super::{Failure, GateResult};

/// How a stage ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StageOutcome {
    /// It passed; gates carry their results, in the order they are configured.
    Passed { gates: Vec<GateResult> },
    /// It failed. Boxed, because evidence is large and passing is the common case.
    Failed { failure: Box<Failure>, gates: Vec<GateResult> },
    /// It will not go on, for a reason that only a person can change.
    Declined { failure: Box<Failure> },
    /// The run was cancelled while it ran.
    Cancelled,
}
