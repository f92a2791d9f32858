//! A service's own log as evidence.

use greenloop_evidence::{ExtractLimits, Redactor, condense_repeats, extract};
use greenloop_model::{Evidence, FailureClass};

/// What a service's log says of its failure.
#[derive(Debug)]
pub(crate) struct ServiceLog {
    pub(crate) class: FailureClass,
    /// The one line that says most; empty without any.
    headline: String,
}

impl ServiceLog {
    pub(crate) fn silent() -> Self {
        Self { class: FailureClass::Unknown, headline: String::new() }
    }

    /// The end of a release, with the cause that it named itself.
    pub(crate) fn explain(&self, how: String) -> String {
        if self.headline.is_empty() { how } else { format!("{how}: {}", self.headline) }
    }
}

/// Adds what matters in `said`, the whole log without its secrets, and its last `most` bytes. A
/// health check polls: what the service says to each request stands
/// there once.
pub(crate) fn add_service_log(
    evidence: &mut Evidence,
    said: &str,
    most: usize,
    redactor: &Redactor,
) -> ServiceLog {
    let condensed = condense_repeats(said);
    let extraction = extract(condensed.as_bytes(), ExtractLimits::default(), redactor);
    evidence.excerpts = extraction.excerpts;
    evidence.log_lines = u64::try_from(said.lines().count()).unwrap_or(u64::MAX);
    evidence.failing_tests = extraction.failing_tests;
    evidence.service_log = Some(redactor.tail(condensed.as_bytes(), most));
    ServiceLog { class: extraction.class, headline: extraction.headline }
}
