//! The one pass over a console.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{Captures, Regex};

use super::json;
use super::rules::{Form, LineMeaning, RULES, Rule};
use super::{Outcome, Repeat, TestRun, outcome_of};
use crate::clean::strip;
use crate::expression::compile;
use greenloop_model::TestCounts;

/// Bytes of a line that are looked at.
const MAX_LINE: usize = 8 << 10;
/// Bytes of a JSON document that are held until it is whole.
const MAX_DOCUMENT: usize = 8 << 20;
/// The runners whose results are marks and list items.
const MARKED: &str = "js";
/// Tests of a Go package that wait for its name.
const MOST_WAITING: usize = 5_000;

/// The table, compiled for matching: a row's pattern is made when a line first needs it.
struct Table {
    needles: Option<AhoCorasick>,
    /// Rows by needle.
    rows: Vec<usize>,
    patterns: Vec<OnceLock<Option<Regex>>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut needles = Vec::new();
    let mut rows = Vec::new();
    for (row, rule) in RULES.iter().enumerate() {
        for needle in rule.needs {
            needles.push(*needle);
            rows.push(row);
        }
    }
    let needles = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&needles).ok();
    let patterns = RULES.iter().map(|_| OnceLock::new()).collect();
    Table { needles, rows, patterns }
});

impl Table {
    /// The rows that may match, in order.
    fn candidates(&self, line: &[u8], into: &mut Vec<usize>) {
        into.clear();
        if let Some(needles) = &self.needles {
            for found in needles.find_overlapping_iter(line) {
                if let Some(row) = self.rows.get(found.pattern().as_usize()) {
                    into.push(*row);
                }
            }
        }
        into.sort_unstable();
        into.dedup();
    }

    fn pattern(&self, row: usize) -> Option<&Regex> {
        let rule = RULES.get(row)?;
        self.patterns.get(row)?.get_or_init(|| compile(rule.pattern)).as_ref()
    }
}

/// Reads a command's output as it comes.
#[derive(Default)]
pub struct TestReader {
    run: TestRun,
    /// What is known by marks and list items, which are anybody's: only beside a summary of the same
    /// runners are they results.
    marked: TestRun,
    partial: Vec<u8>,
    /// The rest of the line is dropped.
    overlong: bool,
    after_cr: bool,
    plain: Vec<u8>,
    rows: Vec<usize>,
    /// A test whose result is on a later line.
    open: Option<(&'static str, String)>,
    /// `Ran 3 tests`, before the line that says how it ended.
    ran: Option<u64>,
    /// Go: tests whose package is not named yet.
    waiting: Vec<(String, Outcome)>,
    /// A JSON document of several lines.
    document: Option<Vec<u8>>,
}

impl TestReader {
    /// At the beginning of an output.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes, cut anywhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.after_cr && bytes.first() == Some(&b'\n') {
            bytes = bytes.get(1..).unwrap_or_default();
        }
        self.after_cr = false;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(at);
            if self.partial.is_empty() && !self.overlong {
                self.line(line);
            } else {
                self.hold(line);
                let whole = std::mem::take(&mut self.partial);
                self.line(&whole);
                self.partial = whole;
                self.partial.clear();
            }
            self.overlong = false;
            let cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if cr {
                match bytes.first() {
                    Some(b'\n') => bytes = bytes.get(1..).unwrap_or_default(),
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.hold(bytes);
    }

    fn hold(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let first = self.partial.first().or(bytes.first());
        let most = if first == Some(&b'{') { MAX_DOCUMENT } else { MAX_LINE };
        let room = most.saturating_sub(self.partial.len());
        self.overlong |= bytes.len() > room;
        self.partial.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    /// What ran.
    pub fn finish(mut self) -> TestRun {
        if !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial);
            self.line(&last);
        }
        if let Some(document) = self.document.take() {
            json::document(&document, &mut self.run);
        }
        for (name, outcome) in std::mem::take(&mut self.waiting) {
            self.run.add("go", &name, outcome, Repeat::Counts);
        }
        if self.ran.take().is_some() {
            // It never said how it ended.
            self.run.runners.entry("unittest").or_default().starts += 1;
        }
        if self.marked.runners.values().any(super::Runner::has_summary) {
            self.run.merge(self.marked);
        }
        self.run
    }

    fn line(&mut self, raw: &[u8]) {
        if self.collect(raw) {
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let shown = if memchr::memchr2(0x1b, 0x08, raw).is_some() {
            strip(raw, &mut plain);
            plain.as_slice()
        } else {
            raw
        };
        let shown = shown.get(..MAX_LINE).unwrap_or(shown).trim_ascii_end();
        if !shown.is_empty() {
            let json = shown.starts_with(b"{") && json::line(shown, &mut self.run);
            if !json {
                self.match_rows(shown);
            }
        }
        self.plain = plain;
    }

    /// Whether the line belongs to a JSON document.
    fn collect(&mut self, raw: &[u8]) -> bool {
        match &mut self.document {
            Some(document) => {
                let ends = raw == b"}";
                if document.len() + raw.len() > MAX_DOCUMENT {
                    self.document = None;
                    self.run.cut = true;
                    return false;
                }
                document.extend_from_slice(raw);
                document.push(b'\n');
                if ends && let Some(document) = self.document.take() {
                    json::document(&document, &mut self.run);
                }
                true
            }
            None if raw == b"{" => {
                self.document = Some(b"{\n".to_vec());
                true
            }
            None if raw.len() > MAX_LINE && raw.starts_with(b"{") => {
                json::document(raw, &mut self.run);
                true
            }
            None => false,
        }
    }

    fn match_rows(&mut self, line: &[u8]) {
        let mut rows = std::mem::take(&mut self.rows);
        TABLE.candidates(line, &mut rows);
        for row in &rows {
            let (Some(rule), Some(pattern)) = (RULES.get(*row), TABLE.pattern(*row)) else {
                continue;
            };
            if rule.meaning == LineMeaning::Closes
                && self.open.as_ref().is_none_or(|(of, _)| *of != rule.runner)
                || rule.meaning == LineMeaning::Ended && self.ran.is_none()
            {
                continue;
            }
            if let Some(found) = pattern.captures(line) {
                self.take(rule, &found);
                break;
            }
        }
        self.rows = rows;
    }

    fn of(&mut self, runner: &str) -> &mut TestRun {
        if runner == MARKED { &mut self.marked } else { &mut self.run }
    }

    fn take(&mut self, rule: &Rule, found: &Captures<'_>) {
        let runner = rule.runner;
        let group = |name: &str| {
            found.name(name).map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned())
        };
        let name = || match (group("name"), group("test"), group("owner")) {
            (Some(name), _, _) => name,
            (None, Some(test), Some(owner)) => crate::test_name::join(&owner, &test),
            (None, test, _) => test.unwrap_or_default(),
        };
        let outcome = || {
            if group("directive").is_some() {
                return Some(Outcome::Skipped);
            }
            group("outcome").as_deref().and_then(outcome_of)
        };
        match rule.meaning {
            LineMeaning::Starts => self.of(runner).runners.entry(runner).or_default().starts += 1,
            LineMeaning::NotLoaded => {
                self.of(runner).runners.entry(runner).or_default().not_loaded += 1
            }
            LineMeaning::Result(fixed) => {
                // ExUnit marks only what it left out.
                let plain = (runner == "mix").then_some(Outcome::Passed);
                if let Some(outcome) = fixed.or_else(outcome).or(plain) {
                    let mut name = name();
                    if runner == MARKED {
                        let Some(kept) = js_name(&name) else { return };
                        name = kept.to_owned();
                    }
                    // What a runner lists once more after its summary is no other test.
                    let told =
                        self.of(runner).runners.get(runner).is_some_and(|seen| seen.summaries > 0)
                            && outcome == Outcome::Failed
                            && runner == MARKED;
                    let how = if told { Repeat::IsKnown } else { Repeat::Counts };
                    if name.is_empty() {
                        super::count(
                            &mut self.of(runner).runners.entry(runner).or_default().named,
                            outcome,
                        );
                        self.of(runner).cut = true;
                    }
                    self.of(runner).add(runner, &name, outcome, how);
                    self.open = None;
                }
            }
            LineMeaning::Again(fixed) => {
                if let Some(outcome) = fixed.or_else(outcome) {
                    self.of(runner).add(runner, &name(), outcome, Repeat::IsKnown);
                }
            }
            LineMeaning::Latest => {
                let outcome = match group("again") {
                    Some(again) if again != "PASS" => return,
                    Some(_) => Some(Outcome::Passed),
                    None => outcome(),
                };
                if let Some(outcome) = outcome {
                    self.of(runner).add(runner, &name(), outcome, Repeat::Replaces);
                }
            }
            LineMeaning::Opens => self.open = Some((runner, name())),
            LineMeaning::Closes => {
                if let (Some((_, name)), Some(outcome)) = (self.open.take(), outcome()) {
                    self.of(runner).add(runner, &name, outcome, Repeat::Counts);
                }
            }
            LineMeaning::GoTest => {
                if let Some(outcome) = outcome()
                    && self.waiting.len() < MOST_WAITING
                {
                    self.waiting.push((name(), outcome));
                }
            }
            LineMeaning::GoPackage => {
                let package = name();
                for (test, outcome) in std::mem::take(&mut self.waiting) {
                    let name = format!("{package}: {test}");
                    self.of(runner).add(runner, &name, outcome, Repeat::Counts);
                }
                let outcome =
                    if group("none").is_some() { Some(Outcome::Skipped) } else { outcome() };
                if let Some(outcome) = outcome {
                    let name = super::compare::go_package(&package);
                    self.of(runner).add(runner, &name, outcome, Repeat::Counts);
                }
                self.of(runner).runners.entry(runner).or_default().summaries += 1;
            }
            LineMeaning::Summary(form) => {
                let seen = self.of(runner).runners.entry(runner).or_default();
                seen.totals.add(counts(form, runner, found));
                seen.summaries += 1;
            }
            LineMeaning::Part(form) => {
                let seen = self.of(runner).runners.entry(runner).or_default();
                seen.totals.add(counts(form, runner, found));
                seen.parts += 1;
            }
            LineMeaning::Nested(form) => {
                let seen = self.of(runner).runners.entry(runner).or_default();
                seen.nested = super::most(seen.nested, counts(form, runner, found));
            }
            LineMeaning::Ran => self.ran = group("total").and_then(|total| total.parse().ok()),
            LineMeaning::Ended => {
                let total = self.ran.take().unwrap_or(0);
                let mut counts = counts(Form::WordFirst, runner, found);
                // Parts of a test fail one by one.
                counts.failed = counts.failed.min(total.saturating_sub(counts.skipped));
                counts.passed = total.saturating_sub(counts.failed + counts.skipped);
                let seen = self.of(runner).runners.entry(runner).or_default();
                seen.totals.add(counts);
                seen.summaries += 1;
            }
        }
    }
}

/// A marked line's test; `None` when the line is about a file or a group.
fn js_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix("skipped ").or_else(|| name.strip_prefix("todo ")).unwrap_or(name);
    let name = name.trim_end_matches("# SKIP").trim_end();
    let file = name.ends_with(')') && (name.contains(" tests)") || name.contains(" test)"))
        || name.contains(" tests | ")
        || name.contains(" test | ")
        || name == "failing tests:";
    (!file).then_some(name)
}

/// A word in front of or behind a number in a summary.
enum Counted {
    Of(Outcome),
    Total,
}

fn counted(word: &str) -> Option<Counted> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "passed" | "passing" | "pass" | "succeeded" | "flaky" | "xpassed" | "leaky" => {
            Counted::Of(Outcome::Passed)
        }
        "failed" | "failing" | "fail" | "failure" | "failures" | "error" | "errors"
        | "cancelled" | "canceled" | "timed" | "successes" | "invalid" => {
            Counted::Of(Outcome::Failed)
        }
        "skipped" | "skip" | "skips" | "ignored" | "pending" | "pendings" | "todo" | "xfailed"
        | "deselected" | "excluded" | "incomplete" | "did" => Counted::Of(Outcome::Skipped),
        // `expected failures=1`
        "total" | "tests" | "test" | "run" | "runs" | "example" | "examples" | "doctest"
        | "doctests" | "property" | "properties" => Counted::Total,
        _ => return None,
    })
}

fn counts(form: Form, runner: &str, found: &Captures<'_>) -> TestCounts {
    let number = |name: &str| -> Option<u64> {
        std::str::from_utf8(found.name(name)?.as_bytes()).ok()?.parse().ok()
    };
    let mut counts = TestCounts {
        passed: number("passed").unwrap_or(0),
        failed: number("failed").unwrap_or(0),
        skipped: number("skipped").unwrap_or(0),
    };
    let mut total = number("total");
    let mut passed = number("passed").is_some();
    let mut errors = 0;
    if form != Form::Groups
        && let Some(text) = found.name("counts").or_else(|| found.get(0))
    {
        let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
        // In brackets stands a part of the number before.
        let text = match text.split_once('(').filter(|_| form == Form::NumberFirst) {
            Some((before, after)) => {
                format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest))
            }
            None => text,
        };
        let words: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        for (at, word) in words.iter().enumerate() {
            let Ok(number) = word.parse::<u64>() else { continue };
            let beside = match form {
                Form::NumberFirst => words.get(at + 1),
                Form::WordFirst => at.checked_sub(1).and_then(|before| words.get(before)),
                Form::Groups => None,
            };
            let expected = form == Form::WordFirst
                && at.checked_sub(2).and_then(|before| words.get(before)) == Some(&"expected");
            match beside.and_then(|word| counted(word)) {
                Some(Counted::Of(_)) if expected => counts.skipped += number,
                // A test that passed and could not be torn down is counted as both.
                Some(Counted::Of(Outcome::Failed)) if runner == "pytest" && is_error(beside) => {
                    errors += number;
                }
                Some(Counted::Of(Outcome::Passed)) => {
                    counts.passed += number;
                    passed = true;
                }
                Some(Counted::Of(Outcome::Failed)) => counts.failed += number,
                Some(Counted::Of(Outcome::Skipped)) => counts.skipped += number,
                Some(Counted::Total) => total = Some(total.unwrap_or(0) + number),
                None => {}
            }
        }
    }
    if counts.ran() == 0 {
        counts.failed += errors;
    }
    if !passed && let Some(total) = total {
        counts.passed = total.saturating_sub(counts.failed + counts.skipped);
    }
    counts
}

fn is_error(word: Option<&&str>) -> bool {
    word.is_some_and(|word| word.starts_with("error"))
}

/// Whether a line of this text would be taken for what a test runner prints: a summary, a result,
/// a beginning.
pub fn speaks_like_a_runner(text: &str) -> bool {
    let mut reader = TestReader::new();
    reader.ran = Some(1);
    reader.push(text.as_bytes());
    reader.push(b"\n");
    let ended = reader.ran.is_none();
    let said = reader
        .run
        .runners
        .values()
        .any(|runner| runner.has_summary() || runner.starts > 0 || runner.named.all() > 0);
    let marked = reader.marked.runners.values().any(super::Runner::has_summary);
    said || marked || ended || reader.ran != Some(1)
}

#[cfg(test)]
mod tests {
    use super::super::Knowledge;
    use super::*;

    fn read(text: &str) -> TestRun {
        let mut reader = TestReader::new();
        reader.push(text.as_bytes());
        reader.finish()
    }

    #[test]
    fn every_row_matches_its_lines_and_no_row_above_does() {
        for (nth, rule) in RULES.iter().enumerate() {
            assert!(TABLE.pattern(nth).is_some(), "{} does not compile", rule.pattern);
            assert!(!rule.examples.is_empty(), "{} has no example", rule.pattern);
            for example in rule.examples {
                let line = example.as_bytes().trim_ascii_end();
                let mut rows = Vec::new();
                TABLE.candidates(line, &mut rows);
                let matching = rows.into_iter().find(|row| {
                    let meaning = RULES[*row].meaning;
                    let closes = matches!(meaning, LineMeaning::Closes | LineMeaning::Ended);
                    (!closes || *row == nth) && TABLE.pattern(*row).unwrap().is_match(line)
                });
                let by = matching.map(|row| RULES[row].pattern);
                assert_eq!(matching, Some(nth), "{example:?} is matched by {by:?}");
            }
        }
    }

    #[test]
    fn words_of_results_are_known() {
        for rule in RULES.iter().filter(|rule| rule.pattern.contains("(?P<outcome>")) {
            for example in rule.examples {
                let found = compile(rule.pattern).unwrap();
                let found = found.captures(example.as_bytes().trim_ascii_end()).unwrap();
                let Some(word) = found.name("outcome") else { continue };
                let word = String::from_utf8_lossy(word.as_bytes()).into_owned();
                assert!(outcome_of(&word).is_some(), "{word:?} of {example:?}");
            }
        }
    }

    /// Names with their outcomes: `+` passed, `-` failed, `~` skipped.
    fn names(run: &TestRun) -> Vec<String> {
        let marks = [(Outcome::Passed, '+'), (Outcome::Failed, '-'), (Outcome::Skipped, '~')];
        let mut out: Vec<String> = marks
            .into_iter()
            .flat_map(|(outcome, mark)| run.named(outcome).map(move |n| format!("{mark}{n}")))
            .collect();
        out.sort();
        out
    }

    /// What is printed, how much it says, how many passed, failed and were skipped, and which.
    type Case<'c> = (&'c str, Knowledge, (u64, u64, u64), &'c [&'c str]);

    #[test]
    fn runs_are_read() {
        let cases: &[Case] = &[
            (
                "running 3 tests\ntest a ... ok\ntest m::b ... FAILED\ntest c ... ignored\n\n\
                 test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
                Knowledge::Names,
                (1, 1, 1),
                &["+a", "-m::b", "~c"],
            ),
            (
                "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
                Knowledge::Counts,
                (2, 0, 0),
                &[],
            ),
            // Two binaries with a test of the same name.
            (
                "test t ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
                 test t ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
                Knowledge::Names,
                (2, 0, 0),
                &["+t"],
            ),
            (
                "test a ... printed\nok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
                Knowledge::Names,
                (1, 0, 0),
                &["+a"],
            ),
            (
                "        PASS [   0.010s] engine a\n  TRY 1 FAIL [   0.1s] engine b\n   TRY 2 PASS [   0.1s] engine b\n\
                 \x1b[31;1m        FAIL\x1b[0m [   0.012s] engine c\n------------\n     Summary [   0.020s] 3 tests run: 2 passed (1 flaky), 1 failed, 4 skipped\n\
                 \x20  FLAKY 2/2 [   1.0s] engine b\n        FAIL [   0.012s] engine c\n",
                Knowledge::Counts,
                (2, 1, 4),
                &["+engine a", "+engine b", "-engine c"],
            ),
            (
                "============================= test session starts ==============================\ncollected 2 items\n\n\
                 tests/t.py::test_a PASSED [ 50%]\ntests/t.py::test_b[x y] FAILED [100%]\n\n\
                 FAILED tests/t.py::test_b[x y] - assert 1 == 2\n========================= 1 failed, 1 passed in 0.03s =========================\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+tests/t.py::test_a", "-tests/t.py::test_b[x y]"],
            ),
            (
                ".F                                                                       [100%]\nFAILED tests/t.py::test_b - assert\n1 failed, 1 passed in 0.02s\n",
                Knowledge::Counts,
                (1, 1, 0),
                &["-tests/t.py::test_b"],
            ),
            ("no tests ran in 0.01s\n", Knowledge::Counts, (0, 0, 0), &[]),
            (
                "test_add (tests.test_calc.T.test_add) ... FAIL\ntest_o (tests.test_other.O.test_o)\nDoc line. ... ok\n\n\
                 FAIL: test_add (tests.test_calc.T.test_add)\n\nRan 2 tests in 0.001s\n\nFAILED (failures=1)\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+tests.test_other.O.test_o", "-tests.test_calc.T.test_add"],
            ),
            ("..s\nRan 3 tests in 0.001s\n\nOK (skipped=1)\n", Knowledge::Counts, (2, 0, 1), &[]),
            (
                "Ran 3 tests in 0.001s\n\nOK (expected failures=1)\n",
                Knowledge::Counts,
                (2, 0, 1),
                &[],
            ),
            (
                "--- FAIL: TestAdd (0.00s)\n    a_test.go:3: x\nFAIL\nFAIL\texample.org/a\t0.002s\nok  \texample.org/b\t0.001s\n",
                Knowledge::Names,
                (1, 2, 0),
                &["+package example.org/b", "-example.org/a: TestAdd", "-package example.org/a"],
            ),
            (
                "{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"TestA\",\"Elapsed\":0}\n{\"Action\":\"output\",\"Package\":\"p\",\"Output\":\"ok\\n\"}\n\
                 {\"Action\":\"fail\",\"Package\":\"p\",\"Test\":\"TestB/x\"}\n{\"Action\":\"skip\",\"Package\":\"p\",\"Test\":\"TestC\"}\n{\"Action\":\"fail\",\"Package\":\"p\"}\n",
                Knowledge::Names,
                (1, 2, 1),
                &["+p: TestA", "-p: TestB/x", "-package p", "~p: TestC"],
            ),
            (
                "TAP version 13\nok 1 - adds\nnot ok 2 - removes\n  ---\n  ...\nok 3 - slow # SKIP no\n1..3\n",
                Knowledge::Names,
                (1, 1, 1),
                &["+adds", "-removes", "~slow"],
            ),
            (
                "PASS src/a.test.js\n  cart\n    \x1b[32m✓\x1b[39m adds (5 ms)\n    ✕ removes\n    ○ skipped slow\n\n\
                 Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 skipped, 1 passed, 3 total\n",
                Knowledge::Names,
                (1, 1, 1),
                &["+adds", "-removes", "~slow"],
            ),
            (
                " ✓ src/a.test.ts (2 tests) 5ms\n ❯ src/b.test.ts (1 test | 1 failed) 3ms\n   × removes 3ms\n\n FAIL  src/b.test.ts > removes\n\
                 \n Test Files  1 failed | 1 passed (2)\n      Tests  1 failed | 2 passed (3)\n",
                Knowledge::Counts,
                (2, 1, 0),
                &["-removes"],
            ),
            (
                "  cart\n    ✔ adds\n    1) removes\n    - slow\n\n\n  1 passing (12ms)\n  1 pending\n  1 failing\n\n  1) cart\n       removes:\n",
                Knowledge::Names,
                (1, 1, 1),
                &["+adds", "-removes", "~slow"],
            ),
            (
                "✔ adds (1.2ms)\n✖ removes (0.5ms)\nℹ tests 2\nℹ suites 0\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0\n\n✖ failing tests:\n\n✖ removes (0.5ms)\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+adds", "-removes"],
            ),
            (
                "Test Case '-[A testB]' passed (0.001 seconds).\nTest Case '-[A testC]' failed (0.001 seconds).\n\
                 \t Executed 2 tests, with 1 failure (0 unexpected) in 0.0 (0.0) seconds\n\t Executed 2 tests, with 1 failure (0 unexpected) in 0.0 (0.0) seconds\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+-[A testB]", "--[A testC]"],
            ),
            (
                "TAP version 13\n# Subtest: a\nok 1 - a\n  ---\n  ...\n1..1\n# tests 1\n# suites 0\n# pass 1\n# fail 0\n",
                Knowledge::Names,
                (1, 0, 0),
                &["+a"],
            ),
            ("50% tests passed, 1 tests failed out of 2\n", Knowledge::Counts, (1, 1, 0), &[]),
            (
                "//a:x  PASSED in 0.3s\n//a:y  FAILED in 0.3s\nExecuted 2 out of 2 tests: 1 test passes and 1 fails locally.\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+//a:x", "-//a:y"],
            ),
            (
                "[INFO] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.1 s -- in com.acme.AppTest\n\
                 [ERROR] com.acme.AppTest.adds -- Time elapsed: 0.01 s <<< FAILURE!\n[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0\n",
                Knowledge::Counts,
                (1, 1, 0),
                &["-com.acme.AppTest.adds"],
            ),
            (
                "Tests: 3, Assertions: 4, Failures: 1, Skipped: 1.\n",
                Knowledge::Counts,
                (1, 1, 1),
                &[],
            ),
            ("OK (3 tests, 4 assertions)\n", Knowledge::Counts, (3, 0, 0), &[]),
            (
                "3 runs, 3 assertions, 1 failures, 0 errors, 1 skips\n",
                Knowledge::Counts,
                (1, 1, 1),
                &[],
            ),
            ("3 examples, 1 failure, 1 pending\n", Knowledge::Counts, (1, 1, 1), &[]),
            ("1 doctest, 3 tests, 1 failure, 1 excluded\n", Knowledge::Counts, (2, 1, 1), &[]),
            ("FAILED | 2 passed | 1 failed (12ms)\n", Knowledge::Counts, (2, 1, 0), &[]),
            (
                "Failed!  - Failed:     1, Passed:     2, Skipped:     1, Total:     4, Duration: 8 ms\n",
                Knowledge::Counts,
                (2, 1, 1),
                &[],
            ),
            ("00:01 +1: a\n00:02 +2 ~1 -1: b\n", Knowledge::Counts, (2, 1, 1), &[]),
            (
                "CartTest > adds() PASSED\nCartTest > removes() FAILED\n",
                Knowledge::Names,
                (1, 1, 0),
                &["+CartTest > adds()", "-CartTest > removes()"],
            ),
            // A list that a test prints is none of its results.
            (
                "test a ... ok\n    1) of things\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 m\n",
                Knowledge::Names,
                (1, 0, 0),
                &["+a"],
            ),
            // Nothing of a runner's.
            (
                "everything is fine\n    - a list\n    1) of things\n ✓ built in 3s\nok\n",
                Knowledge::Nothing,
                (0, 0, 0),
                &[],
            ),
        ];
        for (text, knowledge, (passed, failed, skipped), expect) in cases {
            let run = read(text);
            assert_eq!(names(&run), *expect, "{text}");
            let counts = TestCounts { passed: *passed, failed: *failed, skipped: *skipped };
            assert_eq!(run.counts(), counts, "{text}");
            assert_eq!(run.knowledge(), *knowledge, "{text}");
        }
    }

    #[test]
    fn cut_anywhere_it_is_the_same() {
        let text = "test a ... ok\r\ntest b ... FAILED\r\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 m\n{\n \"stats\": {\"tests\": 1},\n \"passes\": [{\"fullTitle\": \"cart adds\"}], \"failures\": [], \"pending\": []\n}\n";
        let whole = read(text);
        for size in [1, 2, 3, 7] {
            let mut reader = TestReader::new();
            text.as_bytes().chunks(size).for_each(|chunk| reader.push(chunk));
            assert_eq!(reader.finish(), whole, "in pieces of {size}");
        }
        assert_eq!(names(&whole), ["+a", "+cart adds", "-b"]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut reader = TestReader::new();
        for n in 0..2 * super::super::MOST_NAMES {
            reader.push(format!("test name_{n} ... ok\n").as_bytes());
        }
        reader.push(&vec![b'x'; 1 << 20]);
        assert!(reader.partial.len() <= MAX_LINE);
        let run = reader.finish();
        assert!(run.is_cut());
        assert_eq!(run.tests.len(), super::super::MOST_NAMES);
        assert_eq!(run.counts().passed, 2 * super::super::MOST_NAMES as u64);
        assert_eq!(run.knowledge(), Knowledge::Counts);
    }

    #[test]
    fn a_run_that_broke_off_says_so() {
        for (text, expect) in [
            ("=== test session starts ===\ntests/t.py::test_a PASSED [ 50%]\n", true),
            ("=== test session starts ===\n1 passed in 0.1s\n", false),
            ("running 3 tests\ntest a ... ok\n", true),
            ("Ran 3 tests in 0.001s\n", true),
            (
                "=== test session starts ===\n___ ERROR collecting t.py ___\n!!! Interrupted: 1 error during collection !!!\n1 error in 0.1s\n",
                true,
            ),
            ("FAIL\texample.org/a [build failed]\nok  \texample.org/b\t0.1s\n", true),
        ] {
            assert_eq!(read(text).is_broken_off(), expect, "{text}");
        }
    }

    #[test]
    fn what_speaks_like_a_runner_is_known() {
        for (text, expect) in [
            ("3 passed in 0.01s", true),
            ("Ran 2 tests in 0.000s", true),
            ("OK", true),
            ("test result: ok. 1 passed; 0 failed; 0 ignored;", true),
            ("Tests:       1 passed, 1 total", true),
            ("the cart passed its tests", false),
            ("total", false),
        ] {
            assert_eq!(speaks_like_a_runner(text), expect, "{text}");
        }
    }
}
