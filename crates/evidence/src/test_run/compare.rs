//! What became of the tests of one run in another.
//!
//! In the terms of SWE-bench: what failed before has to pass (`FAIL_TO_PASS`), and what passed has
//! to go on passing (`PASS_TO_PASS`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Knowledge, Outcome, Runner, Source, TestRun};
use crate::normalise::normalise;
use greenloop_model::TestCounts;

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TestStatus {
    /// It ran and failed.
    Failed,
    /// It is skipped, or expected to fail.
    Skipped,
    /// It did not run.
    Missing,
}

impl TestStatus {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missing => "gone",
        }
    }
}

/// A test, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestResult {
    pub name: String,
    /// What became of it.
    pub status: TestStatus,
}

/// How a run compares with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How well the later run is known.
    pub knowledge: Knowledge,
    /// Where it is known from.
    pub source: Source,
    /// The earlier run's numbers.
    pub before: TestCounts,
    /// The later run's numbers.
    pub after: TestCounts,
    /// Failed before and pass now. Where none could run before, all that ran now.
    pub fixed: Vec<String>,
    /// Failed before and do not pass now.
    pub unfixed: Vec<TestResult>,
    /// Passed before and pass now.
    pub kept: u64,
    /// Passed before and do not pass now.
    pub lost: Vec<TestResult>,
    /// Ran under other names before.
    pub renamed: Vec<(String, String)>,
    /// Pass now and were not there before.
    pub new: Vec<String>,
    /// What else speaks against the later run, a sentence each.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// Whether no test of the earlier run is missing, skipped or failing.
    pub fn is_sound(&self) -> bool {
        self.unfixed.is_empty() && self.lost.is_empty() && self.doubts.is_empty()
    }

    /// Whether tests show that what failed works now.
    pub fn is_proof(&self) -> bool {
        self.is_sound()
            && self.knowledge != Knowledge::Nothing
            && self.after.passed > 0
            && (!self.fixed.is_empty()
                || self.before.failed > 0
                || self.after.passed > self.before.ran())
    }

    /// Takes tests that are gone as renamed, when at least as many new ones pass. Only for who
    /// knows by other means that the earlier run's own tests pass.
    pub fn accept_renames(&mut self) {
        let gone = |list: &[TestResult]| {
            list.iter().filter(|test| test.status == TestStatus::Missing).count()
        };
        if gone(&self.unfixed) + gone(&self.lost) > self.new.len() {
            return;
        }
        let mut new = std::mem::take(&mut self.new).into_iter();
        for list in [&mut self.unfixed, &mut self.lost] {
            for test in std::mem::take(list) {
                match (test.status == TestStatus::Missing).then(|| new.next()).flatten() {
                    Some(name) => self.renamed.push((test.name, name)),
                    None => list.push(test),
                }
            }
        }
        self.new = new.collect();
    }

    /// What speaks against the later run, a line each; at most `most` tests are named.
    pub fn complaints(&self, most: usize) -> Vec<String> {
        let all = self.unfixed.iter().map(|test| ("failed before", test));
        let all = all.chain(self.lost.iter().map(|test| ("passed before", test)));
        let total = self.unfixed.len() + self.lost.len();
        let mut lines: Vec<String> = all
            .take(most)
            .map(|(was, test)| {
                let now = match test.status {
                    TestStatus::Failed => "fails now",
                    TestStatus::Skipped => "is skipped now",
                    TestStatus::Missing => "does not run any more",
                };
                format!("the test {:?} {was} and {now}", test.name)
            })
            .collect();
        if total > most {
            lines.push(format!("… and {} more tests", total - most));
        }
        lines.extend(self.doubts.iter().cloned());
        lines
    }
}

/// Whether a runner prints `failed` for the test `passed`: some add the reason to the name.
fn adds_details(failed: &str, passed: &str) -> bool {
    let details = failed.strip_prefix(passed).filter(|_| !passed.is_empty());
    details.is_some_and(|rest| [": ", " - ", " (", ", "].iter().any(|it| rest.starts_with(it)))
}

/// The name of a whole package of Go among the tests.
pub(super) fn go_package(package: &str) -> String {
    format!("package {package}")
}

impl TestRun {
    /// What became of this run's tests in `after`, whose command ended with status 0.
    pub fn compare(&self, after: &Self) -> Comparison {
        let mut out = Comparison {
            knowledge: after.knowledge(),
            source: after.source,
            before: self.counts(),
            after: after.counts(),
            fixed: Vec::new(),
            unfixed: Vec::new(),
            kept: 0,
            lost: Vec::new(),
            renamed: Vec::new(),
            new: after
                .tests
                .iter()
                .filter(|(name, tally)| tally.passed > 0 && !self.tests.contains_key(*name))
                .map(|(name, _)| name.clone())
                .collect(),
            doubts: Vec::new(),
        };
        if self.knowledge() == Knowledge::Nothing && out.knowledge == Knowledge::Nothing {
            return out;
        }
        let named = out.knowledge == Knowledge::Names;
        if named || self.knowledge() == Knowledge::Names {
            self.by_name(after, named, &mut out);
        } else {
            for (name, tally) in &self.tests {
                let now = after.tests.get(name).copied().unwrap_or_default();
                if tally.failed > 0 && now.failed > 0 {
                    out.unfixed.push(TestResult { name: name.clone(), status: TestStatus::Failed });
                } else if tally.failed > 0 {
                    out.fixed.push(name.clone());
                }
            }
        }
        self.by_number(after, &mut out);
        if out.before.ran() == 0 && out.unfixed.is_empty() && out.fixed.is_empty() {
            out.fixed = std::mem::take(&mut out.new);
        }
        out
    }

    fn by_name(&self, after: &Self, all_named: bool, out: &mut Comparison) {
        // Names that hold a time or an address are other names each time.
        let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in &out.new {
            alike.entry(normalise(name)).or_default().push(name.clone());
        }
        let mut found_again = BTreeSet::new();
        for (name, was) in &self.tests {
            let ran = was.passed + was.failed;
            if ran == 0 {
                continue;
            }
            let now = match after.tests.get(name) {
                Some(now) => *now,
                None if !all_named => {
                    // Only failures are named: what is not among them is for the numbers.
                    if was.failed > 0 {
                        out.fixed.push(name.clone());
                    } else {
                        out.kept += 1;
                    }
                    continue;
                }
                None if after.passes_as_a_package(name) => {
                    TestCounts { passed: ran, ..TestCounts::default() }
                }
                None => match alike.get_mut(&normalise(name)).and_then(Vec::pop).or_else(|| {
                    let mut unused = out.new.iter().filter(|new| !found_again.contains(*new));
                    unused.find(|new| was.failed > 0 && adds_details(name, new)).cloned()
                }) {
                    Some(same) => {
                        found_again.insert(same);
                        TestCounts { passed: ran, ..TestCounts::default() }
                    }
                    None => TestCounts::default(),
                },
            };
            if now.passed >= ran && now.failed == 0 {
                match was.failed {
                    0 => out.kept += 1,
                    _ => out.fixed.push(name.clone()),
                }
                continue;
            }
            let status = if now.failed > 0 {
                TestStatus::Failed
            } else if now.skipped > was.skipped {
                TestStatus::Skipped
            } else {
                TestStatus::Missing
            };
            let test = TestResult { name: name.clone(), status };
            if was.failed > 0 { out.unfixed.push(test) } else { out.lost.push(test) }
        }
        out.new.retain(|name| !found_again.contains(name));
    }

    /// A test of Go whose package passes, in an output that names no passing test of it.
    fn passes_as_a_package(&self, name: &str) -> bool {
        let Some((package, _)) = name.split_once(": ") else { return false };
        let of_package = format!("{package}: ");
        self.tests.get(&go_package(package)).is_some_and(|tally| tally.passed > 0)
            && !self
                .tests
                .range(of_package.clone()..)
                .take_while(|(name, _)| name.starts_with(&of_package))
                .any(|(_, tally)| tally.passed > 0)
    }

    fn by_number(&self, after: &Self, out: &mut Comparison) {
        let (was, now) = (out.before, out.after);
        let named = out.knowledge == Knowledge::Names && self.knowledge() == Knowledge::Names;
        if out.knowledge == Knowledge::Nothing {
            // Some runners tell of failures only.
            if was.passed == 0 && !self.runners.values().any(Runner::has_summary) {
                return;
            }
            out.doubts.push(format!(
                "{} tests ran before, and no result of a test runner is in the output now",
                was.ran()
            ));
            return;
        }
        if !named && now.passed < was.ran() {
            let (was, now) = (was.ran(), now.passed);
            out.doubts.push(format!("{was} tests ran before, and {now} pass now"));
        }
        if now.ran() == 0 && was.ran() == 0 {
            out.doubts.push("a test runner ran, and ran no test".to_owned());
        }
        let told =
            out.unfixed.iter().chain(&out.lost).any(|test| test.status == TestStatus::Failed);
        if now.failed > 0 && !told {
            let failed = now.failed;
            out.doubts
                .push(format!("{failed} tests failed, though the command ends with status 0"));
        }
        for (name, was) in &self.runners {
            let now = after.runners.get(name).copied().unwrap_or_default();
            self.by_runner(name, was, &now, out);
        }
        for (name, now) in &after.runners {
            if now.starts > 0 && !now.has_summary() {
                out.doubts.push(format!("{name} began, and never said how it ended"));
            }
            if now.not_loaded > 0 {
                out.doubts.push(format!("{name} could not load all tests"));
            }
        }
    }

    fn by_runner(&self, name: &str, was: &Runner, now: &Runner, out: &mut Comparison) {
        if was.has_summary() && !now.has_summary() {
            out.doubts.push(format!("{name} gave a summary before, and gives none now"));
        } else if now.summaries < was.summaries && was.not_loaded == 0 {
            let (was, now) = (was.summaries, now.summaries);
            out.doubts.push(format!("{name} gave {was} summaries before, and gives {now} now"));
        }
        // A summary that no run of the runner belongs to was printed by something else.
        if was.starts > 0 && was.summaries <= was.starts && now.summaries > now.starts {
            let (starts, summaries) = (now.starts, now.summaries);
            out.doubts.push(format!(
                "{name} began {starts} times and gave {summaries} summaries: some are not its own"
            ));
        }
    }
}

impl TestRun {
    /// Names with that outcome, at most `most`, and how many there are.
    pub fn listed(&self, outcome: Outcome, most: usize) -> (Vec<String>, usize) {
        let names: Vec<&str> = self.named(outcome).collect();
        (names.iter().take(most).map(|name| (*name).to_owned()).collect(), names.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::TestReader;
    use super::*;

    fn read(text: &str) -> TestRun {
        let mut reader = TestReader::new();
        reader.push(text.as_bytes());
        reader.finish()
    }

    fn cargo(lines: &[(&str, &str)]) -> TestRun {
        let count = |word: &str| lines.iter().filter(|(_, o)| *o == word).count();
        let mut text = format!("running {} tests\n", lines.len());
        lines
            .iter()
            .for_each(|(name, outcome)| text.push_str(&format!("test {name} ... {outcome}\n")));
        text.push_str(&format!(
            "test result: x. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out\n",
            count("ok"),
            count("FAILED"),
            count("ignored")
        ));
        read(&text)
    }

    #[test]
    fn what_failed_passes_and_the_rest_is_kept() {
        let before = cargo(&[("a", "FAILED"), ("b", "ok"), ("c", "ignored")]);
        let found =
            before.compare(&cargo(&[("a", "ok"), ("b", "ok"), ("c", "ignored"), ("d", "ok")]));
        assert!(found.is_sound() && found.is_proof(), "{found:?}");
        assert_eq!((found.fixed.as_slice(), found.kept), (&["a".to_owned()][..], 1));
        assert_eq!(found.new, ["d"]);
    }

    #[test]
    fn a_reason_beside_the_name_of_a_failed_test_is_no_other_test() {
        let before = read("not ok 1 - adds: -1, not 5\nok 2 - doubles\n1..2\n");
        let found = before.compare(&read("ok 1 - adds\nok 2 - doubles\n1..2\n"));
        assert!(found.is_sound() && found.is_proof(), "{found:?}");
        assert_eq!(found.new, Vec::<String>::new());
        for other in ["ok 1 - add\n", "ok 1 - adds nothing\n", "ok 1 - adds: -1\n"] {
            let found = before.compare(&read(&format!("{other}ok 2 - doubles\n1..2\n")));
            assert_eq!(found.is_sound(), other.contains("adds: -1"), "{other}: {found:?}");
        }
    }

    #[test]
    fn tests_that_went_away_are_found() {
        let before = cargo(&[("a", "FAILED"), ("b", "ok")]);
        for (after, unfixed, lost) in [
            (&[("b", "ok")][..], Some(TestStatus::Missing), None),
            (&[("a", "ignored"), ("b", "ok")], Some(TestStatus::Skipped), None),
            (&[("a", "FAILED"), ("b", "ok")], Some(TestStatus::Failed), None),
            (&[("a", "ok")], None, Some(TestStatus::Missing)),
            (&[("a", "ok"), ("b", "ignored")], None, Some(TestStatus::Skipped)),
            (&[("a", "ok"), ("b", "FAILED")], None, Some(TestStatus::Failed)),
        ] {
            let found = before.compare(&cargo(after));
            assert!(!found.is_sound() && !found.is_proof(), "{after:?}");
            assert_eq!(found.unfixed.first().map(|t| t.status), unfixed, "{after:?}");
            assert_eq!(found.lost.first().map(|t| t.status), lost, "{after:?}");
            assert!(!found.complaints(5).is_empty());
        }
    }

    #[test]
    fn a_renamed_test_is_accepted_only_where_another_one_stands_in() {
        let before = cargo(&[("a", "FAILED"), ("b", "ok")]);
        let mut found = before.compare(&cargo(&[("a", "ok"), ("b_renamed", "ok")]));
        assert!(!found.is_sound());
        found.accept_renames();
        assert!(found.is_sound());
        assert_eq!(found.renamed, [("b".to_owned(), "b_renamed".to_owned())]);
        let mut found = before.compare(&cargo(&[("a", "ok")]));
        found.accept_renames();
        assert!(!found.is_sound());
    }

    #[test]
    fn numbers_speak_where_names_do_not() {
        let before = read("F.s\nRan 3 tests in 0.001s\n\nFAILED (failures=1, skipped=1)\n");
        for (after, sound, proof) in [
            ("Ran 3 tests in 0.001s\n\nOK (skipped=1)\n", true, true),
            ("Ran 4 tests in 0.001s\n\nOK (skipped=1)\n", true, true),
            ("Ran 2 tests in 0.001s\n\nOK (skipped=1)\n", false, false),
            ("Ran 3 tests in 0.001s\n\nOK (skipped=2)\n", false, false),
            ("Ran 3 tests in 0.001s\n\nOK (expected failures=2)\n", false, false),
            ("Ran 3 tests in 0.001s\n\nFAILED (failures=1, skipped=1)\n", false, false),
            ("Ran 3 tests in 0.001s\n", false, false),
            ("", false, false),
            ("done\n", false, false),
        ] {
            let found = before.compare(&read(after));
            assert_eq!(
                (found.is_sound(), found.is_proof()),
                (sound, proof),
                "{after:?}: {found:?}"
            );
        }
    }

    #[test]
    fn where_nothing_could_run_before_everything_that_runs_is_fixed() {
        let broken = read("error[E0308]: mismatched types\n");
        let found = broken.compare(&cargo(&[("a", "ok"), ("b", "ok")]));
        assert!(found.is_proof());
        assert_eq!(found.fixed, ["a", "b"]);
        assert!(!broken.compare(&cargo(&[])).is_proof());
        let nothing = broken.compare(&read("fine\n"));
        assert!(nothing.is_sound() && !nothing.is_proof());
    }

    #[test]
    fn contradictions_are_found() {
        let start = "=== test session starts ===\n";
        let before =
            read(&format!("{start}t.py::a FAILED\nt.py::b PASSED\n1 failed, 1 passed in 0.1s\n"));
        for after in [
            // Ended in mid-run.
            format!("{start}t.py::a PASSED\nt.py::b PASSED\n"),
            // A summary of its own, and then the end.
            format!("{start}t.py::a PASSED\nt.py::b PASSED\n2 passed in 0.1s\n2 passed in 0.1s\n"),
            // Failed, and ends with 0.
            format!("{start}t.py::a FAILED\nt.py::b PASSED\n1 failed, 1 passed in 0.1s\n"),
            "2 files compiled\n".to_owned(),
        ] {
            let found = before.compare(&read(&after));
            assert!(!found.is_sound(), "{after}: {found:?}");
        }
    }

    #[test]
    fn a_runner_that_tells_of_failures_only_is_no_witness() {
        let before = read("CartTest > removes() FAILED\n");
        let found = before.compare(&read("BUILD SUCCESSFUL in 3s\n"));
        assert!(found.is_sound() && !found.is_proof(), "{found:?}");
    }

    #[test]
    fn what_is_counted_twice_is_not_missed_later() {
        for (before, after) in [
            // Two failures of one test's parts; a test that passed and could not be torn down; a
            // failure that is listed under another name too.
            (
                "FAIL: test_a (t.T.test_a) (i=1)\nFAIL: test_a (t.T.test_a) (i=2)\nRan 1 test in 0.1s\n\nFAILED (failures=2)\n",
                "Ran 1 test in 0.1s\n\nOK\n",
            ),
            ("ERROR t.py::test_a - boom\n2 passed, 1 error in 0.1s\n", "2 passed in 0.1s\n"),
            (
                "  \u{2713} a\n  \u{2715} b\n\nTests:       1 failed, 1 passed, 2 total\n  \u{2715} cart b\n",
                "  \u{2713} a\n  \u{2713} b\n\nTests:       2 passed, 2 total\n",
            ),
        ] {
            let found = read(before).compare(&read(after));
            assert!(found.doubts.is_empty(), "{before}: {found:?}");
        }
    }

    #[test]
    fn a_package_of_go_stands_for_its_tests() {
        let before =
            read("--- FAIL: TestAdd (0.00s)\nFAIL\tex.org/a\t0.002s\nok  \tex.org/b\t0.001s\n");
        let found = before.compare(&read("ok  \tex.org/a\t0.002s\nok  \tex.org/b\t0.001s\n"));
        assert!(found.is_proof(), "{found:?}");
        let found = before
            .compare(&read("ok  \tex.org/a\t0.002s [no tests to run]\nok  \tex.org/b\t0.001s\n"));
        assert!(!found.is_sound(), "{found:?}");
        let found = before.compare(&read("ok  \tex.org/b\t0.001s\n"));
        assert!(!found.is_sound(), "{found:?}");
    }

    #[test]
    fn names_that_hold_a_time_are_the_same_tests() {
        let before = cargo(&[("a", "FAILED"), ("at 2024-01-01T10:00:00Z", "ok")]);
        let found = before.compare(&cargo(&[("a", "ok"), ("at 2024-01-02T11:30:00Z", "ok")]));
        assert!(found.is_proof(), "{found:?}");
    }
}
