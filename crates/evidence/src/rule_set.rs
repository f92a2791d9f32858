//! The pattern tables, compiled for matching.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::expression::{Lazy, Shared, matches};
use super::literals::Literals;
use super::noise::says_nothing;
use super::opening::Openings;
use super::patterns;
use super::rule::{Classification, Rule, Symptom};
use super::warning::is_warning;
use greenloop_model::FailureClass;

/// The lead of the rows that know nothing in particular.
const ANYTHING: &str = "^";

/// Rows of this score know what they look for.
pub(super) const PARTICULAR: u16 = 50;

/// A row with its expressions compiled on first use.
pub(super) struct Compiled {
    /// The row.
    pub rule: &'static Rule,
    openings: Openings,
    start: Lazy,
    unless: Lazy,
    body: Lazy,
    header: Lazy,
    lead: Lazy,
    key: Lazy,
    named: Lazy,
    titled: Lazy,
    item: Lazy,
    owner: Lazy,
    proof: Lazy,
    hollow: Lazy,
}

macro_rules! expressions {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* pub(super) fn $name(&self) -> Option<&Regex> { self.$name.get() })+
    };
}

impl Compiled {
    fn new(rule: &'static Rule, shared: &mut Shared) -> Self {
        Self {
            rule,
            openings: Openings::of(rule.start),
            start: shared.lazy(rule.start),
            unless: shared.lazy(rule.unless),
            body: shared.lazy(rule.body()),
            header: shared.lazy(rule.header),
            lead: shared.lazy(rule.lead),
            key: shared.lazy(rule.key),
            named: shared.lazy(rule.named),
            titled: shared.lazy(rule.titled),
            item: shared.lazy(rule.item),
            owner: shared.lazy(rule.owner),
            proof: shared.lazy(rule.proof),
            hollow: shared.lazy(rule.hollow),
        }
    }

    expressions! {
        /// The first line.
        start,
        /// The body's expression, whatever it means.
        body,
        /// The header.
        header,
        /// The lead.
        lead,
        /// The telling lines.
        key,
        /// A failing test in the lines before.
        titled,
        /// Failing tests in the body.
        item,
        /// Owners in the body.
        owner,
        /// The proof.
        proof,
        /// The proof of the contrary.
        hollow,
    }

    /// What names the failing test in the first line, if anything does.
    pub(super) fn naming(&self) -> Option<&Regex> {
        let rule = self.rule;
        if rule.named.is_empty() {
            return self.start().filter(|_| rule.start.contains("(?P<"));
        }
        self.named.get()
    }

    /// Whether the row knows an exception, and not whether anybody handled it.
    pub(super) fn is_exception(&self) -> bool {
        matches!(self.rule.class, Classification::ProgramText(_)) && self.rule.score < 60
    }

    /// Whether the row knows nothing in particular, and so takes what stood before.
    pub(super) fn is_general(&self) -> bool {
        self.rule.lead == ANYTHING
    }

    /// Whether the row only says that something failed, and not what.
    pub(super) fn is_trailer(&self) -> bool {
        self.rule.symptom == Symptom::None && self.rule.score < PARTICULAR
    }

    /// Whether the row was written for lines that a tool calls warnings.
    fn is_for_warnings(&self) -> bool {
        self.rule.examples.iter().any(|line| is_warning(line.as_bytes()))
    }

    /// Whether this line starts a block.
    pub(super) fn starts(&self, text: &str) -> bool {
        self.openings.fit(text) && matches(self.start(), text) && !matches(self.unless.get(), text)
    }
}

/// Whether excerpts of that kind are a compiler's or a linter's word about a place in a file, and
/// not what a program did when it ran.
pub fn is_diagnostic(kind: &str) -> bool {
    patterns::tables().any(|rule| {
        rule.kind == kind
            && rule.symptom == Symptom::Location
            && matches!(rule.class, Classification::Fixed(FailureClass::Code))
    })
}

/// A set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rows([u64; Self::WORDS]);

impl Rows {
    const WORDS: usize = 6;
    /// How many rows there may be.
    #[cfg(test)]
    pub(super) const MOST: usize = 64 * Self::WORDS;

    fn insert(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; Self::WORDS]
    }

    /// Those that are in both sets.
    fn both(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a &= b;
        }
        self
    }

    /// The rows, in order.
    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(i, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

/// What follows a warning without being indented less than it is the warning's own, unless a row
/// of this score claims it.
const NO_DETAIL: u16 = 80;

/// What the literals on a line tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidates {
    /// The rows that could start a block: nearly always none.
    pub rows: Rows,
    /// Whether it is a warning.
    pub warns: bool,
}

/// All rows, with the literals that tell in one pass over a raw line which of them could start a
/// block there.
pub(super) struct RuleSet {
    rows: Vec<Compiled>,
    literals: Literals,
    /// The rows of each literal; the last literal is [`WARN`], which has none.
    of_literal: Vec<Rows>,
    /// Those that may start on a warning.
    for_warnings: Rows,
    /// Those that may start on what follows one.
    after_warnings: Rows,
}

/// Occurs on every line that may be a warning.
const WARN: &str = "warn";

impl RuleSet {
    /// The built-in tables.
    pub(super) fn get() -> &'static Self {
        static SET: LazyLock<RuleSet> = LazyLock::new(RuleSet::new);
        &SET
    }

    fn new() -> Self {
        let mut shared = Shared::default();
        let rows: Vec<Compiled> =
            patterns::tables().map(|rule| Compiled::new(rule, &mut shared)).collect();
        let mut literals: BTreeMap<&'static str, Rows> = BTreeMap::new();
        let (mut for_warnings, mut after_warnings) = (Rows::default(), Rows::default());
        for (i, row) in rows.iter().enumerate() {
            for need in row.rule.needs {
                literals.entry(need).or_default().insert(i);
            }
            if row.is_for_warnings() {
                for_warnings.insert(i);
            }
            if row.rule.score >= NO_DETAIL {
                after_warnings.insert(i);
            }
        }
        let texts = literals.keys().copied().chain([WARN]);
        Self {
            literals: Literals::new(texts),
            of_literal: literals.values().copied().chain([Rows::default()]).collect(),
            rows,
            for_warnings,
            after_warnings,
        }
    }

    /// What could start on this line.
    pub(super) fn candidates(&self, raw: &[u8]) -> Candidates {
        let mut rows = Rows::default();
        let mut warns = false;
        let last = self.of_literal.len() - 1;
        self.literals.find(raw, |literal| {
            warns |= literal == last;
            if let Some(of) = self.of_literal.get(literal) {
                rows.union(of);
            }
        });
        warns = warns && is_warning(raw);
        if warns {
            rows = rows.both(&self.for_warnings);
        }
        Candidates { rows, warns }
    }

    /// Of these rows, those that may start on a line that belongs to a warning before it.
    pub(super) fn after_warning(&self, rows: Rows) -> Rows {
        rows.both(&self.after_warnings)
    }

    /// Whether one of these rows is more of a cause than this score.
    pub(super) fn any_above(&self, rows: Rows, score: u16) -> bool {
        rows.iter().any(|row| self.rows.get(row).is_some_and(|row| row.rule.score > score))
    }

    /// The first of these rows that the line starts. A line with a level in brackets is also
    /// tried without it.
    pub(super) fn start(&self, rows: Rows, text: &str) -> Option<(&Compiled, usize)> {
        let soft = patterns::level_len(text);
        // What a tool itself calls information only a row that knows it may claim.
        let informs = text.starts_with("[INFO]");
        let rows = rows.iter().filter_map(|row| self.rows.get(row));
        let started = rows.filter(|row| !(informs && row.is_general())).find_map(|row| {
            if row.starts(text) {
                return Some((row, 0));
            }
            let rest = (soft > 0 && row.rule.score >= PARTICULAR).then(|| text.get(soft..));
            row.starts(rest.flatten()?).then_some((row, soft))
        });
        // What is this much of a cause knows its lines well enough.
        started.filter(|(row, _)| row.rule.score >= NO_DETAIL || !says_nothing(text))
    }

    /// All rows, for the tests of the tables.
    #[cfg(test)]
    pub(super) fn rows(&self) -> &[Compiled] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use regex::bytes::RegexBuilder;

    use super::*;

    #[test]
    fn every_expression_compiles() {
        for row in RuleSet::get().rows() {
            for pattern in [
                row.rule.start,
                row.rule.unless,
                row.rule.body(),
                row.rule.header,
                row.rule.lead,
                row.rule.key,
                row.rule.named,
                row.rule.titled,
                row.rule.item,
                row.rule.owner,
                row.rule.proof,
                row.rule.hollow,
            ] {
                if let Err(error) =
                    RegexBuilder::new(pattern).unicode(false).size_limit(8 << 20).build()
                {
                    panic!("{}: {error}", row.rule.kind);
                }
            }
            assert!(
                row.rule.needs.iter().all(|need| need.trim_matches(['^', '~', '$']).len() >= 3)
            );
            assert!(!row.rule.needs.is_empty(), "{}", row.rule.start);
            assert!(!row.rule.examples.is_empty(), "{} {}", row.rule.kind, row.rule.start);
        }
        assert!(RuleSet::get().rows().len() < Rows::MOST);
    }

    #[test]
    fn every_row_is_reached_by_its_examples() {
        let set = RuleSet::get();
        for row in set.rows() {
            for example in row.rule.examples {
                let candidates = set.candidates(example.as_bytes());
                let found = set.start(candidates.rows, example);
                let Some((found, _)) = found else {
                    panic!("{:?} starts nothing, {} expected", example, row.rule.kind)
                };
                assert!(
                    std::ptr::eq(found.rule, row.rule),
                    "{example:?} starts {} {:?} rather than {} {:?}",
                    found.rule.kind,
                    found.rule.start,
                    row.rule.kind,
                    row.rule.start
                );
            }
        }
    }

    #[test]
    fn ordinary_lines_start_nothing() {
        let set = RuleSet::get();
        for line in patterns::HARMLESS {
            let found = set.start(set.candidates(line.as_bytes()).rows, line);
            assert!(
                found.is_none(),
                "{line:?} starts {:?}",
                found.map(|(row, _)| (row.rule.kind, row.rule.start))
            );
        }
    }
}
