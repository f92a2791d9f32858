//! What the author answers, and what became of it.

use super::words::named;
use super::{Evaluation, Review};

named!(
    /// Why no patch is right.
    NoPatchClass {
        /// A machine, a network, a service the repository does not own.
        Infrastructure = "infrastructure",
        /// It would pass when run again.
        Flaky = "flaky",
        /// A decision that a person has to take.
        NeedsHuman = "needs human",
    }
);

impl NoPatchClass {
    /// The one that a model means, whatever its case and its separators.
    pub fn from_answer(text: &str) -> Option<Self> {
        Self::from_name(&text.trim().to_ascii_lowercase().replace(['_', '-'], " "))
    }
}

/// The author's answer that no patch is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPatch {
    /// The class that the author gives it.
    pub class: NoPatchClass,
    pub reason: String,
}

/// What became of one proposal.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptOutcome {
    /// The answer could not be read or did not fit the tree; the text teaches how to repair it.
    Refused { reason: String },
    /// The reviewer did not approve.
    Rejected { review: Review },
    /// The policy did not allow it.
    Forbidden { evaluation: Evaluation },
    /// A person would have to agree, and nobody could be asked.
    WantsPerson { evaluation: Evaluation },
    /// It was applied, and the iteration after it failed like this.
    Applied { next_failure: Option<String> },
}

/// One earlier try, as it is shown to the author.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// 1-based iteration it belongs to.
    pub iteration: u32,
    /// The failure it was meant to repair.
    pub headline: String,
    /// The canonical diff, or the beginning of the answer when there is none.
    pub diff: String,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// How often the same became of it: 1 for once.
    pub times: u32,
}

impl Attempt {
    /// Adds a try to those of a run. One that came to what an earlier one came to, for the same
    /// failure, takes its place and is counted: told twice it teaches nothing more.
    pub fn add(attempts: &mut Vec<Self>, mut attempt: Self) {
        let applied = matches!(attempt.outcome, AttemptOutcome::Applied { .. });
        let earlier = attempts.iter().position(|earlier| {
            !applied && earlier.headline == attempt.headline && earlier.outcome == attempt.outcome
        });
        if let Some(at) = earlier {
            attempt.times += attempts.remove(at).times;
        }
        attempts.push(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_the_same_is_told_once_with_its_number() {
        let refused = |iteration, reason: &str| Attempt {
            iteration,
            headline: "gate test failed".into(),
            diff: format!("answer {iteration}"),
            outcome: AttemptOutcome::Refused { reason: reason.into() },
            times: 1,
        };
        let mut attempts = Vec::new();
        for attempt in [refused(1, "a"), refused(2, "b"), refused(3, "a"), refused(4, "a")] {
            Attempt::add(&mut attempts, attempt);
        }
        let told: Vec<_> = attempts.iter().map(|a| (a.iteration, a.times)).collect();
        assert_eq!(told, [(2, 1), (4, 3)]);
        let other = Attempt { headline: "another failure".into(), ..refused(5, "a") };
        Attempt::add(&mut attempts, other);
        assert_eq!(attempts.len(), 3);
    }
}
