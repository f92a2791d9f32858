//! The one way from a parsed patch to one that may be applied.

use std::time::{Duration, SystemTime};

use greenloop_model::{Decision, Evaluation, FileChange, Review, ReviewVerdict};
use greenloop_patch::ParsedPatch;

/// How long a person's yes holds: what it was said to is forgotten after that.
pub const CONFIRMATION_LASTS: Duration = Duration::from_secs(60 * 60);

/// What a decision is about: the tree before, the tree after, and the rules it was made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    base: String,
    result: String,
    policy: String,
}

impl Scope {
    /// Of two trees, by their ids, and a policy, by its digest ([`Policy::digest`]).
    ///
    /// [`Policy::digest`]: super::Policy::digest
    pub fn new(
        base: impl Into<String>,
        result: impl Into<String>,
        policy: impl Into<String>,
    ) -> Self {
        Self { base: base.into(), result: result.into(), policy: policy.into() }
    }
}

/// A person's yes to one change by one set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    who: String,
    scope: Scope,
    given: SystemTime,
}

impl Confirmation {
    /// Who said yes (`alice at the terminal`, `--yes`), to what, and when.
    pub fn new(who: impl Into<String>, scope: Scope, given: SystemTime) -> Self {
        Self { who: who.into(), scope, given }
    }

    /// Who said yes.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Whether it is a yes to this, and not too old at `now`. A clock that was set back makes it
    /// younger, not older.
    fn holds(&self, scope: &Scope, now: SystemTime) -> bool {
        let age = now.duration_since(self.given).unwrap_or_default();
        self.scope == *scope && age <= CONFIRMATION_LASTS
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
    /// A person said yes to another change, by other rules, or too long ago.
    #[error(
        "the confirmation was given for another change or other rules, or is older than an hour: \
         confirm the patch again"
    )]
    ConfirmationExpired,
}

/// Clears a patch: never one that is forbidden or not approved, and one that needs a person only
/// with that person's yes to this very `scope`, not older than [`CONFIRMATION_LASTS`] at `now`. A
/// confirmation that was not needed is not recorded.
pub fn clear(
    patch: ParsedPatch,
    review: &Review,
    evaluation: &Evaluation,
    confirmation: Option<Confirmation>,
    scope: &Scope,
    now: SystemTime,
) -> Result<ClearedPatch, NotCleared> {
    let decision = evaluation.decision();
    if decision == Decision::Forbid {
        return Err(NotCleared::Forbidden);
    }
    match review.verdict {
        ReviewVerdict::Approve => {}
        ReviewVerdict::Reject => return Err(NotCleared::NotApproved),
    }
    let confirmed_by = match decision {
        Decision::Allow => None,
        Decision::NeedsHuman => {
            let confirmation = confirmation.ok_or(NotCleared::NeedsConfirmation)?;
            if !confirmation.holds(scope, now) {
                return Err(NotCleared::ConfirmationExpired);
            }
            Some(confirmation)
        }
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
        let scope = |tree: &str, policy: &str| Scope::new("base", tree, policy);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let given = |tree, policy| Some(Confirmation::new("--yes", scope(tree, policy), at(0)));
        let yes = || given("tree", "rules");
        for (verdict, decision, confirmation, expect) in [
            (ReviewVerdict::Approve, Decision::Allow, None, Ok(())),
            (ReviewVerdict::Approve, Decision::Allow, yes(), Ok(())),
            (ReviewVerdict::Approve, Decision::NeedsHuman, yes(), Ok(())),
            (
                ReviewVerdict::Approve,
                Decision::NeedsHuman,
                None,
                Err(NotCleared::NeedsConfirmation),
            ),
            (ReviewVerdict::Approve, Decision::Forbid, yes(), Err(NotCleared::Forbidden)),
            (ReviewVerdict::Reject, Decision::Allow, yes(), Err(NotCleared::NotApproved)),
            (ReviewVerdict::Reject, Decision::NeedsHuman, yes(), Err(NotCleared::NotApproved)),
            (ReviewVerdict::Reject, Decision::Forbid, yes(), Err(NotCleared::Forbidden)),
        ] {
            let patch = ParsedPatch::from_changes(Vec::new());
            let (review, evaluation) = (review(verdict), evaluation(decision));
            let here = scope("tree", "rules");
            let cleared = clear(patch, &review, &evaluation, confirmation, &here, at(60));
            assert_eq!(cleared.map(|_| ()), expect, "{verdict:?} {decision:?}");
        }
        // A yes to something else, by other rules, or of two hours ago is none.
        for (confirmation, now) in
            [(given("other", "rules"), 60), (given("tree", "others"), 60), (yes(), 7_200)]
        {
            let patch = ParsedPatch::from_changes(Vec::new());
            let (review, evaluation) =
                (review(ReviewVerdict::Approve), evaluation(Decision::NeedsHuman));
            let here = scope("tree", "rules");
            let cleared = clear(patch, &review, &evaluation, confirmation, &here, at(now));
            assert_eq!(cleared.map(|_| ()), Err(NotCleared::ConfirmationExpired));
        }
    }
}
