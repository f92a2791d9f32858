//! Phrases that several reports share.

use super::format;
use super::safe_text;
use greenloop_model::{FailureClass, Progress, RuleMatch, RunHeader};

/// A headline that is no longer than a few lines: what it quotes stands in the evidence.
pub(super) fn shortened(headline: &str) -> String {
    const LONGEST: usize = 280;
    let head = safe_text::head(headline, LONGEST);
    if head.len() == headline.len() { headline.to_owned() } else { format!("{head}…") }
}

/// `require_approval src/report.rs:6: every patch …`
pub(super) fn rule_match(found: &RuleMatch) -> String {
    let place = match (&found.path, found.line) {
        (Some(path), Some(line)) => format!(" {path}:{line}"),
        (Some(path), None) => format!(" {path}"),
        (None, _) => String::new(),
    };
    format!("{} ({}){place}: {}", found.rule, found.decision.name(), found.detail)
}

/// `6 iterations · stops at 2 equal failures · 200,000 tokens · $1.50 · 30m 00s`
pub(super) fn limits(header: &RunHeader) -> String {
    let limits = &header.limits;
    let mut parts = vec![
        format::counted(limits.max_iterations.into(), "iteration", "iterations"),
        format!(
            "stops at {}",
            format::counted(limits.no_progress_threshold.into(), "equal failure", "equal failures")
        ),
    ];
    parts.extend(limits.max_tokens.map(|n| format::counted(n, "token", "tokens")));
    parts.extend(limits.max_cost_usd.map(|usd| format!("${usd:.2}")));
    parts.extend(limits.max_duration.map(format::duration));
    parts.join(" · ")
}

/// The class as a reader takes it.
pub(super) fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Code => "the code is wrong",
        FailureClass::Config => "the configuration is wrong",
        FailureClass::Flaky => "flaky",
        FailureClass::Infrastructure => "infrastructure, not the code",
        FailureClass::Auth => "a credential is missing or was rejected",
        FailureClass::Quota => "a quota is exhausted",
        FailureClass::Timeout => "took too long",
        FailureClass::Unknown => "unknown cause",
    }
}

/// Compared with the failure before.
pub(super) fn progress_words(progress: Progress) -> &'static str {
    match progress {
        Progress::Fixed => "partly fixed",
        Progress::MovedOn => "moved on: the last failure is gone",
        Progress::Same => "the same failure again",
        Progress::Worse => "worse than before",
    }
}

/// Where an image is from.
pub(super) const fn image_origin(reused: bool) -> &'static str {
    if reused { "unchanged, already in the registry" } else { "built and pushed" }
}
