//! A task to carry out: the loop begins with it as if it were a failure, and the gates judge what
//! the author makes of it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::Driver;
use crate::heal::ASSIGNMENT;
use greenloop_model::{Evidence, Failure, FailureClass, Fingerprint, Stage, StageOutcome};

/// What is to be done although nothing has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// One line.
    pub title: String,
    /// All of it. Comes from who may submit tasks: the author follows it.
    pub text: String,
    /// Paths that it is expected to touch, or patterns of them. A test that is named here by its
    /// whole path may be changed: it is what the task is about.
    pub files: Vec<String>,
}

impl Assignment {
    fn failure(&self) -> Failure {
        let digest = Sha256::digest(format!("{}\0{}", self.title, self.text).as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        let notes = vec![format!("The task: {}", self.text)];
        Failure {
            stage: Stage::Gates,
            name: ASSIGNMENT.to_owned(),
            headline: format!("to be done: {}", self.title),
            class: FailureClass::Code,
            fingerprint: Fingerprint::from_digest(first),
            flaky_suspect: false,
            symptoms: BTreeSet::from([ASSIGNMENT.to_owned()]),
            evidence: Evidence { notes, ..Evidence::default() },
        }
    }
}

impl Driver {
    /// What stands for the gates as long as nothing of the task is done: they would pass.
    pub(super) fn assignment_to_begin(&self) -> Option<StageOutcome> {
        let assignment = self.run.assignment.as_ref()?;
        let untouched = self.tip == self.run.header.commit;
        untouched.then(|| StageOutcome::Failed {
            failure: Box::new(assignment.failure()),
            gates: Vec::new(),
        })
    }
}
