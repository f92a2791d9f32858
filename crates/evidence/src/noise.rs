//! Lines that tell nothing about a failure, and lines with which a pipeline's step begins.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::expression::{compile, matches};
use super::patterns;

/// Whether the line only shows progress.
pub(super) fn is_noise(text: &str) -> bool {
    static NOISE: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::NOISE));
    says_nothing(text) && matches(NOISE.as_ref(), text)
}

/// Whether a step of a pipeline begins with this line: what stands before is another's.
pub(super) fn begins_step(text: &str) -> bool {
    patterns::STEPS.iter().any(|start| text.starts_with(start))
}

/// The same whatever failed.
pub(super) fn is_dull(text: &str) -> bool {
    static DULL: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::DULL));
    says_nothing(text) && matches(DULL.as_ref(), text)
}

/// Whether it is the one or the other, in one look; mostly it is neither, and the others are never
/// compiled.
pub(super) fn says_nothing(text: &str) -> bool {
    static EITHER: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(&format!("{}|{}", patterns::NOISE, patterns::DULL)));
    matches(EITHER.as_ref(), text)
}
