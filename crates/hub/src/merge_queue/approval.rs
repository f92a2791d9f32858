//! Merges that a person has to approve: the question, once the gates have passed.

use super::candidate::{MergeCandidate, brings_unapproved};
use super::stop::Stop;
use super::worker::Worker;
use crate::store::{MergeQuestion, UnapprovedMerge};
use greenloop_model::CommitId;
use greenloop_workspace::git::{Git, Mirror};

/// Bytes of a change that are kept for whoever decides.
const DIFF: usize = 256 << 10;
/// Bytes of the names of changed files.
const FILES: usize = 16 << 10;

/// What an entry's work means for its turn.
pub(super) enum Clearance {
    /// It is merged, or asked about.
    Go,
    /// It waits for the decision about the task with this key.
    Waits(String),
    /// From now on its own merge wants an approval, too.
    Asks,
}

impl Worker {
    /// Whether an entry may be merged in its turn, as far as approvals are concerned: work that
    /// nobody has approved does not come along with another branch.
    pub(super) async fn clearance(
        &self,
        entry: &MergeCandidate,
        unapproved: &[UnapprovedMerge],
        tip: &CommitId,
        mirror: &Mirror,
    ) -> Result<Clearance, Stop> {
        match brings_unapproved(mirror, entry, unapproved, tip).await? {
            None => Ok(Clearance::Go),
            Some(other) if other.open => Ok(Clearance::Waits(other.key.clone())),
            Some(_rejected) => {
                self.store.want_approval(&self.lease, entry.id).await?;
                Ok(Clearance::Asks)
            }
        }
    }

    /// Asks whether an entry whose gates passed on `commit`, its merge with `below`, is merged.
    pub(super) async fn ask(
        &self,
        entry: &MergeCandidate,
        commit: &CommitId,
        below: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        let redactor = &self.options.redactor;
        let tree = async |of: &CommitId| -> Result<String, Stop> {
            Ok(mirror.resolve_tree(of, git).await?)
        };
        let diff = mirror.diff(below, commit, DIFF, git).await?;
        let files = mirror.changed_files(below, commit, FILES, git).await?;
        let question = MergeQuestion {
            staged: commit.to_string(),
            base_tree: tree(below).await?,
            new_tree: tree(commit).await?,
            diff: redactor.redact(&diff).into_owned(),
            evidence: redactor.redact(&evidence(entry, (commit, below), &files)).into_owned(),
        };
        self.store.ask_for_approval(&self.lease, entry.id, &question).await?;
        tracing::info!(
            entry = entry.id.0,
            branch = self.lease.target,
            "a merge waits for a person"
        );
        Ok(())
    }
}

/// What the gates said, and which files change, for whoever decides.
fn evidence(
    entry: &MergeCandidate,
    (commit, below): (&CommitId, &CommitId),
    (files, more): &(Vec<String>, bool),
) -> String {
    let of = format!(
        "{}, the merge of {} ({}) into {} at {}",
        commit.short(),
        entry.branch,
        entry.commit.short(),
        entry.target,
        below.short()
    );
    let mut lines = vec![match entry.gates.is_empty() {
        true => format!("The graph has no gates: nothing ran on {of}."),
        false => format!("The gates passed on {of}:"),
    }];
    lines.extend(entry.gates.iter().map(|gate| format!("- passed: {gate}")));
    lines.push("\nChanged files:".to_owned());
    lines.extend(files.iter().cloned());
    if *more {
        lines.push("… and more".to_owned());
    }
    lines.join("\n")
}
