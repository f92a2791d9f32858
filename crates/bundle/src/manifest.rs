//! What a bundle says of itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use greenloop_model::{CommitId, Failure, Proof, RepoPath, Review, ReviewVerdict, RunId, TreeId};

/// The version of the form that this program writes and reads.
pub const VERSION: u32 = 1;

/// A commit and its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    pub commit: CommitId,
    pub tree: TreeId,
}

/// One patch of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// 1-based.
    pub iteration: u32,
    /// The headline of the failure that it is for.
    pub failure: String,
    /// The author's reason.
    pub reason: String,
    /// The review that let it pass.
    pub review: Review,
    /// Who confirmed it, where the policy wanted a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<String>,
}

/// The tests of a gate that ran, as the audit log has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestsRan {
    pub iteration: u32,
    pub gate: String,
    /// `tree`: the run's own; `base`: with the files that judge as in the base commit.
    pub judge: String,
    #[serde(default)]
    pub passed: BTreeSet<String>,
    #[serde(default)]
    pub failed: BTreeSet<String>,
    #[serde(default)]
    pub skipped: BTreeSet<String>,
    /// Whether there were more than are named.
    #[serde(default)]
    pub cut: bool,
}

/// The run's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// How many records it has.
    pub records: u64,
    /// The hash of the last one.
    pub head: String,
}

/// What a bundle holds, and of what it is a repair. All texts are redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`]
    pub version: u32,
    /// The version of Greenloop that wrote it.
    pub greenloop: String,
    /// The run that made the repair.
    pub run: RunId,
    pub created: jiff::Timestamp,
    /// What the patch is made of.
    pub base: Revision,
    /// The tree that the patch makes of the base's.
    pub result: TreeId,
    /// The command that failed and passes with the patch.
    pub command: String,
    /// Where in the repository it runs; its root for `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<RepoPath>,
    /// The failure that the run began with.
    pub failure: Box<Failure>,
    /// The patches, of which the bundle's is the sum.
    pub repairs: Vec<Repair>,
    /// What the tests show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Which tests ran before and after.
    pub tests: Vec<TestsRan>,
    /// The digest of the rules by which it was allowed.
    pub policy: String,
    /// Who wrote it.
    pub author: String,
    pub audit: AuditHead,
}

impl Manifest {
    /// Why the reviews do not carry the patch: there is none, or one does not approve.
    pub fn unreviewed(&self) -> Option<String> {
        if self.repairs.is_empty() {
            return Some("it has no patch with a review".to_owned());
        }
        let refused =
            self.repairs.iter().find(|repair| repair.review.verdict != ReviewVerdict::Approve)?;
        Some(format!("the review of its patch {} does not approve", refused.iteration))
    }

    /// What the tests that ran say against the repair: one that passed before and is gone or fails,
    /// or one that still fails. `None` also where no test is named.
    pub fn test_complaint(&self) -> Option<String> {
        let of_tree = |gate: &str| {
            let mut runs: Vec<&TestsRan> =
                self.tests.iter().filter(|ran| ran.gate == gate && ran.judge == "tree").collect();
            runs.sort_by_key(|ran| ran.iteration);
            runs
        };
        let gates: BTreeSet<&str> = self.tests.iter().map(|ran| ran.gate.as_str()).collect();
        for gate in gates {
            let runs = of_tree(gate);
            let (Some(before), Some(after)) = (runs.first(), runs.last()) else { continue };
            if let Some(failed) = after.failed.first() {
                return Some(format!("the test `{failed}` of `{gate}` fails with the patch"));
            }
            let named = !after.passed.is_empty() && !before.cut && !after.cut;
            let renamed = self.renamed(gate);
            let gone = before.passed.iter().find(|test| {
                named && !after.passed.contains(*test) && !renamed.contains(test.as_str())
            });
            if let Some(gone) = gone {
                return Some(format!("the test `{gone}` of `{gate}` no longer passes"));
            }
        }
        None
    }

    fn renamed(&self, gate: &str) -> BTreeSet<&str> {
        let proof = self.proof.iter().flat_map(|proof| &proof.gates);
        let of_gate = proof.filter(|proof| proof.gate == gate).flat_map(|proof| &proof.renamed);
        of_gate.map(|(old, _)| old.as_str()).collect()
    }
}
