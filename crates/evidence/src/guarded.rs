//! An expression that is compiled when the first text comes that it may match.

use std::sync::OnceLock;

use regex::bytes::Regex;

use super::expression::compile;

/// The expression, and lower-case literals of which every match has one; none where any text may
/// match.
pub(super) struct Guarded {
    needs: &'static [&'static str],
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Guarded {
    pub(super) const fn new(needs: &'static [&'static str], pattern: &'static str) -> Self {
        Self { needs, pattern, regex: OnceLock::new() }
    }

    /// The expression, if this text may match it; `lower` is the text in lower case.
    pub(super) fn on(&self, lower: &str) -> Option<&Regex> {
        let may = self.needs.is_empty() || self.needs.iter().any(|need| lower.contains(need));
        if may { self.regex.get_or_init(|| compile(self.pattern)).as_ref() } else { None }
    }
}
