//! Regular expressions of the tables, compiled on first use.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use regex::bytes::{Regex, RegexBuilder};

/// Whether there is an expression and it matches.
pub(super) fn matches(regex: Option<&Regex>, text: &str) -> bool {
    regex.is_some_and(|regex| regex.is_match(text.as_bytes()))
}

/// The text of the first group that took part, and whether it is the one called `owned`.
pub(super) fn first_group<'t>(regex: Option<&Regex>, text: &'t str) -> Option<(&'t str, bool)> {
    let captures = regex?.captures(text.as_bytes())?;
    let found = captures.iter().skip(1).flatten().next()?;
    Some((text.get(found.range())?, captures.name("owned").is_some()))
}

/// An expression that is compiled on first use; rows with the same one share it.
pub(super) struct Lazy(Option<Arc<Expression>>);

struct Expression {
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Lazy {
    pub(super) fn get(&self) -> Option<&Regex> {
        let Expression { pattern, regex } = self.0.as_deref()?;
        regex.get_or_init(|| compile(pattern)).as_ref()
    }
}

/// The expressions of the tables, each once.
#[derive(Default)]
pub(super) struct Shared(HashMap<&'static str, Arc<Expression>>);

impl Shared {
    pub(super) fn lazy(&mut self, pattern: &'static str) -> Lazy {
        if pattern.is_empty() {
            return Lazy(None);
        }
        let new = || Arc::new(Expression { pattern, regex: OnceLock::new() });
        Lazy(Some(Arc::clone(self.0.entry(pattern).or_insert_with(new))))
    }
}

/// Compiles a table's expression. `None` for one that does not compile, which the tests of the
/// tables rule out.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).size_limit(8 << 20).build().ok()
}
