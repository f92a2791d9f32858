//! A row of the pattern tables, and the tables compiled for matching.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder};

use super::literals::Literals;
use super::opening::Openings;
use super::patterns;
use super::warning::is_warning;
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
    /// Literals of three bytes or more, upper or lower case, one of which is on every line that
    /// starts a block; after `^` one that does not begin within a word, after `~` one that
    /// does, before `$` one that ends the line.
    pub needs: &'static [&'static str],
    /// The first line. Groups: `test` and `owner` name a failing test, `name` a whole one; `passed`
    /// one that failed before and passed now, whose line starts no block.
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
    /// What names the failing test in the first line where `start` does not.
    pub named: &'static str,
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
    /// Lines that start a block; a test holds the row to them. Only a row with a warning among
    /// them starts on warnings.
    pub examples: &'static [&'static str],
}

impl Rule {
    /// The body's expression, whatever it means.
    fn body(&self) -> &'static str {
        match self.body {
            Body::Line => "",
            Body::While(pattern, _) | Body::Until(pattern) | Body::Through(pattern) => pattern,
        }
    }

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
        named: "",
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
        matches!(self.rule.verdict, Verdict::Own(_)) && self.rule.score < 60
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
struct Lazy(Option<Arc<Expression>>);

struct Expression {
    pattern: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Lazy {
    fn get(&self) -> Option<&Regex> {
        let Expression { pattern, regex } = self.0.as_deref()?;
        regex.get_or_init(|| compile(pattern)).as_ref()
    }
}

/// The expressions of the tables, each once.
#[derive(Default)]
struct Shared(HashMap<&'static str, Arc<Expression>>);

impl Shared {
    fn lazy(&mut self, pattern: &'static str) -> Lazy {
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

/// The lead of the rows that know nothing in particular.
const ANYTHING: &str = "^";

/// Rows of this score know what they look for.
pub(super) const PARTICULAR: u16 = 50;

/// Whether excerpts of that kind are a compiler's or a linter's word about a place in a file, and
/// not what a program did when it ran.
pub fn is_diagnostic(kind: &str) -> bool {
    patterns::tables().any(|rule| {
        rule.kind == kind
            && rule.symptom == Symptom::Place
            && matches!(rule.verdict, Verdict::Is(FailureClass::Code))
    })
}

/// Progress and chatter.
pub(super) fn is_noise(text: &str) -> bool {
    static NOISE: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::NOISE));
    matches(NOISE.as_ref(), text)
}

/// Whether a step of a pipeline begins with this line: what stands before is another's.
pub(super) fn begins_step(text: &str) -> bool {
    patterns::STEPS.iter().any(|start| text.starts_with(start))
}

/// The same whatever failed.
pub(super) fn is_dull(text: &str) -> bool {
    static DULL: LazyLock<Option<Regex>> = LazyLock::new(|| compile(patterns::DULL));
    matches(DULL.as_ref(), text)
}

/// Whether it is the one or the other, in one look.
pub(super) fn says_nothing(text: &str) -> bool {
    static EITHER: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(&format!("{}|{}", patterns::NOISE, patterns::DULL)));
    matches(EITHER.as_ref(), text)
}

/// A set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rows([u64; Self::WORDS]);

impl Rows {
    const WORDS: usize = 5;
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

/// Stands on every line that may be a warning.
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
        started.filter(|_| !says_nothing(text))
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
            for pattern in [
                row.rule.start,
                row.rule.unless,
                row.rule.body(),
                row.rule.header,
                row.rule.lead,
                row.rule.key,
                row.rule.named,
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
