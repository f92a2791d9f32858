//! The two agents: the author, who drafts a patch from the evidence, and the reviewer, who may
//! veto it.
//!
//! Lives here: prompts and what goes into them, the author's read-only tools, playbooks, the
//! strict reading of a review. Must not be here: applying anything, HTTP, deciding what happens
//! next.
//!
//! Invariants: every text from outside (logs, files, commits, answers of models) is redacted and
//! stands within a fence whose mark is new with each conversation; prompts are bounded; whatever
//! is not exactly an approving review does not approve. The system prompt and the tools are the
//! same with every request, so that providers can cache them.

mod author;
mod brief;
mod budget;
mod context;
mod evidence_sections;
mod exchange;
mod explore;
mod fence;
#[cfg(test)]
mod fixtures;
mod history;
mod own_agent;
mod pattern;
mod playbooks;
mod prompt;
mod recorded;
mod reviewer;
mod sent_back;
mod source;
mod tools;
mod verdict;

pub use author::{Answered, Author, Conversation, Opening};
pub use brief::{ASSIGNMENT, Brief};
pub(crate) use exchange::Exchange;
pub use explore::Explore;
pub use own_agent::{AgentAnswer, AgentRun, OwnAgent};
pub use recorded::RecordedPatch;
pub use reviewer::{ReviewRequest, Reviewer};
pub use sent_back::{SentBack, SentBackWhy};

use greenloop_model::{CommitId, Failure, Usage};
use greenloop_patch::{MemoryTree, Tree};
use greenloop_ports::{ModelError, ModelErrorKind};
use greenloop_workspace::Workspace;

/// What is known of a failure, for a person: as the agents see it.
pub(crate) fn failure_evidence(failure: &Failure) -> String {
    let sections = evidence_sections::sections(failure).into_iter();
    let told = sections.filter(|section| !section.text.trim().is_empty());
    let texts: Vec<String> =
        told.map(|it| format!("{}\n\n{}\n", it.heading, it.text.trim_end())).collect();
    texts.join("\n")
}

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

/// The commit's files. When git cannot read them the agents have the evidence alone: what ails
/// the repository comes to light where the patch is applied.
fn tree(workspace: &Workspace, commit: &CommitId) -> Box<dyn Tree> {
    match workspace.tree_at(commit) {
        Ok(tree) => Box::new(tree),
        Err(error) => {
            tracing::warn!(?error, "the agents cannot see files");
            Box::new(MemoryTree::new())
        }
    }
}
