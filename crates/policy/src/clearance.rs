//! The one way from a parsed patch to one that may be applied.

use greenloop_model::{Decision, Evaluation, FileChange, Review, Verdict};
use greenloop_patch::ParsedPatch;

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    who: String,
}

impl Confirmation {
    /// Who said yes: `alice at the terminal`, `--yes`.
    pub fn by(who: impl Into<String>) -> Self {
        Self { who: who.into() }
    }

    /// Who said yes.
    pub fn who(&self) -> &str {
        &self.who
    }
}

/// A patch that the reviewer approved and the policy let pass. Only [`clear`] makes one, and
/// only such a patch can be applied.
#[derive(Debug, Clone)]
pub struct ClearedPatch {
    patch: ParsedPatch,
    confirmed_by: Option<Confirmation>,
}

impl ClearedPatch {
    /// What happens to each path.
    pub fn changes(&self) -> &[FileChange] {
        self.patch.changes()
    }

    /// The canonical diff.
    pub fn to_unified_diff(&self) -> Vec<u8> {
        self.patch.to_unified_diff()
    }

    /// The patch.
    pub fn patch(&self) -> &ParsedPatch {
        &self.patch
    }

    /// Who said yes, when a person had to.
    pub fn confirmed_by(&self) -> Option<&Confirmation> {
        self.confirmed_by.as_ref()
    }
}

/// Why a patch may not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCleared {
    /// The policy forbids it, whoever asks.
    #[error("the policy forbids the patch")]
    Forbidden,
    /// The reviewer did not approve it.
    #[error("the reviewer did not approve the patch")]
    NotApproved,
    /// A person has to say yes first.
    #[error("the patch needs a person's confirmation")]
    NeedsConfirmation,
}

/// Clears a patch: never one that is forbidden or not approved, and one that needs a person only
/// with that person's yes. A confirmation that was not needed is not recorded.
pub fn clear(
    patch: ParsedPatch,
    review: &Review,
    evaluation: &Evaluation,
    confirmation: Option<Confirmation>,
) -> Result<ClearedPatch, NotCleared> {
    let decision = evaluation.decision();
    if decision == Decision::Forbid {
        return Err(NotCleared::Forbidden);
    }
    match review.verdict {
        Verdict::Approve => {}
        Verdict::Reject => return Err(NotCleared::NotApproved),
    }
    let confirmed_by = match decision {
        Decision::Allow => None,
        Decision::NeedsHuman => Some(confirmation.ok_or(NotCleared::NeedsConfirmation)?),
        Decision::Forbid => return Err(NotCleared::Forbidden),
    };
    Ok(ClearedPatch { patch, confirmed_by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{Risk, RuleMatch};

    #[test]
    fn only_a_needed_yes_opens_the_way() {
        let review = |verdict| Review {
            verdict,
            risk: Risk::Low,
            reason: String::new(),
            suggestion: None,
            reviewer: "test".to_owned(),
        };
        let evaluation = |decision| {
            Evaluation::new(vec![RuleMatch {
                rule: "x".to_owned(),
                decision,
                path: None,
                line: None,
                detail: String::new(),
            }])
        };
        let yes = || Some(Confirmation::by("--yes"));
        for (verdict, decision, confirmation, expect) in [
            (Verdict::Approve, Decision::Allow, None, Ok(())),
            (Verdict::Approve, Decision::Allow, yes(), Ok(())),
            (Verdict::Approve, Decision::NeedsHuman, yes(), Ok(())),
            (Verdict::Approve, Decision::NeedsHuman, None, Err(NotCleared::NeedsConfirmation)),
            (Verdict::Approve, Decision::Forbid, yes(), Err(NotCleared::Forbidden)),
            (Verdict::Reject, Decision::Allow, yes(), Err(NotCleared::NotApproved)),
            (Verdict::Reject, Decision::NeedsHuman, yes(), Err(NotCleared::NotApproved)),
            (Verdict::Reject, Decision::Forbid, yes(), Err(NotCleared::Forbidden)),
        ] {
            let patch = ParsedPatch::from_changes(Vec::new());
            let cleared = clear(patch, &review(verdict), &evaluation(decision), confirmation);
            assert_eq!(cleared.map(|_| ()), expect, "{verdict:?} {decision:?}");
        }
    }
}
