//! A service's own log as evidence.

use greenloop_evidence::{ExtractLimits, Redactor, condense_repeats, extract};
use greenloop_model::{Evidence, FailureClass};

/// Adds what matters in `said`, the whole log without its secrets, and its last `most` bytes; the
/// class that it tells of. A health check polls: what the service says to each request stands
/// there once.
pub(crate) fn add_service_log(
    evidence: &mut Evidence,
    said: &str,
    most: usize,
    redactor: &Redactor,
) -> FailureClass {
    let condensed = condense_repeats(said);
    let extraction = extract(condensed.as_bytes(), ExtractLimits::default(), redactor);
    evidence.excerpts = extraction.excerpts;
    evidence.log_lines = u64::try_from(said.lines().count()).unwrap_or(u64::MAX);
    evidence.failing_tests = extraction.failing_tests;
    evidence.service_log = Some(redactor.tail(condensed.as_bytes(), most));
    extraction.class
}
