//! What is kept for long enough goes: records a few at a time, branches of tasks that ended.
//!
//! # Guarantees
//! - Records go in transactions of at most [`PURGE_ROWS`](crate::store::PURGE_ROWS)
//!   rows, one after the other, with a pause as long as each took: whoever claims meanwhile
//!   waits for one of them at most.
//! - A branch is deleted only when an attempt of this hub's store pushed it, or the merge queue did
//!   because the attempt's commit conflicted; its task has ended, none of its commits waits to be
//!   merged, and it stands where it was left. One hub at a time has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::merge_queue::conflict_branches;
use crate::store::{Retention, SpentBranch, StoreError, TaskStore};
use greenloop_evidence::Redactor;
use greenloop_model::task::Lease;
use greenloop_model::{CommitId, RunId, error_chain};
use greenloop_workspace::git::{
    Deletion, ExpectedBranch, Git, GitError, delete_branches, init_bare,
};

/// Between two batches of records, at least.
const SHORTEST: Duration = Duration::from_millis(5);
/// Branches that are taken at a time.
const BRANCHES: u32 = 50;
/// How long a hub may take to delete those.
const HOLD: Duration = Duration::from_secs(900);

/// Purges records until `end`, looking for old ones `every` so often.
pub async fn purge(store: TaskStore, keep: Retention, every: Duration, end: CancellationToken) {
    let mut failing = false;
    while rested(every, &end).await {
        match purge_all(&store, &keep, &end).await {
            Ok(purged) => {
                failing = false;
                for (table, rows) in purged {
                    tracing::info!(table, rows, "deleted after the retention period");
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(error = error_chain(&error), "could not delete old records");
                }
                failing = true;
            }
        }
    }
}

async fn purge_all(
    store: &TaskStore,
    keep: &Retention,
    end: &CancellationToken,
) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let mut purged = BTreeMap::new();
    while !end.is_cancelled() {
        let began = Instant::now();
        let Some(batch) = store.purge(keep).await? else { break };
        *purged.entry(batch.table).or_default() += batch.rows;
        tokio::time::sleep(began.elapsed().max(SHORTEST)).await;
    }
    Ok(purged)
}

/// How branches of tasks are deleted.
#[derive(Debug, Clone)]
pub struct BranchPlan {
    /// How long after the end of their task.
    pub after: Duration,
    /// From one look to the next.
    pub every: Duration,
    /// A folder of the hub's own.
    pub work: PathBuf,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
}

/// Deletes branches of tasks that ended, until `end`.
pub async fn branches(store: TaskStore, plan: BranchPlan, end: CancellationToken) {
    while rested(plan.every, &end).await {
        loop {
            match some_branches(&store, &plan, &end).await {
                // There may be more.
                Ok(taken) if taken == BRANCHES as usize && !end.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        error = error_chain(&error),
                        "could not look up branches of tasks"
                    );
                    break;
                }
            }
        }
    }
}

async fn some_branches(
    store: &TaskStore,
    plan: &BranchPlan,
    end: &CancellationToken,
) -> Result<usize, StoreError> {
    let spent = store.take_spent_branches(plan.after, HOLD, BRANCHES).await?;
    let taken = spent.len();
    let mut of: BTreeMap<String, Vec<SpentBranch>> = BTreeMap::new();
    for branch in spent {
        of.entry(branch.repository.clone()).or_default().push(branch);
    }
    for (url, spent) in of {
        match delete(plan, &url, &spent, end).await {
            Ok(gone) => store.branches_gone(&gone).await?,
            // They are looked at again when the hold is over.
            Err(error) => tracing::warn!(error = error_chain(&error), "could not delete branches"),
        }
    }
    Ok(taken)
}

/// Those that need not be looked at again.
async fn delete(
    plan: &BranchPlan,
    url: &str,
    spent: &[SpentBranch],
    end: &CancellationToken,
) -> Result<Vec<Lease>, GitError> {
    let git = Git::new(RunId::generate(), &plan.redactor, end);
    let folder = plan.work.join("branches.git");
    init_bare(&folder, &git).await?;
    let (mut leases, mut branches) = (Vec::new(), Vec::new());
    let mut gone = Vec::new();
    for branch in spent {
        match branch.commit.parse() {
            Ok(commit) => {
                leases.push(branch.lease);
                branches.push(ExpectedBranch { name: branch.branch.clone(), commit });
            }
            // What never was a commit was never pushed.
            Err(_) => gone.push(branch.lease),
        }
    }
    let ends = delete_branches(&folder, url, &branches, &git).await?;
    let conflicts = delete_conflicts(plan, &folder, url, spent, &git).await?;
    for ((lease, branch), end) in leases.into_iter().zip(branches).zip(ends) {
        let branch = branch.name;
        match end {
            // It is looked at again for the sake of the other one.
            Deletion::Gone | Deletion::Moved if conflicts.contains(&lease) => {}
            Deletion::Gone => {
                tracing::info!(branch, "deleted the branch of a task that ended");
                gone.push(lease);
            }
            Deletion::Moved => {
                tracing::warn!(
                    branch,
                    "kept the branch of a task, because it was moved by \
                    another client"
                );
                gone.push(lease);
            }
            Deletion::Refused(why) => {
                let why = plan.redactor.redact(&why);
                tracing::warn!(branch, %why, "the repository rejected the deletion of a task's \
                    branch");
            }
        }
    }
    Ok(gone)
}

/// Deletes the branches that the merge queue made of commits that conflicted. Returns the attempts
/// of those that the repository keeps.
async fn delete_conflicts(
    plan: &BranchPlan,
    folder: &Path,
    url: &str,
    spent: &[SpentBranch],
    git: &Git,
) -> Result<Vec<Lease>, GitError> {
    // Several attempts at a task may have conflicted, and one branch has the commit of one of
    // them: no branch stands twice in a round.
    let mut rounds: Vec<BTreeMap<String, (Lease, CommitId)>> = Vec::new();
    for branch in spent {
        let (Some(merge), Ok(commit)) = (branch.merge, branch.commit.parse::<CommitId>()) else {
            continue;
        };
        for name in conflict_branches(branch.lease.task, merge) {
            let free = rounds.iter().position(|round| !round.contains_key(&name));
            let round = free.unwrap_or_else(|| {
                rounds.push(BTreeMap::new());
                rounds.len() - 1
            });
            rounds[round].insert(name, (branch.lease, commit.clone()));
        }
    }
    let mut kept = Vec::new();
    for round in rounds {
        let (leases, branches): (Vec<Lease>, Vec<ExpectedBranch>) = round
            .into_iter()
            .map(|(name, (lease, commit))| (lease, ExpectedBranch { name, commit }))
            .unzip();
        let ends = delete_branches(folder, url, &branches, git).await?;
        for ((lease, branch), end) in leases.into_iter().zip(branches).zip(ends) {
            match end {
                // One that stands elsewhere has another attempt's commit, or somebody's own.
                Deletion::Gone | Deletion::Moved => {}
                Deletion::Refused(why) => {
                    let why = plan.redactor.redact(&why);
                    tracing::warn!(branch = branch.name, %why, "the repository rejected the \
                        deletion of a conflict's branch");
                    kept.push(lease);
                }
            }
        }
    }
    Ok(kept)
}

/// Waits, not as long as every other hub; `false` at the `end`.
async fn rested(every: Duration, end: &CancellationToken) -> bool {
    let chance = fastrand::f64();
    tokio::select! {
        () = tokio::time::sleep(every.mul_f64(0.75 + 0.5 * chance)) => true,
        () = end.cancelled() => false,
    }
}
