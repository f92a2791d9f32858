//! Merges that a person has to approve: the question, once the gates have passed.

use super::candidate::{MergeCandidate, brings};
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
    /// nobody has approved does not come along with another branch, unless that branch's own merge
    /// was approved.
    pub(super) async fn clearance(
        &self,
        entry: &MergeCandidate,
        unapproved: &[UnapprovedMerge],
        tip: &CommitId,
        mirror: &Mirror,
    ) -> Result<Clearance, Stop> {
        // Two entries of one commit would wait for each other: each is decided on by itself.
        let (open, over): (Vec<_>, Vec<_>) = unapproved
            .iter()
            .filter(|it| it.id != entry.id)
            .partition(|it| it.open && it.commit != entry.commit.as_str());
        let commits = |of: &[&UnapprovedMerge]| {
            of.iter().filter_map(|it| it.commit.parse().ok()).collect::<Vec<CommitId>>()
        };
        if let Some(commit) = brings(mirror, entry, commits(&open), tip).await? {
            let other = open.iter().find(|it| it.commit == commit.as_str());
            return Ok(Clearance::Waits(other.map(|it| it.key.clone()).unwrap_or_default()));
        }
        if !entry.wants_approval
            && brings(mirror, entry, commits(&over), tip).await?.is_some()
            && self.store.want_approval(&self.lease, entry.id).await?
        {
            return Ok(Clearance::Asks);
        }
        Ok(Clearance::Go)
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
