//! A row of the pattern tables, and the tables compiled for matching.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, OnceLock};

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::patterns;
use greenloop_model::FailureClass;

/// Which lines after the first belong to a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// None.
    Line,
    /// The lines that match; up to this many blank lines are bridged when a match follows.
    While(&'static str, usize),
    /// All up to a line that matches, which is left out.
    Until(&'static str),
    /// All up to a line that matches, which is taken.
    Through(&'static str),
}

/// What class a block has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// This one, whatever the text says: a test may well assert on a 403.
    Is(FailureClass),
    /// What the text says, or this. Only classes that go to the author are taken from the text,
    /// because the text is a program's own and may speak of anything.
    Own(FailureClass),
    /// What the text says, or this. For tools that speak of the network, registries and
    /// credentials themselves.
    Says(FailureClass),
}

/// What a block adds to the symptoms of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symptom {
    /// Its failing tests only.
    Tests,
    /// `file: message` of its first line.
    Place,
    /// Nothing: it only repeats that something failed.
    None,
}

/// One row: how one kind of error block is recognised. Regular expressions are over bytes,
/// without Unicode classes; an empty one never matches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The name in excerpts.
    pub kind: &'static str,
    /// Literals, upper or lower case, one of which is on every line that starts a block.
    pub needs: &'static [&'static str],
    /// The first line. Groups: `test` and `owner` name a failing test, `name` a whole one.
    pub start: &'static str,
    /// First lines that do not count.
    pub unless: &'static str,
    /// The lines after.
    pub body: Body,
    /// A line further up that names the file; looked for in the last few dozen lines.
    pub header: &'static str,
    /// Lines directly before that belong to the block.
    pub lead: &'static str,
    /// At most so many of them.
    pub before: usize,
    /// The lines of a block that tell most.
    pub key: &'static str,
    /// The first line only introduces: the first of the telling lines is the headline.
    pub introduces: bool,
    /// The first group that matches names a failing test in a body line; the group `owned` only
    /// one that has an `owner`.
    pub item: &'static str,
    /// The first group that matches names what the following `item`s belong to.
    pub owner: &'static str,
    /// What class it is.
    pub verdict: Verdict,
    /// How much of a cause it is: 90 a compiler's error, 86 a test's failure, 60 a tool's
    /// complaint, 40 a summary, 10 an epitaph.
    pub score: u16,
    /// At most so many lines of one block are kept.
    pub share: usize,
    /// Whether and how it counts when iterations are compared.
    pub symptom: Symptom,
    /// It is said of the source text and not of a run of it: the same tree brings it every time.
    pub of_source: bool,
    /// A line in the body that proves it a compiler's error after all.
    pub proof: &'static str,
    /// A line in the body that proves it a mere follow-up.
    pub hollow: &'static str,
    /// Lines that start a block; a test holds the row to them.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the tables"))]
    pub examples: &'static [&'static str],
}

impl Rule {
    /// A compiler's error: what other rows start from.
    pub(super) const COMPILER: Self = Self {
        kind: "",
        needs: &[],
        start: "",
        unless: "",
        body: Body::Line,
        header: "",
        lead: "",
        before: 0,
        key: "",
        introduces: false,
        item: "",
        owner: "",
        verdict: Verdict::Is(FailureClass::Code),
        score: 90,
        share: 24,
        symptom: Symptom::Place,
        of_source: false,
        proof: "",
        hollow: "",
        examples: &[],
    };
    /// What a failed test has to say.
    pub(super) const TEST: Self =
        Self { score: 86, symptom: Symptom::Tests, introduces: true, ..Self::COMPILER };
    /// A tool's own complaint.
    pub(super) const TOOL: Self = Self {
        verdict: Verdict::Says(FailureClass::Unknown),
        score: 60,
        share: 10,
        ..Self::COMPILER
    };
    /// A line that only says that something failed.
    pub(super) const SUMMARY: Self = Self {
        verdict: Verdict::Says(FailureClass::Unknown),
        score: 40,
        share: 3,
        symptom: Symptom::None,
        ..Self::COMPILER
    };
}

/// Whether the scout finds anything. Each step waits for the memory of the one before, so both
/// halves of the line are walked at once; they overlap by as much as a literal could reach over
/// the middle.
fn sees(scout: &DFA, raw: &[u8]) -> bool {
    let Ok(start) = scout.start_state(Anchored::No) else { return false };
    let found = |state| scout.is_special(state) && scout.is_match(state);
    let middle = raw.len() / 2;
    let (first, _) = raw.split_at(middle);
    let (_, second) = raw.split_at(middle.saturating_sub(SCOUTED - 1));
    let (mut one, mut two) = (start, start);
    for (a, b) in first.iter().zip(second) {
        one = scout.next_state(Anchored::No, one, *a);
        two = scout.next_state(Anchored::No, two, *b);
        if found(one) || found(two) {
            return true;
        }
    }
    second.get(first.len()..).unwrap_or_default().iter().any(|byte| {
        two = scout.next_state(Anchored::No, two, *byte);
        found(two)
    })
}

/// The beginnings of these literals without those that contain another.
fn beginnings<'l>(literals: impl Iterator<Item = &'l Vec<u8>>) -> Vec<Vec<u8>> {
    let all: BTreeSet<&[u8]> =
        literals.map(|literal| literal.get(..SCOUTED).unwrap_or(literal)).collect();
    let contains = |long: &[u8], short: &[u8]| long.windows(short.len()).any(|w| w == short);
    all.iter()
        .filter(|one| !all.iter().any(|other| other != *one && contains(one, other)))
        .map(|one| one.to_vec())
        .collect()
}

fn automaton(literals: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Option<DFA> {
    DFA::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        // With so many literals it finds a place to stop at every few bytes.
        .prefilter(false)
        .build(literals)
        .ok()
}

/// A row with its expressions compiled on first use.
pub(super) struct Compiled {
    /// The row.
    pub rule: &'static Rule,
    start: Lazy,
    unless: Lazy,
    body: Lazy,
    header: Lazy,
    lead: Lazy,
    key: Lazy,
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
    fn new(rule: &'static Rule) -> Self {
        let body = match rule.body {
            Body::Line => "",
            Body::While(pattern, _) | Body::Until(pattern) | Body::Through(pattern) => pattern,
        };
        Self {
            rule,
            start: Lazy::new(rule.start),
            unless: Lazy::new(rule.unless),
            body: Lazy::new(body),
            header: Lazy::new(rule.header),
            lead: Lazy::new(rule.lead),
            key: Lazy::new(rule.key),
            item: Lazy::new(rule.item),
            owner: Lazy::new(rule.owner),
            proof: Lazy::new(rule.proof),
            hollow: Lazy::new(rule.hollow),
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
        /// Failing tests in the body.
        item,
        /// Owners in the body.
        owner,
        /// The proof.
        proof,
        /// The proof of the contrary.
        hollow,
    }

    /// Whether this line starts a block.
    pub(super) fn starts(&self, text: &str) -> bool {
        matches(self.start(), text) && !matches(self.unless.get(), text)
    }
}

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

struct Lazy {
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Lazy {
    const fn new(pattern: &'static str) -> Self {
        Self { pattern, regex: OnceLock::new() }
    }

    fn get(&self) -> Option<&Regex> {
        if self.pattern.is_empty() {
            return None;
        }
        self.regex.get_or_init(|| compile(self.pattern)).as_ref()
    }
}

/// Compiles a table's expression. `None` for one that does not compile, which the tests of the
/// tables rule out.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).size_limit(8 << 20).build().ok()
}

/// Rows of this score know what they look for.
pub(super) const PARTICULAR: u16 = 50;

/// Progress and chatter.
pub(super) fn is_noise(text: &str) -> bool {
    static NOISE: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::NOISE));
    matches(NOISE.as_ref(), text)
}

/// The same whatever failed.
pub(super) fn is_dull(text: &str) -> bool {
    static DULL: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::DULL));
    matches(DULL.as_ref(), text)
}

/// A set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rows([u64; 4]);

impl Rows {
    /// How many rows there may be.
    #[cfg(test)]
    pub(super) const MOST: usize = 256;

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
        self.0 == [0; 4]
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

/// Bytes of a literal that the scout looks for.
const SCOUTED: usize = 8;

/// All rows, with the automata that tell in one pass over a raw line which of them could start a
/// block there.
pub(super) struct RuleSet {
    rows: Vec<Compiled>,
    /// Beginnings of the literals, as few and as short as will do: it stays in the fast memory
    /// next to the processor, and nearly every line of a log ends here.
    scout: Option<DFA>,
    /// The literals themselves.
    literals: Option<DFA>,
    of_literal: Vec<Rows>,
}

impl RuleSet {
    /// The built-in tables.
    pub(super) fn get() -> &'static Self {
        static SET: LazyLock<RuleSet> = LazyLock::new(RuleSet::new);
        &SET
    }

    fn new() -> Self {
        let rows: Vec<Compiled> = patterns::tables().map(Compiled::new).collect();
        let mut literals: BTreeMap<Vec<u8>, Rows> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            for need in row.rule.needs {
                literals.entry(need.to_ascii_lowercase().into_bytes()).or_default().insert(i);
            }
        }
        Self {
            rows,
            scout: automaton(beginnings(literals.keys())),
            literals: automaton(literals.keys()),
            of_literal: literals.into_values().collect(),
        }
    }

    /// The rows that could start a block on this line: nearly always none.
    pub(super) fn candidates(&self, raw: &[u8]) -> Rows {
        let mut rows = Rows::default();
        let (Some(scout), Some(literals)) = (&self.scout, &self.literals) else { return rows };
        if !sees(scout, raw) {
            return rows;
        }
        // The automaton's own search takes a third longer than this loop.
        let Ok(mut state) = literals.start_state(Anchored::No) else { return rows };
        for byte in raw {
            state = literals.next_state(Anchored::No, state, *byte);
            if literals.is_special(state) && literals.is_match(state) {
                for i in 0..literals.match_len(state) {
                    let literal = literals.match_pattern(state, i).as_usize();
                    if let Some(of) = self.of_literal.get(literal) {
                        rows.union(of);
                    }
                }
            }
        }
        rows
    }

    /// The first of these rows that the line starts. A line with a level in brackets is also
    /// tried without it.
    pub(super) fn start(&self, rows: Rows, text: &str) -> Option<(&Compiled, usize)> {
        let soft = patterns::level_len(text);
        let started = rows.iter().filter_map(|row| self.rows.get(row)).find_map(|row| {
            if row.starts(text) {
                return Some((row, 0));
            }
            let rest = (soft > 0 && row.rule.score >= PARTICULAR).then(|| text.get(soft..));
            row.starts(rest.flatten()?).then_some((row, soft))
        });
        started.filter(|_| !is_dull(text) && !is_noise(text))
    }

    /// All rows, for the tests of the tables.
    #[cfg(test)]
    pub(super) fn rows(&self) -> &[Compiled] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        for row in RuleSet::get().rows() {
            for lazy in [
                &row.start,
                &row.unless,
                &row.body,
                &row.header,
                &row.lead,
                &row.key,
                &row.item,
                &row.owner,
                &row.proof,
                &row.hollow,
            ] {
                if let Err(error) =
                    RegexBuilder::new(lazy.pattern).unicode(false).size_limit(8 << 20).build()
                {
                    panic!("{}: {error}", row.rule.kind);
                }
            }
            assert!(!row.rule.needs.is_empty(), "{}", row.rule.start);
            assert!(!row.rule.examples.is_empty(), "{} {}", row.rule.kind, row.rule.start);
        }
        assert!(RuleSet::get().rows().len() < Rows::MOST);
    }

    #[test]
    fn the_scout_sees_what_the_literals_would() {
        let set = RuleSet::get();
        let (scout, literals) = (set.scout.as_ref().unwrap(), set.literals.as_ref().unwrap());
        for row in set.rows() {
            for need in row.rule.needs {
                for before in 0..40 {
                    let line = format!("{}{need}{}", "~".repeat(before), "~".repeat(40 - before));
                    assert!(sees(scout, line.as_bytes()), "{line}");
                    assert!(literals.try_find(&line.as_str().into()).unwrap().is_some(), "{line}");
                }
                assert!(sees(scout, need.as_bytes()), "{need}");
            }
        }
        assert!(!sees(scout, b"") && !sees(scout, b"all is well"));
    }

    #[test]
    fn every_row_is_reached_by_its_examples() {
        let set = RuleSet::get();
        for row in set.rows() {
            for example in row.rule.examples {
                let candidates = set.candidates(example.as_bytes());
                let found = set.start(candidates, example);
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
            let found = set.start(set.candidates(line.as_bytes()), line);
            assert!(
                found.is_none(),
                "{line:?} starts {:?}",
                found.map(|(row, _)| (row.rule.kind, row.rule.start))
            );
        }
    }
}
