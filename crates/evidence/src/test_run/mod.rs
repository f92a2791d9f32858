//! What ran: the tests that a runner's output or its report files speak of.
//!
//! [`TestReader`] takes a console as it comes, [`read_report`] takes report files, and
//! [`TestRun::compare`] says what became of one run's tests in another: which failing tests pass
//! now, and which tests are gone, skipped or broken.
//!
//! ```
//! use greenloop_evidence::{Knowledge, TestReader};
//!
//! let mut before = TestReader::new();
//! before.push(b"test adds ... FAILED\ntest parses ... ok\n\
//!     test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n");
//! let mut after = TestReader::new();
//! after.push(b"test parses ... ok\n\
//!     test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
//! let (before, after) = (before.finish(), after.finish());
//!
//! assert_eq!(after.knowledge(), Knowledge::Names);
//! let compared = before.compare(&after);
//! assert!(!compared.is_sound());
//! assert_eq!(compared.unfixed[0].name, "adds");
//! ```
//!
//! # Guarantees
//!
//! - Memory is bounded: names and their bytes are capped, and a run whose names were cut says so
//!   and is known by its counts.
//! - Three answers: all tests are known by name, only their number is known, or nothing could be
//!   counted ([`Knowledge`]).
//! - Formats are rows of a table, each with the lines that it was written for.
//!
//! # Not resilient against
//!
//! - Lines that the code under test prints itself: a console is not a witness against the program
//!   that writes to it. [`speaks_like_a_runner`] tells whether a text would be taken for a result.

mod compare;
mod json;
mod reader;
mod rules;
mod xml;

use std::collections::BTreeMap;

use greenloop_model::TestCounts;

pub use compare::{Comparison, TestResult, TestStatus};
pub use reader::{TestReader, speaks_like_a_runner};
pub use xml::{ReportError, read_report};

/// Names kept of one run.
const MOST_NAMES: usize = 20_000;
/// Characters of one name.
const LONGEST_NAME: usize = 300;

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It ran and failed.
    Failed,
    /// It did not run, or its failure was expected.
    Skipped,
}

/// What a runner's word for a result means.
fn outcome_of(word: &str) -> Option<Outcome> {
    let word = word.trim().to_ascii_lowercase();
    Some(match word.as_str() {
        "ok" | "pass" | "passed" | "success" | "successful" | "leak" | "xpass" | "flaky"
        | "(pass)" | "." | "\u{2713}" | "\u{221a}" | "\u{2714}" => Outcome::Passed,
        "fail" | "failed" | "failure" | "error" | "not ok" | "(fail)" | "abort" | "timeout"
        | "unexpected success" | "no status" | "failed to build" | "leak-fail" | "f" | "e"
        | "\u{2715}" | "\u{d7}" | "\u{2716}" | "\u{2717}" | "\u{2718}" => Outcome::Failed,
        "skip" | "skipped" | "ignored" | "xfail" | "pending" | "todo" | "disabled" | "excluded"
        | "expected failure" | "(skip)" | "(todo)" | "not run" | "notexecuted" | "inconclusive"
        | "incomplete" | "s" | "\u{25cb}" | "\u{2193}" | "\u{fe63}" | "\u{270e}" => {
            Outcome::Skipped
        }
        _ if word.starts_with("***skipped") || word.starts_with("***not run") => Outcome::Skipped,
        _ if word.starts_with("***") || word.starts_with("sig") => Outcome::Failed,
        _ if word.starts_with("flaky ") => Outcome::Passed,
        _ => return None,
    })
}

fn count(counts: &mut TestCounts, outcome: Outcome) {
    match outcome {
        Outcome::Passed => counts.passed += 1,
        Outcome::Failed => counts.failed += 1,
        Outcome::Skipped => counts.skipped += 1,
    }
}

fn most(one: TestCounts, other: TestCounts) -> TestCounts {
    if other.all() > one.all() { other } else { one }
}

/// How well a run's tests are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knowledge {
    /// Nothing that counts tests was printed.
    Nothing,
    /// Their number; at most some of their names.
    Counts,
    /// Every test by name.
    Names,
}

/// Where a run's tests are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What the command printed.
    Console,
    /// Report files that the runner wrote.
    Report,
}

/// What one family of runners printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Runner {
    /// Lines that say a runner begins.
    starts: u32,
    /// Complete summaries.
    summaries: u32,
    /// Lines of summaries that have several.
    parts: u32,
    /// What the summaries add up to.
    totals: TestCounts,
    /// The highest counts of groups within groups.
    nested: TestCounts,
    /// What the names add up to.
    named: TestCounts,
    /// Files or packages whose tests could not be loaded.
    not_loaded: u32,
}

impl Runner {
    fn total(&self) -> TestCounts {
        most(self.totals, self.nested)
    }

    fn has_summary(&self) -> bool {
        self.summaries > 0 || self.parts > 0 || self.nested.all() > 0
    }

    fn counts(&self) -> TestCounts {
        let total = self.total();
        if total.all() > 0 { total } else { self.named }
    }
}

/// The tests that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRun {
    source: Source,
    /// By name, as a runner prints it. A name may stand for several tests of the same name.
    tests: BTreeMap<String, TestCounts>,
    runners: BTreeMap<&'static str, Runner>,
    /// Names were left out.
    cut: bool,
}

impl Default for TestRun {
    fn default() -> Self {
        Self {
            source: Source::Console,
            tests: BTreeMap::new(),
            runners: BTreeMap::new(),
            cut: false,
        }
    }
}

impl TestRun {
    /// Where it is known from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// How many tests failed, as complete summaries or report files have it: not by lines that
    /// only look like a failed test.
    pub fn failed_in_summary(&self) -> u64 {
        let whole = |runner: &&Runner| self.source == Source::Report || runner.has_summary();
        let failed = |runner: &Runner| runner.counts().failed;
        self.runners.values().filter(whole).map(failed).sum()
    }

    /// How well it is known.
    pub fn knowledge(&self) -> Knowledge {
        let counts = self.counts();
        if counts.all() == 0 && !self.runners.values().any(Runner::has_summary) {
            return Knowledge::Nothing;
        }
        let named = !self.cut
            && self.runners.values().all(|runner| runner.named.all() >= runner.total().all());
        if named && counts.all() > 0 { Knowledge::Names } else { Knowledge::Counts }
    }

    /// How many tests passed, failed and were skipped.
    pub fn counts(&self) -> TestCounts {
        let mut sum = TestCounts::default();
        for runner in self.runners.values() {
            sum.add(runner.counts());
        }
        sum
    }

    /// The tests with that outcome, by name.
    pub fn named(&self, outcome: Outcome) -> impl Iterator<Item = &str> {
        self.tests.iter().filter_map(move |(name, tally)| {
            let number = match outcome {
                Outcome::Passed => tally.passed,
                Outcome::Failed => tally.failed,
                Outcome::Skipped => tally.skipped,
            };
            (number > 0).then_some(name.as_str())
        })
    }

    /// Whether names were left out, because there were too many.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether it says itself that it is not whole: a runner began and gave no summary, or tests
    /// could not be loaded. What stopped at the first failure may be short all the same.
    pub fn is_broken_off(&self) -> bool {
        self.runners
            .values()
            .any(|runner| runner.not_loaded > 0 || runner.starts > 0 && !runner.has_summary())
    }

    /// Tests known by name that passed here or in `other`, by a later run on the same tree: what
    /// failed and passed there is flaky.
    pub fn flipped<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a str> {
        self.tests.iter().filter_map(|(name, tally)| {
            let now = later.tests.get(name)?;
            (tally.failed > now.failed && now.passed > tally.passed).then_some(name.as_str())
        })
    }

    /// The same run, were all its failures passes: what failed was run once more, and passed.
    #[must_use]
    pub fn all_passed(mut self) -> Self {
        let pass = |counts: &mut TestCounts| counts.passed += std::mem::take(&mut counts.failed);
        self.tests.values_mut().for_each(pass);
        for runner in self.runners.values_mut() {
            for counts in [&mut runner.totals, &mut runner.nested, &mut runner.named] {
                pass(counts);
            }
        }
        self
    }

    fn add(&mut self, runner: &'static str, name: &str, outcome: Outcome, how: Repeat) {
        let name = super::clean::bounded(name.trim(), LONGEST_NAME);
        if name.is_empty() {
            return;
        }
        let seen = self.runners.entry(runner).or_default();
        if let Some(tally) = self.tests.get_mut(&name) {
            match how {
                Repeat::Counts => {
                    count(tally, outcome);
                    count(&mut seen.named, outcome);
                }
                Repeat::IsKnown => {}
                Repeat::Replaces => {
                    let named = &mut seen.named;
                    named.passed = named.passed.saturating_sub(tally.passed);
                    named.failed = named.failed.saturating_sub(tally.failed);
                    named.skipped = named.skipped.saturating_sub(tally.skipped);
                    *tally = TestCounts::default();
                    count(tally, outcome);
                    count(named, outcome);
                }
            }
            return;
        }
        count(&mut seen.named, outcome);
        if self.tests.len() >= MOST_NAMES {
            self.cut = true;
            return;
        }
        let mut tally = TestCounts::default();
        count(&mut tally, outcome);
        self.tests.insert(name, tally);
    }

    /// Adds another part of the same run: a second report file.
    pub fn merge(&mut self, other: Self) {
        let Self { source, tests, runners, cut } = other;
        self.source = source;
        self.cut |= cut;
        for (name, tally) in tests {
            let full = self.tests.len() >= MOST_NAMES;
            match self.tests.get_mut(&name) {
                Some(known) => known.add(tally),
                None if full => self.cut = true,
                None => {
                    self.tests.insert(name, tally);
                }
            }
        }
        for (name, theirs) in runners {
            let mine = self.runners.entry(name).or_default();
            mine.starts += theirs.starts;
            mine.summaries += theirs.summaries;
            mine.parts += theirs.parts;
            mine.totals.add(theirs.totals);
            mine.nested.add(theirs.nested);
            mine.named.add(theirs.named);
            mine.not_loaded += theirs.not_loaded;
        }
    }
}

/// What a name that is known already means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Another test of that name.
    Counts,
    /// The same test, told of again.
    IsKnown,
    /// The same test, tried again.
    Replaces,
}
