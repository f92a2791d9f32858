//! The policy's decision.

use super::RepoPath;

/// Ordered: the strictest of all matches wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// May be applied.
    Allow,
    /// May be applied when a person says so.
    NeedsHuman,
    /// May not be applied, whoever asks.
    Forbid,
}

impl Decision {
    /// The words on the screen and in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsHuman => "needs human",
            Self::Forbid => "forbid",
        }
    }

    /// The decision of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Allow, Self::NeedsHuman, Self::Forbid].into_iter().find(|d| d.name() == name)
    }
}

/// One rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
