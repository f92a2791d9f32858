//! The policy's decision.

use serde::{Deserialize, Serialize};

use super::RepoPath;
use super::words::named;

named!(
    /// Ordered: the strictest of all matches wins.
    Decision {
        /// May be applied.
        Allow = "allow",
        /// May be applied when a person says so.
        NeedsHuman = "needs human",
        /// May not be applied, whoever asks.
        Forbid = "forbid",
    }
);

/// One rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMatch {
    /// The rule's id, which `greenloop policy explain` takes: `never_delete`.
    pub rule: String,
    /// What the rule says about a match.
    pub decision: Decision,
    /// Where it matched; `None` for the patch as a whole.
    pub path: Option<RepoPath>,
    /// 1-based line in the resulting file, where there is one.
    pub line: Option<u64>,
    /// What matched, for a person.
    pub detail: String,
}

/// Every match, and the strictest of their decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "EvaluationRecord", from = "EvaluationRecord")]
pub struct Evaluation {
    matches: Vec<RuleMatch>,
}

impl Evaluation {
    /// From all matches; none means [`Decision::Allow`].
    pub fn new(matches: Vec<RuleMatch>) -> Self {
        Self { matches }
    }

    /// The strictest decision.
    pub fn decision(&self) -> Decision {
        self.matches.iter().map(|m| m.decision).max().unwrap_or(Decision::Allow)
    }

    /// Every rule that matched, in the order of the changes.
    pub fn matches(&self) -> &[RuleMatch] {
        &self.matches
    }
}

/// Readers of records find the decision beside the rules that it follows from.
#[derive(Serialize, Deserialize)]
struct EvaluationRecord {
    #[serde(skip_deserializing, default = "allow")]
    decision: Decision,
    matches: Vec<RuleMatch>,
}

const fn allow() -> Decision {
    Decision::Allow
}

impl From<Evaluation> for EvaluationRecord {
    fn from(evaluation: Evaluation) -> Self {
        Self { decision: evaluation.decision(), matches: evaluation.matches }
    }
}

impl From<EvaluationRecord> for Evaluation {
    fn from(record: EvaluationRecord) -> Self {
        Self::new(record.matches)
    }
}
