//! An entry of a queue as it is merged: with a tip of the target, in a bare mirror.

use super::stop::Stop;
use crate::store::QueueEntry;
use greenloop_evidence::Redactor;
use greenloop_model::task::{MergeId, TaskId};
use greenloop_model::{CommitId, error_chain};
use greenloop_workspace::git::{Author, Git, Mirror};
use greenloop_workspace::{Conflict, MergePlace, Merged, WorkspaceError};

/// In place of an entry's id where gates run on the bare tip of a target.
pub(super) const NO_ENTRY: i64 = 0;

/// What is to be merged where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MergeCandidate {
    /// The entry's id: names its staging ref.
    pub(super) id: MergeId,
    pub(super) task: TaskId,
    /// The attempt whose work it is.
    pub(super) epoch: i64,
    pub(super) branch: String,
    /// The commit that was approved, and no other.
    pub(super) commit: CommitId,
    /// The target branch, for people.
    pub(super) target: String,
    /// One line without secrets: what the merge is about.
    pub(super) title: String,
    /// Commands that must pass.
    pub(super) gates: Vec<String>,
    /// Whether a person still has to approve the merge.
    pub(super) wants_approval: bool,
    /// Where the target begins when the repository does not have it yet.
    pub(super) base: Option<String>,
    /// What a writer was about to push when it died.
    pub(super) landing: Option<CommitId>,
}

impl MergeCandidate {
    /// `None` for an entry whose commit is none.
    pub(super) fn of(entry: QueueEntry, target: &str, redactor: &Redactor) -> Option<Self> {
        let QueueEntry {
            id,
            lease,
            title,
            branch,
            commit,
            gates,
            base,
            state: _,
            wants_approval,
            landing,
        } = entry;
        Some(Self {
            id,
            task: lease.task,
            epoch: lease.epoch,
            branch,
            commit: commit.parse().ok()?,
            target: target.to_owned(),
            title: redactor.redact(&title).into_owned(),
            gates,
            wants_approval,
            base,
            landing: landing.and_then(|it| it.parse().ok()),
        })
    }
}

/// What merging came to.
#[derive(Debug)]
pub(super) enum Staged {
    /// A merge, which the entry's staging ref refers to.
    Commit(CommitId),
    /// The tip has it already.
    Nothing,
    /// It does not merge.
    Conflict(Vec<Conflict>),
    /// Something outside is out of order: the entry is not to blame.
    Unavailable(String),
}

/// Who merges.
pub(super) fn author() -> Author {
    Author {
        name: "Greenloop merge queue".to_owned(),
        email: "merge-queue@greenloop.invalid".to_owned(),
    }
}

/// Merges `candidate` into `tip`, both in `mirror`, to its staging ref.
pub(super) async fn stage(mirror: &Mirror, tip: &CommitId, candidate: &MergeCandidate) -> Staged {
    match merge(mirror.folder(), tip, candidate).await {
        Ok(Merged::Commit(commit)) => Staged::Commit(commit),
        Ok(Merged::Nothing) => Staged::Nothing,
        Ok(Merged::Conflict(conflicts)) => Staged::Conflict(conflicts),
        Err(error) => Staged::Unavailable(error_chain(&error)),
    }
}

/// Merges, and gives the merge its staging ref. Not on the runtime's threads: a large tree takes
/// its time.
async fn merge(
    folder: &std::path::Path,
    tip: &CommitId,
    candidate: &MergeCandidate,
) -> Result<Merged, WorkspaceError> {
    let (folder, tip, candidate) = (folder.to_owned(), tip.clone(), candidate.clone());
    let task = tokio::task::spawn_blocking(move || {
        let place = MergePlace::open(&folder)?;
        let message = format!(
            "Merge {} into {}: {}\n\nGreenloop-Merge: {}\nGreenloop-Branch: {}\n",
            candidate.branch, candidate.target, candidate.title, candidate.id, candidate.commit
        );
        let by = author();
        let merged = place.merge(&tip, &candidate.commit, &message, (&by.name, &by.email))?;
        if let Merged::Commit(commit) = &merged {
            place.set_ref(&staging_ref(candidate.id), commit)?;
        }
        Ok(merged)
    });
    match task.await {
        Ok(merged) => merged,
        // Blocking tasks are not cancelled: it panicked, and so does this.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Lets go of a merge that is settled.
pub(super) async fn forget(mirror: &Mirror, id: MergeId) {
    let folder = mirror.folder().to_owned();
    let forgotten = tokio::task::spawn_blocking(move || {
        MergePlace::open(&folder).and_then(|place| place.delete_ref(&staging_ref(id)))
    });
    if let Ok(Err(error)) = forgotten.await {
        tracing::warn!(%error, "could not delete a staging ref");
    }
}

/// Keeps the merge from being collected while its gates run.
fn staging_ref(id: MergeId) -> String {
    format!("refs/greenloop/staging/{id}")
}

/// What a person or an agent has to solve.
pub(super) fn conflict_text(candidate: &MergeCandidate, conflicts: &[Conflict]) -> String {
    let files: Vec<String> = conflicts
        .iter()
        .map(|conflict| format!("- {}: {}", conflict.path, conflict.what))
        .collect();
    format!(
        "{} ({}) conflicts with {}. Conflicting files:\n{}",
        candidate.branch,
        candidate.commit.short(),
        candidate.target,
        files.join("\n")
    )
}

/// Whether `commit` is on the branch whose tip is `tip`.
///
/// # Errors
/// When the mirror cannot be read: that says nothing of the commit.
pub(super) async fn leads_to(
    mirror: &Mirror,
    commit: &CommitId,
    tip: &CommitId,
) -> Result<bool, WorkspaceError> {
    let (commit, tip) = (commit.clone(), tip.clone());
    read(mirror, move |place| place.leads_to(&commit, &tip)).await
}

/// Reads a mirror, not on the runtime's threads.
async fn read<T: Send + 'static>(
    mirror: &Mirror,
    look: impl FnOnce(MergePlace) -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    let folder = mirror.folder().to_owned();
    match tokio::task::spawn_blocking(move || look(MergePlace::open(&folder)?)).await {
        Ok(read) => read,
        // Blocking tasks are not cancelled: it panicked, and so does this.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The first of `commits` that `candidate` would bring to the target, which is at `tip`.
///
/// # Errors
/// When the mirror cannot be read.
pub(super) async fn brings(
    mirror: &Mirror,
    candidate: &MergeCandidate,
    commits: Vec<CommitId>,
    tip: &CommitId,
) -> Result<Option<CommitId>, WorkspaceError> {
    let (own, tip) = (candidate.commit.clone(), tip.clone());
    read(mirror, move |place| {
        for commit in commits {
            if place.leads_to(&commit, &own)? && !place.leads_to(&commit, &tip)? {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    })
    .await
}

/// Whether the commit that was approved is available: it is on its branch, or was fetched before.
pub(super) async fn bring(
    mirror: &Mirror,
    candidate: &MergeCandidate,
    git: &Git,
) -> Result<bool, Stop> {
    let look = || {
        let commit = candidate.commit.clone();
        read(mirror, move |place| place.has(&commit))
    };
    if look().await? {
        return Ok(true);
    }
    if mirror.remote_tip(&candidate.branch, git).await?.is_none() {
        return Ok(false);
    }
    mirror.fetch(&candidate.branch, git).await?;
    Ok(look().await?)
}
