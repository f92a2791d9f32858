//! How far the tests that ran show that a repair works.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::count::counted;
use super::words::named;

/// Numbers of tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// Ran and passed.
    pub passed: u64,
    /// Ran and failed.
    pub failed: u64,
    /// Were left out, or were expected to fail.
    pub skipped: u64,
}

impl TestCounts {
    /// Passed and failed.
    pub fn ran(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    /// Ran and skipped.
    pub fn all(&self) -> u64 {
        self.ran().saturating_add(self.skipped)
    }

    /// Adds another part of the same run.
    pub fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

impl fmt::Display for TestCounts {
    /// `3 passed, 1 failed, 2 skipped`; what is zero is left out, but for what passed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

named!(
    /// What a gate's tests are known by, the weakest first.
    ProofBasis {
        /// No result of a test runner was found.
        Nothing = "nothing",
        /// The numbers in the runner's summaries.
        Counts = "counts",
        /// The names that the runner printed.
        Names = "names",
        /// The report files that the runner wrote.
        Report = "report",
    }
);

/// What the tests of one gate show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateProof {
    /// The gate.
    pub gate: String,
    /// What its tests are known by.
    pub basis: ProofBasis,
    /// Whether its tests show that what failed works.
    pub proven: bool,
    /// Before the first patch; `None` where nothing could be counted.
    pub before: Option<TestCounts>,
    /// With the patches.
    pub after: Option<TestCounts>,
    /// Tests that failed and pass now (FAIL_TO_PASS), as far as they are named; bounded.
    pub fixed: Vec<String>,
    /// How many they are.
    pub fixed_total: u64,
    /// How many tests passed and go on passing (PASS_TO_PASS), where they are named.
    pub kept: u64,
    /// Tests that run under another name now: old and new.
    pub renamed: Vec<(String, String)>,
    /// What speaks against it; not empty only when a person has accepted it.
    pub complaints: Vec<String>,
}

impl GateProof {
    /// Whether any of its tests ran before the first patch: nothing that did not run can be said to
    /// have failed.
    fn ran_before(&self) -> bool {
        self.before.is_some_and(|before| before.ran() > 0)
    }
}

/// What the tests show of a run's repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "ProofRecord", from = "ProofRecord")]
pub struct Proof {
    /// The gates that failed before the first patch, and those that something is to be said of.
    pub gates: Vec<GateProof>,
    /// Files that the patches change and that the gates judge by: the gates passed with those of
    /// the commit that the run started from, too.
    pub judged_without: Vec<String>,
    /// How often the gates passed on the final tree; more than once for what may be flaky.
    pub passes: u32,
    /// Who accepted what speaks against it.
    pub accepted_by: Option<String>,
}

/// Readers of records find the judgement beside what it follows from.
#[derive(Serialize, Deserialize)]
struct ProofRecord {
    #[serde(skip_deserializing)]
    proven: bool,
    #[serde(skip_deserializing)]
    verdict: String,
    gates: Vec<GateProof>,
    judged_without: Vec<String>,
    passes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted_by: Option<String>,
}

impl From<Proof> for ProofRecord {
    fn from(proof: Proof) -> Self {
        let (proven, verdict) = (proof.is_proven(), proof.verdict());
        let Proof { gates, judged_without, passes, accepted_by } = proof;
        Self { proven, verdict, gates, judged_without, passes, accepted_by }
    }
}

impl From<ProofRecord> for Proof {
    fn from(record: ProofRecord) -> Self {
        let ProofRecord { proven: _, verdict: _, gates, judged_without, passes, accepted_by } =
            record;
        Self { gates, judged_without, passes, accepted_by }
    }
}

impl Proof {
    /// Whether tests show that what failed works now. A gate that runs none, such as a build, rests
    /// on one that does.
    pub fn is_proven(&self) -> bool {
        let counted = |gate: &GateProof| gate.basis > ProofBasis::Nothing;
        self.accepted_by.is_none()
            && self.gates.iter().any(|gate| gate.proven)
            && self.gates.iter().all(|gate| gate.proven || !counted(gate))
    }

    /// One line: `proven by names: 1 test fixed, 12 kept`.
    pub fn verdict(&self) -> String {
        if let Some(who) = &self.accepted_by {
            return format!("unproven, and accepted by {who}");
        }
        if !self.is_proven() {
            let unproven = self.gates.iter().filter(|gate| !gate.proven);
            let names: Vec<&str> = unproven.map(|gate| gate.gate.as_str()).collect();
            return match names.as_slice() {
                [] => "unproven: no gate failed before the first patch".to_owned(),
                names => format!(
                    "unproven: the output of gate {} contains no test result that shows the repair",
                    names.join(", ")
                ),
            };
        }
        let proven = self.gates.iter().filter(|gate| gate.proven);
        let basis = proven.map(|gate| gate.basis).min().unwrap_or(ProofBasis::Nothing);
        let by = match basis {
            ProofBasis::Report => "the runner's report",
            ProofBasis::Names => "the tests' names",
            ProofBasis::Counts | ProofBasis::Nothing => "the tests' numbers",
        };
        let sum = |ran_before: bool, of: fn(&GateProof) -> u64| -> u64 {
            self.gates.iter().filter(|gate| gate.ran_before() == ran_before).map(of).sum()
        };
        let tests = |n: u64| counted(usize::try_from(n).unwrap_or(usize::MAX), "test", "tests");
        let (fixed, kept) = (sum(true, |it| it.fixed_total), sum(true, |it| it.kept));
        let revived = sum(false, |it| it.fixed_total);
        let mut shown = Vec::new();
        if fixed + kept > 0 || revived == 0 {
            shown.push(format!("{} fixed, {kept} kept", tests(fixed)));
        }
        if revived > 0 {
            let pass = if revived == 1 { "passes" } else { "pass" };
            shown.push(format!("{} {pass}, and none could run before", tests(revived)));
        }
        format!("proven by {by}: {}", shown.join("; "))
    }

    /// What stands below the verdict, a line each.
    pub fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // That a test passes now is no repair where the result speaks against it.
        let failed = if self.is_proven() { "fixed" } else { "failed before, passes now" };
        for gate in &self.gates {
            let name = &gate.gate;
            let fixed = if gate.ran_before() { failed } else { "passes now" };
            if let (Some(before), Some(after)) = (gate.before, gate.after) {
                lines.push(format!("gate {name}: {before} before; {after} now"));
            } else if let Some(after) = gate.after {
                lines.push(format!("gate {name}: no test ran before; {after} now"));
            }
            if !gate.fixed.is_empty() {
                let more = gate.fixed_total.saturating_sub(gate.fixed.len() as u64);
                let more = if more > 0 { format!(" … and {more} more") } else { String::new() };
                lines.push(format!("{fixed}: {}{more}", gate.fixed.join(", ")));
            }
            for (old, new) in &gate.renamed {
                lines.push(format!("renamed: {old} is {new} now"));
            }
            lines.extend(gate.complaints.iter().cloned());
        }
        if !self.judged_without.is_empty() {
            lines.push(format!(
                "it also passes with {} as before the patch",
                self.judged_without.join(", ")
            ));
        }
        if self.passes > 1 {
            lines.push(format!("the gates passed {} times on the final tree", self.passes));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(proven: bool) -> Proof {
        let counts = |passed, failed| Some(TestCounts { passed, failed, skipped: 0 });
        Proof {
            gates: vec![GateProof {
                gate: "test".into(),
                basis: ProofBasis::Names,
                proven,
                before: counts(2, 1),
                after: counts(3, 0),
                fixed: vec!["adds".into()],
                fixed_total: 1,
                kept: 2,
                renamed: Vec::new(),
                complaints: Vec::new(),
            }],
            judged_without: vec!["tests/a.py".into()],
            passes: 3,
            accepted_by: None,
        }
    }

    #[test]
    fn a_proof_says_what_it_rests_on() {
        let proven = proof(true);
        assert_eq!(proven.verdict(), "proven by the tests' names: 1 test fixed, 2 kept");
        assert_eq!(
            proven.details(),
            [
                "gate test: 2 passed, 1 failed before; 3 passed now",
                "fixed: adds",
                "it also passes with tests/a.py as before the patch",
                "the gates passed 3 times on the final tree",
            ]
        );
        let mut broken = proof(true);
        broken.gates[0].before = None;
        assert_eq!(
            broken.verdict(),
            "proven by the tests' names: 1 test passes, and none could run before"
        );
        assert_eq!(broken.details()[1], "passes now: adds");
        assert!(proof(false).verdict().starts_with("unproven: the output of gate test"));
        assert_eq!(proof(false).details()[1], "failed before, passes now: adds");
        let mut with_build = proof(true);
        let build = GateProof {
            gate: "build".into(),
            basis: ProofBasis::Nothing,
            proven: false,
            ..with_build.gates[0].clone()
        };
        with_build.gates.push(build);
        assert!(with_build.is_proven());
        with_build.gates[1].basis = ProofBasis::Counts;
        assert!(!with_build.is_proven());
        let accepted = Proof { accepted_by: Some("ann".into()), ..proof(true) };
        assert!(!accepted.is_proven());
    }
}
