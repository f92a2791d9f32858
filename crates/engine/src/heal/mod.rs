//! The two agents: the author, who drafts a patch from the evidence, and the reviewer, who may
//! veto it.
//!
//! Lives here: prompts and what goes into them, the author's read-only tools, playbooks, the
//! strict reading of a review. Must not be here: applying anything, HTTP, deciding what happens
//! next.
//!
//! Invariants: every text from outside (logs, files, commits, answers of models) is redacted and
//! stands within a fence whose mark is new with each request; prompts are bounded; whatever is
//! not exactly an approving review does not approve.

mod author;
mod brief;
mod budget;
mod context;
mod evidence_sections;
mod fence;
mod looks;
mod playbooks;
mod prompt;
#[cfg(test)]
mod recorded;
mod reviewer;
mod verdict;

pub use author::{Author, SentBack, SentBackWhy};
pub use brief::{ASSIGNMENT, Brief};
pub use reviewer::Reviewer;

use greenloop_model::Usage;
use greenloop_ports::{ModelError, ModelErrorKind};

/// A built-in prompt that cannot be rendered: a fault of this program, and nothing was asked.
fn prompt_error(model: String, source: minijinja::Error) -> ModelError {
    ModelError {
        model,
        kind: ModelErrorKind::NotConfigured,
        message: "a built-in prompt cannot be rendered".into(),
        usage: Usage::default(),
        source: Some(Box::new(source)),
    }
}
